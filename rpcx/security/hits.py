"""How often each bound of a host was reached, counted and told in one place.

Whoever finds a bound reached raises an error that names it (`rpcx.errors.RpcxError.limit`). The error goes to who went
over it, as its answer or as the end of its connection; on that way it passes here once.
"""

import threading
from collections import Counter
from collections.abc import Mapping

from rpcx.abc import PeerFacts
from rpcx.errors import RpcxError
from rpcx.security import audit


class Hits:
    """One host's, or one client's. Its methods may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._high: dict[str, int] = {}

    def reached(self, error: BaseException | None, peer: PeerFacts | None) -> None:
        """``error`` came of what ``peer`` did; if it names a bound, that is counted and told."""
        if isinstance(error, RpcxError) and error.limit:
            self.count(error.limit)
            audit.event("limit-hit", peer=peer, limit=error.limit, result=str(error))

    def count(self, limit: str) -> None:
        """One more, of a bound of which nobody is told at once."""
        with self._lock:
            self._counts[limit] += 1

    def peaked(self, peaks: Mapping[str, int]) -> None:
        """A connection has ended that had so much, at most, of what is bounded for each."""
        with self._lock:
            for limit, high in peaks.items():
                self._high[limit] = max(high, self._high.get(limit, 0))

    def high(self, limit: str) -> int:
        """The most that one of those ever had."""
        return self._high.get(limit, 0)

    def __getitem__(self, limit: str) -> int:
        """How often it was reached."""
        return self._counts[limit]
