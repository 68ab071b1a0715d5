"""msgpack and JSON: any value there and back, and whatever a stranger sends."""

import datetime
import functools
import json
import random
import struct
import sys
import threading
import tracemalloc

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.errors import LimitExceeded, RpcxError
from rpcx.protocol.frames import MAX_SEGMENTS
from rpcx.sinks.formatters import SEGMENT, SEGMENT_SIZE, JsonFormatter, MsgpackFormatter
from rpcx.sinks.tags import CannotTravel
from rpcx.sinks.values import BY_CODE, BY_NAME
from tests.sinks.samples import FORMATTERS, VALUES, Remote, connection, nested, same, there_and_back

formatters = pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: formatter.name)
MSGPACK, JSON = FORMATTERS

RICH = [
    "bank",
    "add",
    [
        1,
        (2, {3}),
        {"a": 2**70, 4: frozenset({5})},
        bytearray(b"b"),
        datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        Remote(["ref", "x", ["A"]]),
        np.arange(3),
        ValueError("no"),
        memoryview(b"m"),
        1j,
        range(3),
        "grüß",
        b"raw",
        -1.5,
        None,
        datetime.timedelta(1),
        datetime.time(1),
        datetime.date(2024, 1, 1),
        np.float32(1),
    ],
    30.0,
    {"k": [True]},
    {"d": 1},
]


# --- there and back -----------------------------------------------------------------------------------------


@formatters
@given(VALUES)
def test_any_value_arrives_as_it_was(formatter, value):
    assert same(there_and_back(formatter, value), value)


@formatters
@given(st.lists(VALUES, max_size=3), st.none() | st.floats(0, 1e6), st.dictionaries(st.text(), VALUES, max_size=2))
def test_any_call_arrives_as_it_was(formatter, args, timeout, kwargs):
    for envelope in (["bank", "add", args, timeout], ["bank", "add", args, timeout, kwargs or None, None]):
        body, segments = formatter.encode(envelope, connection())
        assert same(formatter.decode(body, segments, connection()), envelope)


@formatters
@pytest.mark.parametrize("value", [None, 7, "text", [], {}, {"a": object}, (1,)], ids=repr)
def test_an_envelope_need_not_be_a_list(formatter, value):
    """Nobody sends one, but a formatter is a formatter."""
    if value == {"a": object}:
        with pytest.raises(CannotTravel):
            formatter.encode(value, connection())
        return
    body, segments = formatter.encode(value, connection())
    assert same(formatter.decode(body, segments, connection()), value)


def test_bodies_are_bytes_whatever_they_hold():
    for formatter in FORMATTERS:
        for envelope in (["bank", "add", [1, 2], 30.0], RICH):
            assert type(formatter.encode(envelope, connection())[0]) is bytes


def test_json_is_text_that_a_person_can_read():
    body, segments = JSON.encode(["bank", "grüß", [(1, 2), float("inf")], None], connection())
    assert body.decode() == '["bank","grüß",[{"$tuple":[1,2]},{"$float":"inf"}],null]'
    assert segments == ()


def test_json_with_a_lone_surrogate_is_ascii():
    body, _ = JSON.encode(["grüß", "\ud800"], connection())
    assert body == rb'["gr\u00fc\u00df","\ud800"]'


def test_a_timestamp_of_msgpacks_own_arrives_as_a_datetime():
    """Other languages send them."""
    body = msgpack.packb([msgpack.Timestamp(1_700_000_000, 500_000_000)])
    expected = [datetime.datetime.fromtimestamp(1_700_000_000.5, datetime.UTC)]
    assert MSGPACK.decode(body, (), connection()) == expected
    assert MSGPACK.decode(body + b"", [b""], connection()) == expected


# --- segments -----------------------------------------------------------------------------------------------

LARGE = b"x" * SEGMENT_SIZE


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, "u1")])
@pytest.mark.parametrize("place", [lambda v: [v], lambda v: ["u", "m", [v], 1.0], lambda v: [{"a": ((v,), [v])}]])
def test_large_buffers_travel_beside_the_body_wherever_they_are(kind, place):
    body, segments = MSGPACK.encode(place(kind(LARGE)), connection())
    assert segments
    assert all(bytes(segment) == LARGE for segment in segments)
    assert len(body) < 300
    assert same(MSGPACK.decode(body, segments, connection()), place(kind(LARGE))) or kind not in (bytes, bytearray)


def test_a_buffer_just_below_travels_in_the_body():
    for value in (LARGE[1:], bytearray(LARGE[1:]), memoryview(LARGE[1:])):
        body, segments = MSGPACK.encode([value], connection())
        assert not segments
        assert len(body) > len(value)


