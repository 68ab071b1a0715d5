"""The object table: what lives here, where it is found, and when it goes.

An `Entry` stands for one place a call can be addressed to. Every call goes `Entry.enter` → method →
`Entry.leave`; what these do is the whole difference between the ways an object can live:

    Published    the application made it; always there
    Singleton    made at the first call; with a lease it may end, and is made anew at the next call
    SingleCall   made for each call and disposed after it
    Leased       handed out by reference: a lease, its holders, or both decide when it ends

The table does not decide when something ends, the `LeaseManager` does; the table carries it out. One lock
guards the manager, since calls, renewals and the timer reach it from several threads.
"""

import inspect
import logging
import re
import secrets
import threading
import types
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Final

from rpcx.abc import Clock
from rpcx.errors import InvalidArguments, LimitExceeded, ObjectNotFound
from rpcx.lifetime.lease import Lease, LiveLease
from rpcx.lifetime.manager import Ended, LeaseManager
from rpcx.remoting.contract import DEFAULT_LEASE, Contract, Marks, Method, MethodKind, Mode, contract_of
from rpcx.remoting.proxy import Proxy, forwarding
from rpcx.security import audit
from rpcx.security.hits import Hits

log = logging.getLogger("rpcx")

HOST_URI: Final = "rpcx"  # the host's own service: activation, leases, inspection
HANDED: Final = re.compile(r"/[\w-]{22}\Z", re.ASCII)  # how the id of what was handed out ends, and nothing else's


class Entry:
    """One place a call can be addressed to."""

    __slots__ = ("contract", "label", "methods", "rules", "uri")

    def __init__(self, uri: str, contract: Contract | None, methods: Mapping[str, Method]) -> None:
        self.uri = uri  # or the id of a leased object
        self.contract = contract  # None: a function
        self.label = contract.name if contract is not None else ""  # what it is, for the audit log
        self.methods = methods
        self.rules: Mapping[str, frozenset[str]] | None = None  # who may call each; set by `rpcx.remoting.access`

    def held_by(self, holder: Hashable) -> bool:
        """Whether ``holder`` has it; what has a name needs nobody's handing out."""
        return True

    def enter(self) -> Any:
        """The instance to call, kept alive until `leave`. Raises ObjectExpired when it just ended."""
        raise NotImplementedError

    def leave(self, instance: Any) -> None:
        """The call is over."""

    @property
    def kind(self) -> str:
        """For people."""
        return type(self).__name__.lower()


class Absent(Entry):
    """Stands for what there is not. It is asked what others are, and takes as long to answer."""

    __slots__ = ("_holders",)

    def __init__(self) -> None:
        super().__init__("", None, {})
        self.rules = {"": frozenset()}
        self._holders = ("",)

    def held_by(self, holder: Hashable) -> bool:
        return holder in self._holders


ABSENT: Final = Absent()


class Published(Entry):
    """An object of the application's."""

    __slots__ = ("instance",)

    def __init__(self, uri: str, contract: Contract, methods: Mapping[str, Method], instance: object) -> None:
        super().__init__(uri, contract, methods)
        self.instance = instance

    def enter(self) -> Any:
        return self.instance


class Singleton(Entry):
    """Made by the first call. Its lock means: one constructor at a time, other objects are not held up."""

    __slots__ = ("_made", "_make", "_making", "_table", "instance", "lease")

    def __init__(
        self,
        uri: str,
        contract: Contract,
        methods: Mapping[str, Method],
        make: Callable[[], object],
        table: "ObjectTable",
    ) -> None:
        super().__init__(uri, contract, methods)
        self._make = make
        self._making = threading.Lock()
        self._table = table
        self._made = 0  # how often, so that each instance's lease has an id of its own
        self.instance: object | None = None  # None: not made yet, or its lease ended
        self.lease: LiveLease | None = None  # set with `instance` when the class has a lease

    def enter(self) -> Any:
        instance = self.instance
        if instance is None or self.lease is not None:
            return self._enter_leased()
        return instance

    def _enter_leased(self) -> object:
        with self._making:
            if self.instance is None or (self.lease is not None and not self._table.pinned(self.lease)):
                instance = self._make()
                self._made += 1
                self.lease = self._table.adopt(self, instance, self._made)
                self.instance = instance
            return self.instance

    def leave(self, instance: Any) -> None:
        if self.lease is not None:
            self._table.unpin(self.lease)

    def forget(self, instance: object) -> None:
        """The lease of ``instance`` ended: the next call makes another."""
        with self._making:
            if self.instance is instance:
                self.instance = self.lease = None


