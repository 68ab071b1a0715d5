"""The client's end of a connection to a Pyro5 daemon: what references to its objects point to.

The ways to make a call: waiting, awaiting, for later, in one direction, as a stream, many at once.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from rpcx.abc import Buffer
from rpcx.context import remaining
from rpcx.errors import (
    InvalidArguments,
    ProtocolError,
    RpcxError,
)
from rpcx.interop.pyro import message
from rpcx.interop.pyro.daemon import DAEMON, URI
from rpcx.interop.pyro.requests import CLOSE, Requests
from rpcx.interop.pyro.streams import Items, ItemsAsync, ItemsSync
from rpcx.interop.pyro.values import FAILED, inward
from rpcx.remoting.arrivals import arrival, tell, timed_out
from rpcx.remoting.contract import Method, MethodKind
from rpcx.remoting.pending import CallFuture, Pending
from rpcx.remoting.proxy import dynamic_method, make_proxy
from rpcx.remoting.references import Reference

if TYPE_CHECKING:
    from rpcx.remoting.runs import Run

NOT_RUN: Final = "an earlier call of this batch failed, and Pyro5 makes none after it"


class Whatever(tuple[str, ...]):
    """The names of contracts of a Pyro object. Pyro5 does not say what an object is: it is taken for what is asked."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return True


UNNAMED: Final = Whatever(("object",))


class ClientSession(Requests):
    """Calls a Pyro5 daemon."""

    calls_pass_sinks = False  # message sinks are rpcx's own

    def _resolve(self, uri: str) -> object:
        match = URI.match(uri)
        if match is not None and match[2] == self.location:
            return make_proxy(Reference(self, match[1], UNNAMED), self.flavour)
        return super()._resolve(uri)

    # --- one call ----------------------------------------------------------------------------------------------

    def call(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call and wait for the result."""
        pending = Pending()
        used = self._ask(ref, method, args, kwargs, pending, used=self._idle())
        used.await_(pending, ref, method)
        return used.result(pending, ref, method)

    async def call_async(
        self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Any:
        """Call and await the result."""
        if method.oneway:
            await self._revived()
            return self.oneway(ref, method, args, kwargs)
        pending = Pending()
        used = self._ask(ref, method, args, kwargs, pending, used=await self._idle_async())
        await used.arrival(pending, ref, method)
        return used.result(pending, ref, method, "async")

    def oneway(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Send a call that is not answered."""
        self._ask(ref, method, args, kwargs, None, message.ONEWAY)

    def assign(self, ref: Reference, method: Method, value: tuple[object, ...]) -> None:
        """Set a property from async code, which cannot await an assignment."""

        def done(_: object, error: Exception | None) -> None:
            ref.deferred = error or ref.deferred

        self.begin(ref, method, value, done)

    def begin(
        self, ref: Reference, method: Method, args: tuple[object, ...], done: Callable[[Any, Exception | None], None]
    ) -> None:
        """Call without waiting; ``done(value, error)`` is called once, by the thread that reads."""
        pending = Pending()
        pending.callback = lambda pending: tell(done, lambda: self.result(pending, ref, method))
        self._ask(ref, method, args, {}, pending)

    def await_(self, pending: Pending, ref: Reference, method: Method) -> None:
        """Block until the answer is here.

        Raises:
            CallTimeout: it did not come in time.
        """
        timeout = remaining()
        self._wait(pending, timeout)
        if not pending.arrived:
            raise timed_out(ref, method, timeout, self._facts)

    async def arrival(self, pending: Pending, ref: Reference, method: Method) -> None:
        """The same in a loop."""
        timeout = remaining()
        await arrival(pending, timeout, self._in_loop, self.give_up)
        if not pending.arrived:
            raise timed_out(ref, method, timeout, self._facts)

    # --- for later, as a stream, many at once ------------------------------------------------------------------

    def future(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> CallFuture:
        """Call and return at once; the future holds the result."""
        future = CallFuture(self, ref, method, args, kwargs)
        future.endpoint = self._ask(ref, method, args, kwargs, future)
        return future

    def settle(self, future: CallFuture, kind: int, body: bytes, segments: Sequence[Buffer]) -> None:
        """The answer to a future's call came."""
        pending = Pending()
        pending.resolve(kind, body, segments)
        try:
            value = self.result(pending, future.ref, future.method)
        except Exception as error:  # noqa: BLE001  # it is the future's outcome
            future.settle(None, error)
        else:
            future.settle(value, None)

    def wait_for(self, future: CallFuture, timeout: float | None) -> None:
        """Pump until ``future`` is done, or ``timeout`` seconds passed."""
        self._wait(future, timeout)

    def give_up(self, pending: Any) -> bool:  # a CallFuture
        """Nobody waits any more; Pyro5 cannot be told."""
        return True

    def stream(
        self,
        ref: Reference,
        method: Method,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        *,
        asynchronous: bool,
    ) -> ItemsSync | ItemsAsync:
        """Call what returns an iterator there."""
        pending = Pending()
        used = self._ask(ref, method, args, kwargs, pending)
        items = Items(used, ref, method, pending)
        return ItemsAsync(items) if asynchronous else ItemsSync(items)

    def close_stream(self, name: str) -> None:
        """No more items of this stream are wanted."""
        self._request(DAEMON, CLOSE, (name,), {}, message.ONEWAY, None)

    def batch(self, ref: Reference, runs: "Sequence[Run]") -> list[Any]:
        """Make many calls in one message; ``[values, [[index, error], …]]``."""
        pending, method = Pending(), runs[0].method
        used = self._usable()._send_batch(ref, runs, pending)
        used.await_(pending, ref, method)
        return used._batch_answers(pending, ref, sum(run.count for run in runs))

    async def batch_async(self, ref: Reference, runs: "Sequence[Run]") -> list[Any]:
        """The same, awaited."""
        await self._revived()
        pending, method = Pending(), runs[0].method
        used = self._usable()._send_batch(ref, runs, pending)
        await used.arrival(pending, ref, method)
        return used._batch_answers(pending, ref, sum(run.count for run in runs))

    def _send_batch(self, ref: Reference, runs: "Sequence[Run]", pending: Pending) -> Self:
        for run in runs:
            if run.method.kind is not MethodKind.CALL:
                raise InvalidArguments(f"{run.method.where}: a batch for Pyro5 has calls of methods only", uri=ref.uri)
        steps = [(run.method.name, list(args), run.kwargs) for run in runs for args in run.calls()]
        batch = dynamic_method("<batch>")
        self._request(ref.uri, batch, tuple(steps), {}, message.BATCH, pending)
        return self

    def _batch_answers(self, pending: Pending, ref: Reference, count: int) -> list[Any]:
        tree = self._tree(pending)
        if pending.kind & message.EXCEPTION:
            raise self._fault(tree, ref, "batch")
        if not isinstance(tree, list | tuple) or len(tree) > count:
            raise ProtocolError("the answer to a batch is a list of as many results")
        values: list[object] = []
        failed: list[list[object]] = []
        for index, result in enumerate(tree):
            if isinstance(result, dict) and result.get("__class__") == FAILED:
                failed.append([index, self._fault(result.get("exception"), ref, "batch")])
                values.append(None)
            else:
                values.append(inward(result, self._resolve))
        for index in range(len(values), count):
            failed.append([index, RpcxError(NOT_RUN, uri=ref.uri, executed="no")])
            values.append(None)
        return [values, failed]

    def fault_of(self, fault: Exception) -> Exception:
        """What a call of a batch raised."""
        return fault
