"""Processes by identity: which one is meant, whether it still is, and signals that reach no other.

A pid says little: the kernel gives it to another process as soon as its owner was reaped. Here a process is
its pid *and* its start time, and three rules keep a signal from hitting a stranger:

1. **A `Handle` holds a pidfd**, a descriptor that stays bound to the process it was opened for. It is opened
   first and the start time read afterwards; if the process is still alive after that, pid, start time and
   descriptor belong together. Where there is no pidfd (macOS, Linux before 5.3) the start time is compared
   just before each signal, which leaves microseconds.
2. **A group is signalled only by who has not reaped its leader**: as long as a process is a zombie its number
   is taken, as pid, as group and as session (see `services.process_control.children`).
3. **Other members of a family** are found in the process table and signalled through handles of their own,
   with the start time that was read there.

On Linux ``/proc/PID/stat`` is read directly, since it is asked for thousands of times and psutil takes four
reads for it; elsewhere psutil is asked. Nothing here knows of rpcx.
"""

import contextlib
import errno
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

import psutil

LINUX: Final = sys.platform == "linux"
TICKS: Final = os.sysconf("SC_CLK_TCK") if LINUX else 1  # per second, of start times in /proc
SLICE: Final = 0.2  # seconds a wait lasts before it asks whether its caller gave up
POLL: Final = 0.05  # seconds between two looks where nothing tells of an end

Check = Callable[[], None]  # raises when the caller gave up


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # no such function, no such call in this kernel, or a sandbox forbids it
        return False
    return hasattr(signal, "pidfd_send_signal")


HAS_PIDFD: Final = _has_pidfd()


class Seen(NamedTuple):
    """A process in the process table."""

    pid: int
    parent: int
    group: int
    session: int
    started: float  # as `schemas.process_control.ProcessId` counts
    alive: bool  # False: a zombie, which has ended and is only waited for
    stopped: bool  # suspended


def look(pid: int) -> Seen:
    """The process that has ``pid`` now. ProcessLookupError: none has."""
    seen = _look_linux(pid) if LINUX else _look_psutil(pid)
    if seen is None:
        raise ProcessLookupError(f"there is no process {pid}")
    return seen


def everything() -> list[Seen]:
    """All processes, by pid; those that end meanwhile are left out."""
    found = (_look_linux(pid) if LINUX else _look_psutil(pid) for pid in psutil.pids())
    return [seen for seen in found if seen is not None]


def _look_linux(pid: int) -> Seen | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # read thousands of times; a Path costs as much as the read
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # "pid (name) state parent group session …"; the name may hold anything, so: behind the last parenthesis
    fields = stat[stat.rindex(b")") + 2 :].split(None, 20)
    return Seen(
        pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]) / TICKS,
        alive=fields[0] not in (b"Z", b"X", b"x"),
        stopped=fields[0] in (b"T", b"t"),
    )


def _look_psutil(pid: int) -> Seen | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            status, started, parent = process.status(), process.create_time(), process.ppid()
        alive = status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        stopped = status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        return Seen(pid, parent, os.getpgid(pid), os.getsid(pid), started, alive, stopped)
    except (psutil.Error, OSError):
        return None


def family(leader: int, known: Collection[Seen] = ()) -> list[Seen]:
    """What lives of the session that ``leader`` made, and its descendants in other sessions; without itself.

    A session is made by one process and entered by birth only, so with one of its members all belong to the
    family. Only true while the leader is not reaped: later its number may name somebody else's session.

    Args:
        leader: its pid.
        known: members found earlier. They stay members, though their parents may have ended since.
    """
    earlier = {(seen.pid, seen.started) for seen in known}
    by_parent: dict[int, list[Seen]] = {}
    by_session: dict[int, list[Seen]] = {}
    ahead: list[Seen] = []
    for seen in everything():
        by_parent.setdefault(seen.parent, []).append(seen)
        by_session.setdefault(seen.session, []).append(seen)
        if (seen.pid, seen.started) in earlier:
            ahead.append(seen)
    ahead += [*by_parent.get(leader, ()), *by_session.get(leader, ())]
    found: dict[int, Seen] = {}
    while ahead:
        seen = ahead.pop()
        if seen.pid not in found and seen.pid != leader:
            found[seen.pid] = seen
            ahead += by_parent.get(seen.pid, ())
            ahead += by_session.pop(seen.session, ())
    return [seen for seen in sorted(found.values()) if seen.alive]


