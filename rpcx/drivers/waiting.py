"""Adaptive waiting: poll, yield, and only then sleep in the kernel.

Waking a sleeping process costs some 40 µs each way on a small virtual machine, three times the work of a call.
So whoever expects an answer soon looks for it without blocking, for at most `SPIN_SECONDS`, giving the
processor away with ``sched_yield`` between two looks: on a single core the peer needs it to produce that very
answer (without the yield: 8 k calls/s instead of 30 k).

Spinning is a bet. `Spinner` keeps its account: after a row of lost bets it stops betting, and tries again only
now and then. With nothing outstanding nobody asks it, so an idle process uses no processor time.
"""

import os
import time
from collections.abc import Callable
from typing import Final

monotonic = time.monotonic

SPIN_SECONDS: Final = 50e-6  # to look before sleeping; about what being woken would cost
LOSSES: Final = 8  # lost bets in a row after which spinning pauses
PAUSE: Final = 32  # waits that go without spinning, before it is tried again


def _no_yield() -> None:
    time.sleep(0)


#: Give the processor to whoever waits for it; returns at once when nobody does.
give_way: Final = getattr(os, "sched_yield", _no_yield)


def look(receive: Callable[[int], bytes], size: int, seconds: float) -> bytes | None:
    """What ``receive(size)`` brings within ``seconds``, without sleeping; None: nothing.

    Raises:
        OSError: the stream broke.
    """
    until = 0.0
    while True:
        give_way()
        try:
            return receive(size)
        except BlockingIOError:
            now = monotonic()
            if not until:
                until = now + seconds
            if now >= until:
                return None


class Spinner:
    """Decides whether a wait begins with spinning."""

    __slots__ = ("_paused", "losses", "seconds")

    def __init__(self, seconds: float = SPIN_SECONDS) -> None:
        self.seconds = seconds  # to spin at most; 0 switches it off
        self.losses = 0  # bets lost since the last won one
        self._paused = 0  # waits still to go without

    def bets(self) -> bool:
        """Whether to spin now."""
        if not self.seconds:
            return False
        if self.losses < LOSSES:
            return True
        self._paused -= 1
        if self._paused > 0:
            return False
        self._paused = PAUSE
        return True

    def won(self) -> None:
        """What was awaited came while spinning."""
        self.losses = 0

    def lost(self) -> None:
        """It did not."""
        self.losses += 1
        if self.losses == LOSSES:
            self._paused = PAUSE
