"""One end of a connection that speaks another protocol: what each such end has, whatever the protocol.

A driver pumps it (`rpcx.abc.Session`); bytes go through a reader, whose messages go to `_arrived`, of a subclass.
The bounds of `rpcx.protocol.handshake.Limits` hold here too, as far as the protocol has what they bound: a message that
was begun has to end, and who takes no answers has no further calls run, and is given up at last.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from rpcx.abc import Buffer, EventLoop, Job, Link, PeerFacts, Waitable
from rpcx.errors import ConnectionLost, ForkedConnection, LimitExceeded, ProtocolError
from rpcx.protocol.handshake import Limits
from rpcx.remoting.access import Gate
from rpcx.remoting.pending import Pending

log = logging.getLogger("rpcx")

READ: Final = 65_536  # bytes asked for between messages
ATTACH_SECONDS: Final = 10.0  # for a loop to take up a connection that was dialled from a thread

Message_co = TypeVar("Message_co", covariant=True)


class Reader(Protocol[Message_co]):
    """Makes messages of the bytes of a connection."""

    @property
    def between(self) -> bool:
        """Whether no message has begun that is not complete."""
        ...

    @property
    def wanted(self) -> int:
        """How many bytes the message under way still needs."""
        ...

    def receive(self, data: bytes, /) -> Iterable[Message_co]:
        """The messages that ``data`` completes. Raises ProtocolError or LimitExceeded: the connection is over."""
        ...


Read = TypeVar("Read")
Made = TypeVar("Made")


class ForeignSession(Generic[Read]):
    """One end.

    Args:
        realm: whose objects the peer may call.
        facts: who it is.
        holder: under which the realm counts what it holds.
        reader: of its bytes.
    """

    def __init__(self, realm: Any, facts: PeerFacts, holder: Hashable, reader: Reader[Read]) -> None:  # a Realm
        self.holder = holder
        self.gate: Gate = realm.gate(facts, holder)  # what the peer can reach here
        self.error: Exception | None = None  # set when the connection has ended
        self.finished = False  # what is queued still leaves, nothing else
        self.opened = Pending()  # arrives when calls may be sent
        self.oneway_failures = 0  # one-way calls of the peer's that raised
        self._realm = realm
        self._facts = facts
        self._reader = reader
        self._out: list[Buffer] = []
        self._lock = threading.Lock()  # around `_out` and the queues of a subclass
        self._link: Link = None  # type: ignore[assignment]  # set by attach, before the driver does anything else
        self._attached = (
            threading.Event()
        )  # which may be later, for a connection that another protocol's session dialled
        self._limits: Limits = realm.limits
        self._message_due = 0.0  # when the message under way must be complete; 0: none is
        self._blocked = 0.0  # since when the peer takes nothing of what waits for it; 0: it does, or nothing waits
        self._choked = False  # so much waits that no further call begins
        self._postponed: list[Job] = []  # calls that begin when some of it was taken

    @property
    def facts(self) -> PeerFacts:
        return self._facts

    @property
    def known(self) -> PeerFacts:
        """What is known of the peer."""
        return self._facts

    # --- the session a driver pumps ----------------------------------------------------------------------------

    def attach(self, link: Link, now: float) -> None:
        self._link = link
        self._attached.set()

    def receive(self, data: bytes, now: float) -> Sequence[Job]:
        jobs: list[Job] = []
        came = False
        try:
            for message in self._reader.receive(data):
                came = True
                if not self.finished:
                    jobs += self._arrived(message, now)
        except (ProtocolError, LimitExceeded) as error:
            log.warning("%s: %s", self._facts, error)
            self._end(error)
            return jobs
        if self._reader.between:
            self._message_due = 0.0
        else:
            if came or not self._message_due:  # it began with this data
                self._message_due = now + self._limits.frame_seconds
            self._message_due += len(data) / 65536
            self._link.rearm()
        return jobs

    def eof(self, now: float) -> Sequence[Job]:
        self._end(None if self._reader.between else ConnectionLost("it ended within a message"))
        return ()

    def tick(self, now: float) -> Sequence[Job]:
        stall = self._limits.write_stall
        if self._message_due and now >= self._message_due:
            text = "a message was begun and not finished in time"
            self._end(ProtocolError(text, limit="limits.frame_seconds"))
        elif self._blocked and now >= self._blocked + stall:
            text = f"the peer took nothing of what waits for it for {stall:g} s"
            self._end(ConnectionLost(text, limit="limits.write_stall"))
        return ()

    def due(self) -> float | None:
        if self.finished:
            return None
        dues = [self._message_due] if self._message_due else []
        if self._blocked:
            dues.append(self._blocked + self._limits.write_stall)
        return min(dues, default=None)

    def wanted(self) -> int:
        return max(READ, self._reader.wanted)

    def outgoing(self) -> Sequence[Buffer]:
        with self._lock:
            out, self._out = self._out, []
        return out

    @property
    def ready(self) -> bool:
        return bool(self._out)

    def held_back(self, count: int, *, took: bool) -> None:
        if not count:
            self._blocked = 0.0
        elif took or not self._blocked:
            self._blocked = time.monotonic()
        choked = count > self._limits.write_cap
        if choked is not self._choked:
            with self._lock:
                self._choked = choked
                jobs, self._postponed = ([], self._postponed) if choked else (self._postponed, [])
            for job in jobs:
                self._link.spawn(job)

    def lost(self, error: Exception) -> None:
        self._end(error)

    def close(self) -> None:
        """Close; what is queued still leaves."""
        self.finished = True
        self._link.flush()
        self._link.close()

    def forked(self) -> None:
        """This is a child process's copy."""
        self._lock = threading.Lock()
        self.error = ForkedConnection(
            "this connection belongs to the parent process; connect anew in the child", peer=str(self._facts)
        )

    # --- a subclass's ------------------------------------------------------------------------------------------

    def _arrived(self, message: Read, now: float, /) -> Sequence[Job]:
        """A message came."""
        raise NotImplementedError

    def _ended(self, error: Exception) -> None:
        """The connection is over."""

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self.error is not None:
                return
            self.error = error if error is not None else ConnectionLost("it was closed")
            self.finished = True
            self._postponed.clear()
        self._realm.table.hits.reached(error, self._facts)
        if not self.opened.arrived:
            self.opened.fail(self.error)
        self._realm.endpoints.discard(self)
        self._ended(self.error)

    def _go_on(self, job: Job) -> None:
        """Run a call that waited for another to end, unless it has to wait for the peer to take answers too."""
        with self._lock:
            if self._choked:
                self._postponed.append(job)
                return
        self._link.spawn(job)

    def _put(self, data: Buffer) -> None:
        """Send it."""
        with self._lock:
            self._out.append(data)
        self._flush()

    def _flush(self) -> None:
        if self._attached.is_set():  # else all leaves when it is
            self._link.flush()

    def _wait(self, pending: Waitable, timeout: float | None) -> None:
        """Block until ``pending`` has arrived, or ``timeout`` seconds passed."""
        if not self._attached.is_set():
            _refuse_in_loop()
            self._attached.wait(ATTACH_SECONDS)
        self._link.wait(pending, timeout)

    def _in_loop(self, loop: EventLoop, function: Callable[..., object], argument: object) -> None:
        """See `Link.in_loop`; asked for when an answer came, so there is a link."""
        self._link.in_loop(loop, function, argument)


async def in_thread(make: Callable[[], Made], unused: Callable[[Made], object]) -> Made:
    """What ``make`` returns, which may block; given to ``unused`` if whoever awaits it is cancelled meanwhile."""
    import asyncio

    making = asyncio.get_running_loop().run_in_executor(None, make)
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        making.add_done_callback(lambda done: unused(done.result()) if done.exception() is None else None)
        raise


def _refuse_in_loop() -> None:
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "a sync call from the event loop's own thread would wait for ever: await the call (make the method async), "
            "or mark the method @rpcx.method(blocking=True)"
        )
