"""Types of .NET's own library that have a counterpart here: times, Guid, collections, as their fields on the wire.

A time is a count of ticks of 100 ns, of which Python's types keep whole microseconds; what is finer is cut off.
"""

import datetime
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from rpcx.interop.dotnet.clrnames import ClrName, system
from rpcx.interop.dotnet.nodes import OBJECT, ArrayNode, ClassNode, Kind, Node, Primitive

DAY_TICKS: Final = 864_000_000_000
TICK_BITS: Final = (1 << 62) - 1
UTC_KIND: Final = 1  # of a DateTime; 0: not said, 2 and 3: local
SMALLEST_CAPACITY: Final = 4  # of an ArrayList

_EPOCH: Final = datetime.datetime(1, 1, 1)  # noqa: DTZ001  # a .NET time need not have a zone
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
_GUID_PARTS: Final = (
    ("_a", Kind.INT32), ("_b", Kind.INT16), ("_c", Kind.INT16), ("_d", Kind.BYTE), ("_e", Kind.BYTE),
    ("_f", Kind.BYTE), ("_g", Kind.BYTE), ("_h", Kind.BYTE), ("_i", Kind.BYTE), ("_j", Kind.BYTE), ("_k", Kind.BYTE),
)  # fmt: skip

#: The members of .NET's own classes that are primitives, by name of the class: as it declares them.
FIELDS: Final[dict[str, dict[str, Kind]]] = {
    "System.Guid": dict(_GUID_PARTS),
    "System.DateTime": {"ticks": Kind.INT64, "dateData": Kind.UINT64},
    "System.TimeSpan": {"_ticks": Kind.INT64},
    "System.Decimal": dict.fromkeys(("flags", "hi", "lo", "mid"), Kind.INT32),
    "System.UnitySerializationHolder": {"UnityType": Kind.INT32},
    "System.Collections.ArrayList": dict.fromkeys(("_size", "_version"), Kind.INT32),
    "System.Collections.Generic.List`1": dict.fromkeys(("_size", "_version"), Kind.INT32),
    "System.Collections.Generic.Dictionary`2": dict.fromkeys(("Version", "HashSize"), Kind.INT32),
    "System.Collections.Hashtable": {"LoadFactor": Kind.SINGLE, "Version": Kind.INT32, "HashSize": Kind.INT32},
    "System.Runtime.Remoting.ObjRef": dict.fromkeys(("objrefFlags", "fIsMarshalled"), Kind.INT32),
    "System.Runtime.Remoting.Channels.CrossAppDomainData": {"_DomainID": Kind.INT32},
}
EXCEPTION: Final[dict[str, Kind]] = {"RemoteStackIndex": Kind.INT32, "HResult": Kind.INT32}  # of every exception
_SIZES: Final = {Kind.INT32: 4, Kind.INT16: 2, Kind.BYTE: 1}


# --- times ------------------------------------------------------------------------------------------------------


def date_time(value: datetime.datetime) -> int:
    """A DateTime's bits: without a zone its kind is unspecified, else it goes as UTC."""
    kind = 0
    if value.tzinfo is not None:
        value, kind = value.astimezone(datetime.UTC).replace(tzinfo=None), UTC_KIND
    return (value - _EPOCH) // _MICROSECOND * 10 | kind << 62


