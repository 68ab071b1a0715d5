"""Who holds which object: reference counting between processes.

A holder is a client's session, not a connection: when its connection dies it is *lost*, and has a grace time
to come back over another one; then, or when it says goodbye, it is *gone* and holds nothing.

Both directions are kept, so that a holder which goes costs what it held and an object which ends costs its
holders. Counts are per holder: a client returns as many references as it received, so one still on its way to
it is not lost when it returns the others; and it can return only its own.

A holder that is gone stays remembered for a while. Calls that still run for it may hand out references
afterwards; counted for it, they would never be given back.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from rpcx.errors import InvalidArguments, LimitExceeded
from rpcx.lifetime.accounts import Accounts
from rpcx.lifetime.lease import LiveLease

GONE_HOLDERS: Final = 10_000  # remembered; a call that outlives so many clients leaks one reference


@dataclass(frozen=True)
class Quotas:
    """How many objects there may be, and for how long. Who wants more gets LimitExceeded; nobody else notices.

    Attributes:
        per_holder: different objects one holder may hold.
        per_principal: live objects that were first handed to sessions of one principal, held still or not.
        per_host: objects that may live on the host.
        callbacks: objects of one client's that the host may hold: callbacks, sponsors, whatever it passes by reference.
        longest_renewal: seconds by which a client or a sponsor may renew a lease at a time.
    """

    per_holder: int = 10_000
    per_principal: int = 100_000
    per_host: int = 2_000_000
    callbacks: int = 10_000
    longest_renewal: float = 2_592_000.0  # 30 days: nobody who lives needs more, and nobody who died should have it

    def __post_init__(self) -> None:
        if not 0 < self.longest_renewal < float("inf"):
            raise ValueError(f"Quotas(longest_renewal={self.longest_renewal!r}): a number of seconds above 0 is needed")
        for name in ("per_holder", "per_principal", "per_host", "callbacks"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Quotas({name}={value!r}): a number of objects, at least 1, is needed")

    def check_renewal(self, seconds: float, object_id: str) -> None:
        """Whether somebody may renew ``object_id`` by so much.

        Raises:
            InvalidArguments: that is no time.
            LimitExceeded: it is more than is allowed at a time.
        """
        if not seconds >= 0:
            raise InvalidArguments(f"{object_id}: cannot renew by {seconds!r} s; give 0 seconds or more", uri=object_id)
        if seconds > self.longest_renewal:
            raise LimitExceeded(
                f"{object_id}: cannot renew by {seconds!r:.20} s; the host allows {self.longest_renewal:g} s at a time "
                "(longest_renewal): renew again then, or register a sponsor",
                uri=object_id,
                limit="quotas.longest_renewal",
            )


class Holders:
    """The table of holders. Methods that let go return the leases that nobody holds any more."""

    __slots__ = ("_gone", "_held", "_lost", "accounts", "grace", "high")

    def __init__(self, grace: float) -> None:
        self.grace = grace  # seconds
        self.accounts = Accounts()
        self.high = 0  # the most that one ever held
        self._held: dict[Hashable, dict[LiveLease, int]] = {}  # holder → what → how often it received it
        self._lost: OrderedDict[Hashable, float] = OrderedDict()  # → when its grace is over; in that order
        self._gone: OrderedDict[Hashable, None] = OrderedDict()  # newest last

    def stats(self) -> dict[str, int]:
        """How many hold something, and how many are in their grace time."""
        return {"holders": len(self._held), "lost": len(self._lost)}

    def peaks(self) -> dict[str, tuple[int, int]]:
        """(now, at most) what the one holds that holds most, and what the one has to answer for that has most."""
        return {
            "quotas.per_holder": (max(map(len, self._held.values()), default=0), self.high),
            "quotas.per_principal": (self.accounts.most, self.accounts.high),
        }

    def is_gone(self, holder: Hashable) -> bool:
        """Whether it said goodbye, or was lost for too long, and has not come back."""
        return holder in self._gone

    def hold(self, holder: Hashable, lease: LiveLease, count: int, quota: int) -> None:
        """``holder`` received a reference ``count`` times. Raises LimitExceeded beyond ``quota`` objects."""
        if count < 1:
            raise ValueError(f"{lease.object_id} held {count!r} times: a reference is received once at least")
        held = self._held.get(holder, {})
        if lease not in held:
            if len(held) >= quota:  # its key is no text for others to read: it may be a session's secret
                raise LimitExceeded(
                    f"this client holds {len(held)} objects, and the host's quota is per_holder={quota}; "
                    "release proxies that are no longer used, or raise the quota",
                    uri=lease.object_id,
                    limit="quotas.per_holder",
                )
            lease.add_holder(holder)
            self._held[holder] = held
            self.high = max(self.high, len(held) + 1)
        held[lease] = held.get(lease, 0) + count

    def release(self, holder: Hashable, lease: LiveLease, count: int) -> bool:
        """It gives ``count`` back, at most what it has. True: nobody holds ``lease`` any more by that."""
        held = self._held.get(holder, {})
        if lease not in held or count < 1:
            return False
        held[lease] -= count
        if held[lease] > 0:
            return False
        del held[lease]
        if not held:
            del self._held[holder]
        lease.drop_holder(holder)
        return not lease.holders

    def ended(self, lease: LiveLease) -> None:
        """The object is no more; nobody holds it."""
        for holder in lease.holders:
            held = self._held[holder]
            del held[lease]
            if not held:
                del self._held[holder]
        lease.holders = ()
        self.accounts.ended(lease)

    def lose(self, holder: Hashable, now: float) -> None:
        """Its connection died: its grace time begins, unless it has begun or is over."""
        if holder not in self._gone:
            self._lost.setdefault(holder, now + self.grace)

    def back(self, holder: Hashable, owner: Hashable = None) -> None:
        """It is here, for the first time or again; a session of ``owner``, if that is known."""
        if owner is not None:
            self.accounts.opened(holder, owner)
        self._lost.pop(holder, None)
        self._gone.pop(holder, None)

    def go(self, holder: Hashable) -> list[LiveLease]:
        """It is gone."""
        self._lost.pop(holder, None)
        self.accounts.forget(holder)
        self._gone[holder] = None
        self._gone.move_to_end(holder)
        if len(self._gone) > GONE_HOLDERS:
            self._gone.popitem(last=False)
        held = self._held.pop(holder, {})
        for lease in held:
            lease.drop_holder(holder)
        return [lease for lease in held if not lease.holders]

    def due(self) -> float | None:
        """When the next grace time is over; None: nobody is lost."""
        return next(iter(self._lost.values()), None)

    def take(self, now: float) -> list[LiveLease]:
        """Those whose grace time is over are gone."""
        alone: list[LiveLease] = []
        while self._lost:
            holder, over = next(iter(self._lost.items()))
            if over > now:
                break
            alone += self.go(holder)
        return alone
