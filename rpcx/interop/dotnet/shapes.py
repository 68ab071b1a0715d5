"""What an annotation promises .NET: shapes.

A `Shape` is an annotation understood once: what .NET calls the type, and how a value becomes a node of it. Values of
no annotation (`Anything`) go by their Python type.
"""

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import functools
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.callbacks import Delegated
from rpcx.interop.dotnet.clrnames import ClrName, system
from rpcx.interop.dotnet.members import member_name
from rpcx.interop.dotnet.nodes import CLR_NAMES, OBJECT, STRING, ArrayNode, ClassNode, Kind, Node, Primitive
from rpcx.interop.dotnet.outward import Outward, Shape, shown
from rpcx.interop.dotnet.systems import array_list, date_time, dictionary, guid, hashtable, list_of, ticks_of
from rpcx.interop.dotnet.types import ClrType, Delegate, Made, type_of
from rpcx.remoting.contract import contract_of
from rpcx.remoting.proxy import Proxy


class Plain(Shape):
    """A primitive."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(system(CLR_NAMES[kind]))
        self.kind = kind

    def node(self, value: Any, out: Outward) -> Node:
        return Primitive(self.kind, self.plain(value))

    def plain(self, value: Any) -> object:
        """What stands in a node of this kind."""
        if self.kind is Kind.DATETIME:
            return date_time(value)
        if self.kind is Kind.TIMESPAN:
            return ticks_of(value)
        if self.kind in (Kind.SINGLE, Kind.DOUBLE):
            return float(value)
        if self.kind is Kind.DECIMAL:
            return decimal.Decimal(value)
        return value


class Text(Shape):
    """A string."""

    def node(self, value: Any, out: Outward) -> Node:
        if not isinstance(value, str):
            raise InvalidArguments(f"{shown(value)} is no text")
        return str(value)


class Identified(Shape):
    """A Guid."""

    def node(self, value: Any, out: Outward) -> Node:
        return guid(value if isinstance(value, uuid.UUID) else uuid.UUID(value))


class Sequential(Shape):
    """An array of one dimension, or of more, whose rows are lists of one length."""

    def __init__(self, item: Shape, rank: int = 1) -> None:
        super().__init__(item.clr._replace(ranks=(*item.clr.ranks, rank)))
        self.item = item
        self.rank = rank

    def node(self, value: Any, out: Outward) -> Node:
        return out.once(value, self, lambda: self._array(value, out))

    def _array(self, value: Any, out: Outward) -> ArrayNode:
        lengths: tuple[int, ...] = (len(value),)
        flat = list(value)
        for _ in range(self.rank - 1):
            inner = {len(row) for row in flat}
            if len(inner) > 1:
                raise InvalidArguments(f"rows of an array of {self.rank} dimensions differ in length")
            lengths = (*lengths, inner.pop() if inner else 0)
            flat = [item for row in flat for item in row]
        if isinstance(self.item, Plain):
            items: Any = value if self.item.kind is Kind.BYTE and isinstance(value, bytes) else None
            items = items if items is not None else [self.item.plain(item) for item in flat]
            return ArrayNode(self.item.kind, bytes(items) if self.item.kind is Kind.BYTE else items, lengths)
        element, assembly = str(self.item.clr), outer_assembly(self.item.clr)
        node = ArrayNode(element, [], lengths, assembly=assembly)
        out.later(lambda: node.items.extend(out.inner(item, self.item) for item in flat))
        return node


class Listed(Shape):
    """A ``List<T>``."""

    def __init__(self, item: Shape) -> None:
        super().__init__(system("System.Collections.Generic.List`1")._replace(args=(item.clr,)))
        self.items = Sequential(item)

    def node(self, value: Any, out: Outward) -> Node:
        return out.once(value, self, lambda: list_of(str(self.clr), self.items.node(list(value), out), len(value)))


class Mapped(Shape):
    """A ``Dictionary<K, V>``."""

    def __init__(self, key: Shape, value: Shape) -> None:
        super().__init__(system("System.Collections.Generic.Dictionary`2")._replace(args=(key.clr, value.clr)))
        self.key = key
        self.value = value

    def node(self, value: Any, out: Outward) -> Node:
        return out.once(value, self, lambda: self._dictionary(value, out))

    def _dictionary(self, value: Mapping[Any, Any], out: Outward) -> ClassNode:
        pairs: list[tuple[Node, Node]] = [
            (out.inner(key, self.key), out.inner(item, self.value)) for key, item in value.items()
        ]
        comparable = isinstance(self.key, Plain | Text | Identified)
        return dictionary(self.clr.args, pairs, comparable=comparable)


class Untyped(Shape):
    """A Hashtable or an ArrayList."""

    def node(self, value: Any, out: Outward) -> Node:
        return out.once(value, self, lambda: self._made(value, out))

    def _made(self, value: Any, out: Outward) -> Node:
        if isinstance(value, Mapping):
            keys = [out.inner(key, ANYTHING) for key in value]
            return hashtable(keys, [out.inner(item, ANYTHING) for item in value.values()])
        return array_list([out.inner(item, ANYTHING) for item in value])


class Enumerated(Shape):
    """An enum."""

    def __init__(self, declared: ClrType) -> None:
        super().__init__(declared.name)
        self._kind = declared.underlying
        self._cls = declared.cls

    def node(self, value: Any, out: Outward) -> Node:
        member = self._cls(value)
        members: dict[str, Node] = {"value__": Primitive(self._kind, member.value)}
        return ClassNode(str(self.clr), members, outer_assembly(self.clr), inline=True)


class Instance(Shape):
    """A dataclass: a .NET class or struct, field by field. Another class that was mapped goes as what it is."""

    def __init__(self, declared: ClrType) -> None:
        super().__init__(declared.name)
        self.struct = declared.struct
        self._declared = declared

    def node(self, value: Any, out: Outward) -> Node:
        if type(value) is not self._declared.cls:
            return ANYTHING.node(value, out)
        if self._declared.struct:
            return self._begun(value, out)
        return out.once(value, self, lambda: self._begun(value, out))

    def _begun(self, value: Any, out: Outward) -> ClassNode:
        node = ClassNode(str(self.clr), {}, outer_assembly(self.clr), inline=self._declared.struct)
        fields = fields_of(self._declared.cls)
        if self._declared.struct:
            node.members = {clr: out.inner(getattr(value, name), shape) for name, clr, shape in fields}
        else:
            node.members = dict.fromkeys(clr for _, clr, _ in fields)
            out.later(lambda: self._fill(node, value, fields, out))
        return node

    def _fill(self, node: ClassNode, value: Any, fields: Sequence[tuple[str, str, Shape]], out: Outward) -> None:
        for name, clr, shape in fields:
            node.members[clr] = out.inner(getattr(value, name), shape)


class Remote(Shape):
    """A remote class: its instances go by reference, and so do proxies."""

    def node(self, value: Any, out: Outward) -> Node:
        node = out.refer(value)
        if node is None:
            raise InvalidArguments(f"{shown(value)} is no remote object of a class with @dotnet.type")
        return node


class Anything(Shape):
    """No annotation: a value goes by what it is."""

    def node(self, value: Any, out: Outward) -> Node:
        if isinstance(value, str | Primitive | ClassNode | ArrayNode) and type(value) in _READY:
            return value
        shape = _of_value(value)
        if shape is not None:
            return shape.node(value, out)
        node = out.refer(value)
        if node is None:
            if callable(value):
                raise InvalidArguments(
                    "a function cannot go to .NET: say as which delegate, by annotating the parameter with "
                    'Annotated[Callable[...], dotnet.Delegate("Namespace.Name", assembly="...")]'
                )
            raise InvalidArguments(
                f"a {type(value).__module__}.{type(value).__qualname__} cannot go to .NET: "
                'say which type it is there, with @dotnet.type("Namespace.Name", assembly="...")'
            )
        return node


_READY: Final = frozenset({str, Primitive, ClassNode, ArrayNode})
ANYTHING: Final = Anything(system(OBJECT))
_ARRAY_LIST: Final = Untyped(system(Made.LIST.value))
_HASHTABLE: Final = Untyped(system(Made.TABLE.value))
_OBJECTS: Final = Sequential(ANYTHING)

_PLAIN: Final[dict[Any, Shape]] = {
    int: Plain(Kind.INT32),
    float: Plain(Kind.DOUBLE),
    bool: Plain(Kind.BOOLEAN),
    str: Text(system(STRING)),
    bytes: Sequential(Plain(Kind.BYTE)),
    bytearray: Sequential(Plain(Kind.BYTE)),
    decimal.Decimal: Plain(Kind.DECIMAL),
    datetime.datetime: Plain(Kind.DATETIME),
    datetime.timedelta: Plain(Kind.TIMESPAN),
    uuid.UUID: Identified(system("System.Guid")),
    list: _OBJECTS,
    tuple: _OBJECTS,
    dict: _HASHTABLE,
}
_MADE: Final[dict[Made, Shape]] = {Made.LIST: _ARRAY_LIST, Made.TABLE: _HASHTABLE}
_RANKS: Final = {Made.ARRAY: 1, Made.ARRAY_2D: 2, Made.ARRAY_3D: 3}
_INT32: Final = range(-(2**31), 2**31)


def _of_value(value: object) -> Shape | None:
    """By the type of a value; None: it may be a remote object."""
    kind = type(value)
    if kind is int and value not in _INT32:
        return Plain(Kind.INT64 if -(2**63) <= value < 2**63 else Kind.UINT64)  # type: ignore[operator]  # an int
    return _PLAIN.get(kind) or _of_class(kind)


@functools.lru_cache(maxsize=4096)
def shape_of(hint: Any) -> Shape:  # any annotation
    """The shape of an annotation; what is not understood goes by its values."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _annotated(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    args = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        return _optional(shape_of(rest[0])) if len(rest) == 1 else ANYTHING
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable):
        return Listed(shape_of(args[0]))
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return Sequential(shape_of(args[0]))
    if origin in (dict, collections.abc.Mapping):
        return Mapped(shape_of(args[0]), shape_of(args[1]))
    return (_of_class(hint) if isinstance(hint, type) else None) or ANYTHING


