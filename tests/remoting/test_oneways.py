"""One-way calls: in order, one at a time, and so many may wait."""

import asyncio

import pytest

from rpcx.errors import LimitExceeded
from rpcx.remoting import oneways
from rpcx.remoting.cargo import Port
from rpcx.remoting.oneways import PORTION, Oneways, Rest


class Call:
    is_async = False
    blocking = False

    def __init__(self, number: int) -> None:
        self.number = number


@pytest.fixture
def ran(monkeypatch):
    done: list[int] = []
    monkeypatch.setattr(oneways.IncomingCall, "run", lambda call: done.append(call.number))
    return done


def waiting(most: int = 1000, most_bytes: int = 1000) -> tuple[Oneways, list]:
    spawned: list = []
    return Oneways(most, most_bytes, spawned.append), spawned


def test_the_first_runs_at_once_and_the_others_behind_it_in_order(ran):
    calls, spawned = waiting()
    assert calls.take(Call(0), 1)
    assert [calls.take(Call(number), 1) for number in range(1, 6)] == [False] * 5
    assert (len(calls), calls.high) == (5, 5)
    calls.done()
    spawned.pop().run()
    assert ran == [1, 2, 3, 4, 5]
    assert spawned == []
    assert calls.take(Call(6), 1), "none runs any more"


def test_what_waits_is_weighed_until_its_turn_comes(ran):
    port = Port(per_principal=10, per_host=10)
    spawned: list = []
    calls = Oneways(1000, 1000, spawned.append, port.cargo("ann", "principal ann"))
    calls.take(Call(0), 8)
    calls.take(Call(1), 8)
    with pytest.raises(LimitExceeded, match="8 bytes of large messages of principal ann"):
        calls.take(Call(2), 8)
    assert port.peaks()["limits.large_per_host"] == (8, 8)
    calls.done()
    spawned.pop().run()
    assert ran == [1]
    assert port.peaks()["limits.large_per_host"] == (0, 8)


def test_others_get_their_turn_between_portions(ran):
    calls, spawned = waiting()
    for number in range(PORTION + 2):
        calls.take(Call(number), 1)
    calls.done()
    spawned.pop().run()
    assert ran == list(range(1, PORTION + 1))
    asyncio.run(spawned.pop().run_async())
    assert ran[-1] == PORTION + 1


@pytest.mark.parametrize("kind", ["is_async", "blocking"])
def test_one_that_is_not_for_this_thread_goes_its_own_way_and_the_others_behind_it(ran, kind):
    calls, spawned = waiting()
    for number in range(4):
        call = Call(number)
        setattr(call, kind, number == 2)
        calls.take(call, 1)
    calls.done()
    spawned.pop().run()
    assert ran == [1]
    assert spawned.pop().number == 2
    assert spawned == []
    calls.done()
    spawned.pop().run()
    assert ran == [1, 3]


@pytest.mark.parametrize(("most", "most_bytes"), [(3, 1000), (1000, 30)])
def test_too_many_or_too_large_are_lost_and_it_is_told_how_many_wait(most, most_bytes):
    calls, _ = waiting(most, most_bytes)
    for number in range(4):
        calls.take(Call(number), 10)
    with pytest.raises(LimitExceeded, match="3 one-way calls of 30 bytes wait already") as told:
        calls.take(Call(4), 10)
    assert told.value.limit == "limits.oneways"
    calls.next()
    calls.take(Call(5), 10)


def test_no_method_is_to_blame_for_many_that_were_short():
    assert Rest(waiting()[0]).overran(1.0) is None
