"""Waiting for an answer in a loop, without a connection: an answer is what somebody resolves."""

import asyncio
import threading

import pytest

from rpcx.abc import PeerFacts
from rpcx.remoting.arrivals import arrival, tell, timed_out
from rpcx.remoting.pending import Pending
from rpcx.remoting.proxy import dynamic_method
from rpcx.remoting.references import Reference


def in_loop(loop, function, argument):
    loop.call_soon_threadsafe(function, argument)


async def waited(pending, timeout=10.0):
    given_up = []
    await arrival(pending, timeout, in_loop, given_up.append)
    return given_up


def test_an_answer_that_is_there_is_not_waited_for():
    pending = Pending()
    pending.resolve(1, b"", ())
    assert asyncio.run(waited(pending)) == []


def test_an_answer_wakes_from_whatever_thread():
    async def main():
        pending = Pending()
        thread = threading.Thread(target=pending.resolve, args=(1, b"x", ()))
        asyncio.get_running_loop().call_soon(thread.start)
        await waited(pending)
        thread.join()
        return pending

    assert asyncio.run(main()).body == b"x"


def test_without_one_it_returns_when_time_is_over():
    pending = Pending()
    assert asyncio.run(waited(pending, 0.01)) == []
    assert not pending.arrived
    error = timed_out(Reference(None, "bank", ()), dynamic_method("add"), 0.01, PeerFacts("tcp", "there"))
    assert str(error).startswith("bank.add did not answer within 0.01 s (tcp there); it may have run")
    assert error.executed == "maybe"


def test_who_is_cancelled_gives_the_call_up():
    async def main():
        pending, given_up = Pending(), []
        task = asyncio.create_task(arrival(pending, None, in_loop, given_up.append))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert given_up == [pending]
        pending.fail(ValueError())  # the answer of a call that was given up wakes nobody
        await asyncio.sleep(0)

    asyncio.run(main())


def test_a_result_or_what_was_raised_is_told():
    told = []
    tell(lambda *outcome: told.append(outcome), lambda: 5)
    tell(lambda *outcome: told.append(outcome), lambda: int("x"))
    assert told[0] == (5, None)
    assert isinstance(told[1][1], ValueError)
