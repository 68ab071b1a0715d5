"""``pipe://name``: a named pipe between processes of one user on one machine.

On POSIX it is a Unix domain socket in a private directory:

- the directory is ours, 0700 and no symbolic link, or it is refused;
- the socket is made under another name, given mode 0600, and only then renamed into place, so that it never
  exists with a wider mode;
- ``name.lock`` is locked (flock) while a host listens. A socket whose lock is free is stale, left by a host that
  was killed, and is replaced; a live host's is never stolen;
- both ends ask the kernel who the other is, and refuse another user. Root is not implied.

Windows has named pipes of its own; until they can be tested there, the channel says so.
"""

import errno
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Final

from rpcx.abc import Address, PeerFacts
from rpcx.channels.sockets import BACKLOG, SocketListener, SocketStream, credentials
from rpcx.errors import AccessDenied, NotSent
from rpcx.security.files import directory_problem

DIRECTORY: Final = "RPCX_RUNTIME_DIR"  # environment: where the pipes are; the same rules hold for it
LONGEST_PATH: Final = 100  # bytes; sun_path has 104 to 108, and a temporary name is a little longer


class PipeChannel:
    """``pipe://name``."""

    name = "pipe"

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> SocketStream:  # the seam's
        """Reach the host that listens as ``name``; refuse one that runs as another user."""
        path = _path(address.location)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(str(path))
            return SocketStream(sock, _facts(sock, address.location))
        except AccessDenied:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            why = "no host listens there" if error.errno in (errno.ENOENT, errno.ECONNREFUSED) else error.strerror
            raise NotSent(f"pipe://{address.location}: {why} ({path}). Is the host running, as this user?") from error

    def listen(self, address: Address, *, insecure: bool = False) -> SocketListener:  # the seam's
        """Take the name: lock it, replace a stale socket, never a live one."""
        path = _path(address.location)
        lock = _lock(path.with_name(path.name + ".lock"), address.location)
        try:
            sock = _placed(path)
        except BaseException:
            os.close(lock)
            raise
        return _PipeListener(sock, path, lock, address.location)


class _PipeListener(SocketListener):
    """Holds the name's lock, and takes the socket away when it closes."""

    def __init__(self, sock: socket.socket, path: Path, lock: int, name: str) -> None:
        super().__init__([sock], f"pipe://{name}", lambda peer, _: _facts(peer, name))
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


def runtime_directory() -> Path:
    """The private directory of this user's pipes, made if need be.

    ``$RPCX_RUNTIME_DIR``, else ``rpcx`` in ``$XDG_RUNTIME_DIR`` or ``/run/user/UID``, else ``rpcx-UID`` in the
    directory for temporary files.

    Raises:
        AccessDenied: it is not private; the message says what is wrong with it.
    """
    uid = os.getuid()
    given = os.environ.get(DIRECTORY)
    session = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    if given:
        directory = Path(given)
    elif _is_private(Path(session)):
        directory = Path(session) / "rpcx"
    else:
        directory = Path(tempfile.gettempdir()) / f"rpcx-{uid}"
    try:
        directory.mkdir(mode=0o700, parents=bool(given))
    except FileExistsError:
        pass  # made before; looked at below
    problem = directory_problem(directory)
    if problem:
        raise AccessDenied(f"{directory} is not safe for pipes: {problem}; repair or remove it, or set {DIRECTORY}")
    return directory


def _is_private(directory: Path) -> bool:
    try:
        return directory_problem(directory) == ""
    except OSError:
        return False


def _path(name: str) -> Path:
    if not hasattr(socket, "AF_UNIX") or os.name == "nt":
        raise AccessDenied(
            f"pipe://{name}: named pipes are not supported on Windows yet; use tcp://localhost:PORT with insecure=True"
        )
    path = runtime_directory() / name
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


def _placed(path: Path) -> socket.socket:
    """A listening socket at ``path``. The lock is held, so what is there is stale."""
    making = path.with_name(f".{secrets.token_hex(3)}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(making))
        making.chmod(0o600)
        sock.listen(BACKLOG)
        making.rename(path)
    except BaseException:
        sock.close()
        making.unlink(missing_ok=True)
        raise
    return sock


def _facts(sock: socket.socket, name: str) -> PeerFacts:
    """Who is at the other end; another user is refused."""
    pid, uid, gid = credentials(sock)
    mine = os.geteuid()
    if uid is not None and uid != mine:
        raise AccessDenied(f"pipe://{name}: the other side runs as user {uid}, this one as user {mine}")
    return PeerFacts("pipe", f"pipe://{name}", pid, uid, gid)
