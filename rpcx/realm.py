"""What hosts and clients have in common: a table of objects, their leases, and the endpoints that serve them.

A `Realm` carries out what the object table and the lease manager decide: it asks sponsors, without waiting, over
the connection they were registered on, and disposes of what ended.
"""

import inspect
import logging
import os
import secrets
import sys
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from rpcx.abc import (
    Address,
    Authenticator,
    Bound,
    Clock,
    Job,
    Listener,
    PeerFacts,
    Session,
    Stream,
    Timed,
    Timekeeper,
)
from rpcx.context import options
from rpcx.errors import AccessDenied, AuthenticationFailed
from rpcx.lifetime.manager import AskSponsor, LeaseManager, Quotas
from rpcx.plugins import authenticator as find_authenticator
from rpcx.plugins import formatter as find_formatter
from rpcx.protocol.connection import Connection
from rpcx.protocol.handshake import Limits, Offer, Role
from rpcx.protocol.opening import Authentication
from rpcx.remoting.access import Access, Gate, Said
from rpcx.remoting.cargo import Port
from rpcx.remoting.contract import Contract, Mode, contract_of
from rpcx.remoting.endpoint import Endpoint
from rpcx.remoting.objects import ABSENT, HOST_URI, ObjectTable
from rpcx.remoting.proxy import Flavour, Proxy, dynamic_method
from rpcx.remoting.service import HostService
from rpcx.remoting.slots import Slots
from rpcx.remoting.standing import Standing
from rpcx.security import audit
from rpcx.security.doorkeeper import Doorkeeper
from rpcx.security.guard import TurnedAway
from rpcx.security.lines import hush
from rpcx.sinks.chain import Chain, Sink, for_connection, load_sinks, negotiated

log = logging.getLogger("rpcx")
security_log = logging.getLogger("rpcx.security")

GRACE: Final = 30.0  # seconds a lost client has to come back before what it held is released
FORMATTERS: Final = ("msgpack", "json")  # offered unless told otherwise, by preference
RENEWAL: Final = dynamic_method("renewal")  # of a sponsor


def nothing() -> None:
    """What is to be called when nobody wants to know."""


class Disposal:
    """The end of an object: its first of ``close``, ``__exit__``, ``aclose`` is called."""

    def __init__(self, instance: Any) -> None:  # any object
        self._instance = instance
        self.is_async = not _sync_end(instance) and hasattr(instance, "aclose")
        self.blocking = True
        self.over = nothing  # called when it is done

    def run(self) -> None:
        """Call it."""
        end = _sync_end(self._instance)
        if end is not None:
            try:
                end()
            except Exception:
                log.exception("closing %r failed", self._instance)
        self.over()

    async def run_async(self) -> None:
        """Await ``aclose``."""
        try:
            await self._end_async()
        except Exception:
            log.exception("closing %r failed", self._instance)
        finally:
            self.over()

    async def _end_async(self) -> None:
        await self._instance.aclose()

    def overran(self, now: float) -> None:
        """It runs on a worker anyway."""


def _sync_end(instance: Any) -> Callable[[], object] | None:  # any object
    close = getattr(instance, "close", None)
    if callable(close) and not inspect.iscoroutinefunction(close):
        return close  # type: ignore[no-any-return]  # whatever it returns is dropped
    leave = getattr(type(instance), "__exit__", None)
    return (lambda: leave(instance, None, None, None)) if leave is not None else None


class _AsyncClose(Disposal):
    """An object whose ``close`` is a coroutine function."""

    def __init__(self, instance: Any) -> None:  # any object
        super().__init__(instance)
        self.is_async = True

    async def _end_async(self) -> None:
        await self._instance.close()


def disposal(instance: object) -> Disposal | None:
    """What is to be done when ``instance`` ends; None: nothing."""
    close = getattr(instance, "close", None)
    if inspect.iscoroutinefunction(close):
        return _AsyncClose(instance)
    if _sync_end(instance) is not None or hasattr(instance, "aclose"):
        return Disposal(instance)
    return None


def secured(stream: Stream, session: Session) -> Session:
    """``session``, within what protects it on this stream if the stream is `Exposed`."""
    secure: Callable[[Session], Session] | None = getattr(stream, "secure", None)
    return secure(session) if secure is not None else session


