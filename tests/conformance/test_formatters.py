"""Formatters that break one rule each: the check names it. Ours, and an example's, keep them."""

import threading

import numpy as np
import pytest

from rpcx.conformance import formatters
from rpcx.conformance.formatters import same
from rpcx.sinks.formatters import JsonFormatter, MsgpackFormatter
from rpcx.sinks.values import Values
from rpcx.testing import check_formatter


@pytest.mark.parametrize("formatter", [MsgpackFormatter(), JsonFormatter()], ids=lambda formatter: formatter.name)
def test_it_is_a_formatter(formatter):
    check_formatter(formatter)


class Nameless(JsonFormatter):
    name = ""


class Texts(JsonFormatter):
    def encode(self, value, values):
        body, segments = super().encode(value, values)
        return body.decode(), segments


class Beside(JsonFormatter):
    def encode(self, value, values):
        return super().encode(value, values)[0], ["not a buffer"]


class Tupleless(JsonFormatter):
    """Says everything with lists."""

    def decode(self, body, segments, values):
        def listed(value):
            return list(map(listed, value)) if isinstance(value, list | tuple) else value

        return listed(super().decode(body, segments, values))


class Small(JsonFormatter):
    """Knows no large integers."""

    def encode(self, value, values):
        if isinstance(value, list) and len(value) > 2 and isinstance(value[2], list) and 2**64 in value[2]:
            raise OverflowError("too large")
        return super().encode(value, values)


class Forgetful(JsonFormatter):
    """Decodes everything once."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def decode(self, body, segments, values):
        if body in self.seen:
            return None
        self.seen.add(body)
        return super().decode(body, segments, values)


class Unreferring(JsonFormatter):
    """Asks nobody about what it does not know."""

    def encode(self, value, values):
        return super().encode(value, Values(lambda _: None, lambda fields: fields))


class Twice(JsonFormatter):
    """Makes references again and again."""

    def decode(self, body, segments, values):
        super().decode(body, segments, values)
        return super().decode(body, segments, values)


class Generous(JsonFormatter):
    """Sends whatever it is, somehow."""

    def encode(self, value, values):
        try:
            return super().encode(value, values)
        except TypeError:
            return super().encode(repr(value), values)


class Deep(JsonFormatter):
    """Follows what contains itself as far as it goes."""

    def encode(self, value, values):
        def walk(item):
            return [walk(each) for each in item] if type(item) is list else item

        return super().encode(walk(value), values)


class Strange(JsonFormatter):
    """Lets errors of its own out, and says that it does not."""

    def decode(self, body, segments, values):
        try:
            return super().decode(body, segments, values)
        except ValueError:
            raise KeyError("what is this?") from None


class Panic(BaseException):
    """As libraries in Rust raise them."""


class Panicking(Strange):
    """… of a kind that nobody expects."""

    sound = False

    def decode(self, body, segments, values):
        try:
            return super().decode(body, segments, values)
        except KeyError:
            if not body:
                raise
            raise Panic("what is this?") from None


class Careless(JsonFormatter):
    """Takes nothing for a message."""

    def decode(self, body, segments, values):
        return super().decode(body, segments, values) if body else None


class Remembering(JsonFormatter):
    """Keeps what it is doing in itself."""

    def encode(self, value, values):
        self.value = value
        values.plain(value)  # asks about references
        return super().encode(self.value, values)


class Packing(JsonFormatter):
    def pack_plain(self, envelope):
        return self.encode([*envelope, "more"], None)[0]


class Locked(JsonFormatter):
    """Serves one at a time: slow, but within the rules."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def encode(self, value, values):
        with self.lock:
            return super().encode(value, values)

    def decode(self, body, segments, values):
        with self.lock:
            return super().decode(body, segments, values)


def test_one_at_a_time_is_within_the_rules(monkeypatch):
    monkeypatch.setattr(formatters, "SECONDS", 0.05)
    check_formatter(Locked())


BROKEN = {
    Nameless: "a formatter has a name",
    Texts: "encode returns bytes, and the segments that travel beside them",
    Beside: "segments are buffers",
    Tupleless: "tuple () arrives as it was",
    Small: "int 18446744073709551616 can be encoded; instead: OverflowError: too large",
    Forgetful: "the same bytes are decoded to the same each time",
    Unreferring: "what goes by reference is told by Values",
    Twice: "Values makes each reference again, once, of its fields",
    Generous: "encode raises TypeError for what cannot travel; instead: nothing was raised",
    Deep: "encode refuses what contains itself; instead: RecursionError",
    Strange: "decode raises ValueError on bytes that are no message; instead: KeyError",
    Panicking: "decode raises an Exception on bytes that are no message; instead: Panic: what is this?",
    Careless: "decode raises ValueError on bytes that are no message; instead: nothing was raised",
    Remembering: "a formatter is used by several threads at once",
    Packing: "decode reads what pack_plain writes",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_rule_is_named(kind):
    with pytest.raises(AssertionError) as told:
        check_formatter(kind())
    assert str(told.value).startswith(f"{kind.__name__}: {BROKEN[kind]}")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True), (1, 1.0), (0.0, -0.0), ([], ()), ({1}, {2}), ({1}, frozenset({1})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (b"x", bytearray(b"x")), (memoryview(b"x"), memoryview(bytearray(b"x"))), (ValueError(1), ValueError(2)),
        (np.zeros(2), np.ones(2)), (np.zeros((2, 3)), np.zeros((3, 2))), (1j, -1j), ("a", "b"), ([1, 2], [1]),
        (np.zeros((2, 2), order="C"), np.zeros((2, 2), order="F")),
    ],
)  # fmt: skip
def test_what_can_be_told_apart_is_not_the_same(left, right):
    assert not same(left, right)
    assert same(left, left)
    assert same(right, right)
