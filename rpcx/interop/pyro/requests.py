"""A call to a Pyro5 daemon as bytes, and what became of it.

A daemon answers in the order of the calls, so many may be under way. A call that is given up stays in the books until
its answer comes, since its sequence number may not be used again before; Pyro5 knows no cancelling.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Self

from rpcx.abc import Address, Buffer, Job, PeerFacts, Stream
from rpcx.errors import (
    AccessDenied,
    ForkedConnection,
    InvalidArguments,
    LimitExceeded,
    MaybeExecuted,
    NotSent,
    ProtocolError,
    RpcxError,
)
from rpcx.interop.foreign import in_thread
from rpcx.interop.pyro import faults, message
from rpcx.interop.pyro.daemon import DAEMON, Daemon
from rpcx.interop.pyro.lines import Lines
from rpcx.interop.pyro.message import Message, write
from rpcx.interop.pyro.serializers import ALL
from rpcx.interop.pyro.session import Session
from rpcx.interop.pyro.streams import Items, ItemsAsync, ItemsSync
from rpcx.interop.pyro.values import inward, outward, proxy
from rpcx.remoting.contract import Method, MethodKind, contract_of
from rpcx.remoting.pending import Pending
from rpcx.remoting.proxy import Flavour, Proxy, dynamic_method
from rpcx.remoting.references import Reference

SEQUENCE: Final = 1 << 16  # numbers of calls
CLOSE: Final = dynamic_method("close_stream")


class Requests(Session):
    """Writes calls and reads their answers."""

    def __init__(self, daemon: Daemon, address: Address, facts: PeerFacts, *, main: bool = False) -> None:
        super().__init__(daemon, facts)
        self._main = main  # it is a client's own, and not one to call a client back
        self.lines: Lines | None = None  # all to this daemon that there are; None: there is only this one
        self.claims = 0  # see `Lines`
        self._address = address
        name = address.params.get("serializer", "serpent")
        if name not in ALL:
            raise ValueError(f"{address}: serializer {name!r} is none of {', '.join(ALL)}")
        self.flavour: Flavour = daemon.realm.flavour
        self.successor: Self | None = None  # the same client's next connection, once it came back
        self.revive: Callable[[], None] | None = None  # a client's way to connect anew
        self.revive_async: Callable[[], Awaitable[None]] | None = None  # the same in a loop
        self.dropped: deque[str] = deque()  # streams to close; filled from finalizers
        self.location = address.location
        self._serializer = ALL[name]
        self._seq = 0
        self._waiting: dict[int, Any] = {}  # a Pending or CallFuture by sequence number
        hello = self._serializer.dumps({"handshake": "hello", "object": DAEMON})
        self._out.append(write(Message(message.CONNECT, self._serializer.number, 0, hello)))

    @property
    def under_way(self) -> int:
        """How many calls are."""
        return len(self._waiting)

    def beside(self) -> Callable[[Stream], Self]:
        """What makes a further connection's end."""
        return lambda stream: type(self)(self.daemon, self._address, stream.facts)

    # --- what comes in -----------------------------------------------------------------------------------------

    def _arrived(self, request: Message, now: float) -> Sequence[Job]:
        if request.kind == message.RESULT and self.opened.arrived:
            waiting = self._waiting.pop(request.seq, None)
            if waiting is None:
                raise ProtocolError("an answer to nothing that was asked")
            name = request.annotations.get(message.STREAM_ID)
            waiting.resolve(request.flags, request.body, (name,) if name else ())
        elif request.kind == message.CONNECT_OK and not self.opened.arrived:
            if self._main:
                self.daemon.connected(self)
            self.opened.resolve(message.CONNECT_OK, b"", ())
        elif request.kind == message.CONNECT_FAIL and not self.opened.arrived:
            self._end(NotSent(f"the Pyro daemon refused: {request.body[:1000].decode(errors='replace')}"))
        elif request.kind != message.PING:
            raise ProtocolError("a message that no daemon sends now")
        return ()

    def _ended(self, error: Exception) -> None:
        with self._lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        if self.lines is not None:
            self.lines.gone(self)
        where = str(self._facts)
        for each in waiting:
            if self.opened.error is not None:  # there was no handshake: nothing was heard
                each.fail(NotSent(f"{where}: {error}; the call was not made", peer=where))
            else:
                each.fail(MaybeExecuted(f"{where}: {error}; the call may have run", peer=where))

    def outgoing(self) -> Sequence[Buffer]:
        self._close_dropped()
        return super().outgoing()

    def _close_dropped(self) -> None:
        while self.dropped and self.error is None:
            self._request(DAEMON, CLOSE, (self.dropped.popleft(),), {}, message.ONEWAY, None, flush=False)

    @property
    def ready(self) -> bool:
        return bool(self._out or (self.dropped and self.error is None))

    # --- references --------------------------------------------------------------------------------------------

    def host_reference(self) -> Reference:
        """Raises InvalidArguments: making and describing objects are services of rpcx's own hosts."""
        raise InvalidArguments("a Pyro5 daemon makes and describes no objects for clients; get() one by its name")

    def give_back(self, uri: str, count: int) -> None:
        """Pyro5 does not count references."""

    def _refer(self, value: object) -> dict[str, object] | None:
        if isinstance(value, Proxy) and isinstance(value._rpcx_ref.endpoint, Requests):
            return proxy(f"PYRO:{value._rpcx_ref.uri}@{value._rpcx_ref.endpoint.location}")
        if self.daemon.locations:
            return super()._refer(value)
        if contract_of(type(value)) is not None:
            raise AccessDenied(
                f"the daemon at {self.location} cannot call {type(value).__name__} objects of this client, which "
                "listens nowhere: connect with ...?callbacks=yes to open a port on loopback"
            )
        return None

    # --- out and back ------------------------------------------------------------------------------------------

    def _latest(self) -> Self:
        """This connection, or the last of those that took its place."""
        latest = self
        while latest.error is not None and latest.successor is not None:
            latest = latest.successor
        if latest is not self:
            self.successor = latest  # a shorter way next time
        return latest

    def _usable(self) -> Self:
        """The latest connection; made now, if it has to be and there is a way to."""
        used = self._latest()
        if used.error is not None and used.revive is not None and not isinstance(used.error, ForkedConnection):
            used.revive()
            used = used._latest()
        if used.error is not None:
            raise NotSent(f"{used._facts}: {used.error}; the call was not sent", peer=str(used._facts))
        return used

    def _idle(self) -> Self:
        """A connection on which nobody else's call is under way, claimed for one; see `Lines`."""
        used = self._usable()
        return used if used.lines is None else used.lines.choose()

    async def _revived(self) -> None:
        used = self._latest()
        if used.error is not None and used.revive_async is not None:
            await used.revive_async()

    async def _idle_async(self) -> Self:
        """The same, made in a thread if need be, since that may take a while."""
        await self._revived()
        used = self._usable()
        if used.lines is None:
            return used
        ready: Self | None = used.lines.ready()
        if ready is not None:
            return ready
        return await in_thread(used.lines.choose, used.lines.sent)

    def _ask(  # a call has these parts
        self,
        ref: Reference,
        method: Method,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        pending: Any,  # a Pending or CallFuture; None: one-way
        flags: int = 0,
        used: Self | None = None,
    ) -> Self:
        """Send a call; returns the connection that took it: ``used``, which was claimed, or else the first one."""
        try:
            if ref.released:
                raise ref.closed_error()
            ref.raise_deferred()
            taken = used or self._usable()
            taken._close_dropped()  # first, as their consumers were
            taken._request(ref.uri, method, args, kwargs, flags, pending)
            return taken
        finally:
            if used is not None and used.lines is not None:
                used.lines.sent(used)

    def _request(
        self,
        uri: str,
        method: Method,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        flags: int,
        pending: Any,  # likewise
        *,
        flush: bool = True,
    ) -> None:
        name = method.name
        if method.kind in (MethodKind.GET, MethodKind.SET):
            args = (name.partition(".")[0], *args)
            name = "__getattr__" if method.kind is MethodKind.GET else "__setattr__"
        elif method.kind is MethodKind.DEL:
            raise InvalidArguments(f"{method.where}: Pyro5 deletes no attributes", uri=uri)
        try:
            plain, named = outward(args, self._refer), outward(kwargs, self._refer)
            envelope: object = (uri, name, plain, named)
            if self._serializer is ALL["json"]:
                envelope = {"object": uri, "method": name, "params": plain, "kwargs": named}
            body = self._serializer.dumps(envelope)
        except (TypeError, ValueError) as error:
            text = f"{method.where}: {error}"
            raise InvalidArguments(text, uri=uri, method=method.name, peer=str(self._facts)) from None
        with self._lock:
            if self.error is not None:
                raise NotSent(f"{self._facts}: {self.error}; the call was not sent", peer=str(self._facts))
            request = Message(message.INVOKE, self._serializer.number, self._number(), body, flags)
            self._out.append(write(request))
            if pending is not None:
                self._waiting[request.seq] = pending
        if flush:
            self._flush()

    def _number(self) -> int:
        if len(self._waiting) >= SEQUENCE - 1:
            raise LimitExceeded(f"{len(self._waiting)} calls are under way already", peer=str(self._facts))
        self._seq = (self._seq + 1) % SEQUENCE
        while self._seq in self._waiting:
            self._seq = (self._seq + 1) % SEQUENCE
        return self._seq

    def result(self, pending: Pending, ref: Reference, method: Method, flavour: Flavour | None = None) -> Any:
        """What a call returned; raises what it raised."""
        tree = self._tree(pending)
        if pending.segments:
            items = Items(self, ref, method, pending)
            return ItemsAsync(items) if flavour == "async" else ItemsSync(items)
        if pending.kind & message.EXCEPTION:
            raise self._fault(tree, ref, method.name)
        try:
            return method.result(inward(tree, self._resolve))
        except ValueError as error:
            raise ProtocolError(f"{method.where}: its result makes no sense: {error}") from None

    def _tree(self, pending: Pending) -> Any:  # plain values
        if pending.error is not None:
            raise pending.error
        try:
            return self._serializer.loads(pending.body)
        except ValueError as error:
            raise ProtocolError(f"{self._facts}: an answer that cannot be read: {error}") from None

    def _fault(self, tree: object, ref: Reference, method: str) -> Exception:
        try:
            error = faults.inward(tree, str(self._facts))
        except ValueError as wrong:
            return ProtocolError(f"{self._facts}: {wrong}")
        if isinstance(error, RpcxError):
            error.uri, error.method = error.uri or ref.uri, error.method or method
            error.peer = error.peer or str(self._facts)
        return error
