"""The brake: calls that have not begun wait while their peer takes no answers."""

import asyncio
from types import SimpleNamespace

import pytest

from rpcx.remoting.brake import Brake


class Call:
    """Does what a call does: asks before it begins, if it is marked."""

    halted = False

    def __init__(self, name: str, ran: list[str], *, is_async: bool = False, blocking: bool = False) -> None:
        self.name, self.ran = name, ran
        self.is_async, self.blocking = is_async, blocking
        self.late = 0.0
        self.credits = 0

    def run(self) -> None:
        if not (self.halted and brake_of[self.name].keeps(self)):
            self.ran.append(self.name)

    async def run_async(self) -> None:
        self.run()

    def credit(self) -> None:
        self.credits += 1

    def overran(self, now: float) -> None:
        self.late = now


brake_of: dict[str, Brake] = {}


@pytest.fixture
def world():
    spawned: list = []
    calls: list[Call] = []
    brake = Brake(spawned.append, lambda: list(calls))
    ran: list[str] = []

    def call(name: str, **kind) -> Call:
        brake_of[name] = brake
        calls.append(Call(name, ran, **kind))
        return calls[-1]

    yield SimpleNamespace(brake=brake, spawned=spawned, ran=ran, call=call)
    brake_of.clear()


def test_without_it_nobody_is_asked_and_marked_ones_begin_at_once(world):
    call = world.call("a")
    call.run()
    world.brake.mark()
    call.run()
    assert world.ran == ["a", "a"]


def test_what_was_kept_begins_one_after_the_other_when_it_is_let_go(world):
    calls = [world.call(name) for name in "abc"]
    world.brake.turn(on=True)
    for call in calls:
        call.run()
    assert world.ran == []
    world.brake.turn(on=False)
    while world.spawned:
        world.spawned.pop(0).run()
    assert world.ran == ["a", "b", "c"]


def test_each_waits_for_the_one_before_since_that_may_fill_it_up_again(world):
    calls = [world.call(name) for name in "abc"]
    world.brake.turn(on=True)
    for call in calls:
        call.run()
    world.brake.turn(on=False)
    assert len(world.spawned) == 1
    world.brake.turn(on=True)
    world.spawned.pop().run()
    assert world.ran == []
    world.brake.turn(on=False)
    while world.spawned:
        world.spawned.pop(0).run()
    assert sorted(world.ran) == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["is_async", "blocking"])
def test_those_that_take_long_do_not_wait_for_one_another(world, kind):
    calls = [world.call(name, **{kind: True}) for name in "ab"]
    world.brake.turn(on=True)
    for call in calls:
        call.run()
    world.brake.turn(on=False)
    (first,) = world.spawned
    assert (first.is_async, first.blocking) == (kind == "is_async", kind == "blocking")
    if first.is_async:
        asyncio.run(first.run_async())
    else:
        first.run()
    assert len(world.spawned) == 2
    assert world.ran == ["a"]


def test_streams_are_told_that_they_may_go_on(world):
    call = world.call("a")
    world.brake.turn(on=True)
    assert call.credits == 0
    world.brake.turn(on=False)
    assert call.credits == 1


def test_who_overran_is_told(world):
    call = world.call("a")
    world.brake.turn(on=True)
    call.run()
    world.brake.turn(on=False)
    world.spawned.pop().overran(7.0)
    assert call.late == 7.0


def test_at_the_end_of_the_connection_it_keeps_nothing(world):
    call = world.call("a")
    world.brake.turn(on=True)
    call.run()
    assert world.brake.clear() == [call]
    assert world.brake.clear() == []
    assert not world.brake.keeps(call)
