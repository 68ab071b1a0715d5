"""Every parser of bytes from a stranger, as a function of the bytes: it may refuse them in its own way, no more.

Used three ways: by a plain mutator (`tests/fuzz/test_targets.py`), by atheris, which looks for new paths
(``python -m tests.fuzz TARGET``), and under an audit hook (`tests/attacks/test_no_code.py`).
"""

import base64
import datetime
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import rpcx
from rpcx.abc import PeerFacts
from rpcx.channels.urls import parse
from rpcx.conformance.formatters import mutated
from rpcx.errors import RpcxError
from rpcx.interop.dotnet.appdomain import domain_of
from rpcx.interop.dotnet.formatters import Formatter
from rpcx.interop.dotnet.formatters import soap as soap_formatter
from rpcx.interop.dotnet.framing import Frame, Frames, Operation, request
from rpcx.interop.dotnet.http_wire import HttpClientWire, HttpServerWire
from rpcx.interop.dotnet.reader import read as read_nrbf
from rpcx.interop.dotnet.server import ServerSession
from rpcx.protocol.connection import BATCH, BURST, CALL, ONEWAY, RELEASE, Connection
from rpcx.protocol.frames import HEADER, FrameReader
from rpcx.protocol.handshake import MAGIC, Limits, Offer
from rpcx.security import envelope as envelopes
from rpcx.security.cards import read_card
from rpcx.security.compact import claims_of
from rpcx.security.compact import parse as parse_token
from rpcx.security.envelope import EnvelopeRefused, Header
from rpcx.sinks.formatters import JsonFormatter, MsgpackFormatter
from rpcx.sinks.values import Values
from tests.fuzz import keys
from tests.fuzz import pyro as pyro_parsers
from tests.interop.dotnet import soap_vectors, vectors
from tests.interop.dotnet.shop import Values as Echoing

VALUES = Values(lambda _: None, lambda fields: ("resolved", *fields))
LIMITS = Limits(message=1 << 16, in_flight=8)
VECTORS = json.loads((Path(__file__).parents[2] / "schemas" / "wire_vectors.json").read_text(encoding="utf-8"))
FROM_VECTORS = [bytes.fromhex(vector["hex"]) for vector in VECTORS if vector["layer"] == "connection"]
RECORDED = [value for value in vars(vectors).values() if isinstance(value, bytes)]
BODY = f"{soap_vectors.START}<SOAP-ENV:Body>".encode(), f"</SOAP-ENV:Body>{soap_vectors.END}".encode()
HELLO = next(data for data in FROM_VECTORS if data.startswith(MAGIC))


# --- the sans-IO core -------------------------------------------------------------------------------------------


def frames(data: bytes) -> None:
    """Cutting frames out of a stream."""
    reader = FrameReader(LIMITS.message)
    for at in range(0, len(data), 7):
        reader.read(data[at : at + 7])
        if reader.error is not None:
            return


def handshake(data: bytes) -> None:
    """What a host hears from a stranger."""
    Connection("server", Offer(), LIMITS, 0.0).receive(data, 0.0)


def welcome(data: bytes) -> None:
    """What a client hears from a server it does not know yet."""
    Connection("client", Offer(), LIMITS, 0.0).receive(data, 0.0)


# --- values -----------------------------------------------------------------------------------------------------


def msgpack(data: bytes) -> None:
    """A message in msgpack, its last bytes as a segment."""
    allowing((ValueError, RpcxError), lambda: MsgpackFormatter().decode(data[:-3], [data[-3:]], VALUES))


def json_(data: bytes) -> None:
    """A message in JSON."""
    allowing((ValueError, RpcxError), lambda: JsonFormatter().decode(data, (), VALUES))


def url(data: bytes) -> None:
    """A URL, as a user types it."""
    allowing(ValueError, lambda: parse(data.decode("utf-8", "replace")))


def token(data: bytes) -> None:
    """A compact token, and what it claims, read as if it were believed."""
    allowing(ValueError, lambda: claims_of(parse_token(data).body))
    allowing(ValueError, lambda: claims_of(data))


