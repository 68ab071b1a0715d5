"""``inproc://name``: host and client in one process, for tests and plug-in designs.

It is a socket pair, so everything is as between processes: values are copied, both drivers work, limits hold.
"""

import os
import socket
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from rpcx.abc import Address, PeerFacts
from rpcx.channels.sockets import SocketStream
from rpcx.errors import NotSent

_open: Final[dict[tuple[int, str], "InprocListener"]] = {}  # by process and name: a forked child has none of them
_mutex: Final = threading.Lock()


class InprocChannel:
    """``inproc://name``."""

    name = "inproc"

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> SocketStream:  # the seam's
        """Join the listener of that name."""
        with _mutex:
            listener = _open.get((os.getpid(), address.location))
        if listener is None:
            raise NotSent(f"inproc://{address.location}: no host of this process listens there")
        near, far = socket.socketpair()
        listener.join(SocketStream(far, _facts(address.location)))
        return SocketStream(near, _facts(address.location))

    def listen(self, address: Address, *, insecure: bool = False) -> "InprocListener":  # the seam's
        """Take the name."""
        key = os.getpid(), address.location
        with _mutex:
            if key in _open:
                raise OSError(f"inproc://{address.location}: another host of this process listens there")
            listener = _open[key] = InprocListener(address.location)
        return listener


class InprocListener:
    """Waiting ends of socket pairs, as an `rpcx.abc.Listener`."""

    def __init__(self, name: str) -> None:
        self.url = f"inproc://{name}"
        self._key = os.getpid(), name
        self._waiting: deque[SocketStream] = deque()
        self._bell_in, self._bell_out = socket.socketpair()  # readable while somebody waits
        self._bell_in.setblocking(False)
        self._bell_out.setblocking(False)

    def join(self, stream: SocketStream) -> None:
        """A client came."""
        self._waiting.append(stream)
        if not self._ring():
            stream.close()

    def _ring(self) -> bool:
        """Somebody waits. False: the listener was closed meanwhile."""
        try:
            self._bell_out.send(b"\0")
        except BlockingIOError:
            pass  # it rings already
        except OSError:
            return False
        return True

    def filenos(self) -> Sequence[int]:
        """What to watch for reading."""
        return [self._bell_in.fileno()]

    def accept(self) -> SocketStream | None:
        """The next client; None when nobody waits."""
        try:
            self._bell_in.recv(4096)
        except OSError:
            pass  # silent already
        stream = self._waiting.popleft() if self._waiting else None
        if self._waiting:
            self._ring()
        return stream

    def close(self) -> None:
        """Give the name back; twice is fine."""
        with _mutex:
            if _open.get(self._key) is self:
                del _open[self._key]
        while self._waiting:
            self._waiting.popleft().close()
        self._bell_in.close()
        self._bell_out.close()


def _facts(name: str) -> PeerFacts:
    uid = os.getuid() if hasattr(os, "getuid") else None
    gid = os.getgid() if hasattr(os, "getgid") else None
    return PeerFacts("inproc", name, os.getpid(), uid, gid, owner=True, private=True)
