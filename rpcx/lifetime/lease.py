"""Leases: how long one remote object may live.

    add ──▶ INITIAL ──first holder or call──▶ ACTIVE ◀──a sponsor, a call or a client renews──┐
               │                                │                                             │
               └───────────── time is over ─────┴───────▶ RENEWING ───────────────────────────┘
                                                              │ nobody renews
            NULL (no lease: counted only) ────────────────▶ EXPIRED ◀── released by all, or removed: from any

`Lease` is what somebody asks for, `LiveLease` what the manager keeps of one object. The rules are .NET's
(`System.Runtime.Remoting.Lifetime`), but for three that made leases hated there:

1. A call pins its object: it does not end while a method runs on it, and a long call renews when it ends too.
2. RENEWING is a state one can see; Microsoft's code stayed in Active while sponsors were asked.
3. Times that mean "no lease" by being zero or negative are errors that say what to write instead.

Expiry never moves back: ``expiry = max(expiry, now + seconds)``, whoever renews. Nothing here reads a clock.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from rpcx.abc import LeaseInfo

FOREVER: Final = math.inf  # the expiry of what does not end by itself
NEVER_RENEWS: Final = -math.inf  # ``now`` plus this is never later than any expiry
MAX_REFUSALS: Final = 16  # kept of one round; who registers again and again gets no more memory by it
FEW_HOLDERS: Final = 4  # up to here a tuple keeps them: 48 bytes for one, where a set needs 216


@dataclass(frozen=True)
class Lease:
    """The terms of a lease, all in seconds; the defaults are .NET's.

    Attributes:
        initial: how long an object lives at first, and at least, each time it is handed out again.
            ``math.inf``: as long as somebody holds it.
        renew_on_call: how long it lives at least after each call; 0: calls do not renew.
        sponsorship_timeout: how long a sponsor may think about its answer; 0: the object takes no sponsors.
    """

    initial: float = 300.0
    renew_on_call: float = 120.0
    sponsorship_timeout: float = 120.0

    def __post_init__(self) -> None:
        if _seconds("initial", self.initial) <= 0:
            raise ValueError(
                f"Lease(initial={self.initial!r}): an object must live longer than 0 s; for one without "
                "a lease leave lease= away, for one that never ends by itself write initial=math.inf"
            )
        for name in ("renew_on_call", "sponsorship_timeout"):
            value = _seconds(name, getattr(self, name))
            if not 0 <= value < math.inf:
                raise ValueError(
                    f"Lease({name}={value!r}): must be finite and not below 0 s (0 switches it off); "
                    "for an object that never ends by itself write initial=math.inf"
                )


def _seconds(name: str, value: object) -> float:
    """``value`` if it is a number of seconds at all."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"Lease({name}={value!r}): must be a number of seconds, not {type(value).__name__}")
    try:
        seconds = float(value)
    except OverflowError:
        raise ValueError(f"Lease({name}=...): too many digits; write math.inf for no end") from None
    if math.isnan(seconds):
        raise ValueError(f"Lease({name}={value!r}): must be a number of seconds")
    return seconds


class LeaseState(IntEnum):
    """Where a lease is in its life. Values are .NET's."""

    NULL = 0  # there is none: the object lives while it is held
    INITIAL = 1  # nobody has held or called the object yet
    ACTIVE = 2
    RENEWING = 3  # its time is over and sponsors are being asked; calls still reach the object
    EXPIRED = 4  # ended; for ever


#: Which state may follow which. Tests read this table, and `LiveLease.become` obeys it.
NEXT: Final[Mapping[LeaseState, frozenset[LeaseState]]] = MappingProxyType(
    {
        LeaseState.NULL: frozenset({LeaseState.EXPIRED}),
        LeaseState.INITIAL: frozenset({LeaseState.ACTIVE, LeaseState.RENEWING, LeaseState.EXPIRED}),
        LeaseState.ACTIVE: frozenset({LeaseState.RENEWING, LeaseState.EXPIRED}),
        LeaseState.RENEWING: frozenset({LeaseState.ACTIVE, LeaseState.EXPIRED}),
        LeaseState.EXPIRED: frozenset(),
    }
)


class Moment:
    """When a manager last ticked or added an object. Shared with its leases: `repr` counts from it."""

    __slots__ = ("now",)

    def __init__(self, now: float) -> None:
        self.now = now  # monotonic seconds


class Sponsorship:
    """One sponsor, registered for one object."""

    __slots__ = ("last", "owner", "sponsor")

    def __init__(self, sponsor: Hashable, owner: Hashable) -> None:
        self.sponsor = sponsor  # what the host knows how to ask
        self.owner = owner  # holder key of the connection it was registered on; lost with it
        self.last = 0.0  # seconds it renewed by last time; 0: not yet. The largest is asked first


NO_SPONSORS: Final[Mapping[Hashable, Sponsorship]] = MappingProxyType({})


#: A place in the manager's agenda: when to look (monotonic seconds), a number to tell equals apart, at what.
Entry = tuple[float, int, "LiveLease"]


