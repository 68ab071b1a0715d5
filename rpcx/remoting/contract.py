"""Contracts: what may be called on a remote class.

A decorator builds the table once: name → `Method`, with its kind and signature. The wire carries names, and a
name that is not in the table does not exist; nothing is looked up on the object by a name that came from
outside. What counts as remote:

- public functions and properties of the decorated class, and of bases that are decorated themselves;
- of an undecorated base only what `@rpcx.method` marks.

An undecorated subclass of a decorated class implements its contract: same table, its own functions.
A property is up to three entries: ``total``, ``total.set``, ``total.del``.

The **fingerprint** is a hash over names, kinds, parameters and annotations. Two ends compare it at a proxy's
first call; if it differs, `rpcx.remoting.differences` decides from the description whether they still fit.
"""

import functools
import hashlib
import inspect
import json
import re
import types
import weakref
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final

from rpcx.lifetime.lease import Lease
from rpcx.remoting.rules import Rule, rule
from rpcx.remoting.validation import Arguments, Result

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")  # of a method: ASCII, no look-alikes
SLOW_SECONDS: Final = 60.0  # how long a method that overran goes straight to a worker
STREAM_TEXT: Final = re.compile(r"(?:[\w.]*\.)?(?:Async)?(?:Iterator|Generator)\b")
MARK: Final = "__rpcx_method__"  # attribute that @method and @oneway leave on a function
CONTRACT: Final = "__rpcx_contract__"
DEFAULT_LEASE: Final = Lease()  # of client-activated classes that say none; a host may have another


class Mode(Enum):
    """How instances of a remote class come to be."""

    REMOTE = "remote"  # made by the application, returned or published
    SINGLETON = "singleton"
    SINGLE_CALL = "single_call"
    CLIENT_ACTIVATED = "client_activated"


class MethodKind(Enum):
    """How an entry of the table is used."""

    CALL = "call"
    STREAM = "stream"
    GET = "get"
    SET = "set"
    DEL = "del"


class Marks:
    """What decorators said about one function."""

    __slots__ = ("allow", "blocking", "idempotent", "oneway")

    def __init__(
        self, *, oneway: bool = False, blocking: bool = False, idempotent: bool = False, allow: Rule | None = None
    ) -> None:
        self.oneway = oneway  # no answer is awaited
        self.blocking = blocking  # goes to a worker thread at once
        self.idempotent = idempotent  # may be repeated when it is unknown whether it ran
        self.allow = allow  # who may call it besides the owner; None: the class says it


class Method:
    """One entry of a contract."""

    __slots__ = (
        "_overran",
        "allow",
        "arguments",
        "blocking",
        "function",
        "idempotent",
        "is_async",
        "kind",
        "name",
        "oneway",
        "result",
        "slow_until",
        "streams",
        "where",
    )  # fmt: skip

    def __init__(self, name: str, kind: MethodKind, function: Callable[..., Any], marks: Marks, where: str) -> None:
        self.name = name  # on the wire
        self.kind = kind
        self.function = function  # unbound
        self.where = where  # "Bank.open", for messages
        self.oneway = marks.oneway
        self.blocking = marks.blocking
        self.idempotent = marks.idempotent
        self.allow = marks.allow
        plain = inspect.unwrap(function)
        self.streams = kind is MethodKind.STREAM
        self.is_async = inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)
        self.arguments = Arguments(function, where, CLASSES)
        of_items = self.streams or (kind is MethodKind.GET and _streams(function))  # as Pyro5's attributes may be
        self.result = Result(function, where, CLASSES, stream=of_items).fit
        self.slow_until = 0.0  # monotonic seconds until which it counts as slow, since it overran
        self._overran = False

    def overran(self, now: float) -> None:
        """A call took long where others wait for it to end: the next ones go to a worker, for a while.

        The first is forgiven: it builds validators, and what the method imports or opens for the first time.
        """
        if self._overran:
            self.slow_until = now + SLOW_SECONDS
        self._overran = True

    def describe(self) -> dict[str, Any]:
        """Plain data for `rpcx inspect` and for comparing contracts."""
        parameters = []
        for parameter in self.arguments.signature.parameters.values():
            entry = {"name": parameter.name, "kind": parameter.kind.name, "type": _text(parameter.annotation)}
            if parameter.default is not parameter.empty:
                entry["default"] = repr(parameter.default)[:200]
            parameters.append(entry)
        return {
            "name": self.name,
            "kind": self.kind.value,
            "oneway": self.oneway,
            "parameters": parameters,
            "returns": _text(getattr(self.function, "__annotations__", {}).get("return", inspect._empty)),
            "doc": inspect.getdoc(self.function) or "",
        }

    def __repr__(self) -> str:
        return f"<Method {self.where} {self.kind.value}>"