class SingleCall(Entry):
    """Made for each call, disposed after it."""

    __slots__ = ("_dispose", "_make")

    def __init__(
        self,
        uri: str,
        contract: Contract,
        methods: Mapping[str, Method],
        make: Callable[[], object],
        dispose: Callable[[object], None],
    ) -> None:
        super().__init__(uri, contract, methods)
        self._make = make
        self._dispose = dispose

    def enter(self) -> Any:
        return self._make()

    def leave(self, instance: Any) -> None:
        self._dispose(instance)


class Leased(Entry):
    """Handed out by reference: its lease and its holders decide."""

    __slots__ = ("_table", "instance", "lease")

    def __init__(
        self,
        uri: str,
        contract: Contract | None,
        methods: Mapping[str, Method],
        instance: object,
        lease: LiveLease,
        table: "ObjectTable",
    ) -> None:
        super().__init__(uri, contract, methods)
        self.instance = instance
        self.lease = lease
        self._table = table

    def enter(self) -> Any:
        table = self._table
        clock = table.clock
        now = clock()
        table.lock.acquire()  # `ObjectTable.pinned`, written out: this and `leave` are in the path of every call
        try:
            alive = table.manager.enter(self.lease, now)
        finally:
            table.lock.release()
        if not alive:
            raise table.gone(self.uri)
        return self.instance

    def leave(self, instance: Any) -> None:
        table = self._table
        now = table.clock()
        table.lock.acquire()
        try:
            due = table.manager.leave(self.lease, now)
        finally:
            table.lock.release()
        if due:
            table.rearm()

    def held_by(self, holder: Hashable) -> bool:
        return holder in self.lease.holders

    @property
    def owned(self) -> bool:
        """Whether it was made for a client, and so ends with its entry; others belong to the application."""
        return _is_owned(self.instance, self.contract)