def _annotated(hint: Any) -> Shape:
    inner, *marks = typing.get_args(hint)
    for mark in marks:
        if isinstance(mark, Kind):
            return Plain(mark)
        if isinstance(mark, Delegate):
            return Delegated(mark, inner)
        if mark in _RANKS:
            item = inner
            for _ in range(_RANKS[mark]):
                (item,) = typing.get_args(item)
            return Sequential(shape_of(item), _RANKS[mark])
        if isinstance(mark, Made) and mark in _MADE:
            return _MADE[mark]
    return shape_of(inner)


def _optional(shape: Shape) -> Shape:
    """A value that may be missing. Only its name differs, and that only for what is no class there."""
    struct = isinstance(shape, Plain | Identified | Enumerated) or (isinstance(shape, Instance) and shape.struct)
    if not struct:
        return shape
    made = _Nullable(system("System.Nullable`1")._replace(args=(shape.clr,)))
    made.shape = shape
    return made


class _Nullable(Shape):
    shape: Shape

    def node(self, value: Any, out: Outward) -> Node:
        return self.shape.node(value, out)


def _of_class(cls: type) -> Shape | None:
    declared = type_of(cls)
    if issubclass(cls, Proxy):
        return None
    if contract_of(cls) is not None:
        return Remote(declared.name if declared is not None else system("System.MarshalByRefObject"))
    if declared is None:
        return None
    if issubclass(cls, enum.Enum):
        return Enumerated(declared)
    if dataclasses.is_dataclass(cls) and declared.cls is cls:
        return Instance(declared)
    return None


@functools.lru_cache(maxsize=1024)
def fields_of(cls: type) -> list[tuple[str, str, Shape]]:
    """A dataclass's fields: (name here, name in .NET, shape)."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return [
        (field.name, member_name(cls, field.name, hints[field.name]), shape_of(hints[field.name]))
        for field in dataclasses.fields(cls)
    ]


def outer_assembly(clr: ClrName) -> str | None:
    """The library that a record of this type names; None: .NET's own."""
    return None if clr.assembly.startswith("mscorlib,") else clr.assembly
