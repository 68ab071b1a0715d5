"""msgpack and JSON: exact round trips, bounded decoding, nothing but ValueError on garbage."""

import datetime
import decimal
import enum
import json
import math
import pathlib
import random
import tracemalloc
import uuid
import zoneinfo

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.errors import LimitExceeded, RpcxError
from rpcx.sinks.formatters import JsonFormatter, MsgpackFormatter
from rpcx.sinks.values import Values

VALUES = Values(lambda _: None, lambda fields: ("resolved", *fields))
BOTH = pytest.mark.parametrize("formatter", [MsgpackFormatter(), JsonFormatter()], ids=lambda f: f.name)

SIMPLE = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.binary(max_size=40)
    | st.text(st.characters(), max_size=20) | st.decimals(allow_nan=False) | st.uuids() | st.dates() | st.times()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC)) | st.timedeltas() | st.complex_numbers(allow_nan=False)
)  # fmt: skip
KEYS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.tuples(st.integers(), st.text(max_size=3))
NESTED = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=4)
    | st.frozensets(st.integers() | st.text(max_size=3), max_size=4) | st.sets(st.integers(), max_size=3),
    max_leaves=12,
)  # fmt: skip


def there_and_back(formatter, value, values: Values = VALUES):
    body, segments = formatter.encode([value], values)
    return formatter.decode(body, [bytes(segment) for segment in segments], values)[0]


