"""Calls that run for longer than any may."""

from types import SimpleNamespace

import pytest

from rpcx.abc import PeerFacts
from rpcx.remoting.dispatch import IncomingStream
from rpcx.remoting.overdue import LOOKS, Overdue
from rpcx.security.hits import Hits


class Call:
    uri, method_name, call_id = "bank", "add", 7
    peer = PeerFacts("tcp", "192.0.2.1:1")
    cancelled = False

    def cancel(self, call_id: int) -> None:
        assert call_id == 7
        self.cancelled = True


@pytest.fixture
def world():
    calls: list = []
    hits = Hits()
    other = SimpleNamespace(name="an end that speaks another protocol")
    overdue = Overdue(lambda: [other, SimpleNamespace(calls=lambda: calls)], 120.0, hits)
    return SimpleNamespace(calls=calls, hits=hits, overdue=overdue)


def test_a_call_that_runs_too_long_is_cancelled_once_and_counted(world):
    call = Call()
    world.calls += [call, call]  # as a burst is, once for each of its calls
    now = 1000.0
    for _ in range(LOOKS):
        world.overdue.tick(now)
        assert not call.cancelled
        assert world.overdue.due() == now + 120.0 / LOOKS
        now = world.overdue.due()
    world.overdue.tick(now)
    assert call.cancelled
    world.overdue.tick(now + 1)
    assert world.hits["limits.longest_call"] == 1


def test_another_call_begins_from_nothing(world):
    world.calls.append(Call())
    world.overdue.tick(1000.0)
    world.calls[0] = late = Call()
    world.overdue.tick(1100.0)
    world.overdue.tick(1130.0)
    assert not late.cancelled
    assert len(world.overdue._seen) == 1, "what has ended is forgotten"


def test_a_stream_may_go_on_for_ever(world):
    stream = IncomingStream.__new__(IncomingStream)
    world.calls.append(stream)
    for now in (1000.0, 2000.0):
        world.overdue.tick(now)
    assert not stream.cancelled