def sealed(data: bytes) -> None:
    """An envelope, of a sender whose signature never fits."""
    allowing(EnvelopeRefused, lambda: envelopes.open(data, keys=lambda _: None, senders=lambda _: None, context=""))


def card(data: bytes) -> None:
    """Somebody's key card."""
    allowing(ValueError, lambda: read_card(base64.b64encode(data)))


def nrbf(data: bytes) -> None:
    """.NET's binary formatter."""
    allowing(RpcxError, lambda: read_nrbf(data))


def dotnet(data: bytes) -> None:
    """.NET's frames."""
    allowing(RpcxError, lambda: list(Frames().receive(data)))


def allowing(refusal: type[Exception] | tuple[type[Exception], ...], work: Callable[[], object]) -> None:
    """Run ``work``, which may refuse so."""
    try:
        work()
    except refusal:
        pass


# --- a host with objects ----------------------------------------------------------------------------------------


class Point(BaseModel):
    x: int
    at: datetime.datetime | None = None


@rpcx.singleton("bank")
class Bank:
    """Takes what comes."""

    def anything(self, *values: Any, **more: Any) -> Any:
        return values, more

    def typed(self, point: Point, names: dict[str, set[int]] | None = None) -> list[Point]:
        return [point]

    def failing(self, text: str) -> None:
        raise ValueError(text)

    @rpcx.oneway
    def audit(self, line: str) -> None:
        """Nothing."""

    def ticks(self, n: int):
        yield from range(min(n, 100))


class Link:
    """A connection that carries nothing anywhere: jobs run here, answers are counted."""

    facts = PeerFacts("tcp", "192.0.2.1:1", owner=True)

    def __init__(self) -> None:
        self.answers = 0

    def flush(self) -> None:
        self.answers += 1

    flush_soon = flush_later = rearm = wake = close = flush

    def spawn(self, job: Any) -> None:
        if not job.is_async:
            job.run()

    def aside(self, work: Any) -> None:
        work()

    def in_loop(self, loop: Any, function: Any, argument: object) -> None:
        """No loop is here."""

    def wait(self, reply: Any, timeout: float | None) -> None:
        """Nobody answers."""


HOST = rpcx.Host(limits=LIMITS)
HOST.register(Bank, Echoing)


def endpoint(data: bytes) -> int:
    """Frames to a host that has welcomed the client: envelopes, arguments, methods, answers. How many it answered."""
    end = HOST._realm.endpoint()
    link = Link()
    end.attach(link, 0.0)
    for piece in (HELLO, data):
        for job in end.receive(piece, 0.0):
            link.spawn(job)
        end.outgoing()
    end.lost(rpcx.ConnectionLost("the end"))
    return link.answers


class Strict(ServerSession):
    """Answers refusals, and nothing else that goes wrong."""

    def _send_fault(self, error: BaseException, formatter: Formatter) -> None:
        if not isinstance(error, RpcxError):
            raise error
        super()._send_fault(error, formatter)


def http(data: bytes) -> bytes:
    """HTTP to a host with objects, and from a server; what the host answered."""
    session = Strict(domain_of(HOST._realm), Link.facts, HttpServerWire(LIMITS.message), None)
    link = Link()
    session.attach(link, 0.0)
    said = b""
    for job in session.receive(data, 0.0):
        link.spawn(job)
        said += b"".join(session.outgoing())
    said += b"".join(session.outgoing())
    session.lost(rpcx.ConnectionLost("the end"))
    client = HttpClientWire("127.0.0.1:1", LIMITS.message)
    client.pack(Frame(Operation.REQUEST, b"", "x", "text/xml"))
    allowing(RpcxError, lambda: list(client.receive(data)))
    return said


def pyro(data: bytes) -> bytes:
    """Pyro5's messages, to a host with objects; what it answered."""
    return pyro_parsers.talk(HOST._realm, Link(), data)


