"""How a peer behaves that broke no rule: what anybody may do now and then, and nobody all the time.

Cancelled calls, and calls that make no sense, are work for nothing; so are pings. Each is allowed, and counted. The
numbers are others' (see `rpcx.protocol.connection`): Envoy judges 500 requests by their resets, gRPC gives two strikes.
"""

from collections.abc import Collection, Mapping
from typing import Final, Protocol

from rpcx.errors import LimitExceeded

JUDGED: Final = 200  # calls after which a peer most of whose are in vain is cut off (Envoy: 500)
WINDOW: Final = 10.0  # seconds within which they count
SENT_AHEAD: Final = 1024  # calls that may wait for those before them, in protocols of others that have no other bound
STRIKES: Final = 2  # pings in a row that came too early and are forgiven
EARLY: Final = 0.9  # share of the time between two pings from which one is in time: networks bunch them


class Conduct:
    """What is remembered of one peer. Time comes in as ``now``, monotonic seconds."""

    __slots__ = ("_before", "_pinged", "_since", "_strikes", "_vain")

    def __init__(self, now: float) -> None:
        self._since = now  # when the window began …
        self._before = 0  # … calls that had come by then …
        self._vain = 0  # … and those in vain since
        self._pinged = float("-inf")  # when it pinged last
        self._strikes = 0

    def in_vain(self, calls: int, now: float) -> None:
        """One of the peer's calls, of which ``calls`` came so far, was cancelled or made no sense.

        Raises:
            LimitExceeded: most of its calls are.
        """
        if now - self._since > WINDOW:
            self._since, self._before, self._vain = now, max(0, calls - 1), 0
        self._vain += 1
        judged = calls - self._before
        if max(judged, self._vain) >= JUDGED and self._vain * 2 > judged:
            share = f"{self._vain} of {max(judged, self._vain)} calls"
            text = f"{share} were cancelled or made no sense within {WINDOW:.0f} s"
            raise LimitExceeded(text, limit="fixed.vain_calls")

    def pinged(self, least: float, now: float) -> None:
        """The peer pings, which it may every ``least`` seconds. Raises LimitExceeded: it keeps on doing so sooner."""
        early = now - self._pinged < least * EARLY
        self._strikes = self._strikes + 1 if early else 0
        self._pinged = now
        if self._strikes > STRIKES:
            text = f"pings follow one another sooner than every {least:g} s"
            raise LimitExceeded(text, limit="limits.min_ping")


class Share(Protocol):
    """What a connection has of what its principal's connections, and all of the host, may have in flight."""

    def grow(self, calls: int, most: int, /) -> None:
        """Have `Connection.allow` called with ``calls`` at least. Raises LimitExceeded: there is no room."""
        ...

    def left(self, unfinished: int, /) -> None:
        """The connection is over; so many calls run on. Said again, none do besides."""
        ...

    def ended(self, count: int, /) -> None:
        """So many of those ended."""
        ...


class Cargo(Protocol):
    """What a connection has on board of large messages: the one that comes, and those whose calls are not answered."""

    @property
    def aboard(self) -> Mapping[int, int]:
        """Calls that are not answered, and their bytes."""
        ...

    def load(self, size: int, /) -> LimitExceeded | None:
        """A message of ``size`` bytes has begun. Why there is no room for it; None: there is."""
        ...

    def arrived(self, call_id: int, /) -> None:
        """It is complete. It stays on board until its call is answered; 0: it brings none."""
        ...

    def unload(self, call_id: int, /) -> None:
        """The call is answered."""
        ...

    def waits(self, size: int, /) -> LimitExceeded | None:
        """A one-way call of ``size`` bytes is to wait for others. Why there is no room for it, or None."""
        ...

    def waited(self, size: int, /) -> None:
        """Its turn has come."""
        ...

    def left(self, running: Collection[int], /) -> None:
        """The connection is over; these calls of it run on."""
        ...