def test_large_buffers_leave_without_a_copy():
    data = bytearray(LARGE)
    for value in (data, memoryview(data)):
        _, (segment,) = MSGPACK.encode([value], connection())
        data[0] ^= 1
        assert segment[0] == data[0]
    _, (segment,) = MSGPACK.encode([LARGE], connection())
    assert segment is LARGE


def test_large_buffers_arrive_without_a_copy_where_the_type_allows_it():
    received = bytearray(LARGE)
    for value, segment in ((LARGE, LARGE), (bytearray(LARGE), received)):
        body, _ = MSGPACK.encode([value], connection())
        assert MSGPACK.decode(body, [segment], connection())[0] is segment
    body, _ = MSGPACK.encode([memoryview(bytearray(LARGE))], connection())
    assert MSGPACK.decode(body, [received], connection())[0].obj is received


@pytest.mark.parametrize(
    "segment",
    [LARGE, bytearray(LARGE), memoryview(LARGE), memoryview(bytearray(LARGE))],
    ids=lambda s: type(s).__name__,
)
@pytest.mark.parametrize(
    "value", [LARGE, bytearray(LARGE), memoryview(LARGE), memoryview(bytearray(LARGE))], ids=lambda v: type(v).__name__
)
def test_a_value_has_its_type_whatever_its_segment_came_as(value, segment):
    body, _ = MSGPACK.encode([value], connection())
    assert same(MSGPACK.decode(body, [segment], connection())[0], value)


def test_more_segments_than_a_frame_has_stay_in_the_body():
    values = [LARGE] * (MAX_SEGMENTS + 2)
    body, segments = MSGPACK.encode([values], connection())
    assert len(segments) == MAX_SEGMENTS
    assert MSGPACK.decode(body, segments, connection()) == [values]


def test_the_second_try_at_a_short_body_leaves_no_trace_in_its_errors():
    with pytest.raises(ValueError) as error:
        MSGPACK.decode(msgpack.packb([msgpack.ExtType(77, b"\x90")]), (), connection())
    assert error.value.__context__ is None


def segment(index: object, code: object) -> msgpack.ExtType:
    return msgpack.ExtType(SEGMENT, msgpack.packb([index, code]))


def test_a_segment_named_twice_is_fine_and_a_thousand_times_is_not():
    twice = msgpack.packb([segment(0, 7), segment(0, 7)])
    assert MSGPACK.decode(twice, [LARGE], connection()) == [LARGE, LARGE]
    with pytest.raises(ValueError, match="named more than 2"):
        MSGPACK.decode(msgpack.packb([segment(0, 7)] * 1_000), [LARGE], connection())


@pytest.mark.parametrize(
    ("index", "code"), [(1, 0), (-1, 0), (2**60, 0), (0, 3), (0, -1), (0, 2), ("0", 0), (0, None), (True, 0), ([], {})]
)
def test_a_segment_that_is_not_there_is_a_valueerror(index, code):
    with pytest.raises(ValueError):
        MSGPACK.decode(msgpack.packb([segment(index, code)]), [LARGE], connection())
    for other in ([], 0, None, [0], [0, 0, 0], "00"):
        with pytest.raises(ValueError):
            MSGPACK.decode(msgpack.packb([msgpack.ExtType(SEGMENT, msgpack.packb(other))]), [LARGE], connection())


def test_segments_beside_json_are_refused():
    with pytest.raises(ValueError, match="segments"):
        JSON.decode(b"[1]", [b"x"], connection())


# --- what a stranger sends ----------------------------------------------------------------------------------


def taken(formatter, body: bytes, segments=()) -> bool:
    """Decode what may be anything: whether it was taken. ValueError and our own errors are all that may come out."""
    try:
        formatter.decode(body, segments, connection())
    except (ValueError, RpcxError):
        return False
    return True


