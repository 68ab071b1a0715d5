"""From nodes to Python values.

Nothing is imported, looked up or called by a name from outside: a class's name is looked for in the table that
`@dotnet.type` filled, and among the few types of .NET's own library that mean something here. Whatever else comes is
an error that names the type.

Containers and instances are made empty first and filled afterwards, one after the other, so that cycles and long
chains are no trouble. As in .NET, no constructor runs; each field is then checked against its annotation.
"""

import dataclasses
import enum
import functools
import typing
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.clrnames import ClrName, parse
from rpcx.interop.dotnet.delegates import DELEGATE
from rpcx.interop.dotnet.members import by_name, names_in
from rpcx.interop.dotnet.nodes import OBJECT, ArrayNode, ClassNode, Kind, Node, Primitive, Untyped
from rpcx.interop.dotnet.systems import datetime_of, decimal_of, number_of, timedelta_of, uuid_of
from rpcx.interop.dotnet.types import ClrType, find
from rpcx.remoting.validation import validator

OBJREF: Final = "System.Runtime.Remoting.ObjRef"


class Construction(NamedTuple):
    """A message within a message: what activation asks and answers. Only what is needed of it is read."""

    members: dict[str, Any]


CONSTRUCTION: Final = ("__TypeName", "__ActivationTypeName", "__Args", "__Return")


class Resolver(Protocol):
    """What turns a reference into an object, and an exception's node into an exception."""

    def resolve(self, node: ClassNode, /) -> object: ...
    def delegate(self, node: ClassNode, value: Callable[[Node], object], /) -> object: ...
    def exception(self, node: ClassNode, value: Callable[[Node], object], /) -> Exception: ...


