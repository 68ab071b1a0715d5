"""``pipe://name``: a named pipe between processes of one user on one machine.

On POSIX it is a Unix domain socket in a private directory:

- the directory is ours, 0700 and no symbolic link, or it is refused;
- the socket is made under another name, given mode 0600, and only then renamed into place, so that it never
  exists with a wider mode;
- ``name.lock`` is locked (flock) while a host listens. A socket whose lock is free is stale, left by a host that
  was killed, and is replaced; a live host's is never stolen;
- both ends ask the kernel who the other is, and refuse another user. Root is not implied.

Other users come in only where `PipeChannel.listen_for` names them; such pipes live elsewhere (`rpcx.channels.shared`).

Windows has named pipes of its own; until they can be tested there, the channel says so.
"""

import errno
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from rpcx.abc import Address, PeerFacts
from rpcx.channels.shared import Guests, found_socket, made_directory
from rpcx.channels.sockets import BACKLOG, SocketListener, SocketStream, credentials
from rpcx.errors import AccessDenied, NotSent
from rpcx.security.files import directory_problem
from rpcx.security.users import gid_of, groups_of, uid_of

DIRECTORY: Final = "RPCX_RUNTIME_DIR"  # environment: where the pipes are; the same rules hold for it
NO_GUESTS: Final = Guests()  # the default: this user alone
LONGEST_PATH: Final = 100  # bytes; sun_path has 104 to 108, and a temporary name is a little longer


class PipeChannel:
    """``pipe://name``."""

    name = "pipe"

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> SocketStream:  # the seam's
        """Reach the host that listens as ``name``; refuse one that runs as another user."""
        path, uid = _found(address)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(str(path))
            facts = _facts(sock, address.location, Guests(frozenset({uid})))
            if facts.uid not in (uid, None):
                raise AccessDenied(f"{facts.address}: the host runs as user {facts.uid}, not {uid}")
            return SocketStream(sock, facts)
        except AccessDenied:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            why = "no host listens there" if error.errno in (errno.ENOENT, errno.ECONNREFUSED) else error.strerror
            raise NotSent(f"pipe://{address.location}: {why} ({path}). Is the host running, as this user?") from error

    def listen(self, address: Address, *, insecure: bool = False) -> SocketListener:  # the seam's
        """Take the name: lock it, replace a stale socket, never a live one."""
        return _listening(_path(address.location), address.location, NO_GUESTS)

    def listen_for(self, address: Address, uids: Collection[int | str], gids: Collection[int | str]) -> SocketListener:
        """The same for other users as well: those of ``uids``, and members of ``gids``; numbers or names.

        Raises:
            ValueError: this machine does not know one of them.
        """
        guests = Guests(frozenset(map(uid_of, uids)), frozenset(map(gid_of, gids)))
        return _listening(_path(address.location, made_directory), address.location, guests)


class _PipeListener(SocketListener):
    """Holds the name's lock, and takes the socket away when it closes."""

    def __init__(self, sock: socket.socket, path: Path, lock: int, name: str, guests: Guests) -> None:
        url = f"pipe://{name}" if guests is NO_GUESTS else f"pipe://{name}?user={os.getuid()}"
        super().__init__([sock], url, lambda peer, _: _facts(peer, name, guests))
        self._path = path
        self._inode = path.stat().st_ino
        self._lock: int | None = lock

    def close(self) -> None:
        super().close()
        if self._lock is None:
            return
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()  # while the lock is held: no successor can have put its own there
        except FileNotFoundError:
            pass  # somebody tidied up
        # The lock's file stays: were it removed, two hosts could hold locks on two files of one name.
        os.close(self._lock)
        self._lock = None


def _listening(path: Path, name: str, guests: Guests) -> _PipeListener:
    lock = _lock(path.with_name(path.name + ".lock"), name)
    try:
        sock = _placed(path, guests)
    except BaseException:
        os.close(lock)
        raise
    return _PipeListener(sock, path, lock, name, guests)


