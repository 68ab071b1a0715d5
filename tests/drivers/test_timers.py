"""The heap of timers under a pump of threads, in virtual time."""

import weakref
from dataclasses import dataclass, field

from rpcx.drivers.links import NEVER
from rpcx.drivers.timers import Timers


@dataclass
class Link:
    """What the timers see of a link."""

    armed: float = NEVER
    closed: bool = False


@dataclass
class Leases:
    """Another timer, that goes off once."""

    at: float | None
    ticks: list[float] = field(default_factory=list)

    def due(self) -> float | None:
        return self.at

    def tick(self, now: float) -> None:
        self.ticks.append(now)
        self.at = None


def test_without_timers_nothing_is_ever_due():
    timers = Timers()
    assert timers.next_due() == NEVER
    assert list(timers.run(1e9)) == []


def test_links_come_in_the_order_in_which_they_are_due():
    timers, late, early = Timers(), Link(), Link()
    timers.arm(late, 5.0)
    timers.arm(early, 3.0)
    assert timers.next_due() == 3.0
    assert list(timers.run(2.9)) == []
    assert list(timers.run(3.0)) == [early]
    assert early.armed == NEVER, "it may be armed anew"
    assert list(timers.run(9.0)) == [late]


def test_a_later_time_changes_nothing_and_an_earlier_one_counts():
    timers, link = Timers(), Link()
    timers.arm(link, 5.0)
    timers.arm(link, 7.0)
    assert (link.armed, timers.next_due()) == (5.0, 5.0)
    timers.arm(link, 2.0)
    assert timers.next_due() == 2.0
    assert list(timers.run(2.0)) == [link]


def test_a_link_armed_for_the_same_moment_as_another_is_no_tie():
    timers = Timers()
    links = [Link() for _ in range(5)]
    for link in links:
        timers.arm(link, 1.0)
    assert list(timers.run(1.0)) == links, "first armed, first asked"


def test_a_closed_link_is_not_asked():
    timers, gone = Timers(), Link()
    timers.arm(gone, 1.0)
    gone.closed = True
    assert list(timers.run(2.0)) == []
    assert timers.next_due() == NEVER


def test_others_are_ticked_when_they_are_due_and_not_before():
    timers, leases = Timers(), Leases(at=4.0)
    timers.add(leases)
    assert timers.next_due() == 4.0
    assert list(timers.run(3.0)) == []
    assert leases.ticks == []
    assert list(timers.run(4.5)) == []
    assert leases.ticks == [4.5]
    assert timers.next_due() == NEVER


def test_another_timer_can_be_taken_away():
    timers, leases = Timers(), Leases(at=4.0)
    timers.add(leases)
    timers.remove(leases)
    assert timers.next_due() == NEVER
    assert list(timers.run(9.0)) == []
    assert leases.ticks == []


def test_a_timer_keeps_no_link_alive():
    timers = Timers()
    timers.arm(link := Link(), 1.0)
    seen = weakref.ref(link)
    del link
    assert seen() is None
    assert list(timers.run(2.0)) == []
    assert timers.next_due() == NEVER
