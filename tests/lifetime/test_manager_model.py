"""The lease manager against a model: any sequence of events, in virtual time.

The model knows no heap, no queue and no index: it looks at every object at every tick and applies the rules
as the manual gives them. Whatever the manager does must be what the model does, and `due` never too late.
"""

import math
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rpcx.errors import InvalidArguments, ObjectExpired, ObjectNotFound
from rpcx.lifetime.lease import NEXT, Lease
from rpcx.lifetime.manager import AskSponsor, Ended, LeaseManager

GRACE = 5.0
RAN_OUT, RELEASED, LOST, LATE, REMOVED = (
    "its lease ran out",
    "its last holder released it",
    "the connection of its last holder was lost",
    "its holder had gone",
    "the host said so",
)

TERMS = st.sampled_from(
    [
        None,
        Lease(10.0, 4.0, 3.0),
        Lease(4.0, 9.0, 12.0),  # an answer may take longer than a lease
        Lease(10.0, 0, 3.0),  # calls do not renew
        Lease(6.0, 4.0, 0),  # takes no sponsors
        Lease(math.inf, 4.0, 3.0),
    ]
)
PEOPLE = st.sampled_from(["ann", "bob", "cy"])  # holders, and owners of sponsors
SPONSORS = st.sampled_from(["red", "green", "blue"])
PICK = st.integers(0, 1000)  # an object, of those there ever were
SECONDS = st.sampled_from([0.0, 1.0, 2.0, 7.0, 30.0])


class Thing:
    """One object as the model sees it."""

    def __init__(self, name, terms, now):
        self.name = name
        self.terms = terms
        self.state = "NULL" if terms is None else "INITIAL"
        self.expiry = math.inf if terms is None else now + terms.initial
        self.calls = 0
        self.held = Counter()  # holder → count
        self.let_go = None  # why, since its last holder let go
        self.kept = False
        self.sponsors = []  # [name, owner, last renewal], in order of registration
        self.question = None  # (sponsor, deadline)
        self.refused = 0
        self.ended = None  # (why, when)
        self.reported = False  # the end came out of a tick

    def renew(self, until):
        """Live until then; it is not being asked about any more."""
        self.expiry = max(self.expiry, until)
        if self.state == "RENEWING":
            self.state, self.question, self.refused = "ACTIVE", None, 0

    def hand_out(self):
        if self.state == "INITIAL":
            self.state = "ACTIVE"

    def drop(self, sponsor):
        """``sponsor`` sponsors no more."""
        self.sponsors = [each for each in self.sponsors if each[0] != sponsor]
        if self.question is not None and self.question[0] == sponsor:
            self.question = None
            self.refused += 1

    def let_go_by(self, holder, why):
        del self.held[holder]
        if not self.held:
            self.let_go = why

    def end(self, why, now):
        self.state, self.ended, self.question, self.sponsors = "EXPIRED", (why, now), None, []
        self.held.clear()

    @property
    def lease_decides(self):
        return self.expiry < math.inf and (self.kept or bool(self.sponsors))

    def next_event(self):
        """When a tick would do something about it; -inf: at once, None: never by itself."""
        if self.calls or self.reported:
            return None
        if self.ended is not None or (self.let_go is not None and not self.lease_decides):
            return -math.inf
        if self.question is not None:
            return self.question[1]
        return self.expiry if self.expiry < math.inf else None

    def tick(self, now):
        """What is to be done about it: None, (sponsor to ask, deadline), or why it ends."""
        if self.calls or self.reported:
            return None
        if self.ended is not None:
            self.reported = True
            return self.ended[0]
        if self.let_go is not None and not self.lease_decides:
            return self._end_now(self.let_go, now)
        self.let_go = None
        if self.expiry > now or (self.question is not None and now < self.question[1]):
            return None
        if self.question is not None:
            self.drop(self.question[0])  # silent for too long
        if not self.sponsors:
            return self._end_now(RAN_OUT, now)
        sponsor = max(self.sponsors, key=lambda each: each[2])[0]
        self.state, self.question = "RENEWING", (sponsor, now + self.terms.sponsorship_timeout)
        return self.question

    def _end_now(self, why, now):
        self.end(why, now)
        self.reported = True
        return why


