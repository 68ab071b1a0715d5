"""Which process is meant, and that no other is hit."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from services.process_control import processes
from services.process_control.processes import HAS_PIDFD, Handle, everything, family, look, send, stopped_within
from tests.services.process_control.conftest import eventually, lives, never

WAYS = pytest.mark.parametrize("pidfd", [HAS_PIDFD, False], ids=["pidfd", "start time"])


def test_a_process_is_seen_as_the_system_has_it(sleeper):
    seen = look(sleeper.pid)
    assert seen.parent == os.getpid()
    assert seen.group == seen.session == sleeper.pid
    assert seen.alive
    assert not seen.stopped
    assert look(os.getpid()).started <= seen.started
    assert seen in everything()


def test_both_ways_to_look_agree(sleeper):
    quick, slow = processes._look_linux(sleeper.pid), processes._look_psutil(sleeper.pid)
    assert quick._replace(started=0) == slow._replace(started=0)
    assert processes._look_psutil(2**22 + 1) is processes._look_linux(2**22 + 1) is None


@pytest.mark.parametrize("name", [") R 1 1 1 (", "a b", "new\nline", "ünï", ")"])
def test_no_name_misleads_the_reader_of_the_process_table(tmp_path, name):
    (tmp_path / name).symlink_to("/bin/sleep")
    process = subprocess.Popen([tmp_path / name, "60"])
    try:
        assert eventually(lambda: Path(f"/proc/{process.pid}/comm").read_text().rstrip("\n") == name)
        assert look(process.pid).parent == os.getpid()
        assert look(process.pid).alive
    finally:
        process.kill()
        process.wait()


def test_a_pid_that_nobody_has_is_an_error():
    with pytest.raises(ProcessLookupError, match=f"there is no process {2**22 + 1}"):
        look(2**22 + 1)
    with pytest.raises(ProcessLookupError):
        Handle(2**22 + 1)


@WAYS
def test_a_signal_reaches_its_process(sleeper, pidfd):
    handle = Handle(sleeper.pid, pidfd=pidfd)
    assert handle.alive
    assert repr(handle) == f"<Handle {sleeper.pid}@{handle.started:g} alive>"
    handle.signal(signal.SIGTERM)
    assert handle.wait(5)
    assert sleeper.wait(5) == -signal.SIGTERM
    handle.close()
    assert repr(handle).endswith("closed>")


@WAYS
def test_another_process_with_the_same_pid_is_not_taken_for_it(sleeper, pidfd):
    started = look(sleeper.pid).started
    with pytest.raises(ProcessLookupError, match="its pid belongs to another one now"):
        Handle(sleeper.pid, started - 0.01, pidfd=pidfd)
    Handle(sleeper.pid, started, pidfd=pidfd).close()


# A pid is really reused: in a pid namespace of its own, where the next pid can be chosen without anybody noticing.
REUSE = """
import os, signal, subprocess, sys, time
from services.process_control.processes import Handle
one = subprocess.Popen(["sleep", "30"])
handle = Handle(one.pid, pidfd=sys.argv[1] == "True")
time.sleep(0.03)  # start times have a resolution of 10 ms
one.kill(), one.wait()
open("/proc/sys/kernel/ns_last_pid", "w").write(str(one.pid - 1))
two = subprocess.Popen(["sleep", "30"])
assert two.pid == one.pid, (one.pid, two.pid)
print("reused", handle.alive, handle.wait(0))
try:
    handle.signal(signal.SIGKILL)
except ProcessLookupError as error:
    print(error)
