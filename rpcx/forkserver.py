"""The fork server: a process that is prepared once, so that a helper is a fork of it and there in milliseconds.

    host ── whom, two sockets ──▶ helper, ready and nobody's yet: becomes the user, then serves the sockets
         ◀── its pid, a pidfd ─── fork server, its parent: forks the next one

1. It is a fresh interpreter and no fork of the host: it has none of its threads, memory, keys or open files. It has
   imported what helpers need, has one thread, and does nothing but fork. Its standard input is the socket to the host.
2. One helper is forked ahead. It waits at that socket, reads the host's next message and leaves it there, closes the
   socket, is that user from then on (`rpcx.helper`) and reports so to its parent, which removes the message. So a
   helper that dies meanwhile takes nobody's message with it. Nobody but the host says who a helper is to be.
3. Forks are good only of a process with one thread and no files of its own. If a listed function's module starts
   threads or keeps files open, the fork server begins again without it, and each helper imports it for itself.
4. It ends when the host is gone, and all helpers with it. If it is killed, the kernel ends its helpers.
"""

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NoReturn

from rpcx.client import CONNECT_SECONDS
from rpcx.errors import NotSent
from rpcx.helper import Door, User, become, found, prctl, received, run, serving, warm

PROGRAM: Final = (  # finds what the host finds, where the host finds it
    "import json, sys; said = json.loads(sys.argv[1]); sys.path[:] = said['path']\n"
    "from rpcx.forkserver import main; main(**said)"
)
INSIDE: Final = threading.Event()  # set in a fork server and its helpers: modules imported there begin no other
MOST_BYTES: Final = 1 << 18  # of a message: a user of 30,000 groups
PARENT_DIED: Final = 1  # PR_SET_PDEATHSIG
END_SECONDS: Final = 1.0  # for a process to end by itself before it is killed
ASKED: Final = "asked\n"  # what a helper reports when the host asked for it
BREATH_SECONDS: Final = 0.02  # for a helper to begin before the next is made, unless that is asked for already
BORN: Final = "born"  # … and when it is the user; anything else is why not
SETTLE_SECONDS: Final = 0.1  # for a thread that was joined to be gone for the kernel too

Functions = dict[str, Callable[..., Any]]

# --- the host's side ----------------------------------------------------------------------------------------


class Process:
    """A helper's process as its host has it: by a pidfd, which is never another's, as a number may come to be.

    Where the system has none, ``gone`` is what the helper's connection tells, and it ends with its sockets.
    """

    def __init__(self, pid: int, descriptor: int | None) -> None:
        self.pid = pid
        self._descriptor = descriptor  # None where there is none, and after `end`
        self._over = False  # `end` was called
        self._made_in = os.getpid()

    @property
    def gone(self) -> bool:
        """Whether it ended."""
        return self._over or (self._descriptor is not None and readable(self._descriptor, 0))

    def end(self) -> None:
        """Let it end by itself, as it does without its sockets, or kill it. Twice is fine."""
        self._over = True
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if self._made_in == os.getpid() and not readable(descriptor, END_SECONDS):  # a fork of the host ends nobody's
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            readable(descriptor, END_SECONDS)
        os.close(descriptor)


