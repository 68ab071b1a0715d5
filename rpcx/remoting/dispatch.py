"""Incoming calls: what is done between a decoded request and its reply.

A job is made on the thread that reads the connection and run wherever the driver decides. Its steps:

    enter the object (its lease is renewed and pinned) → check the arguments → run → leave → answer

While it runs, the job is also what `rpcx.context` shows. A stream is produced in slices: as many items as the
consumer gave credit for, then the job returns, and is run again when credit arrives; no thread waits for a
slow consumer. One-way calls of a connection run one after the other, in order.
"""

import functools
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from rpcx.abc import PeerFacts
from rpcx.context import serving
from rpcx.errors import Cancelled, RpcxError
from rpcx.messages import Call, Fault, Reply, Return
from rpcx.remoting.access import Gate
from rpcx.remoting.contract import Method
from rpcx.remoting.objects import Entry
from rpcx.remoting.room import FAULT_BYTES, NoRoom, Room, returns_little
from rpcx.remoting.runs import rows
from rpcx.remoting.validation import NO_KEYWORDS, Fit

if TYPE_CHECKING:
    import asyncio  # at run time only where something is awaited: importing it takes 46 ms

log = logging.getLogger("rpcx")

# Names of the module's own, which CPython 3.11 finds 30 ns sooner.
begin_serving: Final = serving.set
end_serving: Final = serving.reset

DONE: Final = object()  # a generator has ended
SLICE: Final = 256  # items that a stream produces at once, whatever credit it has


class Answerer(Protocol):
    """The end of a connection that a call came by, and is answered through."""

    oneway_failures: int

    @property
    def facts(self) -> PeerFacts: ...
    @property
    def holder(self) -> Hashable: ...
    @property
    def gate(self) -> Gate: ...
    def answer(self, call: "IncomingCall", value: object, /) -> None: ...
    def answer_fault(self, call: "IncomingCall", error: BaseException, /) -> None: ...
    def fault(self, error: BaseException, /) -> list[object]: ...
    def passed_out(self, reply: Reply, states: Any, /) -> Reply: ...
    def oneway_done(self) -> None: ...
    def credit(self, call_id: int, /) -> int: ...
    def holds(self, call: "IncomingCall", /) -> bool: ...
    def answer_burst(self, call: "IncomingCall", first: int, values: list[Any], /) -> None: ...
    def ended_late(self, count: int, /) -> None: ...
    def call_apart(self, call: "IncomingCall", call_id: int, args: list[object], /) -> None: ...
    def send_item(self, call: "IncomingStream", item: object, /) -> None: ...
    def end_stream(self, call: "IncomingStream", /) -> None: ...
    def resume_stream(self, call: "IncomingStream", /) -> None: ...
    def rest_stream(self, call: "IncomingStream", /) -> bool: ...
    def continue_stream(self, call: "IncomingStream", /) -> None: ...


class Errand:
    """Something of ours that waits for the peer, and so is no work for the thread that reads."""

    is_async = False
    blocking = True

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work

    def run(self) -> None:
        self._work()

    async def run_async(self) -> None:
        self._work()

    def overran(self, now: float) -> None:
        """It has a worker of its own."""


