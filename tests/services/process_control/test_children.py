"""What is started is stopped: with all that descends from it, without zombies, and nobody else."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from rpcx.errors import LimitExceeded
from schemas.process_control import ExitStatus, ProcessFilter, SpawnSpec
from services.process_control.children import Children
from services.process_control.processes import look
from services.process_control.table import processes
from tests.services.process_control.conftest import eventually, lives, never, python


def gone(pid: int) -> bool:
    """Not even a zombie is left."""
    try:
        look(pid)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("script", "status", "text"),
    [
        ("exit 0", ExitStatus(code=0), "exited with 0"),
        ("exit 7", ExitStatus(code=7), "exited with 7"),
        ("kill -9 $$", ExitStatus(signal="SIGKILL"), "ended by SIGKILL"),
        ("kill -TERM $$", ExitStatus(signal="SIGTERM"), "ended by SIGTERM"),
    ],
)
def test_the_exit_status_names_code_or_signal(start, script, status, text):
    child = start("sh", "-c", script)
    assert child.wait(5, never) == status
    assert child.status.text == text


def test_a_status_that_nobody_knows_says_so():
    assert ExitStatus().text == "ended, nobody knows how"
    assert ExitStatus(signal="SIGSEGV", dumped=True).text == "ended by SIGSEGV, core dumped"


def test_a_child_that_ended_is_no_zombie_though_nobody_waits(start, children):
    child = start("true")
    assert child.ended.wait(5)
    assert eventually(lambda: gone(child.pid))
    assert eventually(lambda: len(children) == 0)
    assert child.wait(0, never) == ExitStatus(code=0)  # known all the same
    assert child.stop(1) is None


def test_a_child_leads_a_session_of_its_own(start):
    child = start("sleep", "60")
    seen = look(child.pid)
    assert seen.group == seen.session == child.pid
    assert child.id.started == seen.started


def test_waiting_ends_after_its_timeout_or_when_the_caller_gives_up(start):
    child = start("sleep", "60")
    assert child.wait(0.05, never) is None
    assert child.wait(0, never) is None

    def give_up() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        child.wait(None, give_up)


def test_stopping_takes_the_descendants_along(start):
    child = start("sh", "-c", "sleep 60 & (sleep 60 & wait) & setsid sleep 60 & wait")
    assert eventually(lambda: len(child.family()) == 4)
    others = [seen.pid for seen in child.family()]
    report = child.stop(2)
    assert report.status == ExitStatus(signal="SIGTERM")
    assert {one.pid for one in report.signalled} == {child.pid, *others}
    assert report.signalled[0] == child.id
    assert report.killed == ()
    assert not [pid for pid in others if lives(pid)]
    assert gone(child.pid)


def test_what_ignores_sigterm_is_killed_after_the_grace_time(start):
    child = start("sh", "-c", "trap '' TERM; sleep 60 & echo ready; while :; do sleep 60; done")
    assert next(child.stdout.read(None, never)) == b"ready\n"
    begun = time.monotonic()
    report = child.stop(0.2)
    assert 0.2 <= time.monotonic() - begun < 3
    assert report.status == ExitStatus(signal="SIGKILL")
    assert child.id in report.killed
    assert not [one.pid for one in report.signalled if lives(one.pid)]


@pytest.mark.parametrize("before", ["", "setsid "], ids=["same session", "session of its own"])
def test_what_forks_while_it_is_killed_is_killed_too(start, before):
    name = f"9.{os.getpid()}"  # seconds; they are found by it. At most 400, which end soon in any case
    forking = f'trap "" TERM; echo ready; for i in $(seq 400); do sleep {name} & sleep 0.004; done; sleep {name}'
    child = start("sh", "-c", f"{before}sh -c '{forking}' & wait; wait")
    assert next(child.stdout.read(None, never)) == b"ready\n"
    assert eventually(lambda: len(child.family()) > 5)
    child.stop(0.05)
    assert not [info for info in processes(ProcessFilter(command=name)) if info.status != "zombie"]


def test_who_outlives_its_parent_is_still_found(start):
    child = start("sh", "-c", "sleep 60 & exit 3")
    assert child.wait(5, never) == ExitStatus(code=3)
    (orphan,) = child.family()
    time.sleep(0.1)
    assert not look(child.pid).alive  # a zombie, so that nobody gets its number
    report = child.stop(2)
    assert [one.pid for one in report.signalled] == [orphan.pid]
    assert report.status == ExitStatus(code=3)
    assert not lives(orphan.pid)
    assert gone(child.pid)


def test_a_child_is_reaped_once_its_last_descendant_has_ended(start):
    child = start("sh", "-c", "sleep 0.3 & exit 0")
    assert child.ended.wait(5)
    assert not gone(child.pid)
    assert eventually(lambda: gone(child.pid))


def test_a_daemon_that_left_session_and_parents_escapes(start):
    """Nobody can tell any more whose it was; said in the contract."""
    child = start("sh", "-c", "setsid sh -c 'sleep 60 & echo $!' & wait; sleep 60")
    daemon = int(next(child.stdout.read(None, never)))
    assert eventually(lambda: gone(look(daemon).session))  # its parent, which made the session
    child.stop(1)
    assert lives(daemon)
    os.kill(daemon, signal.SIGKILL)
    assert eventually(lambda: not lives(daemon))


def test_a_suspended_family_stands_still_and_can_be_resumed_or_stopped(start):
    child = start("sh", "-c", "sleep 60 & wait")
    assert eventually(lambda: len(child.family()) == 1)
    assert child.hold()
    assert look(child.pid).stopped
    assert all(seen.stopped for seen in child.family())
    assert len(child.send(signal.SIGCONT)) == 2
    assert eventually(lambda: not look(child.pid).stopped)
    child.hold()
    assert child.stop(5).status == ExitStatus(signal="SIGTERM")  # not SIGKILL: it was continued to hear it


def test_stopping_can_be_given_up_and_is_under_way_all_the_same(start):
    child = start("sh", "-c", "trap 'sleep 0.4; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    assert next(child.stdout.read(None, never)) == b"ready\n"

    def give_up() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        child.stop(5, give_up)
    assert child.wait(5, never) == ExitStatus(code=5)


def test_two_who_stop_the_same_child_both_see_it_gone(start):
    child = start("sh", "-c", "sleep 60 & wait")
    reports: list[object] = []
    threads = [threading.Thread(target=lambda: reports.append(child.stop(2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(reports) == 4
    assert gone(child.pid)
    child.close()
    child.close()


# --- starting -----------------------------------------------------------------------------------------------


def test_a_child_has_the_environment_and_directory_it_was_given(start, tmp_path, monkeypatch):
    monkeypatch.setenv("INHERITED", "yes")
    script = "echo $INHERITED $GIVEN; pwd"
    child = start("sh", "-c", script, env={"GIVEN": "too"}, cwd=tmp_path)
    assert b"".join(child.stdout.read(None, never)).decode() == f"yes too\n{tmp_path}\n"
    child = start("/bin/sh", "-c", script, env={"GIVEN": "only"}, inherit_env=False, cwd=tmp_path)
    assert b"".join(child.stdout.read(None, never)).decode() == f"only\n{tmp_path}\n"


def test_outputs_can_be_joined_kept_apart_or_thrown_away(start):
    script = "echo out; echo err >&2"
    child = start("sh", "-c", script)
    assert (list(child.stdout.read(None, never)), list(child.stderr.read(None, never))) == ([b"out\n"], [b"err\n"])
    child = start("sh", "-c", script, stderr="stdout")
    assert b"".join(child.stdout.read(None, never)) == b"out\nerr\n"
    assert child.stderr is None
    child = start("sh", "-c", script, stdout="null", stderr="null")
    assert (child.stdin, child.stdout, child.stderr) == (None, None, None)
    assert child.wait(5, never).code == 0


def test_without_stdin_the_input_is_empty(start):
    assert start("cat").wait(5, never) == ExitStatus(code=0)


def test_what_cannot_be_started_is_named_with_the_reason(children, tmp_path):
    (tmp_path / "plain").write_text("no program")
    (tmp_path / "broken").write_bytes(b"\x7fELF broken")
    (tmp_path / "broken").chmod(0o755)
    for argv, cwd, kind, number, reason in (
        (["frobnicate"], None, FileNotFoundError, errno.ENOENT, "'frobnicate': there is no such program in PATH"),
        ([""], None, FileNotFoundError, errno.ENOENT, "'': there is no such program"),
        (["/no/such"], None, FileNotFoundError, errno.ENOENT, "'/no/such': there is no such program$"),
        ([str(tmp_path / "plain")], None, PermissionError, errno.EACCES, "may not execute it"),
        ([str(tmp_path / "broken")], None, OSError, errno.ENOEXEC, "it is no program for this machine"),
        (["true"], tmp_path / "nowhere", FileNotFoundError, errno.ENOENT, "there is no directory '.*/nowhere'"),
        (["true", "x" * 2**18], None, OSError, errno.E2BIG, "too long"),
    ):
        with pytest.raises(kind, match=reason) as caught:
            children.spawn(SpawnSpec(argv=argv, cwd=cwd))
        assert caught.value.errno == number
    assert len(children) == 0


def test_there_are_no_more_children_than_allowed():
    children = Children(most=2)
    spec = SpawnSpec(argv=["sleep", "60"])
    one, _ = children.spawn(spec), children.spawn(spec)
    with pytest.raises(LimitExceeded, match="has 2 children already"):
        children.spawn(spec)
    one.close()
    assert eventually(lambda: len(children) == 1)
    children.spawn(spec)
    children.close()
    assert eventually(lambda: len(children) == 0)


def test_all_children_share_one_grace_time_at_the_end():
    children = Children()
    code = "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    made = [children.spawn(SpawnSpec(argv=python(code), grace=0.3)) for _ in range(4)]
    for child in made:
        assert next(child.stdout.read(None, never))
    begun = time.monotonic()
    children.close()
    assert time.monotonic() - begun < 4 * 0.3
    assert {child.status.signal for child in made} == {"SIGKILL"}
    assert all(gone(child.pid) for child in made)


def test_a_program_that_ends_takes_its_children_along():
    code = (
        "from services.process_control.children import Children; from schemas.process_control import SpawnSpec\n"
        "print(Children().spawn(SpawnSpec(argv=['sleep', '60'])).pid)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert gone(int(done.stdout))
    assert done.stderr == ""


def test_a_child_shows_its_state(start):
    child = start("sleep", "60")
    assert repr(child) == f"<Child {child.pid} sleep running>"
    child.stop(1)
    assert repr(child) == f"<Child {child.pid} sleep ended by SIGTERM>"
