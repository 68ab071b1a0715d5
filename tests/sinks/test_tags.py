"""Types that no format has by itself: each arrives as it was."""

import datetime
import decimal
import enum
import pathlib
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.errors import RpcxError
from rpcx.sinks.formatters import SEGMENT
from rpcx.sinks.lowering import CONTAINERS
from rpcx.sinks.tags import NO_CODE, TABLE, CannotTravel
from rpcx.sinks.values import BY_NAME
from tests.sinks.samples import FORMATTERS, LEAVES, Remote, connection, same, there_and_back

formatters = pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: formatter.name)
UTC = datetime.UTC
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = datetime.datetime(2024, 2, 29, 12)  # naive on purpose

EXACT = {
    "an int beyond 64 bits": 2**64,
    "a negative one": -(2**63) - 1,
    "one of 10,000 digits": 10**9999,
    "nan": float("nan"),
    "minus infinity": float("-inf"),
    "minus zero": -0.0,
    "a lone surrogate": "a\ud800b",
    "two surrogates of a pair": "\ud83d\ude00",
    "surrogates as a key": {"\ud83d\ude00": 1, "\udc00": 2},
    "a signalling NaN": decimal.Decimal("sNaN12"),
    "a huge exponent": decimal.Decimal("1E+999999"),
    "a zone by its key, the second time of that hour": NOON.replace(month=10, day=27, hour=2, tzinfo=BERLIN, fold=1),
    "a zone that has a name": NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1), "X")),
    "an offset of microseconds": NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(microseconds=-7))),
    "an offset of seconds": NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(seconds=-4021))),
    "fold without a zone": NOON.replace(fold=1),
    "the first moment": datetime.datetime.min,  # naive on purpose
    "the last moment": datetime.datetime.max.replace(tzinfo=UTC),
    "a time with a zone": datetime.time(1, tzinfo=BERLIN),
    "a time in UTC": datetime.time(1, 2, 3, 4, tzinfo=UTC, fold=1),
    "a negative duration": datetime.timedelta(-1, 5, 7),
    "a complex of odd parts": complex(-0.0, float("inf")),
    "a path": pathlib.Path("/a/b"),
    "a path with odd bytes": pathlib.Path("/a/\udcff"),
    "a pure path": pathlib.PurePosixPath("a"),
    "a Windows path": pathlib.PureWindowsPath("c:\\a"),
    "an empty range": range(5, 5),
    "a long range": range(-(2**80), 2**80, 2**66),
    "tuples within tuples": ((), ((1,), [2])),
    "a tuple as key": {(1, ("a", None)): 1, frozenset({1}): 2, None: 3, 1.5: 4, b"k": 5},
    "an empty bytearray": bytearray(),
    "a large bytearray": bytearray(b"x" * 9_000),
    "a memoryview": memoryview(b"abc"),
    "one that may be written to": memoryview(bytearray(b"abc")),
    "a large one": memoryview(b"x" * 9_000),
    "a large one that may be written to": memoryview(bytearray(b"x" * 9_000)),
    "large bytes": b"x" * 9_000,
    "a dict that looks like a tag": {"$tuple": [1]},
    "an empty dict": {},
}


@formatters
@pytest.mark.parametrize("value", EXACT.values(), ids=EXACT)
def test_values_arrive_as_they_were(formatter, value):
    assert same(there_and_back(formatter, value), value)


@formatters
@given(LEAVES)
def test_any_leaf_arrives_as_it_was(formatter, value):
    assert same(there_and_back(formatter, value), value)


def test_the_comparison_of_these_tests_tells_differences():
    """A control: `same` would notice."""
    pairs = [(0.0, -0.0), (1, 1.0), (1, True), ([1], (1,)), (NOON, NOON.replace(fold=1)), (b"", bytearray())]
    assert not any(same(*pair) for pair in pairs)
    assert not same(memoryview(b"a"), memoryview(bytearray(b"a")))
    assert not same({1: 2, 3: 4}, {3: 4, 1: 2})


@formatters
def test_a_memoryview_of_scattered_bytes_arrives_as_its_bytes(formatter):
    assert there_and_back(formatter, memoryview(b"abcdef")[::2]) == b"ace"


@formatters
def test_a_zone_of_ones_own_travels_if_its_offset_is_fixed(formatter):
    class Fixed(datetime.tzinfo):
        def utcoffset(self, when):
            return datetime.timedelta(hours=3)

    arrived = there_and_back(formatter, NOON.replace(tzinfo=Fixed()))
    assert arrived.tzinfo == datetime.timezone(datetime.timedelta(hours=3))


