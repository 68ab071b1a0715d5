"""Calls that have run for longer than any may, found by looking now and then.

A call costs nothing for it: calls are looked at by the hour, and remembered from the first look on, so one may run a
twelfth longer than the bound says. An async method is cancelled; a sync one is told by `rpcx.check`, as when its caller
gives up. Streams are no calls in this sense: their consumer has to go on asking.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Final

from rpcx.errors import LimitExceeded
from rpcx.remoting.dispatch import IncomingCall, IncomingStream
from rpcx.security.hits import Hits

LOOKS: Final = 12  # within the time that a call may run


class Overdue:
    """A `Timed` of the pump.

    Args:
        ends: the connections; those of other protocols have no ``calls`` and are left out.
        seconds: that a call may run.
        hits: to be told.
    """

    def __init__(self, ends: Callable[[], Iterable[object]], seconds: float, hits: Hits) -> None:
        self._ends = ends
        self._seconds = seconds
        self._hits = hits
        self._next = 0.0  # when to look
        self._seen: weakref.WeakKeyDictionary[IncomingCall, float] = weakref.WeakKeyDictionary()  # → when first

    def due(self) -> float | None:
        """When `tick` wants to be called."""
        return self._next

    def tick(self, now: float) -> None:
        """Look at the calls that run."""
        self._next = now + self._seconds / LOOKS
        for end in self._ends():
            calls: Callable[[], list[IncomingCall]] | None = getattr(end, "calls", None)
            for call in set(calls()) if calls is not None else ():
                if not isinstance(call, IncomingStream) and now - self._seen.setdefault(call, now) >= self._seconds:
                    self._end(call)

    def _end(self, call: IncomingCall) -> None:
        if call.cancelled:
            return
        text = f"{call.uri}.{call.method_name} has run for more than {self._seconds:g} s, and no call may run longer"
        self._hits.reached(LimitExceeded(text, limit="limits.longest_call"), call.peer)
        call.cancel(call.call_id)
