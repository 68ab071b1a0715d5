"""Names in SOAP messages: namespaces, and .NET's types as names of XML.

A type of XML Schema stands for a primitive of .NET; any other type is its name behind a namespace that says where in
.NET it lives, both escaped where XML wants it:

    System.Guid, mscorlib           http://schemas.microsoft.com/clr/ns/System            Guid
    Shop.Order, shop, Version=1.0   http://schemas.microsoft.com/clr/nsassem/Shop/shop%2C%20Version%3D1.0    Order
    Basic, shop                     http://schemas.microsoft.com/clr/assem/shop           Basic
"""

import re
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from rpcx.interop.dotnet.nodes import CLR_NAMES, OBJECT, STRING, Kind

ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
ENCODING: Final = "http://schemas.xmlsoap.org/soap/encoding/"
INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
SCHEMA: Final = "http://www.w3.org/2001/XMLSchema"
CLR: Final = "http://schemas.microsoft.com/clr/"
PROPERTIES: Final = f"{CLR}soap/messageProperties"  # of what a message carries besides arguments

#: Whose simple types are known: SOAP's own have the same names, and so had those of earlier drafts.
SCHEMAS: Final = (SCHEMA, ENCODING, "http://www.w3.org/2000/10/XMLSchema", "http://www.w3.org/1999/XMLSchema")
INSTANCES: Final = (
    INSTANCE,
    "http://www.w3.org/2000/10/XMLSchema-instance",
    "http://www.w3.org/1999/XMLSchema-instance",
)
ARRAY: Final = "Array"
BYTES: Final = "System.Byte[]"

#: What XML Schema calls the primitives, as far as it has them.
XSD: Final[dict[Kind, str]] = {
    Kind.BOOLEAN: "boolean",
    Kind.BYTE: "unsignedByte",
    Kind.DECIMAL: "decimal",
    Kind.DOUBLE: "double",
    Kind.INT16: "short",
    Kind.INT32: "int",
    Kind.INT64: "long",
    Kind.SBYTE: "byte",
    Kind.SINGLE: "float",
    Kind.TIMESPAN: "duration",
    Kind.DATETIME: "dateTime",
    Kind.UINT16: "unsignedShort",
    Kind.UINT32: "unsignedInt",
    Kind.UINT64: "unsignedLong",
}
_SIMPLE: Final[dict[str, str]] = {
    **{local: CLR_NAMES[kind] for kind, local in XSD.items()},
    "string": STRING,
    "char": CLR_NAMES[Kind.CHAR],
    "timeInstant": CLR_NAMES[Kind.DATETIME],  # of an earlier draft
    "timeDuration": CLR_NAMES[Kind.TIMESPAN],
    "anyType": OBJECT,
    "ur-type": OBJECT,
    "base64": BYTES,
    "base64Binary": BYTES,
    "Array": ARRAY,
}


class XmlName(NamedTuple):
    """A name with its namespace."""

    space: str  # empty: none
    local: str

    def __str__(self) -> str:
        return f"{{{self.space}}}{self.local}" if self.space else self.local


class TypeName(NamedTuple):
    """A type's name as nodes have it."""

    name: str
    assembly: str | None = None  # None: .NET's own library


def type_of(name: XmlName) -> TypeName:
    """The .NET type that a name stands for; one in nobody's namespace stands for itself, and means nothing here."""
    if name.space in SCHEMAS:
        base, brackets, ranks = name.local.partition("[")
        return TypeName(_SIMPLE.get(base, str(name._replace(local=base))) + brackets + ranks)
    local = decoded(name.local)
    if not name.space.startswith(CLR):
        return TypeName(str(name._replace(local=local)))
    kind, _, where = name.space.removeprefix(CLR).partition("/")
    if kind == "ns":
        return TypeName(f"{unquote(where)}.{local}" if where else local)
    if kind == "assem":
        return TypeName(local, _assembly(where))
    space, _, assembly = where.rpartition("/")
    return TypeName(f"{unquote(space)}.{local}", _assembly(assembly))


def _assembly(text: str) -> str | None:
    name = unquote(text)
    return None if name.partition(",")[0] == "mscorlib" else name


def name_of(name: str, assembly: str | None, *, tag: bool = False) -> XmlName:
    """The name of a type that is none of XML Schema's; ``tag``: as that of an element, which no array has."""
    base, ranks = (name, "") if tag else _ranks(name)
    before = base[:-1].partition("[")[0]  # generic arguments have dots of their own, and one at the end parts nothing
    space, dot, _ = before.rpartition(".")
    local = encoded(base[len(space) + len(dot) :]) + ranks
    if assembly is None:
        return XmlName(f"{CLR}ns/{space}", local)
    where = quote(assembly, safe="")
    return XmlName(f"{CLR}nsassem/{space}/{where}" if space else f"{CLR}assem/{where}", local)


def _ranks(name: str) -> tuple[str, str]:
    """A type's name, and what makes it an array: ``[]``, ``[,]``."""
    found = _RANKS.search(name)
    return (name[: found.start()], found[0]) if found else (name, "")


def method_space(qualified: str) -> str:
    """The namespace of the methods of a type, given with its assembly."""
    name, _, assembly = qualified.partition(",")
    short = assembly.partition(",")[0].strip()
    return f"{CLR}ns/{name}" if short in ("", "mscorlib") else f"{CLR}nsassem/{name}/{short}"


def type_of_methods(space: str) -> str:
    """The type, with its assembly, whose methods have a namespace; empty: it is none of .NET's."""
    kind, _, where = space.removeprefix(CLR).partition("/")
    if not space.startswith(CLR) or kind not in ("ns", "nsassem"):
        return ""
    name, _, assembly = where.partition("/")
    return f"{unquote(name)}, {unquote(assembly)}" if assembly else unquote(name)


# --- what XML does not allow in names -----------------------------------------------------------------------------

_RANKS: Final = re.compile(r"(\[,*\])+$")
_ESCAPE: Final = re.compile(r"_x(?![dD][89a-fA-F])([0-9A-Fa-f]{4})_")  # but for halves of characters
_ESCAPABLE: Final = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[^\w.\-]|^[\d.\-]")


def decoded(name: str) -> str:
    """``_x003C_Name_x003E_k__BackingField`` without its escapes."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name) if "_x" in name else name


def encoded(name: str) -> str:
    """A name as XML can have it, also as the name of an element."""
    return _ESCAPABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", name)
