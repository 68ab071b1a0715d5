"""What there is to see, and what changes."""

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from schemas.process_control import ProcessFilter
from services.process_control import table
from services.process_control.processes import look
from services.process_control.table import COMMAND_CHARACTERS, YOUNG_SECONDS, Watch, host_facts, info_of, processes
from tests.services.process_control.conftest import eventually, python


def only(pid: int, **more: object) -> ProcessFilter:
    return ProcessFilter(pids=[pid], **more)


def test_a_process_is_described(sleeper):
    (info,) = processes(only(sleeper.pid))
    assert info.id.pid == sleeper.pid
    assert info.id.started == look(sleeper.pid).started
    assert (info.parent, info.command, info.threads) == (os.getpid(), ("sleep", "60"), 1)
    assert abs(datetime.now(UTC) - info.started) < timedelta(minutes=1)
    assert 0 <= info.cpu_seconds < 1
    assert 0 < info.memory_bytes < 2**30
    assert info.status in ("sleeping", "running", "idle")
    assert info.user is not None


def test_a_process_that_is_another_one_by_now_is_not_described(sleeper):
    seen = look(sleeper.pid)
    assert info_of(seen._replace(started=seen.started - 1)) is None
    assert info_of(seen._replace(pid=2**22 + 1)) is None


def test_a_filter_takes_what_fits_all_of_it(sleeper):
    user = info_of(look(sleeper.pid)).user
    for fits, matching in (
        (True, only(sleeper.pid, name="sleep", user=user, command=r"^sleep \d+$")),
        (True, only(sleeper.pid, name="sl*p")),
        (True, only(sleeper.pid, name="[rs]leep")),
        (True, only(sleeper.pid, command="60")),
        (False, only(sleeper.pid, name="Sleep")),
        (False, only(sleeper.pid, name="slee")),
        (False, only(sleeper.pid, name="sleep", command="61")),
        (False, only(sleeper.pid, user=user + "x")),
        (False, ProcessFilter(pids=[])),
    ):
        assert [info.id.pid for info in processes(matching)] == [sleeper.pid] * fits


def test_processes_come_by_pid_and_no_more_than_wanted():
    pids = [info.id.pid for info in processes(ProcessFilter())]
    assert pids == sorted(pids)
    assert os.getpid() in pids
    assert [info.id.pid for info in processes(ProcessFilter(limit=2))] == pids[:2]


def test_arguments_of_any_bytes_can_be_told():
    process = subprocess.Popen(["sleep", b"60", b"--", b"\xff\xfe"], stderr=subprocess.DEVNULL)
    other = subprocess.Popen([*python("import time; time.sleep(60)"), b"\xff \xc3\xa4"])
    try:
        assert eventually(lambda: info_of(look(other.pid)).command[-1:] == ("\\xff ä",))
        info_of(look(other.pid)).model_dump_json().encode()
    finally:
        for each in (process, other):
            each.kill()
            each.wait()


def test_long_commands_are_cut():
    process = subprocess.Popen([*python("import time; time.sleep(60)"), *["x" * 3000] * 5])
    try:
        assert eventually(lambda: len(info_of(look(process.pid)).command) > 3)
        assert len(" ".join(info_of(look(process.pid)).command)) <= COMMAND_CHARACTERS
    finally:
        process.kill()
        process.wait()


def test_a_hostile_expression_costs_no_more_than_another():
    """With `re` this would take years."""
    fits = table.wanted(ProcessFilter(command="(a+)+$"))
    (me,) = processes(only(os.getpid()))
    assert not fits(me.model_copy(update={"command": ("a" * 4000 + "!",)}))
    many_stars = table.wanted(ProcessFilter(name="*a" * 50 + "b"))
    assert not many_stars(me.model_copy(update={"name": "a" * 200}))


def test_a_zombie_is_listed_as_one(sleeper):
    sleeper.kill()
    assert eventually(lambda: not look(sleeper.pid).alive)
    (info,) = processes(only(sleeper.pid))
    assert (info.status, info.command) == ("zombie", ())


