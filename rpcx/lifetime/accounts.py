"""Whom a live object is charged to: the principal whose session received it first, until it ends.

Holding alone is no measure of what somebody uses: a client that renews an object for a year and gives the
reference back holds nothing, and the object lives on. Nor is a session: the next one would begin from nothing.
So each object is counted for the principal it was first handed to, whoever holds it later, whatever keeps it.
"""

from collections import Counter
from collections.abc import Hashable

from rpcx.errors import LimitExceeded
from rpcx.lifetime.lease import LiveLease


class Accounts:
    """How many live objects each principal has to answer for."""

    __slots__ = ("_charged", "_owners", "high")

    def __init__(self) -> None:
        self._owners: dict[Hashable, Hashable] = {}  # holder → whose session it is; none: its own
        self._charged: Counter[Hashable] = Counter()  # whose → live objects
        self.high = 0  # the most that one ever had

    def opened(self, holder: Hashable, owner: Hashable) -> None:
        """What ``holder`` receives is charged to ``owner``."""
        self._owners[holder] = owner

    def forget(self, holder: Hashable) -> None:
        """It is gone. What was charged stays charged until it ends."""
        self._owners.pop(holder, None)

    def charge(self, holder: Hashable, lease: LiveLease, quota: int) -> None:
        """``holder`` receives ``lease``. Raises LimitExceeded when its owner has ``quota`` live objects already."""
        if lease.account is not None:
            return
        owner = self._owners.get(holder, holder)
        if self._charged[owner] >= quota:
            raise LimitExceeded(
                f"{self._charged[owner]} objects live that this principal made, held or not, and the host's quota is "
                f"per_principal={quota}; let some end (release and do not renew them), or raise the quota",
                uri=lease.object_id,
                limit="quotas.per_principal",
            )
        lease.account = owner
        self._charged[owner] += 1
        self.high = max(self.high, self._charged[owner])

    @property
    def most(self) -> int:
        """How many the one has that has most."""
        return max(self._charged.values(), default=0)

    def ended(self, lease: LiveLease) -> None:
        """The object is no more."""
        owner, lease.account = lease.account, None
        if owner is not None:
            self._charged[owner] -= 1
            if not self._charged[owner]:
                del self._charged[owner]
