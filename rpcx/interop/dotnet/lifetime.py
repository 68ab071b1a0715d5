"""Contracts of .NET's own that both ends call: of every remote object, of activation, of leases and sponsors."""

import datetime
import enum
from typing import Any, Final

from rpcx.interop.dotnet.types import TimeSpan, name, type_
from rpcx.remoting.decorators import remote

LIFETIME: Final = "System.Runtime.Remoting.Lifetime"
FOREVER: Final = 9e10  # seconds, some 2800 years; a TimeSpan ends after 29,000


@type_(f"{LIFETIME}.LeaseState", assembly="mscorlib")
class LeaseState(enum.IntEnum):
    """Where a lease is in its life."""

    NULL = 0
    INITIAL = 1
    ACTIVE = 2
    RENEWING = 3
    EXPIRED = 4


@type_("System.MarshalByRefObject", assembly="mscorlib")
@remote(name="dotnet.MarshalByRefObject")
class MarshalByRefObject:
    """What every remote object has."""

    def get_lifetime_service(self) -> Any:  # an ILease, or None
        """The object's lease; None: it has none, and lives as long as its process."""
        raise NotImplementedError


@type_("System.Runtime.Remoting.Activation.IActivator", assembly="mscorlib")
@remote(name="dotnet.IActivator")
class IActivator:
    """Makes client-activated objects, at a URI that every server has."""

    def activate(self, msg: Any) -> Any:  # a construction's call and response
        """Make an object."""
        raise NotImplementedError


@type_(f"{LIFETIME}.ISponsor", assembly="mscorlib")
@remote(name="dotnet.ISponsor")
class ISponsor:
    """Asked when a lease ends."""

    def renewal(self, lease: "ILease") -> TimeSpan:
        """How much longer; nothing: let it go."""
        raise NotImplementedError


@type_(f"{LIFETIME}.ILease", assembly="mscorlib")
@remote(name="dotnet.ILease")
class ILease:
    """A lease."""

    def renew(self, renewal_time: TimeSpan) -> TimeSpan:
        """Live at least that much longer; returns what is left."""
        raise NotImplementedError

    @name("Register")
    def register(self, obj: ISponsor, renewal_time: TimeSpan) -> None:
        """Ask a sponsor when the lease ends; renew by so much now."""
        raise NotImplementedError

    @name("Register")
    def register_only(self, obj: ISponsor) -> None:
        """Ask a sponsor when the lease ends."""
        raise NotImplementedError

    def unregister(self, obj: ISponsor) -> None:
        """Ask a sponsor no more."""
        raise NotImplementedError

    @property
    def current_state(self) -> LeaseState:
        """Where it is in its life."""
        raise NotImplementedError

    @property
    def current_lease_time(self) -> TimeSpan:
        """What is left; negative while sponsors are asked."""
        raise NotImplementedError

    @property
    def initial_lease_time(self) -> TimeSpan:
        """How long the object lives at first."""
        raise NotImplementedError

    @property
    def renew_on_call_time(self) -> TimeSpan:
        """How long it lives at least after a call."""
        raise NotImplementedError

    @property
    def sponsorship_timeout(self) -> TimeSpan:
        """How long a sponsor may think."""
        raise NotImplementedError


def seconds(value: Any) -> float:  # what a sponsor or lease answered
    """A TimeSpan in seconds."""
    return value.total_seconds() if isinstance(value, datetime.timedelta) else 0.0


def span(value: float) -> datetime.timedelta:
    """Seconds as a TimeSpan; what never ends is as long as can be."""
    return datetime.timedelta(seconds=min(value, FOREVER))