# --- watching -----------------------------------------------------------------------------------------------


def kinds(watch: Watch, now: float, pid: int) -> list[str]:
    return [event.kind for event in watch.look(now) if event.process.id.pid == pid]


def test_what_starts_and_ends_is_seen_once():
    watch = Watch(ProcessFilter())
    process = subprocess.Popen(["sleep", "60"])
    assert eventually(lambda: info_of(look(process.pid)).command == ("sleep", "60"))
    assert kinds(watch, 0, process.pid) == ["started"]
    assert kinds(watch, 1, process.pid) == []
    process.kill()
    assert eventually(lambda: not look(process.pid).alive)
    assert kinds(watch, 2, process.pid) == ["ended"]  # though it is a zombie
    process.wait()
    assert kinds(watch, 3, process.pid) == []


def test_what_was_there_before_is_not_reported_but_its_end_is(sleeper):
    watch = Watch(ProcessFilter(name="sleep"))
    assert kinds(watch, 0, sleeper.pid) == []
    sleeper.kill()
    assert eventually(lambda: not look(sleeper.pid).alive)
    (event,) = [event for event in watch.look(1) if event.process.id.pid == sleeper.pid]
    assert (event.kind, event.process.command) == ("ended", ("sleep", "60"))


def test_what_does_not_fit_is_not_reported(sleeper):
    watch = Watch(ProcessFilter(name="nothing is called so"))
    process = subprocess.Popen(["sleep", "60"])
    assert watch.look(0) == []
    process.kill()
    process.wait()
    assert watch.look(1) == []


def test_a_young_process_is_looked_at_until_it_runs_its_own_program():
    parent = subprocess.Popen(
        ["sh", "-c", "(read go; exec sleep 60); exit 0"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        watch = Watch(ProcessFilter(pids=[parent.pid]))
        child = _child_of(parent.pid)
        copies = Watch(ProcessFilter(command="sleep"))
        copies._known.pop((child.pid, child.started))  # as if it had just been forked
        assert kinds(copies, 0, child.pid) == []  # it has its parent's command, which says "sleep" too
        parent.stdin.write(b"go\n")
        parent.stdin.flush()
        assert eventually(lambda: info_of(child).command == ("sleep", "60"))
        assert kinds(copies, YOUNG_SECONDS / 2, child.pid) == ["started"]
        assert watch.look(0) == []
    finally:
        os.killpg(parent.pid, 9)
        parent.communicate()


def test_a_process_that_runs_what_its_parent_runs_is_reported_when_it_is_no_longer_young():
    parent = subprocess.Popen(["sh", "-c", "(read go); exit 0"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        child = _child_of(parent.pid)
        watch = Watch(ProcessFilter())
        watch._known.pop((child.pid, child.started))  # as if it had just been forked
        assert kinds(watch, 0, child.pid) == []
        assert kinds(watch, YOUNG_SECONDS, child.pid) == ["started"]
    finally:
        os.killpg(parent.pid, 9)
        parent.communicate()


def _child_of(pid: int) -> "table.Seen":
    found = []

    def look_for_it() -> bool:
        found[:] = [seen for seen in table.everything() if seen.parent == pid]
        return bool(found)

    assert eventually(look_for_it)
    return found[0]


def test_watching_says_first_that_it_watches_and_ends_with_its_caller():
    def give_up() -> None:
        raise InterruptedError

    events = table.watch(ProcessFilter(pids=[2**22 + 1]), 0.05, give_up)
    assert next(events).kind == "watching"
    with pytest.raises(InterruptedError):
        next(events)


def test_the_machine_is_described():
    facts = host_facts()
    assert facts.agent.pid == os.getpid()
    assert 0 < facts.memory_available_bytes <= facts.memory_bytes
    assert facts.cpus >= 1
    assert facts.booted < datetime.now(UTC)
    assert "Linux" in facts.system or os.name == "posix"
