"""What one host or client is to .NET: its process's guid, and the URLs of its channels.

.NET calls this an application domain. There is one for each realm, made at the first use of a .NET URL.
"""

import uuid
from typing import Any, Final

from rpcx.abc import PeerFacts
from rpcx.errors import ObjectNotFound
from rpcx.interop.dotnet.clrnames import ClrName
from rpcx.interop.dotnet.nodes import ClassNode
from rpcx.interop.dotnet.objref import ObjRef, compose
from rpcx.interop.dotnet.types import ClrType, type_of
from rpcx.lifetime.lease import Lease
from rpcx.remoting.objects import Entry

DEFAULT_LEASE: Final = Lease()  # of what has none: a .NET client cannot give a reference back


class AppDomain:
    """One realm, as .NET sees it."""

    def __init__(self, realm: Any) -> None:  # a Realm
        self.realm = realm
        self.process = str(uuid.uuid4())
        self.urls: list[str] = []  # of its channels, in .NET's spelling: "tcp://127.0.0.1:1233"
        self.applications: set[str] = set()  # what may stand before an object's URI in a URL

    def find(self, uri: str) -> Entry:
        """The object that a request is for: a URL, or a URI with or without the application's name.

        Raises:
            ObjectNotFound: there is none that .NET clients may call.
        """
        _, scheme, path = uri.partition("://")
        path = path.partition("/")[2] if scheme else uri.lstrip("/")
        for application in self.applications:
            if path.startswith(f"{application}/"):
                path = path[len(application) + 1 :]
                break
        entry: Entry = self.realm.table.find(path)
        if entry.contract is None or type_of(entry.contract.cls) is None:
            raise ObjectNotFound(f"{path[:200]!r} is not offered to .NET: its class has no @dotnet.type", uri=path)
        return entry

    def export(self, instance: object, peer: PeerFacts, *, as_value: bool = False) -> ClassNode | None:
        """A reference to ``instance`` for ``peer``; None if it does not travel so."""
        declared = type_of(type(instance))
        if declared is None:
            return None
        entry = self.realm.table.export(instance, self.holder(peer), DEFAULT_LEASE)
        if entry is None:
            return None
        reference = ObjRef(
            entry.uri,
            server_type=declared.name.qualified,
            interfaces=tuple(name.qualified for name in interfaces_of(type(instance), declared)),
            urls=tuple(self.urls),
            process=self.process,
        )
        return compose(reference, as_value=as_value)

    @staticmethod
    def holder(peer: PeerFacts) -> str:
        """For whom objects are kept: .NET's connections come and go, so all of one machine together."""
        return f"dotnet {peer.address.rpartition(':')[0]}"


def interfaces_of(cls: type, declared: ClrType) -> list[ClrName]:
    """Types besides its own that a remote class has in .NET."""
    bases = [vars(base).get("__dotnet_type__") for base in cls.__mro__]
    named = [base.name for base in bases if base is not None and base is not declared]
    return list(dict.fromkeys((*declared.implements, *named)))


def domain_of(realm: Any) -> AppDomain:  # a Realm
    """The application domain of ``realm``."""
    domain: AppDomain | None = realm.annexes.get("dotnet")
    if domain is None:
        domain = realm.annexes["dotnet"] = AppDomain(realm)
    return domain
