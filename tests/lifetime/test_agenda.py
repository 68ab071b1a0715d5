"""When to look at which lease again."""

import math

from hypothesis import given
from hypothesis import strategies as st

from rpcx.lifetime.agenda import STALE, Agenda
from rpcx.lifetime.lease import Lease, LiveLease, Moment


def lease(name="bank/1"):
    return LiveLease(name, Lease(), Moment(0.0))


def names(agenda, now):
    return [each.object_id for each in agenda.take(now)]


def test_nothing_is_due_on_an_empty_agenda():
    agenda = Agenda()
    assert (agenda.due(), names(agenda, 1e9)) == (None, [])


def test_what_is_planned_comes_at_its_time_and_once():
    agenda = Agenda()
    agenda.at(lease("late"), 20.0)
    agenda.at(lease("early"), 10.0)
    assert agenda.due() == 10.0
    assert names(agenda, 9.9) == []
    assert names(agenda, 10.0) == ["early"]
    assert (agenda.due(), names(agenda, 20.0), names(agenda, 99.0)) == (20.0, ["late"], [])


def test_what_is_wanted_soon_comes_first_in_order_each_once():
    agenda, one, two = Agenda(), lease("one"), lease("two")
    agenda.at(lease("planned"), 1.0)
    for wanted in (two, one, two):
        agenda.soon(wanted, 5.0)
    assert names(agenda, 5.0) == ["two", "one", "planned"]


def test_what_is_wanted_soon_is_due_since_then():
    agenda = Agenda()
    agenda.at(lease(), 100.0)
    agenda.soon(lease(), 7.0)
    agenda.soon(lease(), 8.0)
    assert agenda.due() == 7.0
    list(agenda.take(8.0))
    assert agenda.due() == 100.0


def test_a_later_plan_moves_nothing():
    agenda, one = Agenda(), lease()
    agenda.at(one, 10.0)
    moves = agenda.stats()["moves"]
    for when in (10.0, 50.0, math.inf):
        agenda.at(one, when)
    assert agenda.stats() == {"entries": 1, "stale": 0, "moves": moves}
    assert agenda.due() == 10.0


def test_an_earlier_plan_replaces_the_later_one():
    agenda, one = Agenda(), lease()
    agenda.at(one, 50.0)
    agenda.at(one, 10.0)
    assert agenda.stats()["stale"] == 1
    assert names(agenda, 10.0) == ["bank/1"]
    assert names(agenda, 50.0) == []
    assert agenda.stats()["stale"] == agenda.stats()["entries"] == 0


def test_what_has_no_end_is_not_planned():
    agenda = Agenda()
    agenda.at(lease(), math.inf)
    assert (agenda.due(), agenda.stats()["entries"]) == (None, 0)


def test_what_was_forgotten_is_not_due():
    agenda, one = Agenda(), lease()
    agenda.at(one, 10.0)
    agenda.forget(one)
    agenda.forget(one)
    assert agenda.stats()["stale"] == 1
    assert agenda.due() is None
    assert agenda.stats()["stale"] == 0


def test_whoever_looks_may_plan_meanwhile():
    agenda, one = Agenda(), lease()
    agenda.at(one, 1.0)
    seen = []
    for each in agenda.take(3.0):
        seen.append(each)
        agenda.at(each, float(len(seen)) + 1.0)
    assert len(seen) == 3  # at 1, 2 and 3
    assert agenda.due() == 4.0


def test_making_and_dropping_leaves_no_more_than_what_lives_and_as_much_again():
    agenda = Agenda()
    kept = [lease(f"kept/{number}") for number in range(10)]
    for each in kept:
        agenda.at(each, 1000.0)
    for number in range(20 * STALE):
        dropped = lease()
        agenda.at(dropped, 500.0 + number)
        agenda.forget(dropped)
        assert agenda.stats()["entries"] <= len(kept) + STALE + 1
    assert sorted(names(agenda, 1e9)) == sorted(each.object_id for each in kept)


def test_what_stays_after_a_clean_up_still_comes_in_order():
    agenda = Agenda()
    times = [float(37 * number % 101) for number in range(100)]
    several = [lease(str(when)) for when in range(3 * STALE)]
    for number, each in enumerate(several):
        agenda.at(each, float(number % 997) if number % 30 else times[number // 30])
    for number, each in enumerate(several):
        if number % 30:
            agenda.forget(each)
    assert agenda.stats()["entries"] < 3 * STALE
    came = []
    while (due := agenda.due()) is not None:
        came += [due] * len(names(agenda, due))
    assert came == sorted(times)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["at", "soon", "forget", "take"]), st.integers(0, 9))))
def test_every_lease_comes_at_the_earliest_time_planned(steps):
    agenda, leases, plans, now = Agenda(), [lease(str(number)) for number in range(6)], {}, 0.0
    wanted = set()
    for number, step, seconds in steps:
        one = leases[number]
        if step == "at":
            agenda.at(one, now + seconds)
            plans[one] = min(plans.get(one, math.inf), now + seconds)
        elif step == "soon":
            agenda.soon(one, now)
            plans[one] = min(plans.get(one, math.inf), now)
            wanted.add(one)
        elif step == "forget":
            if one not in wanted:
                agenda.forget(one)
                plans.pop(one, None)
        else:
            now += seconds
            expected = {each for each, when in plans.items() if when <= now}
            assert set(agenda.take(now)) == expected
            wanted.clear()
            plans = {each: each.entry[0] for each in leases if each.entry is not None}
            assert all(when > now for when in plans.values())
        assert agenda.due() == min(plans.values(), default=None)
