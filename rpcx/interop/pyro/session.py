"""One end of a Pyro5 connection, as far as client and server have it in common: messages in, messages out, the end."""

import logging
import threading
from collections.abc import Hashable, Sequence
from typing import Any, Final

from rpcx.abc import Buffer, Job, Link, PeerFacts
from rpcx.errors import ConnectionLost, ForkedConnection, LimitExceeded, ProtocolError
from rpcx.interop.pyro.daemon import Daemon
from rpcx.interop.pyro.message import Message, Messages, write
from rpcx.remoting.pending import Pending
from rpcx.security import audit

log = logging.getLogger("rpcx")

READ: Final = 65_536  # bytes asked for between messages
HANDSHAKE: Final = 10.0  # seconds a peer has for it


class Session:
    """Pumped by a driver (`rpcx.abc.Session`). What comes in goes to `_message`, of a subclass."""

    def __init__(self, daemon: Daemon, facts: PeerFacts) -> None:
        realm = daemon.realm
        self.daemon = daemon
        self.holder: Hashable = daemon.holder(facts)
        self.gate = realm.gate(facts, self.holder)
        self.error: Exception | None = None  # set when the connection has ended
        self.finished = False  # what is queued still leaves, nothing else
        self.opened = Pending()  # arrives with the handshake
        self.oneway_failures = 0  # one-way calls of the peer's that raised
        self._facts = facts
        self._messages = Messages(realm.limits.message)
        self._out: list[Buffer] = []
        self._lock = threading.Lock()  # around `_out` and the queues of a subclass
        self._link: Link = None  # type: ignore[assignment]  # set by attach, before anything else
        self._deadline = 0.0  # monotonic, of the handshake

    @property
    def facts(self) -> PeerFacts:
        return self._facts

    # --- the session a driver pumps ----------------------------------------------------------------------------

    def attach(self, link: Link, now: float) -> None:
        self._link = link
        self._deadline = now + HANDSHAKE

    def receive(self, data: bytes, now: float) -> Sequence[Job]:
        jobs: list[Job] = []
        try:
            for message in self._messages.receive(data):
                if not self.finished:
                    jobs += self._message(message, now)
        except (ProtocolError, LimitExceeded) as error:
            log.warning("%s: %s", self._facts, error)
            if isinstance(error, LimitExceeded):
                audit.event("limit-hit", peer=self._facts, result=str(error))
            self._end(error)
        return jobs

    def eof(self, now: float) -> Sequence[Job]:
        self._end(None if self._messages.between else ConnectionLost("it ended within a message"))
        return ()

    def tick(self, now: float) -> Sequence[Job]:
        if not self.opened.arrived and now >= self._deadline:
            self._end(ProtocolError(f"no handshake of Pyro's within {HANDSHAKE:g} s"))
        return ()

    def due(self) -> float | None:
        return None if self.opened.arrived or self.finished else self._deadline

    def wanted(self) -> int:
        return max(READ, self._messages.wanted)

    def outgoing(self) -> Sequence[Buffer]:
        with self._lock:
            out, self._out = self._out, []
        return out

    @property
    def ready(self) -> bool:
        return bool(self._out)

    def held_back(self, count: int) -> None:
        """While much waits the driver reads no further requests, which bounds what a peer can let pile up."""

    def lost(self, error: Exception) -> None:
        self._end(error)

    def close(self) -> None:
        """Close; what is queued still leaves. Pyro5 says no goodbye."""
        self.finished = True
        self._link.flush()
        self._link.close()

    def forked(self) -> None:
        """This is a child process's copy."""
        self._lock = threading.Lock()
        self.error = ForkedConnection(
            "this connection belongs to the parent process; connect anew in the child", peer=str(self._facts)
        )

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self.error is not None:
                return
            self.error = error if error is not None else ConnectionLost("it was closed")
            self.finished = True
        if not self.opened.arrived:
            self.opened.fail(self.error)
        self.daemon.realm.endpoints.discard(self)
        self._ended(self.error)

    def _send(self, message: Message) -> None:
        data = write(message)
        with self._lock:
            self._out.append(data)
        self._link.flush()

    def _message(self, request: Message, now: float) -> Sequence[Job]:
        """A message came."""
        raise NotImplementedError

    def _ended(self, error: Exception) -> None:
        """The connection is over."""

    def _refer(self, value: Any) -> dict[str, object] | None:  # of any class
        """How an object of ours goes out by reference."""
        return self.daemon.export(value, self._facts)

    def _resolve(self, uri: str) -> object:
        """What a reference stands for here."""
        return self.daemon.resolve(uri, self.gate)
