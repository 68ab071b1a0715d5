"""The ways to make a call: waiting, awaiting, for later, in one direction, as a stream, many at once.

Whatever the way, the call is sent by `Requests._send`, which may hand it to the connection that took this one's
place. Comparing contracts in full is itself a call, so it is never made by the thread that reads.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rpcx.abc import Buffer
from rpcx.context import remaining, serving, timeouts
from rpcx.errors import ContractMismatch, ProtocolError
from rpcx.protocol.connection import BATCH, CALL, FAULT, RETURN
from rpcx.protocol.frames import NO_SEGMENTS
from rpcx.remoting.arrivals import arrival, tell, timed_out, wake
from rpcx.remoting.bursts import Burst
from rpcx.remoting.contract import Method
from rpcx.remoting.dispatch import Errand
from rpcx.remoting.pending import CallFuture, Pending
from rpcx.remoting.proxy import dynamic_method
from rpcx.remoting.references import Reference
from rpcx.remoting.requests import Requests, doubted, serving_now
from rpcx.remoting.runs import Run
from rpcx.remoting.streams import IncomingItems, ItemsAsync, ItemsSync
from rpcx.remoting.wire import ReadAhead
from rpcx.sinks.lowering import SCALARS

if TYPE_CHECKING:
    import asyncio  # at run time only where something is awaited: importing it takes 46 ms

chosen_timeout: Final = timeouts.get  # a name of the module's own, which CPython 3.11 finds 30 ns sooner
DESCRIBE: Final = dynamic_method("contract")  # of the host's own service: an object's contract, as data


class Outgoing(Requests):
    """Calls to the peer."""

    # --- one call ----------------------------------------------------------------------------------------------

    def call(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call and wait for the result."""
        timeout = chosen_timeout() if serving_now() is None else remaining()  # which would say the same, 50 ns later
        pending = Pending()
        used = self._send(CALL, pending, ref, method, args, kwargs, timeout)
        try:
            used._link.wait(pending, timeout)
        except BaseException:
            used.give_up(pending)
            raise
        if not pending.arrived:
            used.give_up(pending)
            raise timed_out(ref, method, timeout, used.facts)
        try:
            if pending.kind == RETURN and pending.states is None and type(pending.body) is bytes:
                decode = used._decode_body  # `_result`, written out for the usual answer
                try:
                    answer = decode(pending.body, pending.segments, used._own_values)
                except ValueError:
                    answer = None
                if type(answer) is list and len(answer) == 1:
                    ref.unchecked = False
                    result = method.result
                    return result(answer[0])
            return used._result(pending, ref, method)  # which says what is wrong
        except ContractMismatch as error:
            used._compare(ref, error)
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
        used._link.flush()
        await arrival(pending, timeout, used._link.in_loop, used.give_up)
        if not pending.arrived:
            used.give_up(pending)
            raise timed_out(ref, method, timeout, used.facts)
        try:
            return used._result(pending, ref, method, "async")
        except ContractMismatch as error:
            await used._compare_async(ref, error)
            return await used.call_async(ref, method, args, kwargs)

    def _compare(self, ref: Reference, error: ContractMismatch) -> None:
        """The fingerprints differ: compare the contracts in full. Raises `ContractMismatch` when they do not fit."""
        contract = doubted(ref, error)
        self._judge(ref, contract, self.call(self.host_reference(), DESCRIBE, (ref.uri, contract.name), {}))

    async def _compare_async(self, ref: Reference, error: ContractMismatch) -> None:
        contract = doubted(ref, error)
        query = (ref.uri, contract.name)
        self._judge(ref, contract, await self.call_async(self.host_reference(), DESCRIBE, query, {}))

    def oneway(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Send a call that is not answered."""
        if self.error is not None:
            self._next().oneway(ref, method, args, kwargs)
            return
        body, segments = self._encode_call(ref, method, args, kwargs, remaining(), None)
        if body is None:
            return  # a sink has answered
        with self._lock:
            self._leave()
            self._connection.oneway(body, segments)
        self._link.flush()

    def assign(self, ref: Reference, method: Method, value: tuple[object, ...]) -> None:
        """Set or delete a property from async code, which cannot await an assignment."""

        def done(_: object, error: Exception | None) -> None:
            if error is not None:
                ref.deferred = error

        ref.raise_deferred()
        self.begin(ref, method, value, done)

    # --- for later ---------------------------------------------------------------------------------------------

    def future(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> CallFuture:
        """Call and return at once; the future holds the result."""
        future = CallFuture(self, ref, method, args, kwargs)
        if self._joins(future):
            self._link.flush_soon()
            return future
        future.endpoint = used = self._send(CALL, future, ref, method, args, kwargs, remaining())
        used._link.flush_soon()
        return future

    def _joins(self, future: CallFuture) -> bool:
        """Have a call leave together with those begun before and after it, if it is a plain one."""
        ref, args = future.ref, future.args
        if not self._bursts or ref.unchecked or future.kwargs or ref.deferred is not None or ref.released:
            return False
        if future.method.oneway or serving.get() is not None or not SCALARS.issuperset(map(type, args)):
            return False
        timeout = remaining()
        with self._lock:
            if self.error is not None:
                return False  # it goes by itself: over another connection
            burst = self._burst
            if burst is not None and not burst.takes(ref, future.method, args, timeout):
                self._leave()
                burst = None
            call_id = self._connection.join(future)
            if not call_id:
                return False
            future.call_id = call_id
            if burst is not None and call_id == burst.first + burst.count:
                burst.args += args
                burst.count += 1
            else:
                self._leave()
                self._burst = Burst(call_id, ref, future.method, args, timeout)
        return True

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
                value = future.method.result(self._value(body, segments))
                future.ref.unchecked = False
            else:
                value = self._settled(future, kind, body, segments)
        except BaseException as raised:  # noqa: BLE001  # whatever it is, it is the future's outcome
            error = raised
        future.settle(value, error)

    def _returned(self, tokens: list[Any], body: bytes) -> None:  # Pendings, CallFutures; None: given up
        """Many calls returned."""
        values = self._decode_body(body, NO_SEGMENTS, self._own_values)
        if type(values) is not list or len(values) != len(tokens):
            raise ProtocolError(f"the results of {len(tokens)} calls are a list of as many values")
        for token, value in zip(tokens, values, strict=True):
            if type(token) is CallFuture and token.states is None:
                token.came(value)
            elif token is not None:
                token.resolve(RETURN, ReadAhead.of([value]), ())

    def _settle_first(self, future: CallFuture, kind: int, body: bytes, segments: Sequence[Buffer]) -> None:
        """The first answer to a proxy is a fault."""
        ref = future.ref
        try:
            try:
                value = self._settled(future, kind, body, segments)
            except ContractMismatch as error:
                self._compare(ref, error)
                value = self.call(ref, future.method, future.args, future.kwargs)
        except BaseException as raised:  # noqa: BLE001  # whatever it is, it is the future's outcome
            future.settle(None, raised)
        else:
            future.settle(value, None)
        self._link.wake()  # this is a worker: who waits for it may be reading

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
        tell(done, lambda: self.call(ref, method, args, {}))

    # --- streams -----------------------------------------------------------------------------------------------

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

    def item_value(self, body: bytes, segments: Sequence[Buffer], method: Method, *, asynchronous: bool) -> object:
        """One item of a stream that we consume."""
        return method.result(self._value(body, segments, "async" if asynchronous else "sync"))

    def raise_fault(self, body: bytes, segments: Sequence[Buffer], ref: Reference, method: Method) -> None:
        """Raise what a fault's bytes stand for."""
        pending = Pending()
        pending.resolve(FAULT, body, segments)
        self._raise_fault(pending, ref, method)

    def wake(self, loop: "asyncio.AbstractEventLoop", future: "asyncio.Future[None]") -> None:
        """Wake an async consumer, from whatever thread."""
        self._link.in_loop(loop, wake, future)

    # --- many at once ------------------------------------------------------------------------------------------

    @property
    def calls_pass_sinks(self) -> bool:
        """Whether message sinks are to see each call."""
        return self._sinks

    def batch(self, ref: Reference, runs: Sequence[Run]) -> list[Any]:
        """Make many calls in one frame; ``[values, [[index, fault], …]]``."""
        if self.error is not None:
            return self._next().batch(ref, runs)
        timeout = remaining()
        pending = self._send_batch(ref, runs, timeout)
        self._link.wait(pending, timeout)
        answers = self._batch_answers(pending, ref, runs[0].method, timeout)
        error = self._mismatch(ref, answers)
        if error is None:
            return answers
        self._compare(ref, error)
        return self.batch(ref, runs)

    async def batch_async(self, ref: Reference, runs: Sequence[Run]) -> list[Any]:
        """The same, awaited."""
        if self.error is not None and self.revive_async is not None and self.successor is None:
            await self.revive_async()
        if self.error is not None:
            return await self._next().batch_async(ref, runs)
        timeout = remaining()
        pending = self._send_batch(ref, runs, timeout)
        self._link.flush()
        await arrival(pending, timeout, self._link.in_loop, self.give_up)
        answers = self._batch_answers(pending, ref, runs[0].method, timeout)
        error = self._mismatch(ref, answers)
        if error is None:
            return answers
        await self._compare_async(ref, error)
        return await self.batch_async(ref, runs)

    def _send_batch(self, ref: Reference, runs: Sequence[Run], timeout: float | None) -> Pending:
        envelopes = []
        for run in runs:
            target, name, args, *rest = self._envelope(ref, run.method, run.args, run.kwargs, timeout)
            envelopes.append([target, name, run.count, args, *rest])
        try:
            body, segments = self._encode(envelopes, self._own_values)
        except TypeError as error:
            raise self._cannot_travel(error, ref, runs[0].method) from None
        pending = Pending()
        self._transmit(BATCH, pending, body, segments)
        return pending

    def _mismatch(self, ref: Reference, answers: list[Any]) -> ContractMismatch | None:
        """Why no call of a batch was made, if it is that the contracts differ; then it can be sent again."""
        values, faults = answers
        if ref.unchecked and len(faults) == len(values):
            error = self.fault_of(faults[0][1])
            return error if isinstance(error, ContractMismatch) and error.executed == "no" else None
        ref.unchecked = False
        return None

    def _batch_answers(self, pending: Pending, ref: Reference, method: Method, timeout: float | None) -> list[Any]:
        if not pending.arrived:
            self.give_up(pending)
            raise timed_out(ref, method, timeout, self.facts)
        if pending.kind != RETURN:
            self._raise_fault(pending, ref, method)
        value = self._decode(pending.body, pending.segments)
        match value:
            case [[[*values], [*faults]]] if all(type(f) is list and len(f) == 2 for f in faults):
                return [values, faults]
        raise ProtocolError("the answer to a batch is [values, faults]")
