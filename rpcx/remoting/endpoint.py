"""One end of a connection: calls out, calls in. The `Session` that drivers pump.

    out: proxy → `call` → envelope → formatter → Connection.call → Link.wait ┐
    back: Connection.receive → Pending.resolve → (waiting thread) decode ◀────┘
    in:  Connection.receive → decode → find object and method → Job → driver runs it → `answer`

The lock guards the protocol's state machine, nothing else; it is never held while user code, a formatter or a
system call runs. Envelopes are positional lists:

    call    [target, method, args, seconds | None]  + [kwargs | None, meta | None] when there are any
    return  [value]        item  [value]        fault  see `encode_fault`
    batch   [call, …]  answered by  [[value] | [None, fault], …]

``meta`` holds the rare: ``c``/``f`` contract name and fingerprint (a proxy's first call), ``d`` call depth.
"""

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rpcx.abc import Buffer, Job, Link, PeerFacts
from rpcx.context import DEEPEST, remaining, serving
from rpcx.errors import (
    CallTimeout,
    ConnectionLost,
    ContractMismatch,
    ForkedConnection,
    InvalidArguments,
    LimitExceeded,
    MaybeExecuted,
    NotSent,
    ObjectNotFound,
    ProtocolError,
    RemoteError,
    RpcxError,
)
from rpcx.messages import Call, Fault, Return
from rpcx.protocol.connection import (
    BATCH,
    CALL,
    CANCEL,
    CLOSED,
    CREDIT,
    DROPPED,
    END,
    FAULT,
    ITEM,
    ONEWAY,
    OPENED,
    RELEASE,
    RETURN,
    Connection,
    Event,
)
from rpcx.remoting.contract import Contract, Method, difference
from rpcx.remoting.dispatch import (
    BatchedCall,
    Errand,
    IncomingBatch,
    IncomingCall,
    IncomingOneway,
    IncomingStream,
)
from rpcx.remoting.objects import HOST_URI, Entry, ObjectTable
from rpcx.remoting.pending import CallFuture, Pending
from rpcx.remoting.proxy import Flavour, Proxy, dynamic_method, make_proxy, mismatch
from rpcx.remoting.references import CALLABLE, HOME, REF, Reference, Released
from rpcx.remoting.streams import IncomingItems, ItemsAsync, ItemsSync
from rpcx.sinks.chain import Chain, Encode
from rpcx.sinks.exceptions import decode_fault, encode_fault
from rpcx.sinks.values import Values

if TYPE_CHECKING:
    import asyncio  # at run time only where something is awaited: importing it takes 46 ms

log = logging.getLogger("rpcx")

DECODE_INLINE: Final = 262_144  # bytes of body above which decoding itself is given to a worker thread
DESCRIBE: Final = dynamic_method("contract")  # of the host's own service: an object's contract, as data
ChainFactory = Callable[[str], Chain]  # of the agreed formatter


