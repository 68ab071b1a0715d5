"""The host: registrations, channels and leases of one process, put together.

    host = rpcx.Host()
    host.register(Bank, Account)
    url = host.listen("pipe://bank")
    with host:
        host.wait()

The same host runs under threads (``with``) or in somebody's event loop (``async with``).
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from rpcx.abc import Authenticator, Bound, Clock, Job, Listener, PeerFacts, Session, Stream, Timed, Timekeeper
from rpcx.announcing import Announcements
from rpcx.bounds import collected
from rpcx.channels.urls import parse
from rpcx.drivers.links import IDLE
from rpcx.drivers.threads import Pump
from rpcx.drivers.waiting import SPIN_SECONDS
from rpcx.lifetime.holders import Quotas
from rpcx.lifetime.lease import Lease
from rpcx.plugins import channel as find_channel
from rpcx.protocol.handshake import Limits
from rpcx.realm import FORMATTERS, GRACE, Realm, secured
from rpcx.remoting.access import Access, Authorize, Said
from rpcx.remoting.contract import contract_of
from rpcx.remoting.overdue import Overdue
from rpcx.security.audit import event, keep, leave
from rpcx.security.doorkeeper import Door, Doorkeeper
from rpcx.security.guard import Admission, Network, TurnedAway, networks
from rpcx.security.interpreter import warn_once
from rpcx.sinks.chain import Sink

if TYPE_CHECKING:  # at run time only when a host enters a loop: importing asyncio takes 46 ms
    import asyncio

    from rpcx.drivers.aio import AioPump
    from rpcx.security.audit_log import AuditLog


def _kept(audit: "str | os.PathLike[str] | AuditLog | None") -> "AuditLog | None":
    """The audit log, told of events from now on."""
    if audit is None:
        return None
    from rpcx.security.audit_log import AuditLog

    kept = audit if isinstance(audit, AuditLog) else AuditLog(audit)
    keep(kept)
    return kept


class Host:
    """A process's server side. Usable once: after it closed, make another.

    Args:
        formatters: names offered to clients, by preference.
        sinks: the chain calls pass through (objects, or names of installed plug-ins), the same on both ends.
        limits: bounds for what clients send.
        quotas: how many objects may live here: in all, of one client, of one principal.
        grace: seconds a lost client has to come back before what it held is released.
        custom_errors: send only type and message of exceptions, to its owner too; tracebacks are logged, at INFO.
        allow: who may call what has a name and no rule of its own, besides the owner: roles, "principal:NAME", "*"
            (see `rpcx.remoting.access`); default nobody.
        authorize: ``authorize(peer, contract, method)`` says about each method that the rules admit a peer to, which
            is not the owner, whether it may after all. Asked once per connection; must not block.
        audit: a file for what matters to security, a JSON line for each event of this process, or an
            `rpcx.security.audit_log.AuditLog`.
        admission: bounds for who has not proved who it is (`rpcx.security.guard.Admission`).
        allow_from: networks that clients over the network must come from, as in "192.0.2.0/24"; others are turned away
            before a word is exchanged. Default: any.
        authenticators: how clients prove who they are, besides what the channel knows of them; objects or names of
            plug-ins, as `rpcx.security.tokens.TokenAuthenticator`. Nobody is let in without one of them.
        lease: of client-activated classes whose decorator names none.
        spin: seconds to look for the next call before sleeping; 0 never does (see `rpcx.drivers.waiting`).
        clock: of leases, sponsors and the grace time; for tests, `rpcx.testing.VirtualClock`.
    """

    def __init__(  # noqa: PLR0913  # keyword-only: what a host can be told
        self,
        *,
        formatters: Sequence[str] = FORMATTERS,
        sinks: Sequence[Sink | str] = (),
        limits: Limits | None = None,
        grace: float = GRACE,
        custom_errors: bool = False,
        spin: float = SPIN_SECONDS,
        allow: Iterable[str] | None = None,
        authorize: Authorize | None = None,
        audit: "str | os.PathLike[str] | AuditLog | None" = None,
        admission: Admission | None = None,
        allow_from: Sequence[str] = (),
        lease: Lease | None = None,
        quotas: Quotas | None = None,
        authenticators: Sequence[Authenticator | str] = (),
        clock: Clock | Timekeeper = time.monotonic,
    ) -> None:
        self._doorkeeper = Doorkeeper(admission or Admission())
        self._allow_from = networks(allow_from)
        self._realm = Realm(
            role="server", flavour="sync", formatters=formatters, sinks=sinks, limits=limits or Limits(),
            grace=grace, custom_errors=custom_errors, spawn=self._run, rearm=self._rearm,
            access=Access(allow, authorize), doorkeeper=self._doorkeeper, quotas=quotas,
            authenticators=authenticators, join=self._join, admit=self._admit, clock=clock,
        )  # fmt: skip
        if lease is not None:
            self._realm.table.default_lease = lease
        realm = self._realm
        realm.bounds = self.bounds
        overdue = Overdue(lambda: list(realm.endpoints), realm.limits.longest_call, realm.table.hits)
        self._timed: list[Timed] = [realm.timed, self._doorkeeper, overdue, realm.standing]  # whose timers a pump keeps
        self._names = Announcements(lambda: self.urls)
        self._audit = _kept(audit)
        self._spin = spin
        self._pump: Pump | None = None  # set while running under threads
        self._aio: AioPump | None = None  # set while running in a loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended: deque[Job] = deque()  # disposals that the loop is to run
        self._listeners: dict[Listener, Door] = {}
        self._stopped = threading.Event()
        self._stopped_aio: asyncio.Event | None = None
        self._closed = False

    @classmethod
    def from_config(cls, file: str | os.PathLike[str]) -> Self:
        """A host as a TOML file says (`rpcx.config`), its channels open; start it as any other.

        Raises:
            OSError: the file cannot be read, or a place is taken.
            AccessDenied: everybody may write the file, or a channel's rules forbid what it says.
            ValueError: it makes no sense; the message names file, key and problem, a line each.
        """
        from rpcx.config import made

        return made(file, cls)

    # --- what it offers ------------------------------------------------------------------------------------

    def register(
        self,
        *classes: type,
        factory: Callable[..., object] | None = None,
        uri: str | None = None,
        allow: Iterable[str] | None = None,
        methods: Mapping[str, Iterable[str]] | None = None,
        lease: Lease | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Offer remote classes, each in the way its decorator said.

        Args:
            classes: decorated classes, or implementations of decorated ones.
            factory: makes the instances instead of the class itself, of the same arguments (for one class at a time).
            uri: another one than the decorator's (for one class at a time).
            allow: who may call, instead of whom the class's decorator allows; ``[]``: the owner only.
            methods: the same for single methods; ``__init__`` is making an instance.
            lease: instead of the decorator's.
            name: to be found by, as ``name://bank``, while this host runs (for one class at a time).
            tags: to be found by too, as in ``{"region": "eu"}``.

        Raises:
            TypeError: a class is not decorated, is abstract, or cannot be made without arguments.
            ValueError: the uri is taken, or a rule makes no sense.
        """
        if len(classes) != 1 and any(one is not None for one in (factory, uri, methods, name)):
            raise TypeError("factory=, uri=, methods= and name= go with one class at a time")
        for cls in classes:
            contract = contract_of(cls)
            if lease is not None and contract is not None:
                self._realm.table.leases[contract] = lease
            self._realm.register(cls, Said(allow, methods, getattr(cls, "__name__", str(cls))), factory, uri)
            if name is not None:
                self._names.add(name, uri or (contract.uri if contract is not None else None) or "", tags)

    def publish(
        self,
        instance: object,
        uri: str,
        *,
        allow: Iterable[str] | None = None,
        methods: Mapping[str, Iterable[str]] | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Give an existing object a uri. It stays until `withdraw`, whoever holds it.

        Args:
            instance: of a remote class.
            uri: where clients find it.
            allow: who may call it, instead of whom its class's decorator allows; ``[]``: the owner only.
            methods: the same for single methods.
            name: to be found by, as ``name://bank``, while this host runs.
            tags: to be found by too.
        """
        self._realm.publish(instance, uri, Said(allow, methods, uri))
        if name is not None:
            self._names.add(name, uri, tags)

    def withdraw(self, uri: str) -> None:
        """Take back what was registered or published as ``uri``; calls that run on it end normally."""
        self._realm.table.withdraw(uri)

    def listen(
        self,
        url: str,
        *,
        insecure: bool = False,
        allow_uids: Collection[int | str] = (),
        allow_gids: Collection[int | str] = (),
        allow_from: Sequence[str] | None = None,
    ) -> str:
        """Open a channel; returns its URL, with the port that was really bound.

        Args:
            url: ``tcp://127.0.0.1:0``, ``pipe://name``, ``inproc://name``. TCP is mutual TLS with pinned keys; the
                URL that is returned has the key of this host.
            insecure: plain TCP instead, on loopback only, where every user of this machine is trusted then. Protocols
                of others, which let this user's processes in there, let in everybody's; and those that have nothing
                better may be opened beyond loopback, for the networks in ``allow_from``.
            allow_uids: users of this machine, by number or name, that a pipe lets in besides this one. What they may
                call the rules say. The URL that is returned then names this user: ``pipe://bank?user=1000``.
            allow_gids: groups, likewise.
            allow_from: networks that clients must come from here, instead of the host's.

        Raises:
            OSError: the place is taken.
            AccessDenied: the channel's rules forbid it.
            ValueError: the URL is none, or its channel does not know users.
        """
        if self._closed:
            raise RuntimeError("this host is closed; make another")
        parsed = parse(url)
        channel = find_channel(parsed.scheme)()
        self._realm.check(channel)
        allowed = self._allow_from if allow_from is None else networks(allow_from)
        listener: Listener
        if allow_uids or allow_gids:
            if not hasattr(channel, "listen_for"):
                raise ValueError(f"{url}: allow_uids and allow_gids are for pipe://; here keys tell who calls")
            listener = channel.listen_for(parsed, allow_uids, allow_gids)
        elif insecure and allowed and hasattr(channel, "listen_from"):
            listener = channel.listen_from(parsed)
        else:
            listener = channel.listen(parsed, insecure=insecure)
        if "tcp" in parsed.scheme:
            warn_once()
        event("listen", channel=parsed.scheme, address=listener.url, result="insecure" if insecure else None)
        proves = not hasattr(channel, "session")
        self._admit(listener, lambda facts: self._realm.session(channel, parsed, facts), allowed, proves=proves)
        return listener.url

    @property
    def urls(self) -> list[str]:
        """Where it listens."""
        return [listener.url for listener in self._listeners]

    # --- running under threads -----------------------------------------------------------------------------

    def start(self) -> Self:
        """Serve from now on, in threads of its own. ``with host:`` does this and closes it at the end."""
        if self._closed or self._pump is not None or self._aio is not None:
            raise RuntimeError("this host is running or closed already; make another")
        self._pump = Pump(
            "rpcx-host",
            callers_lead=False,
            accept=self._accept,
            spin=self._spin,
            most_waiting=self._realm.limits.write_cap,
        )
        for timed in self._timed:
            self._pump.time(timed)
        for listener in self._listeners:
            self._pump.listen(listener)
        self._pump.start()
        self._names.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until `stop` or an interrupt (Ctrl-C), at most ``timeout`` seconds. True if it was stopped."""
        try:
            return self._stopped.wait(timeout)
        except KeyboardInterrupt:
            return True

    def stop(self) -> None:
        """Let `wait` return; from any thread, a signal handler or a remote method."""
        self._stopped.set()
        loop, event = self._loop, self._stopped_aio
        if loop is not None and event is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """Stop listening, say goodbye to clients, dispose of what they owned."""
        self._closed = True
        self._stopped.set()
        self._names.close()
        for listener in self._listeners:
            if self._pump is not None:
                self._pump.unlisten(listener)
            listener.close()
        disposals = self._realm.shut()
        if self._pump is not None:
            for job in disposals:
                self._run(job)
            self._pump.close()
            self._pump = None
        self._listeners.clear()
        self._close_audit()

    # --- running in an event loop --------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        import asyncio

        from rpcx.drivers.aio import AioPump

        if self._closed or self._pump is not None or self._aio is not None:
            raise RuntimeError("this host is running or closed already; make another")
        self._realm.flavour = "async"
        self._loop = asyncio.get_running_loop()
        self._stopped_aio = asyncio.Event()
        self._aio = AioPump(self._accept, self._realm.limits.write_cap)
        for timed in self._timed:
            self._aio.time(timed)
        for listener in self._listeners:
            self._aio.listen(listener)
        self._names.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closed = True
        pump, self._aio = self._aio, None
        if pump is None:
            return
        assert self._loop is not None
        await self._loop.run_in_executor(None, self._names.close)
        for listener in self._listeners:
            pump.unlisten(listener)
            listener.close()
        self._listeners.clear()
        disposals = self._realm.shut()
        await pump.close()
        self._dispose_of_ended()  # the loop may not have had its turn since
        for job in disposals:
            if job.is_async:
                await job.run_async()
            else:
                job.run()
        for task in list(self._tasks):
            await task
        self._close_audit()

    async def wait_async(self) -> None:
        """Wait until `stop` is called or the task is cancelled."""
        if self._stopped_aio is None:
            raise RuntimeError("wait_async is for a host in a loop: async with host: await host.wait_async()")
        await self._stopped_aio.wait()

    # --- inspection ----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it listens or runs."""
        return bool(self._listeners) or self._pump is not None or self._aio is not None

    @property
    def peers(self) -> list[PeerFacts]:
        """Who is connected."""
        return [facts for endpoint in list(self._realm.endpoints) if (facts := endpoint.known) is not None]

    def bounds(self) -> dict[str, Bound]:
        """Every bound and how it stands, by its name: "limits.in_flight", "admission.strangers", "quotas.per_host".

        Each is (`most`, `now`, `high`, `refused`): what it admits, how much of that is used, how much was at most, and
        how often it was reached. Where each connection or principal has its own, it is of the one that has most.
        ``rpcx inspect`` shows them to the owner; docs/limits.md says what each is for.
        """
        return collected(self._realm, self._doorkeeper, self._driven())

    def _driven(self) -> dict[str, int]:
        pump = self._pump or self._aio
        return pump.stats() if pump is not None else dict(IDLE)

    def stats(self) -> dict[str, int]:
        """Counters: connections, objects, leases, workers."""
        with self._realm.table.lock:
            leases = len(self._realm.table.manager)
        own = self._driven()
        own |= self._doorkeeper.counters() | self._realm.slots.counters()
        return {**own, "objects": len(self._realm.table.entries()) - 1, "leased": leases}

    def __repr__(self) -> str:
        state = "closed" if self._closed else ", ".join(self.urls) or "not listening"
        return f"<Host {state}, {len(self._realm.endpoints)} connected>"

    def _close_audit(self) -> None:
        self._doorkeeper.close()
        if self._audit is not None:
            leave(self._audit)
            self._audit.close()

    # --- within --------------------------------------------------------------------------------------------

    def _admit(
        self,
        listener: Listener,
        make: Callable[[PeerFacts], Session],
        allowed: tuple[Network, ...] | None = None,
        *,
        proves: bool = False,
    ) -> None:
        """Accept from now on; ``make`` makes the session of each. See `Door` for the others."""
        self._listeners[listener] = Door(make, self._allow_from if allowed is None else allowed, proves)
        if self._pump is not None:
            self._pump.listen(listener)
        elif self._aio is not None:
            self._aio.listen(listener)

    def _join(self, stream: Stream, session: Session) -> bool:
        """Serve one more connection, which was dialled here; from any thread. False: too late."""
        if self._pump is not None:
            self._pump.add(stream, session)
        elif self._aio is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._join_in_loop, stream, session)
        else:
            return False
        return True

    def _join_in_loop(self, stream: Stream, session: Session) -> None:
        if self._aio is None or self._loop is None:
            stream.close()
            return
        task = self._loop.create_task(self._aio.add(stream, session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self, listener: Listener, stream: Stream) -> Session | None:
        door = self._listeners[listener]
        guest, evicted = self._doorkeeper.lets_in(stream.facts, door.allowed, len(self._realm.endpoints))
        pump = self._pump or self._aio
        if evicted is not None and pump is not None:
            pump.evict(evicted, TurnedAway("evicted to make room for another stranger"))
        if guest is None:
            self._rearm()  # it is to be told of
            return None
        end = door.session(stream.facts)
        guest.session = session = secured(stream, end)
        if door.proves:
            self._doorkeeper.awaits(end, guest)
        else:
            self._doorkeeper.knows(guest)
        return session

    def _run(self, job: Job) -> None:
        """Run a disposal where it holds nobody up."""
        if self._loop is not None:
            self._ended.append(job)
            self._loop.call_soon_threadsafe(self._dispose_of_ended)
        elif self._pump is not None:
            if job.is_async:
                from rpcx.drivers.workers import LOOP

                LOOP.submit(job)
            else:
                self._pump.workers.submit(job)

    def _dispose_of_ended(self) -> None:
        while self._ended:
            self._run_in_loop(self._ended.popleft())

    def _run_in_loop(self, job: Job) -> None:
        if job.is_async:
            assert self._loop is not None
            task = self._loop.create_task(job.run_async())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            job.run()

    def _rearm(self) -> None:
        pump = self._pump or self._aio
        if pump is not None:
            pump.rearm()
