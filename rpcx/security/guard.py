"""Who is let in before anybody knows who it is. Pure: time goes in, verdicts come out.

A connection begins as a **stranger**: it has cost a file descriptor and a little memory, and has proved nothing. What
strangers can cost together is bounded here, by what is known of them, which is where they come from:

- a source (an address; of IPv6 its /64, which is one customer; of a pipe a user) has few strangers at a time and few
  arrivals a second, since each may make this side do the arithmetic of a handshake;
- a source whose strangers fail is left outside for a while, longer if it goes on;
- all strangers together have a table of fixed size. When it is full the newcomer is let in and one of the others has
  to go: refusing newcomers is what an attacker wants, evicting the oldest hits whoever has a slow line. So it goes
  who has sent least, of those who comes from where most come from, and of those any;
- from half full on, one at random goes early with each arrival, the more probably the fuller it is, of those who said
  nothing for a second. Whoever means to speak does so sooner, and then finds the table not full.

In a simulation of 256 places and 200 idle strangers a second, clients that need 1.2 s to shake hands, the first byte
after 0.3 s, got in in 94 of 100 cases, and in 73 without the early drop (OpenSSH's ``MaxStartups`` drops newcomers at
random, which keeps them out). Faster floods leave nobody silent in it for a second; then it makes no difference.

Sources on this machine, and this user on a pipe, are exempt from what is counted for each source: many users share
``127.0.0.1``. The table's size holds for all.
"""

import ipaddress
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rpcx.abc import Bound, PeerFacts
from rpcx.errors import AuthenticationFailed, LimitExceeded, ProtocolError, RpcxError
from rpcx.security.tally import Tally

COUNT_SECONDS: Final = 1.0  # between two looks how many sources are left outside
SOURCES: Final = 4096  # whose history is kept; the longest unseen are forgotten first
EARLY: Final = 0.5  # share of the table that may be full before somebody goes early
MUTE: Final = 1.0  # seconds of saying nothing, after which a stranger may be the one
FAILED: Final = 5.0  # seconds outside for not proving a key (OpenSSH's numbers)
SILENT: Final = 1.0  # … for leaving, or being left, without having tried
LATE: Final = 10.0  # … for not having shaken hands in time: a slow line may be to blame
NONSENSE: Final = 90.0  # … for bytes that make none, or more of them than a handshake has, or that this side fails on

