"""From SOAP's encoding of values to inert nodes (SOAP 1.1, section 5, as .NET's SoapFormatter writes it).

1. Objects stand one after the other in the body, each with an ``id``; what refers to one has its ``href``. Structs,
   enums and primitives stand where they are used. A text has an ``id`` too, by which it is told from a number.
2. The type of a value is its ``xsi:type``, or the array's around it, or for an object the name of its element. Where
   none of them says it, .NET looks at the field or parameter: then an `Untyped` is made here.
3. Objects are made empty and filled later, one after the other, so that cycles and long chains are no trouble.
4. Whatever is wrong is a `ProtocolError`; no other exception leaves.
"""

import base64
import binascii
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet import soap_text
from rpcx.interop.dotnet.nodes import KINDS, OBJECT, STRING, ArrayNode, ClassNode, Kind, Node, Primitive, Untyped
from rpcx.interop.dotnet.scalars import Bounds
from rpcx.interop.dotnet.soap_names import ARRAY, BYTES, ENCODING, INSTANCES, TypeName, decoded, type_of
from rpcx.interop.dotnet.xml_tree import Element

MEMBERS: Final = 4096  # of one class
RANK: Final = 32  # dimensions of an array; .NET's own limit
HOPS: Final = 8  # references to references

_TYPE: Final = tuple(f"{{{space}}}type" for space in INSTANCES)
_NULL: Final = tuple(f"{{{space}}}{name}" for space in INSTANCES for name in ("null", "nil"))
_ARRAY_TYPE: Final = f"{{{ENCODING}}}arrayType"
_SPARSE: Final = (f"{{{ENCODING}}}offset", f"{{{ENCODING}}}position")
_ZERO: Final[dict[Kind, object]] = {
    Kind.BOOLEAN: False, Kind.CHAR: "\0", Kind.DOUBLE: 0.0, Kind.SINGLE: 0.0, Kind.DECIMAL: Decimal(0),
}  # fmt: skip


class SoapReader:
    """Reads the values of one document.

    Args:
        root: of the document.
        bounds: how much it may have.
    """

    def __init__(self, root: Element, bounds: Bounds) -> None:
        self._bounds = bounds
        self._named = _named(root)
        self._made: dict[int, Node] = {}  # by id() of an element that is named
        self._unfilled: deque[Callable[[], None]] = deque()
        self._objects = 0
        self._items = 0  # of arrays, those that did not come included

    def nodes(self, elements: Sequence[Element]) -> list[Node]:
        """The values of ``elements``, complete."""
        made = [self._value(element) for element in elements]
        while self._unfilled:
            self._unfilled.popleft()()
        return made

    def _value(self, element: Element, declared: TypeName | None = None) -> Node:
        """The value of an element; ``declared``: what it is if it does not say so."""
        attributes = element.attributes
        if not attributes:
            return self._of_type(element, declared)
        if _first(element, _NULL) in ("1", "true"):
            return None
        if "href" in attributes:
            return self._referred(element)
        if "id" not in attributes:
            return self._of_type(element, _said(element) or declared)
        if id(element) not in self._made:
            made = self._of_type(element, _said(element) or declared)
            bare = isinstance(made, Untyped) and made.members is None
            self._made[id(element)] = made.text if isinstance(made, Untyped) and bare else made
        return self._made[id(element)]

    def _referred(self, element: Element) -> Node:
        """What a reference leads to."""
        for _ in range(HOPS):
            href = element.attributes["href"]
            found = self._named.get(href[1:]) if href.startswith("#") else None
            if found is None:
                raise ProtocolError(f"a reference to {href[:80]!r}, which does not come, in SOAP")
            element = found
            if "href" not in element.attributes:
                return self._value(element, type_of(element.name) if element.name.space else None)
        raise ProtocolError("a reference to itself, in SOAP")

    def _of_type(self, element: Element, of: TypeName | None) -> Node:
        if _ARRAY_TYPE in element.attributes:
            return self._array(element)
        if of is None:
            return self._untyped(element)
        if of.name == STRING:
            return self._text(element)
        kind = KINDS.get(of.name) if of.assembly is None else None
        if kind is not None and not element.children:
            return Primitive(kind, _plain(kind, element))
        if of.name == BYTES:
            return ArrayNode(Kind.BYTE, _decoded_bytes(element))
        if of.name == ARRAY:
            raise ProtocolError("an array that does not say of what, in SOAP")
        if element.children or not element.text.strip():
            return self._instance(element, of)
        return Untyped(element.text, name=of.name, assembly=of.assembly) if of.name != OBJECT else self._text(element)

    # --- by kind -------------------------------------------------------------------------------------------------

    def _untyped(self, element: Element) -> Untyped:
        if not element.children:
            return Untyped(self._text(element))
        self._count()
        members: dict[str, Node] = {}
        self._unfilled.append(lambda: self._fill(members, element))
        return Untyped("", members)

    def _text(self, element: Element) -> str:
        if element.children:
            raise ProtocolError(f"elements where a text is expected, in SOAP: {element.name.local[:80]}")
        self._count()
        return element.text

    def _instance(self, element: Element, of: TypeName) -> ClassNode:
        self._count()
        node = ClassNode(of.name, {}, of.assembly, inline="id" not in element.attributes)
        self._unfilled.append(lambda: self._fill(node.members, element))
        return node

    def _fill(self, members: dict[str, Node], element: Element) -> None:
        if len(element.children) > MEMBERS:
            raise ProtocolError(f"an object of more than {MEMBERS} members, in SOAP")
        for child in element.children:
            name = decoded(child.name.local)
            if name in members:
                raise ProtocolError(f"an object with two members {name[:80]!r}, in SOAP")
            members[name] = self._value(child)

    def _count(self) -> None:
        self._objects += 1
        if self._objects > self._bounds.objects:
            raise ProtocolError(f"SOAP with more than {self._bounds.objects} objects and texts")

    # --- arrays --------------------------------------------------------------------------------------------------

    def _array(self, element: Element) -> ArrayNode:
        if any(name in each.attributes for each in (element, *element.children) if each.attributes for name in _SPARSE):
            raise ProtocolError("an array that does not begin at 0, or has gaps: such are not taken from SOAP")
        self._count()
        name, _, dimensions = element.attributes[_ARRAY_TYPE].rpartition("[")
        of, lengths = type_of(element.meant(name)), _lengths(dimensions, len(element.children))
        count = _product(lengths)
        self._items += count
        if self._items > self._bounds.elements:
            raise ProtocolError(f"SOAP whose arrays have more than {self._bounds.elements} items")
        if len(element.children) > count:
            raise ProtocolError(f"an array of {count} with {len(element.children)} items, in SOAP")
        kind = KINDS.get(of.name) if of.assembly is None else None
        if kind is not None and not (kind is Kind.DATETIME and _has_references(element)):  # see `SoapWriter`
            return ArrayNode(kind, _plain_items(kind, element, count), lengths)
        node = ArrayNode(of.name, [], lengths, assembly=of.assembly)
        self._unfilled.append(lambda: self._fill_array(node, element, of, count))
        return node

    def _fill_array(self, node: ArrayNode, element: Element, of: TypeName, count: int) -> None:
        declared = of if of.name != OBJECT else None
        node.items.extend(self._value(child, declared) for child in element.children)
        node.items.extend([None] * (count - len(element.children)))  # .NET leaves nulls at the end away