class ForkServer:
    """The fork server from the host's side. One caller at a time."""

    def __init__(self, functions: list[str]) -> None:
        self._functions = functions
        self._process: subprocess.Popen[bytes] | None = None  # set while there is one
        self._control: socket.socket | None = None
        self._made_in = 0  # the process that has it for a child

    def begin(self) -> None:
        """Start it unless it runs, and do not wait until it is ready.

        Raises:
            OSError: no process can be started.
        """
        if self._process is not None and self._made_in == os.getpid() and self._process.poll() is None:
            return
        self.close()
        path = [os.path.abspath(each) for each in sys.path]  # noqa: PTH100  # of texts
        said = {"path": path, "functions": self._functions, "late": []}
        control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.settimeout(CONNECT_SECONDS)
        with far:
            try:
                self._process = subprocess.Popen(  # noqa: S603  # our own program
                    [sys.executable, "-I", "-c", PROGRAM, json.dumps(said)],
                    stdin=far.fileno(), stdout=subprocess.DEVNULL, cwd="/", start_new_session=True,
                    env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                )  # fmt: skip
            except BaseException:
                control.close()
                raise
        self._control, self._made_in = control, os.getpid()

    def fork(self, user: User, *sockets: socket.socket) -> Process:
        """A helper for ``user`` that serves the far ends of ``sockets``; with another fork server if this one died.

        Raises:
            NotSent: there can be none; the message says why.
        """
        for last in (False, True):
            try:
                self.begin()
                return self._fork(user, sockets)
            except NotSent:  # a ConnectionError: there is a fork server, which said why
                raise
            except TimeoutError:
                self.close()  # an answer that came late would be taken for the next one's
                raise NotSent(f"no helper for user {user.uid} within {CONNECT_SECONDS:g} s") from None
            except ConnectionError as error:
                self.close()
                if last:
                    raise NotSent(f"no helper for user {user.uid}: {error}") from error
            except OSError as error:
                raise NotSent(f"no helper for user {user.uid}: {error}") from error
        raise AssertionError("not reached")

    def _fork(self, user: User, sockets: tuple[socket.socket, ...]) -> Process:
        assert self._control is not None
        socket.send_fds(self._control, [json.dumps(asdict(user)).encode()], [each.fileno() for each in sockets])
        data, descriptors = received(self._control, MOST_BYTES, 1)
        if not data:
            raise ConnectionResetError("the process that makes helpers died; its standard error says why")
        answer = json.loads(data)
        if "error" in answer:
            raise NotSent(f"no helper for user {user.uid}: {answer['error']}")
        return Process(answer["pid"], descriptors[0] if descriptors else None)

    def close(self) -> None:
        """End it, and what helpers it has. Twice is fine."""
        process, self._process = self._process, None
        if process is None or self._control is None:
            return
        self._control.close()
        if self._made_in != os.getpid():
            return
        process.terminate()  # it may not listen yet
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def readable(descriptor: int, seconds: float) -> bool:
    """Whether there is something to read within ``seconds``; of a pidfd, whether the process ended."""
    watch = select.poll()
    watch.register(descriptor, select.POLLIN)
    return bool(watch.poll(seconds * 1000))


# --- the process itself -------------------------------------------------------------------------------------


def main(path: list[str], functions: list[str], late: list[str]) -> None:
    """Fork helpers until the host is gone; ``functions`` are imported now, ``late`` ones by each helper."""
    INSIDE.set()
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the host's may have been any
    warm()
    ready = imported(functions)
    if functions and not bare():
        said = {"path": path, "functions": [], "late": functions}
        os.execv(sys.executable, [*sys.orig_argv[:-1], json.dumps(said)])  # noqa: S606  # this program again
    gc.collect()
    gc.freeze()  # what is there is not looked through again, so helpers share it untouched
    Forks(socket.socket(fileno=0), ready, late).serve()


def imported(names: list[str]) -> Functions:
    """The functions of these names."""
    return {name: found(name) for name in names}


def bare() -> bool:
    """Whether this process has one thread, and no files but the standard ones."""
    until = time.monotonic() + SETTLE_SECONDS
    while sys.platform == "linux" and len(list(Path("/proc/self/task").iterdir())) > 1:
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    listed = [int(each.name) for each in Path("/dev/fd").iterdir()]
    return threading.active_count() == 1 and not any(each > 2 and _is_open(each) for each in listed)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False  # the listing's own
    return True


