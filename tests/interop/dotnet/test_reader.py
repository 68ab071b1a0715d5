"""The reader against arbitrary graphs, and against those who mean harm."""

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive
from rpcx.interop.dotnet.reader import read
from rpcx.interop.dotnet.scalars import Bounds
from rpcx.interop.dotnet.writer import write
from tests.interop.dotnet.graphs import graphs, same
from tests.interop.dotnet.vectors import recorded

HEADER = "00 01000000 ffffffff 01000000 00000000"


@given(graphs())
def test_a_graph_comes_back_as_it_went(root):
    assert same(root, read(write(root)))


@given(graphs(), st.data())
def test_a_graph_cut_short_is_a_protocol_error(root, data):
    whole = write(root)
    with pytest.raises(ProtocolError):
        read(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(graphs(), st.data())
def test_a_graph_with_changed_bytes_is_a_protocol_error_or_a_graph(root, data):
    changed = bytearray(write(root))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(changed))
    except ProtocolError:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_a_protocol_error_or_a_graph(data):
    for start in ("", HEADER):
        try:
            read(bytes.fromhex(start) + data)
        except ProtocolError:
            pass


def test_an_object_may_be_named_before_it_comes():
    node = read(recorded(HEADER, "10 01000000 02000000 09 02000000 09 02000000", "06 02000000", "'late", "0b"))
    assert node.items == ["late", "late"]


def test_a_struct_stands_inside_and_a_class_apart():
    struct_ = ClassNode("S", {"x": Primitive(Kind.INT32, 1)}, "a", inline=True)
    outer = read(write(ClassNode("O", {"s": struct_, "o": ClassNode("C", {}, "a")}, "a")))
    assert outer.members["s"].inline
    assert not outer.members["o"].inline


def test_runs_of_nulls_are_short_on_the_wire():
    for count in (1, 2, 255, 256, 5000):
        data = write(ArrayNode("System.Object", [None] * count + ["x"]))
        assert len(data) < 60
        assert read(data).items == [None] * count + ["x"]


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("bytes are announced", ["0f 01000000 ffffff7f 02"]),  # two thousand million bytes
        ("bytes are announced", ["0f 01000000 ffffff7f 06"]),  # … doubles
        ("does not fit", ["0f 01000000 ffffff7f 05"]),  # … decimals
        ("more than 1000000 items", ["10 01000000 ffffff7f 0e ffffff7f"]),  # … nulls
        ("more than 1000000 items", ["07 01000000 02 20000000" + "ffffff7f" * 32 + "02"]),  # … of 32 dimensions
        ("33 dimensions", ["07 01000000 02 21000000"]),
        ("a count is -1", ["10 01000000 ffffffff"]),
        ("members", ["04 01000000", "'C", "ffffff7f"]),
        ("two members of one name", ["04 01000000", "'C", "02000000", "'a", "'a", "01 01 0a 0a 0b"]),
        ("a text's length", ["06 01000000 ffffffffff"]),
        ("the limit is", ["06 01000000 ffffffff07"]),
        ("not UTF-8", ["06 01000000 02 ff fe"]),
        ("is named and never comes", ["10 01000000 01000000 09 63000000 0b"]),
        ("did not come before", ["01 01000000 05000000"]),
        ("two objects 1", ["06 01000000", "'a", "06 01000000", "'b", "0b"]),
        ("library 7 is named", ["05 01000000", "'C", "00000000 07000000"]),
        ("record 200 is not known", ["c8"]),
        ("record 2 is not known", ["02"]),  # classes without types: the reader would have to have the class
        ("its root is object 1", ["06 02000000", "'a", "0b"]),
        ("no primitive type", ["0f 01000000 00000000 04"]),
        ("no decimal", ["0f 01000000 01000000 05", "'1x"]),
        ("nulls, where 1", ["10 01000000 01000000 0d 02"]),
        ("nulls, where 1", ["10 01000000 01000000 0d 00"]),
    ],
)
def test_what_is_wrong_is_told(what, parts):
    with pytest.raises(ProtocolError, match=what):
        read(recorded(HEADER, *parts))


def test_structs_in_structs_end_at_the_limit():
    first = recorded("04 01000000", "'S", "01000000", "'s", "02")
    deep = bytes.fromhex(HEADER) + first
    for number in range(2, 100):
        deep += b"\x01" + struct.pack("<ii", number, 1)
    with pytest.raises(ProtocolError, match="nested deeper than 64"):
        read(deep)


def test_objects_are_counted():
    data = write(ArrayNode("System.Object", [f"{number}" for number in range(20)]))
    with pytest.raises(ProtocolError, match="more than 10 objects"):
        read(data, Bounds(objects=10))


def test_a_lie_about_a_length_costs_no_memory():
    lies = [recorded(HEADER, f"0f 01000000 ffffff7f {kind:02x}") for kind in Kind]
    lies.append(recorded(HEADER, "10 01000000 40420f00 0e 40420f00"))  # a million nulls: the most there may be
    tracemalloc.start()
    try:
        for lie in lies[:-1]:
            with pytest.raises(ProtocolError):
                read(lie)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        with pytest.raises(ProtocolError):
            read(lies[-1])
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_version_of_another_time_is_refused():
    with pytest.raises(ProtocolError, match=r"version 2\.0"):
        read(recorded("00 01000000 ffffffff 02000000 00000000"))
    with pytest.raises(ProtocolError, match="header"):
        read(b"\x0b")
