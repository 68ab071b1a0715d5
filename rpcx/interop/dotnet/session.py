"""One end of a .NET connection, as far as client and server have it in common: frames in, frames out, the end."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from rpcx.abc import Job, Link, PeerFacts
from rpcx.errors import ObjectNotFound
from rpcx.interop.dotnet import faults
from rpcx.interop.dotnet.appdomain import AppDomain
from rpcx.interop.dotnet.delegates import function_of
from rpcx.interop.dotnet.framing import Frame, Wire
from rpcx.interop.dotnet.inward import Inward, plain_values
from rpcx.interop.dotnet.nodes import ClassNode, Node
from rpcx.interop.dotnet.objref import parse as parse_reference
from rpcx.interop.dotnet.outward import Outward
from rpcx.interop.dotnet.references import DotnetReference, contract_for, names_for, node_of
from rpcx.interop.foreign import ForeignSession
from rpcx.protocol.connection import OPENED
from rpcx.remoting.proxy import Flavour, Proxy, make_proxy
from rpcx.remoting.references import Caller, Reference

log = logging.getLogger("rpcx")


class Session(ForeignSession[Frame | bytes]):
    """One end; there is no handshake, so `opened` arrives when a driver takes it up."""

    def __init__(self, domain: AppDomain, facts: PeerFacts, wire: Wire) -> None:
        super().__init__(domain.realm, facts, domain.holder(facts), wire)
        self.domain = domain
        self.wire = wire
        self.table = domain.realm.table
        self.flavour: Flavour = domain.realm.flavour  # of proxies that arrive here, unless a method says otherwise

    def attach(self, link: Link, now: float) -> None:
        super().attach(link, now)
        self.opened.resolve(OPENED, b"", ())

    # --- frames ------------------------------------------------------------------------------------------------

    def _arrived(self, message: Frame | bytes, now: float) -> Sequence[Job]:
        if isinstance(message, Frame):
            return self._frame(message, now)
        self._put(message)
        if self.wire.over:
            self.finished = True
        return ()

    def _frame(self, frame: Frame, now: float) -> Sequence[Job]:
        """A frame came."""
        raise NotImplementedError

    # --- values ------------------------------------------------------------------------------------------------

    def outward(self) -> Outward:
        """For the values of one message to the peer."""
        return Outward(self)

    def values(self, nodes: Sequence[Node], flavour: Flavour | None = None) -> list[Any]:
        """The values of one message from the peer; proxies among them of ``flavour``."""
        plain = plain_values(nodes)
        return plain if plain is not None else Inward(_Resolving(self, flavour or self.flavour)).values(nodes)

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
