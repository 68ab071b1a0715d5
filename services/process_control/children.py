"""Children: processes that were started here, and are stopped here with all that descends from them.

    running ──ends──▶ ended, family alive: a zombie on purpose ──family gone or killed──▶ reaped
        └────────────────── ends without a family ─────────────────────────────────────────▲

A child leads a session and a process group of its own, so that its descendants can be found and signalled
together. The session's number is the child's pid, which is only its own until the child is reaped. Hence:

1. **Only its watcher reaps a child**, a thread that waits for its end. While other processes of its family
   live, it is left a zombie, so that its number is not reused; the watcher looks twice a second whether they
   are gone.
2. **Every signal to the family is sent under the child's mutex**, before it was reaped or not at all.
3. **Stopping** sends SIGTERM, and SIGCONT behind it since a suspended process does not hear the first; after
   the grace time SIGKILL. Before that all are suspended: one that forks while it is killed could leave a
   child that nobody knows, without a parent and in another session.

A process that made a session of its own, and whose parents ended before anybody looked (a daemon), is out of sight.
"""

import atexit
import contextlib
import errno
import logging
import os
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from rpcx.errors import LimitExceeded
from schemas.process_control import ExitStatus, ProcessId, SpawnSpec, StopReport
from services.process_control.pipes import Input, Output
from services.process_control.processes import SLICE, Check, Handle, Seen, family, send, stopped_within
from services.process_control.signals import signal_name

log = logging.getLogger(__name__)

LINGER: Final = 0.5  # seconds between two looks for the family of a child that has ended
PAUSE: Final = 0.02  # seconds between two looks while stopping
HOLD_SECONDS: Final = 1.0  # for SIGSTOP to take effect
KILL_SECONDS: Final = 5.0  # SIGKILL takes effect at once, but for a process that hangs in the kernel
OUTPUT_KEPT: Final = 256 * 1024  # bytes of each output, for late and slower readers; the contract says so
MOST_CHILDREN: Final = 64  # that one agent has at once: each costs a thread and up to four descriptors