class ObjectTable:
    """All entries of a host, or of a client for what it passes by reference."""

    def __init__(
        self,
        manager: LeaseManager,
        clock: Clock,
        dispose: Callable[[object], None],
        rearm: Callable[[], None],
    ) -> None:
        self.manager = manager
        self.clock = clock
        self.lock = threading.Lock()  # around the manager and around changes of the tables below
        self._dispose = dispose  # ends an object's life: calls its close in a thread of its own
        self.rearm = rearm  # `due` moved earlier
        self._entries: dict[str, Entry] = {}
        self._by_object: dict[object, Entry] = {}  # identity → its entry, so that an object has one id
        self._activated: dict[str, tuple[type, Contract, Method, Callable[..., object]]] = {}  # by name
        self.leases: dict[Contract, Lease] = {}  # what the operator said, instead of a decorator
        self.default_lease = DEFAULT_LEASE
        self.hits = Hits()  # how often bounds were reached, here and on the connections that reach it
        self._singletons: dict[str, tuple[Singleton, object]] = {}  # leased ones, by their lease's id

    # --- what the application registers --------------------------------------------------------------------

    def register(self, cls: type, factory: Callable[..., object] | None = None, uri: str | None = None) -> None:
        """Offer a remote class in the way its decorator said, or under another ``uri``.

        Raises:
            TypeError: not decorated, abstract, or not made without arguments where nobody could give any.
            ValueError: its uri is taken.
        """
        contract = contract_of(cls)
        if contract is None:
            raise TypeError(
                f"{getattr(cls, '__name__', cls)} is no remote class: decorate it with @rpcx.singleton, "
                "@rpcx.single_call or @rpcx.client_activated"
            )
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing and factory is None:
            raise TypeError(f"{cls.__name__} is abstract ({', '.join(missing)}): register its implementation")
        methods = contract.implemented_by(cls)
        make = factory or cls
        if contract.mode is Mode.CLIENT_ACTIVATED:
            activation = (cls, contract, contract.constructor(cls), make)  # a factory takes what the constructor does
            for name in contract.lineage:
                self._activated.setdefault(name, activation)
            self._activated[contract.name] = activation
        elif contract.mode is Mode.SINGLETON:
            _check_constructor(cls, factory)
            self._add(Singleton(uri or contract.uri or "", contract, methods, make, self))
        elif contract.mode is Mode.SINGLE_CALL:
            _check_constructor(cls, factory)
            self._add(SingleCall(uri or contract.uri or "", contract, methods, make, self._dispose))
        elif missing or not methods:
            raise TypeError(f"{cls.__name__} has no remote method")
        else:
            for name in contract.lineage:
                self._activated.pop(name, None)  # @remote says: the application makes them, clients do not
            log.debug("%s is registered; its instances travel by reference", cls.__name__)

    def publish(self, instance: object, uri: str) -> None:
        """Give an existing object a uri; it stays until `withdraw`."""
        contract = contract_of(type(instance))
        if contract is None:
            name = type(instance).__name__
            raise TypeError(f"{name} is no remote class: decorate it with @rpcx.remote to publish an instance")
        if not isinstance(uri, str) or not uri:
            raise TypeError(f"publish(obj, {uri!r}): the uri is a text that is not empty")
        entry = Published(uri, contract, contract.implemented_by(type(instance)), instance)
        self._add(entry)
        self._by_object[identity(instance)] = entry

    def withdraw(self, uri: str) -> None:
        """Take an entry away; calls that run on it end normally."""
        with self.lock:
            entry = self._entries.pop(uri, None)
            if entry is None:
                raise ObjectNotFound(f"nothing is registered as {uri!r}", uri=uri)
            if isinstance(entry, Leased):
                self.manager.remove(uri, "the host withdrew it", self.clock())
            instance = getattr(entry, "instance", None)
            self._by_object.pop(identity(instance), None)

    def _add(self, entry: Entry) -> None:
        with self.lock:
            if entry.uri in self._entries:
                raise ValueError(f"the uri {entry.uri!r} is taken by {self._entries[entry.uri].contract}")
            self._entries[entry.uri] = entry

    # --- calls ---------------------------------------------------------------------------------------------

    def find(self, target: str, method: str = "") -> Entry:  # a gate's signature: here each method will do
        """The entry a call is for; ObjectExpired or ObjectNotFound if there is none."""
        entry = self._entries.get(target)
        if entry is None:
            raise self.gone(target)
        return entry

    def peek(self, target: str) -> Entry:
        """The same, but `ABSENT` if there is none."""
        return self._entries.get(target, ABSENT)

    def activation(self, name: str) -> tuple[type, Contract] | None:
        """What a client makes by this name."""
        known = self._activated.get(name)
        return known[:2] if known is not None else None

    def find_locked(self, target: str) -> Entry:
        """The same for whoever holds the lock already."""
        entry = self._entries.get(target)
        if entry is None:
            raise self.manager.why_gone(target, self.clock()) or _unknown(target)
        return entry

    def gone(self, target: str) -> ObjectNotFound:
        """Why a call for ``target`` fails: it ended, or never was."""
        with self.lock:
            expired = self.manager.why_gone(target, self.clock())
        if expired is not None:
            return expired
        return _unknown(target)

    def pinned(self, lease: LiveLease) -> bool:
        """A call on a leased object begins: renew and pin it. False if it has ended."""
        with self.lock:
            return self.manager.enter(lease, self.clock())

    def unpin(self, lease: LiveLease) -> None:
        """A call on a leased object ended."""
        with self.lock:
            due = self.manager.leave(lease, self.clock())
        if due:
            self.rearm()

    def activate(self, name: str, args: list[object], kwargs: dict[str, object]) -> object:
        """Make a client-activated object."""
        known = self._activated.get(name)
        if known is None:
            offered = ", ".join(sorted(self._activated)) or "none"
            raise ObjectNotFound(f"this host lets clients make no {name!r} (it offers: {offered})", uri=name)
        _, _, constructor, make = known
        args_, kwargs_ = constructor.arguments.fit(args, kwargs)
        return make(*args_, **kwargs_)

    # --- references ----------------------------------------------------------------------------------------

    def export(self, instance: object, holder: Hashable, terms: Lease | None = None) -> Entry | None:
        """The entry under which ``holder`` may call ``instance`` from now on; None if it is no remote object.

        ``terms`` are for a class that has no lease of its own, where the holder cannot give references back.
        """
        key = identity(instance)
        try:
            with self.lock:
                entry = self._by_object.get(key)
                if entry is None:
                    entry = self._new_entry(instance, terms)
                    if entry is None:
                        return None
                    self._entries[entry.uri] = entry
                    self._by_object[key] = entry
                elif isinstance(entry, Leased):
                    self.manager.reactivate(entry.uri, self.clock())
                if isinstance(entry, Leased):
                    self._hold(entry, holder)
        finally:
            self.rearm()  # for one over quota too: its end is due
        return entry

    def _hold(self, entry: Leased, holder: Hashable) -> None:
        """Called under the lock."""
        try:
            self.manager.hold(entry.uri, holder, self.clock())
        except LimitExceeded:
            if not entry.lease.holders:  # it was made for this holder, who may not have it
                self.manager.remove(entry.uri, "its holder had too many objects", self.clock())
                del self._by_object[identity(entry.instance)]  # handed to another, it gets an id anew; see `_take_out`
            raise

    def _new_entry(self, instance: object, terms: Lease | None) -> Leased | None:
        contract = contract_of(type(instance))
        if isinstance(instance, Proxy):
            contract, methods = instance._rpcx_contract, forwarding(instance)  # ours
            name = contract.name if contract is not None else "function"
            if not methods:
                return None
        elif contract is not None:
            methods = contract.implemented_by(type(instance))
            name, terms = contract.name, self.terms(contract) or terms
        elif _is_function(instance):
            methods = _function_table(instance)
            name = "function"
        else:
            return None
        uri = f"{name}/{secrets.token_urlsafe(16)}"
        try:
            lease = self.manager.add(uri, terms, self.clock())
        except LimitExceeded:
            if _is_owned(instance, contract):
                self._dispose(instance)  # it has no entry to end with
            raise
        return Leased(uri, contract, methods, instance, lease, self)

    def terms(self, contract: Contract) -> Lease | None:
        """The lease that an instance gets; None: it lives while it is held."""
        said = self.leases.get(contract, contract.lease)
        return self.default_lease if said is DEFAULT_LEASE else said

    def adopt(self, entry: Singleton, instance: object, number: int) -> LiveLease | None:
        """A singleton was made: note it, and give it its lease, pinned, if its class has one."""
        with self.lock:
            self._by_object[identity(instance)] = entry
            terms = self.terms(entry.contract) if entry.contract is not None else None
            if terms is None:
                return None
            now = self.clock()
            lease = self.manager.add(f"{entry.uri}#{number}", terms, now)
            self.manager.enter(lease, now)
            self._singletons[lease.object_id] = (entry, instance)
        self.rearm()
        return lease

    def release(self, released: list[tuple[str, int]], holder: Hashable) -> None:
        """``holder`` holds these references no longer: (id, how many times it had received it)."""
        now = self.clock()
        with self.lock:
            for uri, count in released:
                if isinstance(self._entries.get(uri), Leased):
                    self.manager.release(uri, holder, count, now)
        self.rearm()

    def home(self, uri: str) -> object:
        """One of our own references came back: the object itself."""
        entry = self.find(uri)
        instance = getattr(entry, "instance", None)
        if instance is None and isinstance(entry, Singleton):
            instance = entry.enter()
            entry.leave(instance)
        if instance is None:
            raise ObjectNotFound(f"{uri!r} is made for each call; there is no object to pass", uri=uri)
        return instance

    # --- time ----------------------------------------------------------------------------------------------

    def due(self) -> float | None:
        """When `tick` wants to be called."""
        with self.lock:
            return self.manager.due()

    def tick(self, now: float) -> list[Any]:
        """End what has ended; the rest of the manager's actions is returned (sponsors to ask)."""
        with self.lock:
            actions = self.manager.tick(now)
            ended = [(*self._take_out(each.object_id), each) for each in actions if isinstance(each, Ended)]
        for entry, instance, action in ended:
            contract = entry.contract.name if entry is not None and entry.contract is not None else None
            audit.event("lease-expire", object_type=contract, object=action.object_id, result=action.why)
            if isinstance(entry, Singleton):
                entry.forget(instance)
                self._dispose(instance)
            elif isinstance(entry, Leased) and entry.owned:
                self._dispose(instance)
        return [action for action in actions if not isinstance(action, Ended)]

    def _take_out(self, object_id: str) -> tuple[Entry | None, object]:
        """Take an ended object out of the tables. Called under the lock."""
        if object_id in self._singletons:
            singleton, instance = self._singletons.pop(object_id)
            self._by_object.pop(identity(instance), None)
            return singleton, instance
        entry = self._entries.get(object_id)
        if not isinstance(entry, Leased):
            return None, None  # it was withdrawn
        self._drop(entry)
        return entry, entry.instance

    def _drop(self, entry: Leased) -> None:
        """Called under the lock."""
        self._entries.pop(entry.uri, None)
        key = identity(entry.instance)
        if self._by_object.get(key) is entry:
            del self._by_object[key]

    # --- inspection ----------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """A snapshot."""
        with self.lock:
            return list(self._entries.values())

    def pinned_entries(self) -> list[tuple[Entry, int]]:
        """Leased ones on which calls run, and how many."""
        with self.lock:
            leased = [entry for entry in self._entries.values() if isinstance(entry, Leased | Singleton)]
            return [(entry, entry.lease.pins) for entry in leased if entry.lease is not None and entry.lease.pins]

    def activated(self) -> Iterator[Contract]:
        """The contracts that clients may make instances of."""
        return iter({id(contract): contract for _, contract, _, _ in self._activated.values()}.values())

    def close(self) -> list[object]:
        """Forget everything; what is to be disposed."""
        with self.lock:
            entries, self._entries = list(self._entries.values()), {}
            self._by_object.clear()
        owned = [entry.instance for entry in entries if isinstance(entry, Leased) and entry.owned]
        return owned + [e.instance for e in entries if isinstance(e, Singleton) and e.instance is not None]


