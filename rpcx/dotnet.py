"""What a program says to .NET: names of types, widths of numbers.

from rpcx import dotnet

@dotnet.type("RemoteObjectDef", assembly="shared")
@rpcx.singleton("RemoteObjectURL")
class RemoteObjectDef:
    def set_value(self, value: str) -> None: ...     # SetValue to .NET

host.listen("dotnet+tcp://127.0.0.1:1233/app")
"""

from rpcx.interop.dotnet.nodes import Kind
from rpcx.interop.dotnet.types import (
    Array,
    Array2D,
    Array3D,
    ArrayList,
    Boolean,
    Byte,
    Char,
    DateTime,
    Decimal,
    Delegate,
    Double,
    Guid,
    Hashtable,
    Int16,
    Int32,
    Int64,
    Member,
    Out,
    Ref,
    SByte,
    Single,
    TimeSpan,
    UInt16,
    UInt32,
    UInt64,
    name,
)
from rpcx.interop.dotnet.types import type_ as type  # noqa: A004  # read as dotnet.type

__all__ = [
    "Array", "Array2D", "Array3D", "ArrayList", "Boolean", "Byte", "Char", "DateTime", "Decimal", "Delegate", "Double",
    "Guid", "Hashtable", "Int16", "Int32", "Int64", "Kind", "Member", "Out", "Ref", "SByte", "Single", "TimeSpan",
    "UInt16", "UInt32", "UInt64", "name", "type",
]  # fmt: skip
