"""The terms of a lease, and what is kept of one object."""

import math

import pytest

from rpcx.lifetime.lease import (
    FEW_HOLDERS,
    MAX_REFUSALS,
    NEXT,
    Lease,
    LeaseState,
    LiveLease,
    Moment,
    Sponsorship,
)


def live(terms=Lease(), now=0.0):
    return LiveLease("acct/7f3a", terms, Moment(now))


def sponsored(lease, *names):
    sponsorships = [Sponsorship(name, "client") for name in names]
    lease.sponsors = {each.sponsor: each for each in sponsorships}
    return sponsorships


# --- terms -----------------------------------------------------------------------------------------------


def test_the_default_terms_are_those_of_dotnet():
    assert Lease() == Lease(initial=300.0, renew_on_call=120.0, sponsorship_timeout=120.0)


@pytest.mark.parametrize("initial", [0, -1, -math.inf])
def test_a_lease_that_lasts_no_time_is_refused_and_the_error_says_what_to_write_instead(initial):
    with pytest.raises(ValueError, match=r"initial=.*leave lease= away.*initial=math\.inf"):
        Lease(initial=initial)


def test_a_lease_may_never_run_out_by_itself():
    assert Lease(initial=math.inf).initial == math.inf


@pytest.mark.parametrize("name", ["renew_on_call", "sponsorship_timeout"])
@pytest.mark.parametrize("value", [-0.1, math.inf, -math.inf])
def test_other_terms_are_finite_and_not_negative(name, value):
    with pytest.raises(ValueError, match=rf"Lease\({name}="):
        Lease(**{name: value})


@pytest.mark.parametrize("name", ["renew_on_call", "sponsorship_timeout"])
def test_zero_switches_a_term_off(name):
    assert getattr(Lease(**{name: 0}), name) == 0


@pytest.mark.parametrize("name", ["initial", "renew_on_call", "sponsorship_timeout"])
def test_what_is_no_number_of_seconds_is_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"Lease\({name}=nan\)"):
        Lease(**{name: math.nan})
    with pytest.raises(ValueError, match=rf"Lease\({name}=\.\.\.\): too many digits"):
        Lease(**{name: 10**400})
    for value in ("300", None, True, 3j):
        with pytest.raises(TypeError, match=rf"Lease\({name}=.*must be a number of seconds"):
            Lease(**{name: value})


def test_terms_do_not_change():
    with pytest.raises(AttributeError):
        Lease().initial = 1.0


# --- states ----------------------------------------------------------------------------------------------


def test_states_have_the_numbers_of_dotnet():
    assert [state.name for state in sorted(LeaseState)] == [
        "NULL",
        "INITIAL",
        "ACTIVE",
        "RENEWING",
        "EXPIRED",
    ]
    assert list(map(int, sorted(LeaseState))) == [0, 1, 2, 3, 4]


def test_every_state_leads_to_the_end_and_none_out_of_it():
    assert set(NEXT) == set(LeaseState)
    assert all(LeaseState.EXPIRED in after for state, after in NEXT.items() if state is not LeaseState.EXPIRED)
    assert not NEXT[LeaseState.EXPIRED]


@pytest.mark.parametrize("before", LeaseState)
@pytest.mark.parametrize("after", LeaseState)
def test_a_lease_goes_only_the_ways_of_the_table(before, after):
    lease = live()
    lease.state = before
    if after in NEXT[before]:
        lease.become(after)
        assert lease.state is after
    else:
        with pytest.raises(RuntimeError, match=f"cannot become {after.name}"):
            lease.become(after)
        assert lease.state is before


def test_a_lease_begins_initial_and_is_active_once_handed_out():
    lease = live()
    assert lease.state is LeaseState.INITIAL
    lease.hand_out()
    lease.hand_out()
    assert lease.state is LeaseState.ACTIVE


def test_an_object_without_terms_has_no_lease_whoever_gets_it():
    lease = live(None)
    lease.hand_out()
    assert lease.state is LeaseState.NULL


def test_the_end_leaves_no_sponsor_and_no_question():
    lease = live()
    (lease.asking,) = sponsored(lease, "ann")
    lease.end()
    assert (lease.state, lease.sponsors, lease.asking) == (LeaseState.EXPIRED, {}, None)


