"""Two ends of a connection, joined without a network and with a clock that stands still."""

from collections.abc import Iterable
from itertools import pairwise

from rpcx.protocol.connection import CLOSED, Connection, Event, Role
from rpcx.protocol.handshake import Limits, Offer

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
        return receiver.receive(sent(sender), now)


def sent(connection: Connection) -> bytes:
    """What it has to send, once."""
    return b"".join(bytes(buffer) for buffer in connection.outgoing())


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
