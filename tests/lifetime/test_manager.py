"""The lease manager, rule by rule. Time is a number the test gives."""

import math
import sys
from pathlib import Path

import pytest

from rpcx.errors import InvalidArguments, LimitExceeded, ObjectExpired, ObjectNotFound
from rpcx.lifetime import lease as lease_module
from rpcx.lifetime.lease import Lease, LeaseState
from rpcx.lifetime.manager import AskSponsor, Ended, LeaseManager, Quotas

TERMS = Lease(initial=100.0, renew_on_call=20.0, sponsorship_timeout=10.0)


@pytest.fixture
def manager():
    return LeaseManager(grace=30.0)


def asked(actions):
    """Whom these actions ask, if they do nothing else."""
    assert all(isinstance(action, AskSponsor) for action in actions)
    return [action.sponsor for action in actions]


def ended(actions):
    """What these actions end, and why, if they do nothing else."""
    assert all(isinstance(action, Ended) for action in actions)
    return {action.object_id: action.why for action in actions}


def sponsored(manager, *sponsors, terms=TERMS):
    """An object added at 0 with these sponsors, each on a connection of its own."""
    lease = manager.add("bank/1", terms, 0.0)
    for sponsor in sponsors:
        manager.register("bank/1", sponsor, f"client of {sponsor}", 0.0)
    return lease


def assert_empty(manager):
    assert manager.due() is None
    stats = manager.stats()
    for name in ("live", "holders", "lost", "sponsors", "stale", "entries"):
        assert stats[name] == 0, stats


# --- running out -------------------------------------------------------------------------------------------