class Contract:
    """The frozen table of a remote class.

    Attributes:
        name: what references call it; two ends must use the same.
        cls: the decorated class.
        methods: wire name → `Method`; read-only.
        mode, uri, lease: how its instances come to be, where, and how long they live.
        allow: who may call them besides the owner; None: nothing was said.
    """

    def __init__(
        self,
        cls: type,
        *,
        name: str,
        mode: Mode,
        uri: str | None,
        lease: Lease | None,
        blocking: bool,
        allow: Rule | None,
    ) -> None:
        self.cls = cls
        self.name = name
        self.mode = mode
        self.uri = uri
        self.lease = lease
        bases = (vars(base)[CONTRACT].allow for base in cls.__mro__[1:] if CONTRACT in vars(base))
        self.allow: Rule | None = allow if allow is not None else next(bases, None)
        self.methods: Mapping[str, Method] = types.MappingProxyType(_table(cls, blocking=blocking))
        self.proxies: dict[str, type] = {}  # proxy classes by flavour, made at first use
        self._implementations: weakref.WeakKeyDictionary[type, Mapping[str, Method]] = weakref.WeakKeyDictionary()

    @functools.cached_property
    def lineage(self) -> dict[str, "Contract"]:
        """This contract and those of its bases, by name: what an instance can be used as."""
        own = [vars(base)[CONTRACT] for base in self.cls.__mro__ if CONTRACT in vars(base)]
        return {contract.name: contract for contract in reversed(own)} | {self.name: self}

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hex digits over everything that a caller depends on."""
        shape = [
            [
                method["name"], method["kind"], method["oneway"], method["returns"],
                [[p["name"], p["kind"], p["type"], "default" in p] for p in method["parameters"]],
            ]
            for method in self.describe()["methods"]
        ]  # fmt: skip
        return hashlib.sha256(json.dumps([self.name, shape]).encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Plain data: name, mode, uri, doc and methods."""
        return {
            "name": self.name,
            "mode": self.mode.value,
            "uri": self.uri,
            "doc": inspect.getdoc(self.cls) or "",
            "methods": [self.methods[name].describe() for name in sorted(self.methods)],
        }

    def implemented_by(self, cls: type) -> Mapping[str, Method]:
        """The table with the functions of ``cls``, a subclass; they may be async where the contract's are not."""
        if cls is self.cls:
            return self.methods
        table = self._implementations.get(cls)
        if table is None:
            table = types.MappingProxyType({name: _implemented(method, cls) for name, method in self.methods.items()})
            self._implementations[cls] = table
        return table

    def constructor(self, cls: type) -> Method:
        """``cls.__init__`` as a method, for arguments of a client's `create`."""
        return Method("__init__", MethodKind.CALL, cls.__init__, Marks(), cls.__name__)  # type: ignore[misc]  # of this very class

    def __repr__(self) -> str:
        return f"<Contract {self.name} {self.mode.value} {len(self.methods)} methods {self.fingerprint}>"


