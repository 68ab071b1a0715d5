"""The table of sponsors, by owner."""

import pytest

from rpcx.errors import LimitExceeded
from rpcx.lifetime.lease import Lease, LiveLease, Moment
from rpcx.lifetime.sponsors import MAX_SPONSORS, Sponsors


def lease(name="bank/1"):
    return LiveLease(name, Lease(), Moment(0.0))


def test_a_sponsor_is_known_to_its_lease_and_to_its_owner():
    table, one, two = Sponsors(), lease("bank/1"), lease("bank/2")
    first = table.add(one, "ann", "client")
    second = table.add(two, "ann", "client")
    assert one.sponsors == {"ann": first}
    assert table.owned("client") == [(first, one), (second, two)]
    assert table.owned("other") == []
    assert len(table) == 2


def test_a_dropped_sponsor_is_known_to_nobody():
    table, one = Sponsors(), lease()
    first, second = table.add(one, "ann", "client"), table.add(one, "bob", "client")
    assert not table.drop(one, first, "left")
    assert table.owned("client") == [(second, one)]
    one.asking = second
    assert table.drop(one, second, "left")
    assert (len(table), table.owned("client"), one.sponsors) == (0, [], {})


def test_sixteen_sponsors_are_enough_for_one_object():
    table, one = Sponsors(), lease()
    for number in range(MAX_SPONSORS):
        table.add(one, number, "client")
    with pytest.raises(LimitExceeded, match="bank/1 has 16 sponsors"):
        table.add(one, "one more", "client")
    assert len(one.sponsors) == len(table) == MAX_SPONSORS == 16
    table.add(lease("bank/2"), "one more", "client")
