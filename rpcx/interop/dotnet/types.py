"""What a program says about .NET: widths of numbers, kinds of arrays, and which class is which.

    @dotnet.type("Shop.Order", assembly="shop")
    @dataclass
    class Order:
        number: dotnet.Int64
        lines: dotnet.Array[str]

A width is an annotation (`Int64` is an int to Python and to type checkers); what is not annotated so is the usual
one: int is Int32, float is Double, list is List<T>, tuple[T, ...] is T[], dict is Dictionary<K, V>.
"""

import datetime
import decimal
import enum
import inspect
import uuid
import weakref
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from rpcx.interop.dotnet.clrnames import ClrName, full_assembly, pascal
from rpcx.interop.dotnet.clrnames import parse as parse_name
from rpcx.interop.dotnet.nodes import Kind
from rpcx.remoting.contract import Method, MethodKind

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])  # Any: a class decorator does not care for what it is of
F = TypeVar("F", bound=Callable[..., Any])  # Any: decorators keep whatever signature they meet

CLR_TYPE: Final = "__dotnet_type__"  # attribute of a class: its ClrType
CLR_NAME: Final = "__dotnet_name__"  # attribute of a function: what .NET calls it


class Made(enum.Enum):
    """What an annotation says beside the Python type."""

    ARRAY = "an array"
    ARRAY_2D = "an array of two dimensions"
    ARRAY_3D = "an array of three dimensions"
    LIST = "System.Collections.ArrayList"
    TABLE = "System.Collections.Hashtable"
    OUT = "a parameter that only comes back"
    REF = "a parameter that goes and comes back"


Byte = Annotated[int, Kind.BYTE]
SByte = Annotated[int, Kind.SBYTE]
Int16 = Annotated[int, Kind.INT16]
Int32 = Annotated[int, Kind.INT32]
Int64 = Annotated[int, Kind.INT64]
UInt16 = Annotated[int, Kind.UINT16]
UInt32 = Annotated[int, Kind.UINT32]
UInt64 = Annotated[int, Kind.UINT64]
Single = Annotated[float, Kind.SINGLE]
Double = Annotated[float, Kind.DOUBLE]
Char = Annotated[str, Kind.CHAR]
Boolean = Annotated[bool, Kind.BOOLEAN]
Decimal = Annotated[decimal.Decimal, Kind.DECIMAL]
DateTime = Annotated[datetime.datetime, Kind.DATETIME]
TimeSpan = Annotated[datetime.timedelta, Kind.TIMESPAN]
Guid = uuid.UUID

Array = Annotated[list[T], Made.ARRAY]  # Array[Int32] is int[]
Array2D = Annotated[list[list[T]], Made.ARRAY_2D]  # int[,]: rows of one length
Array3D = Annotated[list[list[list[T]]], Made.ARRAY_3D]  # int[,,]
ArrayList = Annotated[list[Any], Made.LIST]
Hashtable = Annotated[dict[Any, Any], Made.TABLE]

Out = Annotated[T | None, Made.OUT]  # Out[Int32]: the caller leaves it away; it comes back in the result's tuple
Ref = Annotated[T, Made.REF]


class Member:
    """What .NET calls a field: ``name: Annotated[str, dotnet.Member("m_name")]``.

    Args:
        name: there.
        private: it is private there. Of a class that others derive from, .NET then writes it with the class's name.
    """

    __slots__ = ("name", "private")

    def __init__(self, name: str, *, private: bool = False) -> None:
        self.name = name
        self.private = private

    def __repr__(self) -> str:
        return f"Member({self.name!r})"


class Delegate:
    """Which delegate a function is: ``Annotated[Callable[[str], None], dotnet.Delegate("Shop.Heard", assembly="s")]``.

    Args:
        name: the delegate's type.
        assembly: where it lives; needed for functions of this side's.
        through: a method that fits, of a MarshalByRefObject that the server has: ``Shop.Ear.OnHeard``, or
            ``Shop.Ear.OnHeard, shop`` if its assembly is another. The server takes a function for that method.
            Not needed for methods of objects whose class has ``@dotnet.type``.
    """

    __slots__ = ("name", "through")

    def __init__(self, name: str, /, *, assembly: str = "", through: str | None = None) -> None:
        parsed = parse_name(name)
        self.name = parsed._replace(assembly=full_assembly(assembly or parsed.assembly))
        self.through = _method(through, self.name.assembly) if through is not None else None

    def __repr__(self) -> str:
        return f"Delegate({str(self.name)!r})"


