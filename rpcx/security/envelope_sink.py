"""Envelopes around every message of a connection: end to end, through relays that nobody trusts.

Both ends name the sink, and seal each message for the other's key card. The end that speaks first makes a random id
of the connection, which stands in the context of every envelope, with the direction: a message of another connection,
or one sent back, is refused. So is one that was opened before.

A reply names the call that it answers (`request`, `reply`), so that a relay cannot give one call's result to another.
Exceptions and items of streams pass without that: a relay may deliver them to another call of the same connection,
hold them back, or cut a stream off; it can make up and read none.
"""

import secrets
import threading
from pathlib import Path
from typing import Any, Final

from rpcx.errors import ProtocolError
from rpcx.messages import Call, Fault, Reply, Return
from rpcx.security.cards import Card, Cards
from rpcx.security.envelope import EnvelopeRefused, Window, milliseconds, seal, show
from rpcx.security.envelope import open as open_envelope
from rpcx.security.identity import home

CALLER: Final = "rpcx/1 from caller "
HOST: Final = "rpcx/1 from host "
NOBODY: Final = "sink envelope: for whom? A client names its host's key card: EnvelopeSink('bank')"
BOUND: Final = "e"  # in a call's meta: what its reply must name


class EnvelopeSink:
    """Seals what is sent and opens what comes; in the ``sinks`` of both ends. Entry point ``envelope``.

    Args:
        peer: whose key card messages are sealed for: a client's host. A host answers whose card it has.
        directory: where keys are; see `rpcx.security.identity.home`.
        skew: seconds that clocks may differ and a message may travel.
    """

    name = "envelope"

    def __init__(self, peer: str | None = None, *, directory: Path | None = None, skew: float = 30.0) -> None:
        self._peer = peer
        self._cards = Cards(directory or home())
        self._window = Window(skew)
        self._lock = threading.Lock()

    def connected(self) -> "Line":
        """What one connection has."""
        return Line(self, self._cards, self._cards.named(self._peer) if self._peer else None)

    def wrap(self, data: bytes) -> bytes:
        """Not here: `connected` makes what does it."""
        raise NotImplementedError

    def unwrap(self, data: bytes) -> bytes:
        """Likewise."""
        raise NotImplementedError

    def open(self, data: bytes, context: str) -> bytes:
        """What is in an envelope. Raises EnvelopeRefused."""
        opened = open_envelope(data, keys=self._cards.key, senders=self._cards.sender, context=context)
        with self._lock:
            self._window.admit(opened.header, milliseconds())
        return opened.data


class Line:
    """The sink of one connection."""

    name = EnvelopeSink.name

    def __init__(self, sink: EnvelopeSink, cards: Cards, peer: Card | None) -> None:
        self._sink = sink
        self._cards = cards
        self._peer = peer  # who is at the other end; a host knows from its first message on
        self._sender: bytes | None = None  # its fingerprint, likewise
        self._refused = ""  # why the last message was; told to a caller for whom nothing can be sealed
        self._ours = self._theirs = ""  # contexts; empty until the first message
        self._lock = threading.Lock()

    # --- bytes -------------------------------------------------------------------------------------------------

    def wrap(self, data: bytes) -> bytes:
        with self._lock:
            if self._peer is None:
                raise EnvelopeRefused(self._refused or NOBODY)
            if not self._ours:
                connection = secrets.token_hex(16)
                self._ours, self._theirs = CALLER + connection, HOST + connection
        return seal(data, sender=self._cards.identity, recipient=self._peer.public, context=self._ours)

    def unwrap(self, data: bytes) -> bytes:
        try:
            header = show(data)
            with self._lock:
                theirs = self._theirs or _as_caller(header.context)
                if self._peer is not None and header.sender != self._cards.raw_fingerprint(self._peer):
                    raise EnvelopeRefused("it is from another sender than the one at the other end")
            opened = self._sink.open(data, theirs)
        except EnvelopeRefused as error:
            self._refused = f"sink envelope: {error}"
            raise EnvelopeRefused(self._refused) from None
        with self._lock:
            if not self._theirs:
                self._theirs, self._ours = theirs, HOST + theirs.removeprefix(CALLER)
            if self._peer is None:
                self._peer = self._cards.by_sender(header.sender)
        return opened

    # --- messages ----------------------------------------------------------------------------------------------

    def request(self, call: Call) -> tuple[Call, tuple[str, Any]]:
        """A call leaves, with what its reply must name; or comes in with that."""
        bound = (call.meta or {}).get(BOUND)
        if bound is not None:
            return call, ("callee", bound)
        bound = secrets.token_bytes(12)
        call.meta = {**(call.meta or {}), BOUND: bound}
        return call, ("caller", bound)

    def reply(self, reply: Reply, state: tuple[str, Any]) -> Reply:
        """Its answer leaves, or comes."""
        role, bound = state
        if isinstance(reply, Fault):
            return reply
        if role == "callee":
            return Return([bound, reply.value])
        match reply.value:
            case [name, value] if name == bound:
                return Return(value)
        return Fault(ProtocolError("sink envelope: the reply is to another call; a relay may have changed them"))


def _as_caller(context: str) -> str:
    if not context.startswith(CALLER):
        raise EnvelopeRefused("the first message of a connection is not a caller's")
    return context