class IncomingCall:
    """One call of the peer's."""

    # Defaults are the class's: one is made for each call, and most are never changed.
    args: Any = ()  # as they came, not checked yet
    kwargs: dict[str, object] | None = None
    deadline: float | None = None  # monotonic seconds at which the caller gives up
    blocking = False  # to be given a thread of its own
    awaited = True  # somebody waits for what it returns
    depth = 0  # how many calls up the chain wait for this one
    cancelled = False  # set when the caller gave up or is gone
    halted = False  # look before it begins: it was given up, or its connection has the brake on
    task: "asyncio.Task[Any] | None" = None  # while an async method runs
    message: Call | None = None  # what message sinks saw; None: there are none
    states: Any = None  # what they want to remember

    def __init__(self, endpoint: Answerer, call_id: int, entry: Entry, method: Method) -> None:
        self.endpoint = endpoint
        self.call_id = call_id
        self.entry = entry
        self.method = method
        self.is_async = method.is_async
        if method.blocking or method.slow_until:
            self.blocking = method.blocking or time.monotonic() < method.slow_until

    # --- what rpcx.context shows ---------------------------------------------------------------------------

    @property
    def peer(self) -> PeerFacts:
        return self.endpoint.facts

    @property
    def uri(self) -> str:
        return self.entry.uri

    @property
    def method_name(self) -> str:
        return self.method.name

    # --- what the driver asks ------------------------------------------------------------------------------

    def overran(self, now: float) -> None:
        self.method.overran(now)

    def run(self) -> None:
        """Call a sync method and answer."""
        if self.halted and self.stopped():
            return
        token = begin_serving(self)
        try:
            method, entry = self.method, self.entry
            instance = entry.enter()
            try:
                args, kwargs, arguments = self.args, NO_KEYWORDS, method.arguments
                if self.kwargs or [*map(type, args)] != arguments.plain:  # a call less where they fit
                    args, kwargs = arguments.fit(args, self.kwargs)
                try:
                    value = method.function(instance, *args, **kwargs)
                except RpcxError as error:
                    mark_as_run(error)
                    raise
                if self.awaited:
                    self.endpoint.answer(self, value)
            finally:
                entry.leave(instance)  # after the answer, which does not wait for it
        except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
            self.answer_fault(error)
        finally:
            end_serving(token)

    async def run_async(self) -> None:
        """Await an async method and answer."""
        from asyncio import current_task

        self.task = current_task()  # first: whoever gives it up either is seen here or cancels this
        if self.halted and self.stopped():
            self.task = None
            return
        token = begin_serving(self)
        try:
            method, entry = self.method, self.entry
            instance = entry.enter()
            try:
                args, kwargs = method.arguments.fit(self.args, self.kwargs)
                try:
                    value = await method.function(instance, *args, **kwargs)
                except RpcxError as error:
                    mark_as_run(error)
                    raise
                if self.awaited:
                    self.endpoint.answer(self, value)
            finally:
                entry.leave(instance)
        except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
            self.answer_fault(error)
        finally:
            self.task = None
            end_serving(token)

    def stopped(self) -> bool:
        """Whether it does not begin: it was given up, and that is answered; or its turn comes later."""
        if self.cancelled:
            self.dropped()
            return True
        return self.endpoint.holds(self)

    # --- how it ends ---------------------------------------------------------------------------------------

    def dropped(self) -> None:
        """It will not begin any more."""
        self.answer_fault(_gave_up(self))

    def answer_fault(self, error: BaseException) -> None:
        if not isinstance(error, Exception) and self.cancelled:
            error = _gave_up(self)  # it was asyncio.CancelledError
        elif not isinstance(error, Exception):
            log.error("%s raised %r; it reaches %s as RemoteError", self.method.where, error, self.peer)
        self.endpoint.answer_fault(self, error)

    def cancel(self, call_id: int = 0) -> None:
        """The caller gave up the call of this id, or (0) its connection is gone."""
        self.cancelled = self.halted = True
        task = self.task
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)

    def credit(self) -> None:
        """The consumer takes more items; of no meaning to a plain call."""


class IncomingOneway(IncomingCall):
    """A call nobody awaits. Failures are counted and logged, here, since nobody else will know."""

    awaited = False

    def run(self) -> None:
        super().run()
        self.endpoint.oneway_done()

    async def run_async(self) -> None:
        await super().run_async()
        self.endpoint.oneway_done()

    def answer_fault(self, error: BaseException) -> None:
        self.endpoint.oneway_failures += 1
        log.warning("one-way call %s.%s failed: %r (of %s)", self.uri, self.method_name, error, self.peer)