def same(a, b) -> bool:
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(map(repr, a)) == list(map(repr, b)) and all(
            same(x, y) for x, y in zip(a.values(), b.values(), strict=True)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@BOTH
@given(value=NESTED)
def test_any_value_comes_back_as_it_was(formatter, value):
    assert same(there_and_back(formatter, value), value)


EXACT = [
    1 << 70, -(1 << 200), (1 << 64) - 1, -(1 << 63), 10**5000, math.inf, -math.inf, -0.0, "lone \udcff surrogate",
    bytearray(b"ab"), bytearray(b"x" * 20_000), b"y" * 20_000, pathlib.Path("/a/b"), pathlib.PurePosixPath("c"),
    range(1, 10, 2), decimal.Decimal("sNaN"), {"$tuple": [1]}, {"$x": 1, "y": 2}, {(1, (2,)): {3}},
    datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
    datetime.time(1, 2, 3, 4, fold=1), uuid.UUID(int=7), [[], (), {}, set(), frozenset()],
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    "value", EXACT, ids=lambda v: f"{type(v).__name__} {str(v)[:20] if not isinstance(v, int) else 'n'}"
)
def test_the_odd_ones_too(formatter, value):
    back = there_and_back(formatter, value)
    assert type(back) is type(value) or isinstance(value, pathlib.PurePath)
    if isinstance(value, decimal.Decimal):
        assert str(back) == str(value)
    else:
        assert back == value
    if isinstance(value, datetime.datetime | datetime.time):
        assert back.fold == value.fold
        assert back.tzinfo == value.tzinfo


@BOTH
def test_nan_and_views(formatter):
    assert math.isnan(there_and_back(formatter, math.nan))
    view = there_and_back(formatter, memoryview(b"zz"))
    assert type(view) is memoryview
    assert bytes(view) == b"zz"


@BOTH
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(6).reshape(2, 3)), np.array(5), np.zeros((0, 3)),
        np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", ">f8")]), np.arange(5, dtype=">i2"), np.arange(10_000),
        np.array(["2026-01-01"], dtype="datetime64[D]"), np.arange(20)[::2], np.array([True]), np.array(["ab", "c"]),
    ],
    ids=lambda a: f"{a.dtype} {a.shape}",
)  # fmt: skip
def test_numpy_arrays_come_back_writable_and_exact(formatter, array):
    back = there_and_back(formatter, array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert np.array_equal(back, array)
    assert back.flags.writeable
    if array.size and array.ndim == 2:
        assert back.flags.f_contiguous == array.flags.f_contiguous


@BOTH
def test_a_numpy_scalar_stays_one(formatter):
    back = there_and_back(formatter, np.float32(2.5))
    assert type(back) is np.float32
    assert back == 2.5


@BOTH
def test_a_numpy_array_of_objects_is_refused_with_the_way_to_it(formatter):
    with pytest.raises(TypeError, match=r"\['a'\]\[0\]: a numpy array of dtype object is refused"):
        formatter.encode([{"a": [np.array([object()])]}], VALUES)


@BOTH
def test_what_cannot_travel_is_named_with_the_remedy(formatter):
    class Odd:
        pass

    with pytest.raises(TypeError, match=r"result\['k'\].*Odd cannot travel: make it a dataclass.*@rpcx.remote"):
        formatter.encode([{"k": Odd()}], VALUES)


@BOTH
def test_references_go_by_the_callers_rules(formatter):
    values = Values(lambda obj: ["ref", "id"] if obj is print else None, lambda fields: fields)
    assert there_and_back(formatter, {"f": [print]}, values) == {"f": [["ref", "id"]]}


def test_large_buffers_leave_the_envelope_uncopied():
    data, array = b"d" * 100_000, np.arange(10_000)
    body, segments = MsgpackFormatter().encode([{"a": data, "b": [array]}], VALUES)
    assert len(body) < 200
    assert segments[0] is data
    assert np.shares_memory(np.frombuffer(segments[1], dtype=array.dtype), array)
    back = MsgpackFormatter().decode(body, [data, bytes(segments[1])], VALUES)[0]
    assert back["a"] is data


@BOTH
def test_depth_is_bounded_at_both_ends(formatter):
    fine: list = []
    for _ in range(30):
        fine = [fine]
    assert there_and_back(formatter, fine) == fine
    deep: list = []
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(LimitExceeded, match="32"):
        formatter.encode([deep], VALUES)
    itself: list = []
    itself.append(itself)
    with pytest.raises(LimitExceeded, match="contain themselves"):
        formatter.encode([itself], VALUES)


def test_a_peer_that_nests_deeper_is_refused():
    for depth in (40, 200, 900, 100_000):
        with pytest.raises((ValueError, LimitExceeded)):
            MsgpackFormatter().decode(b"\x91" * depth + b"\xc0", (), VALUES)
        with pytest.raises((ValueError, LimitExceeded)):
            JsonFormatter().decode(b"[" * depth + b"]" * depth, (), VALUES)


def test_a_bomb_of_empty_lists_is_refused_before_it_grows():
    bomb = b"\xdd" + (4_000_000).to_bytes(4, "big") + b"\x90" * 4_000_000
    tracemalloc.start()
    with pytest.raises(LimitExceeded, match="more lists and maps"):
        MsgpackFormatter().decode(bomb, (), VALUES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20  # the list of four million places itself is 32 MiB


@BOTH
def test_garbage_is_a_value_error_and_nothing_else(formatter):
    chance = random.Random(7)
    sample = [1, "a", (1, {2}), {"k": [b"x" * 9000]}, datetime.datetime.now(), np.arange(4), 1 << 80]
    good, segments = formatter.encode(sample, VALUES)
    segments = [bytes(segment) for segment in segments]
    for _ in range(4_000):
        body = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        if chance.random() < 0.2:
            body = body[: chance.randrange(len(body))]
        try:
            formatter.decode(bytes(body), segments, VALUES)
        except (ValueError, RpcxError):
            pass


def test_every_extension_code_survives_random_content():
    chance = random.Random(8)
    for code in range(128):
        for _ in range(30):
            content = chance.choice([chance.randbytes(chance.randrange(20)), msgpack.packb([1, "x", [2]]), b"\xc0"])
            body = msgpack.packb([msgpack.ExtType(code, content)])
            try:
                MsgpackFormatter().decode(body, (), VALUES)
            except (ValueError, RpcxError):
                pass


def test_json_is_text_that_a_person_can_read():
    body, segments = JsonFormatter().encode(["bank", "deposit", [5, "ü", (1,)], 30.0], VALUES)
    assert body.decode() == '["bank","deposit",[5,"ü",{"$tuple":[1]}],30.0]'
    assert segments == ()
    json.loads(body)


# --- keys that would become one -----------------------------------------------------------------------------


class Color(enum.Enum):
    RED = "red"
    ONE = 1


@BOTH
@pytest.mark.parametrize(("value", "what"), [
    ({Color.RED: 1, "red": 2}, "keys"),
    ({Color.ONE: "a", True: "b"}, "keys"),
    ({(1, Color.RED): 1, (1, "red"): 2}, "keys"),
    ({Color.RED, "red"}, "items"),
    (frozenset({(Color.RED,), ("red",)}), "items"),
])  # fmt: skip
def test_of_two_keys_that_travel_as_one_value_none_is_lost_in_silence(formatter, value, what):
    with pytest.raises(TypeError, match=rf"args\[1\]\[0\]: two of its {what} travel as the same value"):
        formatter.encode(["bank", "add", ["fine", [value]], None], VALUES)


@BOTH
@pytest.mark.parametrize("value", [
    {Color.RED: 1, "green": 2}, {1: "a", "1": "b"}, {(1, 2): "a", frozenset({1, 2}): "b"}, {b"x": 1, "x": 2},
    {0: "zero", "": "empty", None: "none", (): "nothing"},
])  # fmt: skip
def test_keys_that_only_look_alike_stay_apart(formatter, value):
    back = there_and_back(formatter, value)
    assert list(back.values()) == list(value.values())


@BOTH
def test_a_set_of_enums_travels_as_their_values(formatter):
    assert there_and_back(formatter, {Color.RED, Color.ONE}) == {"red", 1}


@BOTH
@pytest.mark.parametrize("key", [True, 1.0, -0.0, math.nan, (math.nan,), decimal.Decimal("-0")])
def test_a_key_comes_back_as_the_number_it_was(formatter, key):
    (back,) = there_and_back(formatter, {key: "x"})
    assert (type(back), repr(back)) == (type(key), repr(key))


@BOTH
def test_nans_are_keys_of_their_own(formatter):
    assert list(there_and_back(formatter, {float("nan"): 1, float("nan"): 2}).values()) == [1, 2]


@pytest.mark.parametrize("key", [lambda: (float("nan"),), lambda: decimal.Decimal("NaN")])
def test_nans_within_keys_are_kept_apart_or_refused(key):
    value = {key(): 1, key(): 2}
    assert list(there_and_back(JsonFormatter(), value).values()) == [1, 2]
    with pytest.raises(TypeError, match=r"args\[1\]\[0\]: two of its keys are the same in bytes"):
        MsgpackFormatter().encode(["bank", "add", ["fine", [value]], None], VALUES)


def test_whatever_goes_wrong_with_json_it_is_no_message():
    class Odd:
        def restore(self, plain):
            raise KeyError("what is this?")

    with pytest.raises(ValueError, match="KeyError: 'what is this\\?'"):
        JsonFormatter().decode(b"[]", (), Odd())


def test_the_buffer_of_a_large_message_is_not_kept():
    """It never shrinks."""
    formatter = MsgpackFormatter()
    formatter.pack_plain(["x" * (1 << 20)])
    assert formatter._packers == []
    formatter.pack_plain(["x" * 1000])
    assert len(formatter._packers) == 1


@pytest.mark.parametrize("others", [{}, {1: 2}, {str(number): 0 for number in range(100)}])
def test_a_key_is_no_place_for_a_text_of_pages(others):
    body, _ = MsgpackFormatter().encode([{**others, "k" * 16_385: 1}], VALUES)
    with pytest.raises(LimitExceeded, match="16384 characters") as told:
        MsgpackFormatter().decode(body, (), VALUES)
    assert told.value.limit == "fixed.key_length"


@pytest.mark.parametrize("others", [{}, {1: 2}, {str(number): 0 for number in range(100)}])
def test_a_key_may_have_what_fits_into_a_small_message_however_large_its_own_is(others):
    value = {**others, "k" * 16_384: 1, "data": "x" * 100_000}
    assert there_and_back(MsgpackFormatter(), value) == value
