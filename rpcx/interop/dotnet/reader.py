"""From the binary formatter's bytes to inert nodes.

1. Every count is held against the bytes that are left, or against a budget, before anything is made for it. What
   can be short on the wire and long here (runs of nulls) counts against the budget.
2. Objects may be named before they come. Such places are noted and filled in at the end.
3. Records inside records are structs; a class's instance stands by itself. So depth is a small number.
4. Whatever is wrong is a `ProtocolError` that says where; no other exception leaves.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from rpcx.interop.dotnet.nodes import CLR_NAMES, OBJECT, STRING, ArrayNode, ClassNode, Kind, Node, Primitive
from rpcx.interop.dotnet.records import FIXED, Member, Record, Shape
from rpcx.interop.dotnet.scalars import BOUNDS, Bounds, Scalars

MEMBERS: Final = 4096  # of one class
RANK: Final = 32  # dimensions of an array; .NET's own limit


class Layout(NamedTuple):
    """A class as its first record describes it; later instances only name that one."""

    name: str
    assembly: str | None  # None: .NET's own library
    members: tuple[str, ...]
    kinds: tuple[Kind | None, ...]  # of each member; None: its value is a record


class Reader(Scalars):
    """Reads one message's bytes, once, from the front."""

    def __init__(self, data: bytes, bounds: Bounds | None = None) -> None:
        super().__init__(data, bounds or BOUNDS)
        self._objects: dict[int, Node] = {}
        self._layouts: dict[int, Layout] = {}
        self._libraries: dict[int, str] = {}
        self._unfilled: list[tuple[Any, Any, int]] = []  # container, its key or index, id of what belongs there
        self._made = 0  # objects
        self._elements = 0  # items of arrays of objects

    # --- whole graphs ------------------------------------------------------------------------------------------

    def header(self) -> int:
        """The stream's header; returns the id of its root (0: a call without objects)."""
        if self.byte() != Record.HEADER:
            raise self.error("it does not begin with a header")
        root, _, major, minor = _HEADER.unpack_from(self._data, self._take(_HEADER.size))
        if (major, minor) != (1, 0):
            raise self.error(f"version {major}.{minor} of the format is not known here, only 1.0")
        return root  # type: ignore[no-any-return]  # an int

    def graph(self) -> dict[int, Node]:
        """All records up to the end; the objects by id, with every place filled in."""
        while True:
            record = self.byte()
            if record == Record.END:
                break
            if record == Record.LIBRARY:
                self._library()
            else:
                self._value(record, 0)
        if self.at != len(self._data):
            raise self.error(f"{len(self._data) - self.at} bytes follow its end")
        for container, key, number in self._unfilled:
            if number not in self._objects:
                raise self.error(f"object {number} is named and never comes")
            container[key] = self._objects[number]
        return self._objects

    # --- records -----------------------------------------------------------------------------------------------

    def _value(self, record: int, depth: int) -> Node:
        """The record of a value whose first byte was read."""
        if depth > self._bounds.depth:
            raise self.error(f"records are nested deeper than {self._bounds.depth}")
        read = _READERS.get(record)
        if read is None:
            raise self.error(f"record {record} is not known here, or not in this place")
        return read(self, depth)

    def _number(self) -> int:
        self._made += 1
        if self._made > self._bounds.objects:
            raise self.error(f"it has more than {self._bounds.objects} objects")
        return self.int32()

    def _keep(self, number: int, node: Node) -> None:
        if number in self._objects:
            raise self.error(f"there are two objects {number}")
        self._objects[number] = node

    def _library(self) -> None:
        number, name = self.int32(), self.text()
        if number in self._libraries:
            raise self.error(f"there are two libraries {number}")
        self._libraries[number] = name

    def _library_named(self) -> str:
        number = self.int32()
        name = self._libraries.get(number)
        if name is None:
            raise self.error(f"library {number} is named before it comes")
        return name

    def _string_record(self, _: int) -> str:
        number = self._number()
        text = self.text()
        self._keep(number, text)
        return text

    def _typed(self, _: int) -> Primitive:
        kind = self.kind()
        return Primitive(kind, self.primitive(kind))

    # --- classes -----------------------------------------------------------------------------------------------

    def _known_class(self, depth: int) -> ClassNode:
        number, of = self._number(), self.int32()
        layout = self._layouts.get(of)
        if layout is None:
            raise self.error(f"object {number} is like object {of}, which did not come before")
        return self._instance(number, layout, depth)

    def _system_class(self, depth: int) -> ClassNode:
        return self._described(depth, library=False)

    def _library_class(self, depth: int) -> ClassNode:
        return self._described(depth, library=True)

    def _described(self, depth: int, *, library: bool) -> ClassNode:
        number, name = self._number(), self.text()
        count = self.count()
        if count > MEMBERS or count > len(self._data) - self.at:
            raise self.error(f"{name[:200]} has {count} members")
        members = tuple(self.text() for _ in range(count))
        if len(set(members)) != count:
            raise self.error(f"{name[:200]} has two members of one name")
        start = self._take(count)
        kinds = tuple(self._member(code) for code in self._data[start : start + count])
        assembly = self._library_named() if library else None
        layout = self._layouts[number] = Layout(name, assembly, members, kinds)
        return self._instance(number, layout, depth)

    def _member(self, code: int) -> Kind | None:
        """Read what stands behind a member's type; its kind, if it is a primitive."""
        if code == Member.PRIMITIVE:
            return self.kind()
        self._type_details(code)
        return None

    def _type_details(self, code: int) -> tuple[str, str | None]:
        """(name, assembly) of a type that is no primitive."""
        if code == Member.SYSTEM_CLASS:
            return self.text(), None
        if code == Member.CLASS:
            return self.text(), self._library_named()
        if code == Member.PRIMITIVES:
            return f"{CLR_NAMES[self.kind()]}[]", None
        known = _PLAIN_TYPES.get(code)
        if known is None:
            raise self.error(f"{code} is no type of a member")
        return known, None

    def _instance(self, number: int, layout: Layout, depth: int) -> ClassNode:
        members: dict[str, Node] = {}
        node = ClassNode(layout.name, members, layout.assembly, inline=depth > 0)
        self._keep(number, node)
        for name, kind in zip(layout.members, layout.kinds, strict=True):
            if kind is not None:
                members[name] = Primitive(kind, self.primitive(kind))
            else:
                members[name] = None
                self._slot(members, name, depth)
        return node

    def _slot(self, container: Any, key: Any, depth: int) -> None:  # a dict or list, and where in it
        """The record of one member or item; libraries may come before it."""
        record = self.byte()
        while record == Record.LIBRARY:
            self._library()
            record = self.byte()
        if record == Record.REFERENCE:
            self._refer(container, key)
        elif record != Record.NULL:
            container[key] = self._value(record, depth + 1)

    def _refer(self, container: Any, key: Any) -> None:  # a dict or list, and where in it
        number = self.int32()
        if number in self._objects:
            container[key] = self._objects[number]
        else:
            self._unfilled.append((container, key, number))

    # --- arrays ------------------------------------------------------------------------------------------------

    def _primitives(self, _: int) -> ArrayNode:
        number, count, kind = self._number(), self.count(), self.kind()
        node = ArrayNode(kind, self._plain_items(kind, count))
        self._keep(number, node)
        return node

    def _plain_items(self, kind: Kind, count: int) -> bytes | list[object]:
        fixed = FIXED.get(kind)
        if fixed is None:
            if count > len(self._data) - self.at:  # one byte each at least
                raise self.error(f"an array of {count} does not fit into what is left")
            return [self.primitive(kind) for _ in range(count)]
        start = self._take(count * fixed.size)
        if kind is Kind.BYTE:
            return self._data[start : self.at]
        return list(struct.unpack_from(f"<{count}{fixed.format[-1]}", self._data, start))

    def _objects_array(self, depth: int) -> ArrayNode:
        return self._single(OBJECT, depth)

    def _strings_array(self, depth: int) -> ArrayNode:
        return self._single(STRING, depth)

    def _single(self, element: str, depth: int) -> ArrayNode:
        number, count = self._number(), self.count()
        node = ArrayNode(element, [], (count,))
        self._keep(number, node)
        self._fill(node, count, depth)
        return node

    def _array(self, depth: int) -> ArrayNode:
        number, code, rank = self._number(), self.byte(), self.int32()
        if code not in _SHAPES or not 1 <= rank <= RANK:
            raise self.error(f"an array of kind {code} with {rank} dimensions")
        lengths = tuple(self.count() for _ in range(rank))
        lower = tuple(self.int32() for _ in range(rank)) if code >= Shape.SINGLE_OFFSET else None
        count = 1
        for length in lengths:
            count = min(count * length, 1 << 62)  # else 32 dimensions make a number of a thousand bits
        member = self.byte()
        if member == Member.PRIMITIVE:
            kind = self.kind()
            node = ArrayNode(kind, self._plain_items(kind, count), lengths, lower=lower)
            self._keep(number, node)
            return node
        name, assembly = self._type_details(member)
        node = ArrayNode(name, [], lengths, assembly=assembly, lower=lower)
        self._keep(number, node)
        self._fill(node, count, depth)
        return node

    def _fill(self, node: ArrayNode, count: int, depth: int) -> None:
        """Read ``count`` items; nothing is made for those that do not come."""
        self._elements += count
        if self._elements > self._bounds.elements:
            raise self.error(f"its arrays have more than {self._bounds.elements} items")
        items: Any = node.items  # a list, since it is no array of bytes
        while len(items) < count:
            record = self.byte()
            if record in (Record.NULLS_256, Record.NULLS):
                run = self.byte() if record == Record.NULLS_256 else self.count()
                if not 0 < run <= count - len(items):
                    raise self.error(f"{run} nulls, where {count - len(items)} items are to come")
                items += [None] * run
                continue
            self.at -= 1
            items.append(None)
            self._slot(items, len(items) - 1, depth)