class IncomingStream(IncomingCall):
    """A call answered by items. The object stays pinned until the stream ends."""

    def __init__(self, endpoint: Answerer, call_id: int, entry: Entry, method: Method) -> None:
        super().__init__(endpoint, call_id, entry, method)
        self._items: Any = None  # the generator, once the method was called
        self._instance: Any = None  # the entered object
        self._busy = True  # a slice is running or about to; changed under the endpoint's lock
        self._more = False  # credit arrived while one was running
        self._wake: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None  # an async one waits here

    def run(self) -> None:
        """Produce items while there is credit."""
        token = begin_serving(self)
        try:
            while self._slice():
                if self.endpoint.rest_stream(self):
                    return
            self.endpoint.continue_stream(self)
        except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
            self._finish(error)
        finally:
            end_serving(token)

    def _slice(self) -> bool:
        """Produce items while there is credit. False: there is more, and others are to have their turn first."""
        if self._items is None:
            self._items = iter(self._begin())
        for _ in range(SLICE):
            if self.cancelled:
                raise _gave_up(self)
            if self.endpoint.credit(self.call_id) <= 0:
                return True
            item = next(self._items, DONE)
            if item is DONE:
                raise StopIteration
            self.endpoint.send_item(self, item)
        return False

    async def run_async(self) -> None:
        import asyncio

        token = begin_serving(self)
        self.task = asyncio.current_task()
        event = asyncio.Event()
        self._wake = (asyncio.get_running_loop(), event)
        try:
            items: AsyncIterator[object] = aiter(self._begin())
            self._items = items
            while True:
                for _ in range(SLICE):
                    while self.endpoint.credit(self.call_id) <= 0:
                        event.clear()
                        if self.endpoint.credit(self.call_id) <= 0:
                            await event.wait()
                    self.endpoint.send_item(self, await anext(items))
                await asyncio.sleep(0)  # a generator that never waits would have the loop for itself
        except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
            await self._finish_async(error)
        finally:
            self.task = self._wake = None
            end_serving(token)

    def _begin(self) -> Any:
        if self.cancelled:
            raise _gave_up(self)
        self._instance = self.entry.enter()
        args, kwargs = self.method.arguments.fit(self.args, self.kwargs)
        return self.method.function(self._instance, *args, **kwargs)

    def credit(self) -> None:
        wake = self._wake
        if wake is not None:
            wake[0].call_soon_threadsafe(wake[1].set)
        elif not self.is_async:
            self.endpoint.resume_stream(self)

    def cancel(self, call_id: int = 0) -> None:
        super().cancel(call_id)
        if not self.is_async:
            self.endpoint.resume_stream(self)  # to close the generator on a thread that may run it

    def take_up(self) -> bool:
        """Whether a slice is to be started now. Called under the endpoint's lock."""
        if self._busy:
            self._more = True
            return False
        self._busy = True
        return True

    def rest(self) -> bool:
        """Whether the slice that ran is the last for now. Called under the endpoint's lock."""
        if self._more:
            self._more = False
            return False
        self._busy = False
        return True

    def _finish(self, error: BaseException) -> None:
        close = getattr(self._items, "close", None)  # of a generator; other iterators may have none
        if close is not None:
            try:
                close()
            except Exception:
                log.exception("%s: closing its generator failed (of %s)", self.method.where, self.peer)
        self._over(error)

    async def _finish_async(self, error: BaseException) -> None:
        if inspect.isasyncgen(self._items):
            try:
                await self._items.aclose()
            except Exception:
                log.exception("%s: closing its generator failed (of %s)", self.method.where, self.peer)
        self._over(error)

    def _over(self, error: BaseException) -> None:
        if self._instance is not None:
            self.entry.leave(self._instance)
            self._instance = None
        if isinstance(error, StopIteration | StopAsyncIteration):
            self.endpoint.end_stream(self)
        else:
            if self._items is not None and isinstance(error, RpcxError):
                mark_as_run(error)
            self.answer_fault(error)


class BatchedRun(IncomingCall):
    """Calls of a batch that follow one another on one method: found, entered and pinned once."""

    count = 1  # calls; their arguments stand in `args`, one after the other

    def __init__(self, endpoint: Answerer, call_id: int, entry: Entry, method: Method) -> None:
        super().__init__(endpoint, call_id, entry, method)
        self.batch: IncomingBatch | None = None  # set once all its runs are known

    def run(self) -> None:
        batch, function, kwargs = self.batch, self.method.function, self.kwargs or NO_KEYWORDS
        assert batch is not None
        token = begin_serving(self)
        try:
            instance = self.entry.enter()
        except Exception as error:  # noqa: BLE001  # the callers' answer
            self.all_failed(error)
            end_serving(token)
            return
        fit, returned = self._fit(), self._returned()
        try:
            for row in rows(self.args, self.count):
                try:
                    args: Sequence[object] = row
                    if fit is not None:
                        args, kwargs = fit(row, self.kwargs)
                    try:
                        value = function(instance, *args, **kwargs)
                    except RpcxError as error:
                        mark_as_run(error)
                        raise
                    returned(value)
                except NoRoom:
                    raise
                except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
                    batch.failed(error, self.states)
        finally:
            self.entry.leave(instance)
            end_serving(token)

    async def run_async(self) -> None:
        batch, method = self.batch, self.method
        assert batch is not None
        token = begin_serving(self)
        try:
            instance = self.entry.enter()
        except Exception as error:  # noqa: BLE001  # the callers' answer
            self.all_failed(error)
            end_serving(token)
            return
        returned = self._returned()
        try:
            for row in rows(self.args, self.count):
                if batch.cancelled:
                    batch.failed(_gave_up(self))
                    continue
                try:
                    args, kwargs = method.arguments.fit(row, self.kwargs)
                    try:
                        value = await method.function(instance, *args, **kwargs)
                    except RpcxError as error:
                        mark_as_run(error)
                        raise
                    returned(value)
                except NoRoom:
                    raise
                except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
                    batch.failed(error, self.states)
        finally:
            self.entry.leave(instance)
            end_serving(token)

    def _fit(self) -> Fit | None:
        """What fits arguments to the method; None if those of all calls are as they should be."""
        arguments = self.method.arguments
        return None if not self.kwargs and arguments.fit_all(self.args, self.count) else arguments.fit

    def _returned(self) -> Callable[[object], None]:
        """What takes a call's value."""
        batch = self.batch
        assert batch is not None
        take = batch.values.append if self.states is None else functools.partial(batch.passed, self.states)
        return take if returns_little(self.method) else batch.room.taking(take)

    def all_failed(self, error: BaseException) -> None:
        """None of its calls can be made."""
        assert self.batch is not None
        for _ in range(self.count):
            self.batch.failed(error)


