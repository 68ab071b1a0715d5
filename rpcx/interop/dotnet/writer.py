"""From inert nodes to the binary formatter's bytes.

Objects are written one after the other, each naming those it contains by id (`_queue` holds those still to come),
so a long list of objects needs no deep recursion. Structs and enums stand inside what contains them. The layout of
a class is written with its first instance; the layout says which members are primitives, so two instances of one
class may have different ones (a null here, a number there), and each layout is written once.
"""

import struct
from collections import deque
from typing import Any, Final

from rpcx.interop.dotnet.nodes import (
    CLR_NAMES,
    KINDS,
    OBJECT,
    STRING,
    ArrayNode,
    ClassNode,
    Kind,
    Node,
    Primitive,
    decimal_text,
)
from rpcx.interop.dotnet.records import FIXED, Member, Record, Shape

DEPTH: Final = 64  # structs in structs
INT32: Final = FIXED[Kind.INT32]


class Writer:
    """Writes one message."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._ids: dict[int, int] = {}  # id() of a node → its number
        self._kept: list[Node] = []  # keeps those nodes alive, so that no id() comes twice
        self._next = 1  # the next number
        self._queue: deque[tuple[int, Node]] = deque()  # named, not written yet
        self._layouts: dict[tuple[Any, ...], int] = {}  # a class as written → the number of its first instance
        self._libraries: dict[str, int] = {}

    # --- whole graphs ------------------------------------------------------------------------------------------

    def header(self, root: int, header: int = -1) -> None:
        """Begin the stream."""
        self._out.append(Record.HEADER)
        self._out += struct.pack("<iiii", root, header, 1, 0)

    def graph(self, root: Node) -> None:
        """Write ``root``, which gets the next number, and all it refers to."""
        self._number(root)
        self._drain()

    def end(self) -> bytes:
        """End the stream; the bytes of all of it."""
        self._out.append(Record.END)
        return bytes(self._out)

    def _drain(self) -> None:
        while self._queue:
            self._object(*self._queue.popleft())

    # --- scalars -----------------------------------------------------------------------------------------------

    def byte(self, value: int) -> None:
        self._out.append(value)

    def int32(self, value: int) -> None:
        self._out += INT32.pack(value)

    def text(self, value: str) -> None:
        data = value.encode("utf-8", "replace")  # lone surrogates become "?", as .NET's own writer has it
        size = len(data)
        while size >= 0x80:
            self._out.append(size & 0x7F | 0x80)
            size >>= 7
        self._out.append(size)
        self._out += data

    def primitive(self, primitive: Primitive) -> None:
        """The value alone.

        Raises:
            ValueError: it does not fit into its type.
        """
        self._out += packed(primitive.kind, primitive.value)

    # --- objects -----------------------------------------------------------------------------------------------

    def _number(self, node: Node) -> int:
        """The number of an object, which is written now or later."""
        number = self._ids.get(id(node))
        if number is None:
            number = self._fresh(node)
            self._queue.append((number, node))
        return number

    def _fresh(self, node: Node) -> int:
        number, self._next = self._next, self._next + 1
        self._ids[id(node)] = number
        self._kept.append(node)
        return number

    def _object(self, number: int, node: Node) -> None:
        if isinstance(node, ClassNode):
            self._instance(number, node, 0)
        elif isinstance(node, ArrayNode):
            self._array(number, node)
        else:
            assert isinstance(node, str)  # nulls and primitives have no number
            self._out.append(Record.STRING)
            self.int32(number)
            self.text(node)

    def _value(self, node: Node, depth: int) -> None:
        """A member or item."""
        if node is None:
            self._out.append(Record.NULL)
        elif isinstance(node, Primitive):
            self._out += bytes((Record.TYPED, node.kind))
            self.primitive(node)
        elif isinstance(node, ClassNode) and node.inline and id(node) not in self._ids:
            self._instance(self._fresh(node), node, depth + 1)
        elif isinstance(node, str) and id(node) not in self._ids:
            self._object(self._fresh(node), node)
        else:
            number = self._number(node)
            self._out.append(Record.REFERENCE)
            self.int32(number)

    # --- classes -----------------------------------------------------------------------------------------------

    def _instance(self, number: int, node: ClassNode, depth: int) -> None:
        if depth > DEPTH:
            raise ValueError(f"structs in structs, more than {DEPTH} deep")
        types = tuple(_type_of(value) for value in node.members.values())
        layout = (node.name, node.assembly, tuple(node.members), types)
        of = self._layouts.get(layout)
        if of is not None:
            self._out.append(Record.CLASS_WITH_ID)
            self.int32(number)
            self.int32(of)
        else:
            self._layouts[layout] = number
            self._layout(number, layout)
        for value in node.members.values():
            if isinstance(value, Primitive):
                self.primitive(value)
            else:
                self._value(value, depth)

    def _layout(self, number: int, layout: tuple[Any, ...]) -> None:
        name, assembly, members, types = layout
        libraries = [of for code, *_, of in types if code == Member.CLASS]
        for library in (assembly, *libraries):
            if library is not None:
                self._library(library)
        self._out.append(Record.SYSTEM_CLASS if assembly is None else Record.CLASS)
        self.int32(number)
        self.text(name)
        self.int32(len(members))
        for member in members:
            self.text(member)
        self._out += bytes(code for code, *_ in types)
        for code, *details in types:
            self._type_details(code, *details)
        if assembly is not None:
            self.int32(self._libraries[assembly])

    def _library(self, name: str) -> None:
        if name not in self._libraries:
            number, self._next = self._next, self._next + 1
            self._libraries[name] = number
            self._out.append(Record.LIBRARY)
            self.int32(number)
            self.text(name)

    def _type_details(self, code: int, name: str | Kind | None = None, assembly: str | None = None) -> None:
        """What stands behind a type's code."""
        if isinstance(name, Kind):
            self._out.append(name)
        elif code in (Member.SYSTEM_CLASS, Member.CLASS):
            self.text(name or "")
            if assembly is not None:
                self.int32(self._libraries[assembly])

    # --- arrays ------------------------------------------------------------------------------------------------

    def _array(self, number: int, node: ArrayNode) -> None:
        if len(node.lengths) > 1 or node.lower is not None:
            self._any_array(number, node)
        elif isinstance(node.element, Kind):
            self._out.append(Record.PRIMITIVES)
            self.int32(number)
            self.int32(len(node.items))
            self._out.append(node.element)
            self._out += _plain_items(node)
        elif node.element in _SINGLE:
            self._out.append(_SINGLE[node.element])
            self.int32(number)
            self.int32(len(node.items))
            self._items(node)
        else:
            self._any_array(number, node)

    def _any_array(self, number: int, node: ArrayNode) -> None:
        code, *details = type_of_element(node.element, node.assembly)
        if code == Member.CLASS:
            self._library(details[1])
        if len(node.lengths) > 1:
            shape = Shape.RECTANGULAR
        else:
            shape = Shape.JAGGED if str(node.element).endswith("]") else Shape.SINGLE
        self._out.append(Record.ARRAY)
        self.int32(number)
        self._out.append(shape if node.lower is None else shape + Shape.SINGLE_OFFSET)
        for figure in (len(node.lengths), *node.lengths, *(node.lower or ())):
            self.int32(figure)
        self._out.append(code)
        self._type_details(code, *details)
        if isinstance(node.element, Kind):
            self._out += _plain_items(node)
        else:
            self._items(node)

    def _items(self, node: ArrayNode) -> None:
        nulls = 0
        for item in node.items:
            if item is None:
                nulls += 1
                continue
            self._nulls(nulls)
            nulls = 0
            self._value(item, 0)
        self._nulls(nulls)

    def _nulls(self, count: int) -> None:
        if count == 1:
            self._out.append(Record.NULL)
        elif 1 < count < 256:
            self._out += bytes((Record.NULLS_256, count))
        elif count:
            self._out.append(Record.NULLS)
            self.int32(count)


