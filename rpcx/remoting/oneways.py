"""One-way calls of a connection: each waits for those before it, and nobody for them.

The first runs at once, as any call. Those that wait run behind it by portions, in whatever way the driver has for it.
They are bounded in number and bytes: who sends them faster than they end loses some, and finds that counted.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from rpcx.abc import Job
from rpcx.errors import LimitExceeded
from rpcx.protocol.conduct import Cargo
from rpcx.remoting.dispatch import IncomingCall, IncomingOneway

PORTION: Final = 64  # calls that run one after the other before whatever else the driver has to do


class Oneways:
    """Those of one connection.

    Args:
        most: calls that may wait.
        most_bytes: bytes that they may have together, as they came.
        spawn: runs a job.
        cargo: what the connection may hold of large messages, of which these are then; None: that does not matter.
    """

    def __init__(self, most: int, most_bytes: int, spawn: Callable[[Job], None], cargo: Cargo | None = None) -> None:
        self.high = 0  # the most that ever waited
        self._most = most
        self._most_bytes = most_bytes
        self.spawn = spawn
        self._cargo = cargo
        self._lock = threading.Lock()
        self._runs = False  # one does, or is about to
        self._waiting: deque[tuple[IncomingOneway, int]] = deque()  # and the bytes it came in
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, call: IncomingOneway, size: int) -> bool:
        """Whether ``call``, which came in ``size`` bytes, is to be run now; else its turn comes.

        Raises:
            LimitExceeded: too many wait. It is lost.
        """
        with self._lock:
            if not self._runs:
                self._runs = True
                return True
            if len(self._waiting) >= self._most or self._bytes + size > self._most_bytes:
                raise LimitExceeded(
                    f"{len(self._waiting)} one-way calls of {self._bytes} bytes wait already, so this one is lost; "
                    "send them more slowly, wait for some (leave out oneway), or raise Limits(oneways=...)",
                    limit="limits.oneways",
                )
            if self._cargo is not None and (objection := self._cargo.waits(size)) is not None:
                raise objection
            self._waiting.append((call, size))
            self._bytes += size
            self.high = max(self.high, len(self._waiting))
            return False

    def done(self) -> None:
        """One has ended: those that wait go on."""
        with self._lock:
            if not self._waiting:
                self._runs = False
                return
        self.spawn(Rest(self))

    def next(self) -> IncomingOneway | None:
        """The next; None: nobody waits, and none runs any more."""
        with self._lock:
            if not self._waiting:
                self._runs = False
                return None
            call, size = self._waiting.popleft()
            self._bytes -= size
        if self._cargo is not None:
            self._cargo.waited(size)
        return call


class Rest:
    """The next of those that wait."""

    is_async = False
    blocking = False

    def __init__(self, oneways: Oneways) -> None:
        self._oneways = oneways

    def run(self) -> None:
        """Run a portion. One that is not for this thread goes its own way, and the others behind it."""
        for _ in range(PORTION):
            call = self._oneways.next()
            if call is None:
                return
            if call.is_async or call.blocking:
                self._oneways.spawn(call)
                return
            IncomingCall.run(call)
        self._oneways.done()

    async def run_async(self) -> None:
        self.run()

    def overran(self, now: float) -> None:
        """Many short calls may take long together: then no method is to blame."""
