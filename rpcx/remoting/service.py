"""The service every end of a connection offers about itself, at the uri ``rpcx``.

It is a remote object like any other: making client-activated objects, renewing leases, registering sponsors and
looking around are ordinary calls to it. A pure client offers it too, for what it passes by reference.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from rpcx.abc import Bound, LeaseInfo
from rpcx.context import serving
from rpcx.errors import ObjectNotFound
from rpcx.remoting.access import Gate
from rpcx.remoting.contract import Mode
from rpcx.remoting.decorators import method, remote
from rpcx.remoting.objects import HOST_URI, Entry, Leased, ObjectTable, Singleton
from rpcx.remoting.proxy import Proxy
from rpcx.security import audit


@remote(name="rpcx.Host")
class HostService:
    """What a host offers, and the leases of its objects."""

    def __init__(
        self, table: ObjectTable, facts: Mapping[str, object], bounds: Callable[[], Mapping[str, Bound]]
    ) -> None:
        self._table = table
        self._facts = facts
        self._bounds = bounds

    def create(self, contract: str, args: list[Any], kwargs: dict[str, Any]) -> Any:  # a remote object
        """Make a client-activated object with these constructor arguments."""
        begun, result = time.perf_counter(), "ok"
        try:
            return _gate().create(contract, args, kwargs)
        except Exception as error:
            result = type(error).__name__
            raise
        finally:
            taken = round((time.perf_counter() - begun) * 1000, 3)
            audit.event("create", peer=serving.get().peer, object_type=contract, result=result, ms=taken)  # type: ignore[union-attr]  # as in _gate

    @method(idempotent=True)
    def contract(self, uri: str, name: str) -> dict[str, Any] | None:  # plain data
        """The contract ``name`` of the object at ``uri`` as data; None if it does not fulfil it."""
        entry = _gate().entry(uri)
        if entry.contract is None:
            return None
        own = entry.contract.lineage.get(name) if name else entry.contract
        return _shown(own.describe(), _gate().methods(entry)) if own is not None else None

    @method(idempotent=True)
    def describe(self) -> dict[str, Any]:  # plain data
        """Everything this host offers to who asks: facts, objects with their contracts, classes, live leases.

        The owner is told of its bounds too.
        """
        gate = _gate()
        entries = [entry for entry in self._table.entries() if entry.uri != HOST_URI and gate.methods(entry)]
        leased = [entry for entry in entries if isinstance(entry, Leased)]
        return {
            "host": dict(self._facts) if gate.is_open else {},
            "objects": [_described(entry, gate) for entry in entries if not isinstance(entry, Leased)],
            "classes": [contract.describe() for contract in self._table.activated() if gate.may_create(contract)],
            "leases": [self._leased(entry) for entry in leased[:1000]],
            "lease_count": len(leased),
            "bounds": {name: bound._asdict() for name, bound in self._bounds().items()} if gate.is_open else {},
        }

    def lease(self, uri: str) -> LeaseInfo | None:
        """The object's lease as it stands; None if it has none and lives while it is held."""
        table = self._table
        _gate().entry(uri)
        with table.lock:
            lease = table.manager.get(self._lease_id(uri))
            if lease is None or lease.terms is None:
                return None
            return lease.info(table.clock())

    def renew(self, uri: str, seconds: float) -> float:
        """Live at least ``seconds`` more; returns the seconds left. Never shortens."""
        table = self._table
        _gate().entry(uri)
        with table.lock:
            return table.manager.renew(self._lease_id(uri), seconds, table.clock())

    def register_sponsor(self, uri: str, sponsor: Any, renewal: float = 0.0) -> None:  # a remote object
        """Ask ``sponsor`` when the lease ends; ``renewal`` seconds at once, if above 0."""
        holder = serving.get().endpoint.holder  # type: ignore[union-attr]  # an IncomingCall
        table = self._table
        _gate().entry(uri)
        with table.lock:
            table.manager.register(self._lease_id(uri), _key(sponsor), holder, table.clock(), renewal)
        table.rearm()

    def unregister_sponsor(self, uri: str, sponsor: Any) -> None:  # a remote object
        """Ask ``sponsor`` no more."""
        table = self._table
        _gate().entry(uri)
        with table.lock:
            table.manager.unregister(self._lease_id(uri), _key(sponsor), table.clock())
        table.rearm()

    def _lease_id(self, uri: str) -> str:
        entry = self._table.find_locked(uri)
        if isinstance(entry, Singleton) and entry.lease is not None:
            return entry.lease.object_id
        return uri

    def _leased(self, entry: Leased) -> dict[str, Any]:  # plain data
        table = self._table
        with table.lock:
            info = entry.lease.info(table.clock())
        return {
            "uri": entry.uri,
            "contract": entry.contract.name if entry.contract is not None else "function",
            "state": info.state,
            "remaining": info.remaining,
            "sponsors": info.sponsors,
            "pins": info.pins,
        }


def _key(sponsor: object) -> object:
    """What the lease manager keeps of a sponsor: the proxy itself, equal to others of the same object."""
    if not isinstance(sponsor, Proxy):
        raise ObjectNotFound(f"a sponsor is a remote object, not {type(sponsor).__name__}")
    return sponsor


def _gate() -> Gate:
    """What the caller can reach."""
    gate: Gate = serving.get().endpoint.gate  # type: ignore[union-attr]  # an IncomingCall: nothing else comes here
    return gate


def _shown(described: dict[str, Any], methods: Collection[str]) -> dict[str, Any]:  # plain data
    """A contract's description, of these methods only."""
    return {**described, "methods": [each for each in described["methods"] if each["name"] in methods]}


def _described(entry: Entry, gate: Gate) -> dict[str, Any]:  # plain data
    described: dict[str, Any] = {}
    if entry.contract is not None:
        described = _shown(entry.contract.describe(), gate.methods(entry))
    mode = described.get("mode")
    known = mode in (Mode.SINGLETON.value, Mode.SINGLE_CALL.value) and entry.kind != "published"
    return {**described, "uri": entry.uri, "mode": mode if known else entry.kind}