_SINGLE: Final = {OBJECT: Record.OBJECTS, STRING: Record.STRINGS}


def _type_of(value: Node) -> tuple[Any, ...]:
    """A member's type, from its value: (code, …details)."""
    if isinstance(value, Primitive):
        return Member.PRIMITIVE, value.kind, None
    if isinstance(value, str):
        return Member.STRING, None, None
    if isinstance(value, ClassNode):
        code = Member.SYSTEM_CLASS if value.assembly is None else Member.CLASS
        return code, value.name, value.assembly
    if isinstance(value, ArrayNode):
        return type_of_element(value.type_name, value.assembly)
    return Member.OBJECT, None, None


def type_of_element(element: Kind | str, assembly: str | None) -> tuple[Any, ...]:
    """The type of an array's items: (code, name or kind, assembly)."""
    if isinstance(element, Kind):
        return Member.PRIMITIVE, element, None
    known = _ELEMENTS.get(element)
    if known is not None:
        return known, None, None
    if element.endswith("[]") and element[:-2] in KINDS:
        return Member.PRIMITIVES, KINDS[element[:-2]], None
    if assembly is None:
        return Member.SYSTEM_CLASS, element, None
    return Member.CLASS, element, assembly


_ELEMENTS: Final[dict[str, Member]] = {
    STRING: Member.STRING,
    OBJECT: Member.OBJECT,
    f"{OBJECT}[]": Member.OBJECTS,
    f"{STRING}[]": Member.STRINGS,
}


def packed(kind: Kind, value: Any) -> bytes:  # what a primitive's value may be
    """The bytes of a primitive.

    Raises:
        ValueError: it does not fit.
    """
    fixed = FIXED.get(kind)
    try:
        if fixed is not None:
            return fixed.pack(value)
        data = (str(value) if kind is Kind.CHAR else decimal_text(value)).encode()
    except (struct.error, OverflowError, UnicodeEncodeError) as error:
        raise ValueError(f"{value!r} is no {CLR_NAMES[kind]}: {error}") from None
    if kind is Kind.CHAR:
        if len(str(value)) != 1 or len(data) > 3:
            raise ValueError(f"{value!r} is no System.Char: one character of the first 65536")
        return data
    return bytes((len(data),)) + data


def _plain_items(node: ArrayNode) -> bytes:
    kind, items = node.element, node.items
    assert isinstance(kind, Kind)
    fixed = FIXED.get(kind)
    if isinstance(items, bytes | bytearray | memoryview):
        return bytes(items)
    if fixed is None:
        return b"".join(packed(kind, item) for item in items)
    try:
        return struct.pack(f"<{len(items)}{fixed.format[-1]}", *items)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"an item is no {CLR_NAMES[kind]}: {error}") from None


def write(root: Node) -> bytes:
    """``root`` as ``BinaryFormatter.Serialize`` writes it.

    Raises:
        ValueError: a value does not fit into its type.
    """
    writer = Writer()
    writer.header(1)
    if isinstance(root, Primitive):  # .NET writes a boxed one as an instance of its class
        root = ClassNode(CLR_NAMES[root.kind], {"m_value": root})
    writer.graph(root)
    return writer.end()
