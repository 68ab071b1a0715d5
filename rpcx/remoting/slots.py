"""How many calls may be in flight for one principal, and for all of a host.

A connection counts its own calls (`rpcx.protocol.connection`). What several share is not counted call by call, which
all calls would pay for: a connection takes slots in advance, more at a time as it needs more, so that nearly all of its
calls find one without asking. Slots that it took and does not use are taken back when somebody finds none left.
One call each connection has for nothing: who waits for each answer never comes here.

When a connection ends, the calls that still run for it keep their slots until they end: leaving is no way to get more.
"""

import threading
from collections.abc import Hashable
from typing import Final, Protocol

from rpcx.errors import LimitExceeded

FREE: Final = 1  # calls in flight that a connection needs no slot for
FEWEST: Final = 16  # slots taken at once, if there are so many


class Caller(Protocol):
    """A connection, as seen from here."""

    @property
    def serving(self) -> int:
        """The peer's calls that are not answered."""
        ...

    def allow(self, calls: int, /) -> None:
        """From now on so many of them need not be asked for."""
        ...


class Pool:
    """The slots of one principal, or of the host."""

    __slots__ = ("_patience", "high", "limit", "most", "refused", "shares", "taken", "whose")

    def __init__(self, most: int, limit: str, whose: str) -> None:
        self.most = most
        self.limit = limit  # what the bound is called
        self.whose = whose  # for people
        self.taken = 0
        self.high = 0  # the most that ever were
        self.refused = 0  # calls that found none
        self.shares: set[Share] = set()
        self._patience = 0  # calls to refuse before connections are asked again whether they need what they took

    def room(self, count: int) -> int:
        """How many slots are left, when ``count`` are needed; what others do not use is taken back for that."""
        if self.taken + count > self.most:
            if self._patience:
                self._patience -= 1
            else:
                before = self.taken
                for share in self.shares:
                    share.shrink()
                if self.taken == before:  # asking many is dearer than to refuse
                    self._patience = len(self.shares) // 16
        return self.most - self.taken

    def take(self, count: int) -> None:
        """Take slots, or give them back if negative."""
        self.taken += count
        self.high = max(self.high, self.taken)


class Share:
    """What one connection has of its principal's slots and of the host's. Changes under the table's lock."""

    def __init__(self, table: "Slots", caller: Caller, pools: tuple[Pool, ...], key: Hashable) -> None:
        self.key = key  # the principal's
        self.pools = pools
        self.taken = 0
        self._left = False  # the connection has ended
        self._table = table
        self._caller = caller

    def grow(self, calls: int, most: int) -> None:
        """Take slots for ``calls`` in flight, and some more in advance up to ``most``.

        Raises:
            LimitExceeded: there are not so many left.
        """
        with self._table.lock:
            needed = calls - FREE - self.taken
            room = most
            for pool in self.pools:
                room = min(room, pool.room(needed))
                if room < needed:
                    pool.refused += 1
                    text = f"{pool.most} calls of {pool.whose} are in flight; try again when some have ended"
                    raise LimitExceeded(text, limit=pool.limit)
            self._take(max(needed, min(max(FEWEST, self.taken), room, most - FREE - self.taken)))
            self._caller.allow(FREE + self.taken)

    def shrink(self) -> None:
        """Give back what is not used. Called under the lock."""
        unused = self.taken - max(0, self._caller.serving - FREE)
        if unused > 0:
            self._take(-unused)
            self._caller.allow(FREE + self.taken)

    def left(self, unfinished: int) -> None:
        """The connection has ended, and ``unfinished`` calls still run for it. Said again, it changes nothing."""
        with self._table.lock:
            if not self._left:
                self._left = True
                self._take(unfinished - self.taken)
                self._gone()

    def ended(self, count: int) -> None:
        """So many of those have ended too."""
        with self._table.lock:
            if self._left:
                self._take(-min(count, self.taken))
                self._gone()

    def _take(self, count: int) -> None:
        self.taken += count
        for pool in self.pools:
            pool.take(count)
        self._table.took(self)

    def _gone(self) -> None:
        for pool in self.pools:
            pool.shares.discard(self)
        self._table.forget(self)


class Slots:
    """All of a host's."""

    def __init__(self, per_principal: int, per_host: int) -> None:
        self.lock = threading.Lock()
        self.host = Pool(per_host, "limits.in_flight_per_host", "this host's clients")
        self._per_principal = per_principal
        self._principals: dict[Hashable, Pool] = {}
        self._refused = 0  # of principals that are gone
        self._highs = (0, 0)  # the most slots that one connection, and one principal, ever had

    def share(self, caller: Caller, key: Hashable, whose: str | None) -> Share:
        """A new connection's. ``whose`` None: the host's bound is the only one for it."""
        with self.lock:
            pools: tuple[Pool, ...] = (self.host,)
            if whose is not None:
                pool = self._principals.get(key)
                if pool is None:
                    pool = self._principals[key] = Pool(self._per_principal, "limits.in_flight_per_principal", whose)
                pools = (pool, self.host)
            share = Share(self, caller, pools, key)
            for pool in pools:
                pool.shares.add(share)
            begun = caller.serving - FREE  # that came together with its handshake
            if begun > 0:
                share._take(begun)
            caller.allow(FREE + share.taken)
        return share

    def took(self, share: Share) -> None:
        """It has more or fewer than before. Called under the lock."""
        connection, principal = self._highs
        pool = share.pools[0]
        if pool is not self.host:
            principal = max(principal, pool.taken)
        self._highs = max(connection, FREE + share.taken), principal

    def peaks(self) -> dict[str, tuple[int, int]]:
        """(now, at most) of what is bounded: of the one that has most, where each has a bound. In slots taken."""
        with self.lock:
            connections = max((FREE + share.taken for share in self.host.shares), default=0)
            principals = max((pool.taken for pool in self._principals.values()), default=0)
            return {
                "limits.in_flight": (connections, self._highs[0]),
                "limits.in_flight_per_principal": (principals, self._highs[1]),
                "limits.in_flight_per_host": (self.host.taken, self.host.high),
            }

    def forget(self, share: Share) -> None:
        """Its connection is gone. Called under the lock."""
        pool = share.pools[0]
        if self._principals.get(share.key) is pool and not pool.taken and not pool.shares:
            del self._principals[share.key]
            self._refused += pool.refused
            pool.refused = 0

    def counters(self) -> dict[str, int]:
        """For inspection."""
        with self.lock:
            refused = self._refused + self.host.refused + sum(pool.refused for pool in self._principals.values())
            return {"slots": self.host.taken, "slots_high": self.host.high, "calls_refused": refused}
