"""A toy protocol: lines, each echoed in capitals. Shows that drivers know sessions, not rpcx."""

import socket
import time
from collections.abc import Callable, Sequence

from rpcx.abc import PeerFacts


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


class Shout:
    """The job of one line."""

    is_async = False

    def __init__(self, session: "LineSession", line: bytes) -> None:
        self.session = session
        self.line = line
        self.blocking = line.startswith(b"block")

    def run(self) -> None:
        self.session.work(self.line)
        self.session.out.append(self.line.upper() + b"\n")
        self.session.link.flush()

    async def run_async(self) -> None:
        raise AssertionError("no line is async")

    def overran(self, now: float) -> None:
        self.session.overran.append(self.line)


class LineSession:
    """The serving end; `beats` asks for a timer every so many seconds."""

    def __init__(self, work: Callable[[bytes], None] = lambda line: None, beat: float | None = None) -> None:
        self.work = work
        self.beat = beat
        self.out: list[bytes] = []
        self.rest = b""
        self.overran: list[bytes] = []
        self.ended: Exception | None = None
        self.held: list[tuple[int, bool]] = []  # what the driver said of bytes that wait
        self.finished = False
        self.next_beat = None if beat is None else time.monotonic() + beat

    def attach(self, link, now: float) -> None:
        self.link = link

    def receive(self, data: bytes, now: float) -> list[Shout]:
        *lines, self.rest = (self.rest + data).split(b"\n")
        if b"quit" in lines:
            self.finished = True
            self.out.append(b"bye\n")
            return []
        return [Shout(self, line) for line in lines]

    def wanted(self) -> int:
        return 4096

    def eof(self, now: float) -> list[Shout]:
        return []

    @property
    def ready(self) -> bool:
        return bool(self.out)

    def outgoing(self) -> list[bytes]:
        out, self.out = self.out, []
        return out

    def held_back(self, count: int, *, took: bool) -> None:
        self.held.append((count, took))

    def due(self) -> float | None:
        return self.next_beat

    def tick(self, now: float) -> list[Shout]:
        self.next_beat = now + self.beat
        self.out.append(b"beat\n")
        return []

    def lost(self, error: Exception) -> None:
        self.ended = error
