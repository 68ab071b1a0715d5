"""The chain of sinks."""

import zlib

import pytest

import rpcx
from rpcx.messages import Call, Fault, Return
from rpcx.sinks.chain import Chain, load_sinks, negotiated
from rpcx.sinks.formatters import JsonFormatter, MsgpackFormatter
from rpcx.sinks.values import Values

VALUES = Values(lambda _: None, lambda fields: fields)


class Noting:
    """Notes what passes."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    def request(self, call):
        self.notes.append(f"{self.name} sees {call.method}")
        return call, call.method

    def reply(self, reply, method):
        self.notes.append(f"{self.name} sees the reply to {method}")
        return reply


class Squeeze:
    """A byte sink."""

    name = "squeeze"

    def wrap(self, data: bytes) -> bytes:
        return zlib.compress(data)

    def unwrap(self, data: bytes) -> bytes:
        return zlib.decompress(data)


class Deny:
    """Answers by itself."""

    name = "deny"

    def request(self, call):
        if call.method == "secret":
            return Fault(rpcx.AccessDenied("not for you"))
        return call, None

    def reply(self, reply, state):
        return reply


def test_a_call_passes_down_and_its_reply_up():
    notes: list[str] = []
    chain = Chain(MsgpackFormatter(), [Noting("a", notes), Noting("b", notes)])
    _, states = chain.request(Call("x", "f"))
    chain.reply(Return(1), states)
    assert notes == ["a sees f", "b sees f", "b sees the reply to f", "a sees the reply to f"]
    notes.clear()
    _, states = chain.inward(Call("x", "f"))
    chain.outward(Return(1), states)
    assert notes == ["b sees f", "a sees f", "a sees the reply to f", "b sees the reply to f"]


def test_who_answers_early_stops_the_call_and_those_above_see_the_answer():
    notes: list[str] = []
    chain = Chain(MsgpackFormatter(), [Noting("a", notes), Deny(), Noting("c", notes)])
    assert isinstance(chain.request(Call("x", "secret")), Fault)
    assert notes == ["a sees secret", "a sees the reply to secret"]


def test_byte_sinks_see_all_bytes_segments_too():
    chain = Chain(MsgpackFormatter(), [Squeeze()])
    body, segments = chain.encode([b"x" * 100_000, 5], VALUES)
    assert segments == ()
    assert len(body) < 1_000
    assert chain.decode(body, (), VALUES) == [b"x" * 100_000, 5]


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\0\x09abc"])
def test_bytes_that_are_no_parts_are_refused(data):
    class Through:
        name = "through"

        def wrap(self, data):
            return data

        unwrap = wrap

    with pytest.raises(ValueError):  # each says it in its own words
        Chain(MsgpackFormatter(), [Through()]).decode(data, (), VALUES)


class Grumpy(JsonFormatter):
    """Has errors of its own; so many libraries do."""

    sound = False

    def decode(self, body, segments, values):
        try:
            return super().decode(body, segments, values)
        except ValueError:
            raise ArithmeticError("what is this?") from None


def test_whatever_a_formatter_or_sink_raises_on_bad_bytes_is_a_refusal():
    with pytest.raises(ValueError, match="ArithmeticError: what is this?"):
        Chain(Grumpy()).decode(b"[", (), VALUES)
    with pytest.raises(rpcx.LimitExceeded):  # which says more than "no message"
        Chain(Grumpy(containers=9)).decode(b"[" * 10, (), VALUES)
    with pytest.raises(ValueError, match="error: Error -3 while decompressing"):
        Chain(MsgpackFormatter(), [Squeeze()]).decode(b"[]", (), VALUES)


def test_nothing_passes_byte_sinks_by():
    chain = Chain(MsgpackFormatter(), [Squeeze()])
    body, _ = chain.encode([5], VALUES)
    with pytest.raises(ValueError, match="segments beside a chain with byte sinks"):
        chain.decode(body, (b"beside",), VALUES)


def test_an_envelope_of_scalars_passes_byte_sinks_too():
    """Whether the formatter has a faster way for it, or none."""
    for formatter in (MsgpackFormatter(), JsonFormatter()):
        chain = Chain(formatter, [Squeeze()])
        assert chain.decode(chain.pack(["bank", 5]), (), VALUES) == ["bank", 5]
        assert Chain(formatter).decode(Chain(formatter).pack(["bank", 5]), (), VALUES) == ["bank", 5]


def test_what_is_no_sink_is_refused():
    with pytest.raises(TypeError, match="is no sink"):
        load_sinks([object()])
    with pytest.raises(ValueError, match="no sink 'nothing'"):
        load_sinks(["nothing"])


def test_a_local_sink_is_not_negotiated():
    sink = Noting("mine", [])
    sink.local = True
    assert negotiated([sink, Squeeze()]) == ("squeeze",)


@rpcx.singleton("thing")
class Thing:
    def plain(self, data: bytes) -> bytes:
        return data

    def secret(self) -> int:
        return 1


def test_sinks_of_both_ends_work_together():
    here: list[str] = []
    there: list[str] = []
    host = rpcx.Host(sinks=[Noting("note", there), Squeeze(), Deny()])
    host.register(Thing)
    url = host.listen("inproc://chain")
    with host, rpcx.connect(url, sinks=[Noting("note", here), Squeeze(), Noting("deny", here)]) as server:
        thing = server.get(Thing)
        assert thing.plain(b"z" * 50_000) == b"z" * 50_000
        with pytest.raises(rpcx.AccessDenied, match="not for you"):
            thing.secret()
        with rpcx.batch(thing) as calls:
            results = [calls.plain(b"1"), calls.secret()]
        assert results[0].result() == b"1"
        assert isinstance(results[1].exception(), rpcx.AccessDenied)
    assert "note sees plain" in there
    assert here[:2] == ["note sees plain", "deny sees plain"]


def test_ends_that_disagree_learn_which_sink():
    host = rpcx.Host(sinks=[Squeeze()])
    url = host.listen("inproc://disagree")
    with host, pytest.raises(rpcx.ProtocolError, match="squeeze"):
        rpcx.connect(url)
