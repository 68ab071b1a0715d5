"""The server's end of a Pyro5 connection: requests come in, answers go out in their order.

A proxy asks and waits; whoever asks further without waiting has its calls made one after the other. One-way calls
stand in a row of their own, so that none holds up the calls behind it, and run in the order they came.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from rpcx.abc import Job, PeerFacts
from rpcx.errors import InvalidArguments, LimitExceeded, ProtocolError, RpcxError
from rpcx.interop.pyro import faults, message
from rpcx.interop.pyro.calls import Batch, CloseStream, Failed, NextItem, Opening, PyroCall, ServedStream
from rpcx.interop.pyro.daemon import DAEMON, Daemon, metadata
from rpcx.interop.pyro.message import Message
from rpcx.interop.pyro.serializers import serializer
from rpcx.interop.pyro.session import Session
from rpcx.interop.pyro.values import FAILED, inward, outward, proxy
from rpcx.protocol.conduct import SENT_AHEAD
from rpcx.remoting.contract import Method
from rpcx.remoting.dispatch import IncomingCall, IncomingOneway
from rpcx.remoting.objects import HOST_URI, Entry
from rpcx.remoting.proxy import Proxy, as_flavour

log = logging.getLogger("rpcx")

Elsewhere = Callable[[str, PeerFacts], Any]  # the proxy of an object for a peer that named its URI, or None


class Row:
    """Calls that run one after the other."""

    def __init__(self) -> None:
        self.running: IncomingCall | None = None
        self._waiting: deque[IncomingCall] = deque()

    def take(self, job: IncomingCall) -> bool:
        """Whether ``job`` is to be run now; else its turn comes."""
        if self.running is None:
            self.running = job
            return True
        if len(self._waiting) >= SENT_AHEAD:
            raise LimitExceeded(f"more than {SENT_AHEAD} calls were sent ahead", limit="fixed.sent_ahead")
        self._waiting.append(job)
        return False

    def done(self) -> IncomingCall | None:
        """The one that ran has ended; the next."""
        self.running = self._waiting.popleft() if self._waiting else None
        return self.running

    def clear(self) -> IncomingCall | None:
        """Nobody waits any more; the one that runs."""
        self._waiting.clear()
        return self.running


class ServerSession(Session):
    """Answers a Pyro5 client.

    Args:
        daemon: whose objects it calls.
        facts: who it is.
        elsewhere: makes a proxy of the URI of an object that is not the daemon's, or None; without it there are none.
    """

    def __init__(self, daemon: Daemon, facts: PeerFacts, elsewhere: Elsewhere | None = None) -> None:
        super().__init__(daemon, facts)
        self._elsewhere = elsewhere
        self._detail = daemon.realm.detail
        self._calls = Row()
        self._oneways = Row()

    # --- what comes in -----------------------------------------------------------------------------------------

    def _arrived(self, request: Message, now: float) -> Sequence[Job]:
        if request.kind == message.PING:
            self._reply(request, message.PING, b"pong")
            return ()
        if not self.opened.arrived:
            if request.kind != message.CONNECT:
                raise ProtocolError("a request before the handshake")
            self._handshake(request)
            return ()
        if request.kind != message.INVOKE:
            raise ProtocolError("a message that only a server sends")
        oneway = bool(request.flags & message.ONEWAY)
        try:
            job = self._job(request)
        except Exception as error:  # noqa: BLE001  # the caller is told, nobody else is concerned
            self._refuse(request, error, oneway=oneway)
            return ()
        if job is None:
            return ()
        row = self._oneways if oneway else self._calls
        with self._lock:
            now_due = row.take(job)
        return (job,) if now_due else ()

    def _handshake(self, request: Message) -> None:
        try:
            asked = serializer(request.serializer).loads(request.body)
            name = asked.get("object") if isinstance(asked, dict) else None
            answer = {"handshake": "hello", "meta": self._metadata(name)}
        except (RpcxError, ValueError) as error:
            if not isinstance(error, RpcxError):
                error = ProtocolError(f"the handshake cannot be read: {error}")
            request.serializer = serializer(1).number if request.serializer == 2 else request.serializer
            self._reply(request, message.CONNECT_FAIL, serializer(1).dumps(str(error)), by=1)
            self.opened.fail(error)
            self.finished = True
            return
        self._reply(request, message.CONNECT_OK, serializer(request.serializer).dumps(answer))
        self.opened.resolve(message.CONNECT_OK, b"", ())

    def _job(self, request: Message) -> IncomingCall | None:
        """The job of a request; None if it is answered already, or has no answer."""
        if request.flags & message.KEPT_SERIALIZED:
            raise InvalidArguments("arguments that stay serialized (SerializedBlob) are not understood here")
        name, method, args, kwargs = _request(serializer(request.serializer).loads(request.body))
        if name == DAEMON:
            return self._asked(request, method, args)
        if request.flags & message.BATCH:
            return self._batch(request, name, args)
        if method in ("__getattr__", "__setattr__") and args:
            method = str(args[0]) if method == "__getattr__" else f"{args[0]}.set"
            args = args[1:]
        entry, found = self._found(name, method)
        me: Any = self  # an Answerer, of the kinds of calls that are made here
        job: IncomingCall
        if request.flags & message.ONEWAY:
            job = IncomingOneway(me, request.seq, entry, found)
        else:
            job = (Opening if found.streams else PyroCall)(me, request, entry, found)
        job.args = [self._inward(arg, found) for arg in args]
        job.kwargs = {key: self._inward(arg, found) for key, arg in kwargs.items()} or None
        return job

    def _inward(self, arg: Any, method: Method) -> Any:  # as it came; as the method is to have it
        value = inward(arg, self._resolve)
        return value if self._elsewhere is None else as_flavour(value, "async" if method.is_async else "sync")

    def _found(self, name: str, method: str) -> tuple[Entry, Method]:
        entry = self.gate.find(name, method) if name != HOST_URI else self.daemon.realm.table.find("")
        found = entry.methods.get(method)
        if found is None:
            offered = ", ".join(sorted(entry.methods))
            raise AttributeError(f"{name} has no remote method or attribute {method[:80]!r} (it has: {offered})")
        return entry, found

    def _batch(self, request: Message, name: str, args: Sequence[Any]) -> IncomingCall:
        steps: list[tuple[Method, Any, Any]] = []
        entry: Entry | None = None
        for step in args:
            match step:
                case [str(method), [*given], dict() as named]:
                    entry, found = self._found(name, method)
                case _:
                    raise ProtocolError("a batch is a list of [method, arguments, named arguments]")
            if found.streams:
                raise InvalidArguments(f"{name}.{method} streams; it cannot be part of a batch")
            resolved = {key: self._inward(arg, found) for key, arg in named.items()}
            steps.append((found, [self._inward(arg, found) for arg in given], resolved))
        if entry is None:
            raise InvalidArguments("a batch without calls")
        return Batch(self, request, entry, steps)

    def _resolve(self, uri: str) -> object:
        found = super()._resolve(uri)
        if found is uri and self._elsewhere is not None:
            found = self._elsewhere(uri, self._facts) or uri
        return found

    def _refer(self, value: Any) -> dict[str, object] | None:  # of any class
        if isinstance(value, Proxy):
            known: Any = value._rpcx_ref.endpoint
            if getattr(known, "daemon", None) is self.daemon and _machine(known.location) == _machine(
                self._facts.address
            ):
                return proxy(f"PYRO:{value._rpcx_ref.uri}@{known.location}")  # a client's own comes home
        return super()._refer(value)

    # --- the daemon's own object -------------------------------------------------------------------------------

    def _asked(self, request: Message, method: str, args: Sequence[Any]) -> IncomingCall | None:
        """What a client asks of the daemon itself."""
        first = args[0] if args else None
        if method == "get_next_stream_item":
            return NextItem(self, request, self.daemon.stream(first), str(first))
        if method == "close_stream":
            stream = self.daemon.drop_stream(first)
            if stream is not None:
                self._link.spawn(CloseStream(self, stream))
            answer: object = None
        elif method == "get_metadata":
            answer = self._metadata(first)
        elif method == "registered":
            answer = [entry.uri for entry in self.daemon.realm.table.entries() if entry.uri != HOST_URI]
        elif method == "info":
            answer = f"rpcx host at {', '.join(self.daemon.locations)}"
        elif method == "ping":
            answer = None
        else:
            raise AttributeError(f"{DAEMON} has no method {method[:80]!r}")
        if not request.flags & message.ONEWAY:
            self._reply(request, message.RESULT, serializer(request.serializer).dumps(answer))
        return None

    def _metadata(self, name: object) -> dict[str, list[str]]:
        if name == DAEMON:
            own = ["close_stream", "get_metadata", "get_next_stream_item", "info", "ping", "registered"]
            return {"methods": own, "oneway": ["ping"], "attrs": []}
        if not isinstance(name, str):
            raise ProtocolError("an object's name is a text")
        if name == HOST_URI:
            raise self.daemon.realm.table.gone("")
        entry = self.gate.entry(name)
        allowed = set(self.gate.methods(entry))
        return metadata(method for name_, method in entry.methods.items() if name_ in allowed)

    # --- answers -----------------------------------------------------------------------------------------------

    def answer(self, call: IncomingCall, value: object) -> None:
        """The method returned ``value``."""
        assert isinstance(call, PyroCall)
        if hasattr(value, "__next__") or hasattr(value, "__anext__"):  # whatever returned it, as in Pyro5
            self._stream_of(call, value)
        else:
            self._answer(call, lambda: outward(value, self._refer), 0)

    def _stream_of(self, call: PyroCall, items: Any) -> None:
        instance = call.entry.enter()  # pinned once more, until the stream ends
        stream = ServedStream(self, call.entry, call.method, instance, items)
        try:
            self.open_stream(call, stream)
        except LimitExceeded:
            stream.leave()
            raise

    def answer_batch(self, call: Batch, results: list[object]) -> None:
        """The calls of a batch have run."""
        if call.request.flags & message.ONEWAY:
            self._done(self._oneways)
            return
        self._answer(call, lambda: [self._result(result) for result in results], message.BATCH)

    def open_stream(self, call: PyroCall, stream: ServedStream) -> None:
        """The method returned an iterator."""
        name = self.daemon.add_stream(stream)
        told = faults.outward(ProtocolError("result of call is an iterator"), detail=False)
        flags = message.STREAM | message.EXCEPTION
        body = serializer(call.request.serializer).dumps(told)
        self._reply(call.request, message.RESULT, body, flags, {message.STREAM_ID: name.encode()})
        self._done(self._calls)

    def answer_fault(self, call: IncomingCall, error: BaseException) -> None:
        """The method, or the way to it, raised ``error``."""
        assert isinstance(call, PyroCall)
        self._fault(call.request, error)
        self._done(self._calls)

    def oneway_done(self) -> None:
        """A one-way call ended."""
        self._done(self._oneways)

    def _answer(self, call: PyroCall, plain: Any, flags: int) -> None:  # plain: makes the tree to be sent
        try:
            body = serializer(call.request.serializer).dumps(plain())
            self._reply(call.request, message.RESULT, body, flags)
        except Exception as error:  # noqa: BLE001  # the result cannot travel: that is the answer
            text = f"{call.uri}.{call.method_name} ran, but its result cannot be sent: {error}"
            self._fault(call.request, InvalidArguments(text))
        self._done(self._calls)

    def _result(self, result: object) -> object:
        if isinstance(result, Failed):
            return {"__class__": FAILED, "exception": faults.outward(result.error, detail=self._detail)}
        return outward(result, self._refer)

    def _refuse(self, request: Message, error: Exception, *, oneway: bool) -> None:
        if isinstance(error, ValueError) and not isinstance(error, RpcxError):
            error = ProtocolError(f"the call cannot be decoded: {error}")
        if oneway:
            self.oneway_failures += 1
            self._realm.table.hits.reached(error, self._facts)
            log.warning("a one-way call from %s failed: %r", self._facts, error)
        else:
            self._fault(request, error)

    def _fault(self, request: Message, error: BaseException) -> None:
        self._realm.table.hits.reached(error, self._facts)
        number = request.serializer if request.serializer != 2 else 1
        try:
            body = serializer(number).dumps(faults.outward(error, detail=self._detail))
        except Exception as failed:  # noqa: BLE001  # an argument of it cannot travel: then its text alone
            plain = RpcxError(f"{type(error).__name__}: {error} (and it cannot be sent: {failed})"[:4096])
            number = 1
            body = serializer(number).dumps(faults.outward(plain, detail=False))
        self._reply(request, message.RESULT, body, message.EXCEPTION, by=number)

    def _reply(
        self,
        request: Message,
        kind: int,
        body: bytes,
        flags: int = 0,
        annotations: dict[str, bytes] | None = None,
        by: int | None = None,
    ) -> None:
        flags |= request.flags & message.CORRELATED
        number = by if by is not None else request.serializer
        self._send(Message(kind, number, request.seq, body, flags, annotations or {}, request.correlation))

    def _done(self, row: Row) -> None:
        with self._lock:
            job = row.done()
        if job is not None and self.error is None:
            self._go_on(job)

    def _ended(self, error: Exception) -> None:
        with self._lock:
            running = [row.clear() for row in (self._calls, self._oneways)]
        if running[0] is not None:
            running[0].cancel()
        for name in self.daemon.streams_of(self):
            stream = self.daemon.drop_stream(name)
            if stream is not None:
                self._link.spawn(CloseStream(self, stream))


def _request(envelope: Any) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
    """Object, method, arguments, named arguments; JSON writes them as a map."""
    if isinstance(envelope, dict):
        envelope = [envelope.get(key) for key in ("object", "method", "params", "kwargs")]
    match envelope:
        case [str(name), str(method), None | [*_] as args, None | dict() as kwargs]:
            if all(isinstance(key, str) for key in kwargs or ()):
                return name, method, args or (), kwargs or {}
    raise ProtocolError("a request is [object, method, arguments, named arguments]")


def _machine(location: str) -> str:
    return location.rpartition(":")[0]
