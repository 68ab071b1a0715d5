"""Leases of objects here as .NET's clients see them, and sponsors in both directions.

A lease is an object of its own in .NET, with a URI. Here that URI is the object's with a suffix, and nothing is kept
for it.
"""

import datetime
import weakref
from typing import Any, Final

from rpcx.abc import LeaseInfo
from rpcx.context import serving
from rpcx.errors import InvalidArguments, ObjectNotFound
from rpcx.interop.dotnet.lifetime import LIFETIME, ILease, ISponsor, LeaseState, MarshalByRefObject, seconds, span
from rpcx.interop.dotnet.types import TimeSpan, name, type_
from rpcx.remoting.contract import contract_of
from rpcx.remoting.objects import Singleton
from rpcx.remoting.proxy import Proxy

SUFFIX: Final = "@lease"  # behind an object's URI: its lease


@type_(f"{LIFETIME}.Lease", assembly="mscorlib")
class ObjectLease(ILease):
    """The lease of one object of this side."""

    def __init__(self, domain: Any, uri: str) -> None:  # an AppDomain
        self._table = domain.table
        self._uri = uri  # the object's

    @property
    def uri(self) -> str:
        """Its own."""
        return self._uri + SUFFIX

    @property
    def lease_id(self) -> str:
        """What the lease manager calls it. Raises ObjectNotFound when the object has ended."""
        entry = self._table.find(self._uri)
        if isinstance(entry, Singleton) and entry.lease is not None:
            return entry.lease.object_id
        return self._uri

    def info(self) -> LeaseInfo | None:
        """How it stands; None: the object has none."""
        lease_id = self.lease_id
        with self._table.lock:
            lease = self._table.manager.get(lease_id)
            return lease.info(self._table.clock()) if lease is not None and lease.terms is not None else None

    def _known(self) -> LeaseInfo:
        info = self.info()
        if info is None:
            raise ObjectNotFound(f"{self._uri} has no lease", uri=self._uri)
        return info

    def renew(self, renewal_time: TimeSpan) -> TimeSpan:
        lease_id = self.lease_id
        with self._table.lock:
            left = self._table.manager.renew(lease_id, seconds(renewal_time), self._table.clock())
        self._table.rearm()
        return span(left)

    @name("Register")
    def register(self, obj: ISponsor, renewal_time: TimeSpan) -> None:
        call = serving.get()
        assert call is not None  # it is being served
        holder = call.endpoint.holder  # type: ignore[attr-defined]  # an IncomingCall's
        lease_id = self.lease_id
        with self._table.lock:
            self._table.manager.register(
                lease_id, _proxy(obj), holder, self._table.clock(), max(0.0, seconds(renewal_time))
            )
        self._table.rearm()

    @name("Register")
    def register_only(self, obj: ISponsor) -> None:
        self.register(obj, datetime.timedelta())

    def unregister(self, obj: ISponsor) -> None:
        lease_id = self.lease_id
        with self._table.lock:
            self._table.manager.unregister(lease_id, _proxy(obj), self._table.clock())
        self._table.rearm()

    @property
    def current_state(self) -> LeaseState:
        return LeaseState[self._known().state]

    @property
    def current_lease_time(self) -> TimeSpan:
        return span(self._known().remaining)

    @property
    def initial_lease_time(self) -> TimeSpan:
        return span(self._known().initial)

    @property
    def renew_on_call_time(self) -> TimeSpan:
        return span(self._known().renew_on_call)

    @property
    def sponsorship_timeout(self) -> TimeSpan:
        return span(self._known().sponsorship_timeout)


def _proxy(sponsor: object) -> Proxy:
    if not isinstance(sponsor, Proxy):
        raise InvalidArguments(f"a sponsor is a remote object, not a {type(sponsor).__name__}")
    return sponsor


class ObjectServices(MarshalByRefObject):
    """What every object of this side offers besides its own methods."""

    def __init__(self, domain: Any, uri: str) -> None:  # an AppDomain
        self._lease = ObjectLease(domain, uri)

    def get_lifetime_service(self) -> Any:  # an ILease, or None
        return self._lease if self._lease.info() is not None else None


@type_(f"{LIFETIME}.ClientSponsor", assembly="mscorlib", implements=[f"{LIFETIME}.ISponsor, mscorlib"])
class OwnSponsor(ISponsor):
    """A sponsor of this side, as .NET asks it, for as long as somebody here has it."""

    def __init__(self, sponsor: Any) -> None:  # has renewal(lease) -> seconds
        self._sponsor = weakref.ref(sponsor)

    def renewal(self, lease: ILease) -> TimeSpan:
        """Ask it."""
        uri = lease._rpcx_ref.uri if isinstance(lease, Proxy) else ""
        info = LeaseInfo(uri, "RENEWING", 0.0, 0.0, 0.0, 0.0, sponsors=1, pins=0)
        sponsor = self._sponsor()
        return span(float(sponsor.renewal(info)) if sponsor is not None else 0.0)


_OWN: Final[weakref.WeakKeyDictionary[Any, OwnSponsor]] = weakref.WeakKeyDictionary()


def as_sponsor(sponsor: Any) -> object:  # has renewal(lease) -> seconds, or is a proxy
    """What .NET is given for a sponsor: one object for each, so that it can be taken back."""
    if isinstance(sponsor, Proxy) or contract_of(type(sponsor)) is contract_of(ISponsor):
        return sponsor
    known = _OWN.get(sponsor)
    if known is None:
        known = _OWN[sponsor] = OwnSponsor(sponsor)
    return known
