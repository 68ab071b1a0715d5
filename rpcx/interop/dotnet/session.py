"""One end of a .NET connection, as far as client and server have it in common: frames in, frames out, the end."""

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from rpcx.abc import Buffer, Job, Link, PeerFacts
from rpcx.errors import ConnectionLost, ForkedConnection, ObjectNotFound, ProtocolError
from rpcx.interop.dotnet import faults
from rpcx.interop.dotnet.appdomain import AppDomain
from rpcx.interop.dotnet.delegates import function_of
from rpcx.interop.dotnet.framing import Frame, Frames
from rpcx.interop.dotnet.inward import Inward
from rpcx.interop.dotnet.nodes import ClassNode, Node
from rpcx.interop.dotnet.objref import parse as parse_reference
from rpcx.interop.dotnet.outward import Outward
from rpcx.interop.dotnet.references import DotnetReference, contract_for, names_for, node_of
from rpcx.protocol.connection import OPENED
from rpcx.remoting.access import Gate
from rpcx.remoting.pending import Pending
from rpcx.remoting.proxy import Flavour, Proxy, make_proxy
from rpcx.remoting.references import Caller, Reference

log = logging.getLogger("rpcx")

READ: Final = 65_536  # bytes asked for between messages


class Session:
    """Pumped by a driver (`rpcx.abc.Session`). What comes in goes to `_frame`, of a subclass."""

    def __init__(self, domain: AppDomain, facts: PeerFacts) -> None:
        self.domain = domain
        self.table = domain.realm.table
        self.flavour: Flavour = domain.realm.flavour  # of proxies that arrive here, unless a method says otherwise
        self.holder: Hashable = domain.holder(facts)
        self.gate: Gate = domain.realm.gate(facts, self.holder)  # what the peer can reach here
        self.error: Exception | None = None  # set when the connection has ended
        self.finished = False  # what is queued still leaves, nothing else
        self.opened = Pending()  # arrives when a driver takes it up: there is no handshake
        self.oneway_failures = 0  # one-way calls of the peer's that raised
        self._facts = facts
        self._frames = Frames(domain.realm.limits.message)
        self._out: list[Buffer] = []
        self._lock = threading.Lock()  # around the queues of a subclass and `_out`
        self._link: Link = None  # type: ignore[assignment]  # set by attach, before anything else

    @property
    def facts(self) -> PeerFacts:
        return self._facts

    # --- the session a driver pumps ----------------------------------------------------------------------------

    def attach(self, link: Link, now: float) -> None:
        self._link = link
        self.opened.resolve(OPENED, b"", ())

    def receive(self, data: bytes, now: float) -> Sequence[Job]:
        jobs: list[Job] = []
        try:
            for frame in self._frames.receive(data):
                jobs += self._frame(frame, now)
        except ProtocolError as error:
            log.warning("%s: %s", self._facts, error)
            self._end(error)
        return jobs

    def eof(self, now: float) -> Sequence[Job]:
        self._end(None if self._frames.between else ConnectionLost("it ended within a message"))
        return ()

    def tick(self, now: float) -> Sequence[Job]:
        return ()

    def due(self) -> float | None:
        return None  # .NET has no timers on a connection

    def wanted(self) -> int:
        return max(READ, self._frames.wanted)

    def outgoing(self) -> Sequence[Buffer]:
        with self._lock:
            out, self._out = self._out, []
        return out

    @property
    def ready(self) -> bool:
        return bool(self._out)

    def held_back(self, count: int) -> None:
        """.NET's peers ask once at a time: what waits for them is bounded by that."""

    def lost(self, error: Exception) -> None:
        self._end(error)

    def close(self) -> None:
        """Close; what is queued still leaves. .NET says no goodbye."""
        self.finished = True
        self._link.flush()
        self._link.close()

    def forked(self) -> None:
        """This is a child process's copy."""
        self._lock = threading.Lock()
        self.error = ForkedConnection(
            "this connection belongs to the parent process; connect anew in the child", peer=str(self._facts)
        )

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self.error is not None:
                return
            self.error = error if error is not None else ConnectionLost("it was closed")
            self.finished = True
        self.domain.realm.endpoints.discard(self)
        self._ended(self.error)

    def _frame(self, frame: Frame, now: float) -> Sequence[Job]:
        """A message came."""
        raise NotImplementedError

    def _ended(self, error: Exception) -> None:
        """The connection is over."""

    # --- values ------------------------------------------------------------------------------------------------

    def outward(self) -> Outward:
        """For the values of one message to the peer."""
        return Outward(self)

    def inward(self, flavour: Flavour | None = None) -> Inward:
        """For the values of one message from the peer."""
        return Inward(_Resolving(self, flavour or self.flavour))

    def refer(self, instance: object) -> ClassNode | None:
        """The reference by which the peer may call ``instance``."""
        if isinstance(instance, Proxy):
            reference: Reference = instance._rpcx_ref
            known = reference.node if isinstance(reference, DotnetReference) else node_of(reference)
            if known is not None:
                return known
        return self.domain.export(instance, self._facts)

    def caller_for(self, reference: DotnetReference) -> Caller:
        """The end of a connection by which an object of the peer's can be called.

        Raises:
            AccessDenied: calls in this direction are not allowed.
        """
        raise NotImplementedError


class _Resolving:
    """Makes proxies and exceptions of a peer's nodes."""

    def __init__(self, session: Session, flavour: Flavour) -> None:
        self._session = session
        self._flavour: Flavour = flavour

    def resolve(self, node: ClassNode) -> object:
        parts = parse_reference(node)
        domain = self._session.domain
        if parts.process == domain.process:
            return self._session.gate.home(domain.find(parts.uri, self._session.gate).uri)
        if not parts.server_type:
            raise ObjectNotFound(f"a reference to {parts.uri[:200]!r} that does not say what it is", uri=parts.uri)
        reference = DotnetReference(node, parts, names_for(parts))
        reference.endpoint = self._session.caller_for(reference)
        contract = contract_for(parts)
        reference.expected = contract
        return make_proxy(reference, self._flavour, contract)

    def delegate(self, node: ClassNode, value: Callable[[Node], Any]) -> object:
        return function_of(node, value)

    def exception(self, node: ClassNode, value: Callable[[Node], Any]) -> Exception:
        return faults.from_node(node, value)
