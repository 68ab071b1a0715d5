"""What channels on sockets share: a stream, a listener, and what is known of the peer's process."""

import errno
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final

from rpcx.abc import Buffer, PeerFacts
from rpcx.errors import AccessDenied
from rpcx.security import audit
from rpcx.security.tally import Tally

log = logging.getLogger("rpcx")

BACKLOG: Final = 1024  # connections that wait to be accepted
MOST_BUFFERS: Final = 1024  # in one sendmsg: IOV_MAX on Linux
LOCAL_BUFFER: Final = 1 << 20  # bytes a local socket may hold; the system caps it (Linux: wmem_max, 208 KiB)
REFUSALS: Final = 64  # one after the other; then others get their turn
JOIN: Final = 16_384  # bytes up to which buffers are joined: one copy is cheaper than gathering

Admit = Callable[[socket.socket, object], PeerFacts]  # facts of an accepted peer; AccessDenied refuses it


class SocketStream:
    """A connected socket as an `rpcx.abc.Stream`."""

    def __init__(self, sock: socket.socket, facts: PeerFacts) -> None:
        sock.setblocking(False)
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LOCAL_BUFFER)  # TCP grows its own
        self.socket = sock
        self.facts = facts
        self.receive = sock.recv  # the method itself: one Python call less for each read; so is the next
        self.send_one = sock.send
        self.fileno = sock.fileno

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Send as much as fits now; how many bytes went."""
        if len(buffers) == 1:
            return self.socket.send(buffers[0])
        if sum(map(len, buffers)) <= JOIN or not hasattr(self.socket, "sendmsg"):
            return self.socket.send(b"".join(buffers))
        return self.socket.sendmsg(buffers[:MOST_BUFFERS])

    def close(self) -> None:
        """Close; twice is fine."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was first
        self.socket.close()

    def __repr__(self) -> str:
        return f"<SocketStream {self.facts}>"


class SocketListener:
    """Listening sockets, one for each address family, as an `rpcx.abc.Listener`."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        url: str,
        admit: Admit,
        make: Callable[[socket.socket, PeerFacts], SocketStream] = SocketStream,
    ) -> None:
        for sock in sockets:
            sock.setblocking(False)
        self.url = url
        self.sockets = list(sockets)
        self._refused = Tally()  # peers that were not admitted
        self._admit = admit
        self._make = make
        self._reserve: int | None = _spare_file()  # given up for a moment when files run out

    def filenos(self) -> Sequence[int]:
        """What to watch for reading."""
        return [sock.fileno() for sock in self.sockets]

    def accept(self) -> SocketStream | None:
        """The next stranger that is admitted; None when nobody waits, or none of the first `REFUSALS` was."""
        for listening in self.sockets:
            for _ in range(REFUSALS):
                accepted = self._accept_one(listening)
                if accepted is None:
                    break
                sock, address = accepted
                try:
                    return self._make(sock, self._admit(sock, address))
                except (AccessDenied, OSError) as error:
                    sock.close()
                    self._refuse(str(error))
        return None

    def _accept_one(self, listening: socket.socket) -> tuple[socket.socket, object] | None:
        try:
            return listening.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._shed(listening)
            elif not isinstance(error, BlockingIOError) and error.errno != errno.ECONNABORTED:
                self._refuse(f"accept failed: {error}")
            return None

    def _shed(self, listening: socket.socket) -> None:
        """Out of files: take the next connection with the spare one and drop it, else it would wake us for ever."""
        if self._reserve is not None:
            os.close(self._reserve)
        try:
            listening.accept()[0].close()
        except OSError:
            pass  # it gave up by itself
        self._reserve = _spare_file()
        self._refuse("no file descriptors left: a connection was dropped")

    def _refuse(self, reason: str) -> None:
        """Count it; a line in ten seconds tells of all."""
        self._refused.add(reason)
        self._tell(self._refused.report(time.monotonic()))

    def _tell(self, report: str | None) -> None:
        if report is not None:
            log.warning("%s: refused: %s", self.url, report)
            audit.event("accept-reject", channel=self.url.partition(":")[0], address=self.url, result=report)

    @property
    def refused(self) -> int:
        """Peers that were not admitted, since it listens."""
        return self._refused.counts.total()

    def close(self) -> None:
        """Stop listening; twice is fine."""
        self._tell(self._refused.rest(time.monotonic()))
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


def _spare_file() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None  # none left; then connections wait instead of being dropped


def credentials(sock: socket.socket) -> tuple[int | None, int | None, int | None]:
    """(pid, uid, gid) of the process at the other end of a Unix socket; None where the system does not tell."""
    if hasattr(socket, "SO_PEERCRED"):
        pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid, uid, gid
    local: int | None = getattr(socket, "LOCAL_PEERCRED", None)
    if local is not None:  # macOS: struct xucred, version, uid, number of groups, groups
        data = sock.getsockopt(0, local, 76)
        _, uid, _, gid = struct.unpack_from("IIhxxI", data)
        return None, uid, gid
    return None, None, None
