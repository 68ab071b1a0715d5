"""Contracts: what may be called on a remote class.

A decorator builds the table once: name → `Method`, with its kind and signature. The wire carries names, and a
name that is not in the table does not exist; nothing is looked up on the object by a name that came from
outside. What counts as remote:

- public functions and properties of the decorated class, and of bases that are decorated themselves;
- of an undecorated base only what `@rpcx.method` marks.

An undecorated subclass of a decorated class implements its contract: same table, its own functions.
A property is up to three entries: ``total``, ``total.set``, ``total.del``.

The **fingerprint** is a hash over names, kinds, parameters and annotations. Two ends compare it at a proxy's
first call; if it differs, `difference` decides from the description whether they still fit.
"""

import functools
import hashlib
import inspect
import json
import re
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Final

from rpcx.lifetime.lease import Lease
from rpcx.remoting.validation import Arguments, Result

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")  # of a method: ASCII, no look-alikes
SLOW_SECONDS: Final = 60.0  # how long a method that overran goes straight to a worker
STREAM_TEXT: Final = re.compile(r"(?:[\w.]*\.)?(?:Async)?(?:Iterator|Generator)\b")
MARK: Final = "__rpcx_method__"  # attribute that @method and @oneway leave on a function
CONTRACT: Final = "__rpcx_contract__"


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

    __slots__ = ("blocking", "idempotent", "oneway")

    def __init__(self, *, oneway: bool = False, blocking: bool = False, idempotent: bool = False) -> None:
        self.oneway = oneway  # no answer is awaited
        self.blocking = blocking  # goes to a worker thread at once
        self.idempotent = idempotent  # may be repeated when it is unknown whether it ran


class Method:
    """One entry of a contract."""

    __slots__ = (
        "arguments", "blocking", "function", "idempotent", "is_async", "kind", "name", "oneway", "result",
        "slow_until", "streams", "where",
    )  # fmt: skip

    def __init__(self, name: str, kind: MethodKind, function: Callable[..., Any], marks: Marks, where: str) -> None:
        self.name = name  # on the wire
        self.kind = kind
        self.function = function  # unbound
        self.where = where  # "Bank.open", for messages
        self.oneway = marks.oneway
        self.blocking = marks.blocking
        self.idempotent = marks.idempotent
        plain = inspect.unwrap(function)
        self.streams = kind is MethodKind.STREAM
        self.is_async = inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)
        self.arguments = Arguments(function, where, CLASSES)
        self.result = Result(function, where, CLASSES, stream=self.streams)
        self.slow_until = 0.0  # monotonic seconds until which it counts as slow, since it overran

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
    """

    def __init__(
        self, cls: type, *, name: str, mode: Mode, uri: str | None, lease: Lease | None, blocking: bool
    ) -> None:
        self.cls = cls
        self.name = name
        self.mode = mode
        self.uri = uri
        self.lease = lease
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
) -> type:
    """Make ``cls`` a remote class. Called by the decorators."""
    if not isinstance(cls, type):
        raise TypeError(f"@rpcx.{mode.value} decorates a class, not {cls!r}")
    if lease is not None and not isinstance(lease, Lease):
        raise TypeError(f"{cls.__name__}: lease={lease!r} is no rpcx.Lease(initial=..., renew_on_call=...)")
    contract = Contract(cls, name=name or cls.__name__, mode=mode, uri=uri, lease=lease, blocking=blocking)
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
                if inherited is not None and method.name in inherited.methods:
                    method.blocking |= inherited.methods[method.name].blocking
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
        )
        kind = MethodKind.STREAM if _streams(member) else MethodKind.CALL
        if own.oneway and kind is MethodKind.STREAM:
            raise TypeError(f"{where}: a one-way method cannot stream, nobody awaits its items")
        yield Method(name, kind, member, own, where)


def _property(name: str, member: Any, where: str, *, blocking: bool) -> Iterator[Method]:
    if not NAME.match(name):
        raise TypeError(f"{where}: a remote property's name is ASCII letters, digits and _, at most 64")
    marks = Marks(blocking=blocking)
    getter = member.func if isinstance(member, functools.cached_property) else member.fget
    if isinstance(member, functools.cached_property):

        def cached(self: object) -> object:
            return getattr(self, name)

        yield Method(name, MethodKind.GET, functools.wraps(getter)(cached), marks, where)
        return
    if getter is not None:
        yield Method(name, MethodKind.GET, getter, marks, where)
    if member.fset is not None:
        yield Method(f"{name}.set", MethodKind.SET, member.fset, marks, where)
    if member.fdel is not None:
        yield Method(f"{name}.del", MethodKind.DEL, member.fdel, marks, where)


def _implemented(method: Method, cls: type) -> Method:
    """``method`` with the function that ``cls`` has for it."""
    name = method.name.partition(".")[0]
    member = inspect.getattr_static(cls, name)
    marks = Marks(oneway=method.oneway, blocking=method.blocking, idempotent=method.idempotent)
    own = getattr(member, MARK, None)
    if own is not None:
        marks.blocking |= own.blocking
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


def difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """Compare two descriptions: (the first thing that does not fit, or None; what was merely added)."""
    added: list[str] = []
    other = {method["name"]: method for method in theirs["methods"]}
    own = {method["name"]: method for method in mine["methods"]}
    added += [f"{name} exists only there" for name in other.keys() - own.keys()]
    added += [f"{name} exists only here" for name in own.keys() - other.keys()]
    for name in sorted(own.keys() & other.keys()):
        here, there = own[name], other[name]
        for key in ("kind", "oneway", "returns"):
            if here[key] != there[key]:
                return f"{name}: {key} is {here[key]!r} here and {there[key]!r} there", added
        problem = _parameters_differ(here["parameters"], there["parameters"], added, name)
        if problem:
            return f"{name}: {problem}", added
    return None, added


def _parameters_differ(here: Any, there: Any, added: list[str], name: str) -> str | None:  # plain data
    for mine, yours in zip(here, there, strict=False):
        for key in ("name", "kind", "type"):
            if mine[key] != yours[key]:
                return f"parameter {mine['name']!r}: {key} is {mine[key]!r} here and {yours[key]!r} there"
        if ("default" in mine) != ("default" in yours):
            return f"parameter {mine['name']!r} is optional on one side only"
    longer, side = (here, "here") if len(here) > len(there) else (there, "there")
    for extra in longer[min(len(here), len(there)) :]:
        if "default" not in extra and not extra["kind"].startswith("VAR_"):
            return f"parameter {extra['name']!r} is required {side} and unknown on the other side"
        added.append(f"{name}: optional parameter {extra['name']!r} only {side}")
    return None