class Child:
    """A process started from a `SpawnSpec`. Shared by threads."""

    def __init__(self, spec: SpawnSpec, gone: Callable[["Child"], None]) -> None:
        self.spec = spec
        self.ended = threading.Event()  # set when the process has ended, reaped or not
        self.status: ExitStatus | None = None  # set before `ended`
        self._gone = gone  # called once it was reaped
        self._mutex = threading.Lock()  # held for signalling, and for reaping
        self._known: list[Seen] = []  # of its family, when it was last looked for
        self._reaped = threading.Event()
        self._hurry = threading.Event()  # set when the family was stopped: reap at once
        self._popen = _start(spec)
        self.pid = self._popen.pid
        self.handle = Handle(self.pid)
        self.name = f"process {self.pid} ({spec.argv[0][:60]})"  # for messages
        self.stdin, self.stdout, self.stderr = self._pipes()

    def watch(self) -> None:
        """Begin to wait for its end. To be called once."""
        thread = threading.Thread(target=self._watch, name=f"child-{self.pid}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self._popen.kill()
            self._watch()
            self.close()
            raise

    def _pipes(self) -> tuple[Input | None, Output | None, Output | None]:
        """The pipes there are, with the descriptors taken from the Popen object."""
        popen = self._popen
        fds = [None if file is None else os.dup(file.fileno()) for file in (popen.stdin, popen.stdout, popen.stderr)]
        for file in (popen.stdin, popen.stdout, popen.stderr):
            if file is not None:
                file.close()
        stdin, stdout, stderr = fds
        return (
            None if stdin is None else Input(stdin, f"stdin of {self.name}"),
            None if stdout is None else Output(stdout, OUTPUT_KEPT, f"stdout of {self.name}"),
            None if stderr is None else Output(stderr, OUTPUT_KEPT, f"stderr of {self.name}"),
        )

    @property
    def id(self) -> ProcessId:
        """Which process it is."""
        return ProcessId(pid=self.pid, started=self.handle.started)

    # --- its end -------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Wait for its end, and reap it once its family is gone too."""
        try:
            how = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:  # somebody else reaped it: SIGCHLD is ignored in this process
            how = None
        self.status = _status(how)
        self.ended.set()
        while how is not None and self.family() and not self._hurry.wait(LINGER):
            pass
        with self._mutex:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self._popen.returncode = 0  # any number: Popen must not wait for whoever has the pid from now on
            self._reaped.set()
        self._gone(self)

    def wait(self, timeout: float | None, check: Check) -> ExitStatus | None:
        """How it ended; None: it did not within ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = SLICE if deadline is None else min(SLICE, deadline - time.monotonic())
            if self.ended.wait(max(left, 0)):
                return self.status
            if left <= 0:
                return None
            check()

    # --- its family ----------------------------------------------------------------------------------------

    def family(self) -> list[Seen]:
        """What lives and descends from it, without itself."""
        with self._mutex:
            return self._find()

    def _find(self) -> list[Seen]:
        self._known = [] if self._reaped.is_set() else family(self.pid, self._known)
        return self._known

    def send(self, number: int) -> list[ProcessId]:
        """Signal it and its family; who was signalled, itself first. Empty: nothing of them lives."""
        with self._mutex:
            if self._reaped.is_set():
                return []
            others = self._find()
            reached = [] if self.ended.is_set() else [self.id]
            with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody lives in the group
                os.killpg(self.pid, number)  # at once, so that none forks away in between
            return reached + [_id(seen) for seen in others if seen.group == self.pid or send(seen, number)]

    def hold(self) -> bool:
        """Suspend it and its family, also what they start meanwhile. False: nothing of them lives."""
        held: set[ProcessId] = set()
        while not held.issuperset(reached := self.send(signal.SIGSTOP)):
            held.update(reached)
            stopped_within(HOLD_SECONDS, *(one.pid for one in reached))
        return bool(held)

    def stop(self, grace: float, check: Check | None = None) -> StopReport | None:
        """End it and its family; None: there was nothing left.

        If ``check`` raises, what lives was told to end all the same.
        """
        signalled = self.send(signal.SIGTERM)
        if not signalled:
            return None
        self.send(signal.SIGCONT)
        killed: list[ProcessId] = []
        if not self._left_within(grace, check):
            killed = self._kill()
        self._hurry.set()
        self._reaped.wait(KILL_SECONDS)
        signalled += [one for one in killed if one not in signalled]
        return StopReport(status=self.status or ExitStatus(), signalled=tuple(signalled), killed=tuple(killed))

    def _left_within(self, seconds: float, check: Check | None) -> bool:
        """Whether the whole family left by itself."""
        deadline = time.monotonic() + seconds
        while not self.ended.is_set() or self.family():
            if time.monotonic() >= deadline:
                return False
            if check is not None:
                check()
            self.ended.wait(PAUSE) if not self.ended.is_set() else time.sleep(PAUSE)
        return True

    def _kill(self) -> list[ProcessId]:
        self.hold()
        killed: dict[ProcessId, None] = {}
        deadline = time.monotonic() + KILL_SECONDS
        while reached := self.send(signal.SIGKILL):
            killed.update(dict.fromkeys(reached))
            if time.monotonic() > deadline:
                log.warning("%s: SIGKILL does not end %s", self.name, ", ".join(map(str, reached)))
                break
            time.sleep(PAUSE)
        return list(killed)

    def close(self, grace: float | None = None) -> None:
        """Stop what lives of it, by default with the grace it was started with, and let its pipes go."""
        self.stop(self.spec.grace if grace is None else grace)
        self._hurry.set()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        if self._reaped.wait(KILL_SECONDS):
            self.handle.close()

    def __repr__(self) -> str:
        return f"<Child {self.pid} {self.spec.argv[0]} {'running' if self.status is None else self.status.text}>"


class Children:
    """All children of one agent: how many they may be, and their end when the agent's comes."""

    def __init__(self, most: int = MOST_CHILDREN) -> None:
        self.most = most
        self._mutex = threading.Lock()
        self._living: set[Child] = set()  # not reaped yet
        self._starting = 0
        _ALL.add(self)

    def __len__(self) -> int:
        return len(self._living)

    def spawn(self, spec: SpawnSpec) -> Child:
        """Start a process.

        Raises:
            LimitExceeded: there are as many as there may be.
            FileNotFoundError, PermissionError, OSError: it cannot be started; the message says why.
        """
        with self._mutex:
            if len(self._living) + self._starting >= self.most:
                raise LimitExceeded(
                    f"this agent has {self.most} children already, as many as it may have; stop one, or close "
                    "its Process"
                )
            self._starting += 1
        try:
            child = Child(spec, self._gone)
            with self._mutex:
                self._living.add(child)
        finally:
            with self._mutex:
                self._starting -= 1
        child.watch()
        return child

    def _gone(self, child: Child) -> None:
        with self._mutex:
            self._living.discard(child)

    def close(self) -> None:
        """Stop them all, together: they share the longest of their grace times."""
        with self._mutex:
            living = list(self._living)
        for child in living:
            child.send(signal.SIGTERM)
            child.send(signal.SIGCONT)
        until = time.monotonic() + max((child.spec.grace for child in living), default=0)
        for child in living:
            child.close(max(until - time.monotonic(), 0))


def _start(spec: SpawnSpec) -> "subprocess.Popen[bytes]":
    ways = {"pipe": subprocess.PIPE, "null": subprocess.DEVNULL, "stdout": subprocess.STDOUT}
    program = spec.argv[0]
    if spec.cwd is not None and not spec.cwd.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"cannot start {program!r}: there is no directory {str(spec.cwd)!r}")
    if not program:  # looked for in PATH it would be a directory
        raise FileNotFoundError(errno.ENOENT, "cannot start '': there is no such program")
    try:
        return subprocess.Popen(  # noqa: S603  # to start what a client names is what this is for
            spec.argv,
            bufsize=0,
            stdin=ways[spec.stdin],
            stdout=ways[spec.stdout],
            stderr=ways[spec.stderr],
            cwd=spec.cwd,
            env={**(os.environ if spec.inherit_env else {}), **spec.env},
            start_new_session=True,
        )
    except OSError as error:
        reasons = {
            errno.ENOENT: "there is no such program" + ("" if "/" in program else " in PATH"),
            errno.EACCES: f"user {os.geteuid()} may not execute it, or not enter its directory",
            errno.ENOEXEC: "it is no program for this machine, nor a script with #! at its beginning",
        }
        reason = reasons.get(error.errno or 0, error.strerror)
        raise OSError(error.errno, f"cannot start {program!r}: {reason}") from None


def _id(seen: Seen) -> ProcessId:
    return ProcessId(pid=seen.pid, started=seen.started)


def _status(how: "os.waitid_result | None") -> ExitStatus:
    if how is None:
        return ExitStatus()
    if how.si_code == os.CLD_EXITED:
        return ExitStatus(code=how.si_status)
    return ExitStatus(signal=signal_name(how.si_status), dumped=how.si_code == os.CLD_DUMPED)


_ALL: Final[weakref.WeakSet[Children]] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for children in list(_ALL):
        children.close()
