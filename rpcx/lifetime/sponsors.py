"""Who may be asked to renew which object.

A lease knows its sponsors; this is the other direction: owner → its sponsors, so that a connection which dies
takes its sponsors along at the cost of their number. Equal sponsors of one object are one.
"""

from collections.abc import Hashable
from typing import Final

from rpcx.errors import LimitExceeded
from rpcx.lifetime.lease import LiveLease, Sponsorship

MAX_SPONSORS: Final = 16  # of one object, asked one after the other: 16 x 120 s is over half an hour already


class Sponsors:
    """The table of sponsors, by owner."""

    __slots__ = ("_owned", "high")

    def __init__(self) -> None:
        self._owned: dict[Hashable, dict[Sponsorship, LiveLease]] = {}  # owner → what it sponsors
        self.high = 0  # the most that one object ever had

    def __len__(self) -> int:
        return sum(map(len, self._owned.values()))

    def add(self, lease: LiveLease, sponsor: Hashable, owner: Hashable) -> Sponsorship:
        """Register. Raises LimitExceeded when ``lease`` has too many."""
        if len(lease.sponsors) >= MAX_SPONSORS:
            raise LimitExceeded(
                f"{lease.object_id} has {MAX_SPONSORS} sponsors, and no object may have more; unregister one",
                uri=lease.object_id,
                limit="fixed.sponsors",
            )
        sponsorship = Sponsorship(sponsor, owner)
        lease.sponsors = {**lease.sponsors, sponsor: sponsorship}
        self.high = max(self.high, len(lease.sponsors))
        self._owned.setdefault(owner, {})[sponsorship] = lease
        return sponsorship

    def drop(self, lease: LiveLease, sponsorship: Sponsorship, why: str) -> bool:
        """It is a sponsor no more. True if it was the one being asked: another is to be asked then."""
        owned = self._owned[sponsorship.owner]
        del owned[sponsorship]
        if not owned:
            del self._owned[sponsorship.owner]
        return lease.strike(sponsorship, why)

    @property
    def most(self) -> int:
        """How many the object has that has most."""
        leases = {lease for owned in self._owned.values() for lease in owned.values()}
        return max((len(lease.sponsors) for lease in leases), default=0)

    def owned(self, owner: Hashable) -> list[tuple[Sponsorship, LiveLease]]:
        """What ``owner`` sponsors; a snapshot."""
        return list(self._owned.get(owner, {}).items())
