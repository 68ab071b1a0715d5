"""Acting as the caller: by a helper process for each user, never by changing this one.

    as_users = rpcx.Impersonation(functions=[disk_usage])

    @rpcx.singleton("files", allow={"*"})
    class Files:
        def read(self, path: str) -> str:
            with as_users.caller().open(path) as file:  # the kernel judges by the caller's rights
                return file.read()

Credentials are a process's: changing them for one thread changes all. So a user's helper (`rpcx.helper`) is forked
by a process that waits for that (`rpcx.forkserver`), at the first use, and kept; the host asks it over a socket pair,
in rpcx. Who the caller is comes from the kernel's word at connect (``SO_PEERCRED``), or for a principal from the table
that the host was given; never from a message.
"""

import os
import secrets
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any, Final, ParamSpec, Self, TypeVar

from rpcx import context
from rpcx.abc import PeerFacts, Stream
from rpcx.channels.sockets import SocketStream
from rpcx.client import CONNECT_SECONDS, Server
from rpcx.drivers.waiting import SPIN_SECONDS
from rpcx.errors import AccessDenied, NotSent
from rpcx.forkserver import INSIDE, ForkServer
from rpcx.helper import Door, User, found, received
from rpcx.realm import FORMATTERS
from rpcx.security import audit
from rpcx.security.users import uid_of

P = ParamSpec("P")
R = TypeVar("R")

MOST: Final = 16  # helpers at once
IDLE: Final = 300.0  # seconds
FLAGS: Final = {
    "r": os.O_RDONLY,
    "r+": os.O_RDWR,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}


class Impersonation:
    """Helpers, one for each user that calls. Close it with the host: ``with as_users, host:``.

    Args:
        functions: what helpers may run, besides opening files: functions of modules.
        users: principal → user, by name or number, for callers whom a key proves (``tcp://``).
        allow_root: act as root too, for callers that are root.
        most: helpers at once; the one that was idle longest makes room.
        idle: seconds after which an unused helper ends.

    Raises:
        ValueError: a function cannot be found again by module and name, or a bound makes no sense.
        OSError: the process that makes helpers cannot be started.
    """

    def __init__(
        self,
        functions: Iterable[Callable[..., Any]] = (),
        *,
        users: Mapping[str, str | int] | None = None,
        allow_root: bool = False,
        most: int = MOST,
        idle: float = IDLE,
    ) -> None:
        if most < 1 or not idle > 0:
            raise ValueError(f"most={most}, idle={idle}: both are above 0")
        self._names = {function: _name(function) for function in functions}
        self._users = {principal: uid_of(user) for principal, user in (users or {}).items()}
        self._allow_root = allow_root
        self._most = most
        self._idle = idle
        self._mutex = threading.Lock()
        self._helpers: OrderedDict[int, Helper] = OrderedDict()  # by uid; the one used last is the last
        self._closing = threading.Event()
        self._sweeper: threading.Thread | None = None  # made with the first helper
        self._forks = ForkServer(list(self._names.values()))
        if os.name == "posix" and os.geteuid() == 0 and not INSIDE.is_set():
            self._forks.begin()  # to be ready before the first caller; who is not root may never need it

    def caller(self) -> "Caller":
        """The caller of the method that runs now.

        Raises:
            LookupError: no remote method runs.
            AccessDenied: the caller is no user of this machine, is root, or this host may not act as others.
        """
        peer: PeerFacts = context.peer
        uid = self._uid(peer)
        if uid == 0 and not self._allow_root:
            raise AccessDenied(f"{peer}: root is not acted for; Impersonation(allow_root=True) would")
        if os.geteuid() not in (0, uid):
            raise AccessDenied(f"{peer}: this host runs as user {os.geteuid()} and cannot act as user {uid}; root can")
        return Caller(self, _user(uid), peer)

    def close(self) -> None:
        """End all helpers; what they do is cut off. Twice is fine."""
        self._closing.set()
        with self._mutex:
            helpers = list(self._helpers.values())
            self._helpers.clear()
        for helper in helpers:
            helper.close()
        self._forks.close()
        if self._sweeper is not None:
            self._sweeper.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _uid(self, peer: PeerFacts) -> int:
        if os.name != "posix":
            raise AccessDenied("acting as the caller needs POSIX users; Windows is not supported yet")
        if peer.channel in ("pipe", "inproc") and peer.uid is not None:
            return peer.uid
        uid = None if peer.principal is None else self._users.get(peer.principal)
        if uid is None:
            raise AccessDenied(
                f"{peer}: {peer.principal or 'nobody known'} is no user of this machine; "
                "Impersonation(users={principal: user}) says which one it stands for"
            )
        return uid

    def _use(self, user: User, work: "Callable[[Helper], R]") -> R:
        """Do ``work`` with a helper; once more with another if the first was gone before it was asked."""
        for last in (False, True):
            helper = self._helper(user)
            try:
                return work(helper)
            except NotSent:
                if last or not helper.gone:
                    raise
            finally:
                with self._mutex:
                    helper.users -= 1
                    helper.used = time.monotonic()
        raise AssertionError("not reached")

    def _helper(self, user: User) -> "Helper":
        with self._mutex:
            if self._closing.is_set():
                raise NotSent("this Impersonation is closed")
            helper = self._helpers.pop(user.uid, None)
            if helper is not None and (helper.gone or helper.user != user):
                helper.close()
                helper = None
            if helper is None:
                self._make_room()
                helper = Helper(user, self._forks)
            self._helpers[user.uid] = helper
            helper.users += 1
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep, name="rpcx-helpers", daemon=True)
                self._sweeper.start()
            return helper

    def _make_room(self) -> None:
        while len(self._helpers) >= self._most:
            uid = next((uid for uid, helper in self._helpers.items() if not helper.users), None)
            if uid is None:
                raise NotSent(f"all {self._most} helpers are busy; Impersonation(most=...) allows more")
            self._helpers.pop(uid).close()

    def _sweep(self) -> None:
        while not self._closing.wait(self._idle / 4):
            now = time.monotonic()
            with self._mutex:
                old = [h for h in self._helpers.values() if not h.users and now - h.used > self._idle]
                for helper in old:
                    del self._helpers[helper.user.uid]
            for helper in old:
                helper.close()