def runtime_directory() -> Path:
    """The private directory of this user's pipes, made if need be.

    ``$RPCX_RUNTIME_DIR``, else ``rpcx`` in ``$XDG_RUNTIME_DIR`` or ``/run/user/UID``, else ``rpcx-UID`` in the
    directory for temporary files.

    Raises:
        AccessDenied: it is not private; the message says what is wrong with it.
    """
    directory = runtime_path()
    try:
        directory.mkdir(mode=0o700, parents=DIRECTORY in os.environ)
    except FileExistsError:
        pass  # made before; looked at below
    problem = directory_problem(directory)
    if problem:
        raise AccessDenied(f"{directory} is not safe for pipes: {problem}; repair or remove it, or set {DIRECTORY}")
    return directory


def runtime_path() -> Path:
    """Where `runtime_directory` is, or would be."""
    uid = os.getuid()
    given = os.environ.get(DIRECTORY)
    if given:
        return Path(given)
    session = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}")
    return session / "rpcx" if _is_private(session) else Path(tempfile.gettempdir()) / f"rpcx-{uid}"


def _is_private(directory: Path) -> bool:
    try:
        return directory_problem(directory) == ""
    except OSError:
        return False


def _found(address: Address) -> tuple[Path, int]:
    """Where the host is that ``address`` means, and as which user it must run."""
    user = address.params.get("user")
    if user is None:
        return _path(address.location), os.geteuid()
    uid = uid_of(user)
    return _path(address.location, lambda: found_socket(address.location, uid).parent), uid


def _path(name: str, directory: Callable[[], Path] | None = None) -> Path:
    if not hasattr(socket, "AF_UNIX") or os.name == "nt":
        raise AccessDenied(
            f"pipe://{name}: named pipes are not supported on Windows yet; use tcp://localhost:PORT with insecure=True"
        )
    path = (directory or runtime_directory)() / name
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError(
            f"{path} is too long for a socket: {LONGEST_PATH} bytes at most; set {DIRECTORY} to a shorter one"
        )
    return path


def _lock(path: Path, name: str) -> int:
    """The lock of a name, held; its file tells who holds it."""
    import fcntl

    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        text = f"pipe://{name}: process {owner} listens there; end it, or choose another name"
        raise OSError(errno.EADDRINUSE, text) from None
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _placed(path: Path, guests: Guests) -> socket.socket:
    """A listening socket at ``path``. The lock is held, so what is there should be stale; it is tried."""
    _check_stale(path)
    making = path.with_name(f".{secrets.token_hex(3)}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(making))
        if guests is NO_GUESTS:
            making.chmod(0o600)
        else:
            guests.open(making)
        sock.listen(BACKLOG)
        making.rename(path)
    except BaseException:
        sock.close()
        making.unlink(missing_ok=True)
        raise
    return sock


def _check_stale(path: Path) -> None:
    """Raises OSError: something answers at ``path``, or it is no socket; neither is ours to remove."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(errno.EEXIST, f"{path} is no socket; remove it, or choose another name")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as error:
            raise OSError(error.errno, f"{path}: it cannot be told who listens there: {error.strerror}") from error
    raise OSError(
        errno.EADDRINUSE, f"{path}: a program that holds no lock listens there; end it, or choose another name"
    )


def _facts(sock: socket.socket, name: str, guests: Guests) -> PeerFacts:
    """Who is at the other end; a user that is not expected there is refused."""
    pid, uid, gid = credentials(sock)
    mine, address = os.geteuid(), f"pipe://{name}"
    if uid == mine or (uid is None and guests is NO_GUESTS):  # where the system does not tell, the directory does
        return PeerFacts("pipe", address, pid, uid, gid, owner=True, private=True)
    groups = groups_of(sock).union(() if gid is None else (gid,))
    if not guests.admit(uid, groups):
        raise AccessDenied(f"{address}: the other side runs as user {uid}, this one as user {mine}")
    roles = frozenset(f"gid:{each}" for each in groups)
    return PeerFacts("pipe", address, pid, uid, gid, principal=f"uid:{uid}", roles=roles, private=True)
