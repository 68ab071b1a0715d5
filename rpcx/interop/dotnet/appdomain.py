"""What one host or client is to .NET: its process's guid, its channels, the servers it calls.

.NET calls this an application domain. There is one for each realm, made at the first use of a .NET URL.
"""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rpcx.abc import LeaseInfo, PeerFacts
from rpcx.channels.urls import Url
from rpcx.errors import ObjectNotFound
from rpcx.interop.dotnet.activation import URI as ACTIVATION
from rpcx.interop.dotnet.activation import Activator
from rpcx.interop.dotnet.callbacks import Callback
from rpcx.interop.dotnet.clrnames import ClrName
from rpcx.interop.dotnet.leases import SUFFIX, ObjectLease, ObjectServices
from rpcx.interop.dotnet.lifetime import ISponsor
from rpcx.interop.dotnet.nodes import ClassNode
from rpcx.interop.dotnet.objref import ObjRef, compose
from rpcx.interop.dotnet.types import CLR_TYPE, ClrType, type_of
from rpcx.interop.plain import as_reached
from rpcx.lifetime.lease import Lease
from rpcx.remoting.access import Gate
from rpcx.remoting.contract import contract_of
from rpcx.remoting.objects import Entry, Published

if TYPE_CHECKING:
    from rpcx.interop.dotnet.lines import Lines

SERVERS: Final = 1000  # called from here; clients that are called back are servers too
DEFAULT_LEASE: Final = Lease()  # of what has none: a .NET client cannot give a reference back


class AppDomain:
    """One realm, as .NET sees it."""

    def __init__(self, realm: Any) -> None:  # a Realm
        self.realm = realm
        self.table = realm.table
        self.process = str(uuid.uuid4())
        self.urls: list[str] = []  # of its channels, in .NET's spelling: "tcp://127.0.0.1:1233"
        self.applications: set[str] = set()  # what may stand before an object's URI in a URL
        self._lines: dict[str, tuple[Url, Lines]] = {}  # by URL of the server
        self._activator = Activator(self)

    # --- objects here --------------------------------------------------------------------------------------------

    def find(self, uri: str, gate: Gate) -> Entry:
        """The object that a request is for: a URL, or a URI with or without the application's name.

        Whether the peer may call it, its gate says; here it is asked about leases only.

        Raises:
            ObjectNotFound: there is none that .NET clients may call.
        """
        _, scheme, path = uri.partition("://")
        if scheme:  # "tcp://host:port/app/uri", and "unix:///path?/app/uri" over IPC
            path = path.partition("?")[2].lstrip("/") if uri.startswith("unix:") else path.partition("/")[2]
        else:
            path = uri.lstrip("/")
        for application in self.applications:
            if application and path.startswith(f"{application}/"):
                path = path[len(application) + 1 :]
                break
        if path == ACTIVATION:
            return standing(path, self._activator)
        if path.endswith(SUFFIX):
            self._offered(path.removesuffix(SUFFIX))
            gate.entry(path.removesuffix(SUFFIX))
            return standing(path, ObjectLease(self, path.removesuffix(SUFFIX)))
        return self._offered(path)

    def _offered(self, path: str) -> Entry:
        entry: Entry = self.table.find(path)
        if entry.contract is None or type_of(entry.contract.cls) is None:
            raise ObjectNotFound(f"{path[:200]!r} is not offered to .NET: its class has no @dotnet.type", uri=path)
        return entry

    def services(self, entry: Entry) -> Entry:
        """Where the calls go that every object answers."""
        return standing(entry.uri, ObjectServices(self, entry.uri))

    def export(self, instance: object, peer: PeerFacts, *, as_value: bool = False) -> ClassNode | None:
        """A reference to ``instance`` for ``peer``; None if it does not travel so."""
        if isinstance(instance, LeaseInfo):  # what a sponsor is asked about
            instance = ObjectLease(self, instance.object_id.partition("#")[0])
        declared = type_of(type(instance))
        if declared is None:
            return None
        if isinstance(instance, ObjectLease):
            uri = instance.uri
        else:
            kept = isinstance(instance, ISponsor | Callback)  # as .NET's sponsors, and whoever wants to hear
            terms = None if kept else DEFAULT_LEASE
            entry = self.table.export(instance, self.holder(peer), terms)
            if entry is None:
                return None
            uri = entry.uri
        reference = ObjRef(
            uri,
            server_type=declared.name.qualified,
            interfaces=tuple(name.qualified for name in interfaces_of(type(instance), declared)),
            urls=tuple(_as_reached(url, peer) for url in self.urls),
            process=self.process,
        )
        return compose(reference, as_value=as_value)

    @staticmethod
    def holder(peer: PeerFacts) -> str:
        """For whom objects are kept: .NET's connections come and go, so all of one machine together."""
        return f"dotnet {peer.address.rpartition(':')[0]}"

    # --- servers elsewhere -----------------------------------------------------------------------------------------

    def servers(self) -> "list[tuple[Url, Lines]]":
        """Those that were dialled: where, and the connections."""
        return list(self._lines.values())

    def lines(self, where: Url, make: "Callable[[], Lines]") -> "Lines":
        """The connections to a server, made by ``make`` at first."""
        key = str(where)
        if key not in self._lines:
            if len(self._lines) >= SERVERS:  # those that nobody is connected to any more
                self._lines = {key: known for key, known in self._lines.items() if known[1].open}
            self._lines[key] = where, make()
        return self._lines[key][1]


def _as_reached(url: str, peer: PeerFacts) -> str:
    """One of the channels' URLs, as ``peer`` can use it."""
    scheme, _, where = url.partition("://")
    return f"{scheme}://{as_reached(where, peer)}" if scheme != "unix" else url


class Standing(Published):
    """An object that is there without being in the table: an activator, a lease."""

    __slots__ = ()


def standing(uri: str, instance: object) -> Standing:
    """Its entry."""
    contract = contract_of(type(instance))
    assert contract is not None  # it is one of this package's
    return Standing(uri, contract, contract.implemented_by(type(instance)), instance)


def interfaces_of(cls: type, declared: ClrType) -> list[ClrName]:
    """Types besides its own that a remote class has in .NET."""
    bases = [vars(base).get(CLR_TYPE) for base in cls.__mro__]
    named = [base.name for base in bases if base is not None and base is not declared]
    return list(dict.fromkeys((*declared.implements, *named)))


def domain_of(realm: Any) -> AppDomain:  # a Realm
    """The application domain of ``realm``."""
    domain: AppDomain | None = realm.annexes.get("dotnet")
    if domain is None:
        domain = realm.annexes["dotnet"] = AppDomain(realm)
    return domain
