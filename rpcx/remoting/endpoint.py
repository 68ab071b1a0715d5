"""One end of a connection: calls out, calls in. The `Session` that drivers pump.

    out: proxy → `call` → envelope → formatter → Connection.call → Link.wait ┐
    back: Connection.receive → Pending.resolve → (waiting thread) decode ◀────┘
    in:  Connection.receive → decode → find object and method → Job → driver runs it → `answer`

The lock guards the protocol's state machine, nothing else; it is never held while user code, a formatter or a
system call runs. Envelopes are positional lists:

    call    [target, method, args, seconds | None]  + [kwargs | None, meta | None] when there are any
    return  [value]        item  [value]        fault  see `encode_fault`
    burst   [target, method, count, args, seconds]  answered by  returns [value, …]  and others
    batch   [[target, method, count, args, seconds] + …, …]  answered by  [[values, [[index, fault], …]]]

``meta`` holds the rare: ``c``/``f`` contract name and fingerprint (a proxy's first call), ``d`` call depth.
"""

import functools
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from rpcx.abc import NOTHING, Buffer, Job, Link, PeerFacts, Proved
from rpcx.errors import ConnectionLost, ForkedConnection, MaybeExecuted, NotSent, ProtocolError, RpcxError
from rpcx.protocol.connection import (
    BATCH,
    BURST,
    CALL,
    CANCEL,
    CLOSED,
    CREDIT,
    DROPPED,
    END,
    FAULT,
    ITEM,
    ITEM_NOW,
    ONEWAY,
    OPENED,
    PROVE,
    REFUSED,
    RELEASE,
    RETURN,
    RETURN_NOW,
    RETURNS,
    Connection,
    Event,
)
from rpcx.protocol.term import grows_old
from rpcx.remoting.brake import Brake
from rpcx.remoting.cargo import Port
from rpcx.remoting.dispatch import IncomingCall
from rpcx.remoting.incoming import Incoming
from rpcx.remoting.objects import ObjectTable
from rpcx.remoting.outgoing import Outgoing
from rpcx.remoting.pending import Pending
from rpcx.remoting.proxy import Flavour
from rpcx.remoting.slots import Slots
from rpcx.sinks.chain import Chain


