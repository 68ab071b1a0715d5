"""The lease manager: which objects live, and whom to ask before one ends.

It decides and never does: time goes in as ``now`` (monotonic seconds), actions come out of `tick`. The host
holds a lock around every call, performs the actions, and calls `tick` when `due` says. `due` may have moved
earlier after any call but `enter`; `leave` tells whether it did.

1. **Only `tick` ends objects and asks sponsors.** Every other method changes tables and, where something is
   to be done at once, makes it due now. So there is one place where an object can end, it looks at the object
   as it is then, and whatever was called, held or renewed in between lives on. (`remove` alone is final when
   it returns; its `Ended` still comes out of `tick`, once no call runs on the object any more.)
2. **When an object ends.** (a) Its time is over and no sponsor renews, though it is held: sponsors exist for
   that. (b) Its last holder let go; unless it was renewed by `renew` or has a sponsor: then (a) alone decides
   (if the lease runs out at all). (c) Without a lease: its last holder let go. (d) The host removed it.
   What nobody has held yet is not let go by anybody. A running call delays (a) to (c) until it is over.
3. **Cost follows what ends, not what lives**: a call is one addition, renewing moves nothing (see `Agenda`),
   a holder that goes costs what it held (see `Holders`).
4. **Sponsors are asked one at a time**, in .NET's order. Who answers no, fails, or is silent for too long is
   no sponsor any more, so a round ends. An answer counts while its question is open, once.
"""

from collections.abc import Hashable, Iterator
from typing import Final

from rpcx.errors import InvalidArguments, LimitExceeded, ObjectExpired, ObjectNotFound
from rpcx.lifetime.actions import Action, AskSponsor, Ended
from rpcx.lifetime.agenda import Agenda
from rpcx.lifetime.endings import CREATE_ANOTHER, FIND_SPONSOR, KEEP_PROXY, Endings
from rpcx.lifetime.holders import Holders, Quotas
from rpcx.lifetime.lease import FOREVER, Lease, LeaseState, LiveLease, Moment, Sponsorship, counted
from rpcx.lifetime.sponsors import Sponsors

__all__ = ["Action", "AskSponsor", "Ended", "LeaseManager", "Quotas"]

GRACE: Final = 30.0  # seconds a lost client has to come back over another connection
TEXT: Final = 200  # characters kept of a text that came from outside

NULL: Final = LeaseState.NULL  # names of the module's own: 45 ns less in the hot path than `LeaseState.NULL`
ACTIVE: Final = LeaseState.ACTIVE
RENEWING: Final = LeaseState.RENEWING
EXPIRED: Final = LeaseState.EXPIRED

RELEASED: Final = "its last holder released it"