class Answered(Exception):
    """A message sink answered a call before it reached its object."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class FailedRun:
    """A run that cannot be begun, and why."""

    def __init__(self, error: RpcxError | Answered, count: int) -> None:
        self.error = error
        self.count = count  # calls in it

    @property
    def reply(self) -> Reply:
        """To each of its calls."""
        return self.error.reply if isinstance(self.error, Answered) else Fault(self.error)


class IncomingBatch(IncomingCall):
    """Many calls in one frame: run one after the other, answered together. One that fails stops no other."""

    def __init__(self, endpoint: Answerer, call_id: int, runs: list[BatchedRun | FailedRun], room: int) -> None:
        begun = [run for run in runs if isinstance(run, BatchedRun)]
        super().__init__(endpoint, call_id, begun[0].entry, begun[0].method)
        self.room = Room(room)  # bytes that all results together may have
        self.runs = runs
        self.is_async = any(run.is_async for run in begun)
        self.blocking = any(run.blocking for run in begun)
        self.values: list[object] = []  # what each call returned; None where it failed
        self._faults: list[object] = []  # [index, fault] of those
        for run in begun:
            run.batch = self

    def overran(self, now: float) -> None:
        """Many short calls may take long together: no method is to blame."""

    def run(self) -> None:
        if self.halted and self.stopped():
            return
        try:
            for run in self.runs:
                if isinstance(run, BatchedRun):
                    run.run()
                else:
                    self._failed_all(run)
        except NoRoom as full:
            self.endpoint.answer_fault(self, full.error)
        else:
            self.endpoint.answer(self, [self.values, self._faults])

    async def run_async(self) -> None:
        from asyncio import current_task

        self.task = current_task()  # first: whoever gives it up either is seen here or cancels this
        if self.halted and self.stopped():
            self.task = None
            return
        try:
            for run in self.runs:
                if not isinstance(run, BatchedRun):
                    self._failed_all(run)
                elif run.is_async:
                    await run.run_async()
                else:
                    run.run()
        except NoRoom as full:
            self.endpoint.answer_fault(self, full.error)
        else:
            self.endpoint.answer(self, [self.values, self._faults])

    def passed(self, states: Any, value: object) -> None:  # what message sinks remember of the call
        """The next call ended well, and sinks see its value."""
        self._pass(Return(value), states)

    def failed(self, error: BaseException, states: Any = None) -> None:  # likewise
        """The next call failed."""
        if states is not None and isinstance(error, Exception):
            self._pass(Fault(error), states)
        else:
            self._fault(error)

    def _pass(self, reply: Reply, states: Any) -> None:  # likewise
        reply = self.endpoint.passed_out(reply, states)
        if isinstance(reply, Fault):
            self._fault(reply.error)
        else:
            self.values.append(reply.value)

    def _fault(self, error: BaseException) -> None:
        self.room.take(FAULT_BYTES)
        self._faults.append([len(self.values), self.endpoint.fault(error)])
        self.values.append(None)

    def _failed_all(self, run: FailedRun) -> None:
        reply = run.reply
        for _ in range(run.count):
            if isinstance(reply, Return):
                self.values.append(reply.value)
            else:
                self.failed(reply.error)

    def cancel(self, call_id: int = 0) -> None:
        super().cancel(call_id)
        for run in self.runs:
            if isinstance(run, BatchedRun):
                run.cancel()


def mark_as_run(error: RpcxError) -> None:
    """What came out of a method: that one ran, whatever the error says of a call that it made itself."""
    if error.executed == "no":
        error.executed = "yes"


def _gave_up(call: IncomingCall) -> Cancelled:
    return Cancelled(f"{call.uri}.{call.method_name} was cancelled by its caller", executed="maybe")