def pyro_answers(data: bytes) -> bool:
    """What a daemon of Pyro5 says to a client of this host's kind."""
    return pyro_parsers.hear(HOST._realm, Link(), data)


HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nSOAPAction: a\r\nContent-Type: text/xml\r\n"


def posted(body: bytes, path: str = "/values") -> bytes:
    """A call over HTTP."""
    return b"%sContent-Length: %d\r\n\r\n%s" % (HEAD % path.encode(), len(body), body)


def soap(data: bytes) -> None:
    """The inside of a call in SOAP, to an object that takes values of every kind; and the same as an answer."""
    document = BODY[0] + data + BODY[1]
    if len(document) <= LIMITS.message:
        assert http(posted(document)).startswith(b"HTTP/1.1 ")
    allowing(RpcxError, lambda: soap_formatter(None).read_return(document))


def envelope(kind: int, value: object, call_id: int = 1) -> bytes:
    """A frame with a message in it."""
    body, _ = MsgpackFormatter().encode(value, VALUES)
    return HEADER.pack(len(body), kind, 0, 0, call_id) + body


def burst(count: int, value: object) -> bytes:
    """A frame with a message about so many calls in it."""
    body = count.to_bytes(2, "big") + MsgpackFormatter().encode(value, VALUES)[0]
    return HEADER.pack(len(body), BURST, 0, 0, 5) + body


VALUE_SEEDS: list[Any] = [
    None, True, -1, 1 << 80, 1.5, "ann", b"\x00", bytearray(b"x"), (1, (2,)), {1, 2}, frozenset({"a"}),
    {"a": {"b": [1]}}, {(1, 2): 3}, datetime.datetime(2026, 1, 2, 3), datetime.date(2026, 1, 2), datetime.timedelta(1),
    1j, range(3), {"x": 1, "at": "2026-01-02T03:04:05"},
]  # fmt: skip
ENDPOINT_SEEDS = [
    *(envelope(CALL, ["bank", "anything", [value], 5.0]) for value in VALUE_SEEDS),
    envelope(CALL, ["bank", "typed", [{"x": 1}], None, {"names": {"a": {1}}}, {"d": 1}]),
    envelope(CALL, ["bank", "failing", ["no"], None]),
    envelope(CALL, ["bank", "ticks", [3], None]) + HEADER.pack(4, 24, 0, 0, 1) + (5).to_bytes(4, "big"),
    envelope(CALL, ["rpcx", "contract", ["bank", "Bank"], None]),
    envelope(ONEWAY, ["bank", "audit", ["x"], None], 0),
    envelope(BATCH, [["bank", "anything", 2, [1, 2], None], ["bank", "failing", 1, ["x"], None]]),
    burst(3, ["bank", "anything", 3, [1, 2, 3], None]),
    burst(2, ["bank", "failing", 2, ["x", "y"], 1.0]),
    envelope(RELEASE, [["Bank/x", 1]], 0),
    *(data for data in FROM_VECTORS if not data.startswith(MAGIC)),
]
MESSAGES = [["bank", "anything", [value], None] for value in VALUE_SEEDS]

CLAIMS = b'{"sub":"ann","roles":["teller"],"aud":"bank","iat":100,"exp":200,"cnf":{"spki":"sha256:' + b"A" * 43 + b'"}}'
TOKEN_HEAD = b'{"alg":"EdDSA","kid":"sha256:' + b"A" * 43 + b'","typ":"rpcx+jwt"}'
TOKEN_SEEDS = [
    b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (TOKEN_HEAD, CLAIMS, bytes(64))),
    CLAIMS,
    b'{"sub":"ann"}',
]

