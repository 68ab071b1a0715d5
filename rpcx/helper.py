"""The process that acts as one user: `rpcx.forkserver` makes it, and it ends when its host closes or dies.

It becomes the user for good, checks that, and only then answers. It serves one connection, a socket pair, and leaves
at its end. Descriptors go back over a second pair (``SCM_RIGHTS``).
"""

import array
import ctypes
import importlib
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from rpcx.abc import PeerFacts
from rpcx.channels.sockets import SocketStream
from rpcx.host import Host
from rpcx.remoting.decorators import method, singleton

NO_NEW_PRIVILEGES: Final = 38  # PR_SET_NO_NEW_PRIVS
LIBC: Final = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None


@dataclass(frozen=True, slots=True)
class User:
    """Whom a helper is to be."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str


@singleton("door", blocking=True)
class Door:
    """What a helper does for its host."""

    def __init__(self, functions: dict[str, Callable[..., Any]] | None = None) -> None:
        self.files: socket.socket | None = None  # where descriptors go; set when it is known whose
        self._functions = functions or {}

    @method(blocking=True)
    def open(self, path: str, flags: int, mode: int, token: bytes) -> None:
        """Open a file and send its descriptor, with ``token``, over the second socket."""
        assert self.files is not None
        descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
        try:
            socket.send_fds(self.files, [token], [descriptor])
        finally:
            os.close(descriptor)

    @method(blocking=True)
    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:  # whatever the function takes and gives
        """Call one of the functions that the host listed."""
        function = self._functions.get(name)
        if function is None:
            raise LookupError(f"{name} is not among the functions of this helper")
        return function(*args, **kwargs)


def become(user: User) -> None:
    """Be this user for good. Raises PermissionError: it did not come true."""
    if os.geteuid() != user.uid:  # a host without privilege has a helper of its own user only
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        if set(os.getgroups()) != set(user.groups) or os.getresgid() != (user.gid,) * 3:
            raise PermissionError(f"the groups of user {user.uid} could not be taken on")
        _no_way_back()
    if os.getresuid() != (user.uid,) * 3:
        raise PermissionError(f"user {user.uid} could not be taken on")
    prctl(NO_NEW_PRIVILEGES, 1)
    os.environ.update(HOME=user.home, USER=user.name, LOGNAME=user.name)


def _no_way_back() -> None:
    """Ask the kernel whether root can be had again: not so unless a capability outlived it."""
    for again in (os.setresuid, os.setresgid):
        try:
            again(0, 0, 0)
        except PermissionError:
            continue
        raise PermissionError("root was given up and could be had again; see the host's securebits")


def received(source: socket.socket, most_bytes: int, most: int, flags: int = 0) -> tuple[bytes, list[int]]:
    """The next message, and the descriptors that came with it, which no program that is started inherits (PEP 446).

    `socket.recv_fds` does not hand its ``flags`` on (python/cpython#107898): its descriptors would be inherited.
    """
    descriptors = array.array("i")
    data, ancillary, _, _ = source.recvmsg(
        most_bytes, socket.CMSG_LEN(most * descriptors.itemsize), flags | socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, list(descriptors)


def prctl(option: int, value: int) -> None:
    """Tell Linux something about this process; other systems know no such thing. Raises PermissionError."""
    if LIBC is not None and sys.platform == "linux" and LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise PermissionError(f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def found(name: str) -> Callable[..., Any]:
    """The function that ``module:function`` names."""
    module, _, qualname = name.partition(":")
    value: Any = importlib.import_module(module)  # named by the host's own code
    for part in qualname.split("."):
        value = getattr(value, part)
    return value  # type: ignore[no-any-return]  # checked by the host when it listed it


def warm() -> None:
    """Do once what helpers do, so that what is imported late is there: before a fork, and as long as it may be read."""
    from rpcx.client import connect

    with Host() as host:
        host.publish(Door(functions={"len": len}), "door")
        with connect(host.listen("inproc://warm")) as server:
            server.get(Door).call("len", [[]], {})


def serving(door: Door) -> Host:
    """What will serve ``door``; it has neither threads nor files yet."""
    host = Host(spin=0)
    host.publish(door, "door")
    return host


def run(host: Host, calls: socket.socket, user: User) -> NoReturn:
    """Serve over ``calls`` until their other end is gone; the process ends then."""
    with host:
        end = host._realm.endpoint()
        ended = end._on_close

        def gone(endpoint: Any, error: Exception | None) -> None:  # an Endpoint
            if ended is not None:
                ended(endpoint, error)
            host.stop()

        end._on_close = gone
        host._join(SocketStream(calls, PeerFacts("helper", f"user {user.uid}", os.getppid(), owner=True)), end)
        host.wait()
    os._exit(0)  # a function that does not return keeps nothing alive