class LeaseManager:
    """Decides how long objects live; see the module's text.

    Args:
        grace: seconds a lost holder has to come back before all it held is released; 0: none.
        quotas: bounds for the number of objects; default `Quotas()`.
    """

    def __init__(self, grace: float = GRACE, quotas: Quotas | None = None) -> None:
        if not 0 <= grace < FOREVER:
            raise ValueError(f"LeaseManager(grace={grace!r}): must be finite, 0 s or more")
        self.quotas = quotas or Quotas()
        self.high = 0  # the most objects that ever lived at once
        self._moment = Moment(0.0)
        self._live: dict[str, LiveLease] = {}
        self._agenda = Agenda()
        self._holders = Holders(grace)
        self._lost = f"the connection of its last holder was lost and not back within {grace:g} s"  # why
        self._sponsors = Sponsors()
        self._endings = Endings()
        self._removed: dict[LiveLease, Ended] = {}  # by `remove`, and not handed out by `tick` yet

    # --- objects -------------------------------------------------------------------------------------------

    def add(self, object_id: str, terms: Lease | None, now: float) -> LiveLease:
        """An object is handed out for the first time; ``terms`` None: it lives while it is held.

        Raises:
            LimitExceeded: the host is full.
            ValueError: the id is in use, or was.
        """
        if object_id in self._live or object_id in self._endings:
            raise ValueError(f"{object_id}: this id is or was in use; ids are never used again")
        quota = self.quotas.per_host
        if len(self._live) >= quota:
            text = f"{len(self._live)} objects live on this host, and its quota is per_host={quota}; "
            text += "release some, give them shorter leases, or raise the quota"
            raise LimitExceeded(text, uri=object_id, limit="quotas.per_host")
        self._moment.now = now
        lease = self._live[object_id] = LiveLease(object_id, terms, self._moment)
        self.high = max(self.high, len(self._live))
        self._agenda.at(lease, lease.expiry)
        return lease

    def get(self, object_id: str) -> LiveLease | None:
        """The lease of a live object."""
        return self._live.get(object_id)

    def __len__(self) -> int:
        return len(self._live)

    def live(self) -> Iterator[LiveLease]:
        """Every live object's lease; nothing may change while it is read."""
        return iter(self._live.values())

    def peaks(self) -> dict[str, tuple[int, int]]:
        """(now, at most) of what is bounded: of the one that has most, where each has a bound."""
        return {
            **self._holders.peaks(),
            "quotas.per_host": (len(self._live), self.high),
            "fixed.sponsors": (self._sponsors.most, self._sponsors.high),
        }

    def stats(self) -> dict[str, int]:
        """Figures as they are now, for inspection: plain data."""
        objects = {"live": len(self._live), "ended": self._endings.total, "sponsors": len(self._sponsors)}
        return {**objects, **self._holders.stats(), **self._agenda.stats()}

    def remove(self, object_id: str, why: str, now: float) -> None:
        """The host ends the object: no call begins on it any more. What has ended already is let be."""
        lease = self._live.get(object_id)
        if lease is not None:
            self._removed[lease] = self._bury(lease, why, CREATE_ANOTHER, now)
            self._agenda.soon(lease, now)

    def why_gone(self, object_id: str, now: float) -> ObjectExpired | None:
        """The error for a call to an object that has ended; None if none of this id is known to have."""
        return self._endings.error(object_id, now)

    def _find(self, object_id: str, now: float) -> LiveLease:
        lease = self._live.get(object_id)
        if lease is not None:
            return lease
        unknown = f"{object_id[:TEXT]!r}: no such object on this host; ask for a new reference"
        raise self.why_gone(object_id, now) or ObjectNotFound(unknown, uri=object_id)

    def _find_leased(self, object_id: str, now: float) -> LiveLease:
        lease = self._find(object_id, now)
        if lease.terms is None:
            raise InvalidArguments(
                f"{object_id} has no lease: it lives while somebody holds a reference to it; keep yours",
                uri=object_id,
            )
        return lease

    # --- calls: the hot path -------------------------------------------------------------------------------

    def enter(self, lease: LiveLease, now: float) -> bool:
        """A call begins: the object stays until `leave`. False if it has ended: then there is no `leave`."""
        state = lease.state
        if state is not ACTIVE and state is not NULL and not self._activated(lease):
            return False
        lease.pins += 1
        until = now + lease.renewal
        if until > lease.expiry:  # noqa: PLR1730  # max() costs 60 ns
            lease.expiry = until
        return True

    def leave(self, lease: LiveLease, now: float) -> bool:
        """A call is over. True if `due` may have moved earlier by that."""
        until = now + lease.renewal
        if until > lease.expiry:  # noqa: PLR1730  # max() costs 60 ns
            lease.expiry = until
        pins = lease.pins - 1
        if pins < 0:
            raise RuntimeError(f"{lease!r}: left more often than entered, a bug in its host")
        lease.pins = pins
        return lease.waiting and not pins and self._look_again(lease, now)

    def _activated(self, lease: LiveLease) -> bool:
        """The first call, or one while sponsors are asked, whose answers no longer matter then."""
        if lease.state is EXPIRED:
            return False
        if lease.state is RENEWING:
            lease.stop_asking()
            lease.waiting = True  # its expiry may be earlier than its place in the agenda
        lease.become(ACTIVE)
        return True

    def _look_again(self, lease: LiveLease, now: float) -> bool:
        """The last call left, and something waited for that."""
        lease.waiting = False
        if lease.state is EXPIRED or lease.abandoned is not None:
            self._agenda.soon(lease, now)
        else:
            self._agenda.at(lease, lease.expiry)
        return True

    # --- renewing ------------------------------------------------------------------------------------------

    def renew(self, object_id: str, seconds: float, now: float) -> float:
        """Live at least until ``now + seconds``, never shorter; from now on the lease alone decides.

        Returns:
            The seconds left.

        Raises:
            ObjectNotFound, ObjectExpired: there is no such object, or no more.
            InvalidArguments: not 0 seconds or more, or the object has no lease.
            LimitExceeded: more than the quota allows at a time.
        """
        lease = self._find_leased(object_id, now)
        self.quotas.check_renewal(seconds, object_id)
        lease.kept = True
        self._extend(lease, seconds, now)
        return lease.expiry - now

    def reactivate(self, object_id: str, now: float) -> None:
        """The object is handed out once more: it lives at least as long as a new one (.NET: Marshal)."""
        lease = self._find(object_id, now)
        if lease.terms is not None:
            lease.hand_out()
            self._extend(lease, lease.terms.initial, now)

    def _extend(self, lease: LiveLease, seconds: float, now: float) -> None:
        if seconds > 0:
            lease.expiry = max(lease.expiry, now + seconds)
            if lease.state is RENEWING:
                lease.stop_asking()
                lease.become(ACTIVE)
                self._agenda.at(lease, lease.expiry)

    # --- sponsors ------------------------------------------------------------------------------------------

    def register(self, object_id: str, sponsor: Hashable, owner: Hashable, now: float, renewal: float = 0.0) -> None:
        """Ask ``sponsor`` when the lease runs out; renew by ``renewal`` seconds at once, if above 0.

        Once more for the same owner only renews. For another owner (its client came back by another
        connection) it takes the earlier one's place.

        Args:
            object_id: of an object with a lease.
            sponsor: what `AskSponsor` will name; equal ones are one.
            owner: holder key of the connection it is asked over; the sponsor is lost with it.
            now: monotonic seconds.
            renewal: also counts as its last renewal, by which sponsors are chosen.

        Raises:
            ObjectNotFound, ObjectExpired: there is no such object, or no more.
            InvalidArguments: the object takes no sponsors, or ``renewal`` is not 0 or more.
            LimitExceeded: it has 16 already, or ``renewal`` is more than the quota allows at a time.
        """
        lease = self._find_leased(object_id, now)
        self.quotas.check_renewal(renewal, object_id)
        if not lease.patience:
            raise InvalidArguments(
                f"{object_id} takes no sponsors (its lease has sponsorship_timeout=0); renew it instead",
                uri=object_id,
            )
        known = lease.sponsors.get(sponsor)
        if known is None or known.owner != owner:
            known = self._replace(lease, sponsor, owner, now)
        if renewal > 0:
            known.last = renewal
            self._extend(lease, renewal, now)

    def _replace(self, lease: LiveLease, sponsor: Hashable, owner: Hashable, now: float) -> Sponsorship:
        """Register it, in place of an earlier one of another owner."""
        earlier = lease.sponsors.get(sponsor)
        if earlier is not None:
            self._drop_sponsor(lease, earlier, "it was registered anew", now)
        sponsorship = self._sponsors.add(lease, sponsor, owner)
        sponsorship.last = earlier.last if earlier is not None else 0.0
        return sponsorship

    def unregister(self, object_id: str, sponsor: Hashable, now: float) -> None:
        """Ask ``sponsor`` no more. If nobody was going to, all is well."""
        lease = self._live.get(object_id)
        if lease is not None and sponsor in lease.sponsors:
            self._drop_sponsor(lease, lease.sponsors[sponsor], "it was unregistered", now)

    def answered(self, object_id: str, sponsor: Hashable, seconds: float, now: float) -> None:
        """The sponsor being asked wants ``seconds`` more; it gets what the quota allows. Not above 0: no."""
        lease = self._live.get(object_id)
        if lease is None or lease.asking is None or lease.asking.sponsor != sponsor:
            return  # nobody waits for it any more
        if seconds > 0:
            lease.asking.last = min(seconds, self.quotas.longest_renewal)
            self._extend(lease, lease.asking.last, now)
        else:
            self._drop_sponsor(lease, lease.asking, f"it answered {seconds:g} s", now)

    def failed(self, object_id: str, sponsor: Hashable, now: float, why: str) -> None:
        """The sponsor being asked could not be, or its answer was an error."""
        lease = self._live.get(object_id)
        if lease is not None and lease.asking is not None and lease.asking.sponsor == sponsor:
            self._drop_sponsor(lease, lease.asking, why[:TEXT], now)

    def _drop_sponsor(self, lease: LiveLease, sponsorship: Sponsorship, why: str, now: float) -> None:
        """It is a sponsor no longer; if it was the one being asked, the next tick asks another."""
        if self._sponsors.drop(lease, sponsorship, why):
            self._agenda.soon(lease, now)

    # --- holders -------------------------------------------------------------------------------------------

    def hold(self, object_id: str, holder: Hashable, now: float, count: int = 1) -> None:
        """``holder`` received a reference ``count`` times; it gives them back by `release`.

        Raises:
            ObjectNotFound, ObjectExpired: there is no such object, or no more.
            LimitExceeded: it holds too many different objects, or its owner has too many that live.
        """
        lease = self._find(object_id, now)
        if self._holders.is_gone(holder):
            if not lease.holders:
                self._abandon([lease], "its holder had gone before receiving it", now)
            return
        self._holders.accounts.charge(holder, lease, self.quotas.per_principal)
        self._holders.hold(holder, lease, count, self.quotas.per_holder)
        lease.abandoned = None
        lease.hand_out()

    def release(self, object_id: str, holder: Hashable, count: int, now: float) -> None:
        """``holder`` gives ``count`` references back. What it does not hold it cannot release."""
        lease = self._live.get(object_id)
        if lease is not None and self._holders.release(holder, lease, count):
            self._abandon([lease], RELEASED, now)

    def holder_lost(self, holder: Hashable, now: float) -> None:
        """Its connection died: its sponsors are lost at once, what it held after the grace time."""
        self._lose_sponsors(holder, now)
        self._holders.lose(holder, now)

    def holder_back(self, holder: Hashable, now: float, owner: Hashable = None) -> None:  # every event has its time
        """It is here, maybe again: it keeps what it did not release. What it is given is charged to ``owner``."""
        self._holders.back(holder, owner)

    def holder_gone(self, holder: Hashable, now: float) -> None:
        """It said goodbye: all it held is released. It holds nothing any more, until `holder_back`."""
        self._lose_sponsors(holder, now)
        self._abandon(self._holders.go(holder), RELEASED, now)

    def _lose_sponsors(self, owner: Hashable, now: float) -> None:
        for sponsorship, lease in self._sponsors.owned(owner):
            self._drop_sponsor(lease, sponsorship, "its connection was lost", now)

    def _abandon(self, leases: list[LiveLease], why: str, now: float) -> None:
        """Nobody holds these any more."""
        for lease in leases:
            lease.abandoned = why
            self._agenda.soon(lease, now)

    # --- time ----------------------------------------------------------------------------------------------

    def due(self) -> float | None:
        """When `tick` wants to be called, monotonic seconds; None: nothing will happen by itself.

        It may be too early for a lease that was renewed meanwhile: then `tick` finds nothing to do.
        """
        times = [when for when in (self._agenda.due(), self._holders.due()) if when is not None]
        return min(times, default=None)

    def tick(self, now: float) -> list[Action]:
        """What is to be done now. The only source of actions."""
        self._moment.now = now
        self._abandon(self._holders.take(now), self._lost, now)
        actions = (self._look(lease, now) for lease in self._agenda.take(now))
        return [action for action in actions if action is not None]

    def _look(self, lease: LiveLease, now: float) -> Action | None:
        """Decide about one lease: wait, ask, or end it."""
        if lease.pins:
            lease.waiting = True
            return None
        if lease.state is EXPIRED:
            return self._removed.pop(lease, None)
        if lease.abandoned is not None and not lease.decides:
            advice = KEEP_PROXY if lease.abandoned == RELEASED else CREATE_ANOTHER
            return self._bury(lease, lease.abandoned, advice, now)
        lease.abandoned = None  # from here on the lease alone decides
        if lease.expiry > now:
            self._agenda.at(lease, lease.expiry)
            return None
        return self._run_out(lease, now)

    def _run_out(self, lease: LiveLease, now: float) -> Action | None:
        """Its time is over: ask the next sponsor, or end it."""
        asked = lease.asking
        if asked is not None:
            if now < lease.deadline:
                self._agenda.at(lease, lease.deadline)
                return None
            self._sponsors.drop(lease, asked, f"it was silent for {lease.patience:g} s")
        lease.asking = lease.next_sponsor()
        if lease.asking is None:
            asked_all = f"{counted(len(lease.refusals), 'sponsor')} asked, none renewed"
            why = f"its lease ran out ({asked_all if lease.refusals else 'it had no sponsor'})"
            return self._bury(lease, why, FIND_SPONSOR, now)
        if lease.state is not RENEWING:
            lease.become(RENEWING)
        lease.deadline = now + lease.patience
        self._agenda.at(lease, lease.deadline)
        return AskSponsor(lease.object_id, lease.asking.sponsor, lease.info(now), lease.deadline)

    def _bury(self, lease: LiveLease, why: str, advice: str, now: float) -> Ended:
        """Take it out of every table, and remember why."""
        del self._live[lease.object_id]
        self._agenda.forget(lease)
        self._holders.ended(lease)
        ended = Ended(lease.object_id, why, now, lease.refusals)
        for sponsorship in lease.sponsors.values():
            self._sponsors.drop(lease, sponsorship, why)
        lease.end()
        self._endings.add(lease.object_id, now, why, advice)
        return ended
