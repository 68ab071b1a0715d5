"""numpy arrays by value."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rpcx.sinks.arrays import array_tag
from rpcx.sinks.formatters import MsgpackFormatter
from rpcx.sinks.tags import CannotTravel
from rpcx.sinks.values import BY_NAME
from tests.sinks.samples import FORMATTERS, connection, same, there_and_back

formatters = pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: formatter.name)

RECORD = np.dtype([("id", "<i4"), ("at", "<M8[ms]"), ("xy", ">f4", (2, 2)), ("in", [("name", "<U5")])])
ALIGNED = np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"]}, align=True)

ARRAYS = {
    "no dimension": np.array(2.5),
    "empty": np.empty((0, 3)),
    "Fortran order": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">i2"),
    "dates": np.array(["2024-02-29", "NaT"], dtype="M8[D]"),
    "durations": np.array([1, 2], dtype="m8[25s]"),
    "texts": np.array(["a", "grüß"]),
    "bytes": np.array([b"a", b"bc"]),
    "bools": np.array([True, False]),
    "complex": np.array([1j], dtype="c8"),
    "half": np.array([1.5], dtype="f2"),
    "records": np.zeros(3, dtype=RECORD),
    "aligned records": np.zeros(2, dtype=ALIGNED),
    "opaque": np.zeros(2, dtype="V3"),
    "large": np.arange(5_000.0),
    "large in Fortran order": np.asfortranarray(np.arange(10_000.0).reshape(100, 100)),
}
NUMBERS = [
    np.float64(2.5), np.float32("nan"), np.int8(-1), np.uint64(2**64 - 1), np.bool_(True), np.complex64(1j),
    np.datetime64("2024-02-29"), np.timedelta64(3, "h"), np.str_("a\0"), np.str_(""), np.bytes_(b""), np.bytes_(b"a\0"),
    np.zeros(1, dtype=RECORD)[0],
]  # fmt: skip


@formatters
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_arrives_as_it_was_and_can_be_written_to(formatter, array):
    arrived = there_and_back(formatter, array)
    assert same(arrived, array)
    assert arrived.flags.writeable
    assert not array.size or not np.shares_memory(arrived, array)


@formatters
@given(hnp.arrays(hnp.array_dtypes() | hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_side=3)))
def test_any_array_of_numbers_texts_and_dates_arrives_as_it_was(formatter, array):
    assert same(there_and_back(formatter, array), array)


@formatters
@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_a_numpy_scalar_keeps_its_type(formatter, number):
    arrived = there_and_back(formatter, number)
    assert type(arrived) is type(number)
    assert arrived.tobytes() == number.tobytes()
    assert arrived.dtype == number.dtype


@formatters
def test_parts_of_an_array_travel_without_what_is_between(formatter):
    array = np.arange(20).reshape(4, 5)[::2, 1::2]
    assert np.array_equal(there_and_back(formatter, array), array)


def test_a_large_array_leaves_without_a_copy_and_arrives_without_one():
    array = np.arange(5_000.0)
    formatter = MsgpackFormatter()
    body, (segment,) = formatter.encode([array], connection())
    assert np.shares_memory(np.frombuffer(segment, "u1"), array)
    assert len(body) < 200
    received = bytearray(segment)
    (arrived,) = formatter.decode(body, [received], connection())
    assert np.shares_memory(arrived, np.frombuffer(received, "u1"))


@formatters
@pytest.mark.parametrize(
    "array", [np.array([{}]), np.array([{}], dtype=[("a", "O")]), np.array([{}])[:0]], ids=["O", "record", "none"]
)
def test_an_array_of_objects_is_refused_by_its_name(formatter, array):
    envelope = ["bank", "put", [1, {"rows": array}], 30.0]
    with pytest.raises(CannotTravel, match=r"^args\[1\]\['rows'\]: a numpy array of dtype object is refused"):
        formatter.encode(envelope, connection())


@formatters
def test_an_array_that_is_more_than_its_numbers_is_refused(formatter):
    with pytest.raises(CannotTravel, match="MaskedArray is more than an array"):
        formatter.encode([np.ma.masked_array([1, 2], mask=[True, False])], connection())


@formatters
def test_an_array_whose_items_have_no_bytes_is_refused(formatter):
    with pytest.raises(CannotTravel, match=r"a numpy dtype \|V0 cannot travel"):
        formatter.encode([np.empty(2, "V0")], connection())


@formatters
def test_an_array_whose_titles_are_no_texts_is_refused(formatter):
    titled = np.zeros(1, {"names": ["a"], "formats": ["<i4"], "titles": [(1, 2)]})
    with pytest.raises(CannotTravel, match="titles are no texts"):
        formatter.encode([titled], connection())


def test_where_numpy_was_not_imported_nothing_is_its_value(monkeypatch):
    class Own:
        """Asked about once: what it is is remembered."""

    monkeypatch.delitem(sys.modules, "numpy")
    assert array_tag(Own) is None


@formatters
def test_a_record_array_arrives_as_an_array(formatter):
    arrived = there_and_back(formatter, np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]))
    assert arrived["b"].tolist() == [2.0]


DESCRIPTIONS = [
    "O",
    "|O",
    "|O8",
    "object",
    "<f8,<i4",
    "numpy.float64",
    "<f99",
    "<T16",
    "<V0",
    "<U0",
    "",
    "a" * 10_000,
    7,
    None,
    [],
    {},
    {"base": "|O", "shape": [1]},
    {"base": "<f8", "shape": [-1]},
    {"base": "<f8", "shape": [0]},
    {"base": "<f8", "shape": [2**62]},
    {"names": ["a"], "formats": ["|O"], "offsets": [0], "itemsize": 8, "aligned": False},
    {"names": ["a"], "formats": ["<f8"], "offsets": [-8], "itemsize": 8, "aligned": False},
    {"names": ["a"], "formats": ["<f8"], "offsets": [4], "itemsize": 8, "aligned": False},
    {"names": ["a", "a"], "formats": ["<f8", "<f8"], "offsets": [0, 0], "itemsize": 8, "aligned": False},
    {"names": [], "formats": [], "offsets": [], "itemsize": 0, "aligned": False},
]


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda description: repr(description)[:40])
def test_a_strangers_dtype_is_refused(description):
    for name, parts in (("ndarray", [description, [1], "C", b"x" * 8]), ("npscalar", [description, b"x" * 8])):
        with pytest.raises(ValueError):
            connection().lift(BY_NAME[name], parts)


@pytest.mark.parametrize("description", ["<V0", "<U0", "<S0", {"base": "<f8", "shape": [0]}], ids=repr)
def test_items_of_no_bytes_do_not_make_a_billion_items(description):
    with pytest.raises(ValueError, match="does not travel"):
        connection().lift(BY_NAME["ndarray"], [description, [10**9], "C", b""])


def test_a_dtype_of_dtypes_of_dtypes_ends_somewhere():
    description: object = "<f8"
    for _ in range(500):
        description = {"base": description, "shape": [1]}
    with pytest.raises(ValueError, match="nested deeper than 8"):
        connection().lift(BY_NAME["ndarray"], [description, [1], "C", b"x" * 8])


@pytest.mark.parametrize(
    "shape", [[2], [], [0], [-1], [1.0], [True], [2**63], [2**32, 2**32], [1] * 65, "1", None, [[1]]], ids=repr
)
def test_a_shape_that_its_data_do_not_fill_is_refused(shape):
    if shape == []:  # one item, and there is one
        assert connection().lift(BY_NAME["ndarray"], ["<f8", shape, "C", b"x" * 8]).shape == ()
        return
    with pytest.raises(ValueError):
        connection().lift(BY_NAME["ndarray"], ["<f8", shape, "C", b"x" * 8])


def test_a_number_of_other_bytes_than_its_type_has_is_refused():
    for data in (b"", b"x" * 7, b"x" * 9):
        with pytest.raises(ValueError, match="no such number"):
            connection().lift(BY_NAME["npscalar"], ["<f8", data])


@given(st.integers(0, 40), st.sampled_from(["C", "F", "K", "", 1]))
def test_no_view_reaches_beyond_its_data(size, order):
    try:
        array = connection().lift(BY_NAME["ndarray"], ["<i4", [2, 3], order, b"x" * size])
    except ValueError:
        assert size != 24 or order not in ("C", "F")
    else:
        assert array.tobytes() == b"x" * 24


PROGRAM = """
import sys
from rpcx.sinks.formatters import MsgpackFormatter
from rpcx.sinks.values import Values
values = Values(lambda value: None, list)
MsgpackFormatter().encode([(1, {2}, b"x" * 9000)], values)
assert "numpy" not in sys.modules, "imported for nothing"
sys.modules["numpy"] = None  # as if it were not installed
try:
    MsgpackFormatter().decode(bytes.fromhex(sys.argv[1]), [], values)
except ValueError as error:
    print(error)
"""


def test_numpy_is_imported_only_for_an_array_that_arrives_and_said_to_be_missing():
    body, _ = MsgpackFormatter().encode([np.arange(3)], connection())
    said = subprocess.run([sys.executable, "-c", PROGRAM, body.hex()], capture_output=True, text=True, check=True)
    assert said.stdout == "a numpy value arrived, and numpy is not installed here: pip install 'rpcx[numpy]'\n"
