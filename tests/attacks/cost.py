"""What an attack costs its victim: memory at its worst, sampled while it goes on, and what others wait for a call."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

MIB = 1 << 20
MOST_GROWTH = 32 * MIB  # bytes that one attacker may cost a host


class Growth:
    """How much more memory this process had than at the beginning, at most."""

    def __init__(self) -> None:
        gc.collect()
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._over = threading.Event()
        self.most = 0

    def look(self) -> int:
        self.most = max(self.most, self._process.memory_info().rss - self._before)
        return self.most

    def watch(self) -> None:
        while not self._over.wait(0.002):
            self.look()


@contextmanager
def growth() -> Iterator[Growth]:
    """Watch while the block runs, and fail if it cost more than it may."""
    grown = Growth()
    thread = threading.Thread(target=grown.watch)
    thread.start()
    try:
        yield grown
    finally:
        grown._over.set()
        thread.join()
    assert grown.look() < MOST_GROWTH, f"it cost {grown.most / MIB:.1f} MiB"


def best_of_three(call: Callable[[], object]) -> float:
    """Seconds that ``call`` takes; of three tries at most, if the machine is busy."""
    best = 10.0
    for _ in range(3):
        begun = time.monotonic()
        call()
        best = min(best, time.monotonic() - begun)
        if best < 0.5:
            break
    return best