class LiveLease:
    """The life of one object. Read it freely; only the `LeaseManager` changes it."""

    __slots__ = (
        "abandoned", "account", "asking", "deadline", "entry", "expiry", "holders", "kept", "moment", "object_id",
        "patience", "pins", "refusals", "renewal", "sponsors", "state", "terms", "waiting",
    )  # fmt: skip

    def __init__(self, object_id: str, terms: Lease | None, moment: Moment) -> None:
        self.object_id = object_id
        self.terms = terms  # None: no lease, counted only
        self.moment = moment  # when `repr` is asked
        self.state = LeaseState.NULL if terms is None else LeaseState.INITIAL
        self.expiry: float = FOREVER if terms is None else moment.now + terms.initial  # monotonic seconds
        self.renewal: float = (terms.renew_on_call if terms else 0.0) or NEVER_RENEWS  # seconds, by a call
        self.patience: float = terms.sponsorship_timeout if terms else 0.0  # seconds for a sponsor's answer
        self.pins = 0  # calls that run on the object now
        self.waiting = False  # it was pinned when something was to be done: look when the last call leaves
        self.holders: tuple[Hashable, ...] | set[Hashable] = ()  # who holds it, each once; see FEW_HOLDERS
        self.abandoned: str | None = None  # why, once its last holder is gone; None: held, or never was
        self.account: Hashable = None  # whom it is charged to (see `Accounts`); None: nobody received it yet
        self.kept = False  # a client renewed it explicitly: being released does not end it any more
        self.sponsors: Mapping[Hashable, Sponsorship] = NO_SPONSORS  # replaced, not changed; 16 at most
        self.asking: Sponsorship | None = None  # whose answer is awaited, in RENEWING
        self.deadline = FOREVER  # monotonic seconds; of that answer
        self.refusals: tuple[str, ...] = ()  # why those asked since the time was over did not renew
        self.entry: Entry | None = None  # the one that counts in the agenda; None: in none, or it surfaced

    def become(self, state: LeaseState) -> None:
        """Go to ``state``; RuntimeError if there is no such way in `NEXT`."""
        if state not in NEXT[self.state]:
            raise RuntimeError(f"{self!r} cannot become {state.name}: a bug in the lease manager")
        self.state = state

    def hand_out(self) -> None:
        """Somebody has it now."""
        if self.state is LeaseState.INITIAL:
            self.become(LeaseState.ACTIVE)

    def add_holder(self, holder: Hashable) -> None:
        """``holder``, who is not one yet, holds it from now on."""
        if isinstance(self.holders, set):
            self.holders.add(holder)
        elif len(self.holders) < FEW_HOLDERS:
            self.holders = (*self.holders, holder)
        else:
            self.holders = {*self.holders, holder}

    def drop_holder(self, holder: Hashable) -> None:
        """``holder`` holds it no longer."""
        if isinstance(self.holders, set):
            self.holders.discard(holder)
        else:
            self.holders = tuple(other for other in self.holders if other != holder)

    def next_sponsor(self) -> Sponsorship | None:
        """Whom to ask: the largest last renewal, and among equals who registered first (.NET's order)."""
        return max(self.sponsors.values(), key=_last, default=None)

    def strike(self, sponsorship: Sponsorship, why: str) -> bool:
        """It is no sponsor any more. True if it was the one being asked, which ends the question."""
        self.sponsors = {key: other for key, other in self.sponsors.items() if other is not sponsorship}
        if self.asking is not sponsorship:
            return False
        self.asking = None
        self.refusals = (*self.refusals, why)[-MAX_REFUSALS:]
        return True

    def stop_asking(self) -> None:
        """It was renewed: whoever was being asked need not answer, and who refused is forgotten."""
        self.asking = None
        self.refusals = ()

    def end(self) -> None:
        """It is over."""
        self.become(LeaseState.EXPIRED)
        self.stop_asking()
        self.sponsors = NO_SPONSORS

    @property
    def decides(self) -> bool:
        """Whether the lease alone says when the object ends, held or not.

        A lease that never runs out cannot decide anything: it would keep what nobody can reach any more.
        """
        return self.expiry < FOREVER and (self.kept or bool(self.sponsors))

    def info(self, now: float) -> LeaseInfo:
        """The lease as seen from outside."""
        terms = self.terms
        return LeaseInfo(
            object_id=self.object_id,
            state=self.state.name,
            remaining=self.expiry - now,
            initial=terms.initial if terms else FOREVER,
            renew_on_call=terms.renew_on_call if terms else 0.0,
            sponsorship_timeout=terms.sponsorship_timeout if terms else 0.0,
            sponsors=len(self.sponsors),
            pins=self.pins,
        )

    def __repr__(self) -> str:
        said = [f"{self.object_id} {self.state.name}"]
        left = self.expiry - self.moment.now
        if self.state is LeaseState.NULL:
            said.append(f"held by {len(self.holders)}")
        elif self.state is not LeaseState.EXPIRED:
            said.append(_left(left))
        if self.sponsors:
            said.append(counted(len(self.sponsors), "sponsor"))
        if self.pins:
            said.append(f"pinned by {counted(self.pins, 'call')}")
        return f"<Lease {', '.join(said)}>"


def counted(number: int, what: str) -> str:
    """``2 calls``, ``1 call``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _last(sponsorship: Sponsorship) -> float:
    return sponsorship.last


def _left(seconds: float) -> str:
    if seconds == FOREVER:
        return "no end"
    return f"{seconds:.1f} s left" if seconds >= 0 else f"over for {-seconds:.1f} s"
