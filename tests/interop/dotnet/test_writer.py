"""What the writer refuses, and how it spares bytes."""

from decimal import Decimal

import pytest

from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive
from rpcx.interop.dotnet.reader import read
from rpcx.interop.dotnet.records import Record
from rpcx.interop.dotnet.writer import write


@pytest.mark.parametrize(
    "value",
    [
        Primitive(Kind.INT32, 2**31),
        Primitive(Kind.BYTE, -1),
        Primitive(Kind.CHAR, "ab"),
        Primitive(Kind.CHAR, "😀"),
        Primitive(Kind.CHAR, "\ud800"),
        Primitive(Kind.DECIMAL, Decimal("NaN")),
        Primitive(Kind.DECIMAL, Decimal(1 << 96)),
        Primitive(Kind.SINGLE, 1e300),
        ArrayNode(Kind.INT16, [1, 40_000]),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value):
    with pytest.raises(ValueError, match=r"is no System\."):
        write(value)


def test_a_decimal_is_rounded_to_the_places_that_there_are():
    third = Decimal(1) / Decimal(30)
    written = read(write(Primitive(Kind.DECIMAL, third))).members["m_value"]
    assert written.value == round(third, 28)
    assert read(write(Primitive(Kind.DECIMAL, Decimal("1E+20")))).members["m_value"].value == 10**20


def test_the_layout_of_a_class_is_written_once():
    nodes = [ClassNode("Ns.C", {"number": Primitive(Kind.INT32, n)}, "shared") for n in range(3)]
    data = write(ArrayNode("System.Object", nodes))
    assert data.count(b"Ns.C") == data.count(b"number") == data.count(b"shared") == 1
    assert [node.members["number"].value for node in read(data).items] == [0, 1, 2]


def test_one_object_named_twice_is_written_once():
    shared = ClassNode("C", {})
    first, second = read(write(ArrayNode("System.Object", [shared, shared]))).items
    assert first is second


def test_a_long_chain_of_objects_needs_no_depth():
    chain = None
    for _ in range(20_000):
        chain = ClassNode("Node", {"next": chain})
    node = read(write(chain))
    length = 0
    while node is not None:
        node, length = node.members["next"], length + 1
    assert length == 20_000


def test_structs_in_structs_end_at_the_limit():
    node = None
    for _ in range(100):
        node = ClassNode("S", {"s": node}, inline=True)
    with pytest.raises(ValueError, match="structs in structs"):
        write(ClassNode("C", {"s": node}))


@pytest.mark.parametrize(
    ("array", "record"),
    [
        (ArrayNode(Kind.BYTE, b"abc"), Record.PRIMITIVES),
        (ArrayNode("System.String", ["a", None]), Record.STRINGS),
        (ArrayNode("System.Object", ["a", None]), Record.OBJECTS),
        (ArrayNode("System.Int32[]", [ArrayNode(Kind.INT32, [1]), None]), Record.ARRAY),
        (ArrayNode(Kind.INT32, [1, 2, 3, 4], (2, 2)), Record.ARRAY),
        (ArrayNode("Ns.C", [None, None], assembly="shared"), Record.ARRAY),
    ],
)
def test_each_array_has_its_shortest_record(array, record):
    data = write(array)
    library = b"\x0c" if array.assembly else bytes((record,))
    assert data[17:18] == library
    again = read(data)
    assert (again.element, again.lengths, again.assembly) == (array.element, array.lengths, array.assembly)
