"""When whose timer is due, for a pump of threads."""

import heapq
import itertools
import threading
import weakref
from collections.abc import Iterator

from rpcx.abc import Timed
from rpcx.drivers.links import NEVER, ThreadLink


class Timers:
    """The sessions' timers in a heap, so that cost follows what is due; and those of a few others.

    The heap keeps no connection alive: a flood of strangers that are evicted at once would stay for ten seconds each.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, weakref.ref[ThreadLink]]] = []  # entries may be out of date
        self._order = itertools.count()  # breaks ties in the heap
        self._mutex = threading.Lock()
        self._others: list[Timed] = []

    def add(self, timed: Timed) -> None:
        """Keep ``timed``'s timer too."""
        self._others.append(timed)

    def remove(self, timed: Timed) -> None:
        """Keep it no more."""
        self._others.remove(timed)

    def arm(self, link: ThreadLink, due: float) -> None:
        """Ask ``link``'s session at ``due``, if that is earlier than known."""
        with self._mutex:
            if due < link.armed:
                link.armed = due
                heapq.heappush(self._heap, (due, next(self._order), weakref.ref(link)))

    def next_due(self) -> float:
        """When the first of all is due."""
        due = self._heap[0][0] if self._heap else NEVER
        for timed in self._others:
            own = timed.due()
            if own is not None and own < due:
                due = own
        return due

    def run(self, now: float) -> Iterator[ThreadLink]:
        """Run what is due by ``now``; gives the links whose session is to be asked, each to be armed anew."""
        for timed in self._others:
            own = timed.due()
            if own is not None and own <= now:
                timed.tick(now)
        while self._heap and self._heap[0][0] <= now:
            with self._mutex:
                link = heapq.heappop(self._heap)[2]()
                if link is None or link.closed:
                    continue
                link.armed = NEVER
            yield link