class Caller:
    """A door to the helper of one user."""

    def __init__(self, owner: Impersonation, user: User, peer: PeerFacts) -> None:
        self._owner = owner
        self._peer = peer
        self.user = user

    def open(self, path: str | os.PathLike[str], mode: str = "r", *, encoding: str | None = None) -> IO[Any]:
        """A file, opened by the user; ``path`` is absolute. Blocks, as the built-in `open` does.

        Raises:
            ValueError: the path is relative, or the mode is none.
            OSError: the user may not, or there is no such file.
            NotSent: there can be no helper.
        """
        name = os.fspath(path)
        flags = FLAGS.get(mode.replace("b", "").replace("t", ""))
        if flags is None or not os.path.isabs(name):  # noqa: PTH117  # it is a text already
            raise ValueError(
                f"open({name!r}, {mode!r}): an absolute path, and one of {', '.join(FLAGS)}, with b or not"
            )
        audit.event("impersonate", peer=self._peer, method="open", result=f"user {self.user.uid}")
        descriptor = self._owner._use(self.user, lambda helper: helper.open(name, flags))
        return open(descriptor, mode.replace("x", "w"), encoding=encoding)  # noqa: PTH123  # the caller closes it

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call one of the host's ``functions`` in the helper; arguments and result travel by value.

        Raises:
            LookupError: the function is not in the list.
            MaybeExecuted: the helper died meanwhile; the next use makes another.
        """
        name = self._owner._names.get(function)
        if name is None:
            raise LookupError(f"{function!r} is not in Impersonation(functions=[...])")
        audit.event("impersonate", peer=self._peer, method=name, result=f"user {self.user.uid}")
        result: Any = self._owner._use(self.user, lambda helper: helper.door.call(name, list(args), kwargs))
        return result  # type: ignore[no-any-return]  # what the function returned, by value


class Helper:
    """One helper process, from the host's side."""

    def __init__(self, user: User, forks: ForkServer) -> None:
        self.user = user
        self.users = 0  # calls under way
        self.used = time.monotonic()
        near, far = socket.socketpair()
        self._files, files = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._files.settimeout(CONNECT_SECONDS)
        self._opening = threading.Lock()  # one descriptor at a time is on its way
        try:
            self._process = forks.fork(user, far, files)
        except BaseException:
            near.close()
            self._files.close()
            raise
        finally:
            far.close()
            files.close()
        try:
            self._server = _HelperServer(near, user, self._process.pid)
        except BaseException:
            near.close()
            self._end()
            raise
        self.door: Door = self._server.get(Door)

    @property
    def gone(self) -> bool:
        """Whether the process ended."""
        return self._process.gone or self._server.dialled > 1

    def open(self, path: str, flags: int) -> int:
        """A descriptor of ``path``, as the user opened it."""
        token = secrets.token_bytes(8)
        with self._opening:
            self.door.open(path, flags, 0o666, token)
            while True:
                said, descriptors = received(self._files, 8, 1)
                if said == token and descriptors:
                    return descriptors[0]
                for each in descriptors:  # of a call that was given up
                    os.close(each)
                if not said:
                    raise NotSent("the helper is gone")

    def close(self) -> None:
        self._server.close()
        self._end()

    def _end(self) -> None:
        self._files.close()
        self._process.end()


class _HelperServer(Server):
    """The connection to a helper: made once, never again."""

    def __init__(self, near: socket.socket, user: User, pid: int) -> None:
        self._near = near
        self._facts = PeerFacts("helper", f"user {user.uid}", pid, user.uid, user.gid, owner=True)
        self.dialled = 0
        super().__init__(
            f"inproc://user-{user.uid}", spin=SPIN_SECONDS, insecure=False, timeout=CONNECT_SECONDS,
            formatters=FORMATTERS, sinks=(), limits=None,
        )  # fmt: skip

    def _reach(self) -> tuple[Any, Stream]:  # a Channel
        self.dialled += 1
        if self.dialled > 1:
            raise NotSent(f"the helper of {self._facts.address} is gone")
        return self, SocketStream(self._near, self._facts)


def _user(uid: int) -> User:
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise AccessDenied(f"this machine's user database does not know user {uid}, so not its groups") from None
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return User(uid, entry.pw_gid, tuple(sorted(groups)), entry.pw_name, entry.pw_dir)


def _name(function: Callable[..., Any]) -> str:
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    try:
        same = not name.startswith("__main__:") and found(name) is function
    except (ImportError, AttributeError, ValueError):
        same = False
    if not same:
        raise ValueError(
            f"{function!r}: a helper cannot find it; define it at the top of a module that can be imported"
        )
    return name