time.sleep(0.1)
print(two.poll())
two.kill(), two.wait()
"""


@WAYS
def test_a_reused_pid_is_never_hit(sleeper, pidfd, monkeypatch):
    """Where no pid namespace can be made, it is tried as if; see the next test."""
    script = [sys.executable, "-c", REUSE, str(pidfd)]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", *script],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert not lines or lines[0] == "reused False True", done.stderr
    assert not lines or lines[2] == "None", "the stranger was killed"
    assert lines or "unshare" in done.stderr, done.stderr  # it is not permitted here


def test_without_pidfd_the_start_time_is_compared_before_each_signal(sleeper, monkeypatch):
    handle = Handle(sleeper.pid, pidfd=False)
    monkeypatch.setattr(processes, "look", lambda pid: look(pid)._replace(started=handle.started + 0.01))
    assert not handle.alive
    assert handle.wait(0)
    with pytest.raises(ProcessLookupError, match="has ended"):
        handle.signal(signal.SIGKILL)
    assert sleeper.poll() is None


@WAYS
def test_a_zombie_has_ended(sleeper, pidfd):
    handle = Handle(sleeper.pid, pidfd=pidfd)
    sleeper.kill()
    assert handle.wait(5)
    assert look(sleeper.pid).alive is False  # nobody has waited for it
    with pytest.raises(ProcessLookupError, match="has ended"):
        handle.signal(signal.SIGTERM)
    handle.close()


@WAYS
def test_waiting_ends_after_its_timeout_or_when_the_caller_gives_up(sleeper, pidfd):
    handle = Handle(sleeper.pid, pidfd=pidfd)
    begun = time.monotonic()
    assert not handle.wait(0.05, never)
    assert not handle.wait(0)
    assert time.monotonic() - begun < 1

    def give_up() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        handle.wait(None, give_up)
    handle.close()


def test_a_handle_may_be_closed_while_somebody_waits(sleeper):
    handle = Handle(sleeper.pid)
    ended = []
    waiter = threading.Thread(target=lambda: ended.append(handle.wait(10)))
    waiter.start()
    time.sleep(0.05)
    handle.close()
    handle.close()
    with pytest.raises(ProcessLookupError):
        handle.signal(signal.SIGTERM)
    with pytest.raises(ValueError, match="was closed"):
        _ = handle.alive
    assert lives(sleeper.pid)
    sleeper.kill()
    waiter.join(5)
    assert ended == [True]


def test_a_process_of_another_user_is_left_to_the_system(monkeypatch, sleeper):
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    handle = Handle(sleeper.pid)
    with monkeypatch.context() as patched:  # the tests may run as root, who is never refused
        patched.setattr(signal, "pidfd_send_signal", refused)
        patched.setattr(os, "kill", refused)
        with pytest.raises(PermissionError, match=f"user {os.geteuid()} send SIGTERM to process {sleeper.pid}"):
            handle.signal(signal.SIGTERM)
        assert not send(look(sleeper.pid), signal.SIGTERM)
    handle.close()


def test_a_family_is_the_session_and_what_descends_from_it():
    script = "sleep 60 & (sleep 60 & wait) & setsid sleep 60 & (exit 0) & exec sleep 60"
    leader = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    try:
        assert eventually(lambda: any(seen.session != leader.pid for seen in family(leader.pid)))  # one left it
        assert eventually(lambda: len(family(leader.pid)) == 4)  # the leader and the zombie do not count
        found = family(leader.pid)
        assert leader.pid not in {seen.pid for seen in found}
        assert {seen.session == leader.pid for seen in found} == {True, False}
        assert os.getpid() not in {seen.pid for seen in found}
    finally:
        for seen in family(leader.pid):
            send(seen, signal.SIGKILL)
        leader.kill()
        leader.wait()


def test_one_member_of_a_session_leads_to_all_of_it():
    """Also to those whose parents have ended."""
    script = "setsid sh -c '(sleep 60 &) ; exec sleep 60' & wait"
    leader = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    try:
        assert eventually(lambda: [seen.parent == leader.pid for seen in family(leader.pid)].count(False) == 1)
        sessions = {seen.session for seen in family(leader.pid)}
        assert len(sessions) == 1
        assert eventually(lambda: sorted(s.parent == leader.pid for s in family(leader.pid)) == [False, True])
    finally:
        for seen in family(leader.pid):
            send(seen, signal.SIGKILL)
        leader.kill()
        leader.wait()


def test_known_members_stay_members_when_their_parents_have_ended():
    script = "setsid sleep 30 & echo $!"  # the shell ends, and nobody leads to the sleep
    leader = subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE)
    left = int(leader.stdout.readline())
    try:
        assert leader.wait(5) == 0
        assert eventually(lambda: look(left).session == left)
        member = look(left)
        assert family(leader.pid) == []
        assert [seen.pid for seen in family(leader.pid, [member])] == [left]
        assert family(leader.pid, [member._replace(started=member.started - 1)]) == []  # that was another one
    finally:
        os.kill(left, signal.SIGKILL)
        leader.stdout.close()


def test_what_stands_still_is_noticed(sleeper):
    assert not stopped_within(0.02, sleeper.pid)
    sleeper.send_signal(signal.SIGSTOP)
    assert stopped_within(5, sleeper.pid)
    assert look(sleeper.pid).stopped
    assert stopped_within(5, 2**22 + 1)  # who has ended stands still, too
