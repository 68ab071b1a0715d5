"""Leases and sponsors from the client's side.

    lease = rpcx.lease(account)
    lease.renew(60)                        # at least 60 s more; never shortens
    sponsor = rpcx.ClientSponsor(renewal=120)
    lease.register(sponsor)                # asked when the lease ends, over this connection

All of it is ordinary calls to the host's own service.
"""

import weakref
from typing import Any, Final

from rpcx.abc import LeaseInfo, Sponsor
from rpcx.remoting.contract import Contract, contract_of
from rpcx.remoting.decorators import remote
from rpcx.remoting.proxy import Proxy
from rpcx.remoting.references import Reference
from rpcx.remoting.service import HostService

HOST: Final[Contract] = contract_of(HostService)  # type: ignore[assignment]  # it is decorated


class _Handle:
    """The lease of one remote object."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy  # keeps the reference alive as long as somebody looks at its lease
        self._ref: Reference = proxy._rpcx_ref  # proxies keep it there

    def _call(self, name: str, *args: object) -> Any:  # what the service returns
        endpoint = self._ref.endpoint
        return endpoint.call(endpoint.host_reference(), HOST.methods[name], (self._ref.uri, *args), {})

    def _call_async(self, name: str, *args: object) -> Any:  # an awaitable of it
        endpoint = self._ref.endpoint
        return endpoint.call_async(endpoint.host_reference(), HOST.methods[name], (self._ref.uri, *args), {})

    def __repr__(self) -> str:
        return f"<lease of {self._proxy!r}>"


class LeaseHandle(_Handle):
    """A lease, for code that waits."""

    def renew(self, seconds: float) -> float:
        """Live at least ``seconds`` more; returns the seconds left. Never shortens.

        Raises:
            ObjectExpired: too late.
        """
        return float(self._call("renew", seconds))

    def register(self, sponsor: Sponsor, renewal: float = 0.0) -> None:
        """Have ``sponsor.renewal(lease)`` asked when the lease ends; renew by ``renewal`` seconds now.

        Raises:
            LimitExceeded: the object has too many sponsors.
        """
        self._call("register_sponsor", as_remote(sponsor), renewal)

    def unregister(self, sponsor: Sponsor) -> None:
        """Have ``sponsor`` asked no more."""
        self._call("unregister_sponsor", as_remote(sponsor))

    def info(self) -> LeaseInfo | None:
        """The lease as it stands now; None if the object has none and lives while it is held."""
        return self._call("lease")  # type: ignore[no-any-return]  # checked against the service's annotation

    @property
    def remaining(self) -> float:
        """Seconds left; negative while sponsors are being asked, infinite without a lease."""
        info = self.info()
        return info.remaining if info is not None else float("inf")

    @property
    def state(self) -> str:
        """One of "NULL", "INITIAL", "ACTIVE", "RENEWING" or "EXPIRED"."""
        info = self.info()
        return info.state if info is not None else "NULL"


class AsyncLeaseHandle(_Handle):
    """A lease, for code that awaits."""

    async def renew(self, seconds: float) -> float:
        """See `LeaseHandle.renew`."""
        return float(await self._call_async("renew", seconds))

    async def register(self, sponsor: Sponsor, renewal: float = 0.0) -> None:
        """See `LeaseHandle.register`."""
        await self._call_async("register_sponsor", as_remote(sponsor), renewal)

    async def unregister(self, sponsor: Sponsor) -> None:
        """See `LeaseHandle.unregister`."""
        await self._call_async("unregister_sponsor", as_remote(sponsor))

    async def info(self) -> LeaseInfo | None:
        """See `LeaseHandle.info`."""
        return await self._call_async("lease")  # type: ignore[no-any-return]  # checked against the annotation


def handle_of(proxy: object) -> LeaseHandle | AsyncLeaseHandle:
    """The lease of what ``proxy`` stands for.

    Raises:
        TypeError: it is no proxy.
    """
    if not isinstance(proxy, Proxy):
        raise TypeError(f"rpcx.lease({proxy!r}): a remote object's proxy is needed")
    kind = AsyncLeaseHandle if proxy._rpcx_flavour == "async" else LeaseHandle  # of our proxies
    return kind(proxy)


@remote(name="rpcx.Sponsor")
class ClientSponsor:
    """Renews what it is registered with for as long as this process lives and is connected.

    Args:
        renewal: seconds it grants each time it is asked.
    """

    def __init__(self, renewal: float = 120.0) -> None:
        if not renewal > 0:
            raise ValueError(f"ClientSponsor(renewal={renewal!r}): a number of seconds above 0")
        self._seconds = float(renewal)
        self._closed = False

    def renewal(self, lease: LeaseInfo) -> float:
        """Asked by the host when ``lease`` ends: seconds more, 0 to let it go."""
        return 0.0 if self._closed else self._seconds

    def close(self) -> None:
        """Grant nothing any more."""
        self._closed = True


@remote(name="rpcx.OwnSponsor")
class _Adapter:
    """Somebody's own sponsor, made remote."""

    def __init__(self, sponsor: Sponsor) -> None:
        self._sponsor = weakref.ref(sponsor)

    def renewal(self, lease: LeaseInfo) -> float:
        """Ask it, if it still lives."""
        sponsor = self._sponsor()
        return float(sponsor.renewal(lease)) if sponsor is not None else 0.0


_ADAPTERS: Final[weakref.WeakKeyDictionary[Any, _Adapter]] = weakref.WeakKeyDictionary()


def as_remote(sponsor: Any) -> object:  # a Sponsor of whatever class
    """``sponsor`` as something that travels by reference."""
    if isinstance(sponsor, Proxy) or contract_of(type(sponsor)) is not None:
        return sponsor
    if not callable(getattr(sponsor, "renewal", None)):
        raise TypeError(f"{sponsor!r} is no sponsor: it needs a method renewal(lease) -> seconds")
    adapter = _ADAPTERS.get(sponsor)
    if adapter is None:
        adapter = _ADAPTERS[sponsor] = _Adapter(sponsor)
    return adapter