class Leases(RuleBasedStateMachine):
    """Drives manager and model alike."""

    @initialize()
    def begin(self):
        self.now = 100.0
        self.manager = LeaseManager(grace=GRACE)
        self.things = []
        self.leases = []
        self.lost = {}  # holder → when its grace is over
        self.gone = set()
        self.seen = {}  # object → its expiry and state after the last step

    def thing(self, pick):
        return self.things[pick % len(self.things)]

    def lease(self, thing):
        return self.leases[self.things.index(thing)]

    def expect(self, thing, *, leased=False):
        """What a call by name raises, if it does."""
        if thing.ended is not None:
            return pytest.raises(ObjectExpired, match=thing.name)
        if leased and thing.terms is None:
            return pytest.raises(InvalidArguments, match="has no lease")
        return None

    # --- time ----------------------------------------------------------------------------------------------

    @rule(seconds=SECONDS)
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def tick(self):
        for holder in [holder for holder, over in self.lost.items() if over <= self.now]:
            self.forget_holder(holder, LOST)
        expected = {thing.name: done for thing in self.things if (done := thing.tick(self.now)) is not None}
        actions = self.manager.tick(self.now)
        assert len({action.object_id for action in actions}) == len(actions)
        assert {action.object_id for action in actions} == set(expected)
        for action in actions:
            if isinstance(action, AskSponsor):
                assert (action.sponsor, action.deadline) == expected[action.object_id]
                assert action.info.state == "RENEWING"
                assert action.info.remaining <= 0
            else:
                self.check_end(action, expected[action.object_id])

    def check_end(self, action, why):
        assert isinstance(action, Ended)
        assert action.why.startswith(why)
        thing = next(thing for thing in self.things if thing.name == action.object_id)
        assert action.when == thing.ended[1] <= self.now
        assert thing.calls == 0
        if why == RAN_OUT:
            assert thing.expiry <= self.now, "an early death"
            asked = {0: "it had no sponsor", 1: "1 sponsor asked"}
            assert asked.get(thing.refused, f"{thing.refused} sponsors asked") in action.why
            assert len(action.refusals) == thing.refused

    @precondition(lambda self: self.manager.due() is not None)
    @rule()
    def the_host_sleeps_until_it_is_due(self):
        self.now = max(self.now, self.manager.due())
        self.tick()
        assert (self.manager.due() or math.inf) > self.now

    # --- objects -------------------------------------------------------------------------------------------

    @rule(terms=TERMS)
    def add(self, terms):
        name = f"bank/{len(self.things)}"
        self.things.append(Thing(name, terms, self.now))
        self.leases.append(self.manager.add(name, terms, self.now))

    @precondition(lambda self: self.things)
    @rule(pick=PICK)
    def enter(self, pick):
        thing = self.thing(pick)
        assert self.manager.enter(self.lease(thing), self.now) is (thing.ended is None)
        if thing.ended is None:
            thing.calls += 1
            thing.hand_out()
            thing.renew(self.now + thing.terms.renew_on_call if thing.terms and thing.terms.renew_on_call else 0)

    @precondition(lambda self: any(thing.calls for thing in self.things))
    @rule(pick=PICK)
    def leave(self, pick):
        called = [thing for thing in self.things if thing.calls]
        self.leave_one(called[pick % len(called)])

    def leave_one(self, thing):
        before = self.manager.due()
        told = self.manager.leave(self.lease(thing), self.now)
        after = self.manager.due()
        assert told or after == before, "due moved and nobody was told"
        thing.calls -= 1
        if thing.ended is None and thing.terms and thing.terms.renew_on_call:
            thing.expiry = max(thing.expiry, self.now + thing.terms.renew_on_call)

    @precondition(lambda self: self.things)
    @rule(pick=PICK, seconds=SECONDS)
    def renew(self, pick, seconds):
        thing = self.thing(pick)
        if (refused := self.expect(thing, leased=True)) is not None:
            with refused:
                self.manager.renew(thing.name, seconds, self.now)
            return
        thing.kept = True
        if seconds:
            thing.renew(self.now + seconds)
        assert self.manager.renew(thing.name, seconds, self.now) == thing.expiry - self.now

    @precondition(lambda self: self.things)
    @rule(pick=PICK)
    def hand_out_again(self, pick):
        thing = self.thing(pick)
        if (refused := self.expect(thing)) is not None:
            with refused:
                self.manager.reactivate(thing.name, self.now)
            return
        self.manager.reactivate(thing.name, self.now)
        if thing.terms is not None:
            thing.hand_out()
            thing.renew(self.now + thing.terms.initial)

    @precondition(lambda self: self.things)
    @rule(pick=PICK)
    def remove(self, pick):
        self.remove_one(self.thing(pick))

    def remove_one(self, thing):
        self.manager.remove(thing.name, REMOVED, self.now)
        if thing.ended is None:
            thing.end(REMOVED, self.now)

    # --- sponsors ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.things)
    @rule(pick=PICK, sponsor=SPONSORS, owner=PEOPLE, renewal=SECONDS)
    def register(self, pick, sponsor, owner, renewal):
        thing = self.thing(pick)
        refused = self.expect(thing, leased=True)
        if refused is None and not thing.terms.sponsorship_timeout:
            refused = pytest.raises(InvalidArguments, match="takes no sponsors")
        if refused is not None:
            with refused:
                self.manager.register(thing.name, sponsor, owner, self.now, renewal)
            return
        self.manager.register(thing.name, sponsor, owner, self.now, renewal)
        known = next((each for each in thing.sponsors if each[0] == sponsor), None)
        if known is None or known[1] != owner:
            thing.drop(sponsor)
            known = [sponsor, owner, known[2] if known else 0.0]
            thing.sponsors.append(known)
        if renewal:
            known[2] = renewal
            thing.renew(self.now + renewal)

    @precondition(lambda self: self.things)
    @rule(pick=PICK, sponsor=SPONSORS)
    def unregister(self, pick, sponsor):
        thing = self.thing(pick)
        self.manager.unregister(thing.name, sponsor, self.now)
        thing.drop(sponsor)

    @precondition(lambda self: self.things)
    @rule(pick=PICK, sponsor=SPONSORS, seconds=SECONDS)
    def somebody_answers(self, pick, sponsor, seconds):
        """Most of these nobody waits for: late ones, doubled ones, ones never asked for."""
        self.answer(self.thing(pick), sponsor, seconds)

    @precondition(lambda self: any(thing.question for thing in self.things))
    @rule(pick=PICK, seconds=SECONDS)
    def the_one_asked_answers(self, pick, seconds):
        waiting = [thing for thing in self.things if thing.question]
        thing = waiting[pick % len(waiting)]
        self.answer(thing, thing.question[0], seconds)

    def answer(self, thing, sponsor, seconds):
        self.manager.answered(thing.name, sponsor, seconds, self.now)
        if thing.question is not None and thing.question[0] == sponsor:
            if seconds:
                next(each for each in thing.sponsors if each[0] == sponsor)[2] = seconds
                thing.renew(self.now + seconds)
            else:
                thing.drop(sponsor)

    @precondition(lambda self: self.things)
    @rule(pick=PICK, sponsor=SPONSORS)
    def somebody_fails(self, pick, sponsor):
        thing = self.thing(pick)
        self.manager.failed(thing.name, sponsor, self.now, "it broke")
        if thing.question is not None and thing.question[0] == sponsor:
            thing.drop(sponsor)

    # --- holders -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.things)
    @rule(pick=PICK, holder=PEOPLE, count=st.integers(1, 3))
    def hold(self, pick, holder, count):
        thing = self.thing(pick)
        if (refused := self.expect(thing)) is not None:
            with refused:
                self.manager.hold(thing.name, holder, self.now, count)
            return
        self.manager.hold(thing.name, holder, self.now, count)
        if holder not in self.gone:
            thing.held[holder] += count
            thing.let_go = None
            thing.hand_out()
        elif not thing.held:
            thing.let_go = LATE

    @precondition(lambda self: self.things)
    @rule(pick=PICK, holder=PEOPLE, count=st.integers(-1, 4))
    def release(self, pick, holder, count):
        thing = self.thing(pick)
        self.manager.release(thing.name, holder, count, self.now)
        if count > 0 and holder in thing.held:
            thing.held[holder] -= count
            if thing.held[holder] <= 0:
                thing.let_go_by(holder, RELEASED)

    @rule(holder=PEOPLE)
    def connection_lost(self, holder):
        self.manager.holder_lost(holder, self.now)
        self.lose_sponsors(holder)
        if holder not in self.gone:
            self.lost.setdefault(holder, self.now + GRACE)

    @rule(holder=PEOPLE)
    def connection_back(self, holder):
        self.manager.holder_back(holder, self.now)
        self.lost.pop(holder, None)
        self.gone.discard(holder)

    @rule(holder=PEOPLE)
    def goodbye(self, holder):
        self.manager.holder_gone(holder, self.now)
        self.lose_sponsors(holder)
        self.forget_holder(holder, RELEASED)

    def lose_sponsors(self, owner):
        for thing in self.things:
            for sponsor in [each[0] for each in thing.sponsors if each[1] == owner]:
                thing.drop(sponsor)

    def forget_holder(self, holder, why):
        self.lost.pop(holder, None)
        self.gone.add(holder)
        for thing in self.things:
            if holder in thing.held:
                thing.let_go_by(holder, why)

    # --- what always holds ---------------------------------------------------------------------------------

    @invariant()
    def manager_and_model_agree(self):
        alive = [thing.name for thing in self.things if thing.ended is None]
        assert [lease.object_id for lease in self.manager.live()] == alive
        assert len(self.manager) == len(alive)
        for thing, lease in zip(self.things, self.leases, strict=True):
            assert (lease.state.name, lease.pins) == (thing.state, thing.calls)
            if thing.ended is None:
                assert lease.expiry == thing.expiry
                assert set(lease.holders) == set(thing.held)
                assert list(lease.sponsors) == [each[0] for each in thing.sponsors]
                assert (lease.asking and lease.asking.sponsor) == (thing.question and thing.question[0])

    @invariant()
    def renewal_never_shortens_and_states_follow_the_table(self):
        for lease in self.leases:
            expiry, state = self.seen.get(lease, (lease.expiry, lease.state))
            assert lease.expiry >= expiry
            assert lease.state is state or lease.state in NEXT[state]
            self.seen[lease] = lease.expiry, lease.state

    @invariant()
    def due_is_never_too_late(self):
        times = [when for thing in self.things if (when := thing.next_event()) is not None]
        times += self.lost.values()
        if times:
            due = self.manager.due()
            assert due is not None
            assert due <= max(min(times), self.now)

    @invariant()
    def it_is_known_what_ended_and_why(self):
        for thing in self.things:
            error = self.manager.why_gone(thing.name, self.now)
            if thing.ended is None:
                assert error is None
            else:
                why, when = thing.ended
                assert str(error).startswith(f"{thing.name} ended {self.now - when:.1f} s ago: {why}")
        assert self.manager.why_gone("never there", self.now) is None

    @invariant()
    def the_tables_hold_what_lives_and_no_more(self):
        alive = [thing for thing in self.things if thing.ended is None]
        stats = self.manager.stats()
        assert stats["live"] == len(alive)
        assert stats["ended"] == len(self.things) - len(alive)
        assert stats["sponsors"] == sum(len(thing.sponsors) for thing in alive)
        assert stats["holders"] == len({holder for thing in alive for holder in thing.held})
        assert stats["lost"] == len(self.lost)
        assert stats["entries"] - stats["stale"] <= len(alive)

    def teardown(self):
        """Everybody leaves; then everything ends by itself, but for what nobody ever held and has no end."""
        if not hasattr(self, "manager"):
            return
        for thing in self.things:
            while thing.calls:
                self.leave_one(thing)
        for holder in ("ann", "bob", "cy"):
            self.goodbye(holder)
        for _ in range(200):
            if self.manager.due() is None:
                break
            self.the_host_sleeps_until_it_is_due()
        else:
            raise AssertionError(f"it does not come to rest: {list(self.manager.live())}")
        for thing in [thing for thing in self.things if thing.ended is None]:
            assert thing.expiry == math.inf
            self.remove_one(thing)
        self.tick()
        assert all(thing.reported for thing in self.things)
        assert self.manager.due() is None
        stats = self.manager.stats()
        del stats["ended"], stats["moves"]
        assert not any(stats.values()), stats
        with pytest.raises(ObjectNotFound):
            self.manager.renew("never there", 1.0, self.now)


TestLeases = Leases.TestCase
TestLeases.settings = settings(stateful_step_count=60)
