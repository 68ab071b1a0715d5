"""The handshake: what two ends agree on before the first call.

    client                                   server
      │ MAGIC, HELLO {formatters, sinks, …} ──▶ │  decides
      │ ◀── MAGIC, WELCOME {formatter, …}       │  or REJECT {error, message}, then closes

The offer is JSON text of at most 8 KiB, read by the standard library: no formatter sees a byte before both
sides agreed on it. Unknown keys are ignored, so that later versions can say more. A stranger whose first
byte is wrong gets no answer at all: the magic begins with a byte that no text protocol sends. Where the client
has to prove who it is, that follows (`rpcx.protocol.opening`).
"""

import json
from dataclasses import dataclass
from typing import Final, Literal

from rpcx.errors import AuthenticationFailed, ProtocolError

MAGIC: Final = b"\xabRPCX\x01\r\n"  # not text; \x01 is the major version; \r\n catches newline mangling
VERSION: Final = 1
HELLO_BYTES: Final = 8192  # an offer may have (NATS control line 4 KiB; security: pre-authentication frame)
HANDSHAKE_SECONDS: Final = 10.0  # to shake hands (OpenSSH 120, NATS 2)
MESSAGE_BYTES: Final = 64 << 20  # one message; numpy users need more than gRPC's 4 MiB
LEAST_MESSAGE: Final = 1024  # bytes of one message that every end must take
IN_FLIGHT: Final = 1024  # calls begun and not answered, per connection (HTTP/2 servers: 100)
PRINCIPAL_IN_FLIGHT: Final = 4096  # … of one principal's connections
HOST_IN_FLIGHT: Final = 16384  # … of all
PRINCIPAL_LARGE: Final = 512 << 20  # bytes of large messages of one principal
HOST_LARGE: Final = 2 << 30  # … of all
WINDOW: Final = 64  # stream items sent ahead of the consumer
LONGEST_CALL: Final = 86_400.0  # seconds; whoever waits for longer has forgotten it
ONEWAYS: Final = 10_000  # one-way calls that wait, of one connection: some 10 MB
WRITE_CAP: Final = 8 << 20  # bytes that may wait for a peer to take them (NATS: 64 MiB)
MIN_PING: Final = 5.0  # seconds between two pings of one end (gRPC: 5 minutes)

#: Of `Limits`, those that are counts of whatever.
COUNTS: Final = (
    "in_flight", "in_flight_per_principal", "in_flight_per_host", "large_per_principal", "large_per_host", "window",
    "write_cap", "oneways",
)  # fmt: skip

#: … and those that are times which must end.
SECONDS: Final = ("write_stall", "ping_timeout", "frame_seconds", "handshake", "longest_call", "session")

