"""The client's end of .NET connections: calls go out, answers come in the order of the calls.

.NET cannot cancel a call and knows no deadline: who gives up leaves the answer to nobody, and the connection that owes
it is closed if nobody else waits there.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from rpcx.abc import Buffer, Job, LeaseInfo, PeerFacts, Waitable
from rpcx.context import remaining
from rpcx.errors import (
    AccessDenied,
    Executed,
    ForkedConnection,
    InvalidArguments,
    MaybeExecuted,
    NotSent,
    ProtocolError,
    RemoteError,
)
from rpcx.interop.dotnet import calls, plans
from rpcx.interop.dotnet.appdomain import AppDomain
from rpcx.interop.dotnet.formatters import BINARY_FORMATTER, Formatter
from rpcx.interop.dotnet.framing import Frame, Operation, Wire
from rpcx.interop.dotnet.lifetime import seconds
from rpcx.interop.dotnet.lines import Lines
from rpcx.interop.dotnet.nodes import ClassNode
from rpcx.interop.dotnet.references import DotnetReference
from rpcx.interop.dotnet.session import Session
from rpcx.interop.foreign import in_thread
from rpcx.protocol.connection import RETURN
from rpcx.remoting.arrivals import arrival, tell, timed_out
from rpcx.remoting.contract import Method
from rpcx.remoting.dispatch import Errand
from rpcx.remoting.objects import HOST_URI
from rpcx.remoting.pending import CallFuture, Pending
from rpcx.remoting.proxy import Flavour, Proxy
from rpcx.remoting.references import Caller, Reference

MARGIN_SECONDS: Final = 2.0  # before a server closes an idle connection, none is sent over it any more


class ClientSession(Session):
    """Calls a .NET server. References point to any of the connections there; a call takes the one that is idle."""

    calls_pass_sinks = True  # a batch's calls leave one by one: .NET has no batches

    def __init__(
        self, domain: AppDomain, facts: PeerFacts, wire: Wire, url: str, application: str, lines: Lines
    ) -> None:
        super().__init__(domain, facts, wire)
        self.url = url  # of the server, in .NET's spelling: "tcp://127.0.0.1:1233"
        self._application = application  # what stands before URIs in its URLs
        self.lines = lines
        self.formatter: Formatter = BINARY_FORMATTER  # of calls; the channel may set another
        self.claims = 0  # see `Lines`
        self._asked: Pending | CallFuture | None = None  # the call that was sent
        self._waiting: deque[tuple[Pending | CallFuture, Frame]] = deque()  # those that go when it is answered
        self._retired = False  # it ends, or has ended, while nothing is wrong: calls take another
        self._idle_until: float | None = None  # when it retires if it is not used; None: the server does not say
        self.unanswered = False  # it carries one-way calls only

    # --- the session a driver pumps ----------------------------------------------------------------------------

    def _frame(self, frame: Frame, now: float) -> Sequence[Job]:
        if frame.operation is not Operation.REPLY:
            raise ProtocolError("a call, where only answers are expected")
        if self.unanswered and not self.wire.always_answers:
            return ()  # see `Lines`
        with self._lock:
            pending = self._asked
            if pending is None:
                raise ProtocolError("an answer to no call")
            self._asked = None
            self._retired = frame.closes
            if not frame.closes:
                self._send_next()
        if not self.unanswered:
            self.lines.over(self)
        self._resolve(pending, frame)
        if frame.closes:
            self._retire()
        elif self.wire.patience is not None:
            self._idle_until = now + max(self.wire.patience - MARGIN_SECONDS, MARGIN_SECONDS)
            self._link.rearm()
        if self.ready:
            self._link.flush()
        return ()

    def _resolve(self, pending: Pending | CallFuture, frame: Frame) -> None:
        if frame.failure is None and frame.content_type not in ("", self.formatter.content_type):
            frame.failure, frame.uncertain = f"an answer of type {frame.content_type[:80]!r}", True
        if frame.failure is not None:
            executed: Executed = "maybe" if frame.uncertain else "no"
            text = f"{self._facts}: the server refused the call: {frame.failure}"
            pending.fail(RemoteError(text, executed=executed, peer=str(self._facts)))
        else:
            self.lines.face.told(frame.agent)
            pending.resolve(RETURN, frame.body, ())

    def told(self, agent: str | None) -> None:
        """What the server calls itself; for a channel whose formatter has dialects."""

    # --- the end -----------------------------------------------------------------------------------------------

    def due(self) -> float | None:
        return None if self._asked is not None or self._retired else self._idle_until

    def tick(self, now: float) -> Sequence[Job]:
        with self._lock:
            idle = self._asked is None and not self._waiting and self.claims == 0
        if idle and self._idle_until is not None and now >= self._idle_until:
            self._retire()
            self._link.close()
        return ()

    def _retire(self) -> None:
        """Let the connection end; calls that wait for it take another."""
        with self._lock:
            self._retired = self.finished = True
            waiting, self._waiting = self._waiting, deque()
        self.lines.gone(self)
        if waiting:
            self._hand_on(list(waiting))

    def _hand_on(self, waiting: list[tuple[Pending | CallFuture, Frame]]) -> None:
        """Have calls sent, in their order, over other connections, which may have to be dialled first."""

        def elsewhere() -> None:
            for pending, frame in waiting:
                try:
                    line: ClientSession = self.lines.for_oneway() if self.unanswered else self.lines.choose()
                    line._send(frame, pending)
                    line._flush()
                except Exception as error:  # noqa: BLE001  # the caller's, whatever it is
                    pending.fail(error)

        self.domain.realm.spawn(Errand(elsewhere))

    def _ended(self, error: Exception) -> None:
        self.lines.gone(self)
        with self._lock:
            asked, self._asked = self._asked, None
            waiting, self._waiting = self._waiting, deque()
        where = str(self._facts)
        if asked is not None:
            asked.fail(MaybeExecuted(f"{where}: {error}; the call may have run", peer=where))
        for pending, _ in waiting:
            pending.fail(NotSent(f"{where}: {error}; the call was not sent", peer=where))

    # --- sending -----------------------------------------------------------------------------------------------

    def _request(
        self, reference: Reference, method: Method, args: Sequence[object], kwargs: dict[str, object]
    ) -> Frame:
        if reference.released:
            raise reference.closed_error()
        reference.raise_deferred()
        return calls.encode(self, reference, method, args, kwargs)

    def target(self, reference: Reference) -> str:
        """What a request says it is for: the URL, or the URI of what came as a reference."""
        if isinstance(reference, DotnetReference):
            return reference.uri
        if self._application and reference.uri != self._application:
            return f"{self.url}/{self._application}/{reference.uri}"
        return f"{self.url}/{reference.uri}"

    def _send(self, frame: Frame, pending: Pending | CallFuture | None) -> None:
        with self._lock:
            if self.error is not None and not self._retired:
                raise NotSent(f"{self._facts}: the connection is closed: {self.error}", peer=str(self._facts))
            if not self._retired:
                if pending is None and not self.wire.always_answers:
                    self._out.append(self.wire.pack(frame))
                else:
                    self._waiting.append((pending or Pending(), frame))
                    self._send_next()
                return
        self._hand_on([(pending or Pending(), frame)])

    def _send_next(self) -> None:
        """Send the next call, if none is under way. Called under the lock."""
        if self._asked is None and self._waiting:
            self._asked, frame = self._waiting.popleft()
            self._out.append(self.wire.pack(frame))

    def _check_fork(self) -> None:
        if isinstance(self.error, ForkedConnection):
            raise self.error

    def forked(self) -> None:
        super().forked()
        self.lines.forked()

    def give_up(self, pending: Any) -> bool:
        """Nobody waits for this call any more; .NET cannot be told."""
        with self._lock:
            unsent = next((entry for entry in self._waiting if entry[0] is pending), None)
            if unsent is not None:
                self._waiting.remove(unsent)
            alone = self._asked is pending and not self._waiting
        if unsent is not None:
            self.lines.over(self)
        elif alone and self._attached.is_set():
            self.lines.gone(self)  # no further call is to come here
            self.close()
        return unsent is None

    # --- one call ----------------------------------------------------------------------------------------------

    def call(self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call and wait for the result."""
        if ref.uri == HOST_URI:
            return plans.run(self, plans.plan_for(self, method, args))
        if method.oneway:
            return self.oneway(ref, method, args, kwargs)
        self._check_fork()
        frame, pending, timeout = self._request(ref, method, args, kwargs), Pending(), remaining()
        line: ClientSession = self.lines.choose()
        line._send(frame, pending)
        line._wait(pending, timeout)
        if not pending.arrived:
            line.give_up(pending)
            raise timed_out(ref, method, timeout, self._facts)
        return self._result(pending, ref, method)

    def _wait(self, pending: Waitable, timeout: float | None) -> None:
        try:
            super()._wait(pending, timeout)
        except BaseException:
            self.give_up(pending)
            raise

    async def call_async(
        self, ref: Reference, method: Method, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Any:
        """Call and await the result."""
        if ref.uri == HOST_URI:
            return await plans.run_async(self, plans.plan_for(self, method, args))
        frame = self._request(ref, method, args, kwargs)
        self._check_fork()
        pending, timeout = None if method.oneway else Pending(), remaining()
        line = await self._line(oneway=method.oneway)
        line._send(frame, pending)
        line._flush()
        if pending is None:
            return None
        await arrival(pending, timeout, line._in_loop, line.give_up)
        if not pending.arrived:
            line.give_up(pending)
            raise timed_out(ref, method, timeout, self._facts)
        return self._result(pending, ref, method, "async")

    async def _line(self, *, oneway: bool) -> "ClientSession":
        """The connection for the next call; dialled in a thread, if it has to be, since that may take a while."""
        known: ClientSession | None = self.lines.ready_for_oneway() if oneway else self.lines.ready()
        if known is not None:
            return known
        if oneway:
            return await in_thread(self.lines.for_oneway, lambda _: None)
        return await in_thread(self.lines.choose, self.lines.over)

    def _begun(self, frame: Frame, pending: Pending | CallFuture | None) -> "ClientSession":
        self._check_fork()
        line: ClientSession = self.lines.choose() if pending is not None else self.lines.for_oneway()
        line._send(frame, pending)
        line._flush()
        return line

    def _result(self, pending: Pending, ref: Reference, method: Method, flavour: Flavour | None = None) -> Any:
        if pending.error is not None:
            raise pending.error
        return calls.decode(self, pending.body, ref, method, flavour)

    # --- without waiting ---------------------------------------------------------------------------------------

    def oneway(self, ref: Reference, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Send a call that is not answered."""
        self._begun(self._request(ref, method, args, kwargs), None)

    def future(self, ref: Reference, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallFuture:
        """Call and return at once; the future holds the result."""
        frame = self._request(ref, method, args, kwargs)
        future = CallFuture(self, ref, method, args, kwargs)
        if method.oneway:
            self._begun(frame, None)
            future.settle(None, None)
        else:
            future.endpoint = self._begun(frame, future)
        return future

    def wait_for(self, future: CallFuture, timeout: float | None) -> None:
        """Pump until ``future`` is done, or ``timeout`` seconds passed."""
        self._wait(future, timeout)

    def settle(self, future: CallFuture, kind: int, body: bytes, segments: Sequence[Buffer]) -> None:
        """The answer to a future's call came."""
        try:
            value = calls.decode(self, body, future.ref, future.method)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the future's outcome
            future.settle(None, error)
        else:
            future.settle(value, None)

    def begin(
        self, ref: Reference, method: Method, args: tuple[object, ...], done: Callable[[Any, Exception | None], None]
    ) -> None:
        """Call without waiting; ``done(value, error)`` is called once, by the thread that reads."""

        def result(pending: Pending) -> Any:
            value = self._result(pending, ref, method)
            return seconds(value) if args and isinstance(args[0], LeaseInfo) else value  # a sponsor's answer

        def begun() -> None:
            pending = Pending()
            pending.callback = lambda pending: tell(done, lambda: result(pending))
            try:
                self._begun(self._request(ref, method, args, {}), pending)
            except Exception as error:  # noqa: BLE001  # handed on
                done(None, error)

        self.domain.realm.spawn(Errand(begun))  # it may have to connect, and whoever begins does not wait

    def assign(self, ref: Reference, method: Method, value: tuple[object, ...]) -> None:
        """Set a property from async code, which cannot await an assignment."""

        def done(_: object, error: Exception | None) -> None:
            if error is not None:
                ref.deferred = error

        ref.raise_deferred()
        self.begin(ref, method, value, done)

    def stream(
        self, ref: Reference, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any], *, asynchronous: bool
    ) -> Any:
        """There are none."""
        raise InvalidArguments(f"{method.where} is a stream: .NET Remoting has nothing like it")

    # --- references --------------------------------------------------------------------------------------------

    def refer(self, instance: object) -> ClassNode | None:
        node = super().refer(instance)
        if node is not None and not self.domain.urls and not isinstance(instance, Proxy):
            raise AccessDenied(
                f"{self.url} cannot call {type(instance).__name__} objects of this client, which listens nowhere: "
                "connect with ...?callbacks=yes to open a port on loopback"
            )
        return node

    def host_reference(self) -> Reference:
        """Stands for activation and leases, which .NET has elsewhere (`rpcx.interop.dotnet.plans`)."""
        return Reference(self, HOST_URI, ())

    def give_back(self, uri: str, count: int) -> None:
        """.NET does not count references: leases decide."""

    def caller_for(self, reference: DotnetReference) -> Caller:
        """What the server refers to is called over the connections to it, whatever address the reference has."""
        face: Caller = self.lines.face
        return face