@formatters
def test_a_zone_that_nobody_else_knows_is_refused_with_advice(formatter):
    class Moody(datetime.tzinfo):
        """Has no offset without a date."""

    with pytest.raises(CannotTravel, match=r"result: its time zone .*zoneinfo.ZoneInfo"):
        formatter.encode([NOON.replace(tzinfo=Moody())], connection())


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "Europe/Berlin\0", "Nowhere/Land", ""])
def test_a_zone_from_the_wire_is_a_known_zone_or_nothing(key):
    with pytest.raises(ValueError, match="unknown time zone"):
        connection().lift(BY_NAME["datetime"], ["2024-01-01T00:00:00", 0, key])


def test_a_windows_path_arrives_pure_where_it_cannot_be_opened():
    assert connection().lift(BY_NAME["path"], [True, "c:\\a", "windows"]) == pathlib.PureWindowsPath("c:\\a")


class Trap:
    """Notes when anything but its type is looked at: what it raised would be taken for bad data."""

    touched = 0

    def _sprung(self, *_):
        Trap.touched += 1
        raise AssertionError("a stranger's object was asked")

    __index__ = __int__ = __float__ = __complex__ = __len__ = __iter__ = __str__ = __fspath__ = _sprung
    __bytes__ = __bool__ = _sprung


CONTAINER_TAGS = [tag for tag in BY_NAME.values() if tag.nested]
LEAF_TAGS = [tag for tag in BY_NAME.values() if not tag.nested and tag.name != "ref"]


@pytest.mark.parametrize("tag", LEAF_TAGS, ids=lambda tag: tag.name)
@pytest.mark.parametrize(
    "shape", [lambda t: t, lambda t: [t], lambda t: [t, t], lambda t: [t, t, t], lambda t: [t] * 4]
)
def test_an_object_among_the_fields_of_a_leaf_is_not_touched(tag, shape):
    """It may be a proxy, whose every method is a call over the connection that is being read."""
    Trap.touched = 0
    with pytest.raises(ValueError):
        connection().lift(tag, shape(Trap()))
    assert not Trap.touched


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("tag", [*LEAF_TAGS, *CONTAINER_TAGS], ids=lambda tag: tag.name)
@given(junk=JUNK)
def test_a_tag_of_junk_is_a_value_or_a_valueerror(tag, junk):
    try:
        connection().lift(tag, junk)
    except (ValueError, RpcxError):
        pass


def test_no_two_tags_share_a_number_or_a_name():
    distinct = {id(tag): tag for tag in (*TABLE.values(), *BY_NAME.values())}.values()
    numbers = [tag.code for tag in distinct if tag.code != NO_CODE]
    assert len({tag.name for tag in distinct}) == len(distinct)
    assert len(set(numbers)) == len(numbers)
    assert SEGMENT not in numbers
    assert min(numbers) > 0  # the others are msgpack's own


@formatters
def test_a_reference_that_arrives_is_noticed(formatter):
    body, segments = formatter.encode([{"deep": (Remote(["call", "x"]),)}], connection())
    values = connection()
    formatter.decode(*formatter.encode([1], values), values)
    assert not values.seen_reference
    ((arrived,),) = (formatter.decode(body, segments, values)[0].values(),)
    assert arrived[0].fields == ["call", "x"]
    assert values.seen_reference


@formatters
def test_what_would_arrive_as_a_list_cannot_be_a_key(formatter):
    class Colour(enum.Enum):
        RED = "red"

    assert there_and_back(formatter, {Colour.RED: 1}) == {"red": 1}

    class Listed(enum.Enum):
        IT = [1]

    for value in ({Listed.IT: 1}, {Listed.IT}, {(1, Listed.IT): 1}):
        with pytest.raises(CannotTravel, match="no key"):
            formatter.encode([value], connection())


@pytest.mark.parametrize("kind", [["posix"], [None], ["windows", "windows"]], ids=repr)
def test_a_path_of_an_unknown_machine_is_refused(kind):
    with pytest.raises(ValueError, match="no kind of path"):
        connection().lift(BY_NAME["path"], [False, "a", *kind])


def test_containers_that_are_counted_are_those_that_have_a_tag_or_are_native():
    assert {tuple, set, frozenset} == CONTAINERS - {list, dict}
