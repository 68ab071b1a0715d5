"""Calls in flight that several connections share."""

import pytest

from rpcx.errors import LimitExceeded
from rpcx.remoting.slots import FEWEST, FREE, Slots

MOST = 1000  # of one connection


class Line:
    """A connection's own count."""

    def __init__(self, serving: int = 0) -> None:
        self.serving = serving
        self.allowed = 0
        self.share = None

    def allow(self, calls: int) -> None:
        self.allowed = calls

    def begin(self, count: int = 1) -> None:
        """As the protocol does: ask only for what is over what was allowed."""
        if self.serving + count > self.allowed:
            self.share.grow(self.serving + count, MOST)
        assert self.serving + count <= self.allowed
        self.serving += count


def line(slots: Slots, principal: str | None = "ann", serving: int = 0) -> Line:
    made = Line(serving)
    made.share = slots.share(made, principal, principal)
    return made


def test_one_call_at_a_time_needs_no_slot():
    slots = Slots(1, 1)
    lines = [line(slots) for _ in range(10)]
    for each in lines:
        each.begin()
    assert slots.counters() == {"slots": 0, "slots_high": 0, "calls_refused": 0}


def test_slots_are_taken_in_advance_and_more_at_a_time():
    slots = Slots(1000, 1000)
    busy = line(slots)
    asked = 0
    for _ in range(500):
        before = busy.allowed
        busy.begin()
        asked += busy.allowed != before
    assert asked < 8
    assert 500 - FREE <= slots.counters()["slots"] <= 1000
    assert busy.allowed <= MOST


def test_a_principal_gets_no_more_whatever_number_of_connections_it_has():
    slots = Slots(50, 1000)
    lines = [line(slots) for _ in range(5)]
    begun = 0
    with pytest.raises(LimitExceeded, match="50 calls of ann are in flight"):
        for number in range(1000):
            lines[number % 5].begin()
            begun += 1
    assert begun == 50 + 5 * FREE
    line(slots, "bob").begin(40)
    assert slots.counters()["calls_refused"] == 1


def test_the_host_has_a_bound_for_all():
    slots = Slots(50, 120)
    for name in ("ann", "bob"):
        line(slots, name).begin(50)
    owner = line(slots, None)
    owner.begin(20)
    with pytest.raises(LimitExceeded, match="120 calls of this host's clients"):
        owner.begin(10)
    assert slots.counters()["slots_high"] <= 120


def test_what_a_connection_took_and_does_not_use_is_there_for_others():
    slots = Slots(50, 1000)
    first, second = line(slots), line(slots)
    first.begin(50)
    first.serving = 1
    second.begin(40)
    assert first.allowed == FREE
    first.begin(8)
    with pytest.raises(LimitExceeded):
        first.begin(20)


def test_leaving_frees_what_has_ended_and_nothing_else():
    slots = Slots(50, 1000)
    first, second = line(slots), line(slots)
    first.begin(50)
    first.share.left(30)
    second.begin(20)
    with pytest.raises(LimitExceeded):
        second.begin(10)
    first.share.ended(10)
    second.begin(10)
    second.share.left(0)
    first.share.ended(20)
    assert slots.counters()["slots"] == 0
    assert not slots._principals


def test_what_came_together_with_the_handshake_counts():
    slots = Slots(50, 1000)
    line(slots, serving=41)
    assert slots.counters()["slots"] == 40
    assert slots._principals["ann"].taken == 40


def test_refusals_of_a_principal_that_is_gone_still_count():
    slots = Slots(FEWEST, 1000)
    ann = line(slots)
    with pytest.raises(LimitExceeded):
        ann.begin(100)
    ann.share.left(0)
    assert slots.counters()["calls_refused"] == 1
    assert not slots._principals


def test_many_connections_are_not_asked_for_each_refusal():
    slots = Slots(64, 10_000)
    lines = [line(slots) for _ in range(64)]
    asked = []
    for each in lines:
        each.begin(2)
    for each in lines:
        each.share.shrink = lambda: asked.append(1)
    for _ in range(50):
        with pytest.raises(LimitExceeded):
            lines[0].begin(10)
    assert len(asked) == 64 * 10
