"""The binary formatter's numbers: records, types of members, kinds of arrays, flags of messages.

The format is published as [MS-NRBF]. All integers are little-endian; a string is its length in bytes, seven
bits to a byte, and UTF-8.
"""

import struct
from enum import IntEnum
from typing import Final

from rpcx.interop.dotnet.nodes import Kind


class Record(IntEnum):
    """The first byte of each record."""

    HEADER = 0
    CLASS_WITH_ID = 1  # the layout of an earlier instance
    SYSTEM_CLASS = 4  # of .NET's own library, with its layout
    CLASS = 5  # of another library
    STRING = 6
    ARRAY = 7  # of any rank and element type
    TYPED = 8  # a primitive where an object was expected
    REFERENCE = 9
    NULL = 10
    END = 11
    LIBRARY = 12
    NULLS_256 = 13  # up to 255 nulls in a row
    NULLS = 14
    PRIMITIVES = 15  # arrays of one dimension
    OBJECTS = 16
    STRINGS = 17
    CALL = 21
    RETURN = 22


class Member(IntEnum):
    """What a class record says about a member before its value."""

    PRIMITIVE = 0
    STRING = 1
    OBJECT = 2
    SYSTEM_CLASS = 3
    CLASS = 4
    OBJECTS = 5
    STRINGS = 6
    PRIMITIVES = 7


class Shape(IntEnum):
    """The kinds of arrays; the latter three say where each dimension begins."""

    SINGLE = 0
    JAGGED = 1
    RECTANGULAR = 2
    SINGLE_OFFSET = 3
    JAGGED_OFFSET = 4
    RECTANGULAR_OFFSET = 5


class Flag:
    """What a call or return carries, and where. Numbers: `enum.IntFlag` would take a fifth of a small call's time."""

    NO_ARGS: Final = 1
    ARGS_INLINE: Final = 2
    ARGS_IS_ARRAY: Final = 4
    ARGS_IN_ARRAY: Final = 8
    NO_CONTEXT: Final = 0x10
    CONTEXT_INLINE: Final = 0x20
    CONTEXT_IN_ARRAY: Final = 0x40
    SIGNATURE_IN_ARRAY: Final = 0x80
    PROPERTIES_IN_ARRAY: Final = 0x100
    NO_RETURN_VALUE: Final = 0x200
    VOID: Final = 0x400
    RETURN_INLINE: Final = 0x800
    RETURN_IN_ARRAY: Final = 0x1000
    EXCEPTION_IN_ARRAY: Final = 0x2000
    GENERIC_METHOD: Final = 0x8000


CODE_NULL: Final = 17  # where a primitive's code would stand, inside calls and returns
CODE_STRING: Final = 18

#: Primitives of a fixed size. CHAR is UTF-8, DECIMAL is text.
FIXED: Final[dict[Kind, struct.Struct]] = {
    Kind.BOOLEAN: struct.Struct("<?"),
    Kind.BYTE: struct.Struct("<B"),
    Kind.DOUBLE: struct.Struct("<d"),
    Kind.INT16: struct.Struct("<h"),
    Kind.INT32: struct.Struct("<i"),
    Kind.INT64: struct.Struct("<q"),
    Kind.SBYTE: struct.Struct("<b"),
    Kind.SINGLE: struct.Struct("<f"),
    Kind.TIMESPAN: struct.Struct("<q"),
    Kind.DATETIME: struct.Struct("<Q"),
    Kind.UINT16: struct.Struct("<H"),
    Kind.UINT32: struct.Struct("<I"),
    Kind.UINT64: struct.Struct("<Q"),
}