SOAP_DOCUMENTS = [*soap_vectors.CALLS, *soap_vectors.RETURNS]
SOAP_SEEDS = [
    re.sub(rb".*<SOAP-ENV:Body>\s*|\s*</SOAP-ENV:Body>.*", b"", data, flags=re.DOTALL) for data in SOAP_DOCUMENTS
]
HTTP_SEEDS = [
    posted(soap_vectors.DICTIONARY),
    posted(soap_vectors.ZERO).replace(b"Host: localhost", b"Host: x\r\nExpect: 100-continue"),
    HEAD % b"/" + b"Transfer-Encoding: chunked\r\n\r\n3\r\n<a>\r\n0\r\n\r\n",
    b"GET http://x/values?wsdl HTTP/1.0\r\n\r\n",
    posted(b"\0\1\2\3").replace(b"text/xml", b"application/octet-stream"),
    b"HTTP/1.1 500 Oops\r\nContent-Type: text/xml\r\nKeep-Alive: timeout=15,max=100\r\nContent-Length: 4\r\n\r\n<a/>",
]

TARGETS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "frames": (frames, [*FROM_VECTORS]),
    "handshake": (handshake, [*FROM_VECTORS]),
    "welcome": (welcome, [*FROM_VECTORS]),
    "msgpack": (msgpack, [MsgpackFormatter().encode(message, VALUES)[0] + b"xyz" for message in MESSAGES]),
    "json": (json_, [JsonFormatter().encode(message, VALUES)[0] for message in MESSAGES]),
    "url": (
        url,
        [b"tcp://127.0.0.1:4000/bank?key=sha256:x", b"pipe://bank/x", b"tcp://[::1]:1", b"dotnet+tcp://h:1/a"],
    ),
    "record": (keys.record, [b"roles: a\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"]),
    "token": (token, TOKEN_SEEDS),
    "envelope": (sealed, [Header(1, 5, bytes(16), bytes(32), bytes(16), "queue").pack() + bytes(48 + 64)]),
    "card": (card, [b"rpcxcrd1" + bytes([1, 0, 3]) + b"abc" + bytes(32 + 64)]),
    "nrbf": (nrbf, [*RECORDED]),
    "dotnet": (dotnet, [request(body, "/app/bank") for body in RECORDED]),
    "soap": (soap, SOAP_SEEDS),
    "http": (http, HTTP_SEEDS),
    "pyro": (pyro, pyro_parsers.SEEDS),
    "pyro-answers": (pyro_answers, pyro_parsers.ANSWER_SEEDS),
    "pyro-values": (pyro_parsers.values, pyro_parsers.VALUE_SEEDS),
    "tls": (keys.tls, [b"\x16\x03\x01"]),
    "guest": (keys.guest, [b'{"certificate": "AAAA", "nonce": "AAAA", "proof": "AAAA", "signature": "AAAA"}\n']),
    "statement": (keys.statement, [b'{"old": "sha256:x", "new": "AAAA", "signature": "AAAA"}']),
    "endpoint": (endpoint, ENDPOINT_SEEDS),
}


def file_of(target: str) -> Path:
    """Where it is kept."""
    return Path(__file__).with_name("corpus") / f"{target}.txt"


def kept(target: str) -> list[bytes]:
    """What an earlier search found worth keeping: a line each, in base64."""
    file = file_of(target)
    return [base64.b64decode(line) for line in file.read_text().split()] if file.exists() else []


for _target, (_, _seeds) in TARGETS.items():
    _seeds += kept(_target)


def mutants(target: str, number: int, seed: int = 5) -> list[bytes]:
    """Some of ``target``'s seeds, changed; the same for the same seed. Each second has its frame's length put right."""
    chance = random.Random(seed)
    seeds = TARGETS[target][1]
    made = []
    for count in range(number):
        data = mutated(chance.choice(seeds), chance, HEADER.size)
        if target == "http" and count % 2:
            data = posted(mutated(chance.choice(SOAP_DOCUMENTS), chance, HEADER.size))
        if target in ("pyro", "pyro-answers") and count % 2:
            data = pyro_parsers.with_its_length(data)
        if target == "endpoint" and count % 2 and len(data) > HEADER.size:
            data = (len(data) - HEADER.size).to_bytes(4, "big") + data[4:]
        made.append(data)
    return made
