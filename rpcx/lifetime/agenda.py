"""When to look at which lease again: a heap in which renewing moves nothing.

A lease is renewed by every call, and ends once. So the agenda is made for renewals: a lease has at most one
entry that counts, never later than what it waits for. Renewed, it stays where it is; when the entry surfaces,
whoever looks sees that it is not over yet and puts it back at the new time. Work follows what surfaces, not
what lives: an object that takes ten thousand calls in two minutes is moved once in them.

An entry counts if it is the lease's ``entry``, compared by identity. Entries that count no longer, of ended
leases or of leases that had to be looked at earlier, stay in the heap until they surface or are the larger
half of it; then all are thrown out together (as asyncio does with cancelled timers). So a host that makes and
drops objects faster than leases run out keeps no more than twice what lives.
"""

import heapq
from collections.abc import Iterator
from typing import Final

from rpcx.lifetime.lease import FOREVER, Entry, LiveLease

STALE: Final = 1_000  # entries that count no longer; fewer are not worth a clean-up


class Agenda:
    """Leases to be looked at: some at once, in order; the others at their time."""

    __slots__ = ("_heap", "_moves", "_ready", "_ready_at", "_stale")

    def __init__(self) -> None:
        self._moves = 0  # heap pushes and pops so far; also tells entries of one time apart
        self._stale = 0  # entries in the heap that count no longer
        self._heap: list[Entry] = []
        self._ready: dict[LiveLease, None] = {}  # to be looked at with the next `take`, each once
        self._ready_at = FOREVER  # monotonic seconds; since when there are any

    def stats(self) -> dict[str, int]:
        """Entries in the heap, how many of them count no longer, pushes and pops so far."""
        return {"entries": len(self._heap), "stale": self._stale, "moves": self._moves}

    def soon(self, lease: LiveLease, now: float) -> None:
        """Look at ``lease`` with the next `take`."""
        self._ready[lease] = None
        self._ready_at = min(self._ready_at, now)

    def at(self, lease: LiveLease, when: float) -> None:
        """Look at ``lease`` at ``when``, or earlier if that is what was planned; `FOREVER` plans nothing."""
        planned = lease.entry
        if planned is not None and planned[0] <= when:
            return
        if when < FOREVER:
            if planned is not None:
                self._stale += 1
            self._moves += 1
            lease.entry = (when, self._moves, lease)
            heapq.heappush(self._heap, lease.entry)

    def forget(self, lease: LiveLease) -> None:
        """``lease`` has ended; its entry counts no longer."""
        if lease.entry is not None:
            lease.entry = None
            self._stale += 1
            if self._stale > STALE and 2 * self._stale > len(self._heap):
                self._heap[:] = [entry for entry in self._heap if entry[2].entry is entry]
                heapq.heapify(self._heap)
                self._stale = 0

    def due(self) -> float | None:
        """When the next `take` has something; None: never. Too early for what was renewed meanwhile."""
        while self._heap and self._heap[0][2].entry is not self._heap[0]:
            self._pop()
        when = min(self._ready_at, self._heap[0][0]) if self._heap else self._ready_at
        return when if when < FOREVER else None

    def take(self, now: float) -> Iterator[LiveLease]:
        """What is to be looked at now. Whoever looks may plan, and forget, while this runs."""
        ready, self._ready, self._ready_at = self._ready, {}, FOREVER
        yield from ready
        while self._heap and self._heap[0][0] <= now:
            lease = self._pop()
            if lease is not None:
                yield lease

    def _pop(self) -> LiveLease | None:
        """The lease of the first entry; None if the entry counts no longer."""
        entry = heapq.heappop(self._heap)
        self._moves += 1
        lease = entry[2]
        if lease.entry is not entry:
            self._stale -= 1
            return None
        lease.entry = None
        return lease
