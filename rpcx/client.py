"""The client's side: connections, and what is done with proxies.

with rpcx.connect("pipe://bank") as server:
    bank = server.get(Bank, "bank")
    account = server.create(Account, "ann", 100)
"""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, ParamSpec, Self, TypeVar

from rpcx.abc import Authenticator, Job, Listener, PeerFacts, Resolver, Session, Stream
from rpcx.channels.urls import Url, parse
from rpcx.drivers.threads import Pump
from rpcx.drivers.waiting import SPIN_SECONDS
from rpcx.drivers.workers import LOOP
from rpcx.errors import AccessDenied, ConnectionLost, InvalidArguments, NotSent
from rpcx.plugins import channel as find_channel
from rpcx.plugins import resolver as find_resolver
from rpcx.protocol.handshake import Limits
from rpcx.realm import FORMATTERS, GRACE, Realm, secured
from rpcx.remoting.contract import Method, Mode
from rpcx.remoting.endpoint import Endpoint
from rpcx.remoting.leases import HOST, AsyncLeaseHandle, LeaseHandle, handle_of
from rpcx.remoting.proxy import Flavour, Proxy, make_proxy, target_of
from rpcx.remoting.references import Reference
from rpcx.remoting.stubs import asked_for
from rpcx.sinks.chain import Sink

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

CONNECT_SECONDS: Final = 10.0  # to reach the host and shake hands


