"""From inert nodes to SOAP's encoding of values, as .NET's SoapFormatter reads it.

Objects are written one after the other behind the message, each referring to those it contains; a text, a primitive, a
struct stands where it is used. As .NET does, the type of a member is written unless the receiver's class says it: what
reads a class that serializes itself (an exception, a Hashtable) looks for members without types only.

Mono's reader has ways of its own, and a value that it loses it replaces by nothing, without a word (`Dialect.MONO`):

- A DateTime where it is used is an error there; as an object of its own, as the class that it is, it is read. So it
  is written so. In a struct in an array it is lost; that is refused here.
- What a struct in an array refers to must come before the array, so it is written first.
- A text or character of nothing but space has to be in a section, and an infinite number is called otherwise.

Microsoft's formatter has no generic types; such are refused here (`Dialect.MICROSOFT`).
"""

import base64
import enum
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet import soap_text
from rpcx.interop.dotnet.clrnames import parse
from rpcx.interop.dotnet.nodes import (
    CLR_NAMES,
    OBJECT,
    STRING,
    ArrayNode,
    ClassNode,
    Kind,
    Node,
    Primitive,
    Untyped,
)  # fmt: skip
from rpcx.interop.dotnet.soap_names import CLR, ENCODING, ENVELOPE, INSTANCE, SCHEMA, XSD, encoded, name_of
from rpcx.interop.dotnet.systems import TICK_BITS

DEPTH: Final = 24  # structs in structs; readers here take 32 elements in elements
ENUM: Final = "value__"  # the one member of an enum
TIME: Final = CLR_NAMES[Kind.DATETIME]

Object = ClassNode | ArrayNode  # what others refer to

#: The type that a class declares for a member, both by their bare names; None: not known, or anything.
Declared = Callable[[str, str], str | None]


class Dialect(enum.Enum):
    """Whose reader it is for."""

    STANDARD = "any"
    MONO = "Mono"
    MICROSOFT = "Microsoft"


