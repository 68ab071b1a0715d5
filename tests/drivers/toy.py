"""A toy protocol over a plain socket. Shows that drivers know sessions, not rpcx."""

import socket
from collections.abc import Sequence

from rpcx.abc import PeerFacts
from rpcx.conformance.lines import LineSession

__all__ = ["Brittle", "LineSession", "SocketEnd"]


class Brittle(LineSession):
    """It has a defect."""

    def receive(self, data: bytes, now: float):
        if b"break" in data:
            raise RuntimeError("a defect")
        return super().receive(data, now)

    def lost(self, error: Exception) -> None:
        super().lost(self.ended or error)  # the first counts


class SocketEnd:
    """A connected socket as an `rpcx.abc.Stream`."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.facts = PeerFacts("toy", "pair")

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self, size: int) -> bytes:
        return self.socket.recv(size)

    def send(self, buffers: Sequence[bytes]) -> int:
        return self.socket.sendmsg(buffers)

    def close(self) -> None:
        self.socket.close()