class Handle:
    """One process, for good. Shared by threads.

    Args:
        pid: its number.
        started: when it started; None: whichever process has the pid now.
        pidfd: False does without process descriptors.

    Raises:
        ProcessLookupError: the process has ended, or never was.
    """

    def __init__(self, pid: int, started: float | None = None, *, pidfd: bool = HAS_PIDFD) -> None:
        self.pid = pid
        self._mutex = threading.Lock()  # around the descriptor: a closed one's number may be another file's
        self._fd = _open(pid) if pidfd else -1  # -1: none, or closed
        self._closed = False
        try:
            self.started = look(pid).started
            if started not in (None, self.started):
                raise ProcessLookupError(f"process {pid} has ended; its pid belongs to another one now")
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it has not ended. A zombie has."""
        with self._mutex:
            if self._closed:
                raise ValueError(f"the handle of process {self.pid} was closed")
            return self._alive()

    def _alive(self) -> bool:
        if self._fd >= 0:
            return not _readable(self._fd, 0)  # a pidfd is readable once its process has ended
        try:
            seen = look(self.pid)
        except ProcessLookupError:
            return False
        return seen.alive and seen.started == self.started

    def signal(self, number: int) -> None:
        """Send a signal to this process and no other.

        Raises:
            ProcessLookupError: it has ended.
            PermissionError: the system does not let this user.
        """
        with self._mutex:
            if self._closed or not self._alive():
                raise ProcessLookupError(f"process {self.pid} has ended")
            try:
                if self._fd >= 0:
                    signal.pidfd_send_signal(self._fd, number)
                else:
                    os.kill(self.pid, number)
            except ProcessLookupError:
                raise ProcessLookupError(f"process {self.pid} has ended") from None
            except PermissionError:
                raise PermissionError(
                    f"the system does not let user {os.geteuid()} send {signal.Signals(number).name} to "
                    f"process {self.pid}"
                ) from None

    def wait(self, timeout: float | None = None, check: Check | None = None) -> bool:
        """Whether it ended within ``timeout`` seconds. ``check`` is called every now and then."""
        with self._mutex:  # on a copy: this handle may be closed meanwhile
            fd = os.dup(self._fd) if self._fd >= 0 else -1
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                left = SLICE if deadline is None else min(SLICE, deadline - time.monotonic())
                if self._ended_within(fd, max(left, 0)):
                    return True
                if left <= 0:
                    return False
                if check is not None:
                    check()
        finally:
            if fd >= 0:
                os.close(fd)

    def _ended_within(self, fd: int, seconds: float) -> bool:
        if fd >= 0:
            return _readable(fd, seconds)
        if not self._alive():
            return True
        time.sleep(min(POLL, seconds))
        return False

    def close(self) -> None:
        """Let go of the descriptor; twice is fine."""
        with self._mutex:
            fd, self._fd, self._closed = self._fd, -1, True
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # half made, or the interpreter ends
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "alive" if self._alive() else "ended"
        return f"<Handle {self.pid}@{self.started:g} {state}>"


def _open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # says nothing about the process
            raise
        raise ProcessLookupError(f"there is no process {pid}") from None


def _readable(fd: int, seconds: float) -> bool:
    poll = select.poll()  # select.select cannot watch descriptors above 1023
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def send(seen: Seen, number: int) -> bool:
    """Signal a process from the table. False: it has ended, or this user may not."""
    try:
        handle = Handle(seen.pid, seen.started)
    except ProcessLookupError:
        return False
    try:
        handle.signal(number)
    except (ProcessLookupError, PermissionError):
        return False
    else:
        return True
    finally:
        handle.close()


def stopped_within(seconds: float, *pids: int) -> bool:
    """Whether all of these processes are suspended, or have ended, within so many seconds.

    SIGSTOP takes effect when a process runs next: a little later on a busy machine, and never while it hangs in
    the kernel.
    """
    deadline = time.monotonic() + seconds
    while not all(_rests(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL / 10)
    return True


def _rests(pid: int) -> bool:
    try:
        seen = look(pid)
    except ProcessLookupError:
        return True
    return seen.stopped or not seen.alive