def datetime_of(bits: int) -> datetime.datetime:
    """The time of a DateTime's bits: UTC with a zone, else without (.NET does not say which zone is local).

    Raises:
        ValueError: it is after the year 9999.
    """
    try:
        value = _EPOCH + datetime.timedelta(microseconds=(bits & TICK_BITS) // 10)
    except OverflowError as error:
        raise ValueError(f"no DateTime: {error}") from None
    return value.replace(tzinfo=datetime.UTC) if bits >> 62 == UTC_KIND else value


def ticks_of(value: datetime.timedelta) -> int:
    """A TimeSpan's ticks."""
    return value // _MICROSECOND * 10


def timedelta_of(ticks: int) -> datetime.timedelta:
    """The duration of so many ticks."""
    return datetime.timedelta(microseconds=ticks // 10)


# --- values -----------------------------------------------------------------------------------------------------


def guid(value: uuid.UUID) -> ClassNode:
    """A Guid's node."""
    data, at = value.bytes_le, 0
    members: dict[str, Node] = {}
    for name, kind in _GUID_PARTS:
        size = _SIZES[kind]
        number = int.from_bytes(data[at : at + size], "little", signed=kind is not Kind.BYTE)
        members[name] = Primitive(kind, number)
        at += size
    return ClassNode("System.Guid", members, inline=True)


def uuid_of(node: ClassNode) -> uuid.UUID:
    """The UUID of a Guid's node.

    Raises:
        ValueError: it has not the fields of one.
    """
    data = b""
    for name, kind in _GUID_PARTS:
        part = node.members.get(name)
        if not isinstance(part, Primitive) or part.kind is not kind:
            raise ValueError(f"a Guid without {name}")
        data += int(part.value).to_bytes(_SIZES[kind], "little", signed=kind is not Kind.BYTE)  # type: ignore[call-overload]  # an int
    return uuid.UUID(bytes_le=data)


def decimal_of(node: ClassNode) -> Decimal:
    """The number of a Decimal that came as its fields: 96 bits, and where the point is.

    Raises:
        ValueError: it has not the fields of one.
    """
    flags, high, low, middle = (number_of(node, name) for name in ("flags", "hi", "lo", "mid"))
    mantissa = (high & 0xFFFFFFFF) << 64 | (middle & 0xFFFFFFFF) << 32 | low & 0xFFFFFFFF
    return Decimal((int(flags < 0), tuple(map(int, str(mantissa))), -(flags >> 16 & 0xFF)))


def number_of(node: ClassNode, name: str) -> int:
    """An integer among a node's members.

    Raises:
        ValueError: there is none.
    """
    value = node.members.get(name)
    if not isinstance(value, Primitive) or not isinstance(value.value, int):
        raise ValueError(f"a {node.name} whose {name} is no integer")  # noqa: TRY004  # ValueErrors are what its callers expect
    return value.value


# --- collections ------------------------------------------------------------------------------------------------


def list_of(name: str, items: Node, size: int) -> ClassNode:
    """A ``List<T>``."""
    return ClassNode(name, {"_items": items, "_size": _int32(size), "_version": _int32(0)})


def array_list(items: list[Node]) -> ClassNode:
    """An ArrayList."""
    slack: list[Node] = [None] * max(0, SMALLEST_CAPACITY - len(items))
    return list_of("System.Collections.ArrayList", ArrayNode(OBJECT, items + slack), len(items))


def dictionary(types: Sequence[ClrName], pairs: list[tuple[Node, Node]], *, comparable: bool) -> ClassNode:
    """A ``Dictionary<K, V>``. Its comparer is a part of it, and may not be missing."""
    comparer = system(f"System.Collections.Generic.{'Generic' if comparable else 'Object'}EqualityComparer`1")
    pair = system("System.Collections.Generic.KeyValuePair`2")._replace(args=tuple(types))
    members: dict[str, Node] = {
        "Version": _int32(0),
        "Comparer": ClassNode(str(comparer._replace(args=(types[0],))), {}),
        "HashSize": _int32(_capacity(len(pairs))),
    }
    if pairs:
        items = [ClassNode(str(pair), {"key": key, "value": value}, inline=True) for key, value in pairs]
        members["KeyValuePairs"] = ArrayNode(str(pair), items)
    name = system("System.Collections.Generic.Dictionary`2")._replace(args=tuple(types))
    return ClassNode(str(name), members)


def hashtable(keys: list[Node], values: list[Node]) -> ClassNode:
    """A Hashtable."""
    members: dict[str, Node] = {
        "LoadFactor": Primitive(Kind.SINGLE, 0.72),
        "Version": _int32(0),
        "Comparer": None,
        "HashCodeProvider": None,
        "HashSize": _int32(_capacity(len(keys)) or 3),
        "Keys": ArrayNode(OBJECT, keys),
        "Values": ArrayNode(OBJECT, values),
    }
    return ClassNode("System.Collections.Hashtable", members)


def _int32(value: int) -> Primitive:
    return Primitive(Kind.INT32, value)


def _capacity(count: int) -> int:
    """Buckets for so many entries: an odd number is enough, .NET looks for a prime itself."""
    return count * 2 + 1 if count else 0