_READERS: Final[dict[int, Callable[[Reader, int], Node]]] = {
    Record.CLASS_WITH_ID: Reader._known_class,
    Record.SYSTEM_CLASS: Reader._system_class,
    Record.CLASS: Reader._library_class,
    Record.STRING: Reader._string_record,
    Record.ARRAY: Reader._array,
    Record.TYPED: Reader._typed,
    Record.PRIMITIVES: Reader._primitives,
    Record.OBJECTS: Reader._objects_array,
    Record.STRINGS: Reader._strings_array,
}
_HEADER: Final = struct.Struct("<iiii")
_SHAPES: Final = frozenset(Shape)
_PLAIN_TYPES: Final[dict[int, str]] = {
    Member.STRING: STRING,
    Member.OBJECT: OBJECT,
    Member.OBJECTS: f"{OBJECT}[]",
    Member.STRINGS: f"{STRING}[]",
}


def read(data: bytes, bounds: Bounds | None = None) -> Node:
    """The root object of a serialized graph (what ``BinaryFormatter.Serialize`` wrote).

    Raises:
        ProtocolError: it is none, or too much.
    """
    reader = Reader(data, bounds)
    root = reader.header()
    objects = reader.graph()
    if root not in objects:
        raise reader.error(f"its root is object {root}, which does not come")
    return objects[root]