def _said(element: Element) -> TypeName | None:
    """The type that an element itself says."""
    said = _first(element, _TYPE)
    return type_of(element.meant(said)) if said is not None else None


def _first(element: Element, names: tuple[str, ...]) -> str | None:
    return next((element.attributes[name] for name in names if name in element.attributes), None)


def _named(root: Element) -> dict[str, Element]:
    """All elements that others may refer to."""
    found: dict[str, Element] = {}
    for element in _below(root):
        name = element.attributes.get("id")
        if name is not None:
            if name in found:
                raise ProtocolError(f"two objects {name[:80]!r}, in SOAP")
            found[name] = element
    return found


def _below(root: Element) -> Iterator[Element]:
    waiting = [root]
    while waiting:
        element = waiting.pop()
        yield element
        waiting.extend(element.children)


def _plain(kind: Kind, element: Element) -> object:
    try:
        return soap_text.read(kind, element.text)
    except ValueError as error:
        raise ProtocolError(f"{element.name.local[:80]}, in SOAP: {error}") from None


def _plain_items(kind: Kind, element: Element, count: int) -> Any:  # bytes, or a list of what the kind says
    items = [_plain(kind, _no_elements(child)) for child in element.children]
    items += [_ZERO.get(kind, 0)] * (count - len(items))
    return bytes(items) if kind is Kind.BYTE else items  # type: ignore[arg-type]  # integers then


def _has_references(element: Element) -> bool:
    return any("href" in child.attributes for child in element.children)


def _no_elements(element: Element) -> Element:
    if element.children or "href" in element.attributes:
        raise ProtocolError(f"no primitive where an array has some, in SOAP: {element.name.local[:80]}")
    return element


def _decoded_bytes(element: Element) -> bytes:
    try:
        return base64.b64decode("".join(element.text.split()), validate=True)
    except binascii.Error as error:
        raise ProtocolError(f"no base64, in SOAP: {error}") from None


def _lengths(text: str, came: int) -> tuple[int, ...]:
    """``3]`` or ``2,3]``, behind the bracket; ``]``: as many as came."""
    if not text.endswith("]"):
        raise ProtocolError("an array that does not say how long it is, in SOAP")
    parts = [part.strip() for part in text[:-1].split(",")]
    if parts == [""]:
        return (came,)
    if len(parts) > RANK or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise ProtocolError(f"an array of lengths [{text[:80]}, in SOAP")
    return tuple(int(part) for part in parts)


def _product(lengths: tuple[int, ...]) -> int:
    count = 1
    for length in lengths:
        count = min(count * length, 1 << 62)
    return count