class SoapWriter:
    """Writes one document."""

    def __init__(self, declared: Declared, dialect: Dialect) -> None:
        self._declared = declared
        self._dialect = dialect
        self._mono = dialect is Dialect.MONO
        self._out: list[str] = []
        self._prefixes: dict[str, str] = {}  # by namespace
        self._ids: dict[int, int] = {}  # id() of a node → its number
        self._kept: list[Node] = []  # keeps those nodes alive, so that no id() comes twice
        self._next = 2  # the next number; the message itself is the first
        self._queue: deque[Object] = deque()  # referred to, not written yet
        self._written: set[int] = set()  # id() of nodes whose text is made
        self._held: set[int] = set()  # … and waits for others to come before it
        self._first: list[Object] | None = None  # within a struct in an array: what has to come before it

    # --- documents -----------------------------------------------------------------------------------------------

    def message(self, tag: str, values: Sequence[tuple[str, Node]]) -> None:
        """The message's own element, with its values, and behind it all objects that they refer to."""
        self._out.append(f'<{tag} id="ref-1">')
        for name, node in values:
            self._value(encoded(name), node, None, 0)
        self._out.append(f"</{tag}>")
        while self._queue:
            self._object_and_first(self._queue.popleft())

    def document(self, header: str = "") -> bytes:
        """The whole, in UTF-8."""
        spaces = "".join(f' xmlns:{prefix}="{escaped(space)}"' for space, prefix in self._prefixes.items())
        head = f"<SOAP-ENV:Header>{header}</SOAP-ENV:Header>" if header else ""
        text = f"{_START}{spaces}>{head}<SOAP-ENV:Body>{''.join(self._out)}</SOAP-ENV:Body></SOAP-ENV:Envelope>"
        return text.encode("utf-8", "replace")  # halves of characters become "?", as with the binary formatter

    def prefix(self, space: str) -> str:
        """What stands for a namespace."""
        return self._prefixes.setdefault(space, f"a{len(self._prefixes) + 1}")

    def type_name(self, name: str, assembly: str | None) -> str:
        """A type as attributes have it: ``xsd:int``, ``a1:Person``."""
        known = _KNOWN.get(name) if assembly is None else None
        if known is not None:
            return known
        return self._clr_name(name, assembly)

    def _clr_name(self, name: str, assembly: str | None, *, tag: bool = False) -> str:
        if self._dialect is Dialect.MICROSOFT and "`" in name:
            raise ValueError(
                f"{name.partition('[')[0]} is a generic type, and .NET's SoapFormatter has none: use dotnet.Array, "
                "ArrayList or Hashtable, or connect with ?formatter=binary"
            )
        space, local = name_of(name, assembly, tag=tag)
        return f"{self.prefix(space)}:{local}"

    # --- values --------------------------------------------------------------------------------------------------

    def _value(self, tag: str, node: Node, declared: str | None, depth: int) -> None:
        """An element with a value; ``declared``: the type that it has if it says none."""
        if node is None:
            self._out.append(f'<{tag} xsi:null="1"/>')
        elif isinstance(node, str):
            self._text(tag, node)
        elif isinstance(node, Primitive):
            self._primitive(tag, node, declared)
        elif isinstance(node, ClassNode) and node.inline:
            self._struct(tag, node, declared, depth)
        elif isinstance(node, Untyped):
            raise ValueError(f"{tag}: a value that came without a type cannot go on")
        else:
            self._out.append(f'<{tag} href="#ref-{self._number(node)}"/>')

    def _text(self, tag: str, text: str) -> None:
        number, self._next = self._next, self._next + 1
        self._out.append(f'<{tag} id="ref-{number}" xsi:type="SOAP-ENC:string">{self._content(text)}</{tag}>')

    def _content(self, text: str) -> str:
        blank = text and self._dialect is not Dialect.STANDARD and not text.strip(" \t\r\n")
        return f"<![CDATA[{text}]]>" if blank else escaped(text)

    def _primitive(self, tag: str, node: Primitive, declared: str | None) -> None:
        if node.kind is Kind.DATETIME and self._mono:
            self._value(tag, self._time(tag, node), None, 0)
            return
        name = CLR_NAMES[node.kind]
        said = "" if declared == name else f' xsi:type="{self.type_name(name, None)}"'
        self._out.append(f"<{tag}{said}>{self._plain(node.kind, node.value)}</{tag}>")

    def _plain(self, kind: Kind, value: object) -> str:
        text = soap_text.write(kind, value)
        if kind is Kind.CHAR:
            return self._content(text)
        return text.replace("INF", "Infinity") if self._mono else text

    def _time(self, tag: str, node: Primitive) -> ClassNode:
        """A DateTime as an object."""
        if self._first is not None:
            raise ValueError(f"{tag} is a DateTime in a struct in an array, which Mono's SOAP reader loses")
        bits = node.value
        assert isinstance(bits, int)
        ticks = Primitive(Kind.INT64, bits & TICK_BITS)
        made = ClassNode(TIME, {"ticks": ticks, "dateData": Primitive(Kind.UINT64, bits)})
        self._kept.append(made)
        return made

    def _struct(self, tag: str, node: ClassNode, declared: str | None, depth: int) -> None:
        if depth > DEPTH:
            raise ValueError(f"structs in structs, more than {DEPTH} deep")
        said = "" if declared == _bare(node.name) else f' xsi:type="{self.type_name(node.name, node.assembly)}"'
        self._out.append(f"<{tag}{said}>")
        number = node.members.get(ENUM)
        if isinstance(number, Primitive) and len(node.members) == 1:
            self._out.append(str(number.value))
        else:
            self._members(node, depth + 1)
        self._out.append(f"</{tag}>")

    def _members(self, node: ClassNode, depth: int) -> None:
        for name, value in node.members.items():
            self._value(encoded(name), value, self._declared(node.name, name), depth)

    # --- objects -------------------------------------------------------------------------------------------------

    def _number(self, node: Object) -> int:
        """The number of an object, which is written now or later."""
        number = self._ids.get(id(node))
        if number is None:
            number, self._next = self._next, self._next + 1
            self._ids[id(node)] = number
            self._kept.append(node)
            if self._first is None:
                self._queue.append(node)
        if self._first is not None and id(node) not in self._written:
            self._first.append(node)
        if self._first is not None and id(node) in self._held:
            raise ValueError("an array of structs that lead back to it, which Mono's SOAP reader loses")
        return number

    def _object_and_first(self, root: Object) -> None:
        """An object, behind those that have to come before it."""
        waiting: list[tuple[Object, list[str] | None]] = [(root, None)]
        while waiting:
            node, made = waiting.pop()
            if made is not None:
                self._out += made
                self._held.discard(id(node))
            elif id(node) not in self._written:
                self._written.add(id(node))
                self._held.add(id(node))
                made, first = self._apart(node)
                waiting += [(node, made), *((other, None) for other in first)]

    def _apart(self, node: Object) -> tuple[list[str], list[Object]]:
        """An object's text, and what has to come before it."""
        out, self._out = self._out, []
        first = self._array(node) if isinstance(node, ArrayNode) else self._instance(node)
        made, self._out = self._out, out
        return made, first

    def _instance(self, node: ClassNode) -> list[Object]:
        tag = "xsd:anyType" if node.name == OBJECT else self._clr_name(node.name, node.assembly, tag=True)
        self._out.append(f'<{tag} id="ref-{self._ids[id(node)]}">')
        self._members(node, 0)
        self._out.append(f"</{tag}>")
        return []

    def _array(self, node: ArrayNode) -> list[Object]:
        number = self._ids[id(node)]
        if node.lower is not None and any(node.lower):
            raise ValueError("an array that does not begin at 0 cannot go by SOAP")
        if node.element is Kind.BYTE and len(node.lengths) == 1:
            data = base64.b64encode(bytes(node.items)).decode()
            self._out.append(f'<SOAP-ENC:Array id="ref-{number}" xsi:type="SOAP-ENC:base64">{data}</SOAP-ENC:Array>')
            return []
        element = CLR_NAMES[node.element] if isinstance(node.element, Kind) else node.element
        boxed = element == TIME and self._mono
        of = self._clr_name(TIME, None) if boxed else self.type_name(element, node.assembly)
        lengths = ",".join(map(str, node.lengths))
        self._out.append(f'<SOAP-ENC:Array id="ref-{number}" SOAP-ENC:arrayType="{of}[{lengths}]">')
        first = self._items(node, element)
        self._out.append("</SOAP-ENC:Array>")
        return first

    def _items(self, node: ArrayNode, element: str) -> list[Object]:
        if isinstance(node.element, Kind):
            if node.element is Kind.DATETIME and self._mono:
                for item in node.items:
                    self._primitive("item", Primitive(node.element, item), None)
            else:
                self._out += [f"<item>{self._plain(node.element, item)}</item>" for item in node.items]
            return []
        first: list[Object] = []
        declared = _bare(element) if element not in (OBJECT, STRING) else None
        for item in node.items:
            struct = isinstance(item, ClassNode) and item.inline
            self._first = first if struct and self._mono else None
            try:
                self._value("item", item, declared, 0)
            finally:
                self._first = None
        return first