class Realm:
    """What hosts and clients have in common: a table of objects, its leases, and endpoints that serve it."""

    def __init__(  # noqa: PLR0913  # keyword-only: what a host or a client was told
        self,
        *,
        role: Role,
        flavour: Flavour,
        formatters: Sequence[str],
        sinks: Sequence[Sink | str],
        limits: Limits,
        grace: float,
        custom_errors: bool,
        spawn: Callable[[Job], None],
        rearm: Callable[[], None],
        access: Access | None = None,
        doorkeeper: Doorkeeper | None = None,
        quotas: Quotas | None = None,
        authenticators: Sequence[Authenticator | str] = (),
        join: Callable[[Stream, Session], bool],
        admit: Callable[[Listener, Callable[[PeerFacts], Session]], None],
        clock: Clock | Timekeeper = time.monotonic,
    ) -> None:
        self.access = access or Access()
        self._doorkeeper = doorkeeper  # a host's
        self.flavour: Flavour = flavour
        self.clock = clock  # of objects; connections have the driver's
        keeper: Any = clock if hasattr(clock, "timed") else None  # a Timekeeper
        self.timed: Timed = keeper.timed(self) if keeper is not None else self  # for a pump: the timer of leases
        self._begun: Callable[[], Callable[[], None]] = keeper.begun if keeper is not None else lambda: nothing
        self.table = ObjectTable(LeaseManager(grace=grace, quotas=quotas), clock, self._dispose, rearm)
        self.facts: dict[str, object] = {"name": _program(), "pid": os.getpid()}
        self.bounds: Callable[[], Mapping[str, Bound]] = dict  # how they stand; a host's
        self.table.publish(HostService(self.table, self.facts, self._bounds), HOST_URI)
        self.endpoints: set[Endpoint] = set()
        self._lost: weakref.WeakValueDictionary[Any, Endpoint] = weakref.WeakValueDictionary()  # by session
        self._role: Role = role
        self._sinks = load_sinks(sinks)
        self._formatters = {name: find_formatter(name)() for name in formatters}
        self._authenticators = [find_authenticator(a)() if isinstance(a, str) else a for a in authenticators]
        self._limits = limits
        self.standing = Standing()
        self.slots = Slots(limits.in_flight_per_principal, limits.in_flight_per_host)
        self.port = Port(max(limits.large_per_principal, limits.message), max(limits.large_per_host, limits.message))
        self._custom_errors = custom_errors
        self.annexes: dict[str, Any] = {}  # what other protocols keep with it, by their name
        self.spawn = spawn  # run a job where it holds nobody up
        self.owner: object = getattr(spawn, "__self__", None)  # the host, or the client's connection
        self._rearm = rearm
        self.join = join  # serve one more connection, which another protocol dialled; False: this side is closed
        self.admit = admit  # accept strangers who speak another protocol
        _REALMS.add(self)
        hush()

    def session(self, channel: Any, address: Address, facts: PeerFacts, session: str = "") -> Any:  # a Channel; an end
        """This side of a new connection over ``channel``, in the protocol that it speaks."""
        self.check(channel)
        speak = getattr(channel, "session", None)  # a Speaker's
        if speak is None:
            return self.endpoint(session, facts)
        made = speak(self, address, facts, self._role)
        self.endpoints.add(made)
        return made

    def check(self, channel: Any) -> None:  # a Channel
        """Raises AccessDenied: its protocol knows no authenticators, and this side talks to nobody without."""
        if self._authenticators and hasattr(channel, "session"):
            raise AccessDenied(
                f"{channel.name}: its protocol cannot prove who a client is by "
                f"{' or '.join(each.name for each in self._authenticators)}, which is asked for here; "
                "use a host or a connection of its own for it"
            )

    def endpoint(self, session: str = "", facts: PeerFacts | None = None) -> Endpoint:
        """This side of a new connection in rpcx's own protocol; ``facts`` are what is known of the peer."""
        offer = Offer(
            formatters=tuple(self._formatters),
            sinks=negotiated(self._sinks),
            name=_program(),
            session=session,
            message=self._limits.message,
            in_flight=self._limits.in_flight,
            window=self._limits.window,
            min_ping=self._limits.min_ping,
            authenticators=tuple(each.name for each in self._authenticators),
            nonce=secrets.token_hex(32) if self._authenticators else "",
        )
        asked = Authentication(self._authenticators, facts or PeerFacts("", "")) if self._authenticators else None
        endpoint = Endpoint(
            Connection(self._role, offer, self._limits, time.monotonic(), asked),
            self.table,
            self._chain,
            flavour=self.flavour,
            detail=not self._custom_errors,
            on_open=self._opened,
            on_close=self._ended,
        )
        if self._role == "server":
            endpoint.most_imports = self.table.manager.quotas.callbacks
        self.endpoints.add(endpoint)
        return endpoint

    def _bounds(self) -> Mapping[str, Bound]:
        return self.bounds()

    @property
    def limits(self) -> Limits:
        """Bounds for what peers send."""
        return self._limits

    @property
    def detail(self) -> bool:
        """Whether exceptions travel with their tracebacks."""
        return not self._custom_errors

    def _chain(self, formatter: str) -> Chain:
        return Chain(self._formatters[formatter], for_connection(self._sinks))

    def register(
        self, cls: type, said: Said, factory: Callable[..., object] | None = None, uri: str | None = None
    ) -> None:
        """Offer a class; see `Host.register`."""
        contract = contract_of(cls)
        if contract is not None and contract.mode in (Mode.SINGLETON, Mode.SINGLE_CALL):
            place = uri or contract.uri or ""
            self._say(place, contract, said)
            self.table.register(cls, factory, uri)
            self.access.rules(self.table.peek(place))
            return
        if uri is not None:
            raise TypeError(f"{cls.__name__} is made by clients or by the application: it has no uri, so not {uri!r}")
        if contract is not None:
            said.check(contract.methods)
            self.access.say_of_class(cls, said)
        self.table.register(cls, factory)

    def publish(self, instance: object, uri: str, said: Said) -> None:
        """Offer an object; see `Host.publish`."""
        contract = contract_of(type(instance))
        if contract is not None:
            self._say(uri, contract, said)
        self.table.publish(instance, uri)
        self.access.rules(self.table.peek(uri))

    def _say(self, uri: str, contract: Contract, said: Said) -> None:
        """Before the object is there, so that it is never there without its rule; unless the place is taken."""
        said.check(contract.methods)
        if self.table.peek(uri) is ABSENT:
            self.access.say_of_object(uri, said)

    def gate(self, facts: PeerFacts, holder: Hashable) -> Gate:
        """What the peer of ``facts`` can reach here; ``holder`` is under what the table knows it.

        A client's table has only what it handed to its one server, over whichever connection.
        """
        return self.access.gate(self.table, facts, holder if self._role == "server" else None)

    def _opened(self, endpoint: Endpoint) -> None:
        facts = endpoint.facts
        facts.connection = secrets.token_hex(4)
        if self._doorkeeper is not None:
            objection = self._doorkeeper.admitted(endpoint, facts, (other.facts for other in list(self.endpoints)))
            if objection is not None:
                endpoint.turn_away(objection)
                return
        if self._role == "server":
            audit.event("auth-ok", peer=facts, result="owner" if facts.owner else " ".join(sorted(facts.roles)))
        if not facts.owner:  # the session's id is the peer's own word: nobody gets at another's by repeating it
            endpoint.holder = (facts.channel, facts.principal, facts.fingerprint, endpoint.holder)
        owner = "owner" if facts.owner else facts.principal or facts.uid  # sessions come and go; it answers for all
        if self._role == "server":
            endpoint.take_share(self.slots, self.port, owner, None if facts.owner else f"principal {owner}")
        if self._limits.session is not None and self._role == "server" and not facts.owner:
            endpoint.grows_old(self._limits.session)
        if self.standing.begun(endpoint):
            self._rearm()
        endpoint.admit(self.gate(facts, endpoint.holder), detail=facts.owner and not self._custom_errors)
        before = self._lost.pop(endpoint.holder, None)
        if before is not None:
            endpoint.adopt(before)
        with self.table.lock:
            self.table.manager.holder_back(endpoint.holder, self.clock(), owner)

    def _ended(self, endpoint: Endpoint, error: Exception | None) -> None:
        facts = endpoint.known
        self.table.hits.reached(error, facts)
        self.table.hits.peaked({limit: high for limit, (_, high) in endpoint.peaks().items()})
        if self._role == "server" and error is not None and not isinstance(error, TurnedAway):
            self._unproved(facts, error)
        self.endpoints.discard(endpoint)
        self.standing.ended(endpoint)
        if self._doorkeeper is not None:
            self._doorkeeper.ended(endpoint, error)
        if any(other.holder == endpoint.holder for other in list(self.endpoints)):
            return  # the client is back already, over a connection made before this one was noticed dead
        self._lost[endpoint.holder] = endpoint
        now = self.clock()
        with self.table.lock:
            if error is None:
                self.table.manager.holder_gone(endpoint.holder, now)
            else:
                self.table.manager.holder_lost(endpoint.holder, now)
        self._rearm()

    def _unproved(self, facts: PeerFacts | None, error: Exception) -> None:
        """If a client did not prove who it is, or what it proved has ended: tell, with what was wrong within."""
        ended = facts is not None and bool(facts.connection)
        if ended and not isinstance(error, AuthenticationFailed):
            return  # it was known, and its connection ended as connections do
        why = f"{error} ({error.__cause__})" if isinstance(error, AccessDenied) and error.__cause__ else str(error)
        security_log.info("%s: %s", facts or "a stranger", why)
        audit.event("revoke" if ended else "auth-fail", peer=facts, result=why)

    # --- the timer of leases: a `Timed` of the pump --------------------------------------------------------

    def due(self) -> float | None:
        """When `tick` wants to be called."""
        return self.table.due()

    def tick(self, now: float) -> None:
        """End what has ended, ask the sponsors of what is ending."""
        for action in self.table.tick(now):
            if isinstance(action, AskSponsor):
                self._ask(action, now)

    def leaving(self) -> bool:
        """Whether a call was answered and has not left its object yet, which it renews then. Of a `Timekeeper`."""
        pinned = self.table.pinned_entries()
        under_way = [entry for end in list(self.endpoints) for entry in getattr(end, "under_way", list)()]
        return any(sum(entry is each for each in under_way) < pins for entry, pins in pinned)

    def _ask(self, action: AskSponsor, now: float) -> None:
        """Ask without waiting, over the connection the sponsor was registered on."""
        sponsor = action.sponsor
        ref = sponsor._rpcx_ref if isinstance(sponsor, Proxy) else None  # proxies keep it there
        manager, over = self.table.manager, self._begun()

        def answered(value: Any, error: Exception | None) -> None:  # whatever the sponsor returned
            later = self.clock()
            with self.table.lock:
                if error is None and isinstance(value, int | float):
                    manager.answered(action.object_id, sponsor, float(value), later)
                else:
                    why = str(error) if error is not None else f"it answered {value!r}, not a number"
                    manager.failed(action.object_id, sponsor, later, why)
            self._rearm()
            over()

        try:
            if ref is None:
                raise TypeError("the sponsor is no remote object")
            with options(timeout=max(action.deadline - now, 0.001)):
                ref.endpoint.begin(ref, RENEWAL, (action.info,), answered)
        except Exception as error:  # noqa: BLE001  # a sponsor that cannot be asked is a lost one
            answered(None, error)

    def _dispose(self, instance: object) -> None:
        job = disposal(instance)
        if job is not None:
            job.over = self._begun()
            self.spawn(job)

    def shut(self) -> list[Disposal]:
        """Say goodbye to all; what is to be disposed."""
        _REALMS.discard(self)
        for endpoint in list(self.endpoints):
            endpoint.close()
        return [job for instance in self.table.close() if (job := disposal(instance)) is not None]

    def forked(self) -> None:
        """This process is a copy of the one that has the connections."""
        for endpoint in list(self.endpoints):
            endpoint.forked()


_REALMS: Final[weakref.WeakSet["Realm"]] = weakref.WeakSet()


def open_realms() -> list[Realm]:
    """Those of this process that were not shut."""
    return list(_REALMS)


def _after_fork() -> None:
    from rpcx.drivers.workers import LOOP

    LOOP.forked()
    for realm in list(_REALMS):
        realm.forked()
    _REALMS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _program() -> str:
    return f"{os.path.basename(sys.argv[0]) if sys.argv else 'python'} {os.getpid()}"  # noqa: PTH119  # of a text, no file