class Connector:
    """What a sync and an async connection have in common."""

    flavour: Flavour = "sync"
    _pump: Any = None  # a Pump or an AioPump; None: closed, or not open yet

    def __init__(
        self,
        url: str,
        *,
        insecure: bool,
        timeout: float,
        formatters: Sequence[str],
        sinks: Sequence[Sink | str],
        limits: Limits | None,
        authenticators: Sequence[Authenticator | str] = (),
    ) -> None:
        make_resolver = find_resolver(url)
        self._resolver: Resolver | None = make_resolver() if make_resolver is not None else None
        self._name = url
        self.address: Url = parse(url) if self._resolver is None else Url("", url)  # until it is resolved
        self._insecure = insecure
        self._timeout = timeout
        self._holder = uuid.uuid4().hex  # known to the host as the holder of what we hold
        self._realm = Realm(
            role="client", flavour=self.flavour, formatters=formatters, sinks=sinks,
            limits=limits or Limits(), grace=GRACE, custom_errors=False, spawn=self._run, rearm=self._rearm,
            authenticators=authenticators, join=self._join, admit=self._admit,
        )  # fmt: skip
        self._endpoint: Endpoint | None = None  # set when connected
        self._begun: Any = None  # the latest connection, open or not: an Endpoint, or what a Speaker has for it
        self._listeners: dict[Listener, Callable[[PeerFacts], Session]] = {}  # of protocols that call back so

    @property
    def is_open(self) -> bool:
        """Whether it was not closed; the connection may be lost all the same, and made anew by the next call."""
        return self._pump is not None

    @property
    def peer(self) -> PeerFacts:
        """Who is at the other end."""
        return self._connected().facts

    def _connected(self) -> Endpoint:
        if self._endpoint is None:
            raise NotSent(f"{self.address}: not connected")
        return self._endpoint

    def _reach(self) -> tuple[Any, Stream]:  # a Channel, or a Speaker
        """The channel, and a connected stream; blocks."""
        self._begun = None
        if self._resolver is None:
            return self._dialled()
        places = self._resolver.resolve(self._name, self._timeout, insecure=self._insecure)
        failed: list[str] = []
        for place in places:
            self.address = parse(place)
            try:
                return self._dialled()
            except (NotSent, AccessDenied) as error:
                if len(places) == 1:
                    raise
                failed.append(str(error))
        raise NotSent(f"{self._name}: it answers at none of its places: {'; '.join(failed)}")

    def _dialled(self) -> tuple[Any, Stream]:
        channel = find_channel(self.address.scheme)()
        self._realm.check(channel)
        return channel, channel.connect(self.address, self._timeout, insecure=self._insecure)

    def _session(self, channel: Any, stream: Stream) -> Any:  # a Channel; an Endpoint, or what a Speaker has for it
        """Our end of a new connection, as calls need it; drivers get it `secured`."""
        try:
            self._begun = self._realm.session(channel, self.address, stream.facts, self._holder)
        except BaseException:  # the URL asks for something that is not there: nobody else would close it
            stream.close()
            raise
        return self._begun

    def _unopened(self, error: Exception) -> Exception:
        """Why there is no connection, with what is known only here."""
        if self._insecure and type(error) is ConnectionLost:
            hint = "a host that expects TLS does so: if this is one, leave out insecure=True"
            return NotSent(f"{self.address}: {error}; {hint}", peer=error.peer)
        return error

    def _late(self) -> NotSent:
        """What is raised when the handshake takes too long."""
        proving = getattr(self._begun, "proving", "")
        why = f"{proving} is still at work; what does it wait for?" if proving else "is it an rpcx host?"
        return NotSent(f"{self.address}: no handshake within {self._timeout:g} s; {why}")

    def _proxy(self, cls: Any, uri: str | None) -> Any:  # a class; its proxy
        contract = asked_for(cls, "get", self.flavour)
        target = uri or self.address.uri or contract.uri
        if not target:
            raise InvalidArguments(f"get({contract.name}): which one? give its uri, as in get({contract.name}, 'name')")
        reference = Reference(self._connected(), target, (contract.name,))
        reference.expected = contract
        return make_proxy(reference, self.flavour, contract)

    def _creation(self, cls: Any, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[Any, ...]:
        """Endpoint, reference, method, arguments of the call that makes an instance of ``cls``."""
        contract = asked_for(cls, "create", self.flavour)
        if contract.mode is not Mode.CLIENT_ACTIVATED:
            raise InvalidArguments(
                f"create({contract.name}): it is a {contract.mode.value} class; only @rpcx.client_activated "
                "classes are made by clients"
            )
        endpoint = self._connected()
        return endpoint, (
            endpoint.host_reference(),
            HOST.methods["create"],
            (contract.name, list(args), kwargs),
            {},
        )

    def _own(self, created: Any, cls: Any) -> Any:  # a proxy; a class
        contract = asked_for(cls, "create", self.flavour)
        return created._rpcx_cast(contract) if isinstance(created, Proxy) else created  # of ours

    def _accept(self, listener: Listener, stream: Stream) -> Session:
        return self._listeners[listener](stream.facts)

    def _admit(self, listener: Listener, make: Callable[[PeerFacts], Session]) -> None:
        raise NotImplementedError

    def _join(self, stream: Stream, session: Session) -> bool:
        raise NotImplementedError

    def _run(self, job: Job) -> None:
        raise NotImplementedError

    def _rearm(self) -> None:
        raise NotImplementedError


class Server(Connector):
    """A connection to a host. May be shared by threads; many calls are in flight at once."""

    def __init__(self, url: str, *, spin: float = SPIN_SECONDS, **options: Any) -> None:  # of Connector
        super().__init__(url, **options)
        self._pump: Pump | None = Pump("rpcx-client", callers_lead=True, accept=self._accept, spin=spin)
        self._pump.time(self._realm)
        self._opening = threading.Lock()  # one thread at a time connects anew
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        pump = self._pump
        if pump is None:
            raise NotSent(f"{self.address}: this connection was closed; connect again")
        begun = time.monotonic()
        channel, stream = self._reach()
        endpoint = self._session(channel, stream)
        link = pump.add(stream, secured(stream, endpoint))
        link.wait(endpoint.opened, max(self._timeout - (time.monotonic() - begun), 0.001))
        if endpoint.opened.error is not None:
            raise self._unopened(endpoint.opened.error)
        if not endpoint.opened.arrived:
            raise self._late()
        self._endpoint = endpoint
        endpoint.revive = self._reopen
        pump.start()

    def _reopen(self) -> None:
        """Connect anew after the connection was lost; what was held is held again if the host kept it.

        Calls that were under way are not repeated: they failed with MaybeExecuted.
        """
        with self._opening:
            if self._pump is not None and self._connected().error is not None:
                self._open()

    def get(self, cls: Callable[..., T], uri: str | None = None) -> T:
        """A proxy for the object at ``uri``; no traffic until its first call.

        Args:
            cls: the remote class, or the abstract contract it implements.
            uri: default the one in the connection's URL, else the one in the class's decorator.

        Raises:
            InvalidArguments: the class is not remote, or there is no uri anywhere.
        """
        return self._proxy(cls, uri)  # type: ignore[no-any-return]  # a proxy passes for a T

    def create(self, cls: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a client-activated object there, and own it: it ends with its proxy, or its lease.

        Raises:
            InvalidArguments: the class is not client-activated, or the arguments do not fit its constructor.
            ObjectNotFound: the host does not offer the class.
        """
        endpoint, call = self._creation(cls, args, kwargs)
        return self._own(endpoint.call(*call), cls)  # type: ignore[no-any-return]  # a proxy passes for a T

    def describe(self) -> dict[str, Any]:  # plain data
        """What the host offers: facts, objects, classes, live leases."""
        endpoint = self._connected()
        return endpoint.call(endpoint.host_reference(), HOST.methods["describe"], (), {})  # type: ignore[no-any-return]  # checked against the annotation

    def contract(self, uri: str) -> dict[str, Any]:
        """The contract of the object at ``uri``, as data; for tools."""
        endpoint = self._connected()
        found = endpoint.call(endpoint.host_reference(), HOST.methods["contract"], (uri, ""), {})
        return found or {"methods": []}  # a function has none

    def call(self, uri: str, method: Method, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """Call without a class; for tools."""
        endpoint = self._connected()
        reference = Reference(endpoint, uri, ())
        if method.streams:
            return endpoint.stream(reference, method, tuple(args), kwargs, asynchronous=False)
        return endpoint.call(reference, method, tuple(args), kwargs)

    def close(self) -> None:
        """Say goodbye and close; what is held through this connection is released. Twice is fine."""
        pump, self._pump = self._pump, None
        if pump is None:
            return
        for listener in self._listeners:
            pump.unlisten(listener)
            listener.close()
        disposals = self._realm.shut()
        pump.close()
        for job in disposals:
            job.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server {self.address}{' closed' if self._pump is None else ''}>"

    def _admit(self, listener: Listener, make: Callable[[PeerFacts], Session]) -> None:
        self._listeners[listener] = make
        if self._pump is not None:
            self._pump.listen(listener)

    def _join(self, stream: Stream, session: Session) -> bool:
        pump = self._pump
        if pump is not None:
            pump.add(stream, session)
        return pump is not None

    def _run(self, job: Job) -> None:
        if job.is_async:
            LOOP.submit(job)
        elif self._pump is not None:
            self._pump.workers.submit(job)

    def _rearm(self) -> None:
        if self._pump is not None:
            self._pump.rearm()


def connect(
    url: str,
    *,
    insecure: bool = False,
    timeout: float = CONNECT_SECONDS,
    formatters: Sequence[str] = FORMATTERS,
    sinks: Sequence[Sink | str] = (),
    limits: Limits | None = None,
    spin: float = SPIN_SECONDS,
    authenticators: Sequence[Authenticator | str] = (),
) -> Server:
    """Connect to a host.

    Args:
        url: what `Host.listen` returned; an object's name may follow: ``pipe://bank/account``.
        insecure: plain TCP instead of TLS, on loopback only, where every user of this machine is trusted then.
        timeout: seconds to reach the host and shake hands.
        formatters: by preference; the first that the host has too is used.
        sinks: the chain calls pass through, the same as the host's.
        limits: bounds for what the host sends.
        spin: seconds to look for an answer before sleeping; 0 never does.
        authenticators: how this side proves who it is, by preference (`rpcx.abc.Authenticator`); objects, or names of
            plug-ins. A host that has none of them is not talked to.

    Raises:
        NotSent: nobody answers there.
        ProtocolError: what answers is no rpcx host, or the two ends do not agree (formatter, sinks, version).
        AuthenticationFailed: the host does not know this side's key, or this side not the host's; or the host does
            not believe an authenticator, or has another.
        AccessDenied: the channel's rules forbid it.
        ValueError: the URL is none.
    """
    return Server(
        url, insecure=insecure, timeout=timeout, formatters=formatters, sinks=sinks, limits=limits, spin=spin,
        authenticators=authenticators,
    )  # fmt: skip


def get(url: str, cls: Callable[..., T], *, insecure: bool = False) -> T:
    """Connect and get, in one line; the connection closes with the proxy.

    Args:
        url: with the object's name: ``pipe://bank/account``.
        cls: the remote class, or the abstract contract it implements.
        insecure: plain TCP instead of TLS, on loopback only, where every user of this machine is trusted then.
    """
    server = connect(url, insecure=insecure)
    try:
        proxy: Any = server.get(cls)
    except BaseException:
        server.close()
        raise
    proxy._rpcx_ref.owner = _Owner(server)  # of our proxies
    return proxy  # type: ignore[no-any-return]  # a proxy passes for a T


class _Owner:
    """Closes a connection when the one reference it was made for goes."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def close(self) -> None:
        self._server.close()

    def __del__(self) -> None:
        # A finalizer may run in any thread at any point, so closing (which joins threads) is left to another.
        if self._server._pump is not None:  # the same module's
            threading.Thread(target=self._server.close, name="rpcx-close", daemon=True).start()


def lease(proxy: Any) -> Any:  # a proxy; LeaseHandle or AsyncLeaseHandle, by its flavour
    """The lease of a remote object: ``renew(seconds)``, ``register(sponsor)``, ``info()``.

    Its methods are awaited where the proxy's are.

    Raises:
        TypeError: it is no proxy.
    """
    handle: LeaseHandle | AsyncLeaseHandle = handle_of(proxy)
    return handle


def future(fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
    """Call ``proxy.method`` without waiting; many may be in flight on one connection.

    Raises:
        TypeError: ``fn`` is no method of a proxy.
    """
    reference, method = target_of(fn)
    made: Future[R] = reference.endpoint.future(reference, method, args, kwargs)
    return made
