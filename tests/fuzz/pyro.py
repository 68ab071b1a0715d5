"""Parsers of Pyro5: messages to a host with objects, a daemon's answers, and values by each of its serializers."""

import zlib
from typing import Any

from rpcx.abc import PeerFacts
from rpcx.channels.urls import parse
from rpcx.errors import ConnectionLost, LimitExceeded, RpcxError
from rpcx.interop.pyro import message
from rpcx.interop.pyro.client import UNNAMED, ClientSession
from rpcx.interop.pyro.daemon import daemon_of
from rpcx.interop.pyro.message import HEADER, Message, write
from rpcx.interop.pyro.serializers import ALL
from rpcx.interop.pyro.server import ServerSession
from rpcx.interop.pyro.values import inward
from rpcx.remoting.pending import Pending
from rpcx.remoting.proxy import dynamic_method
from rpcx.remoting.references import Reference

LENGTH = slice(12, 16)  # of the body, in a message's header
VALUES: list[Any] = [
    None, True, 1 << 40, -1.5, "ann", [1, [2, "x"]], {"a": {"b": [1]}}, {"__class__": "float", "value": "nan"},
    {"__class__": "builtins.ValueError", "__exception__": True, "args": ["no"], "attributes": {}},
    {"__class__": "Pyro5.client.Proxy", "state": ["PYRO:bank@127.0.0.1:1", [], [], [], "hello", None]},
    {"__class__": "Pyro5.core.URI", "state": ["PYRO", "bank", None, "h", 1]},
    {"data": "eA==", "encoding": "base64"},
]  # fmt: skip
RICHER: dict[str, list[Any]] = {
    "serpent": [(1, (2,)), {1, 2}, b"x", 1j],
    "msgpack": [b"x", 1j, {1: {2: 3}}],
    "json": [],
}


class Strict(ServerSession):
    """Answers what refuses a call in its own way, and nothing else that goes wrong."""

    def _refuse(self, request: Message, error: Exception, *, oneway: bool) -> None:
        if not isinstance(error, RpcxError | ValueError) and "has no" not in str(error):
            raise error
        super()._refuse(request, error, oneway=oneway)


def talk(realm: Any, link: Any, data: bytes) -> bytes:
    """Messages to a host that has shaken hands; what it answered. ``realm`` is the host's."""
    daemon = daemon_of(realm)
    daemon.locations[:] = ["127.0.0.1:1"]
    session = Strict(daemon, PeerFacts("pyro", "127.0.0.1:2", owner=True))
    session.attach(link, 0.0)
    said = b""
    for piece in (CONNECT, data):
        for job in session.receive(piece, 0.0):
            link.spawn(job)
        said = b"".join(session.outgoing())
    session.lost(ConnectionLost("the end"))
    return said


def hear(realm: Any, link: Any, data: bytes) -> bool:
    """What a daemon says to a client that has called it; whether that was an answer."""
    client = ClientSession(daemon_of(realm), parse("pyro://127.0.0.1:1"), PeerFacts("pyro", "127.0.0.1:1"))
    client.attach(link, 0.0)
    reference, method, pending = Reference(client, "bank", UNNAMED), dynamic_method("anything"), Pending()
    client._request("bank", method, (), {}, 0, pending)
    client.receive(WELCOME, 0.0)
    client.receive(data, 0.0)
    answered = pending.arrived
    client.lost(ConnectionLost("the end"))
    try:
        client.result(pending, reference, method)
    except RpcxError:
        pass
    except Exception:
        if not pending.kind & message.EXCEPTION:  # else it is what the daemon said that it raised
            raise
    return answered


def values(data: bytes) -> None:
    """A value, by each serializer."""
    for each in ALL.values():
        try:
            inward(each.loads(data), str)
        except (ValueError, LimitExceeded):
            pass


def call(name: str, method: str, *args: Any, flags: int = 0, to: str = "bank") -> bytes:
    """A request, its body by the serializer ``name``."""
    body = ALL[name].dumps([to, method, list(args), {}])
    if flags & message.COMPRESSED:
        body = zlib.compress(body)
    return write(Message(message.INVOKE, ALL[name].number, 7, body, flags, {"ABCD": b"12"}))


def answer(name: str, value: Any, flags: int = 0, **annotations: bytes) -> bytes:
    """The answer to a client's first call."""
    return write(Message(message.RESULT, ALL[name].number, 1, ALL[name].dumps(value), flags, annotations))


def with_its_length(data: bytes) -> bytes:
    """``data`` with the length of its body put right, so that what is in it is read."""
    if len(data) < HEADER.size:
        return data
    notes = int.from_bytes(data[LENGTH.stop : LENGTH.stop + 4], "big")
    return data[: LENGTH.start] + max(0, len(data) - HEADER.size - notes).to_bytes(4, "big") + data[LENGTH.stop :]


CONNECT = write(Message(message.CONNECT, 1, 1, ALL["serpent"].dumps({"handshake": "hello", "object": "bank"})))
WELCOME = write(Message(message.CONNECT_OK, 1, 0, b"{'handshake': 'x', 'meta': {}}"))
FAULT = {
    "__class__": "builtins.KeyError", "__exception__": True, "args": ["k"], "attributes": {"_pyroTraceback": ["line"]},
}  # fmt: skip
ANSWER_SEEDS = [
    *(answer(name, value) for name in ALL for value in [*VALUES, *RICHER[name]]),
    answer("serpent", FAULT, message.EXCEPTION),
    answer("serpent", FAULT, message.EXCEPTION | message.STREAM, STRM=b"an-id"),
    write(Message(message.CONNECT_FAIL, 1, 0, b"'no'")),
]
SEEDS = [
    *(call(name, "anything", value) for name in ALL for value in [*VALUES, *RICHER[name]]),
    *(call(name, "typed", {"x": 1}) for name in ALL),
    call("serpent", "failing", "no"),
    call("serpent", "ticks", 3),
    call("json", "audit", "x", flags=message.ONEWAY),
    call("msgpack", "<batch>", ["anything", [1], {}], ["failing", ["x"], {}], flags=message.BATCH),
    call("serpent", "anything", "x" * 200, flags=message.COMPRESSED),
    call("serpent", "get_metadata", "bank", to="Pyro.Daemon"),
    call("json", "get_next_stream_item", "x", to="Pyro.Daemon"),
    write(Message(message.PING, 1, 2)),
]
VALUE_SEEDS = [ALL[name].dumps(value) for name in ALL for value in [*VALUES, *RICHER[name]]]
