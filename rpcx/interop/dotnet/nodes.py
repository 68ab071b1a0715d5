"""Values as .NET Remoting says them, before they mean anything here: inert nodes.

A node is None, a str, a `Primitive`, a `ClassNode` or an `ArrayNode`. Nodes know type *names* only; nothing is
imported, looked up or called for them. They are what formatters read and write, and belong to no encoding: the binary
formatter and the SOAP formatter say the same values in their own ways. SOAP leaves out types that the receiver knows
from its declarations; what it reads has an `Untyped` there, until `rpcx.interop.dotnet.declared` puts a node in its
place.

A graph of nodes may have cycles and shared parts, as the objects it stands for.
"""

import enum
import math
from decimal import Decimal
from typing import Any, Final, TypeAlias


class Kind(enum.IntEnum):
    """The primitive types; the numbers are the binary formatter's."""

    BOOLEAN = 1
    BYTE = 2
    CHAR = 3
    DECIMAL = 5
    DOUBLE = 6
    INT16 = 7
    INT32 = 8
    INT64 = 9
    SBYTE = 10
    SINGLE = 11
    TIMESPAN = 12  # value: int, ticks of 100 ns
    DATETIME = 13  # value: int, 62 bits of ticks since the year 1 and 2 bits of kind above them
    UINT16 = 14
    UINT32 = 15
    UINT64 = 16


#: What .NET calls the primitive types.
CLR_NAMES: Final[dict[Kind, str]] = {
    Kind.BOOLEAN: "System.Boolean",
    Kind.BYTE: "System.Byte",
    Kind.CHAR: "System.Char",
    Kind.DECIMAL: "System.Decimal",
    Kind.DOUBLE: "System.Double",
    Kind.INT16: "System.Int16",
    Kind.INT32: "System.Int32",
    Kind.INT64: "System.Int64",
    Kind.SBYTE: "System.SByte",
    Kind.SINGLE: "System.Single",
    Kind.TIMESPAN: "System.TimeSpan",
    Kind.DATETIME: "System.DateTime",
    Kind.UINT16: "System.UInt16",
    Kind.UINT32: "System.UInt32",
    Kind.UINT64: "System.UInt64",
}
KINDS: Final[dict[str, Kind]] = {name: kind for kind, name in CLR_NAMES.items()}

OBJECT: Final = "System.Object"
STRING: Final = "System.String"
LARGEST_DECIMAL: Final = Decimal((1 << 96) - 1)


class Primitive:
    """A number, a truth value, a character, a time: with its width, which a Python value does not have."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: Kind, value: object) -> None:
        self.kind = kind
        self.value = value  # bool, int, float, str (CHAR) or decimal.Decimal

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Primitive):
            return NotImplemented
        return self.kind is other.kind and (self.value == other.value or (self._is_nan() and other._is_nan()))

    def __hash__(self) -> int:
        return hash((self.kind, self.value))

    def _is_nan(self) -> bool:
        return isinstance(self.value, float) and math.isnan(self.value)

    def __repr__(self) -> str:
        return f"{self.kind.name}({self.value!r})"


class ClassNode:
    """An instance: its class's name, and its fields by name. Structs and enums are instances too."""

    __slots__ = ("assembly", "inline", "members", "name")

    def __init__(
        self, name: str, members: "dict[str, Node]", assembly: str | None = None, *, inline: bool = False
    ) -> None:
        self.name = name  # of the class, generic arguments included, assembly not
        self.members = members
        self.assembly = assembly  # None: .NET's own library
        self.inline = inline  # a struct's or enum's: copied into what contains it, so it has no identity

    def __repr__(self) -> str:
        return f"<ClassNode {self.name} {', '.join(self.members)}>"


class ArrayNode:
    """An array of any rank; rows lie one after the other."""

    __slots__ = ("assembly", "element", "items", "lengths", "lower")

    def __init__(
        self,
        element: Kind | str,
        items: bytes | list[Any],  # Any: see the attribute
        lengths: tuple[int, ...] | None = None,
        *,
        assembly: str | None = None,
        lower: tuple[int, ...] | None = None,
    ) -> None:
        self.element = element  # Kind: items are plain values; else a class's name: items are nodes
        self.items: Any = items  # bytes where the element is BYTE, else a list; Any: of what the element says
        self.lengths: tuple[int, ...] = (len(items),) if lengths is None else lengths  # of each dimension
        self.assembly = assembly  # of the element's class; None: .NET's own library
        self.lower = lower  # first index of each dimension; None: 0, as everywhere but in Visual Basic

    @property
    def type_name(self) -> str:
        """What .NET calls the array's type."""
        element = CLR_NAMES[self.element] if isinstance(self.element, Kind) else self.element
        return f"{element}[{',' * (len(self.lengths) - 1)}]"

    def __repr__(self) -> str:
        return f"<ArrayNode {self.type_name} of {'x'.join(map(str, self.lengths))}>"


class Untyped:
    """A value whose type its sender left to what the receiver declares."""

    __slots__ = ("assembly", "members", "name", "text")

    def __init__(
        self,
        text: str,
        members: "dict[str, Node] | None" = None,
        *,
        name: str | None = None,
        assembly: str | None = None,
    ) -> None:
        self.text = text
        self.members = members  # None: it is a text
        self.name = name  # of the type, where that was said: an enum's, perhaps, which looks like any other
        self.assembly = assembly

    def __repr__(self) -> str:
        return f"<Untyped {self.text[:40]!r}>" if self.members is None else f"<Untyped {', '.join(self.members)}>"


Node: TypeAlias = str | Primitive | ClassNode | ArrayNode | Untyped | None


def decimal_text(value: Decimal) -> str:
    """A decimal's digits, rounded to the 28 places that .NET's has.

    Raises:
        OverflowError: it is too large.
    """
    if not value.is_finite() or value.copy_abs() > LARGEST_DECIMAL:
        raise OverflowError(f"its largest is {LARGEST_DECIMAL}")
    exponent = value.as_tuple().exponent
    places = -exponent if isinstance(exponent, int) else 0
    return f"{value:.28f}".rstrip("0").rstrip(".") if places > 28 else f"{value:f}"