class Endpoint:
    """This side of one connection."""

    def __init__(
        self,
        connection: Connection,
        table: ObjectTable,
        make_chain: ChainFactory,
        *,
        flavour: Flavour,
        detail: bool = True,
        on_open: Callable[["Endpoint"], None] | None = None,
        on_close: Callable[["Endpoint", Exception | None], None] | None = None,
    ) -> None:
        self.table = table
        self.flavour = flavour  # of proxies that arrive here, unless the receiving method says otherwise
        self.holder: Hashable = id(self)  # under which the table counts what the peer holds; set when opened
        self.opened = Pending()  # done when the handshake is
        self.error: Exception | None = None  # set when the connection has ended
        self.successor: Endpoint | None = None  # the same client's next connection, once it came back
        self.revive: Callable[[], None] | None = None  # a client's way to connect anew; None: there is none
        self.revive_async: Callable[[], Awaitable[None]] | None = None  # the same in a loop
        self.oneway_failures = 0  # one-way calls of the peer's that raised
        self._connection = connection
        self._make_chain = make_chain
        self._detail = detail  # whether tracebacks travel
        self._on_open = on_open
        self._on_close = on_close
        self._lock = threading.Lock()
        self._link: Link = None  # type: ignore[assignment]  # set by attach, before anything else
        self._chain: Chain = None  # type: ignore[assignment]  # set when opened; nothing is encoded before
        self._encode: Encode = self._not_open  # the chain's, once opened
        self._sinks = False  # whether message sinks see calls
        self._serving: dict[int, IncomingCall] = {}  # the peer's calls that are not answered
        self._imports: dict[str, Any] = {}  # id → weak reference to its Reference
        self._released = Released()
        self._dropped_calls: deque[int] = deque()  # our calls whose iterators were dropped, not cancelled yet
        self._oneways: deque[IncomingOneway] = deque()  # waiting for the one that runs
        self._oneway_runs = False
        self._window = connection.limits.window
        self._values = {
            name: Values(self._refer, self._resolver(name)) for name in ("sync", "async")
        }  # by the flavour that references take
        self._own_values = self._values[flavour]

    # --- the session a driver pumps ------------------------------------------------------------------------

    def attach(self, link: Link, now: float) -> None:
        self._link = link

    def receive(self, data: bytes, now: float) -> Sequence[Job]:
        with self._lock:
            events = self._connection.receive(data, now)
        if self._connection.frame_due:
            self._link.rearm()
        return self._handle(events, now)

    def eof(self, now: float) -> Sequence[Job]:
        with self._lock:
            events = self._connection.eof()
        return self._handle(events, now)

    def tick(self, now: float) -> Sequence[Job]:
        with self._lock:
            events = self._connection.tick(now)
        return self._handle(events, now)

    def outgoing(self) -> Sequence[Buffer]:
        with self._lock:
            if self._released:
                self._send_releases()
            while self._dropped_calls:
                self._connection.cancel(self._dropped_calls.popleft())
            return self._connection.outgoing()

    @property
    def ready(self) -> bool:
        return self._connection.ready or bool(self._released) or bool(self._dropped_calls)

    def held_back(self, count: int) -> None:
        with self._lock:
            self._connection.held_back(count, time.monotonic())

    def wanted(self) -> int:
        return self._connection.wanted()

    def due(self) -> float | None:
        return self._connection.due()

    @property
    def finished(self) -> bool:
        return self._connection.phase >= 2  # CLOSING or CLOSED: only what is queued still leaves

    @property
    def facts(self) -> PeerFacts:
        return self._link.facts

    @property
    def formatter(self) -> str:
        """The formatter that was agreed; empty before the handshake."""
        agreement = self._connection.agreement
        return agreement.formatter if agreement is not None else ""

    def lost(self, error: Exception) -> None:
        self._ended(error)

    def _handle(self, events: list[Event], now: float) -> Sequence[Job]:
        jobs: list[Job] = []
        for kind, token, body, segments in events:
            if kind == RETURN or kind == FAULT or kind == END:
                token.resolve(kind, body, segments)  # type: ignore[attr-defined]  # a Pending or IncomingItems
            elif kind == CALL or kind == BATCH:
                job = self._incoming(kind, token, body, segments, now)  # type: ignore[arg-type]  # the peer's id
                if job is not None:
                    jobs.append(job)
            elif kind == ITEM:
                token.item(body, segments)  # type: ignore[attr-defined]  # IncomingItems
            else:
                job = self._rare(kind, token, body, segments, now)
                if job is not None:
                    jobs.append(job)
        return jobs

    def _rare(self, kind: int, token: Any, body: bytes, segments: Sequence[Buffer], now: float) -> Job | None:
        if kind == ONEWAY:
            return self._incoming_oneway(body, segments, now)
        if kind == CREDIT or kind == CANCEL:
            call = self._serving.get(token)
            if call is not None:
                call.credit() if kind == CREDIT else call.cancel()
        elif kind == RELEASE:
            self._peer_released(body)
        elif kind == OPENED:
            self._opened(token)
        elif kind == DROPPED:
            self._decode(body, segments)  # references in it are counted, and given back at once
        elif kind == CLOSED:
            self._ended(token)
        return None

    def _opened(self, agreement: Any) -> None:
        self._chain = chain = self._make_chain(agreement.formatter)
        self._encode = chain.encode
        self._sinks = bool(chain.message_sinks)
        self.facts.name = agreement.peer.name
        self.holder = agreement.peer.session or self.holder
        self._window = min(self._window, agreement.peer.window)
        if self._on_open is not None:
            self._on_open(self)
        self.opened.resolve(OPENED, b"", ())

    # --- calls out -----------------------------------------------------------------------------------------

    def call(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call and wait for the result."""
        timeout = remaining()
        pending = Pending()
        used = self._send(CALL, pending, ref, method, args, kwargs, timeout)
        try:
            used._link.wait(pending, timeout)
        except BaseException:
            used.give_up(pending)
            raise
        if not pending.arrived:
            used.give_up(pending)
            raise used._timed_out(ref, method, timeout)
        try:
            return used._result(pending, ref, method)
        except ContractMismatch as error:
            contract = _doubted(ref, error)
            used._judge(ref, contract, used.call(used.host_reference(), DESCRIBE, (ref.uri, contract.name), {}))
            return used.call(ref, method, args, kwargs)

    async def call_async(
        self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Any:
        """Call and await the result."""
        if self.error is not None and self.revive_async is not None and self.successor is None:
            await self.revive_async()
        if method.oneway:
            return self.oneway(ref, method, args, kwargs)
        timeout = remaining()
        pending = Pending()
        used = self._send(CALL, pending, ref, method, args, kwargs, timeout)
        await used._arrival(pending, timeout)
        if not pending.arrived:
            used.give_up(pending)
            raise used._timed_out(ref, method, timeout)
        try:
            return used._result(pending, ref, method, "async")
        except ContractMismatch as error:
            contract = _doubted(ref, error)
            query = (ref.uri, contract.name)
            used._judge(ref, contract, await used.call_async(used.host_reference(), DESCRIBE, query, {}))
            return await used.call_async(ref, method, args, kwargs)

    async def _arrival(self, pending: Pending, timeout: float | None) -> None:  # noqa: ASYNC109  # checked by the caller
        """Await that ``pending`` is done, at most ``timeout`` seconds; cancelling gives the call up."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        arrived = loop.create_future()
        pending.callback = lambda _: self._link.in_loop(loop, _wake, arrived)
        self._link.flush()
        if pending.arrived:
            return
        timer = loop.call_later(timeout, _wake, arrived) if timeout is not None else None
        try:
            await arrived
        except BaseException:
            self.give_up(pending)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def future(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> CallFuture:
        """Call and return at once; the future holds the result."""
        future = CallFuture(self, ref, method, args, kwargs)
        future.endpoint = used = self._send(CALL, future, ref, method, args, kwargs, remaining())
        used._link.flush_soon()
        return future

    def wait_for(self, future: CallFuture, timeout: float | None) -> None:
        """Pump until ``future`` is done, or ``timeout`` seconds passed."""
        self._link.wait(future, timeout)

    def settle(self, future: CallFuture, kind: int, body: bytes, segments: Sequence[Buffer]) -> None:
        """The answer to a future's call came."""
        if kind == FAULT and future.ref.unchecked:
            # The contracts may have to be compared, which is a call: not on the thread that reads its answer.
            self._link.spawn(Errand(lambda: self._settle_first(future, kind, body, segments)))
            return
        error: BaseException | None = None
        value = None
        try:
            if kind == RETURN and future.states is None:
                value = future.method.result(self._decode(body, segments)[0])
                future.ref.unchecked = False
            else:
                value = self._settled(future, kind, body, segments)
        except BaseException as raised:  # noqa: BLE001  # whatever it is, it is the future's outcome
            error = raised
        future.settle(value, error)

    def _settle_first(self, future: CallFuture, kind: int, body: bytes, segments: Sequence[Buffer]) -> None:
        """The first answer to a proxy is a fault."""
        ref = future.ref
        try:
            try:
                value = self._settled(future, kind, body, segments)
            except ContractMismatch as error:
                contract = _doubted(ref, error)
                self._judge(ref, contract, self.call(self.host_reference(), DESCRIBE, (ref.uri, contract.name), {}))
                value = self.call(ref, future.method, future.args, future.kwargs)
        except BaseException as raised:  # noqa: BLE001  # whatever it is, it is the future's outcome
            future.settle(None, raised)
        else:
            future.settle(value, None)

    def _settled(self, future: CallFuture, kind: int, body: bytes, segments: Sequence[Buffer]) -> Any:
        pending = Pending()
        pending.states = future.states
        pending.resolve(kind, body, segments)
        return self._result(pending, future.ref, future.method)

    def begin(
        self,
        ref: Reference,
        method: Method,
        args: tuple[object, ...],
        done: Callable[[Any, Exception | None], None],
    ) -> None:
        """Call without waiting; ``done(value, error)`` is called once, by the thread that reads."""

        def settle(pending: Pending) -> None:
            try:
                value = self._result(pending, ref, method)
            except ContractMismatch as error:
                if not ref.unchecked:
                    done(None, error)
                else:  # the contracts are to be compared, which is a call: not on the thread that reads its answer
                    self._link.spawn(Errand(lambda: self._begin_again(ref, method, args, done)))
            except Exception as error:  # noqa: BLE001  # handed on
                done(None, error)
            else:
                done(value, None)

        pending = Pending()
        pending.callback = settle
        self._send(CALL, pending, ref, method, args, {}, remaining())._link.flush()

    def _begin_again(
        self,
        ref: Reference,
        method: Method,
        args: tuple[object, ...],
        done: Callable[[Any, Exception | None], None],
    ) -> None:
        try:
            value = self.call(ref, method, args, {})
        except Exception as error:  # noqa: BLE001  # handed on
            done(None, error)
        else:
            done(value, None)

    def assign(self, ref: Reference, method: Method, value: tuple[object, ...]) -> None:
        """Set or delete a property from async code, which cannot await an assignment."""

        def done(_: object, error: Exception | None) -> None:
            if error is not None:
                ref.deferred = error

        self._raise_deferred(ref)
        self.begin(ref, method, value, done)

    def oneway(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Send a call that is not answered."""
        if self.error is not None:
            self._next().oneway(ref, method, args, kwargs)
            return
        body, segments = self._encode_call(ref, method, args, kwargs, remaining(), None)
        with self._lock:
            self._connection.oneway(body, segments)
        self._link.flush()

    def stream(
        self,
        ref: Reference,
        method: Method,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        *,
        asynchronous: bool,
    ) -> ItemsSync | ItemsAsync:
        """Call a generator; its items come as the returned iterator asks for them."""
        items = IncomingItems(self, ref, method, self._window)
        items.endpoint = used = self._send(CALL, items, ref, method, args, kwargs, None)
        used.grant(items.call_id, self._window)
        return ItemsAsync(items, used._link) if asynchronous else ItemsSync(items, used._link)

    def grant(self, call_id: int, items: int) -> None:
        """Take ``items`` more from a stream."""
        with self._lock:
            self._connection.grant(call_id, items)
        self._link.flush()

    def batch(self, calls: list[tuple[Reference, Method, tuple[object, ...], dict[str, object]]]) -> Pending:
        """Send many calls in one frame; the pending's value is the list of their answers."""
        timeout = remaining()
        envelopes = [self._envelope(ref, method, args, kwargs, timeout) for ref, method, args, kwargs in calls]
        body, segments = self._encode(envelopes, self._own_values)
        pending = Pending()
        self._transmit(BATCH, pending, body, segments)
        return pending

    def wait_batch(self, pending: Pending, ref: Reference, method: Method) -> list[Any]:
        """The answers of a batch: ``[value]`` or ``[None, fault]`` each."""
        timeout = remaining()
        self._link.wait(pending, timeout)
        return self._batch_answers(pending, ref, method, timeout)

    async def batch_async(
        self, calls: list[tuple[Reference, Method, tuple[object, ...], dict[str, object]]]
    ) -> list[Any]:
        """Send many calls in one frame and await their answers."""
        timeout = remaining()
        pending = self.batch(calls)
        await self._arrival(pending, timeout)
        return self._batch_answers(pending, calls[0][0], calls[0][1], timeout)

    def _batch_answers(self, pending: Pending, ref: Reference, method: Method, timeout: float | None) -> list[Any]:
        if not pending.arrived:
            self.give_up(pending)
            raise self._timed_out(ref, method, timeout)
        if pending.kind != RETURN:
            self._raise_fault(pending, ref, method)
        value = self._decode(pending.body, pending.segments)
        if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], list):
            raise ProtocolError("the answer to a batch is not a list")
        return value[0]

    def give_up(self, pending: Any) -> bool:
        """Tell the peer that nobody waits for this call any more. False: it had not been sent."""
        with self._lock:
            sent = self._connection.cancel(pending.call_id)
        self._link.flush()
        return sent

    def _send(
        self,
        kind: int,
        pending: Any,  # a Pending or IncomingItems
        ref: Reference,
        method: Method,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        timeout: float | None,
    ) -> "Endpoint":
        """Send a call; returns the endpoint that took it: another one after the connection was made anew."""
        if self.error is not None:
            return self._next()._send(kind, pending, ref, method, args, kwargs, timeout)
        if ref.unchecked or kwargs or ref.deferred is not None or ref.released or self._special():
            body, segments = self._encode_call(ref, method, args, kwargs, timeout, pending)
            if body is None:
                return self  # a sink has answered
        else:
            try:
                body, segments = self._encode([ref.uri, method.name, list(args), timeout], self._own_values)
            except TypeError as error:
                raise self._cannot_travel(error, ref, method) from None
        with self._lock:
            if self.error is not None:
                raise self._unsent_error()
            pending.call_id = self._connection.call(kind, pending, body, segments)
        return self

    def _next(self) -> "Endpoint":
        """The connection that took this one's place; made now, if there is a way to."""
        if self.successor is None and self.revive is not None and not isinstance(self.error, ForkedConnection):
            self.revive()
        if self.successor is None:
            raise self._unsent_error()
        return self.successor

    def _special(self) -> bool:
        """Whether calls need more than target, method, arguments and time."""
        return serving.get() is not None or self._sinks

    def _transmit(self, kind: int, pending: Any, body: bytes, segments: Sequence[Buffer]) -> None:
        with self._lock:
            if self.error is not None:
                raise self._unsent_error()
            pending.call_id = self._connection.call(kind, pending, body, segments)

    def _not_open(self, value: object, values: object) -> tuple[bytes, Sequence[Buffer]]:
        raise self._unsent_error()

    def _unsent_error(self) -> ConnectionLost:
        error = self.error
        if isinstance(error, ForkedConnection):
            return error
        reason = f": {error}" if error is not None and str(error) else ""
        return NotSent(f"{self.facts}: the connection is closed{reason}; connect again", peer=str(self.facts))

    def _encode_call(
        self,
        ref: Reference,
        method: Method,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        timeout: float | None,
        pending: Any,  # a Pending, or None for a one-way call
    ) -> Any:
        """(body, segments) of a call; body None when a sink answered it already."""
        if ref.deferred is not None:
            self._raise_deferred(ref)
        envelope = self._envelope(ref, method, args, kwargs, timeout)
        if self._sinks:
            passed = self._through_sinks(envelope, pending)
            if passed is None:
                return None, ()
            envelope = passed
        try:
            return self._encode(envelope, self._own_values)
        except TypeError as error:
            raise self._cannot_travel(error, ref, method) from None

    def _cannot_travel(self, error: TypeError, ref: Reference, method: Method) -> InvalidArguments:
        return InvalidArguments(f"{method.where}: {error}", uri=ref.uri, method=method.name, peer=str(self.facts))

    def _envelope(
        self,
        ref: Reference,
        method: Method,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        timeout: float | None,
    ) -> list[Any]:
        if ref.released:
            raise ref.closed_error()
        caller = serving.get()
        if not ref.unchecked and not kwargs and caller is None:
            return [ref.uri, method.name, list(args), timeout]
        meta: dict[str, object] = {}
        if ref.unchecked:
            contract = ref.contract()
            if contract is not None:
                meta["c"], meta["f"] = contract.name, contract.fingerprint
        if caller is not None:
            meta["d"] = caller.depth + 1
        return [ref.uri, method.name, list(args), timeout, kwargs or None, meta or None]

    def _through_sinks(self, envelope: list[Any], pending: Any) -> list[Any] | None:
        call = Call(*envelope)
        passed = self._chain.request(call)
        if isinstance(passed, Return | Fault):
            if pending is not None:
                pending.states = passed
                pending.resolve(RETURN, b"", ())
            return None
        call, states = passed
        if pending is not None:
            pending.states = states
        return [call.target, call.method, list(call.args), call.timeout, call.kwargs, call.meta]

    def _decode(self, body: bytes, segments: Sequence[Buffer], flavour: Flavour | None = None) -> Any:
        values = self._own_values if flavour is None else self._values[flavour]
        try:
            return self._chain.decode(body, segments, values)
        except ValueError as error:
            raise ProtocolError(f"{self.facts}: a message cannot be decoded: {error}") from None

    def item_value(self, body: bytes, segments: Sequence[Buffer], method: Method, *, asynchronous: bool) -> object:
        """One item of a stream that we consume."""
        return method.result(self._decode(body, segments, "async" if asynchronous else "sync")[0])

    def raise_fault(self, body: bytes, segments: Sequence[Buffer], ref: Reference, method: Method) -> None:
        """Raise what a fault's bytes stand for."""
        pending = Pending()
        pending.resolve(FAULT, body, segments)
        self._raise_fault(pending, ref, method)

    def abandon_call(self, call_id: int) -> None:
        """Give a call up from a finalizer: takes no lock."""
        self._dropped_calls.append(call_id)
        if self.error is None:
            self._link.flush_soon()

    def wake(self, loop: "asyncio.AbstractEventLoop", future: "asyncio.Future[None]") -> None:
        """Wake an async consumer, from whatever thread."""
        self._link.in_loop(loop, _wake, future)

    # --- answers to our calls ------------------------------------------------------------------------------

    def _result(self, pending: Pending, ref: Reference, method: Method, flavour: Flavour | None = None) -> Any:
        if pending.kind != RETURN:
            self._raise_fault(pending, ref, method)
        if pending.states is not None:
            return method.result(self._replied(pending, flavour))
        value = self._decode(pending.body, pending.segments, flavour)[0]
        ref.unchecked = False
        return method.result(value)

    def _replied(self, pending: Pending, flavour: Flavour | None) -> Any:
        """The reply after message sinks saw it."""
        states = pending.states
        if isinstance(states, Return | Fault):
            reply: Return | Fault = states
        else:
            reply = self._chain.reply(Return(self._decode(pending.body, pending.segments, flavour)[0]), states)
        if isinstance(reply, Fault):
            raise reply.error
        return reply.value

    def _raise_fault(self, pending: Pending, ref: Reference, method: Method) -> None:
        if pending.error is not None:
            raise pending.error
        error = self.fault_of(self._decode(pending.body, pending.segments))
        if pending.states is not None and not isinstance(pending.states, Return | Fault):
            reply = self._chain.reply(Fault(error), pending.states)
            error = reply.error if isinstance(reply, Fault) else error
        if isinstance(error, RpcxError):
            error.uri, error.method = error.uri or ref.uri, error.method or method.name
            error.peer = error.peer or str(self.facts)
        raise error

    def fault_of(self, fault: object) -> Exception:
        """The exception that a fault's envelope stands for."""
        try:
            return decode_fault(fault, str(self.facts))
        except ValueError as error:
            return ProtocolError(f"{self.facts}: a fault cannot be decoded: {error}")

    def _judge(self, ref: Reference, contract: Contract, theirs: Any) -> None:
        """The fingerprints differ: if the contracts fit all the same, remember that; else raise."""
        if theirs is None:
            raise mismatch(ref, contract, f"the object there is no {contract.name}")
        reason, added = difference(contract.describe(), theirs)
        if reason is not None:
            raise mismatch(ref, contract, reason)
        log.warning("%s: %s differs there and here, and still fits: %s", ref.uri, contract.name, "; ".join(added))
        ref.unchecked = False

    def _timed_out(self, ref: Reference, method: Method, timeout: float | None) -> CallTimeout:
        return CallTimeout(
            f"{ref.uri}.{method.name} did not answer within {timeout:g} s ({self.facts}); it may have run. "
            "Allow more with rpcx.options(timeout=...)",
            uri=ref.uri, method=method.name, peer=str(self.facts), executed="maybe",
        )  # fmt: skip

    def _raise_deferred(self, ref: Reference) -> None:
        error, ref.deferred = ref.deferred, None
        if error is not None:
            error.add_note("raised by an earlier assignment to this proxy")
            raise error

    # --- calls in ------------------------------------------------------------------------------------------

    def _incoming(self, kind: int, call_id: int, body: bytes, segments: Sequence[Buffer], now: float) -> Job | None:
        try:
            envelope = self._decode(body, segments)
            if kind == BATCH:
                return self._incoming_batch(call_id, envelope, now)
            job = self._prepare(envelope, call_id, now, IncomingCall)
        except Exception as error:  # noqa: BLE001  # the caller is told, nobody else is concerned
            self._refuse(call_id, error)
            return None
        self._serving[call_id] = job
        return job

    def _prepare(self, envelope: Any, call_id: int, now: float, kind: type[IncomingCall]) -> IncomingCall:
        """The job for a call's envelope."""
        message = states = None
        if self._sinks:
            message, states, envelope = self._from_sinks(envelope)
        try:
            target, name, args, timeout, *rest = envelope
            entry = self.table.find(target)
        except (ValueError, TypeError):
            raise ProtocolError("a call's envelope is [target, method, args, seconds, kwargs?, meta?]") from None
        depth = self._check_meta(rest[1], entry) if rest and rest[1] else 0
        method = entry.methods.get(name)
        if method is None:
            raise self._no_method(entry, name)
        if method.streams and kind is IncomingCall:
            kind = IncomingStream
        job = kind(self, call_id, entry, method)
        job.args = args
        if rest:
            job.kwargs = rest[0]
            job.depth = depth
        if timeout is not None:
            job.deadline = now + timeout
        if message is not None:
            job.message, job.states = message, states
        if method.is_async is not (self.flavour == "async"):
            self._convert(job, "async" if method.is_async else "sync")
        return job

    def _check_meta(self, meta: Any, entry: Entry) -> int:
        if not isinstance(meta, dict):
            raise ProtocolError("a call's meta is a map")
        name = meta.get("c")
        if name is not None and entry.contract is not None:
            contract = entry.contract.lineage.get(name)
            if contract is None or contract.fingerprint != meta.get("f"):
                raise ContractMismatch(f"{entry.uri} is a {entry.contract.name} whose contract differs", uri=entry.uri)
        depth = meta.get("d", 0)
        if not isinstance(depth, int) or depth > DEEPEST:
            raise LimitExceeded(f"calls that call back are nested deeper than {DEEPEST}; is this an endless loop?")
        return depth

    def _no_method(self, entry: Entry, name: object) -> ObjectNotFound:
        kind = entry.contract.name if entry.contract is not None else "function"
        offered = ", ".join(sorted(entry.methods))
        return ObjectNotFound(
            f"{entry.uri}: {kind} has no remote method {str(name)[:80]!r} (it has: {offered})",
            uri=entry.uri, method=str(name)[:80],
        )  # fmt: skip

    def _from_sinks(self, envelope: Any) -> tuple[Call, Any, list[Any]]:
        call = Call(*envelope)
        passed = self._chain.inward(call)
        if isinstance(passed, Fault):
            raise passed.error
        if isinstance(passed, Return):
            raise _Answered(passed.value)
        call, states = passed
        return call, states, [call.target, call.method, list(call.args), call.timeout, call.kwargs, call.meta]

    def _convert(self, job: IncomingCall, flavour: Flavour) -> None:
        """Give a method proxies that it can use: awaitable ones to an async method, others to a sync one."""
        job.args = [_as(arg, flavour) for arg in job.args]
        if job.kwargs:
            job.kwargs = {key: _as(arg, flavour) for key, arg in job.kwargs.items()}

    def _incoming_oneway(self, body: bytes, segments: Sequence[Buffer], now: float) -> Job | None:
        try:
            job = self._prepare(self._decode(body, segments), 0, now, IncomingOneway)
        except Exception as error:  # noqa: BLE001  # nobody awaits an answer
            self.oneway_failures += 1
            log.warning("a one-way call from %s failed: %r", self.facts, error)
            return None
        with self._lock:
            if self._oneway_runs:
                self._oneways.append(job)  # type: ignore[arg-type]  # made as an IncomingOneway above
                return None
            self._oneway_runs = True
        return job

    def oneway_done(self) -> None:
        """A one-way call ended: run the next of this connection."""
        with self._lock:
            if not self._oneways:
                self._oneway_runs = False
                return
            job = self._oneways.popleft()
        self._link.spawn(job)

    def _incoming_batch(self, call_id: int, envelopes: Any, now: float) -> Job | None:
        if not isinstance(envelopes, list) or not envelopes:
            raise ProtocolError("a batch is a list of calls")
        calls: list[Any] = []
        for envelope in envelopes:
            try:
                job = self._prepare(envelope, call_id, now, BatchedCall)
                if job.method.streams:
                    raise InvalidArguments(f"{job.uri}.{job.method_name} streams; it cannot be part of a batch")
                calls.append(job)
            except RpcxError as error:
                calls.append(error)
        if not any(isinstance(call, IncomingCall) for call in calls):
            self._answer(call_id, RETURN, [[[None, self.fault(call)] for call in calls]])
            return None
        batch = IncomingBatch(self, call_id, calls)
        for call in calls:
            if isinstance(call, BatchedCall):
                call.batch = batch
        self._serving[call_id] = batch
        return batch

    # --- answers to the peer's calls -----------------------------------------------------------------------

    def answer(self, call: IncomingCall, value: object) -> None:
        """The method returned ``value``."""
        self._serving.pop(call.call_id, None)
        if call.states is not None:
            reply = self._chain.outward(Return(value), call.states)
            if isinstance(reply, Fault):
                self._answer(call.call_id, FAULT, self.fault(reply.error))
                return
            value = reply.value
        try:
            body, segments = self._encode([value], self._own_values)
            with self._lock:
                self._connection.reply(RETURN, call.call_id, body, segments)
        except Exception as error:  # noqa: BLE001  # the result cannot travel: that is the answer
            text = f"{call.uri}.{call.method_name} ran, but its result cannot be sent: {error}"
            failed = LimitExceeded(text) if isinstance(error, LimitExceeded) else InvalidArguments(text)
            failed.executed = "yes"
            self._answer(call.call_id, FAULT, self.fault(failed))
            return
        self._link.flush()

    def answer_fault(self, call: IncomingCall, error: BaseException) -> None:
        """The method, or the way to it, raised ``error``."""
        self._serving.pop(call.call_id, None)
        if call.states is not None and isinstance(error, Exception):
            reply = self._chain.outward(Fault(error), call.states)
            if isinstance(reply, Return):
                self._answer(call.call_id, RETURN, [reply.value])
                return
            error = reply.error
        self._answer(call.call_id, FAULT, self.fault(error))

    def fault(self, error: BaseException) -> list[object]:
        """The envelope of an exception."""
        if not isinstance(error, Exception):
            error = RemoteError(f"{type(error).__name__}: {error}", type_name=type(error).__name__)
        return encode_fault(error, detail="full" if self._detail else "type")

    def _refuse(self, call_id: int, error: Exception) -> None:
        if isinstance(error, _Answered):
            self._answer(call_id, RETURN, [error.value])
        else:
            self._answer(call_id, FAULT, self.fault(error))

    def _answer(self, call_id: int, kind: int, envelope: object) -> None:
        body, segments = self._encode(envelope, self._own_values)
        with self._lock:
            self._connection.reply(kind, call_id, body, segments)
        self._link.flush()

    # --- streams to the peer -------------------------------------------------------------------------------

    def credit(self, call_id: int) -> int:
        """Items the consumer takes now."""
        with self._lock:
            return self._connection.credit(call_id)

    def send_item(self, call: IncomingStream, item: object) -> None:
        """One item of a stream."""
        body, segments = self._encode([item], self._own_values)
        with self._lock:
            self._connection.item(call.call_id, body, segments)
        self._link.flush_soon()

    def end_stream(self, call: IncomingStream) -> None:
        """The generator ended."""
        self._serving.pop(call.call_id, None)
        with self._lock:
            self._connection.reply(END, call.call_id, b"")
        self._link.flush()

    def resume_stream(self, call: IncomingStream) -> None:
        """Credit arrived, or the consumer left: run a slice unless one runs."""
        with self._lock:
            start = call.take_up()
        if start:
            self._link.spawn(call)

    def rest_stream(self, call: IncomingStream) -> bool:
        """A slice used up its credit; True: rest until more comes."""
        self._link.flush()
        with self._lock:
            return call.rest()

    # --- references ----------------------------------------------------------------------------------------

    def _refer(self, instance: object) -> list[object] | None:
        """The wire form of an object that goes by reference; None if it cannot."""
        if isinstance(instance, Proxy):
            ref: Reference = instance._rpcx_ref
            if ref.endpoint is self:
                return [HOME, ref.uri]
        entry = self.table.export(instance, self.holder)
        if entry is None:
            return None
        if entry.contract is None:
            return [CALLABLE, entry.uri]
        return [REF, entry.uri, list(entry.contract.lineage)[::-1]]

    def _resolver(self, flavour: Flavour) -> Callable[[list[Any]], object]:
        return lambda fields: self._resolve(fields, flavour)

    def _resolve(self, fields: list[Any], flavour: Flavour) -> object:
        match fields:
            case ["home", str(uri)]:
                return self.table.home(uri)
            case ["call", str(uri)]:
                return make_proxy(self._received(uri, ()), flavour)
            case ["ref", str(uri), [*names]] if names and all(isinstance(name, str) for name in names):
                return make_proxy(self._received(uri, tuple(names)), flavour)
        raise ValueError("a reference of unknown form")

    def _received(self, uri: str, names: tuple[str, ...]) -> Reference:
        """The reference for an id that just arrived once more."""
        with self._lock:
            weak = self._imports.get(uri)
            ref: Reference | None = weak() if weak is not None else None
            if ref is None or ref.released:
                ref = Reference(self, uri, names)
                self._imports[uri] = weakref.ref(ref)
            ref.count += 1
        return ref

    def give_back(self, uri: str, count: int) -> None:
        """A reference died. May run inside a finalizer, in any thread: takes no lock."""
        self._released.add(uri, count)
        if self.error is None:
            self._link.flush_soon()

    def _send_releases(self) -> None:
        """Called under the lock."""
        released = self._released.take()
        if self.error is not None or self._chain is None:
            return
        for uri, _ in released:
            weak = self._imports.get(uri)
            if weak is not None and weak() is None:
                del self._imports[uri]
        body, _ = self._encode([list(pair) for pair in released], self._own_values)
        self._connection.release(body)

    def _peer_released(self, body: bytes) -> None:
        released = self._decode(body, ())
        pairs = [(uri, count) for uri, count in released if isinstance(uri, str) and isinstance(count, int)]
        self.table.release(pairs, self.holder)

    def adopt(self, before: "Endpoint") -> None:
        """The peer came back: its references, held here all the while, are good again over this connection."""
        with before._lock:
            imports, before._imports = before._imports, {}
        for uri, weak in imports.items():
            ref = weak()
            if ref is not None:
                ref.endpoint = self
                self._imports[uri] = weak
        before.successor = self

    def host_reference(self) -> Reference:
        """The service that every end offers about itself."""
        return Reference(self, HOST_URI, ())

    # --- ends ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Say goodbye; what is queued still leaves."""
        with self._lock:
            self._connection.goodbye()
        self._link.flush()
        self._link.close()

    def forked(self) -> None:
        """This is a child process's copy: its locks may be held by threads that are not here."""
        self._lock = threading.Lock()
        self.error = ForkedConnection(
            "this connection belongs to the parent process; connect anew in the child", peer=str(self.facts)
        )

    def _ended(self, error: Exception | None) -> None:
        with self._lock:
            if self.error is not None:
                return
            self.error = error if error is not None else ConnectionLost("it was closed")
            tokens = self._connection.abandon()
        calls, self._serving = list(self._serving.values()), {}
        text = f"{self._link.facts if self._link is not None else 'the peer'}: {self.error}"
        if not self.opened.arrived:
            self.opened.fail(self.error)
        for token in tokens:
            failed = MaybeExecuted(f"{text}; the call may have run", peer=str(self.facts))
            token.fail(failed)  # type: ignore[attr-defined]  # a Pending or IncomingItems
        for call in calls:
            call.cancel()
        if self._on_close is not None:
            self._on_close(self, error)

    def stats(self) -> dict[str, int]:
        """Counters, for inspection."""
        out, into = self._connection.in_flight
        return {
            "calls_out": out, "calls_in": into, "imports": len(self._imports),
            "oneway_failures": self.oneway_failures, "unsent_bytes": self._connection.unsent,
        }  # fmt: skip


class _Answered(Exception):
    """A sink answered a call before it reached its object."""

    def __init__(self, value: object) -> None:
        self.value = value


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _doubted(ref: Reference, error: ContractMismatch) -> Contract:
    """The contract to compare in full after a mismatch; raises it again when that was done, or cannot be."""
    contract = ref.contract()
    if not ref.unchecked or contract is None:
        raise error
    return contract


def _as(value: Any, flavour: Flavour) -> Any:  # plain data with proxies in it
    if isinstance(value, Proxy):
        return value._rpcx_as(flavour)
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_as(item, flavour) for item in value)
    if type(value) is dict:
        return {key: _as(item, flavour) for key, item in value.items()}
    return value
