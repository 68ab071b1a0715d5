"""The process that acts as one user: ``Impersonation`` starts it, and it ends when that closes or dies.

It is a fresh interpreter and no fork of the host: it has none of the host's threads, memory or open files. As root it
imports what the host's own code listed; then it becomes the user for good, checks that, and only then answers. It
serves one connection, a socket pair, and leaves at its end. Descriptors go back over a second pair (``SCM_RIGHTS``).
"""

import ctypes
import importlib
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from rpcx.abc import PeerFacts
from rpcx.channels.sockets import SocketStream
from rpcx.host import Host
from rpcx.remoting.decorators import method, singleton

NO_NEW_PRIVILEGES: Final = 38  # PR_SET_NO_NEW_PRIVS


@singleton("door", blocking=True)
class Door:
    """What a helper does for its host."""

    def __init__(
        self, files: socket.socket | None = None, functions: dict[str, Callable[..., Any]] | None = None
    ) -> None:
        self._files = files
        self._functions = functions or {}

    @method(blocking=True)
    def open(self, path: str, flags: int, mode: int, token: bytes) -> None:
        """Open a file and send its descriptor, with ``token``, over the second socket."""
        assert self._files is not None
        descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
        try:
            socket.send_fds(self._files, [token], [descriptor])
        finally:
            os.close(descriptor)

    @method(blocking=True)
    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:  # whatever the function takes and gives
        """Call one of the functions that the host listed."""
        function = self._functions.get(name)
        if function is None:
            raise LookupError(f"{name} is not among the functions of this helper")
        return function(*args, **kwargs)


def become(uid: int, gid: int, groups: list[int]) -> None:
    """Be this user for good. Raises PermissionError: it did not come true."""
    if os.geteuid() != uid:  # a host without privilege has a helper of its own user only
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if set(os.getgroups()) != set(groups) or os.getresgid() != (gid, gid, gid):
            raise PermissionError(f"the groups of user {uid} could not be taken on")
    if os.getresuid() != (uid, uid, uid):
        raise PermissionError(f"user {uid} could not be taken on")
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise PermissionError(f"no_new_privs: {os.strerror(ctypes.get_errno())}")


def found(name: str) -> Callable[..., Any]:
    """The function that ``module:function`` names."""
    module, _, qualname = name.partition(":")
    value: Any = importlib.import_module(module)  # named by the host's own code
    for part in qualname.split("."):
        value = getattr(value, part)
    return value  # type: ignore[no-any-return]  # checked by the host when it listed it


def main() -> None:
    """Run until the host is gone."""
    from rpcx.client import connect

    said = json.loads(sys.argv[1])
    sys.path[:] = said["path"]
    os.umask(0o077)
    calls, files = (socket.socket(fileno=number) for number in said["sockets"])
    door = Door(files, {name: found(name) for name in said["functions"]})
    with Host() as warm:  # what is imported late is imported while this process may read it
        warm.publish(Door(functions={"len": len}), "door")
        with connect(warm.listen("inproc://warm")) as server:
            server.get(Door).call("len", [[]], {})
    become(said["uid"], said["gid"], said["groups"])
    host = Host(spin=0)
    host.publish(door, "door")
    with host:
        end = host._realm.endpoint()
        ended = end._on_close

        def gone(endpoint: Any, error: Exception | None) -> None:  # an Endpoint
            if ended is not None:
                ended(endpoint, error)
            host.stop()

        end._on_close = gone
        host._join(SocketStream(calls, PeerFacts("helper", f"user {said['uid']}", os.getppid(), owner=True)), end)
        host.wait()
    os._exit(0)  # a function that does not return keeps nothing alive
