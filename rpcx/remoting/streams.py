"""Streams as their consumer sees them: an iterator, sync or async, over the items of a remote generator.

The producer sends ahead as many items as it has credit for; each half window consumed grants as many more. So a
slow consumer slows the producer down, and a fast one never waits for a grant. Closing the iterator, or
dropping it, ends the generator at the other side: its ``finally`` runs there.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rpcx.abc import Buffer, Link
from rpcx.context import timeouts
from rpcx.errors import CallTimeout
from rpcx.protocol.connection import END, FAULT
from rpcx.remoting.contract import Method
from rpcx.remoting.pending import Parking
from rpcx.remoting.references import Reference

if TYPE_CHECKING:
    import asyncio  # at run time only where something is awaited: importing it takes 46 ms


class Source(Protocol):
    """The end of a connection that a stream comes by."""

    def grant(self, call_id: int, items: int, /) -> None: ...
    def give_up(self, pending: Any, /) -> bool: ...
    def abandon_call(self, call_id: int, /) -> None: ...
    def wake(self, loop: Any, future: Any, /) -> None: ...
    def item_value(
        self, body: bytes, segments: Sequence[Buffer], method: Method, /, *, asynchronous: bool
    ) -> object: ...
    def raise_fault(self, body: bytes, segments: Sequence[Buffer], ref: Reference, method: Method, /) -> None: ...


class IncomingItems(Parking):
    """What arrived of a stream and is not consumed yet. Filled by the reading thread."""

    def __init__(self, endpoint: Source, ref: Reference, method: Method, window: int) -> None:
        self.endpoint = endpoint
        self.ref = ref
        self.method = method
        self.call_id = 0
        self.states: Any = None  # message sinks see the call; items pass them by
        self.queue: deque[tuple[bytes, Sequence[Buffer]]] = deque()
        self.ended = False  # nothing more will come, but what is in the queue
        self.error: Exception | None = None  # how it ended, if not well
        self._fault: tuple[bytes, Sequence[Buffer]] | None = None  # the same, not decoded yet
        self._half = max(1, window // 2)
        self._consumed = 0  # since the last grant
        self.waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None  # an async consumer

    # --- by the reading thread -----------------------------------------------------------------------------

    def item(self, body: bytes, segments: Sequence[Buffer]) -> None:
        self.queue.append((body, segments))
        self._notify()

    def resolve(self, kind: int, body: bytes, segments: Sequence[Buffer]) -> None:
        """END, or FAULT; a method that returns instead of streaming sends RETURN, which ends it too."""
        if kind == FAULT:
            self._fault = (body, segments)
        elif kind != END:
            self.queue.append((body, segments))
        self.ended = True
        self._notify()

    def fail(self, error: Exception) -> None:
        if not self.ended:
            self.error = error
            self.ended = True
            self._notify()

    def _notify(self) -> None:
        self.arrived = True
        self.unpark()
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            self.endpoint.wake(*waiter)

    # --- by the consumer -----------------------------------------------------------------------------------

    def empty(self) -> bool:
        """Whether there is nothing to say to the consumer yet; then `arrived` will tell when there is."""
        self.arrived = False  # before the look: what comes after it sets the flag again
        if self.queue or self.ended:
            self.arrived = True
        return not self.arrived

    def take(self, asynchronous: bool) -> object:  # noqa: FBT001  # which of the two iterators asks
        """The next item. There must be one, or an end: then StopIteration, or the error it ended with."""
        if self.queue:
            body, segments = self.queue.popleft()
            self._consumed += 1
            if self._consumed >= self._half and not self.ended:
                self.endpoint.grant(self.call_id, self._consumed)
                self._consumed = 0
            return self.endpoint.item_value(body, segments, self.method, asynchronous=asynchronous)
        if self._fault is not None:
            fault, self._fault = self._fault, None
            self.endpoint.raise_fault(*fault, self.ref, self.method)
        error, self.error = self.error, None
        if error is not None:
            raise error
        raise StopIteration

    def silent(self, timeout: float | None) -> CallTimeout:
        return CallTimeout(
            f"{self.ref.uri}.{self.method.name}: no item within {timeout:g} s",
            uri=self.ref.uri, method=self.method.name, executed="yes",
        )  # fmt: skip

    def close(self) -> None:
        """The consumer wants no more."""
        if not self.ended:
            self.ended = self.arrived = True
            self.endpoint.give_up(self)
        self.queue.clear()
        self.error = self._fault = None

    def dropped(self) -> None:
        """The same from a finalizer, which may run anywhere and so takes no lock."""
        if not self.ended:
            self.ended = self.arrived = True
            self.endpoint.abandon_call(self.call_id)


class ItemsSync(Iterator[Any]):
    """A remote generator, for code that waits."""

    def __init__(self, items: IncomingItems, link: Link) -> None:
        self._items = items
        self._link = link

    def __iter__(self) -> "ItemsSync":
        return self

    def __next__(self) -> Any:
        items = self._items
        if not items.queue and items.empty():
            timeout = timeouts.get(None)
            self._link.wait(items, timeout)
            if not items.arrived:
                self.close()
                raise items.silent(timeout)
        return items.take(asynchronous=False)

    def close(self) -> None:
        """End the generator at the other side."""
        self._items.close()

    def __enter__(self) -> "ItemsSync":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._items.dropped()


class ItemsAsync(AsyncIterator[Any]):
    """A remote generator, for code that awaits."""

    def __init__(self, items: IncomingItems, link: Link) -> None:
        self._items = items
        self._link = link

    def __aiter__(self) -> "ItemsAsync":
        return self

    async def __anext__(self) -> Any:
        import asyncio

        items = self._items
        timeout = timeouts.get(None)
        loop = asyncio.get_running_loop()
        while items.empty():
            arrived: asyncio.Future[None] = loop.create_future()
            items.waiter = (loop, arrived)
            if not items.empty():
                break
            try:
                await asyncio.wait_for(arrived, timeout)
            except TimeoutError:
                items.close()
                raise items.silent(timeout) from None
        try:
            return items.take(asynchronous=True)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """End the generator at the other side."""
        self._items.close()

    async def __aenter__(self) -> "ItemsAsync":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._items.close()

    def __del__(self) -> None:
        self._items.dropped()
