"""Two ends of a connection, joined without a network and with a clock that stands still."""

import hashlib
from collections.abc import Iterable
from itertools import pairwise

from rpcx.abc import Binding, PeerFacts, Proved
from rpcx.errors import AuthenticationFailed, RpcxError
from rpcx.protocol.connection import CLOSED, PROVE, Connection, Event
from rpcx.protocol.handshake import Limits, Offer, Role
from rpcx.protocol.opening import Authentication

NOW = 1000.0  # seconds; where the clock stands unless a test moves it


def offer(limits: Limits, **fields) -> Offer:
    """An offer that says what ``limits`` enforces."""
    same = {name: getattr(limits, name) for name in ("message", "in_flight", "window", "min_ping")}
    return Offer(**same, **fields)


class Pair:
    """A client and a server. What one has ready, `carry` brings to the other."""

    def __init__(self, client: Limits = Limits(), server: Limits = Limits(), *, opened: bool = True) -> None:
        self.client = Connection("client", offer(client, name="client"), client, NOW)
        self.server = Connection("server", offer(server, name="server"), server, NOW)
        if opened:
            self.carry(self.client)
            self.carry(self.server)

    def carry(self, sender: Connection, now: float = NOW) -> list[Event]:
        """The other end's events for all that ``sender`` has ready."""
        receiver = self.server if sender is self.client else self.client
        return heard(receiver, sent(sender), now)


def heard(end: Connection, data: bytes, now: float = NOW) -> list[Event]:
    """What comes of ``data``, in the way of an endpoint: a glance first."""
    event = end.glance(data, now)
    return [event] if event is not None else end.receive(data, now)


class Digest:
    """The authenticator of the vectors: a digest that shows what an exchange is tied to, and proves nothing.

    client: NAME ‖ SHA-256(text("client", NAME))      server: "more"      client: as often as it is asked, "more"
    server, admitting: SHA-256(text("server", NAME))
    """

    name = "digest"
    shows_secret = False

    def __init__(self, principal: str = "ann", rounds: int = 1, seconds: float | None = None) -> None:
        self.proved = Proved(principal, frozenset({"teller"}), seconds)
        self.rounds = rounds

    def client(self, binding: Binding) -> "DigestEnd":
        return DigestEnd(self, binding)

    def server(self, binding: Binding) -> "DigestJudge":
        return DigestJudge(self, binding)


class DigestEnd:
    def __init__(self, shared: Digest, binding: Binding) -> None:
        self.shared = shared
        self.binding = binding

    def digest(self, role: str) -> bytes:
        return hashlib.sha256(self.binding.text(role, self.shared.proved.principal.encode())).digest()

    def step(self, message: bytes):
        return message or self.shared.proved.principal.encode() + self.digest("client")

    def admitted(self, message: bytes) -> None:
        if message != self.digest("server"):
            raise AuthenticationFailed("the server's digest is another")


class DigestJudge(DigestEnd):
    rounds = 0

    def step(self, message: bytes):
        wanted = b"more" if self.rounds else self.shared.proved.principal.encode() + self.digest("client")
        if message != wanted:
            raise AuthenticationFailed("the client's digest is another")
        self.rounds += 1
        if self.rounds <= self.shared.rounds:
            return b"more", None
        return self.digest("server"), self.shared.proved


def asking(*authenticators, nonce: str = "11" * 32) -> dict:
    """The fields of an offer that has them."""
    return {"authenticators": tuple(each.name for each in authenticators), "nonce": nonce} if authenticators else {}


def authenticated(role: Role, *authenticators, facts: PeerFacts | None = None, limits: Limits = Limits(), **fields):
    """One end of a connection that has these authenticators."""
    fields = {"name": role, **asking(*authenticators, nonce="11" * 32 if role == "client" else "22" * 32), **fields}
    asked = Authentication(authenticators, facts or PeerFacts("test", "pair")) if authenticators else None
    return Connection(role, offer(limits, **fields), limits, NOW, asked)


def sent(connection: Connection) -> bytes:
    """What it has to send, once."""
    return b"".join(bytes(buffer) for buffer in connection.outgoing())


def received(end: Connection, data: bytes, now: float = NOW) -> list[Event]:
    """What ``data`` means to ``end``, which does the work of a proof at once, and says what came of it."""
    events = []
    for event in end.receive(data, now):
        if event[0] != PROVE:
            events.append(event)
            continue
        try:
            end.proved(event[1]())
        except RpcxError as error:
            end.proved(error)
        assert end.due() == 0.0
        events += end.tick(now)
    return events


def opened(role: Role, limits: Limits = Limits()) -> Connection:
    """One end with the handshake behind it and nothing to send."""
    pair = Pair(limits, limits)
    end = pair.client if role == "client" else pair.server
    sent(end)
    return end


def plain(events: Iterable[Event]) -> list[tuple]:
    """Events as values that can be compared: buffers as bytes, errors as their type."""
    return [
        (kind, type(token) if kind == CLOSED else token, bytes(body), [bytes(segment) for segment in segments])
        for kind, token, body, segments in events
    ]


def error_of(events: list[Event]) -> Exception:
    """The error of the CLOSED event that must be the last and only one of its kind."""
    kinds = [event[0] for event in events]
    assert kinds.count(CLOSED) == 1, kinds
    assert kinds[-1] == CLOSED, kinds
    error = events[-1][1]
    assert isinstance(error, Exception), events
    return error


def in_pieces(data: bytes, *cuts: int) -> list[bytes]:
    """``data`` cut at these offsets."""
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]
