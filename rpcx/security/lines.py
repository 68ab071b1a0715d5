"""How many lines a source may cause in a log: ten a second, and the rest is counted.

What a peer does may be worth a line, and a peer may do it a million times. A source is somebody by name, a user, or an
address without its port. `Lines` counts, for the audit log and for `Quiet`, a filter of rpcx's own loggers
(`logging`): it looks for whom a record is about among its arguments, and lets pass what is about nobody.
"""

import logging
import threading
import time
from collections import OrderedDict
from typing import Final

from rpcx.abc import Clock, PeerFacts
from rpcx.security.guard import address_of

LINES: Final = 10  # a second and source
SOURCES: Final = 1024  # that are counted at a time; the one that was silent longest gives way

LeftOut = list[tuple[str, int]]  # sources, and how many lines each did not get


class Lines:
    """Counts. Holds no lock; time comes in as ``now``, monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._counts: OrderedDict[str, list[float]] = OrderedDict()  # source → second begun at, lines in it, left out
        self._swept = now

    def __len__(self) -> int:
        return len(self._counts)

    def take(self, source: str, most: int, now: float) -> tuple[bool, LeftOut]:
        """Whether ``source`` may have one more, ``most`` a second; and what has to be told of those left out."""
        told = self._sweep(now)
        count = self._counts.setdefault(source, [now, 0, 0])
        self._counts.move_to_end(source)
        if now - count[0] >= 1.0:
            told.append((source, int(count[2])))
            count[:] = now, 0, 0
        admitted = count[1] < most
        count[1 if admitted else 2] += 1
        if len(self._counts) > SOURCES:
            silent, (_, _, left_out) = self._counts.popitem(last=False)
            told.append((silent, int(left_out)))
        return admitted, [each for each in told if each[1]]

    def rest(self) -> LeftOut:
        """What was not told yet; it counts from nothing then."""
        told = [(source, int(left_out)) for source, (_, _, left_out) in self._counts.items() if left_out]
        self._counts.clear()
        return told

    def _sweep(self, now: float) -> LeftOut:
        """Seconds that are over."""
        if now - self._swept < 1.0:
            return []
        self._swept = now
        over = [source for source, (begun, _, _) in self._counts.items() if now - begun >= 1.0]
        return [(source, int(self._counts.pop(source)[2])) for source in over]


def source_of(peer: PeerFacts) -> str:
    """Whose share of lines something about ``peer`` takes."""
    if peer.principal is not None:
        return peer.principal
    port = address_of(peer) is not None  # each connection has another: it does not count
    return peer.address.rpartition(":")[0] if port else f"{peer.address} uid {peer.uid}"


class Quiet(logging.Filter):
    """Leaves out records about a source that has had its share. ``left_out`` counts them."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self.left_out = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._lines = Lines(clock())

    def filter(self, record: logging.LogRecord) -> bool:
        peer = next((each for each in record.args or () if isinstance(each, PeerFacts)), None)
        if peer is None:
            return True
        with self._lock:
            admitted, told = self._lines.take(source_of(peer), LINES, self._clock())
            self.left_out += not admitted
        for source, count in told:
            logging.getLogger(record.name).warning("%d lines about %s were left out", count, source)
        return admitted


QUIET: Final = Quiet()  # of this process, as its loggers are


def hush() -> None:
    """Have rpcx's loggers leave out what is too much. Twice is fine."""
    for name in ("rpcx", "rpcx.security"):  # a logger's filters see its own records only, not those of loggers below it
        logging.getLogger(name).addFilter(QUIET)