def _method(text: str, assembly: str) -> tuple[ClrName, str]:
    """``Shop.Ear.OnHeard, shop`` as a class and what it has."""
    path, _, other = text.partition(",")
    cls, _, method = path.strip().rpartition(".")
    if not cls or not method:
        raise ValueError(f"{text!r} is no method of a class: Namespace.Class.Method")
    return parse_name(cls)._replace(assembly=full_assembly(other.strip() or assembly)), method


Members = Literal["fields", "properties"]


class ClrType:
    """Which .NET type a Python class stands for."""

    def __init__(
        self,
        cls: type,
        name: ClrName,
        *,
        struct: bool,
        members: Members,
        underlying: Kind,
        implements: tuple[ClrName, ...],
    ) -> None:
        self.cls = cls
        self.name = name
        self.struct = struct  # copied into what contains it, as enums are
        self.members = members  # whether fields of the Python class are fields or automatic properties there
        self.underlying = underlying  # an enum's type
        self.implements = implements  # interfaces that a remote class has there besides

    @classmethod
    def of_remote(cls, own: type, name: ClrName) -> "ClrType":
        """What a remote class of ours is to .NET, without being what that name means here."""
        return cls(own, name, struct=False, members="fields", underlying=Kind.INT32, implements=())

    def __repr__(self) -> str:
        return f"<ClrType {self.name} = {self.cls.__name__}>"


_PREFIXES: Final = {MethodKind.GET: "get_", MethodKind.SET: "set_"}
_TYPES: Final[weakref.WeakValueDictionary[str, ClrType]] = weakref.WeakValueDictionary()


def type_(
    name: str,
    /,
    *,
    assembly: str = "",
    struct: bool = False,
    members: Members = "fields",
    underlying: Kind | None = None,
    implements: Sequence[str] = (),
) -> Callable[[C], C]:
    """This Python class stands for the .NET type ``name``.

    For remote classes (the type derives from MarshalByRefObject, or is an interface), dataclasses, enums and
    exceptions. The last class of a name counts.

    Args:
        name: with its namespace: ``Shop.Order``; generic arguments in brackets, as .NET writes them.
        assembly: where it lives there; needed for what is sent. ``shop``, or with version, culture and key.
        struct: it is a struct there, not a class.
        members: "fields": a dataclass's fields are fields there, of the same name; "properties": they are
            properties with ``{ get; set; }``. `Member` says otherwise for a single one.
        underlying: an enum's type, if it is not Int32: ``Kind.BYTE``.
        implements: interfaces of a remote class, as ``Shop.IOrder, shop``.

    Raises:
        TypeError: used without parentheses.
        ValueError: no name of a type.
    """
    if not isinstance(name, str):
        raise TypeError('@dotnet.type("Namespace.Name", assembly="...") needs the name of the .NET type')
    parsed = parse_name(name)
    qualified = parsed._replace(assembly=full_assembly(assembly or parsed.assembly))
    interfaces = tuple(_qualified(interface) for interface in implements)

    def decorate(cls: C) -> C:
        made = ClrType(
            cls, qualified, struct=struct or issubclass(cls, enum.Enum), members=members,
            underlying=underlying or Kind.INT32, implements=interfaces,
        )  # fmt: skip
        setattr(cls, CLR_TYPE, made)
        _TYPES[qualified.bare] = made
        return cls

    return decorate


def _qualified(text: str) -> ClrName:
    name = parse_name(text)
    return name._replace(assembly=full_assembly(name.assembly))


def name(clr: str, /) -> Callable[[F], F]:
    """What .NET calls this method, where that is not its name with capitals.

    Methods with the same one are overloads, told apart by their annotations.
    """

    def decorate(function: F) -> F:
        function.__dict__[CLR_NAME] = clr
        return function

    return decorate


def clr_name(method: Method) -> str:
    """What .NET calls ``method``."""
    given = getattr(inspect.unwrap(method.function), CLR_NAME, None)
    name = given or pascal(method.name.partition(".")[0])
    prefix = _PREFIXES.get(method.kind, "")
    return str(name) if given and given.startswith(prefix) and prefix else f"{prefix}{name}"


def type_of(cls: object) -> ClrType | None:
    """Which .NET type ``cls`` stands for; None if nobody said."""
    return getattr(cls, CLR_TYPE, None) if isinstance(cls, type) else None


def find(clr: ClrName) -> ClrType | None:
    """The class that stands for a .NET type, whatever assembly it names; None: nobody said."""
    return _TYPES.get(clr.bare)
