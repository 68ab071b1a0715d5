"""The brake of a connection: while its peer takes no answers, none of its calls begins.

A host reads no further when too much waits for a client to take it (`rpcx.drivers.links`). But one read may have
brought a thousand calls already, each with an answer of megabytes. So those that have not begun are marked, which costs
the others nothing, and whoever is to run a marked one asks here first. What was kept begins, one after the other, when
the peer has taken some. Streams ask for credit before each item; they are told that there is none (`Incoming.credit`).
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from rpcx.abc import Job
from rpcx.remoting.dispatch import IncomingCall


class Brake:
    """One connection's.

    Args:
        spawn: runs a job in whatever way the driver has.
        calls: the peer's calls that are not answered.
    """

    def __init__(self, spawn: Callable[[Job], None], calls: Callable[[], Iterable[IncomingCall]]) -> None:
        self.on = False
        self._spawn = spawn
        self._calls = calls
        self.weighing = threading.Lock()  # around the question whether it is to be on
        self._lock = threading.Lock()
        self._kept: deque[IncomingCall] = deque()

    def turn(self, *, on: bool) -> None:
        """On: no call begins. Off: those that were kept do, and streams go on."""
        self.on = on
        if on:
            self.mark()
            return
        self.next()
        for call in self._calls():
            call.credit()

    def mark(self) -> None:
        """Have it asked about each call. It means nothing to those that have begun."""
        for call in self._calls():
            call.halted = True

    def keeps(self, call: IncomingCall) -> bool:
        """Whether ``call`` is to begin later, and kept until then."""
        with self._lock:
            if self.on:
                self._kept.append(call)
            return self.on

    def next(self) -> None:
        """Begin one that was kept, if there is one and it may."""
        with self._lock:
            if self.on or not self._kept:
                return
            call = self._kept.popleft()
        self._spawn(Resumed(call, self))

    def clear(self) -> list[IncomingCall]:
        """The connection has ended: what was kept, and is not any more."""
        with self._lock:
            self.on = False
            kept, self._kept = list(self._kept), deque()
        return kept


class Resumed:
    """A call that was kept, on its way; the next begins when it would have without a brake."""

    def __init__(self, call: IncomingCall, brake: Brake) -> None:
        self.is_async = call.is_async
        self.blocking = call.blocking
        self._call = call
        self._brake = brake

    def run(self) -> None:
        if self.blocking:  # each has a thread of its own
            self._brake.next()
        self._call.run()
        if not self.blocking:
            self._brake.next()

    async def run_async(self) -> None:
        self._brake.next()
        await self._call.run_async()

    def overran(self, now: float) -> None:
        self._call.overran(now)
