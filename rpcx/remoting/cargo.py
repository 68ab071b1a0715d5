"""How many bytes of large messages there may be for one principal, and for all of a host.

A message is bounded (`Limits.message`), and so are connections and calls in flight; their product is not: 64
connections of one principal could each have 64 MiB on their way, and a thousand calls in flight with as much. So
messages that do not come in one read, of more than 64 KiB, are weighed: from their beginning to their end, and on to
the answer if they are calls. One that finds no room is not kept, and its call answered so; nothing else on that
connection is touched. One-way calls are weighed while they wait for those before them.

When a connection ends, what its unanswered calls brought stays on board until they end: leaving is no way to get more.
"""

import threading
from collections.abc import Collection, Hashable

from rpcx.errors import LimitExceeded


class Deck:
    """The room of one principal, or of the host."""

    __slots__ = ("cargoes", "high", "limit", "most", "taken", "whose")

    def __init__(self, most: int, limit: str, whose: str) -> None:
        self.most = most  # bytes
        self.limit = limit  # what the bound is called
        self.whose = whose  # for people
        self.taken = 0
        self.high = 0  # the most that ever was
        self.cargoes = 0  # of connections that are not over, or have something on board still

    def objection(self, size: int) -> LimitExceeded | None:
        """Why ``size`` bytes more do not fit."""
        if self.taken + size <= self.most:
            return None
        text = f"{self.taken} bytes of large messages of {self.whose} are held, and {self.most} is the most; "
        text += f"send this one, of {size}, when calls have ended, or its data as a stream"
        return LimitExceeded(text, executed="no", limit=self.limit)


class ShipsCargo:
    """One connection's `rpcx.protocol.conduct.Cargo`."""

    def __init__(self, port: "Port", decks: tuple[Deck, ...], key: Hashable) -> None:
        self.aboard: dict[int, int] = {}
        self._port = port
        self._decks = decks
        self._key = key
        self._coming = 0  # bytes of the message under way
        self._waiting = 0  # bytes of one-way calls
        self._over = False  # the connection is
        self._forgotten = False

    def load(self, size: int) -> LimitExceeded | None:
        """A message has begun."""
        with self._port.lock:
            objection = self._take(size)
            if objection is None:
                self._coming = size
        return objection

    def arrived(self, call_id: int) -> None:
        """It is complete."""
        with self._port.lock:
            size, self._coming = self._coming, 0
            if call_id:
                self.aboard[call_id] = size
            else:
                self._free(size)

    def unload(self, call_id: int) -> None:
        """Its call is answered."""
        with self._port.lock:
            self._free(self.aboard.pop(call_id, 0))

    def waits(self, size: int) -> LimitExceeded | None:
        """A one-way call of ``size`` bytes is to wait. Why there is no room for it, or None."""
        with self._port.lock:
            objection = self._take(size)
            if objection is None:
                self._waiting += size
        return objection

    def waited(self, size: int) -> None:
        """Its turn has come."""
        with self._port.lock:
            self._waiting -= size
            self._free(size)

    def left(self, running: Collection[int]) -> None:
        """The connection is over."""
        with self._port.lock:
            self._over = True
            gone = [self.aboard.pop(call_id) for call_id in self.aboard.keys() - set(running)]
            coming, self._coming = self._coming, 0
            self._free(sum(gone) + coming)

    def _take(self, size: int) -> LimitExceeded | None:
        for deck in self._decks:
            objection = deck.objection(size)
            if objection is not None:
                return objection
        for deck in self._decks:
            deck.taken += size
            deck.high = max(deck.high, deck.taken)
        return None

    def _free(self, size: int) -> None:
        for deck in self._decks:
            deck.taken -= size
        if self._over and not (self.aboard or self._waiting or self._forgotten):
            self._forgotten = True
            self._port.forget(self._key, self._decks[0])


class Port:
    """All of a host's.

    Args:
        per_principal: bytes.
        per_host: bytes.
    """

    def __init__(self, per_principal: int, per_host: int) -> None:
        self.lock = threading.Lock()
        self.host = Deck(per_host, "limits.large_per_host", "this host's clients")
        self._per_principal = per_principal
        self._principals: dict[Hashable, Deck] = {}
        self._high = 0  # of one principal that is gone

    def cargo(self, key: Hashable, whose: str | None) -> ShipsCargo:
        """A new connection's. ``whose`` None: the host's bound is the only one for it."""
        decks: tuple[Deck, ...] = (self.host,)
        with self.lock:
            if whose is not None:
                deck = self._principals.get(key)
                if deck is None:
                    deck = self._principals[key] = Deck(self._per_principal, "limits.large_per_principal", whose)
                decks = (deck, self.host)
            decks[0].cargoes += 1
        return ShipsCargo(self, decks, key)

    def forget(self, key: Hashable, deck: Deck) -> None:
        """A connection is over, and so is what it brought. Called under the lock."""
        deck.cargoes -= 1
        if not deck.cargoes and deck is not self.host:
            self._high = max(self._high, deck.high)
            del self._principals[key]

    def peaks(self) -> dict[str, tuple[int, int]]:
        """(now, at most) of the host, and of the principal that has most. In bytes."""
        with self.lock:
            now = max((deck.taken for deck in self._principals.values()), default=0)
            high = max((deck.high for deck in self._principals.values()), default=0)
            return {
                "limits.large_per_principal": (now, max(high, self._high)),
                "limits.large_per_host": (self.host.taken, self.host.high),
            }