def _bare(name: str) -> str:
    """A type's name without assemblies, to be compared."""
    if "[" not in name:
        return name
    try:
        return parse(name).bare
    except ProtocolError:
        return name  # it is none, and compared as it is


def escaped(text: str) -> str:
    """A text as an element or attribute has it; also characters that XML knows by number only, or not at all."""
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


_SPECIAL: Final = re.compile(r"[^\t\n\x20!#-%'-;=?-\ufffd\U00010000-\U0010ffff]")
_ESCAPES: Final[dict[int, str]] = {
    **{number: f"&#x{number:X};" for number in (*range(0x20), 0xFFFE, 0xFFFF) if chr(number) not in "\t\n"},
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
}
_KNOWN: Final = {
    **{CLR_NAMES[kind]: f"xsd:{local}" for kind, local in XSD.items()},
    STRING: "SOAP-ENC:string",
    OBJECT: "xsd:anyType",
}
_START: Final = (
    f'<SOAP-ENV:Envelope xmlns:xsi="{INSTANCE}" xmlns:xsd="{SCHEMA}" xmlns:SOAP-ENC="{ENCODING}" '
    f'xmlns:SOAP-ENV="{ENVELOPE}" xmlns:clr="{CLR}" SOAP-ENV:encodingStyle="{ENCODING}"'
)
