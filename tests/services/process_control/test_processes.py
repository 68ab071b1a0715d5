"""Which process is meant, and that no other is hit."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from services.process_control import processes
from services.process_control.processes import HAS_PIDFD, Handle, everything, family, look, send, stopped_within
from tests.services.process_control.conftest import eventually, lives, never

WAYS = pytest.mark.parametrize("pidfd", [HAS_PIDFD, False], ids=["pidfd", "start time"])
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def reuse(pid: int) -> "subprocess.Popen[bytes] | None":
    """A new process with a pid that is free; None where the system does not let us choose."""
    newest = max(psutil.pids())
    try:
        for _ in range(200):  # others may be faster
            LAST_PID.write_text(str(pid - 1))
            process = subprocess.Popen(["sleep", "60"])
            if process.pid == pid:
                return process
            process.kill()
            process.wait()
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            LAST_PID.write_text(str(newest))  # so that nobody else is given used pids
    return None


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


@WAYS
def test_a_reused_pid_is_never_hit(sleeper, pidfd, monkeypatch):
    handle = Handle(sleeper.pid, pidfd=pidfd)
    time.sleep(0.02)  # start times have a resolution of 10 ms
    sleeper.kill()
    sleeper.wait()
    stranger = reuse(sleeper.pid)
    if stranger is None and not pidfd:  # as if somebody had it
        monkeypatch.setattr(processes, "look", lambda pid: look(os.getpid())._replace(pid=pid))
        monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a stranger was signalled"))
    try:
        assert not handle.alive
        assert handle.wait(0)
        with pytest.raises(ProcessLookupError, match="has ended"):
            handle.signal(signal.SIGKILL)
        time.sleep(0.05)
        assert stranger is None or stranger.poll() is None
    finally:
        handle.close()
        if stranger is not None:
            stranger.kill()
            stranger.wait()


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


def test_what_stands_still_is_noticed(sleeper):
    assert not stopped_within(0.02, sleeper.pid)
    sleeper.send_signal(signal.SIGSTOP)
    assert stopped_within(5, sleeper.pid)
    assert look(sleeper.pid).stopped
    assert stopped_within(5, 2**22 + 1)  # who has ended stands still, too
