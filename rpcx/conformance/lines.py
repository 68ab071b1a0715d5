"""A protocol of lines, each answered in capitals: the smallest there is, to see what carries sessions with.

`LineSession` serves; a line that begins with "block" is a blocking job, and "quit" ends the connection after "bye".
`LineCaller` is the other end: it says and listens.
"""

from collections.abc import Callable, Sequence

from rpcx.abc import Buffer, Job, Link


class Shout:
    """The job of one line."""

    is_async = False

    def __init__(self, session: "LineSession", line: bytes) -> None:
        self._session = session
        self._line = line
        self.blocking = line.startswith(b"block")

    def run(self) -> None:
        """Work, and answer."""
        self._session.work(self._line)
        self._session.say(self._line.upper() + b"\n")

    async def run_async(self) -> None:
        """No line is asynchronous."""
        raise NotImplementedError

    def overran(self, now: float) -> None:
        """Remembered for who looks."""
        self._session.overran.append(self._line)


class _Lines:
    """What both ends have in common."""

    link: Link

    def __init__(self) -> None:
        self.rest = b""  # of a line whose end did not come yet
        self.out: list[bytes] = []
        self.held: list[tuple[int, bool]] = []  # what the driver said of bytes that wait
        self.finished = False
        self.ended: Exception | None = None  # why the connection is lost

    def attach(self, link: Link, now: float) -> None:
        """Keep the driver's side."""
        self.link = link

    def say(self, data: bytes) -> None:
        """Send ``data``; from any thread."""
        self.out.append(data)
        self.link.flush()

    def wanted(self) -> int:
        """A page."""
        return 4096

    def eof(self, now: float) -> Sequence[Job]:
        """Nothing is left to do."""
        return ()

    @property
    def ready(self) -> bool:
        """Whether something is to be sent."""
        return bool(self.out)

    def outgoing(self) -> Sequence[Buffer]:
        """All of it, once."""
        out, self.out = self.out, []
        return out

    def held_back(self, count: int, *, took: bool) -> None:
        """Remembered for who looks."""
        self.held.append((count, took))

    def due(self) -> float | None:
        """No timer is running."""
        return None

    def tick(self, now: float) -> Sequence[Job]:
        """Nothing is due."""
        return ()

    def lost(self, error: Exception) -> None:
        """Remembered: why, at last."""
        self.ended = error


class LineSession(_Lines):
    """The serving end.

    Args:
        work: what is done about a line before it is answered.
        beat: seconds after which it says "beat", again and again; None: never.
    """

    def __init__(self, work: Callable[[bytes], object] = bytes.upper, beat: float | None = None) -> None:
        super().__init__()
        self.work = work
        self.overran: list[bytes] = []  # lines that held up the thread that ran them
        self._beat = beat
        self._next: float | None = None  # monotonic seconds; set with the first link

    def attach(self, link: Link, now: float) -> None:
        """The first beat is due from now on."""
        super().attach(link, now)
        self._next = None if self._beat is None else now + self._beat

    def receive(self, data: bytes, now: float) -> Sequence[Job]:
        """A job for each line; at the end there are none, and what came with it is answered at once."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        if b"quit" in lines:
            self.finished = True
            self.out += [line.upper() + b"\n" for line in lines[: lines.index(b"quit")]]
            self.out.append(b"bye\n")
            return ()
        return [Shout(self, line) for line in lines]

    def due(self) -> float | None:
        """When the next beat is."""
        return self._next

    def tick(self, now: float) -> Sequence[Job]:
        """A beat."""
        self._next = now + (self._beat or 0.0)
        self.out.append(b"beat\n")
        return ()


class LineCaller(_Lines):
    """The calling end.

    Args:
        heard: told of each line that came, and of None when the connection is lost.
    """

    def __init__(self, heard: Callable[[bytes | None], object]) -> None:
        super().__init__()
        self._heard = heard

    def receive(self, data: bytes, now: float) -> Sequence[Job]:
        """Tell of what came."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self._heard(line)
        return ()

    def lost(self, error: Exception) -> None:
        """Tell of that too, once."""
        if self.ended is None:
            self._heard(None)
        super().lost(error)