def mutants(body: bytes, count: int, seed: int):
    """``body`` with bytes changed, cut, doubled and moved."""
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(5):
                case 0:
                    data[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    del data[at : at + rng.randint(1, 8)]
                case 2:
                    data[at:at] = rng.randbytes(rng.randint(1, 4))
                case 3:
                    data[at:at] = data[at : at + rng.randint(1, 30)]
                case 4 if at < len(data):
                    data[at] ^= 1 << rng.randrange(8)
        yield bytes(data)


@formatters
def test_a_valid_body_changed_somewhere_is_a_value_or_a_valueerror(formatter):
    body, segments = formatter.encode(RICH, connection())
    assert taken(formatter, body, segments)
    fates = [taken(formatter, mutant, segments) for mutant in mutants(body, 4_000, seed=7)]
    assert 40 < sum(fates) < 3_960, "the mutants are all alike"


@formatters
def test_a_valid_body_cut_anywhere_is_a_valueerror(formatter):
    body, segments = formatter.encode(RICH, connection())
    for end in range(len(body)):
        with pytest.raises(ValueError):
            formatter.decode(body[:end], segments, connection())


@formatters
@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_valueerror(formatter, body):
    taken(formatter, body)
    taken(formatter, body, [b"segment"])


PAYLOAD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("code", [*BY_CODE, SEGMENT, 0, 21, 127, -2, -1])
@given(payload=PAYLOAD.map(msgpack.packb) | st.binary(max_size=30))
def test_every_extension_type_with_any_payload_is_a_value_or_a_valueerror(code, payload):
    body = bytes([0x91, 0xC7, len(payload), code & 0xFF]) + payload if len(payload) < 256 else b""
    was_taken = taken(MSGPACK, body, [b"segment"])
    assert not was_taken or code in BY_CODE or code in (SEGMENT, -1)


@pytest.mark.parametrize("name", [*BY_NAME, "bytes", "nothing", ""])
@given(content=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_every_tag_with_any_content_is_a_value_or_a_valueerror(name, content):
    taken(JSON, json.dumps([{f"${name}": content}]).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\x91",
        b"\x81\x90\x01",
        b"\x81\x80\x01",
        b"\xa1\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x03",
        b"\xc7\x00\x03",
        b"\xd4\xff\x00",
        b"\xc7\x0c\xff" + b"\xff" * 12,
    ],
)
def test_bytes_that_are_no_msgpack_are_a_valueerror(body):
    for padding in (0, 600, 3_000, 20_000):  # each way that bodies of a size go
        with pytest.raises(ValueError):
            MSGPACK.decode(body if not padding else b"\x92" + msgpack.packb("x" * padding) + body, (), connection())


def test_bytes_behind_the_end_are_a_valueerror():
    for size in (0, 600, 3_000, 20_000):
        body = msgpack.packb(["x" * size])
        assert MSGPACK.decode(body, (), connection()) == ["x" * size]
        with pytest.raises(ValueError):
            MSGPACK.decode(body + b"\x01", (), connection())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"[1] 2",
        b"[NaN]",
        b"[Infinity]",
        b"\xff",
        b"\xff\xfe[\x001\x00]\x00",
        b"\xef\xbb\xbf[1]",
        b'["\\ud8"]',
        b"[" + b"9" * 5000 + b"]",
        b'{"$ref"',
        b'"' + b'\\"' * 200_000,
        b"\x00" * 9,
        b'{"a":1,}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_bytes_that_are_no_json_are_a_valueerror(body):
    with pytest.raises(ValueError):
        JSON.decode(body, (), connection())


@formatters
def test_the_interpreters_limit_for_decimal_digits_stops_no_number(formatter):
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        for value in (2**64 - 1, 2**64, -(10**5_000)):
            assert there_and_back(formatter, value) == value
    finally:
        sys.set_int_max_str_digits(before)


# --- bombs --------------------------------------------------------------------------------------------------

MIB = 1 << 20
FOUR = 4 * MIB


def many(item: bytes, count: int) -> bytes:
    return b"\xdd" + struct.pack(">I", count) + item * count


def claims() -> bytes:
    """Arrays within arrays that each claim all that is there."""
    return (b"\xdd" + struct.pack(">I", FOUR - 6_000)) * 1_000 + b"\x01" * (FOUR - 5_000)


def ext(code: int, payload: bytes) -> bytes:
    return b"\xc9" + struct.pack(">I", len(payload)) + bytes([code]) + payload


def deep_ext() -> bytes:
    return functools.reduce(lambda inner, _: ext(3, b"\x91" + inner), range(500), b"\x01")


BOMBS = {
    "empty lists": (MSGPACK, lambda: many(b"\x90", FOUR)),
    "empty maps": (MSGPACK, lambda: many(b"\x80", FOUR)),
    "lists in a tuple": (MSGPACK, lambda: ext(3, many(b"\x90", FOUR))),
    "empty tuples": (MSGPACK, lambda: many(b"\xd4\x03\x90", FOUR // 3)),
    "small tuples of lists": (MSGPACK, lambda: many(ext(3, b"\x9a" + b"\x90" * 10), FOUR // 17)),
    "empty sets": (MSGPACK, lambda: many(b"\xd4\x04\x90", FOUR // 3)),
    "claims": (MSGPACK, claims),
    "claims in a short body": (MSGPACK, lambda: b"\xdc\x0f\xff" * 1_000 + b"\x01" * 1_000),
    "claims in a tuple": (MSGPACK, lambda: ext(3, claims())),
    "lists 1,000 deep": (MSGPACK, lambda: b"\x91" * 1_000 + b"\x01"),
    "lists a million deep": (MSGPACK, lambda: b"\x91" * MIB + b"\x01"),
    "maps 1,000 deep": (MSGPACK, lambda: b"\x81\x01" * 1_000 + b"\x01"),
    "keys 30 deep, often": (
        MSGPACK,
        lambda: many(functools.reduce(lambda i, _: ext(3, b"\x91" + i), range(30), b"\x01"), 10_000),
    ),
    "tuples 500 deep": (MSGPACK, deep_ext),
    "lists in JSON": (JSON, lambda: b"[" + b"[]," * (FOUR // 3) + b"[]]"),
    "maps in JSON": (JSON, lambda: b"[" + b"{}," * (FOUR // 3) + b"{}]"),
    "tuples in JSON": (JSON, lambda: b"[" + b'{"$tuple":[]},' * (FOUR // 14) + b"1]"),
    "lists a million deep in JSON": (JSON, lambda: b"[" * MIB),
    "maps 900 deep in JSON": (JSON, lambda: b'{"a":' * 900 + b"1" + b"}" * 900),
    "tuples 300 deep in JSON": (JSON, lambda: b'{"$tuple":[' * 300 + b"1" + b"]}" * 300),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_has_taken_memory(name):
    formatter, make = BOMBS[name]
    body = make()
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, LimitExceeded)):
            formatter.decode(body, (), connection())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 22 * MIB  # 100,000 empty sets have 20.6 MiB, the most of all


def test_plain_lists_are_counted_too_before_they_leave():
    shared: object = [1]
    for _ in range(3):
        shared = [shared] * 1_000
    for value in ([[1]] * 100_001, shared):
        with pytest.raises(LimitExceeded, match="than the 100000"):
            MSGPACK.encode([value], connection())


def test_a_limit_is_named_with_its_value():
    with pytest.raises(LimitExceeded, match="than the 100000"):
        MSGPACK.decode(many(b"\x90", MIB), (), connection())
    with pytest.raises(LimitExceeded, match="than the 50"):
        JsonFormatter(containers=50).decode(b"[" + b"[]," * 60 + b"1]", (), connection())
    with pytest.raises(LimitExceeded, match="deeper than 7"):
        MsgpackFormatter(depth=7).decode(msgpack.packb(nested(40)), (), connection())


@formatters
def test_a_large_message_that_is_no_bomb_passes(formatter):
    """A control: much in few containers."""
    for value in (
        list(range(300_000)),
        [{"id": n, "tags": ("a", "b")} for n in range(20_000)],
        "[{" * 300_000,
        '\\"[' * 200_000,
    ):
        assert there_and_back(formatter, value) == value


def test_what_is_counted_in_json_does_not_leave_either():
    with pytest.raises(LimitExceeded, match="than the 50"):
        JsonFormatter(containers=50).encode([[1]] * 60, connection())


# --- threads ------------------------------------------------------------------------------------------------


@formatters
def test_one_formatter_serves_many_threads(formatter):
    """Packers are taken from a pool: one shared by two threads would mix their messages."""
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(300):
            envelope = ["bank", "add", [rng.random(), (seed, b"x" * rng.randrange(50), [rng.random()])], 30.0]
            body, segments = formatter.encode(envelope, connection())
            if formatter.decode(body, segments, connection()) != envelope:
                wrong.append(envelope)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_a_reference_whose_making_encodes_a_message_of_its_own_disturbs_nothing():
    class Encoding(Remote):
        pass

    values = connection()

    def refer(value):
        MSGPACK.encode(["another", (1, [2])], values)
        return ["ref", "x", ["A"]] if isinstance(value, Encoding) else None

    again = type(values)(refer, list)
    body, segments = MSGPACK.encode([(Encoding([]), {"a": (Encoding([]),)})], again)
    assert MSGPACK.decode(body, segments, again) == [(["ref", "x", ["A"]], {"a": (["ref", "x", ["A"]],)})]


def test_a_packer_that_failed_is_not_used_again():
    formatter = MsgpackFormatter()
    for _ in range(3):
        with pytest.raises(CannotTravel):
            formatter.encode([(1, object)], connection())
        body, _ = formatter.encode(["fine", (1,)], connection())
        assert formatter.decode(body, (), connection()) == ["fine", (1,)]