class Endpoint(Outgoing, Incoming):
    """This side of one connection."""

    def __init__(
        self,
        connection: Connection,
        table: ObjectTable,
        make_chain: Callable[[str], Chain],
        *,
        flavour: Flavour,
        detail: bool = True,
        on_open: Callable[["Endpoint"], None] | None = None,
        on_close: Callable[["Endpoint", Exception | None], None] | None = None,
    ) -> None:
        super().__init__(connection, table, flavour=flavour, detail=detail)
        self.wanted = connection.wanted  # the method itself: asked before each read
        self.finished = False  # what is queued still leaves, nothing else
        self.frames = connection.out  # that `outgoing` gives out first; see `rpcx.abc.Session`
        self.opened = Pending()  # arrives when the handshake is done, or has failed
        self._make_chain = make_chain  # of the agreed formatter
        self._on_open = on_open
        self._on_close = on_close

    # --- the session a driver pumps ----------------------------------------------------------------------------

    def attach(self, link: Link, now: float) -> None:
        self._link = link

    def receive(self, data: bytes, now: float) -> Sequence[Job]:
        connection = self._connection
        event = connection.glance(data, now)
        if event is None:
            return self._receive(data, now)
        kind, token, body, segments = event
        if kind == RETURN:
            token.resolve(RETURN, body, segments)  # type: ignore[attr-defined]  # a Pending or CallFuture
            if not connection.held:
                return NOTHING
            with self._lock:
                connection.send_held()
            return ()
        call_id: Any = token  # the peer's
        decode = self._decode_body
        try:  # `_incoming`, written out for the usual call
            job = self._prepare(decode(body, segments, self._own_values), call_id, now, IncomingCall)
        except Exception as error:  # noqa: BLE001  # the caller is told, nobody else is concerned
            self._refuse(call_id, error, now)
            return ()
        self._serving[call_id] = job
        return (job,)

    def _receive(self, data: bytes, now: float) -> Sequence[Job]:
        connection = self._connection
        with self._lock:
            events = connection.receive(data, now)
        if connection.frame_due:
            self._link.rearm()
        return self._handle(events, now)

    def _weigh(self) -> None:
        if self._connection.unsent <= self._most_unsent and self._brake is None:
            return
        if self._brake is None:
            self._brake = Brake(self._link.spawn, self.calls)
        with self._brake.weighing:
            while self._brake.on is not (braked := self._connection.unsent > self._most_unsent):
                self._brake.turn(on=braked)
                if braked:  # then looked at once more: what was taken before this does not come here
                    self.receive, self.outgoing = self._receive_braked, self._outgoing_braked  # type: ignore[method-assign]  # so that it costs nothing otherwise
                else:
                    del self.receive, self.outgoing

    def _receive_braked(self, data: bytes, now: float) -> Sequence[Job]:
        jobs = Endpoint.receive(self, data, now)
        if self._brake is not None:
            self._brake.mark()
        return jobs

    def _outgoing_braked(self) -> Sequence[Buffer]:
        taken = Endpoint.outgoing(self)
        self._weigh()
        return taken

    def eof(self, now: float) -> Sequence[Job]:
        with self._lock:
            events = self._connection.eof()
        return self._handle(events, now)

    def tick(self, now: float) -> Sequence[Job]:
        with self._lock:
            events = self._connection.tick(now)
        return self._handle(events, now)

    def outgoing(self) -> Sequence[Buffer]:
        if self._let_go:
            with self._lock:
                self._send_drops()
        if self._burst is not None:
            self._send_burst()
        return self._connection.outgoing()

    @property
    def ready(self) -> bool:
        return bool(self._connection.out or self._burst is not None or self._let_go)

    def held_back(self, count: int, *, took: bool) -> None:
        with self._lock:
            self._connection.held_back(count, time.monotonic(), took=took)
        self._weigh()

    def due(self) -> float | None:
        return self._connection.due()

    # --- what was received -------------------------------------------------------------------------------------

    def _handle(self, events: list[Event], now: float) -> Sequence[Job]:
        jobs: list[Job] = []
        for kind, token, body, segments in events:
            if kind == RETURN:
                token.resolve(kind, body, segments)  # type: ignore[attr-defined]  # a Pending or CallFuture
            elif kind == CALL or kind == BATCH:
                job = self._incoming(kind, token, body, segments, now)  # type: ignore[arg-type]  # the peer's id
                if job is not None:
                    jobs.append(job)
                elif self.error is not None:
                    break
            elif kind == BURST:
                jobs += self._incoming_burst(token, body, now)  # type: ignore[arg-type]  # the peer's ids
            elif kind == RETURNS:
                self._peer_said(functools.partial(self._returned, token, body), now)  # type: ignore[arg-type]  # ours
            elif kind == FAULT or kind == END:
                token.resolve(kind, body, segments)  # type: ignore[attr-defined]  # a Pending or IncomingItems
            elif kind == ITEM:
                token.item(body, segments)  # type: ignore[attr-defined]  # IncomingItems
            else:
                job = self._rare(kind, token, body, segments, now)
                if job is not None:
                    jobs.append(job)
                if self.error is not None:
                    break  # it was turned away, or said nonsense: what came behind counts no more
        return jobs

    def _rare(self, kind: int, token: Any, body: bytes, segments: Sequence[Buffer], now: float) -> Job | None:
        if kind == ONEWAY:
            return self._incoming_oneway(body, segments, now)
        if kind == RETURN_NOW:
            token.resolve(RETURN, self._ahead(body, segments), ())
        elif kind == ITEM_NOW:
            token.item(self._ahead(body, segments), ())
        elif kind == CREDIT or kind == CANCEL:
            call = self._serving.get(token)
            if call is not None:
                call.credit() if kind == CREDIT else call.cancel(token)
        elif kind == RELEASE:
            self._peer_said(lambda: self._peer_released(body), now)
        elif kind == OPENED:
            self._opened(token)
        elif kind == PROVE:
            self._link.aside(functools.partial(self._prove, token))
        elif kind == REFUSED:
            self._refuse_all(token, now)
        elif kind == DROPPED:
            # References in it are counted, and given back at once.
            self._peer_said(lambda: self._decode(body, segments), now)
        elif kind == CLOSED:
            self._ended(token)
        return None

    def _peer_said(self, listen: Callable[[], object], now: float) -> None:
        """Take in what the peer said beside calls; nonsense there ends the connection, since nobody is answered."""
        try:
            listen()
        except Exception as error:  # noqa: BLE001  # whatever nonsense provokes
            wrong = error if isinstance(error, RpcxError) else ProtocolError(f"a message makes no sense: {error}")
            with self._lock:
                events = self._connection.fail(wrong)
            self._handle(events, now)

    def _refuse_all(self, refused: tuple[Sequence[int], Exception], now: float) -> None:
        ids, error = refused
        if not ids:
            self._lost_oneway(error, now)
        for call_id in ids:
            self._refuse(call_id, error, now)

    def _refuse(self, call_id: int, error: Exception, now: float) -> None:
        refuse = functools.partial(super()._refuse, call_id, error, now)
        self._peer_said(refuse, now)  # whom a sink cannot answer is cut off

    def _prove(self, work: Callable[[], bytes]) -> None:
        """In a thread of its own: this may wait for another server."""
        answer: bytes | RpcxError
        try:
            answer = work()
        except RpcxError as error:
            answer = error
        with self._lock:
            self._connection.proved(answer)
        self._link.rearm()

    def _opened(self, agreement: Any) -> None:
        self._chain = chain = self._make_chain(agreement.formatter)
        self._encode = chain.encode
        self._decode_body = chain.decode
        self._pack = chain.pack
        self._sinks = bool(chain.message_sinks)
        self._bursts = not chain.has_sinks
        self.facts.name = agreement.peer.name
        self.holder = agreement.peer.session or self.holder
        self._window = min(self._window, agreement.peer.window)
        if self._on_open is not None:
            self._on_open(self)
        if self._connection.term is not None:
            self._link.rearm()
        self.opened.resolve(OPENED, b"", ())

    # --- ends --------------------------------------------------------------------------------------------------

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

    def take_share(self, slots: Slots, port: Port, key: Hashable, whose: str | None) -> None:
        """Its calls and large messages count for the principal ``key``, if it has a name, and for the host."""
        with self._lock:
            self._connection.share = slots.share(self._connection, key, whose)
            self._connection.carry(port.cargo(key, whose))

    def grows_old(self, seconds: float) -> None:
        """It lasts no longer than this."""
        with self._lock:
            self._connection.ends_by(grows_old(time.monotonic(), seconds))

    def calls(self) -> list[IncomingCall]:
        """The peer's that are not answered."""
        return list(self._serving.values())

    @property
    def proof(self) -> Proved | None:
        """Who the client proved to be; None: by no authenticator, or not yet."""
        return self._connection.proof

    @property
    def proving(self) -> str:
        """The authenticator that works on what this side says next; empty: none does."""
        return self._connection.proving

    @property
    def progress(self) -> int:
        """Bytes that the peer sent to be admitted."""
        return self._connection.greeted

    @property
    def known(self) -> PeerFacts | None:
        """What is known of the peer; None: no driver has taken the connection up yet."""
        return self._link.facts if self._link is not None else None

    def turn_away(self, error: RpcxError) -> None:
        """Refuse the client that is just being welcomed, and tell it why."""
        with self._lock:
            events = self._connection.reject(error)
        self._handle(events, time.monotonic())
        self._link.flush()

    def cut_off(self, error: RpcxError) -> None:
        """End it at once, and tell the peer why."""
        with self._lock:
            events = self._connection.fail(error)
        self._handle(events, time.monotonic())
        self._link.flush()
        self._link.close()

    def close(self) -> None:
        """Say goodbye; what is queued still leaves."""
        with self._lock:
            self._connection.goodbye()
            self.finished = True
        if self._link is not None:  # else nobody has taken it up yet, nor will
            self._link.flush()
            self._link.close()

    def forked(self) -> None:
        """This is a child process's copy: its locks may be held by threads that are not here."""
        self._lock = threading.Lock()
        self.error = ForkedConnection(
            "this connection belongs to the parent process; connect anew in the child", peer=str(self.facts)
        )

    def lost(self, error: Exception) -> None:
        self._ended(error)

    def _ended(self, error: Exception | None) -> None:
        with self._lock:
            if self.error is not None:
                return
            self.error = error if error is not None else ConnectionLost("it was closed")
            self.finished = True
            sent, unsent = self._connection.abandon(self._serving)
        calls, self._serving = list(self._serving.values()), {}
        text = f"{self.known or 'the peer'}: {self.error}"
        if not self.opened.arrived:
            self.opened.fail(self.error)
        for tokens, kind, fate in ((sent, MaybeExecuted, "may have run"), (unsent, NotSent, "was not sent")):
            for token in tokens:
                failed = kind(f"{text}; the call {fate}", peer=str(self.facts))
                token.fail(failed)  # type: ignore[attr-defined]  # a Pending, CallFuture or IncomingItems
        for call in calls:
            call.cancel()
        for call in self._brake.clear() if self._brake is not None else ():
            call.dropped()
        if self._on_close is not None:
            self._on_close(self, error)

    def peaks(self) -> dict[str, tuple[int, int]]:
        """(now, at most) of what is bounded for each connection."""
        oneways, high = (len(self._oneways), self._oneways.high) if self._oneways is not None else (0, 0)
        return {
            "limits.message": (0, self._connection.largest),
            "limits.oneways": (oneways, high),
            "quotas.callbacks": (len(self._imports), self.imports_high),
        }

    def stats(self) -> dict[str, int]:
        """Counters, for inspection."""
        out, into = self._connection.in_flight
        return {
            "calls_out": out, "calls_in": into, "imports": len(self._imports),
            "oneway_failures": self.oneway_failures, "unsent_bytes": self._connection.unsent,
        }  # fmt: skip
