"""Sinks that break one rule each: the check names it; and some that keep them."""

import itertools
import zlib

import pytest

from rpcx.errors import AccessDenied
from rpcx.messages import Fault, Return
from rpcx.testing import check_sink


class Stopwatch:
    """Remembers by returning it."""

    name = "stopwatch"
    local = True

    def request(self, call):
        return call, call.method

    def reply(self, reply, method):
        return reply


class Cache:
    """Answers what it has."""

    name = "cache"

    def __init__(self):
        self.known = {}

    def request(self, call):
        return self.known.get(call.method) or (call, call.method)

    def reply(self, reply, method):
        self.known[method] = reply
        return reply


class Deny:
    name = "deny"

    def request(self, call):
        return Fault(AccessDenied("not for you"))

    def reply(self, reply, state):
        raise AssertionError("nothing passed")


class Squeeze:
    name = "squeeze"

    def wrap(self, data):
        return zlib.compress(data)

    def unwrap(self, data):
        return zlib.decompress(data)


class Counting:
    """Each connection has a number in each direction."""

    name = "counting"

    def connected(self):
        return Line()

    def wrap(self, data):
        raise NotImplementedError

    unwrap = wrap


class Line:
    name = "counting"

    def __init__(self):
        self.sent, self.came = itertools.count(), itertools.count()

    def wrap(self, data):
        return next(self.sent).to_bytes(4, "big") + data

    def unwrap(self, data):
        if data[:4] != next(self.came).to_bytes(4, "big"):
            raise ValueError("not the next one")
        return data[4:]


@pytest.mark.parametrize("make", [Stopwatch, Cache, Deny, Squeeze, Counting])
def test_it_is_a_sink(make):
    check_sink(make)


# --- broken ones --------------------------------------------------------------------------------------------


class Nameless(Stopwatch):
    name = ""


class Renamed(Stopwatch):
    numbers = itertools.count()

    def __init__(self):
        self.name = f"sink {next(self.numbers)}"


class Half:
    name = "half"

    def request(self, call):
        return call, None


class NoSink:
    name = "none"


class Unconnected(Counting):
    def connected(self):
        raise RuntimeError("not yet")


class Remembering(Stopwatch):
    """Remembers in itself."""

    def request(self, call):
        self.method = call.method
        return call, None

    def reply(self, reply, state):
        return Return(self.method)


class Raising(Stopwatch):
    def request(self, call):
        raise AccessDenied("not for you")


class RaisingLate(Stopwatch):
    def reply(self, reply, method):
        raise AccessDenied("not for you")


class Bare(Stopwatch):
    def request(self, call):
        return call


class Naming(Stopwatch):
    def request(self, call):
        return (call.method, None)


class Unpacking(Stopwatch):
    def reply(self, reply, method):
        return reply.value if isinstance(reply, Return) else reply


class Lossy(Squeeze):
    def unwrap(self, data):
        return super().unwrap(data)[:1000]


class Textual(Squeeze):
    def wrap(self, data):
        return bytearray(super().wrap(data))


class TextualToo(Squeeze):
    def unwrap(self, data):
        return bytearray(super().unwrap(data))


class Picky(Squeeze):
    def wrap(self, data):
        return super().wrap(data) if data else data[0]


class Unwilling(Squeeze):
    def unwrap(self, data):
        raise ValueError("never")


class Panic(BaseException):
    """As libraries in Rust raise them."""


class Strange(Squeeze):
    def unwrap(self, data):
        try:
            return super().unwrap(data)
        except zlib.error:
            raise Panic("what is this?") from None


class OneAtATime(Squeeze):
    """Only the last message can be unwrapped."""

    last = b""

    def wrap(self, data):
        OneAtATime.last = super().wrap(data)
        return self.last

    def unwrap(self, data):
        if data != self.last:
            raise ValueError("not the last")
        return super().unwrap(data)


BROKEN = {
    Nameless: "a sink has a name",
    Renamed: "its name is always the same, since both ends compare it",
    Half: "a sink has request and reply, or wrap and unwrap, or all of them",
    NoSink: "a sink has request and reply, or wrap and unwrap, or all of them",
    Unconnected: "connected() gives each connection a sink of its own",
    Remembering: "what a sink remembers of a call is its state, and not its own: replies come in any order",
    Raising: "request raises nothing: a sink that refuses a call answers it with a Fault; instead: AccessDenied",
    RaisingLate: "reply raises nothing: a sink that refuses a reply returns a Fault; instead: AccessDenied",
    Bare: "request returns the call with what to remember, or a Return, or a Fault",
    Naming: "request returns the call with what to remember, or a Return, or a Fault",
    Unpacking: "reply returns a Return or a Fault; instead: [1, 'one']",
    Lossy: "unwrap is the inverse of the other end's wrap",
    Textual: "wrap returns bytes",
    TextualToo: "unwrap returns bytes",
    Picky: "wrap takes any bytes; instead: IndexError",
    Unwilling: "unwrap takes what the other end's wrap returned; instead: ValueError: never",
    Strange: "unwrap raises an Exception on bytes that are not its own; instead: Panic: what is this?",
    OneAtATime: "unwrap takes what the other end's wrap returned; instead: ValueError: not the last",
}


@pytest.mark.parametrize("make", BROKEN)
def test_a_broken_rule_is_named(make):
    with pytest.raises(AssertionError) as told:
        check_sink(make)
    assert str(told.value).startswith(f"{make.__name__}: {BROKEN[make]}")
