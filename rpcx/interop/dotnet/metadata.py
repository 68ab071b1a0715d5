"""What a .NET assembly says about its types, read from its metadata with `dnfile`; nothing of it is run."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from rpcx.interop.dotnet.clrnames import ClrName
from rpcx.interop.dotnet.nodes import CLR_NAMES, KINDS, OBJECT, STRING, Kind
from rpcx.interop.dotnet.records import FIXED

#: Element types of signatures (ECMA-335 II.23.1.16) that stand for a type by themselves.
SIMPLE: Final = {
    0x01: "System.Void", 0x02: CLR_NAMES[Kind.BOOLEAN], 0x03: CLR_NAMES[Kind.CHAR], 0x04: CLR_NAMES[Kind.SBYTE],
    0x05: CLR_NAMES[Kind.BYTE], 0x06: CLR_NAMES[Kind.INT16], 0x07: CLR_NAMES[Kind.UINT16],
    0x08: CLR_NAMES[Kind.INT32], 0x09: CLR_NAMES[Kind.UINT32], 0x0A: CLR_NAMES[Kind.INT64],
    0x0B: CLR_NAMES[Kind.UINT64], 0x0C: CLR_NAMES[Kind.SINGLE], 0x0D: CLR_NAMES[Kind.DOUBLE], 0x0E: STRING,
    0x18: "System.IntPtr", 0x19: "System.UIntPtr", 0x1C: OBJECT,
}  # fmt: skip
ENUM: Final = "System.Enum"
POINTER: Final = 0x0F
BYREF, VALUE, CLASS, VAR, ARRAY, GENERIC, VECTOR, METHOD_VAR = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x1D, 0x1E
MODIFIERS: Final = (0x1F, 0x20)  # each with a type that says nothing to us
DEEPEST: Final = 32  # types in types


@dataclass(slots=True)
class Param:
    """A parameter."""

    name: str
    type: ClrName
    out: bool = False  # it only comes back


@dataclass(slots=True)
class MethodInfo:
    """A public instance method."""

    name: str
    params: list[Param]
    result: ClrName
    oneway: bool = False


class FieldInfo(NamedTuple):
    """A field that travels."""

    name: str
    type: ClrName
    private: bool = False


@dataclass(slots=True)
class TypeInfo:
    """A public type."""

    name: str  # with its namespace
    base: str = ""  # its class's name; empty: an interface
    interface: bool = False
    serializable: bool = False
    interfaces: list[str] = field(default_factory=list)  # that an interface extends, all of them
    fields: list[FieldInfo] = field(default_factory=list)
    values: list[tuple[str, int]] = field(default_factory=list)  # of an enum
    methods: list[MethodInfo] = field(default_factory=list)


def read_assembly(path: Path) -> tuple[str, list[TypeInfo]]:
    """The name of an assembly, and its public types.

    Raises:
        ValueError: it is none.
        ModuleNotFoundError: `dnfile` is not installed.
    """
    import dnfile

    opened: Any = dnfile.dnPE  # Any: its annotations do not reach as far as its tables
    try:
        tables = opened(str(path)).net.mdtables
        return str(tables.Assembly.rows[0].Name), _Reading(tables).types()
    except Exception as error:  # noqa: BLE001  # whatever a broken file provokes in a parser
        raise ValueError(f"{path} is no .NET assembly: {error}") from None


class _Reading:
    def __init__(self, tables: Any) -> None:
        self._tables = tables
        constants = tables.Constant.rows if tables.Constant is not None else []
        self._constants = {
            row.Parent.row_index: (row.Type, row.Value.value)
            for row in constants if type(row.Parent.row).__name__ == "FieldRow"
        }  # fmt: skip
        self._extended: dict[int, list[str]] = {}  # names of interfaces by the number of a type
        for row in tables.InterfaceImpl.rows if tables.InterfaceImpl is not None else []:
            self._extended.setdefault(row.Class.row_index, []).append(_full_name(row.Interface.row))
        attributes = tables.CustomAttribute.rows if tables.CustomAttribute is not None else []
        self._oneway = {
            row.Parent.row_index
            for row in attributes
            if type(row.Parent.row).__name__ == "MethodDefRow" and _attribute(row) == "OneWayAttribute"
        }

    def types(self) -> list[TypeInfo]:
        rows = enumerate(self._tables.TypeDef.rows, 1)
        return [self._type(row, self._extended.get(number, [])) for number, row in rows if row.Flags.tdPublic]

    def _type(self, row: Any, extended: list[str]) -> TypeInfo:
        interface = row.Flags.tdInterface
        base = _full_name(row.Extends.row) if not interface and row.Extends.row_index else ""
        made = TypeInfo(_full_name(row), base, interface, row.Flags.tdSerializable, extended if interface else [])
        for index in row.FieldList:
            flags, name = index.row.Flags, str(index.row.Name)
            if flags.fdLiteral:  # elsewhere a constant of any type, which does not travel
                if base == ENUM and index.row_index in self._constants:
                    made.values.append((name, _number(*self._constants[index.row_index])))
            elif not flags.fdStatic and not flags.fdNotSerialized:
                clr = _Signature(self._tables, index.row.Signature.value).field()
                made.fields.append(FieldInfo(name, clr, bool(flags.fdPrivate)))
        for index in row.MethodList:
            if index.row.Flags.mdPublic and not index.row.Flags.mdStatic:
                made.methods.append(self._method(index))
        return made

    def _method(self, index: Any) -> MethodInfo:
        row = index.row
        result, types = _Signature(self._tables, row.Signature.value).method()
        named = {param.row.Sequence: param.row for param in row.ParamList}
        params = []
        for number, clr in enumerate(types, 1):
            told = named.get(number)
            name = str(told.Name) if told is not None else f"arg{number}"
            params.append(Param(name, clr, bool(told is not None and told.Flags.pdOut and clr.byref)))
        return MethodInfo(str(row.Name), params, result, oneway=index.row_index in self._oneway)


class _Signature:
    """Reads the types in a signature (ECMA-335 II.23.2)."""

    def __init__(self, tables: Any, data: bytes) -> None:
        self._tables = tables
        self._data = data
        self._at = 0

    def field(self) -> ClrName:
        self._at = 1  # that it is a field's
        return self._type(0)

    def method(self) -> tuple[ClrName, list[ClrName]]:
        generic = self._data[0] & 0x10
        self._at = 1
        if generic:
            self._number()
        count = self._number()
        return self._type(0), [self._type(0) for _ in range(count)]

    def _number(self) -> int:
        """A compressed number: one, two or four bytes."""
        first = self._data[self._at]
        size = 1 if first < 0x80 else 2 if first < 0xC0 else 4
        value = int.from_bytes(self._data[self._at : self._at + size], "big")
        self._at += size
        return value & (0x7F, 0x3FFF, 0, 0x1FFFFFFF)[size - 1]

    def _type(self, depth: int) -> ClrName:
        if depth > DEEPEST:
            raise ValueError(f"types are nested deeper than {DEEPEST}")
        code = self._number()
        while code in MODIFIERS:
            self._number()
            code = self._number()
        if code in SIMPLE:
            return ClrName(SIMPLE[code])
        if code in (VALUE, CLASS):
            return ClrName(self._named())
        if code == BYREF:
            return self._type(depth + 1)._replace(byref=True)
        if code == VECTOR:
            item = self._type(depth + 1)
            return item._replace(ranks=(*item.ranks, 1))
        if code == GENERIC:
            self._number()  # class or struct
            name, count = self._named(), self._number()
            return ClrName(name, tuple(self._type(depth + 1) for _ in range(count)))
        if code == ARRAY:
            return self._array(depth)
        if code == POINTER:
            self._type(depth + 1)
        if code in (VAR, METHOD_VAR):
            self._number()
        return ClrName(OBJECT)  # pointers, type parameters: nothing that travels

    def _array(self, depth: int) -> ClrName:
        item, rank = self._type(depth + 1), self._number()
        for _ in range(2):  # sizes and lower bounds: not part of what travels
            for _ in range(self._number()):
                self._number()
        return item._replace(ranks=(*item.ranks, rank))

    def _named(self) -> str:
        token = self._number()
        table = (self._tables.TypeDef, self._tables.TypeRef, self._tables.TypeSpec)[token & 3]
        return _full_name(table.rows[(token >> 2) - 1])


def _full_name(row: Any) -> str:
    space, name = str(getattr(row, "TypeNamespace", "") or ""), str(getattr(row, "TypeName", "") or OBJECT)
    return f"{space}.{name}" if space else name


def _attribute(row: Any) -> str:
    owner = getattr(row.Type.row, "Class", None)
    return str(getattr(getattr(owner, "row", None), "TypeName", ""))


def _number(code: int, data: bytes) -> int:
    kind = KINDS[SIMPLE[code]]
    return int(struct.unpack(FIXED[kind].format, data[: FIXED[kind].size])[0])
