"""The IPC channel as Mono has it on POSIX: ``dotnet+ipc://name/application``, a Unix domain socket.

The socket lies in the directory for temporary files, under the channel's name, since that is where the other side
looks for it. Anybody may put a file there, and Mono lets anybody call (mode 0666); so both ends here ask the kernel
who the other is, and refuse another user, and a socket made here has mode 0600. Windows's IpcChannel is a named pipe
and something else.
"""

import errno
import os
import secrets
import socket
import stat
import tempfile
from pathlib import Path
from typing import Final

from rpcx.abc import Address, Listener, PeerFacts, Stream
from rpcx.channels.sockets import BACKLOG, SocketListener, SocketStream, credentials
from rpcx.channels.urls import NAME, Url, check_name
from rpcx.errors import AccessDenied, NotSent
from rpcx.interop.dotnet.channel import RemotingChannel
from rpcx.interop.dotnet.framing import Frames, Wire

KNOCK_SECONDS: Final = 1.0  # to find out whether somebody listens on a socket that is there


class DotnetIpcChannel(RemotingChannel):
    """.NET's IpcChannel, Mono's way."""

    name = "dotnet+ipc"

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> Stream:  # the seam's
        """Reach the server that listens under a name; refuse one that runs as another user."""
        path = _path(address.location)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(str(path))
            facts = _facts(sock, address.location)
            wanted = address.params.get("pid")
            if wanted is not None and wanted != str(facts.pid):
                raise AccessDenied(f"{address}: process {facts.pid} listens there, not the one that called")
            return SocketStream(sock, facts)
        except AccessDenied:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise NotSent(f"{address}: {error.strerror or error} ({path}). Is the server running?") from error

    def listen(self, address: Address, *, insecure: bool = False) -> Listener:  # the seam's
        """Take the name, if nobody listens under it."""
        path = _path(address.location)
        _make_room(path, address)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        making = path.with_name(f".{secrets.token_hex(6)}")
        try:
            sock.bind(str(making))
            making.chmod(0o600)
            sock.listen(BACKLOG)
            making.rename(path)
        except OSError as error:
            sock.close()
            making.unlink(missing_ok=True)
            raise OSError(error.errno, f"{address}: cannot listen at {path}: {error.strerror}") from error
        self._url = f"unix://{path}"
        application = f"/{address.uri}" if address.uri else ""
        return _IpcListener(sock, path, f"{self.name}://{address.location}{application}")

    def served(self, most: int) -> Wire:
        return Frames(most, says_oneway=False)  # Mono's client sends them as it sends any, and does not read the answer

    def spelled(self, address: Address) -> str:
        return f"unix://{_path(address.location)}?"

    def door(self) -> Url:
        return Url(self.name, f"rpcx-{secrets.token_hex(8)}")

    def way_back(self, url: str, peer: PeerFacts) -> Url | None:
        scheme, _, rest = url.partition("://")
        path = Path(rest.partition("?")[0])
        if scheme != "unix" or path.parent != Path(tempfile.gettempdir()) or not NAME.match(path.name):
            return None
        return Url(self.name, path.name, params={"pid": str(peer.pid)})


class _IpcListener(SocketListener):
    """Takes the socket away when it closes."""

    def __init__(self, sock: socket.socket, path: Path, url: str) -> None:
        super().__init__([sock], url, lambda peer, _: _facts(peer, path.name))
        self._path = path
        self._inode = path.stat().st_ino

    def close(self) -> None:
        super().close()
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        except FileNotFoundError:
            pass  # closed before, or tidied up


def _path(name: str) -> Path:
    if not hasattr(socket, "AF_UNIX") or os.name == "nt":
        raise AccessDenied(f"dotnet+ipc://{name}: .NET's IPC channel is supported on POSIX only, as Mono has it")
    check_name(name, f"dotnet+ipc://{name}")
    return Path(tempfile.gettempdir()) / name


def _make_room(path: Path, address: Address) -> None:
    """Remove a socket that a server of ours left; refuse whatever else is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise OSError(errno.EADDRINUSE, f"{address}: {path} is there and no socket of this user's; choose another name")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(KNOCK_SECONDS)
        try:
            knocking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, f"{address}: somebody listens there; end it, or choose another name")


def _facts(sock: socket.socket, name: str) -> PeerFacts:
    """Who is at the other end; another user is refused."""
    pid, uid, gid = credentials(sock)
    mine = os.geteuid()
    if uid is not None and uid != mine:
        raise AccessDenied(f"dotnet+ipc://{name}: the other side runs as user {uid}, this one as user {mine}")
    return PeerFacts("dotnet+ipc", f"ipc://{name}", pid, uid, gid, owner=uid == mine)
