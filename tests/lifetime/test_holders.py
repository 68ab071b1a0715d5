"""Who holds which object."""

import pytest

from rpcx.errors import LimitExceeded
from rpcx.lifetime import holders
from rpcx.lifetime.holders import Holders, Quotas
from rpcx.lifetime.lease import Lease, LiveLease, Moment

MANY = 10**6  # a quota nobody reaches


def lease(name="bank/1"):
    return LiveLease(name, Lease(), Moment(0.0))


@pytest.fixture
def table():
    return Holders(grace=30.0)


def test_a_million_leased_objects_fit_the_default_quotas():
    assert Quotas() == Quotas(per_holder=10_000, per_host=2_000_000)


def test_a_reference_is_given_back_as_often_as_it_was_received(table):
    one = lease()
    table.hold("ann", one, 1, MANY)
    table.hold("ann", one, 2, MANY)
    assert not table.release("ann", one, 2)
    assert one.holders == ("ann",)
    assert table.release("ann", one, 1)
    assert one.holders == ()
    assert table.stats() == {"holders": 0, "lost": 0}


def test_nobody_gives_back_more_than_there_is_or_what_is_not_theirs(table):
    one = lease()
    table.hold("ann", one, 1, MANY)
    for count in (1, 10**30):
        assert not table.release("eve", one, count)
    for count in (0, -1, -(10**30)):
        assert not table.release("ann", one, count)
    assert one.holders == ("ann",)
    assert table.release("ann", one, 10**30)
    assert not table.release("ann", one, 1)


def test_the_last_of_several_holders_is_the_one_that_counts(table):
    one = lease()
    table.hold("ann", one, 5, MANY)
    table.hold("bob", one, 1, MANY)
    assert not table.release("ann", one, 5)
    assert table.release("bob", one, 1)


@pytest.mark.parametrize("count", [0, -1])
def test_a_reference_is_received_once_at_least(table, count):
    one = lease()
    with pytest.raises(ValueError, match="bank/1"):
        table.hold("ann", one, count, MANY)
    assert table.stats()["holders"] == 0
    assert one.holders == ()


def test_a_quota_counts_different_objects_and_its_error_names_no_session(table):
    held = [lease(f"bank/{number}") for number in range(3)]
    table.hold("s3cret", held[0], 1, 2)
    table.hold("s3cret", held[1], 1, 2)
    table.hold("s3cret", held[1], 9, 2)
    with pytest.raises(LimitExceeded, match="per_holder=2") as caught:
        table.hold("s3cret", held[2], 1, 2)
    assert "s3cret" not in str(caught.value)
    assert held[2].holders == ()
    table.hold("bob", held[2], 1, 2)
    table.release("s3cret", held[0], 1)
    table.hold("s3cret", held[2], 1, 2)


def test_an_ended_object_no_longer_counts_for_its_holders(table):
    one, two = lease("bank/1"), lease("bank/2")
    table.hold("ann", one, 1, 2)
    table.hold("ann", two, 1, 2)
    table.hold("bob", one, 1, 2)
    table.ended(one)
    assert one.holders == ()
    assert table.stats()["holders"] == 1
    table.hold("ann", lease("bank/3"), 1, 2)


def test_who_goes_lets_go_of_everything_and_what_others_hold_stays(table):
    one, two = lease("bank/1"), lease("bank/2")
    table.hold("ann", one, 3, MANY)
    table.hold("ann", two, 3, MANY)
    table.hold("bob", two, 1, MANY)
    assert table.go("ann") == [one]
    assert two.holders == ("bob",)
    assert table.is_gone("ann")
    assert table.go("ann") == []


def test_who_is_lost_has_a_grace_time(table):
    one = lease()
    table.hold("ann", one, 1, MANY)
    table.lose("ann", 100.0)
    assert (table.due(), table.stats()["lost"]) == (130.0, 1)
    assert table.take(129.9) == []
    assert table.take(130.0) == [one]
    assert table.is_gone("ann")
    assert (table.due(), table.stats()) == (None, {"holders": 0, "lost": 0})


def test_who_comes_back_in_time_keeps_all(table):
    one = lease()
    table.hold("ann", one, 1, MANY)
    table.lose("ann", 100.0)
    table.back("ann")
    assert (table.due(), table.take(1000.0)) == (None, [])
    assert one.holders == ("ann",)


def test_being_lost_again_does_not_prolong_the_grace_time(table):
    table.lose("ann", 100.0)
    table.lose("ann", 120.0)
    assert table.due() == 130.0


def test_who_is_gone_cannot_be_lost(table):
    table.go("ann")
    table.lose("ann", 100.0)
    assert table.due() is None


def test_grace_times_are_over_in_order(table):
    for number, holder in enumerate(["ann", "bob", "cy"]):
        table.lose(holder, float(number))
    table.back("ann")
    table.take(31.0)
    assert [table.is_gone(holder) for holder in ("ann", "bob", "cy")] == [False, True, False]
    assert table.due() == 32.0


def test_the_newest_of_those_gone_are_remembered(table, monkeypatch):
    monkeypatch.setattr(holders, "GONE_HOLDERS", 2)
    for holder in ("ann", "bob", "ann", "cy"):
        table.go(holder)
    assert [table.is_gone(holder) for holder in ("ann", "bob", "cy")] == [True, False, True]