def test_an_object_lives_until_its_lease_runs_out(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    assert manager.due() == 100.0
    assert manager.tick(99.9) == []
    assert manager.get("bank/1") is lease
    assert manager.tick(100.0) == [Ended("bank/1", "its lease ran out (it had no sponsor)", 100.0)]
    assert manager.get("bank/1") is None
    assert lease.state is LeaseState.EXPIRED
    assert_empty(manager)


def test_an_object_ends_once(manager):
    manager.add("bank/1", TERMS, 0.0)
    assert len(manager.tick(100.0)) == 1
    assert manager.tick(100.0) == manager.tick(1000.0) == []


def test_an_object_ends_when_its_lease_does_even_when_it_is_held(manager):
    manager.add("bank/1", TERMS, 0.0)
    manager.hold("bank/1", "ann", 0.0)
    assert list(ended(manager.tick(100.0))) == ["bank/1"]
    assert_empty(manager)


def test_a_lease_without_end_does_not_run_out(manager):
    manager.add("bank/1", Lease(initial=math.inf), 0.0)
    assert manager.due() is None
    assert manager.tick(1e12) == []
    assert len(manager) == 1


def test_objects_end_in_the_order_of_time(manager):
    for number in (3, 1, 2):
        manager.add(f"bank/{number}", Lease(initial=number), 0.0)
    assert list(ended(manager.tick(5.0))) == ["bank/1", "bank/2", "bank/3"]


def test_an_id_is_never_used_again(manager):
    manager.add("bank/1", TERMS, 0.0)
    with pytest.raises(ValueError, match="bank/1"):
        manager.add("bank/1", TERMS, 1.0)
    manager.tick(100.0)
    with pytest.raises(ValueError, match="bank/1"):
        manager.add("bank/1", TERMS, 101.0)


@pytest.mark.parametrize("grace", [-1.0, math.nan, math.inf])
def test_a_grace_time_is_finite_and_not_negative(grace):
    with pytest.raises(ValueError, match="grace="):
        LeaseManager(grace=grace)


# --- calls -------------------------------------------------------------------------------------------------


def test_the_first_call_or_holder_makes_a_lease_active(manager):
    called, held, again = (manager.add(f"bank/{number}", TERMS, 0.0) for number in range(3))
    assert manager.enter(called, 1.0)
    manager.hold("bank/1", "ann", 1.0)
    manager.reactivate("bank/2", 1.0)
    assert called.state is held.state is again.state is LeaseState.ACTIVE


def test_a_call_renews_before_and_after_the_method_runs(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    manager.enter(lease, 95.0)
    assert (lease.expiry, lease.pins) == (115.0, 1)
    manager.leave(lease, 110.0)
    assert (lease.expiry, lease.pins) == (130.0, 0)
    assert manager.tick(129.0) == []
    assert list(ended(manager.tick(130.0))) == ["bank/1"]


def test_a_call_never_shortens_a_lease(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    manager.enter(lease, 1.0)
    manager.leave(lease, 2.0)
    assert lease.expiry == 100.0


def test_a_running_call_pins_its_object(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    manager.enter(lease, 0.0)
    manager.enter(lease, 0.0)
    assert manager.tick(5000.0) == []
    assert not manager.leave(lease, 5000.0)
    assert manager.tick(9000.0) == []
    assert manager.leave(lease, 9000.0)
    assert manager.due() == 9020.0
    assert list(ended(manager.tick(9020.0))) == ["bank/1"]


def test_leaving_says_when_due_moved_earlier(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    manager.enter(lease, 0.0)
    assert not manager.leave(lease, 1.0)
    manager.enter(lease, 1.0)
    manager.tick(150.0)
    assert manager.due() is None
    assert manager.leave(lease, 150.0)
    assert manager.due() == 170.0
    manager.enter(lease, 151.0)
    assert not manager.leave(lease, 151.0)


def test_without_renew_on_call_calls_pin_and_do_not_renew(manager):
    lease = manager.add("bank/1", Lease(100, renew_on_call=0), 0.0)
    manager.enter(lease, 99.0)
    assert lease.expiry == 100.0
    assert manager.tick(150.0) == []
    assert manager.leave(lease, 150.0)
    assert lease.expiry == 100.0
    assert manager.due() <= 150.0
    assert list(ended(manager.tick(150.0))) == ["bank/1"]


def test_a_call_that_comes_before_the_tick_is_in_time(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    assert manager.enter(lease, 101.0)
    manager.leave(lease, 101.0)
    assert manager.tick(102.0) == []


def test_no_call_begins_on_what_has_ended(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    manager.tick(100.0)
    assert not manager.enter(lease, 100.0)
    assert lease.pins == 0


def test_a_call_that_leaves_twice_is_a_bug_that_shows(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    manager.enter(lease, 0.0)
    manager.leave(lease, 0.0)
    with pytest.raises(RuntimeError, match=r"<Lease bank/1 ACTIVE.*left more often than entered"):
        manager.leave(lease, 0.0)
    assert lease.pins == 0


# --- renewing ----------------------------------------------------------------------------------------------


def test_renewing_gives_at_least_that_long_and_returns_the_seconds_left(manager):
    manager.add("bank/1", TERMS, 0.0)
    assert manager.renew("bank/1", 500.0, 10.0) == 500.0
    assert manager.renew("bank/1", 1.0, 20.0) == 490.0
    assert manager.renew("bank/1", 0, 30.0) == 480.0
    assert manager.tick(509.0) == []
    assert list(ended(manager.tick(510.0))) == ["bank/1"]


@pytest.mark.parametrize(("seconds", "error"), [
    (-1.0, InvalidArguments), (math.nan, InvalidArguments), (-math.inf, InvalidArguments),
    (math.inf, LimitExceeded), (2_592_001, LimitExceeded), (10**400, LimitExceeded),
])  # fmt: skip
def test_a_renewal_is_not_negative_and_no_longer_than_the_quota_allows_at_a_time(manager, seconds, error):
    lease = sponsored(manager)
    with pytest.raises(error, match="bank/1"):
        manager.renew("bank/1", seconds, 0.0)
    with pytest.raises(error, match="bank/1"):
        manager.register("bank/1", "ann", "client", 0.0, seconds)
    assert (lease.expiry, lease.kept, len(lease.sponsors)) == (100.0, False, 0)


def test_who_renews_by_too_much_is_told_the_quota():
    manager = LeaseManager(quotas=Quotas(longest_renewal=60))
    manager.add("bank/1", TERMS, 0.0)
    with pytest.raises(LimitExceeded, match="the host allows 60 s at a time") as told:
        manager.renew("bank/1", 61, 0.0)
    assert told.value.limit == "quotas.longest_renewal"
    with pytest.raises(ValueError, match="longest_renewal"):
        Quotas(longest_renewal=math.inf)


def test_the_most_there_ever_was_is_remembered(manager):
    for number in range(3):
        manager.add(f"bank/{number}", TERMS, 0.0)
        manager.hold(f"bank/{number}", "ann", 0.0)
        manager.register(f"bank/{number % 2}", f"sponsor {number}", "ann", 0.0)
    manager.remove("bank/0", "enough", 0.0)
    manager.tick(0.0)
    assert manager.peaks() == {
        "quotas.per_holder": (2, 3), "quotas.per_principal": (2, 3), "quotas.per_host": (2, 3),
        "fixed.sponsors": (1, 2),
    }  # fmt: skip


def test_handing_an_object_out_again_gives_it_its_first_time_again(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    manager.reactivate("bank/1", 40.0)
    assert lease.expiry == 140.0
    manager.renew("bank/1", 500.0, 40.0)
    manager.reactivate("bank/1", 50.0)
    assert lease.expiry == 540.0


def test_handing_out_an_object_without_lease_changes_nothing(manager):
    lease = manager.add("fn/1", None, 0.0)
    manager.reactivate("fn/1", 40.0)
    assert (lease.state, lease.expiry) == (LeaseState.NULL, math.inf)


CALLS_BY_ID = {
    "renew": lambda manager, name: manager.renew(name, 1.0, 103.2),
    "reactivate": lambda manager, name: manager.reactivate(name, 103.2),
    "hold": lambda manager, name: manager.hold(name, "ann", 103.2),
    "register": lambda manager, name: manager.register(name, "sponsor", "ann", 103.2),
}


@pytest.mark.parametrize("call", CALLS_BY_ID.values(), ids=CALLS_BY_ID)
def test_an_unknown_object_is_not_found_and_one_that_ended_says_when_and_why(manager, call):
    with pytest.raises(ObjectNotFound, match=r"'bank/1': no such object") as caught:
        call(manager, "bank/1")
    assert type(caught.value) is ObjectNotFound
    assert caught.value.uri == "bank/1"
    sponsored(manager, "ann", "bob")
    manager.tick(100.0)
    manager.answered("bank/1", "ann", 0.0, 100.0)
    manager.tick(100.0)
    manager.failed("bank/1", "bob", 100.0, "its connection is lost")
    manager.tick(100.0)
    with pytest.raises(ObjectExpired) as expired:
        call(manager, "bank/1")
    assert str(expired.value) == (
        "bank/1 ended 3.2 s ago: its lease ran out (2 sponsors asked, none renewed); "
        "create a new object, or register a sponsor before the next one ends"
    )
    assert expired.value.uri == "bank/1"


def test_an_error_repeats_no_more_than_a_piece_of_a_hostile_id(manager):
    with pytest.raises(ObjectNotFound) as caught:
        manager.renew("\n" + "x" * 10_000, 1.0, 0.0)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_what_has_no_lease_can_be_neither_renewed_nor_sponsored(manager):
    manager.add("fn/1", None, 0.0)
    for refused in (CALLS_BY_ID["renew"], CALLS_BY_ID["register"]):
        with pytest.raises(InvalidArguments, match="fn/1 has no lease: it lives while somebody holds"):
            refused(manager, "fn/1")


# --- sponsors ----------------------------------------------------------------------------------------------


def test_a_sponsor_is_asked_when_the_lease_runs_out_and_shown_the_lease(manager):
    lease = sponsored(manager, "ann")
    (action,) = manager.tick(101.0)
    assert action == AskSponsor("bank/1", "ann", lease.info(101.0), 111.0)
    assert (action.info.state, action.info.remaining) == ("RENEWING", -1.0)
    assert manager.due() == 111.0


def test_a_sponsor_that_renews_keeps_the_object(manager):
    lease = sponsored(manager, "ann")
    manager.tick(100.0)
    manager.answered("bank/1", "ann", 5.0, 101.0)
    assert (lease.state, lease.expiry, manager.due()) == (LeaseState.ACTIVE, 106.0, 106.0)
    assert manager.tick(105.0) == []
    assert asked(manager.tick(106.0)) == ["ann"]


def test_sponsors_are_asked_one_at_a_time_in_order_of_their_last_renewal(manager):
    sponsored(manager, "ann", "bob", "cy")
    manager.register("bank/1", "dan", "client", 0.0, renewal=2.0)
    manager.register("bank/1", "eve", "client", 0.0, renewal=3.0)
    order = []
    for _ in range(5):
        order += asked(manager.tick(100.0))
        assert manager.tick(100.0) == []
        manager.answered("bank/1", order[-1], 0.0, 100.0)
    assert order == ["eve", "dan", "ann", "bob", "cy"]
    why = "its lease ran out (5 sponsors asked, none renewed)"
    assert ended(manager.tick(100.0)) == {"bank/1": why}
    assert_empty(manager)


def test_who_renewed_most_is_asked_first_the_next_time(manager):
    sponsored(manager, "ann", "bob")
    assert asked(manager.tick(100.0)) == ["ann"]
    manager.failed("bank/1", "ann", 100.0, "no")
    assert asked(manager.tick(100.0)) == ["bob"]
    manager.register("bank/1", "ann", "client", 100.0)
    manager.answered("bank/1", "bob", 5.0, 100.0)
    assert asked(manager.tick(105.0)) == ["bob"]


@pytest.mark.parametrize("seconds", [0.0, -1.0, -math.inf, math.nan])
def test_an_answer_that_is_not_above_zero_is_a_no(manager, seconds):
    sponsored(manager, "ann")
    manager.tick(100.0)
    manager.answered("bank/1", "ann", seconds, 100.0)
    (action,) = manager.tick(100.0)
    assert action.why == "its lease ran out (1 sponsor asked, none renewed)"
    assert action.refusals == (f"it answered {seconds:g} s",)


@pytest.mark.parametrize("seconds", [math.inf, 10**400])
def test_an_answer_without_end_is_as_much_as_the_quota_allows(manager, seconds):
    lease = sponsored(manager, "ann")
    manager.tick(100.0)
    manager.answered("bank/1", "ann", seconds, 100.0)
    assert lease.expiry == 100.0 + Quotas().longest_renewal


def test_a_silent_sponsor_is_dropped_at_its_deadline(manager):
    sponsored(manager, "ann", "bob")
    manager.tick(100.0)
    assert manager.tick(109.9) == []
    assert asked(manager.tick(110.0)) == ["bob"]
    assert manager.due() == 120.0
    (action,) = manager.tick(120.0)
    assert action.refusals == ("it was silent for 10 s",) * 2
    assert_empty(manager)


def test_the_next_sponsor_has_the_whole_time_for_its_answer(manager):
    sponsored(manager, "ann", "bob")
    manager.tick(100.0)
    manager.answered("bank/1", "ann", 0.0, 104.0)
    (action,) = manager.tick(104.0)
    assert action.deadline == 114.0
    assert manager.tick(110.0) == []
    assert list(ended(manager.tick(114.0))) == ["bank/1"]


def test_answers_that_nobody_waits_for_are_ignored(manager):
    lease = sponsored(manager, "ann", "bob")
    for answer in (
        lambda: manager.answered("bank/1", "bob", 1000.0, 110.0),
        lambda: manager.answered("bank/1", "ann", 1000.0, 110.0),
        lambda: manager.failed("bank/1", "ann", 110.0, "late"),
        lambda: manager.answered("bank/2", "ann", 1000.0, 110.0),
        lambda: manager.failed("bank/2", "ann", 110.0, "late"),
    ):
        answer()  # nobody was asked
    assert (lease.expiry, len(lease.sponsors)) == (100.0, 2)
    manager.tick(100.0)
    manager.failed("bank/1", "bob", 100.0, "not asked")
    manager.tick(110.0)  # now bob is asked, and ann is late
    manager.answered("bank/1", "ann", 1000.0, 111.0)
    manager.failed("bank/1", "ann", 111.0, "late")
    assert (lease.state, list(lease.sponsors)) == (LeaseState.RENEWING, ["bob"])
    manager.answered("bank/1", "bob", 5.0, 111.0)
    manager.answered("bank/1", "bob", 1000.0, 111.0)  # a second time
    assert lease.expiry == 116.0


def test_why_a_sponsor_failed_is_for_the_log_and_not_for_callers(manager):
    sponsored(manager, "ann")
    manager.tick(100.0)
    manager.failed("bank/1", "ann", 100.0, "at secret.py:7 " + "x" * 1000)
    (action,) = manager.tick(100.0)
    assert action.refusals[0].startswith("at secret.py:7")
    assert len(action.refusals[0]) == 200
    assert "secret" not in str(manager.why_gone("bank/1", 100.0))


RENEWALS = {
    "a call": lambda manager, lease, now: manager.enter(lease, now) and manager.leave(lease, now),
    "a client": lambda manager, lease, now: manager.renew("bank/1", 20.0, now),
    "handing out": lambda manager, lease, now: manager.reactivate("bank/1", now),
    "another sponsor": lambda manager, lease, now: manager.register("bank/1", "bob", "client", now, 20.0),
}


@pytest.mark.parametrize("renew", RENEWALS.values(), ids=RENEWALS)
def test_whatever_renews_while_sponsors_are_asked_ends_the_asking(manager, renew):
    terms = Lease(initial=20.0, renew_on_call=20.0, sponsorship_timeout=60.0)
    lease = sponsored(manager, "ann", terms=terms)
    assert asked(manager.tick(50.0)) == ["ann"]
    renew(manager, lease, 60.0)
    assert (lease.state, lease.expiry) == (LeaseState.ACTIVE, 80.0)
    assert manager.due() == 80.0  # not at the sponsor's deadline
    manager.answered("bank/1", "ann", 1000.0, 70.0)
    assert lease.expiry == 80.0
    assert len(manager.tick(80.0)) == 1


def test_a_call_while_sponsors_are_asked_pins_even_where_calls_do_not_renew(manager):
    lease = sponsored(manager, "ann", terms=Lease(20.0, renew_on_call=0, sponsorship_timeout=60.0))
    manager.tick(20.0)
    manager.enter(lease, 30.0)
    assert lease.state is LeaseState.ACTIVE
    assert manager.tick(500.0) == []
    assert manager.leave(lease, 500.0)
    assert asked(manager.tick(500.0)) == ["ann"]


def test_renewing_by_nothing_while_sponsors_are_asked_changes_nothing(manager):
    lease = sponsored(manager, "ann")
    manager.tick(100.0)
    assert manager.renew("bank/1", 0.0, 105.0) == -5.0
    assert (lease.state, manager.due()) == (LeaseState.RENEWING, 110.0)


def test_registering_again_for_the_same_owner_only_renews(manager):
    lease = sponsored(manager, "ann", "bob")
    manager.register("bank/1", "ann", "client of ann", 50.0)
    manager.register("bank/1", "ann", "client of ann", 50.0, renewal=100.0)
    assert (lease.expiry, list(lease.sponsors)) == (150.0, ["ann", "bob"])


def test_registering_again_for_another_owner_moves_the_sponsor_there(manager):
    lease = sponsored(manager, "ann", "bob")
    manager.register("bank/1", "ann", "client of ann", 0.0, renewal=7.0)
    manager.register("bank/1", "ann", "new connection", 0.0)
    manager.holder_lost("client of ann", 1.0)
    assert list(lease.sponsors) == ["bob", "ann"]
    assert asked(manager.tick(100.0)) == ["ann"]  # what it renewed by is remembered
    manager.holder_lost("new connection", 100.0)
    assert list(lease.sponsors) == ["bob"]


def test_a_sponsor_that_moves_while_it_is_asked_is_asked_again_over_the_new_connection(manager):
    sponsored(manager, "ann")
    assert asked(manager.tick(100.0)) == ["ann"]
    manager.register("bank/1", "ann", "new connection", 105.0)
    manager.failed("bank/1", "ann", 105.0, "the old connection is lost")
    assert asked(manager.tick(105.0)) == ["ann"]


def test_an_unregistered_sponsor_is_not_asked(manager):
    sponsored(manager, "ann", "bob")
    manager.unregister("bank/1", "ann", 0.0)
    manager.unregister("bank/1", "ann", 0.0)
    manager.unregister("bank/2", "ann", 0.0)
    assert asked(manager.tick(100.0)) == ["bob"]
    manager.unregister("bank/1", "bob", 100.0)
    assert manager.due() == 100.0
    assert list(ended(manager.tick(100.0))) == ["bank/1"]


def test_an_object_may_refuse_sponsors(manager):
    sponsored(manager, terms=Lease(sponsorship_timeout=0))
    with pytest.raises(InvalidArguments, match="takes no sponsors"):
        manager.register("bank/1", "ann", "client", 0.0)


def test_an_object_has_sixteen_sponsors_at_most(manager):
    lease = sponsored(manager, *range(16))
    with pytest.raises(LimitExceeded, match="16 sponsors"):
        manager.register("bank/1", "one more", "client", 0.0, renewal=500.0)
    assert lease.expiry == 100.0
    manager.register("bank/1", 3, "another connection", 0.0)  # one of them, moving


# --- holders -----------------------------------------------------------------------------------------------


def held(manager, *holders, terms=TERMS):
    lease = manager.add("bank/1", terms, 0.0)
    for holder in holders:
        manager.hold("bank/1", holder, 0.0)
    return lease


@pytest.mark.parametrize("terms", [TERMS, None, Lease(initial=math.inf)])
def test_an_object_ends_when_its_last_holder_releases_it(manager, terms):
    held(manager, "ann", "bob", terms=terms)
    manager.release("bank/1", "ann", 1, 10.0)
    assert manager.tick(10.0) == []
    manager.release("bank/1", "bob", 1, 11.0)
    assert manager.due() == 11.0
    assert ended(manager.tick(11.0)) == {"bank/1": "its last holder released it"}
    assert "keep its proxy as long as you use it" in str(manager.why_gone("bank/1", 12.0))
    assert_empty(manager)


@pytest.mark.parametrize("terms", [TERMS, None])
def test_what_nobody_has_held_is_not_released_by_anybody(manager, terms):
    manager.add("bank/1", terms, 0.0)
    manager.release("bank/1", "ann", 1, 1.0)
    manager.release("unknown", "ann", 1, 1.0)
    manager.holder_gone("ann", 1.0)
    assert manager.tick(99.0) == []


def test_an_object_without_lease_lives_as_long_as_it_is_held(manager):
    held(manager, "ann", terms=None)
    assert manager.due() is None
    assert manager.tick(1e9) == []
    manager.holder_gone("ann", 1e9)
    assert list(ended(manager.tick(1e9))) == ["bank/1"]


def test_released_during_a_call_it_ends_when_the_last_call_leaves(manager):
    lease = held(manager, "ann")
    manager.enter(lease, 1.0)
    manager.release("bank/1", "ann", 1, 2.0)
    assert manager.tick(2.0) == []
    assert manager.leave(lease, 3.0)
    assert manager.due() == 3.0
    assert list(ended(manager.tick(3.0))) == ["bank/1"]


def test_released_during_a_call_and_held_again_it_lives_on(manager):
    lease = held(manager, "ann")
    manager.enter(lease, 1.0)
    manager.release("bank/1", "ann", 1, 2.0)
    manager.tick(2.0)
    manager.hold("bank/1", "bob", 2.5)
    manager.leave(lease, 3.0)
    assert manager.tick(3.0) == []
    assert list(ended(manager.tick(100.0))) == ["bank/1"]


REVIVALS = {
    "held": lambda manager, lease: manager.hold("bank/1", "bob", 2.0),
    "called": lambda manager, lease: manager.enter(lease, 2.0),
    "renewed": lambda manager, lease: manager.renew("bank/1", 0.0, 2.0),
    "sponsored": lambda manager, lease: manager.register("bank/1", "bob", "client", 2.0),
}


@pytest.mark.parametrize("revive", REVIVALS.values(), ids=REVIVALS)
def test_what_is_wanted_again_before_the_tick_lives_on(manager, revive):
    lease = held(manager, "ann")
    manager.release("bank/1", "ann", 1, 2.0)
    revive(manager, lease)
    assert manager.tick(2.0) == []


@pytest.mark.parametrize("wanted", ["renewed", "sponsored"])
def test_once_renewed_or_sponsored_the_lease_alone_decides(manager, wanted):
    lease = held(manager, "ann")
    REVIVALS[wanted](manager, lease)
    manager.release("bank/1", "ann", 1, 10.0)
    assert manager.tick(10.0) == []
    manager.holder_gone("client", 20.0)  # losing the sponsor then ends nothing at once
    assert manager.tick(99.0) == []
    assert list(ended(manager.tick(100.0))) == ["bank/1"]
    assert_empty(manager)


@pytest.mark.parametrize("wanted", ["renewed", "sponsored"])
def test_a_lease_that_never_runs_out_decides_nothing(manager, wanted):
    lease = held(manager, "ann", terms=Lease(initial=math.inf))
    REVIVALS[wanted](manager, lease)
    manager.release("bank/1", "ann", 1, 10.0)
    assert list(ended(manager.tick(10.0))) == ["bank/1"]
    assert manager.stats()["sponsors"] == 0


def test_released_while_sponsors_are_asked_they_decide(manager):
    held(manager, "ann")
    manager.register("bank/1", "bob", "client", 0.0)
    manager.tick(100.0)
    manager.release("bank/1", "ann", 1, 101.0)
    assert manager.tick(101.0) == []
    manager.answered("bank/1", "bob", 5.0, 102.0)
    assert manager.tick(106.0) == []


def test_an_orderly_goodbye_releases_everything_at_once(manager):
    for number in range(5):
        manager.add(f"bank/{number}", TERMS, 0.0)
        manager.hold(f"bank/{number}", "ann", 0.0, count=number + 1)
    manager.hold("bank/4", "bob", 0.0)
    manager.holder_gone("ann", 5.0)
    assert list(ended(manager.tick(5.0))) == ["bank/0", "bank/1", "bank/2", "bank/3"]


def test_what_a_lost_holder_held_is_released_after_the_grace_time(manager):
    held(manager, "ann")
    manager.holder_lost("ann", 10.0)
    assert manager.due() == 40.0
    assert manager.tick(39.0) == []
    (action,) = manager.tick(40.0)
    assert action.why == "the connection of its last holder was lost and not back within 30 s"
    assert_empty(manager)


def test_a_holder_that_comes_back_in_time_keeps_what_it_held(manager):
    held(manager, "ann")
    manager.holder_lost("ann", 10.0)
    manager.holder_back("ann", 39.0)
    assert manager.tick(99.0) == []
    manager.release("bank/1", "ann", 1, 99.0)
    assert list(ended(manager.tick(99.0))) == ["bank/1"]


def test_a_holder_that_comes_back_too_late_may_hold_again(manager):
    held(manager, "ann")
    manager.holder_lost("ann", 10.0)
    manager.tick(40.0)
    manager.holder_back("ann", 41.0)
    manager.add("bank/2", None, 41.0)
    manager.hold("bank/2", "ann", 41.0)
    assert manager.tick(42.0) == []


def test_without_grace_a_lost_holder_is_gone(manager):
    manager = LeaseManager(grace=0)
    held(manager, "ann")
    manager.holder_lost("ann", 10.0)
    assert manager.due() == 10.0
    assert list(ended(manager.tick(10.0))) == ["bank/1"]


def test_sponsors_of_a_lost_holder_are_lost_at_once(manager):
    lease = sponsored(manager, "ann", "bob")
    assert asked(manager.tick(100.0)) == ["ann"]
    manager.holder_lost("client of ann", 101.0)
    assert manager.due() == 101.0
    assert asked(manager.tick(101.0)) == ["bob"]
    manager.holder_gone("client of bob", 101.0)
    (action,) = manager.tick(101.0)
    assert action.refusals == ("its connection was lost",) * 2
    assert lease.sponsors == {}


def test_a_reference_handed_out_for_a_lost_client_goes_with_it(manager):
    manager.holder_lost("ann", 10.0)
    held(manager, "ann", terms=None)
    assert manager.tick(39.0) == []
    assert list(ended(manager.tick(40.0))) == ["bank/1"]


@pytest.mark.parametrize("leave", ["holder_gone", "holder_lost"])
def test_a_reference_handed_out_for_a_client_that_is_gone_holds_nothing(manager, leave):
    getattr(manager, leave)("ann", 10.0)
    manager.tick(40.0)
    held(manager, "ann", terms=None)
    why = "its holder had gone before receiving it"
    assert ended(manager.tick(41.0)) == {"bank/1": why}
    manager.add("bank/2", TERMS, 41.0)
    manager.hold("bank/2", "bob", 41.0)
    manager.hold("bank/2", "ann", 41.0)
    assert manager.tick(42.0) == []
    assert manager.get("bank/2").holders == ("bob",)


# --- the host ends it --------------------------------------------------------------------------------------


def test_what_the_host_removes_takes_no_more_calls(manager):
    lease = held(manager, "ann")
    manager.register("bank/1", "bob", "client", 0.0)
    manager.remove("bank/1", "the host withdrew it", 5.0)
    assert not manager.enter(lease, 5.0)
    assert manager.get("bank/1") is None
    assert str(manager.why_gone("bank/1", 6.0)) == ("bank/1 ended 1.0 s ago: the host withdrew it; create a new object")
    assert manager.due() == 5.0
    assert manager.tick(6.0) == [Ended("bank/1", "the host withdrew it", 5.0)]
    assert manager.tick(200.0) == []
    assert_empty(manager)


def test_what_is_removed_during_a_call_is_disposed_when_the_last_call_left(manager):
    lease = held(manager, "ann")
    manager.enter(lease, 1.0)
    manager.remove("bank/1", "the host withdrew it", 5.0)
    assert manager.tick(6.0) == []
    assert manager.leave(lease, 7.0)
    assert manager.tick(7.0) == [Ended("bank/1", "the host withdrew it", 5.0)]


def test_removing_what_is_not_there_does_nothing(manager):
    manager.remove("bank/1", "the host withdrew it", 5.0)
    assert manager.due() is None
    assert manager.why_gone("bank/1", 5.0) is None


def test_what_is_removed_after_it_was_released_ends_once(manager):
    held(manager, "ann")
    manager.release("bank/1", "ann", 1, 1.0)
    manager.remove("bank/1", "the host withdrew it", 1.0)
    assert ended(manager.tick(1.0)) == {"bank/1": "the host withdrew it"}


# --- quotas, figures ---------------------------------------------------------------------------------------


def test_a_full_host_takes_no_more_and_serves_who_is_there():
    manager = LeaseManager(quotas=Quotas(per_host=2))
    one = manager.add("bank/1", TERMS, 0.0)
    manager.add("bank/2", None, 0.0)
    with pytest.raises(LimitExceeded, match="per_host=2") as caught:
        manager.add("bank/3", TERMS, 0.0)
    assert caught.value.uri == "bank/3"
    assert manager.enter(one, 0.0)
    manager.remove("bank/2", "enough", 0.0)
    manager.add("bank/3", TERMS, 0.0)


def test_a_holder_over_its_quota_gets_no_more_and_others_do():
    manager = LeaseManager(quotas=Quotas(per_holder=1))
    lease = manager.add("bank/1", TERMS, 0.0)
    manager.hold("bank/1", "ann", 0.0)
    manager.hold("bank/1", "ann", 0.0)
    manager.add("bank/2", TERMS, 0.0)
    with pytest.raises(LimitExceeded, match="per_holder=1"):
        manager.hold("bank/2", "ann", 0.0)
    manager.hold("bank/2", "bob", 0.0)
    assert lease.holders == ("ann",)


def test_live_objects_can_be_looked_at(manager):
    one = manager.add("bank/1", TERMS, 0.0)
    two = manager.add("bank/2", None, 0.0)
    assert list(manager.live()) == [one, two]


def test_the_figures_count_what_there_is(manager):
    for number in range(3):
        manager.add(f"bank/{number}", TERMS, 0.0)
        manager.hold(f"bank/{number}", "ann", 0.0)
    manager.register("bank/1", "bob", "client", 0.0)
    manager.holder_lost("cy", 0.0)
    manager.remove("bank/2", "enough", 0.0)
    figures = {"live": 2, "ended": 1, "holders": 1, "lost": 1, "sponsors": 1}
    assert manager.stats() == {**figures, "entries": 3, "stale": 1, "moves": 3}


def test_repr_counts_from_the_latest_tick(manager):
    lease = manager.add("acct/7f3a", TERMS, 0.0)
    manager.enter(lease, 0.0)
    manager.tick(59.0)
    assert repr(lease) == "<Lease acct/7f3a ACTIVE, 41.0 s left, pinned by 1 call>"


# --- cost follows what ends, not what lives ----------------------------------------------------------------


def lines_run(work):
    """How many lines of the lease machine ``work`` runs: its cost, without a clock."""
    folder = str(Path(lease_module.__file__).parent)
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename.startswith(folder) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def populated(number):
    """A manager with this many live objects that do not end soon, and a hundred of one holder that do."""
    manager = LeaseManager()
    for index in range(number):
        manager.add(f"idle/{index}", Lease(initial=1000.0 + index % 7), 0.0)
        manager.hold(f"idle/{index}", index % 100, 0.0)
    for index in range(100):
        manager.add(f"busy/{index}", Lease(initial=50.0, renew_on_call=20.0), 0.0)
        manager.hold(f"busy/{index}", "ann", 0.0)
    return manager


def call_often(manager):
    lease = manager.get("busy/5")
    for step in range(1000):
        manager.enter(lease, step * 0.1)
        manager.leave(lease, step * 0.1)
        manager.due()


WORK = {
    "a call": call_often,
    "creating": lambda manager: manager.add("new", TERMS, 0.0),
    "renewing": lambda manager: manager.renew("busy/5", 70.0, 1.0),
    "running out": lambda manager: manager.tick(60.0),
    "a holder that goes": lambda manager: (manager.holder_gone("ann", 1.0), manager.tick(1.0)),
    "a holder that is lost": lambda manager: (manager.holder_lost("ann", 1.0), manager.tick(31.0)),
    "looking when nothing is due": lambda manager: [manager.tick(1.0) for _ in range(100)],
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_the_work_is_the_same_whether_a_hundred_or_ten_thousand_live(work):
    few, many = populated(100), populated(10_000)
    assert lines_run(lambda: work(few)) == lines_run(lambda: work(many)) > 0


def test_calls_and_renewals_move_nothing_in_the_heap(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    before = manager.stats()["moves"]
    for step in range(1000):
        manager.enter(lease, step * 0.09)
        manager.leave(lease, step * 0.09)
        manager.renew("bank/1", 200.0, step * 0.09)
    assert manager.stats()["moves"] == before


def test_an_object_that_is_always_called_is_moved_once_in_the_time_a_call_gives(manager):
    lease = manager.add("bank/1", TERMS, 0.0)
    for step in range(100_000):
        now = step * 0.1
        manager.enter(lease, now)
        manager.leave(lease, now)
        if (manager.due() or math.inf) <= now:
            assert manager.tick(now) == []
    assert manager.stats()["moves"] <= 1 + 2 * (10_000 / 20.0)


def test_a_thousand_of_ten_thousand_that_end_cost_one_pop_each():
    manager = LeaseManager()
    for index in range(10_000):
        manager.add(f"bank/{index}", Lease(initial=10.0 if index % 10 == 0 else 500.0), 0.0)
    before = manager.stats()["moves"]
    assert len(ended(manager.tick(10.0))) == 1000
    assert manager.stats()["moves"] - before == 1000


def test_making_and_dropping_objects_leaves_nothing_behind(manager):
    for index in range(10_000):
        manager.add(f"bank/{index}", TERMS, 0.0)
        manager.hold(f"bank/{index}", "ann", 0.0)
        manager.release(f"bank/{index}", "ann", 1, 0.0)
        assert len(manager.tick(0.0)) == 1
        assert manager.stats()["entries"] <= 1002
    manager.tick(100.0)
    assert_empty(manager)
