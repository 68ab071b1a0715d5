"""XML from a stranger as a tree of plain elements; nothing in it is followed, included or expanded.

The parser is lxml's, used as a stream: each tag is counted when it comes, so a document that is too much is refused
before it is made. There is no document type, hence no entities and no defaults; no processing instruction; nothing is
loaded. libxml2's own bounds (on names, attributes, depth) stay on.

.NET is no strict author of XML. It writes characters that XML cannot have as references (``&#x0;``), and leaves a
carriage return as it is, which a parser has to take for a line feed. Both are put so that they survive (`_kept`).
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]  # it ships no types

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.scalars import Bounds
from rpcx.interop.dotnet.soap_names import XmlName

DEPTH: Final = 32  # elements in elements
ATTRIBUTES: Final = 32  # of one element, with the namespaces that it declares
TAG: Final = 65_535  # bytes of one tag
ESCAPE: Final = "\uf8ff"  # stands, with four digits, for what the parser would not let pass; of the private use area

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})  # the attributes of most elements

Scope = tuple[dict[str, str], Any]  # namespaces by prefix, and the scope around; Any: a Scope or None


class Element:
    """An element; text beside elements is not kept."""

    __slots__ = ("attributes", "children", "name", "scope", "text")

    def __init__(self, name: XmlName, attributes: Mapping[str, str], scope: Scope | None) -> None:
        self.name = name
        self.attributes = attributes  # by name, with the namespace before it in braces
        self.children: Sequence[Element] = ()
        self.text = ""  # of an element without children
        self.scope = scope

    def meant(self, qualified: str) -> XmlName:
        """A name within an attribute or text: ``xsd:int``."""
        prefix, colon, local = qualified.strip().rpartition(":")
        scope = self.scope
        while scope is not None:
            declared, scope = scope
            space = declared.get(prefix)
            if space is not None:
                return XmlName(space, local)
        if colon:
            raise ProtocolError(f"no XML with namespaces: {qualified[:80]!r} has a prefix that nobody declared")
        return XmlName("", local)

    def __repr__(self) -> str:
        return f"<Element {self.name}>"


def parse(data: bytes, bounds: Bounds) -> Element:
    """The root of a document in UTF-8.

    Raises:
        ProtocolError: it is no XML, or some that is not taken here, or too much.
    """
    _count(data, bounds)
    escaped = b"\r" in data or b"&#" in data
    options: dict[str, Any] = {"resolve_entities": False, "load_dtd": False, "no_network": True, "huge_tree": False}
    parser = etree.XMLParser(target=_Builder(bounds, escaped=escaped), encoding="utf-8", **options)
    try:
        root: Element | None = etree.fromstring(_kept(data) if escaped else data, parser)
    except etree.XMLSyntaxError as error:
        raise ProtocolError(f"no XML: {error.msg}"[:300]) from None
    if root is None:
        raise ProtocolError("no XML: it is empty, or has no end")
    return root


def _count(data: bytes, bounds: Bounds) -> None:
    """Refuse a document whose size already says that it is too much."""
    most = bounds.elements
    if data.count(b"<") > 2 * most + ATTRIBUTES:  # each element has two tags at most
        raise ProtocolError(f"XML with more than {most} elements")
    if data.count(b"\r") + data.count(b"&#") + data.count(_ESCAPE) > 2 * most:
        raise ProtocolError(f"XML with more than {2 * most} carriage returns and characters by number")
    if _LONG_TAG.search(data):
        raise ProtocolError(f"XML with a tag of more than {TAG} bytes, so one with too many attributes")


class _Builder:
    """Makes the tree; lxml calls it for each tag."""

    def __init__(self, bounds: Bounds, *, escaped: bool) -> None:
        self._bounds = bounds
        self._escaped = escaped  # texts have what `_kept` put there
        self._open: list[Element] = []
        self._texts: list[str] = []  # of the innermost element, since its last child
        self._length = 0  # characters in them
        self._count = 0
        self._names: dict[str, XmlName] = {}  # so that a million items share one
        self._root: Element | None = None

    def start(self, tag: str, attributes: Any, namespaces: Any) -> None:  # mappings of lxml's
        self._count += 1
        if self._count > self._bounds.elements:
            raise ProtocolError(f"XML with more than {self._bounds.elements} elements")
        if len(self._open) >= DEPTH:
            raise ProtocolError(f"XML whose elements are nested deeper than {DEPTH}")
        if len(attributes) + len(namespaces) > ATTRIBUTES:
            raise ProtocolError(f"XML with an element of more than {ATTRIBUTES} attributes")
        scope = self._open[-1].scope if self._open else None
        if namespaces:
            scope = ({prefix or "": space for prefix, space in namespaces.items()}, scope)
        name = self._names.get(tag) or self._name(tag)
        element = Element(name, dict(attributes) if attributes else NOTHING, scope)
        if self._open:
            self._no_text(self._open[-1])
            self._adopt(self._open[-1], element)
        self._open.append(element)
        self._texts.clear()
        self._length = 0

    def _name(self, tag: str) -> XmlName:
        space, _, local = tag[1:].rpartition("}") if tag.startswith("{") else ("", "", tag)
        name = self._names[tag] = XmlName(space, local)
        return name

    def _adopt(self, parent: Element, child: Element) -> None:
        if isinstance(parent.children, list):
            parent.children.append(child)
        else:
            parent.children = [child]

    def data(self, text: str) -> None:
        self._length += len(text)
        if self._length > self._bounds.text:
            raise ProtocolError(f"XML with a text of more than {self._bounds.text} characters")
        self._texts.append(text)

    def end(self, _: str) -> None:
        element = self._open.pop()
        if element.children:
            self._no_text(element)
        elif self._texts:
            text = "".join(self._texts)
            element.text = _restored(text) if self._escaped else text
        self._texts.clear()
        self._length = 0
        if not self._open:
            self._root = element

    def _no_text(self, element: Element) -> None:
        """Between elements there may be space only."""
        text = "".join(self._texts)
        if text and not (_restored(text) if self._escaped else text).isspace():
            raise ProtocolError(f"XML with a text beside elements, in {str(element.name)[:200]}")

    def comment(self, _: str) -> None:
        """Says nothing."""

    def pi(self, target: str, _: str | None = None) -> None:
        raise ProtocolError(f"XML with a processing instruction, {target[:80]!r}: SOAP has none")

    def doctype(self, *_: object) -> None:
        raise ProtocolError("XML with a document type: SOAP has none")

    def close(self) -> Element | None:
        return self._root


# --- characters that XML cannot have ------------------------------------------------------------------------------

_LONG_TAG: Final = re.compile(rb"<[^<>!]{%d}" % TAG)
_ESCAPE: Final = ESCAPE.encode()
_DECLARATION: Final = re.compile(rb"<\?xml[^<>]*\?>\s*")
_RETURN_IN_TAG: Final = re.compile(rb"<[^<>!]*\r")
_TAG: Final = re.compile(rb"<[^<>!]+")
#: Characters by number, and where they are none. Each alternative takes what it began, so nothing is read twice.
_NUMBERED: Final = re.compile(
    rb"&#x0*([0-9a-fA-F]{1,6});|&#0*([0-9]{1,7});|<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL
)
_MARKED: Final = re.compile(f"{ESCAPE}([0-9A-F]{{4}})")


def _kept(data: bytes) -> bytes:
    """The document with marks (`ESCAPE` and a number) in the place of characters that would be lost or refused."""
    data = _DECLARATION.sub(b"", data.strip(), count=1) if data.startswith(b"<?xml") else data.strip()
    if _RETURN_IN_TAG.search(data):
        data = _TAG.sub(lambda found: found[0].replace(b"\r", b" "), data)
    data = data.replace(_ESCAPE, _mark(ord(ESCAPE)))
    if b"&#" in data:
        data = _NUMBERED.sub(_numbered, data)
    return data.replace(b"\r", _mark(0xD))


def _numbered(found: re.Match[bytes]) -> bytes:
    if not found[0].startswith(b"&"):
        return found[0]
    number = int(found[1], 16) if found[1] is not None else int(found[2])
    return _mark(number) if _impossible(number) else found[0]


def _impossible(number: int) -> bool:
    """Whether XML cannot have a character, even as a reference; or it is the mark itself."""
    if number < 0x20:
        return number not in (9, 10, 13)
    return 0xD800 <= number < 0xE000 or number in (0xFFFE, 0xFFFF, ord(ESCAPE))


def _mark(number: int) -> bytes:
    return f"{ESCAPE}{number:04X}".encode()


def _restored(text: str) -> str:
    if ESCAPE not in text:
        return text
    text = _MARKED.sub(lambda found: chr(int(found[1], 16)), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # halves of characters join