class _Classes(Mapping[str, type]):
    """Remote classes of this process by name, the latest of each; weak, so that classes of tests can go."""

    def __init__(self) -> None:
        self._known: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()

    def __getitem__(self, name: str) -> type:
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._known))

    def __len__(self) -> int:
        return len(self._known)

    def items(self) -> ItemsView[str, type]:
        """Those that are there; one may go while the names are read."""
        return dict(self._known.items()).items()

    def add(self, name: str, cls: type) -> None:
        self._known[name] = cls


CLASSES: Final = _Classes()


def contract_of(cls: object) -> Contract | None:
    """The contract that instances of ``cls`` fulfil; None if it is no remote class."""
    return getattr(cls, CONTRACT, None) if isinstance(cls, type) else None


def build(
    cls: type,
    mode: Mode,
    *,
    uri: str | None = None,
    lease: Lease | None = None,
    name: str | None = None,
    blocking: bool = False,
    allow: Iterable[str] | None = None,
) -> type:
    """Make ``cls`` a remote class. Called by the decorators."""
    if not isinstance(cls, type):
        raise TypeError(f"@rpcx.{mode.value} decorates a class, not {cls!r}")
    if lease is not None and not isinstance(lease, Lease):
        raise TypeError(f"{cls.__name__}: lease={lease!r} is no rpcx.Lease(initial=..., renew_on_call=...)")
    said = rule(allow, cls.__name__)
    contract = Contract(cls, name=name or cls.__name__, mode=mode, uri=uri, lease=lease, blocking=blocking, allow=said)
    setattr(cls, CONTRACT, contract)
    cls.__get_pydantic_core_schema__ = classmethod(_pydantic_schema)  # type: ignore[attr-defined]  # a plug for pydantic
    CLASSES.add(contract.name, cls)
    return cls


def _pydantic_schema(cls: type, source: Any, handler: Any) -> Any:  # noqa: ARG001  # pydantic's signature
    """How pydantic checks a parameter annotated with a remote class: an instance, or a proxy that fits."""
    from pydantic_core import core_schema

    contract = contract_of(cls)

    def check(value: object) -> object:
        cast = getattr(type(value), "_rpcx_cast", None)
        if cast is not None and contract is not None:
            value = cast(value, contract)
        if not isinstance(value, cls):
            # A ValueError, since that is what pydantic turns into its own.
            raise ValueError(f"a remote {cls.__name__} is needed, not {type(value).__name__}")  # noqa: TRY004  # pydantic's rule
        return value

    return core_schema.no_info_plain_validator_function(check)


def _table(cls: type, *, blocking: bool) -> dict[str, Method]:
    table: dict[str, Method] = {}
    for base in reversed(cls.__mro__):
        inherited = vars(base).get(CONTRACT)
        for name, member in vars(base).items():
            marks = getattr(member, MARK, None)
            if base is not cls and inherited is None and marks is None:
                table.pop(name, None)  # an undecorated class overrides: not remote unless it says so
                continue
            for method in _methods(name, member, marks, cls.__name__, blocking=blocking):
                before = inherited.methods.get(method.name) if inherited is not None else table.get(method.name)
                if before is not None:
                    method.blocking |= before.blocking and inherited is not None
                    method.allow = method.allow if method.allow is not None else before.allow  # never laxer silently
                table[method.name] = method
    return table


def _methods(name: str, member: object, marks: Marks | None, owner: str, *, blocking: bool) -> Iterator[Method]:
    if name.startswith("_") and not (marks is not None and name == "__call__"):
        if marks is not None:
            raise TypeError(f"{owner}.{name}: a remote method's name begins with a letter")
        return
    where = f"{owner}.{name}"
    if isinstance(member, property | functools.cached_property):
        yield from _property(name, member, where, blocking=blocking)
    elif inspect.isfunction(member):
        if not NAME.match(name) and name != "__call__":
            raise TypeError(f"{where}: a remote method's name is ASCII letters, digits and _, at most 64")
        own = Marks(
            oneway=bool(marks and marks.oneway),
            blocking=blocking or bool(marks and marks.blocking),
            idempotent=bool(marks and marks.idempotent),
            allow=marks.allow if marks else None,
        )
        kind = MethodKind.STREAM if _streams(member) else MethodKind.CALL
        if own.oneway and kind is MethodKind.STREAM:
            raise TypeError(f"{where}: a one-way method cannot stream, nobody awaits its items")
        yield Method(name, kind, member, own, where)