class Inward:
    """Turns the nodes of one message into values.

    Raises `InvalidArguments`, which names the type that means nothing here, or the field that does not fit.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._made: dict[int, object] = {}  # by id() of a node
        self._unfilled: deque[Callable[[], None]] = deque()
        self._last: deque[Callable[[], None]] = deque()  # what needs complete values: dictionaries, checks

    def values(self, nodes: Sequence[Node]) -> list[Any]:
        """The values of ``nodes``, complete."""
        made = [self._value(node) for node in nodes]
        while self._unfilled:
            self._unfilled.popleft()()
        while self._last:
            self._last.popleft()()
        return made

    def _value(self, node: Node) -> Any:
        if node is None or isinstance(node, str):
            return node
        if isinstance(node, Primitive):
            return _plain(node.kind, node.value)
        assert not isinstance(node, Untyped)  # those were settled
        made = self._made.get(id(node), self)
        if made is self:
            made = self._array(node) if isinstance(node, ArrayNode) else self._class(node)
            self._made[id(node)] = made
        return made

    # --- arrays --------------------------------------------------------------------------------------------------

    def _array(self, node: ArrayNode) -> object:
        if isinstance(node.element, Kind):
            if isinstance(node.items, bytes) and len(node.lengths) == 1:
                return node.items
            kind = node.element
            convert = _CONVERTED.get(kind)
            return _rows([convert(item) for item in node.items] if convert else list(node.items), node.lengths)
        if len(node.lengths) > 1:
            outer: list[Any] = []
            self._unfilled.append(lambda: outer.extend(_rows([self._value(i) for i in node.items], node.lengths)))
            return outer
        items: list[Any] = []
        self._unfilled.append(lambda: items.extend(map(self._value, node.items)))
        return items

    # --- classes -------------------------------------------------------------------------------------------------

    def _class(self, node: ClassNode) -> object:
        name = parse(node.name)
        declared = find(name)
        if declared is not None:
            return self._declared(node, declared)
        known = _SYSTEM.get(name.name)
        if known is not None:
            try:
                return known(self, node, name)
            except ValueError as error:
                raise InvalidArguments(f"{node.name}: {error}") from None
        if "ClassName" in node.members and "Message" in node.members:
            return self._resolver.exception(node, self._value)
        raise InvalidArguments(
            f"{name} means nothing here: map a class to it, with @dotnet.type({str(name)!r}, assembly=...)"
        )

    def _declared(self, node: ClassNode, declared: ClrType) -> object:
        cls = declared.cls
        if issubclass(cls, enum.Enum):
            return _enum(node, cls)
        if issubclass(cls, Exception):
            return self._resolver.exception(node, self._value)
        if not dataclasses.is_dataclass(cls):
            raise InvalidArguments(f"{node.name} came by value, and {cls.__name__} here is no dataclass")
        instance = object.__new__(cls)
        self._unfilled.append(lambda: self._fill(instance, cls, node))
        return instance

    def _fill(self, instance: object, cls: Any, node: ClassNode) -> None:  # a dataclass
        members = by_name(node.members)
        for field, names, check in _fields(cls):
            found = next((name for name in names if name in members), None)
            if found is not None:
                value = self._value(members[found])
            elif field.default is not dataclasses.MISSING:
                value = field.default
            elif field.default_factory is not dataclasses.MISSING:
                value = field.default_factory()
            else:
                raise InvalidArguments(
                    f"{node.name} has no field {field.name!r} (it has: {', '.join(sorted(members))[:300]}); "
                    "say its name with dotnet.Member"
                )
            object.__setattr__(instance, field.name, value)
            if check is not None:
                self._last.append(functools.partial(_checked, instance, field.name, check))

    # --- .NET's own ----------------------------------------------------------------------------------------------

    def _list(self, node: ClassNode, _: ClrName) -> object:
        size, items = number_of(node, "_size"), node.members.get("_items")
        if not isinstance(items, ArrayNode) or not 0 <= size <= len(items.items) or len(items.lengths) != 1:
            raise ValueError("its size and its items do not fit")
        cut = ArrayNode(items.element, items.items[:size], assembly=items.assembly)
        self._made[id(cut)] = made = self._array(cut)
        self._kept.append(cut)
        return list(made) if isinstance(made, bytes) else made

    @functools.cached_property
    def _kept(self) -> list[Node]:
        """Nodes made here, alive while their id() counts."""
        return []

    def _dictionary(self, node: ClassNode, _: ClrName) -> object:
        pairs = node.members.get("KeyValuePairs")
        items = pairs.items if isinstance(pairs, ArrayNode) else []
        if not all(isinstance(pair, ClassNode) for pair in items):
            raise ValueError("its pairs are none")
        keys = [pair.members.get("key") for pair in items]
        return self._mapping(keys, [pair.members.get("value") for pair in items])

    def _hashtable(self, node: ClassNode, _: ClrName) -> object:
        keys, values = node.members.get("Keys"), node.members.get("Values")
        if not isinstance(keys, ArrayNode) or not isinstance(values, ArrayNode):
            raise ValueError("its keys and values are none")  # noqa: TRY004  # as everything in here
        return self._mapping(keys.items, values.items)

    def _mapping(self, keys: list[Node], values: list[Node]) -> dict[Any, Any]:
        if len(keys) != len(values):
            raise ValueError("it has more keys than values, or the other way round")
        made: dict[Any, Any] = {}
        self._unfilled.append(lambda: self._entries(made, keys, values))
        return made

    def _entries(self, made: dict[Any, Any], keys: list[Node], values: list[Node]) -> None:
        pairs = [(self._value(key), self._value(value)) for key, value in zip(keys, values, strict=True)]
        self._last.appendleft(lambda: _put(made, pairs))

    def _boxed(self, node: ClassNode, name: ClrName) -> object:
        """A primitive that came as an instance of its class: one field, whatever its name."""
        if name.name == "System.Decimal" and "flags" in node.members:
            return decimal_of(node)
        if name.name == "System.DateTime" and "dateData" in node.members:
            return datetime_of(number_of(node, "dateData") & 0xFFFFFFFFFFFFFFFF)
        (value,) = node.members.values()
        if not isinstance(value, Primitive):
            raise ValueError("its value is none")  # noqa: TRY004  # as everything in here
        return timedelta_of(number_of(node, "_ticks")) if name.name == "System.TimeSpan" else self._value(value)

    def _guid(self, node: ClassNode, _: ClrName) -> object:
        return uuid_of(node)

    def _reference(self, node: ClassNode, _: ClrName) -> object:
        return self._resolver.resolve(node)

    def _delegate(self, node: ClassNode, _: ClrName) -> object:
        return self._resolver.delegate(node, self._value)

    def _construction(self, node: ClassNode, _: ClrName) -> object:
        made: dict[str, Any] = {}
        parts = {name: node.members[name] for name in CONSTRUCTION if name in node.members}
        self._unfilled.append(lambda: made.update((name, self._value(part)) for name, part in parts.items()))
        return Construction(made)

    def _nothing(self, node: ClassNode, name: ClrName) -> object:
        return None if name.name == "System.DBNull" else object()


_SYSTEM: Final[dict[str, Callable[[Inward, ClassNode, ClrName], object]]] = {
    "System.Collections.Generic.List`1": Inward._list,
    "System.Collections.ArrayList": Inward._list,
    "System.Collections.Generic.Dictionary`2": Inward._dictionary,
    "System.Collections.Hashtable": Inward._hashtable,
    "System.Guid": Inward._guid,
    OBJREF: Inward._reference,
    DELEGATE: Inward._delegate,
    "System.Runtime.Remoting.Messaging.ConstructionCall": Inward._construction,
    "System.Runtime.Remoting.Messaging.ConstructionResponse": Inward._construction,
    OBJECT: Inward._nothing,
    "System.DBNull": Inward._nothing,
    "System.EventArgs": Inward._nothing,  # of events that tell nothing
    **dict.fromkeys(
        (
            "System.Boolean", "System.Byte", "System.Char", "System.Decimal", "System.Double", "System.Int16",
            "System.Int32", "System.Int64", "System.SByte", "System.Single", "System.TimeSpan", "System.DateTime",
            "System.UInt16", "System.UInt32", "System.UInt64",
        ),
        Inward._boxed,
    ),
}  # fmt: skip

_CONVERTED: Final[dict[Kind, Callable[[Any], object]]] = {Kind.DATETIME: datetime_of, Kind.TIMESPAN: timedelta_of}


def plain_values(nodes: Sequence[Node]) -> list[Any] | None:
    """The values of ``nodes`` that are primitives, texts and nulls; None: there are others, which need an `Inward`."""
    values: list[Any] = []
    for node in nodes:
        if isinstance(node, Primitive):
            values.append(_plain(node.kind, node.value))
        elif node is None or isinstance(node, str):
            values.append(node)
        else:
            return None
    return values


def _plain(kind: Kind, value: Any) -> object:  # what a primitive's node has
    convert = _CONVERTED.get(kind)
    if convert is None:
        return value
    try:
        return convert(value)
    except (ValueError, OverflowError) as error:
        raise InvalidArguments(str(error)) from None


def _rows(items: list[Any], lengths: tuple[int, ...]) -> list[Any]:
    """Items that lie one after the other as rows in rows."""
    for length in reversed(lengths[1:]):
        items = [items[at : at + length] for at in range(0, len(items), length)] if length else []
    return items


def _put(made: dict[Any, Any], pairs: list[tuple[Any, Any]]) -> None:
    try:
        made.update(pairs)
    except TypeError as error:
        raise InvalidArguments(f"a dictionary's key cannot be one here: {error}") from None


def _enum(node: ClassNode, cls: type[enum.Enum]) -> object:
    value = node.members.get("value__")
    try:
        return cls(value.value if isinstance(value, Primitive) else None)
    except ValueError as error:
        raise InvalidArguments(f"{node.name}: {error}") from None


def _checked(instance: object, name: str, check: Callable[[object], object]) -> None:
    try:
        object.__setattr__(instance, name, check(getattr(instance, name)))
    except ValueError as error:
        text = f"{type(instance).__name__}.{name}: {str(error).splitlines()[0]}"
        raise InvalidArguments(text) from None


@functools.lru_cache(maxsize=1024)
def _fields(cls: Any) -> list[tuple[Any, tuple[str, ...], Callable[[object], object] | None]]:  # a dataclass
    """(field, its possible names in .NET, its check)."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return [(f, names_in(cls, f.name, hints[f.name]), validator(hints[f.name])) for f in dataclasses.fields(cls)]
