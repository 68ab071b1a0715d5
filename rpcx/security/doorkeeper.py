"""A host's guard at work: asked by both drivers for each arrival, told what became of it, heard in log and audit."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rpcx.abc import Bound, PeerFacts, Session
from rpcx.errors import LimitExceeded
from rpcx.security.audit import event
from rpcx.security.guard import ELSEWHERE, PRINCIPAL, Admission, Guard, Guest, Network, is_from

log = logging.getLogger("rpcx.security")


class Door(NamedTuple):
    """What is behind a listener."""

    session: Callable[[PeerFacts], Session]  # makes this side of a new connection
    allowed: tuple[Network, ...]  # that clients must come from; none: anywhere
    proves: bool  # its protocol tells when the client has proved who it is; another's has no such thing


class Doorkeeper:
    """One host's. Its methods may be called by any thread."""

    def __init__(self, rules: Admission) -> None:
        self._guard = Guard(rules)
        self._lock = threading.Lock()
        self._guests: dict[object, Guest] = {}  # by their end here, until they are admitted or gone
        self._per_principal_high = 0  # connections of one, at most

    def lets_in(
        self, facts: PeerFacts, allowed: Sequence[Network], connections: int
    ) -> tuple[Guest | None, Any]:  # the session to evict
        """Whether somebody may connect: (the guest or None, the session that has to go for it or None).

        Args:
            facts: what is known of it: where it comes from.
            allowed: the networks it must come from; empty: any.
            connections: how many there are.
        """
        now = time.monotonic()
        with self._lock:
            if allowed and not is_from(facts, allowed):
                self._guard.tally.add(ELSEWHERE)
                guest, evicted = None, None
            else:
                guest, evicted = self._guard.arrives(facts, connections, now)
        self.tick(now)
        return guest, evicted.session if evicted is not None else None

    def knows(self, guest: Guest) -> None:
        """Its protocol has no proof to wait for."""
        with self._lock:
            self._guard.admitted(guest)

    def awaits(self, end: object, guest: Guest) -> None:
        """``end`` is this side of the guest's connection; `admitted` or `ended` will be told of it."""
        with self._lock:
            self._guests[end] = guest

    def admitted(self, end: object, facts: PeerFacts, others: Iterable[PeerFacts]) -> LimitExceeded | None:
        """It proved who it is. Returns why it has to go all the same: its principal has too many connections."""
        with self._lock:
            guest = self._guests.pop(end, None)
            if guest is not None:
                self._guard.admitted(guest)
            most = self._guard.rules.per_principal
            if facts.owner or facts.principal is None:
                return None
            connections = sum(1 for other in others if other.principal == facts.principal)
            self._per_principal_high = max(self._per_principal_high, min(connections, most))
            if connections <= most:
                return None
            self._guard.tally.add(PRINCIPAL)
        text = f"{facts.principal} has {most} connections here already; share one, or close some"
        return LimitExceeded(text, limit="admission.per_principal")

    def ended(self, end: object, error: Exception | None) -> None:
        """Its connection is gone."""
        with self._lock:
            guest = self._guests.pop(end, None)
            if guest is not None:
                self._guard.ended(guest, error, time.monotonic())

    def counters(self) -> dict[str, int]:
        """For inspection."""
        with self._lock:
            return self._guard.counters()

    def bounds(self, peers: Sequence[PeerFacts]) -> dict[str, Bound]:
        """How each bound stands; ``peers`` are all that are connected."""
        of_each = Counter(peer.principal for peer in peers if peer.principal is not None and not peer.owner)
        most = max(of_each.values(), default=0)
        with self._lock:
            return self._guard.bounds(len(peers), (most, self._per_principal_high), time.monotonic())

    # --- a `Timed` of the pump: who was refused is told in time, also when nobody comes any more -----------------

    def due(self) -> float | None:
        """When `tick` has something to tell."""
        return self._guard.tally.due()

    def tick(self, now: float) -> None:
        """Tell of those who were refused, unless somebody has just been told."""
        with self._lock:
            report = self._guard.tally.report(now)
        self._tell(report)

    def close(self) -> None:
        """Tell of the rest."""
        with self._lock:
            report = self._guard.tally.rest(time.monotonic())
        self._tell(report)

    def _tell(self, report: str | None) -> None:
        if report is not None:
            log.warning("refused: %s", report)
            event("accept-reject", result=report)