def _property(name: str, member: Any, where: str, *, blocking: bool) -> Iterator[Method]:
    if not NAME.match(name):
        raise TypeError(f"{where}: a remote property's name is ASCII letters, digits and _, at most 64")
    getter = member.func if isinstance(member, functools.cached_property) else member.fget
    marks = Marks(blocking=blocking, allow=_allowed(getter))
    if isinstance(member, functools.cached_property):

        def cached(self: object) -> object:
            return getattr(self, name)

        yield Method(name, MethodKind.GET, functools.wraps(getter)(cached), marks, where)
        return
    if getter is not None:
        yield Method(name, MethodKind.GET, getter, marks, where)
    if member.fset is not None:
        yield Method(f"{name}.set", MethodKind.SET, member.fset, _strictly(marks, member.fset), where)
    if member.fdel is not None:
        yield Method(f"{name}.del", MethodKind.DEL, member.fdel, _strictly(marks, member.fdel), where)


def _allowed(accessor: object) -> Rule | None:
    marks: Marks | None = getattr(accessor, MARK, None)
    return marks.allow if marks is not None else None


def _strictly(marks: Marks, accessor: object) -> Marks:
    """Of a setter or deleter: its own rule, else the getter's, so that none is let in by forgetting."""
    own = _allowed(accessor)
    return Marks(blocking=marks.blocking, allow=own if own is not None else marks.allow)


def _implemented(method: Method, cls: type) -> Method:
    """``method`` with the function that ``cls`` has for it."""
    name = method.name.partition(".")[0]
    member = inspect.getattr_static(cls, name)
    own = getattr(member, MARK, None)
    marks = Marks(
        oneway=method.oneway,
        blocking=method.blocking or bool(own and own.blocking),
        idempotent=method.idempotent,
        allow=own.allow if own and own.allow is not None else method.allow,
    )
    if method.kind in (MethodKind.CALL, MethodKind.STREAM):
        function = member
    elif isinstance(member, property):
        accessors = {MethodKind.GET: member.fget, MethodKind.SET: member.fset, MethodKind.DEL: member.fdel}
        function = accessors[method.kind]
    elif method.kind is MethodKind.GET:
        function = _reader(name)  # a plain attribute may stand for an abstract property
    else:
        function = None
    if not inspect.isfunction(function):
        raise TypeError(f"{cls.__name__}.{name} does not implement {method.where} as a {method.kind.value}")
    made = Method(method.name, method.kind, function, marks, f"{cls.__name__}.{name}")
    if not getattr(function, "__annotations__", None):
        made.arguments, made.result = method.arguments, method.result
    return made


def _reader(name: str) -> Callable[[object], object]:
    def read(self: object) -> object:
        return getattr(self, name)

    return read


def _streams(function: Callable[..., object]) -> bool:
    plain = inspect.unwrap(function)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        return True
    return bool(STREAM_TEXT.match(_text(getattr(plain, "__annotations__", {}).get("return", ""))))


def _text(annotation: Any) -> str:  # any annotation
    """An annotation as it was written, whether or not it was evaluated."""
    if annotation is inspect.Parameter.empty:
        return ""
    if isinstance(annotation, str):
        return annotation.replace('"', "").replace("'", "").replace("typing.", "")
    return inspect.formatannotation(annotation).replace("typing.", "").replace("'", "")
