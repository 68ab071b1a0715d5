"""One connection under a pump of threads: sending, and what its session may ask."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from rpcx.abc import Buffer, Job, PeerFacts, Session, Stream, Waitable
from rpcx.drivers.workers import LOOP, Workers, aside
from rpcx.errors import ProtocolError

log = logging.getLogger("rpcx")

CORK: Final = 16  # messages that wait for one another at most (`flush_soon`)
CORK_SECONDS: Final = 0.0005  # after a pause this long the first message leaves at once
LINGER_SECONDS: Final = 5.0  # what waits for a peer when the session is over leaves within these, or never
NEVER: Final = float("inf")

#: What drivers count, and what there is of it before one runs.
IDLE: Final[dict[str, int]] = dict.fromkeys(
    ("connections", "reads", "workers", "workers_high", "queued", "waiting", "waiting_high", "floods"), 0
)

monotonic = time.monotonic
get_ident = threading.get_ident


def failed_on(session: Session, peer: PeerFacts, error: Exception) -> None:
    """``session`` cannot cope with what its peer sent: a defect of ours, and the end of that connection alone."""
    log.error("%s: closed: what it sent made this side fail", peer, exc_info=error)
    wrong = ProtocolError("what it sent made this side fail")
    wrong.__cause__ = error
    session.lost(wrong)


class Backlog:
    """What waits for peers to take it, on all connections of a pump."""

    def __init__(self, most: float) -> None:
        self.most = most  # bytes for one peer; with more it is read no further
        self.high = 0  # the most that ever waited for one
        self.floods = 0  # how often one was read no further

    def floods_with(self, waiting: int) -> bool:
        """Whether a connection is to be read no further while so many bytes wait for its peer."""
        self.high = max(self.high, waiting)
        return waiting > self.most


class Pumping(Protocol):
    """What a link needs of its pump."""

    workers: Workers
    batching: int
    waiting: Backlog
    dirty: "list[ThreadLink]"

    def wait(self, goal: Waitable, timeout: float | None, /) -> None: ...
    def wake(self) -> None: ...
    def touch(self) -> None: ...
    def cork(self, link: "ThreadLink", /) -> None: ...
    def cork_quietly(self, link: "ThreadLink", /) -> None: ...
    def arm(self, link: "ThreadLink", /) -> None: ...
    def watch_room(self, link: "ThreadLink", /) -> None: ...
    def linger(self, link: "ThreadLink", /) -> None: ...
    def broken(self, link: "ThreadLink", error: OSError, /) -> None: ...
    def drop(self, link: "ThreadLink", /) -> None: ...


class ThreadLink:
    """One connection under a pump."""

    def __init__(self, pump: Pumping, stream: Stream, session: Session) -> None:
        self.session = session
        self.stream = stream
        self.facts: PeerFacts = stream.facts
        self.closed = False  # the stream is
        self.backlog: list[Buffer] = []  # given out by the session, not taken by the stream yet
        self.waiting = 0  # bytes in it
        self.lingers_until = NEVER  # set when the session is over and something waits to be sent still
        self.armed = NEVER  # when the pump will next ask the session for its timer
        self.flooded = False  # so much waits that nothing more is read until the peer takes some
        self._send_one: Callable[[Buffer], int] = getattr(stream, "send_one", None) or (lambda one: stream.send([one]))
        self._pump = pump
        self._frames: list[Buffer] = getattr(session, "frames", [])
        self._sending = threading.Lock()  # one sender at a time, so that frames stay in order
        self._corked = 0  # messages waiting for `flush_soon`
        self._flushed = 0.0  # when the last of them left
        self._closing = False  # close once everything has left

    # --- sending -------------------------------------------------------------------------------------------

    def flush(self) -> None:
        pump = self._pump
        if pump.batching and pump.batching == get_ident():
            if not pump.dirty or pump.dirty[-1] is not self:
                pump.dirty.append(self)
        else:
            self.send()

    def flush_now(self) -> None:
        self.send_all()

    def flush_soon(self) -> None:
        if self._pump.batching == get_ident():
            self._pump.dirty.append(self)
            return
        self._corked += 1
        self._pump.touch()
        now = monotonic()
        if self._corked >= CORK or now - self._flushed > CORK_SECONDS:
            self._flushed = now
            self.send_all()
        else:
            self._pump.cork(self)

    def flush_later(self) -> None:
        self._pump.cork_quietly(self)

    def send(self) -> None:
        """Send the one frame that is ready, as mostly, or all there is; as far as the stream takes it."""
        self._corked = 0
        broken: OSError | None = None
        buffers: Sequence[Buffer] = ()
        frames, sending = self._frames, self._sending
        sending.acquire()  # not `with`, which costs 60 ns more: every call passes here
        try:
            if len(frames) == 1 and not (self.backlog or self.closed):
                buffers = frame = (frames.pop(0),)
                send = self._send_one  # named first: CPython 3.11 takes 30 ns more to call what is no method
                sent = send(frame[0])
                if sent < len(frame[0]):
                    self._keep(frame, sent)
            else:
                buffers = self.session.outgoing()
                if (buffers or self.backlog) and not self.closed:
                    buffers = [*self.backlog, *buffers]
                    self._keep(buffers, self.stream.send(buffers))
        except BlockingIOError:
            self._keep(buffers, 0)  # it takes nothing now
        except OSError as error:
            broken = error
        finally:
            sending.release()
        if broken is not None:
            self._pump.broken(self, broken)

    def send_all(self) -> None:
        """The same, and what was not a frame yet when one was ready."""
        self.send()
        if self.session.ready:
            self.send()

    def _keep(self, buffers: Sequence[Buffer], sent: int) -> None:
        """What the stream did not take waits; the pump watches for room."""
        had = bool(self.backlog)
        if had and not sent and len(buffers) == len(self.backlog):
            return  # as it was
        self.backlog = rest = _after(buffers, sent)
        self.waiting = waiting = sum(memoryview(part).nbytes for part in rest)
        if rest or had:
            self.session.held_back(waiting, took=sent > 0)
        flooded = self._pump.waiting.floods_with(waiting)
        if bool(rest) is not had or flooded is not self.flooded:
            self._pump.waiting.floods += flooded and not self.flooded
            self.flooded = flooded
            self._pump.watch_room(self)

    # --- what the session asks -----------------------------------------------------------------------------

    def wait(self, reply: Waitable, timeout: float | None) -> None:
        self.send_all()
        self._pump.wait(reply, timeout)

    def wake(self) -> None:
        self._pump.wake()

    def in_loop(self, loop: Any, function: Callable[..., object], argument: object) -> None:  # an event loop
        try:
            loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            pass  # the loop was closed; nobody waits there any more

    def spawn(self, job: Job) -> None:
        if job.is_async:
            LOOP.submit(job)
        else:
            self._pump.workers.submit(job)

    def aside(self, work: Callable[[], None]) -> None:
        aside(work)

    def rearm(self) -> None:
        self._pump.arm(self)

    def close(self) -> None:
        self._closing = True
        self.send_all()
        if not self.backlog:
            self._pump.drop(self)
        else:
            self._pump.linger(self)

    @property
    def drained(self) -> bool:
        """Nothing more to read or send: the stream can be closed."""
        return not self.backlog and (self._closing or self.session.finished)


def _after(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What is left of ``buffers`` when ``sent`` bytes have gone."""
    for position, buffer in enumerate(buffers):
        size = memoryview(buffer).nbytes
        if sent < size:
            return [memoryview(buffer).cast("B")[sent:], *buffers[position + 1 :]]
        sent -= size
    return []
