"""Sessions that break one rule each: the check names it. rpcx's own, and those of foreign protocols, keep them."""

import pytest
import serpent

import rpcx
from rpcx import dotnet
from rpcx.abc import PeerFacts
from rpcx.channels.urls import parse
from rpcx.conformance import sessions
from rpcx.conformance.lines import LineSession
from rpcx.interop.dotnet import framing
from rpcx.interop.dotnet.binary import write_call
from rpcx.interop.dotnet.channel import DotnetTcpChannel
from rpcx.interop.dotnet.messages import MethodCall
from rpcx.interop.dotnet.nodes import Kind, Primitive
from rpcx.interop.pyro import message
from rpcx.interop.pyro.channel import PyroChannel
from rpcx.interop.pyro.message import Message, write
from rpcx.protocol.connection import CALL
from rpcx.testing import check_session
from tests.fuzz.targets import HELLO, HOST, envelope

SAID = b"one\ntwo\nthree\nand what has no end"
CALLS = [
    ["bank", "anything", [1, "x", None], 5.0],
    ["bank", "failing", ["no"], None],
    ["bank", "nothing", [], None],
    ["rpcx", "contract", ["bank", "Bank"], None],
]
FACTS = PeerFacts("check", "192.0.2.1:1", owner=True)


@dotnet.type("Check.Bank", assembly="Check")
@rpcx.singleton("bank")
class Bank:
    def add(self, one: dotnet.Int32, two: dotnet.Int32) -> dotnet.Int32:
        return one + two

    def fail(self) -> None:
        raise ValueError("no")


@pytest.fixture
def realm():
    """Of a host with a bank."""
    host = rpcx.Host()
    host.register(Bank)
    yield host._realm
    host.close()


def test_the_smallest_protocol_is_a_session():
    check_session(LineSession, SAID, b"ONE\nTWO\nTHREE\n")
    check_session(lambda: LineSession(beat=1.0), b"one\nquit\n", b"ONE\nbye\n")


@pytest.mark.parametrize("calls", [CALLS[:2], CALLS[2:3], CALLS[3:]], ids=["two", "refused", "described"])
def test_an_endpoint_is_a_session(calls):
    said = b"".join(envelope(CALL, call, number) for number, call in enumerate(calls, 1))
    check_session(lambda: HOST._realm.endpoint(facts=FACTS), HELLO + said)


def test_a_session_of_dotnet_is_one(realm):
    channel, address = DotnetTcpChannel(), parse("dotnet+tcp://127.0.0.1:1")
    calls = [("Add", [Primitive(Kind.INT32, 2), Primitive(Kind.INT32, 3)]), ("Fail", [])]
    said = [framing.request(write_call(MethodCall(name, "Check.Bank, Check", args)), "bank") for name, args in calls]
    check_session(lambda: realm.session(channel, address, FACTS), b"".join(said))


def test_a_session_of_pyro_is_one(realm):
    channel, address = PyroChannel(), parse("pyro://127.0.0.1:1")
    hello = serpent.dumps({"handshake": "hello", "object": "bank"})
    call = serpent.dumps(("bank", "add", (2, 3), {}))
    said = [
        Message(message.CONNECT, 1, 0, hello), Message(message.PING, 1, 1, b"ping"), Message(message.INVOKE, 1, 2, call)
    ]  # fmt: skip
    check_session(lambda: realm.session(channel, address, FACTS), b"".join(map(write, said)))


# --- broken ones --------------------------------------------------------------------------------------------


class Whole(LineSession):
    """Takes what one read brings for whole lines."""

    def receive(self, data, now):
        return super().receive(data if data.endswith(b"\n") else data + b"\n", now)


class Cutting(LineSession):
    """Forgets what it had of a line when much comes."""

    def receive(self, data, now):
        if len(data) > 20:
            self.rest = b""
        return super().receive(data, now)


class Repeating(LineSession):
    """What waits for its driver is given out again."""

    def outgoing(self):
        return list(self.out) if getattr(self.link, "paused", False) else super().outgoing()


class Quiet(LineSession):
    ready = False


class Eager(LineSession):
    ready = True


class Textual(LineSession):
    def outgoing(self):
        paused = getattr(self.link, "paused", False)
        return [part.decode() for part in super().outgoing()] if paused else super().outgoing()


class Trusting(LineSession):
    """Reads what a stranger says as text."""

    def receive(self, data, now):
        data.decode()
        return super().receive(data, now)


class Failing(LineSession):
    def __init__(self):
        super().__init__(work=bytes.decode)


class Unwanting(LineSession):
    def wanted(self):
        return 0


class Busy(LineSession):
    """Its timer is due for ever."""

    def due(self):
        return 5.0


class Timeless(LineSession):
    def due(self):
        return "soon"


class Explosive(LineSession):
    def due(self):
        return 2000.0

    def tick(self, now):
        raise OverflowError("too late")


class Surprised(LineSession):
    """Does not expect the end within a line."""

    def eof(self, now):
        if self.rest:
            raise EOFError("within a line")
        return ()


class Final(LineSession):
    def lost(self, error):
        if self.ended is not None:
            raise RuntimeError("lost already")
        super().lost(error)


class Undecided(LineSession):
    def __init__(self):
        super().__init__()
        self.finished = None


class Unattached(LineSession):
    def attach(self, link, now):
        raise LookupError("to what?")


class Threadbound(LineSession):
    """Says something else where a driver is."""

    def say(self, data):
        super().say(data.lower() if type(self.link).__module__ == "rpcx.drivers.links" else data)


class Loopbound(LineSession):
    def say(self, data):
        super().say(data.lower() if type(self.link).__module__ == "rpcx.drivers.aio" else data)


class Asynchronous(LineSession):
    def receive(self, data, now):
        jobs = super().receive(data, now)
        for job in jobs:
            job.is_async = True
        return jobs


BROKEN = {
    Whole: "it answers the same in whatever pieces bytes come",
    Cutting: "it answers the same in whatever pieces bytes come",
    Repeating: "outgoing gives each buffer once",
    Quiet: "ready says whether outgoing has something; instead: False before [b'ONE",
    Eager: "outgoing gives each buffer once",
    Textual: "outgoing returns buffers",
    Trusting: "receive raises nothing, whatever comes",
    Failing: "a job never raises; instead: UnicodeDecodeError",
    Unwanting: "wanted says how many bytes to ask for; instead: 0",
    Busy: "tick moves due: what is due for ever keeps a driver busy for ever",
    Timeless: "due is a time, or None; instead: soon",
    Explosive: "tick raises nothing; instead: OverflowError: too late",
    Surprised: "eof, held_back and lost raise nothing, whenever they come, and lost may come twice; instead: EOFError",
    Final: "eof, held_back and lost raise nothing, whenever they come, and lost may come twice; instead: RuntimeError",
    Undecided: "finished says whether the connection is over",
    Unattached: "attach raises nothing; instead: LookupError: to what?",
    Threadbound: "it answers the same under threads; instead: b'one",
    Loopbound: "it answers the same under asyncio; instead: b'one",
    Asynchronous: "check_session runs no async jobs: say something else",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_rule_is_named(kind, monkeypatch):
    monkeypatch.setattr(sessions, "SECONDS", 1.0)
    with pytest.raises(AssertionError) as told:
        check_session(kind, SAID)
    assert str(told.value).startswith(f"{kind.__name__}: {BROKEN[kind]}")


def test_what_is_answered_may_be_known():
    with pytest.raises(AssertionError, match=r"LineSession: it answers what it should; instead: b'ONE"):
        check_session(LineSession, SAID, b"EINS\n")
