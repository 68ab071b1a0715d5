"""Whom a live object is charged to."""

import pytest

from rpcx.errors import LimitExceeded
from rpcx.lifetime.accounts import Accounts
from rpcx.lifetime.lease import Lease, LiveLease, Moment
from rpcx.lifetime.manager import Ended, LeaseManager, Quotas


def lease(name):
    return LiveLease(name, Lease(), Moment(0.0))


def test_who_received_it_first_pays_until_it_ends():
    accounts = Accounts()
    one, two = lease("a"), lease("b")
    accounts.charge("ann", one, 1)
    accounts.charge("bob", one, 1)  # received later: costs nothing
    accounts.charge("bob", two, 1)
    with pytest.raises(LimitExceeded, match="per_principal=1"):
        accounts.charge("ann", lease("c"), 1)
    accounts.ended(one)
    accounts.ended(one)  # twice is once
    accounts.charge("ann", lease("c"), 1)


def test_sessions_of_one_principal_pay_together():
    accounts = Accounts()
    accounts.opened("session 1", "ann")
    accounts.opened("session 2", "ann")
    accounts.charge("session 1", lease("a"), 1)
    accounts.forget("session 1")
    with pytest.raises(LimitExceeded):
        accounts.charge("session 2", lease("b"), 1)
    accounts.charge("session 3", lease("c"), 1)


@pytest.mark.parametrize("keep", ["renewed", "sponsored"])
def test_what_is_kept_and_given_back_still_counts(keep):
    manager = LeaseManager(quotas=Quotas(per_principal=3, per_holder=2))
    for session in range(3):
        manager.holder_back(session, 0.0, "eve")
        manager.add(f"x/{session}", Lease(), 0.0)
        manager.hold(f"x/{session}", session, 0.0)
        if keep == "renewed":
            manager.renew(f"x/{session}", 1e6, 0.0)
        else:
            manager.register(f"x/{session}", "sponsor", "elsewhere", 0.0)
        manager.release(f"x/{session}", session, 1, 0.0)
        manager.holder_gone(session, 0.0)
    assert not [action for action in manager.tick(1.0) if isinstance(action, Ended)]
    manager.holder_back("again", 1.0, "eve")
    manager.add("x/more", Lease(), 1.0)
    with pytest.raises(LimitExceeded):
        manager.hold("x/more", "again", 1.0)
    manager.holder_back("ann's", 1.0, "ann")
    manager.hold("x/more", "ann's", 1.0)
    manager.remove("x/0", "enough", 1.0)
    manager.add("x/last", Lease(), 1.0)
    manager.hold("x/last", "again", 1.0)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "9"])
@pytest.mark.parametrize("name", ["per_holder", "per_principal", "per_host", "callbacks"])
def test_a_quota_is_a_number_of_objects(name, wrong):
    with pytest.raises(ValueError, match=name):
        Quotas(**{name: wrong})