# --- holders, sponsors -----------------------------------------------------------------------------------


def test_holders_come_and_go_in_any_number():
    lease = live()
    many = [f"client {number}" for number in range(FEW_HOLDERS + 3)]
    for number, holder in enumerate(many, 1):
        lease.add_holder(holder)
        assert sorted(lease.holders) == many[:number]
    for number, holder in enumerate(many, 1):
        lease.drop_holder(holder)
        assert sorted(lease.holders) == many[number:]


def test_few_holders_need_no_set():
    lease = live()
    lease.add_holder("ann")
    lease.add_holder("bob")
    lease.drop_holder("ann")
    assert lease.holders == ("bob",)


def test_the_sponsor_with_the_largest_last_renewal_is_asked_first_then_in_order_of_registration():
    lease = live()
    _, _, cy, dan = sponsored(lease, "ann", "bob", "cy", "dan")
    cy.last, dan.last = 5.0, 60.0
    order = []
    while (asked := lease.next_sponsor()) is not None:
        order.append(asked.sponsor)
        lease.strike(asked, "no")
    assert order == ["dan", "cy", "ann", "bob"]


def test_striking_tells_whether_it_was_the_one_being_asked_and_keeps_why():
    lease = live()
    ann, bob = sponsored(lease, "ann", "bob")
    lease.asking = bob
    assert not lease.strike(ann, "ann left")
    assert lease.asking is bob
    assert lease.strike(bob, "bob said no")
    assert (lease.asking, lease.refusals, lease.sponsors) == (None, ("bob said no",), {})


def test_refusals_do_not_pile_up():
    lease = live()
    for number in range(2 * MAX_REFUSALS):
        (lease.asking,) = sponsored(lease, "ann")
        lease.strike(lease.asking, str(number))
    assert lease.refusals == tuple(map(str, range(MAX_REFUSALS, 2 * MAX_REFUSALS)))


def test_a_lease_decides_alone_when_it_is_kept_or_sponsored_and_runs_out_at_all():
    lease = live()
    assert not lease.decides
    sponsored(lease, "ann")
    assert lease.decides
    lease.sponsors = {}
    lease.kept = True
    assert lease.decides
    lease.expiry = math.inf
    assert not lease.decides


# --- how it looks ----------------------------------------------------------------------------------------


def test_info_is_the_lease_as_seen_from_outside():
    lease = live(Lease(50, 20, 10), now=1000.0)
    lease.pins = 2
    sponsored(lease, "ann")
    info = lease.info(1060.0)
    assert (info.object_id, info.state, info.remaining) == ("acct/7f3a", "INITIAL", -10.0)
    assert (info.initial, info.renew_on_call, info.sponsorship_timeout) == (50, 20, 10)
    assert (info.sponsors, info.pins) == (1, 2)


def test_info_of_an_object_without_lease_says_that_it_has_no_end_of_its_own():
    info = live(None).info(5.0)
    assert (info.state, info.remaining, info.initial) == ("NULL", math.inf, math.inf)
    assert (info.renew_on_call, info.sponsorship_timeout) == (0.0, 0.0)


def shown(terms=Lease(300), state=None, *, now=0.0, pins=0, sponsors=(), holders=()):
    lease = live(terms)
    lease.moment.now = now
    lease.state = state if state is not None else lease.state
    lease.pins = pins
    lease.holders = holders
    sponsored(lease, *sponsors)
    return repr(lease)


def test_repr_tells_the_state():
    active, renewing = LeaseState.ACTIVE, LeaseState.RENEWING
    assert shown(state=active, now=259.0, pins=2) == "<Lease acct/7f3a ACTIVE, 41.0 s left, pinned by 2 calls>"
    assert shown(pins=1) == "<Lease acct/7f3a INITIAL, 300.0 s left, pinned by 1 call>"
    assert shown(state=renewing, now=302.5, sponsors=("ann", "bob")) == (
        "<Lease acct/7f3a RENEWING, over for 2.5 s, 2 sponsors>"
    )
    assert shown(None, holders=("ann",)) == "<Lease acct/7f3a NULL, held by 1>"
    assert shown(Lease(math.inf)) == "<Lease acct/7f3a INITIAL, no end>"
    assert shown(state=LeaseState.EXPIRED) == "<Lease acct/7f3a EXPIRED>"