def identity(instance: object) -> object:
    """What an object is known by. A bound method is a new object each time it is read, so: its two parts."""
    if isinstance(instance, types.MethodType):
        return id(instance.__self__), id(instance.__func__)
    return id(instance)


def _is_owned(instance: object, contract: Contract | None) -> bool:
    """Whether an object was made for a client."""
    return contract is not None and contract.mode is Mode.CLIENT_ACTIVATED and not isinstance(instance, Proxy)


def _unknown(target: str) -> ObjectNotFound:
    return ObjectNotFound(
        f"{target[:200]!r}: no such object on this host; `rpcx inspect URL` lists what is there", uri=target
    )


def _is_function(instance: object) -> bool:
    return isinstance(instance, types.FunctionType | types.MethodType | types.BuiltinFunctionType) or (
        callable(instance) and type(instance).__module__ == "functools"
    )


def _call(self: Callable[..., object], *args: object, **kwargs: object) -> object:
    return self(*args, **kwargs)


async def _call_async(self: Callable[..., Any], *args: object, **kwargs: object) -> object:
    return await self(*args, **kwargs)


def _function_table(function: Any) -> Mapping[str, Method]:  # any callable
    plain = inspect.unwrap(getattr(function, "func", function))
    caller = _call_async if inspect.iscoroutinefunction(plain) else _call
    name = getattr(function, "__qualname__", "function")
    return {"__call__": Method("__call__", MethodKind.CALL, caller, Marks(), name)}


def _check_constructor(cls: type, factory: Callable[..., object] | None) -> None:
    """A well-known object is made without arguments."""
    if factory is not None:
        return
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise InvalidArguments(
            f"{cls.__name__}{inspect.signature(cls)} is made without arguments: {error}; "
            "give defaults, register it with factory=..., or publish an instance"
        ) from None
    except ValueError:
        pass  # no signature: a constructor in C