Role = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds one end sets for what it receives. Sizes in bytes, times in seconds."""

    message: int = MESSAGE_BYTES
    in_flight: int = IN_FLIGHT
    window: int = WINDOW
    write_cap: int = WRITE_CAP  # bytes that may wait for a peer; while more do, none of its calls begins
    write_stall: float = 30.0  # how long a peer may take nothing of what waits for it
    ping_idle: float = 30.0  # silence before asking whether the peer is alive
    ping_timeout: float = 20.0  # silence after asking before it counts as dead
    min_ping: float = MIN_PING  # between two pings of the peer's, which is told so; who does not heed it is closed
    frame_seconds: float = 10.0  # a frame once begun must be complete after this, plus 1 s for each 64 KiB
    handshake: float = HANDSHAKE_SECONDS
    in_flight_per_principal: int = PRINCIPAL_IN_FLIGHT  # of all its connections to a host, the owner's excepted
    in_flight_per_host: int = HOST_IN_FLIGHT  # of all connections to a host
    large_per_principal: int = PRINCIPAL_LARGE  # bytes of messages above 64 KiB that come, or whose calls run; likewise
    large_per_host: int = HOST_LARGE  # at least one message fits, of whatever size it may have
    longest_call: float = LONGEST_CALL  # that a call may run; a stream may for ever
    session: float | None = None  # that a connection may last, the owner's excepted; None: for ever
    oneways: int = ONEWAYS  # one-way calls of a connection that wait for those before them; more are lost

    def __post_init__(self) -> None:
        for name, least in (("message", LEAST_MESSAGE), *((name, 1) for name in COUNTS)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"Limits({name}={value!r}): an integer of at least {least} is needed")
        for name in SECONDS:
            value = getattr(self, name)
            none = value is None and name == "session"
            if not none and not (isinstance(value, int | float) and 0 < value < float("inf")):
                raise ValueError(f"Limits({name}={value!r}): a number of seconds above 0 is needed")


@dataclass(frozen=True, slots=True)
class Offer:
    """What one end can and wants."""

    formatters: tuple[str, ...] = ("msgpack",)  # by preference
    sinks: tuple[str, ...] = ()  # in order, outermost first; both ends must have the same
    name: str = ""  # program and pid, for people; never trusted
    session: str = ""  # client's session id: the same after a reconnect keeps what it held
    message: int = MESSAGE_BYTES
    in_flight: int = IN_FLIGHT
    window: int = WINDOW
    min_ping: float = 0.0  # seconds between two pings of the other end's; 0: it does not matter
    capabilities: tuple[str, ...] = ("batch", "streams", "references")
    authenticators: tuple[str, ...] = ()  # a client's by preference; a server's are demanded
    nonce: str = ""  # 64 random hexadecimal digits, where there are authenticators

    def to_bytes(self) -> bytes:
        limits: dict[str, int] = {"message": self.message, "in_flight": self.in_flight, "window": self.window}
        if self.min_ping:
            limits["ping"] = round(self.min_ping * 1000)
        said = {
            "version": VERSION,
            "formatters": self.formatters,
            "sinks": self.sinks,
            "name": self.name,
            "session": self.session,
            "limits": limits,
            "capabilities": self.capabilities,
        }
        if self.authenticators:
            said |= {"authenticators": self.authenticators, "nonce": self.nonce}
        return json.dumps(said).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> "Offer":
        """Read the peer's offer; anything but the expected shape is a `ProtocolError`."""
        data = _object(body)
        version = data.get("version")
        if type(version) is not int or version != VERSION:
            raise ProtocolError(f"the peer speaks version {version!r:.40} of the protocol, this side {VERSION}")
        limits = data.get("limits", {})
        if not isinstance(limits, dict):
            raise ProtocolError("the handshake's limits are not an object")
        return cls(
            formatters=_texts(data, "formatters"),
            sinks=_texts(data, "sinks"),
            name=_text(data, "name"),
            session=_text(data, "session"),
            message=_count(limits, "message", LEAST_MESSAGE),
            in_flight=_count(limits, "in_flight"),
            window=_count(limits, "window"),
            min_ping=_count(limits, "ping", 0) / 1000,
            capabilities=_texts(data, "capabilities"),
            authenticators=_texts(data, "authenticators"),
            nonce=_text(data, "nonce"),
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both ends will do; the same on both sides but for ``peer``."""

    formatter: str
    sinks: tuple[str, ...]
    peer: Offer  # the other end's offer: its limits bind what we send
    authenticator: str = ""  # by which the client proves who it is; empty: neither end has any


def agree(ours: Offer, theirs: Offer) -> Agreement:
    """The server's decision on a client's offer.

    Raises:
        ProtocolError: no common formatter, or other sinks; the message names both sides' lists.
        AuthenticationFailed: no common authenticator, where one of them has any; likewise.
    """
    authenticator = next((name for name in theirs.authenticators if name in ours.authenticators), "")
    if not authenticator and (ours.authenticators or theirs.authenticators):
        raise AuthenticationFailed(_no_authenticator(theirs.authenticators, ours.authenticators))
    for name in theirs.formatters:
        if name in ours.formatters:
            break
    else:
        raise ProtocolError(
            f"no common formatter: the client offers {_listed(theirs.formatters)}, "
            f"the server {_listed(ours.formatters)}"
        )
    if theirs.sinks != ours.sinks:
        raise ProtocolError(
            f"the sinks differ{_first_difference(ours.sinks, theirs.sinks)}: "
            f"the client has {_listed(theirs.sinks)}, the server {_listed(ours.sinks)}"
        )
    return Agreement(name, ours.sinks, theirs, authenticator)


def welcome(agreement: Agreement, ours: Offer) -> bytes:
    """The body of WELCOME: our offer, narrowed to what was agreed."""
    narrowed = Offer(
        formatters=(agreement.formatter,),
        sinks=agreement.sinks,
        name=ours.name,
        session=agreement.peer.session,
        message=ours.message,
        in_flight=ours.in_flight,
        window=ours.window,
        min_ping=ours.min_ping,
        capabilities=ours.capabilities,
        authenticators=(agreement.authenticator,) if agreement.authenticator else (),
        nonce=ours.nonce,
    )
    return narrowed.to_bytes()


def welcomed(body: bytes, ours: Offer) -> Agreement:
    """The client's reading of WELCOME."""
    theirs = Offer.from_bytes(body)
    known = len(theirs.formatters) == 1 and theirs.formatters[0] in ours.formatters
    if not known or theirs.sinks != ours.sinks:
        raise ProtocolError("the server agreed to something that was not offered")
    if ours.authenticators and not theirs.authenticators:  # it does not know of them: nothing would be proved
        raise AuthenticationFailed(_no_authenticator(ours.authenticators, ()))
    authenticator = next(iter(theirs.authenticators), "")
    if len(theirs.authenticators) > 1 or (authenticator and authenticator not in ours.authenticators):
        raise ProtocolError("the server wants a proof that was not offered")
    return Agreement(theirs.formatters[0], theirs.sinks, theirs, authenticator)


def refusal(kind: str, message: str) -> bytes:
    """The body of REJECT."""
    return json.dumps({"error": kind, "message": message[:1024]}).encode()


def refused(body: bytes) -> tuple[str, str]:
    """(error name, message) of a REJECT."""
    data = _object(body)
    return _text(data, "error"), _text(data, "message")


def _object(body: bytes) -> dict[str, object]:
    try:
        data = json.loads(body.decode())  # bytes would be searched for UTF-16 and UTF-32
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the handshake is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ProtocolError("the handshake is not a JSON object")
    return data


def _text(data: dict[str, object], key: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str) or len(value) > 1024:
        raise ProtocolError(f"the handshake's {key!r} is not a short text")
    return value


def _texts(data: dict[str, object], key: str) -> tuple[str, ...]:
    value = data.get(key, [])
    if not isinstance(value, list) or len(value) > 64 or not all(_is_name(item) for item in value):
        raise ProtocolError(f"the handshake's {key!r} is not a short list of names")
    return tuple(value)


def _is_name(item: object) -> bool:
    # Names get into messages and logs of the other side: no line ends, no control characters.
    return isinstance(item, str) and 0 < len(item) <= 64 and item.isprintable()


def _count(data: dict[str, object], key: str, least: int = 1) -> int:
    value = data.get(key, least)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 40:
        raise ProtocolError(f"the handshake's limit {key!r} is not a number of at least {least}")
    return value


def _no_authenticator(client: tuple[str, ...], server: tuple[str, ...]) -> str:
    return (
        f"no common authenticator: the client has {_listed(client)}, the server {_listed(server)}; "
        "give both ends the same, as in authenticators=[...]"
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if names else "none"


def _first_difference(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    for mine, yours in zip(ours, theirs, strict=False):
        if mine != yours:
            return f" at {yours!r} (here {mine!r})"
    longer = ours if len(ours) > len(theirs) else theirs
    return f" at {longer[min(len(ours), len(theirs))]!r}"
