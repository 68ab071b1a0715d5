"""An iterator in a Pyro5 daemon as its consumer sees it here: each item is fetched by a call of its own."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from rpcx.interop.pyro.daemon import DAEMON
from rpcx.remoting.contract import Method
from rpcx.remoting.pending import Pending
from rpcx.remoting.proxy import dynamic_method
from rpcx.remoting.references import Reference

NEXT: Final = dynamic_method("get_next_stream_item")


class Items:
    """What is known of the stream.

    Args:
        session: a `ClientSession`.
        ref, method: what was called.
        opening: its answer, which has the stream's id.
    """

    def __init__(self, session: Any, ref: Reference, method: Method, opening: Pending) -> None:
        self.session = session
        self.ref = ref
        self.method = method
        self.opening: Pending | None = opening
        self.local: Iterator[object] | None = None  # a method that returned a list after all
        self.name = ""
        self.ended = False

    def opened(self) -> None:
        """The opening call was answered."""
        opening, self.opening = self.opening, None
        assert opening is not None
        if opening.segments:
            self.name = bytes(opening.segments[0]).decode("ascii", "replace")
            return
        self.ended = True
        value = self.session.result(opening, self.ref, dynamic_method(self.method.name))
        self.local = iter(value if isinstance(value, list | tuple) else [value])

    def ask(self) -> Pending:
        """Ask for the next item."""
        pending = Pending()
        self.session._request(DAEMON, NEXT, (self.name,), {}, 0, pending)
        return pending

    def item(self, pending: Pending) -> object:
        """The item; raises what the iterator raised, StopIteration at its end."""
        try:
            return self.method.result(self.session.result(pending, self.ref, NEXT))
        except BaseException:
            self.ended = True
            raise

    def take_local(self) -> object:
        """The next of a list that came at once."""
        if self.local is None:
            raise StopIteration
        return self.method.result(next(self.local))

    def close(self) -> None:
        """No more are wanted."""
        name = self._given_up()
        if name:
            self.session.close_stream(name)

    def dropped(self) -> None:
        """The same from a finalizer, which may run anywhere: so nothing is locked or sent here."""
        name = self._given_up()
        if name:
            self.session.dropped.append(name)
            self.session._link.flush_later()

    def _given_up(self) -> str:
        """The id of what is to be closed; empty if there is nothing."""
        opening = self.opening
        if opening is not None and opening.arrived and opening.segments:
            self.opened()
        open_still = not self.ended and self.session.error is None
        self.ended = True
        self.local = None
        return self.name if open_still else ""


class ItemsSync(Iterator[Any]):
    """For code that waits."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def __next__(self) -> Any:
        items = self._items
        if items.opening is not None and not items.ended:
            items.session.await_(items.opening, items.ref, items.method)
            items.opened()
        if items.ended:
            return items.take_local()
        pending = items.ask()
        items.session.await_(pending, items.ref, items.method)
        return items.item(pending)

    def close(self) -> None:
        """End the iterator at the other side."""
        self._items.close()

    def __enter__(self) -> "ItemsSync":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._items.close()

    def __del__(self) -> None:
        self._items.dropped()


class ItemsAsync(AsyncIterator[Any]):
    """For code that awaits."""

    def __init__(self, items: Items) -> None:
        self._items = items

    async def __anext__(self) -> Any:
        items = self._items
        try:
            if items.opening is not None and not items.ended:
                await items.session.arrival(items.opening, items.ref, items.method)
                items.opened()
            if items.ended:
                return items.take_local()
            pending = items.ask()
            await items.session.arrival(pending, items.ref, items.method)
            return items.item(pending)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """End the iterator at the other side."""
        self._items.close()

    async def __aenter__(self) -> "ItemsAsync":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._items.close()

    def __del__(self) -> None:
        self._items.dropped()