CONNECTIONS: Final = "too many connections"  # why somebody is refused
CROWD: Final = "too many from one source"
HURRY: Final = "too fast from one source"
OUTSIDE: Final = "failed before"
ELSEWHERE: Final = "not from an allowed network"
PRINCIPAL: Final = "too many of one principal"
EVICTED: Final = "evicted to make room for others"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Admission:
    """What strangers may cost.

    Attributes:
        strangers: connections at once that have not proved who they are; when there are more, one is evicted.
        per_source: of those, from one source.
        rate: arrivals from one source a second, in the long run.
        burst: arrivals at once.
        connections: in all, strangers or not; None: half of the files this process may open, at most 10,000.
        per_principal: connections of one principal, besides the owner.
        longest_penalty: seconds that a source whose strangers fail stays outside at most; 0: not at all.
        exempt_local: whether sources on this machine are not told apart.
    """

    strangers: int = 256
    per_source: int = 16
    rate: float = 20.0
    burst: float = 40.0
    connections: int | None = None
    per_principal: int = 64
    longest_penalty: float = 600.0
    exempt_local: bool = True

    def __post_init__(self) -> None:
        for name in ("strangers", "per_source", "rate", "burst", "connections", "per_principal"):
            value = getattr(self, name)
            if not (value is None and name == "connections") and not (isinstance(value, int | float) and value >= 1):
                raise ValueError(f"Admission({name}={value!r}): a number of at least 1 is needed")
        if not (isinstance(self.longest_penalty, int | float) and self.longest_penalty >= 0):
            raise ValueError(f"Admission(longest_penalty={self.longest_penalty!r}): seconds are needed, 0 or more")

    def most(self) -> int:
        """How many connections there may be."""
        if self.connections is not None:
            return self.connections
        try:
            import resource
        except ImportError:  # Windows
            return 10_000
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return 10_000 if files == resource.RLIM_INFINITY else min(10_000, files // 2)


@dataclass(eq=False, slots=True)
class Guest:
    """A stranger that was let in."""

    source: str | None  # None: it is exempt from what is counted for each
    since: float  # when it came
    session: Any = None  # its end here, once it is made: `progress` says how far it has come

    @property
    def progress(self) -> int:
        """How many bytes it has sent."""
        return int(getattr(self.session, "progress", 0))


@dataclass(slots=True)
class Source:
    """What is remembered of where strangers come from."""

    tokens: float
    seen: float  # when tokens were counted
    inside: int = 0  # strangers from there
    outside_until: float = 0.0


@dataclass(slots=True)
class Guard:
    """Decides about strangers; see the module's theory."""

    rules: Admission = field(default_factory=Admission)
    choose: Callable[[Sequence[Guest]], Guest] = secrets.choice
    chance: Callable[[], float] = secrets.SystemRandom().random  # from 0 to 1
    tally: Tally = field(default_factory=Tally)  # who was refused, and evicted
    high: int = 0  # the most strangers there ever were at once
    crowd_high: int = 0  # … from one source
    outside_high: int = 0  # the most sources that were left outside at once, by a look each second
    connections_high: int = 0
    _inside: dict[Guest, None] = field(default_factory=dict)
    _sources: OrderedDict[str, Source] = field(default_factory=OrderedDict)
    _counted: float = float("-inf")  # when it was last looked how many are left outside

    @property
    def strangers(self) -> int:
        """How many there are."""
        return len(self._inside)

    def arrives(self, facts: PeerFacts, connections: int, now: float) -> tuple[Guest | None, Guest | None]:
        """Somebody is at the door: (the guest, or None if it is refused; who has to go for it, if somebody has to)."""
        self.connections_high = max(self.connections_high, connections)
        if connections >= self.rules.most():
            self.tally.add(CONNECTIONS)
            return None, None
        source = self._source_of(facts)
        if source is not None:
            reason = self._objection(self._remembered(source, now), now)
            if reason is not None:
                self.tally.add(reason)
                return None, None
        evicted = self._weakest() if len(self._inside) >= self.rules.strangers else self._early(now)
        if evicted is not None:
            self.tally.add(EVICTED)
            self._forget(evicted)
        guest = Guest(source, now)
        self._inside[guest] = None
        self.high = max(self.high, len(self._inside))
        if source is not None:
            known = self._sources[source]
            known.inside += 1
            self.crowd_high = max(self.crowd_high, known.inside)
        return guest, evicted

    def admitted(self, guest: Guest) -> None:
        """It proved who it is: a stranger no more."""
        self._forget(guest)

    def ended(self, guest: Guest, error: Exception | None, now: float) -> None:
        """It is gone. If it was a stranger still, its source pays for that."""
        if guest not in self._inside:
            return
        self._forget(guest)
        if guest.source is None:
            return
        source = self._remembered(guest.source, now)
        longest = now + self.rules.longest_penalty
        source.outside_until = min(max(source.outside_until, now) + _price(error), longest)
        if now - self._counted >= COUNT_SECONDS:  # 0.1 ms for 4,096 sources: too much for each of a flood
            self._counted = now
            self.outside_high = max(self.outside_high, self._outside(now))

    def counters(self) -> dict[str, int]:
        """For inspection."""
        counts = self.tally.counts
        return {
            "strangers": len(self._inside),
            "strangers_high": self.high,
            "evicted": counts[EVICTED],
            "refused": counts.total() - counts[EVICTED],
        }

    def bounds(self, connections: int, of_one: tuple[int, int], now: float) -> dict[str, Bound]:
        """How each bound stands.

        Args:
            connections: that there are.
            of_one: connections of the principal that has most, now and at most.
            now: monotonic seconds.
        """
        rules, counts = self.rules, self.tally.counts
        crowd = max((source.inside for source in self._sources.values()), default=0)
        high = max(self.connections_high, connections)
        outside = self._outside(now)
        return {
            "strangers": Bound(rules.strangers, len(self._inside), self.high, counts[EVICTED]),
            "per_source": Bound(rules.per_source, crowd, self.crowd_high, counts[CROWD]),
            "rate": Bound(rules.rate, None, None, counts[HURRY]),
            "longest_penalty": Bound(rules.longest_penalty, outside, max(outside, self.outside_high), counts[OUTSIDE]),
            "connections": Bound(rules.most(), connections, high, counts[CONNECTIONS]),
            "per_principal": Bound(rules.per_principal, *of_one, counts[PRINCIPAL]),
            "allow_from": Bound(None, None, None, counts[ELSEWHERE]),
        }

    # --- within --------------------------------------------------------------------------------------------

    def _early(self, now: float) -> Guest | None:
        """Who goes before the table is full, if anybody."""
        spare = (1.0 - EARLY) * self.rules.strangers
        crowding = (len(self._inside) - EARLY * self.rules.strangers) / spare
        if crowding <= 0.0 or self.chance() >= crowding:
            return None
        mute = [guest for guest in self._inside if now - guest.since >= MUTE and not guest.progress]
        return self.choose(mute) if mute else None

    def _outside(self, now: float) -> int:
        return sum(1 for source in self._sources.values() if now < source.outside_until)

    def _objection(self, source: Source, now: float) -> str | None:
        if now < source.outside_until:
            return OUTSIDE
        if source.inside >= self.rules.per_source:
            return CROWD
        if source.tokens < 1.0:
            return HURRY
        source.tokens -= 1.0
        return None

    def _remembered(self, name: str, now: float) -> Source:
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = Source(self.rules.burst, now)
            while len(self._sources) > SOURCES:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end(name)
            source.tokens = min(self.rules.burst, source.tokens + (now - source.seen) * self.rules.rate)
            source.seen = now
        return source

    def _forget(self, guest: Guest) -> None:
        if guest not in self._inside:
            return
        del self._inside[guest]
        source = self._sources.get(guest.source) if guest.source is not None else None
        if source is not None:
            source.inside = max(0, source.inside - 1)  # it may have been forgotten and met again

    def _weakest(self) -> Guest:
        """Who has sent least; of those who comes from where most do; of those any."""
        least = min(guest.progress for guest in self._inside)
        silent = [guest for guest in self._inside if guest.progress == least]
        crowd = Counter(guest.source for guest in silent)
        most = max(crowd.values())
        return self.choose([guest for guest in silent if crowd[guest.source] == most])

    def _source_of(self, facts: PeerFacts) -> str | None:
        address = address_of(facts)
        if address is None:
            known = facts.uid is not None and not (facts.owner and self.rules.exempt_local)
            return f"uid {facts.uid}" if known else None
        if address.is_loopback and self.rules.exempt_local:
            return None
        prefix = 32 if address.version == 4 else 64
        return str(ipaddress.ip_network((address, prefix), strict=False))


def _price(error: Exception | None) -> float:
    if isinstance(error, AuthenticationFailed):
        return FAILED
    if isinstance(error, RpcxError) and error.limit == "limits.handshake":
        return LATE
    return NONSENSE if isinstance(error, ProtocolError | LimitExceeded) else SILENT


# --- the firewall -----------------------------------------------------------------------------------------------


def networks(allow_from: Sequence[str]) -> tuple[Network, ...]:
    """The networks that were named. Raises ValueError: one is no network, as in 192.0.2.0/24."""
    found = []
    for text in allow_from:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ValueError(f"allow_from: {text!r} is no network, as 192.0.2.0/24 is one ({error})") from None
    return tuple(found)


def is_from(facts: PeerFacts, allowed: Sequence[Network]) -> bool:
    """Whether a peer's address is in one of ``allowed``. A peer without an address is on this machine."""
    address = address_of(facts)
    return address is None or any(address in network for network in allowed)


def address_of(facts: PeerFacts) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The peer's internet address; None: it has none. An IPv4 address in IPv6's clothes is the IPv4 address."""
    host, colon, _ = facts.address.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address if colon else None


class TurnedAway(RpcxError):
    """Not let in, or evicted to make room. Seen in logs only: the stranger is told nothing."""
