"""One end of a Pyro5 connection, as far as client and server have it in common: messages, the handshake's time."""

from collections.abc import Sequence
from typing import Any, Final

from rpcx.abc import Job, Link, PeerFacts
from rpcx.errors import ProtocolError
from rpcx.interop.foreign import ForeignSession
from rpcx.interop.pyro.daemon import Daemon
from rpcx.interop.pyro.message import Message, Messages, write

HANDSHAKE: Final = 10.0  # seconds a peer has for it


class Session(ForeignSession[Message]):
    """One end; `opened` arrives with the handshake."""

    def __init__(self, daemon: Daemon, facts: PeerFacts) -> None:
        super().__init__(daemon.realm, facts, daemon.holder(facts), Messages(daemon.realm.limits.message))
        self.daemon = daemon
        self._deadline = 0.0  # monotonic, of the handshake

    def attach(self, link: Link, now: float) -> None:
        super().attach(link, now)
        self._deadline = now + HANDSHAKE

    def tick(self, now: float) -> Sequence[Job]:
        if not self.opened.arrived and now >= self._deadline:
            self._end(ProtocolError(f"no handshake of Pyro's within {HANDSHAKE:g} s", limit="limits.handshake"))
        return super().tick(now)

    def due(self) -> float | None:
        return super().due() if self.opened.arrived or self.finished else self._deadline

    def _send(self, message: Message) -> None:
        self._put(write(message))

    def _refer(self, value: Any) -> dict[str, object] | None:  # of any class
        """How an object of ours goes out by reference."""
        return self.daemon.export(value, self._facts)

    def _resolve(self, uri: str) -> object:
        """What a reference stands for here."""
        return self.daemon.resolve(uri, self.gate)
