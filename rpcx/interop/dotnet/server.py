"""The server's end of a .NET connection: calls come in, answers go out in their order.

A client asks and waits; whoever asks further without waiting has its calls made one after the other. One-way calls
stand in the same row, so that what follows one sees what it did.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from rpcx.abc import Job, PeerFacts
from rpcx.errors import AccessDenied, InvalidArguments, ProtocolError, RpcxError
from rpcx.interop.dotnet import faults
from rpcx.interop.dotnet.appdomain import AppDomain, Standing
from rpcx.interop.dotnet.formatters import BINARY_FORMATTER, Formatter, soap
from rpcx.interop.dotnet.framing import BINARY, XML, Frame, Operation, Wire
from rpcx.interop.dotnet.messages import MethodCall, MethodReturn
from rpcx.interop.dotnet.nodes import Node
from rpcx.interop.dotnet.objref import ObjRef
from rpcx.interop.dotnet.references import DotnetReference
from rpcx.interop.dotnet.session import Session
from rpcx.interop.dotnet.surface import Signature, surface_of
from rpcx.interop.dotnet.types import Made
from rpcx.protocol.conduct import SENT_AHEAD
from rpcx.remoting.contract import Method
from rpcx.remoting.dispatch import IncomingCall, IncomingOneway
from rpcx.remoting.objects import Entry
from rpcx.remoting.references import Caller

log = logging.getLogger("rpcx")

SERVICES: Final = ("GetLifetimeService", "InitializeLifetimeService")  # methods of every object

Back = Callable[[AppDomain, ObjRef, PeerFacts], Caller]  # the way to an object of a client's

_BEING_READ: Final = object()  # stands for a call until it is known


class DotnetCall(IncomingCall):
    """A call that is to be answered."""

    def __init__(self, endpoint: Any, asked: "Asked", signature: Signature, entry: Entry, method: Method) -> None:
        super().__init__(endpoint, 0, entry, method)
        self.asked = asked
        self.signature = signature


class Asked(NamedTuple):
    """A call as it came."""

    call: MethodCall
    given: list[Node]  # its arguments, one for each parameter; an answer has a place for each
    formatter: Formatter


class ServerSession(Session):
    """Answers a .NET client.

    Args:
        domain: whose objects it may call.
        facts: who it is.
        wire: how frames are said. If they do not tell one-way calls from others, the contract here decides.
        back: how to call its objects; None: that is not allowed.
    """

    def __init__(self, domain: AppDomain, facts: PeerFacts, wire: Wire, back: Back | None) -> None:
        super().__init__(domain, facts, wire)
        self._back = back
        self._detail = domain.realm.detail and facts.owner
        self._waiting: deque[Frame] = deque()
        self._running: object | None = None  # the call that is not answered yet

    # --- calls -------------------------------------------------------------------------------------------------

    def _frame(self, frame: Frame, now: float) -> Sequence[Job]:
        if frame.operation is Operation.REPLY:
            raise ProtocolError("an answer, where only calls are expected")
        with self._lock:
            if self._running is not None:
                if len(self._waiting) >= SENT_AHEAD:
                    raise ProtocolError(f"more than {SENT_AHEAD} calls were sent ahead", limit="fixed.sent_ahead")
                self._waiting.append(frame)
                return ()
            self._running = _BEING_READ
        job = self._begun(frame)
        return () if job is None else (job,)

    def _begun(self, frame: Frame | None) -> IncomingCall | None:
        """The job for the call in ``frame``, or for the first behind it that can be made."""
        while frame is not None:
            job = self._job(frame)
            if job is not None:
                self._running = job
                return job
            frame = self._next()
        return None

    def _next(self) -> Frame | None:
        """The next that waits, now that no call runs."""
        with self._lock:
            if not self._waiting or self.error is not None:
                self._running = None
                return None
            self._running = _BEING_READ
            return self._waiting.popleft()

    def _job(self, frame: Frame) -> IncomingCall | None:
        """The call in a frame; None if it cannot be made, which was answered."""
        oneway = frame.operation is Operation.ONEWAY
        formatter = self._formatter(frame)
        try:
            if frame.content_type not in self.wire.content_types:
                raise ProtocolError(f"content of type {frame.content_type[:80]!r}; only {BINARY} is understood")
            call = formatter.read_call(frame.body)
            if call.generics:
                raise InvalidArguments(f"{call.method[:80]} is a generic method: those are not offered")
            entry = self.domain.find(frame.uri, self.gate)
            if call.method in SERVICES:
                self.gate.entry(entry.uri)
                call.method, entry = SERVICES[0], self.domain.services(entry)
            return self._prepared(call, formatter, entry, oneway=oneway)
        except Exception as error:  # noqa: BLE001  # the caller is told, nobody else is concerned
            if oneway:
                self.oneway_failures += 1
                self.table.hits.reached(error, self._facts)
                log.warning("a one-way call from %s failed: %r", self._facts, error)
            else:
                self._send_fault(error, formatter)
            return None

    def _formatter(self, frame: Frame) -> Formatter:
        known = frame.content_type == XML and XML in self.wire.content_types
        return soap(frame.agent) if known else BINARY_FORMATTER

    def _prepared(self, call: MethodCall, formatter: Formatter, entry: Entry, *, oneway: bool) -> IncomingCall:
        method, signature = self._method(call, entry)
        asked = Asked(call, signature.given(call), formatter)
        me: Any = self  # an Answerer of plain calls: streams and batches are rpcx's own
        job: IncomingCall
        if oneway or (method.oneway and not self.wire.says_oneway):
            job = IncomingOneway(me, 0, entry, method)
        else:
            job = DotnetCall(me, asked, signature, entry, method)
        job.args = self.values(asked.given, "async" if method.is_async else "sync")
        for at in signature.outs:
            if signature.parameters[at].way is Made.OUT and at < len(job.args):
                job.args[at] = None  # whatever the caller's variable held
        if isinstance(job, IncomingOneway) and self.wire.always_answers:
            self._send(Frame(Operation.REPLY))  # accepted
        return job

    def _method(self, call: MethodCall, entry: Entry) -> tuple[Method, Signature]:
        """What is to be run. The type that a call names is not believed: the object's own contract counts."""
        assert entry.contract is not None  # `AppDomain.find` sees to it
        signature = surface_of(entry.contract).choose(call)
        if not isinstance(entry, Standing):
            self.gate.find(entry.uri, signature.method.name)
        return entry.methods[signature.method.name], signature

    # --- answers -----------------------------------------------------------------------------------------------

    def answer(self, call: IncomingCall, value: object) -> None:
        """The method returned ``value``."""
        assert isinstance(call, DotnetCall)
        asked = call.asked
        try:
            answer = call.signature.pack_result(value, self.outward(), len(asked.given))
            body = asked.formatter.write_return(answer, asked.call)
        except Exception as error:  # noqa: BLE001  # the result cannot travel: that is the answer
            failed = InvalidArguments(f"{call.uri}.{call.method_name} ran, but its result cannot be sent: {error}")
            self._send_fault(failed, asked.formatter)
        else:
            self._send(Frame(Operation.REPLY, body, content_type=asked.formatter.content_type))
        self._done()

    def answer_fault(self, call: IncomingCall, error: BaseException) -> None:
        """The method, or the way to it, raised ``error``."""
        assert isinstance(call, DotnetCall)
        self._send_fault(error, call.asked.formatter)
        self._done()

    def oneway_done(self) -> None:
        """A one-way call ended."""
        self._done()

    def _done(self) -> None:
        job = self._begun(self._next())
        if job is not None:
            self._go_on(job)

    def _send_fault(self, error: BaseException, formatter: Formatter) -> None:
        self.table.hits.reached(error, self._facts)
        try:
            node = faults.to_node(error, self.outward(), detail=self._detail)
            body = formatter.write_return(MethodReturn(exception=node), None)
        except Exception as failed:  # noqa: BLE001  # a field of it cannot travel: then without its class
            plain = RpcxError(f"{type(error).__name__}: {error} (and it cannot be sent: {failed})")
            node = faults.to_node(plain, self.outward(), detail=False)
            body = formatter.write_return(MethodReturn(exception=node), None)
        self._send(Frame(Operation.REPLY, body, content_type=formatter.content_type, fault=True))

    def _send(self, frame: Frame) -> None:
        with self._lock:
            self._out.append(self.wire.pack(frame))
        if self.wire.over:
            self.close()
        else:
            self._link.flush()

    def _ended(self, error: Exception) -> None:
        running = self._running
        if isinstance(running, IncomingCall):
            running.cancel()

    # --- references ----------------------------------------------------------------------------------------------

    def caller_for(self, reference: DotnetReference) -> Caller:
        if self._back is None:
            raise AccessDenied(
                f"{self._facts}: calls back to .NET clients are not enabled: "
                "listen with ...?callbacks=yes to connect to the clients that call here"
            )
        return self._back(self.domain, reference.parts, self._facts)