class Forks:
    """What the fork server does: a helper is always ready, made before it is asked for, and nobody's yet."""

    def __init__(self, control: socket.socket, functions: Functions, late: list[str]) -> None:
        self._control = control
        self._functions = functions
        self._late = late  # names of functions that each helper imports for itself
        self._helpers: set[int] = set()  # pids that were not waited for yet, so that they are nobody else's
        self._pid = os.getpid()

    def serve(self) -> None:
        """Make helpers until the host is gone; then end all."""
        signal.signal(signal.SIGCHLD, self._reap)
        signal.signal(signal.SIGTERM, lambda *_: self._control.shutdown(socket.SHUT_RDWR))  # as if the host were gone
        try:
            while (why := self._helper()) is None or self._asked():
                if why is not None and (again := self._helper()) is not None:
                    self._control.recv(MOST_BYTES)
                    self._answer({"error": again}, None)
        except OSError:
            pass  # the host is gone
        finally:
            with signals_later():
                for pid in self._helpers:
                    os.kill(pid, signal.SIGKILL)
                for pid in self._helpers:
                    os.waitpid(pid, 0)

    def _asked(self) -> bool:
        """Wait for the host to ask. False: it is gone."""
        return bool(self._control.recv(1, socket.MSG_PEEK))

    def _helper(self) -> str | None:
        """One helper, from the fork until it is somebody and the host was told. Why not, if it ended before that."""
        try:
            pid, descriptor, reading = self._forked()
        except OSError as error:
            return told(error)
        try:
            before, asked, outcome = self._reported(reading).partition(ASKED)
            if not asked:
                return before or "it died before it was asked for"
            self._control.recv(MOST_BYTES)  # what it read; the helper has its sockets
            if outcome == BORN:
                self._answer({"pid": pid}, descriptor)
            else:
                self._answer({"error": outcome or "it died before it was the user"}, None)
        finally:
            os.close(reading)
            if descriptor is not None:
                os.close(descriptor)
        return None

    def _reported(self, reading: int) -> str:
        """All that a helper reports. Raises ConnectionResetError: the host is gone before that."""
        watch = select.poll()
        watch.register(reading, select.POLLIN)
        watch.register(self._control, 0)  # its end only: what the host says is for the helper
        said = b""
        while True:
            if any(ready == self._control.fileno() for ready, _ in watch.poll()):
                raise ConnectionResetError("the host is gone")
            part = os.read(reading, MOST_BYTES)
            if not part:
                return said.decode(errors="replace")
            said += part

    def _answer(self, answer: dict[str, object], descriptor: int | None) -> None:
        sent = json.dumps(answer).encode()
        if descriptor is None:
            self._control.send(sent)
        else:
            socket.send_fds(self._control, [sent], [descriptor])
        readable(self._control.fileno(), BREATH_SECONDS)

    def _forked(self) -> tuple[int, int | None, int]:
        """A new process: its pid, its pidfd, and where it reports. Raises OSError: there can be none."""
        reading, writing = os.pipe()
        with signals_later():
            try:
                pid = os.fork()
            except OSError:
                os.close(reading)
                os.close(writing)
                raise
            if pid == 0:
                self._live(writing)
            self._helpers.add(pid)
            descriptor = pidfd(pid)
        os.close(writing)
        return pid, descriptor, reading

    def _live(self, report: int) -> NoReturn:
        """The helper's life: get ready, wait to be asked for, become the user, serve."""
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.setsid()
            prctl(PARENT_DIED, signal.SIGKILL)
            os.closerange(3, report)
            os.closerange(report + 1, os.sysconf("SC_OPEN_MAX"))
            door = Door(functions=self._functions | imported(self._late))
            host = serving(door)
            user, calls, door.files = self._wait(report)
            become(user)
            prctl(PARENT_DIED, signal.SIGKILL)  # it ended with what this process was
            if os.getppid() != self._pid:
                os._exit(1)
            os.write(report, BORN.encode())
            os.close(report)
        except BaseException as error:  # noqa: BLE001  # this process ends here, whatever it is
            os.write(report, told(error).encode())
            os._exit(1)
        try:
            run(host, calls, user)
        except BaseException as error:  # noqa: BLE001  # nothing of it goes on in the fork server's own code
            sys.excepthook(type(error), error, error.__traceback__)
        os._exit(1)

    def _wait(self, report: int) -> tuple[User, socket.socket, socket.socket]:
        """Whom to become, and the sockets to serve. From here on the host's words go to others.

        The message stays where it is: whoever takes it may be killed before it can say so, and then nobody knows.
        """
        data, descriptors = received(self._control, MOST_BYTES, 2, socket.MSG_PEEK)
        if not data:
            os._exit(0)  # the host is gone
        os.write(report, ASKED.encode())
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, self._control.detach())
        os.close(null)
        calls, files = (socket.socket(fileno=each) for each in descriptors)
        said = json.loads(data)
        return User(**{**said, "groups": tuple(said["groups"])}), calls, files

    def _reap(self, *_: object) -> None:
        try:
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._helpers.discard(pid)
        except ChildProcessError:
            pass  # there is none


@contextmanager
def signals_later() -> Iterator[None]:
    """Take signals later: who ends meanwhile is not reaped, so that its pid stays its own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})


def pidfd(pid: int) -> int | None:
    """A descriptor of this process; None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # Linux before 5.3, or not Linux
        return None


def told(error: BaseException) -> str:
    """An error in a line that fits into any pipe or message."""
    return f"{type(error).__name__}: {error}"[:1000]
