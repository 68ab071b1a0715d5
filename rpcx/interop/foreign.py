"""One end of a connection that speaks another protocol: what each such end has, whatever the protocol.

A driver pumps it (`rpcx.abc.Session`); bytes go through a reader, whose messages go to `_arrived`, of a subclass.
"""

import logging
import sys
import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from rpcx.abc import Buffer, EventLoop, Job, Link, PeerFacts, Waitable
from rpcx.errors import ConnectionLost, ForkedConnection, LimitExceeded, ProtocolError
from rpcx.remoting.access import Gate
from rpcx.remoting.pending import Pending
from rpcx.security import audit

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

    @property
    def facts(self) -> PeerFacts:
        return self._facts

    # --- the session a driver pumps ----------------------------------------------------------------------------

    def attach(self, link: Link, now: float) -> None:
        self._link = link
        self._attached.set()

    def receive(self, data: bytes, now: float) -> Sequence[Job]:
        jobs: list[Job] = []
        try:
            for message in self._reader.receive(data):
                if not self.finished:
                    jobs += self._arrived(message, now)
        except (ProtocolError, LimitExceeded) as error:
            log.warning("%s: %s", self._facts, error)
            if isinstance(error, LimitExceeded):
                audit.event("limit-hit", peer=self._facts, result=str(error))
            self._end(error)
        return jobs

    def eof(self, now: float) -> Sequence[Job]:
        self._end(None if self._reader.between else ConnectionLost("it ended within a message"))
        return ()

    def tick(self, now: float) -> Sequence[Job]:
        return ()

    def due(self) -> float | None:
        return None

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
        """While much waits the driver reads no further requests, which bounds what a peer can let pile up."""

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
        if not self.opened.arrived:
            self.opened.fail(self.error)
        self._realm.endpoints.discard(self)
        self._ended(self.error)

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
