"""Calls at the same time, at a stock daemon, which serves one at a time on each connection."""

import asyncio
import threading

import pytest

import rpcx
import rpcx.aio
from rpcx.interop.pyro import lines
from tests.interop.pyro.test_client import Bank
from tests.others import ANN, SQUAT, Other, needs_root


@pytest.fixture
def server(daemon):
    with rpcx.connect(f"pyro://{daemon.location}") as server:
        yield server


def connections(server) -> int:
    return len(server._realm.endpoints)


def test_calls_one_after_the_other_share_a_connection(server):
    bank = server.get(Bank, "bank")
    for number in range(20):
        bank.greet(str(number))
        bank.note("x")
    assert connections(server) == 1


def test_a_slow_call_holds_up_nobody_elses(server):
    bank = server.get(Bank, "bank")
    slow = rpcx.future(bank.begin)
    assert bank.greet("ann") == "hello ann"
    bank.end()
    assert slow.result(10) is None
    assert connections(server) == 2
    threads = [threading.Thread(target=bank.greet, args=("bob",)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connections(server) <= 1 + lines.MOST


def test_there_are_so_many_connections_and_no_more(server, monkeypatch):
    monkeypatch.setattr(lines, "MOST", 1)
    bank = server.get(Bank, "bank")
    slow = rpcx.future(bank.begin)
    threads = [threading.Thread(target=bank.begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    while connections(server) < 2:
        pass
    with rpcx.connect(f"pyro://{server.address.location}") as other:
        other.get(Bank, "bank").end()
    for thread in threads:
        thread.join()
    assert slow.result(10) is None
    assert connections(server) == 2


def test_with_its_first_connection_a_client_closes_the_others(server, daemon):
    bank = server.get(Bank, "bank")
    slow = rpcx.future(bank.begin)
    bank.greet("ann")
    assert connections(server) == 2
    server._endpoint.lost(rpcx.ConnectionLost("it was cut"))
    assert isinstance(slow.exception(10), rpcx.MaybeExecuted)
    assert bank.greet("ann") == "hello ann"  # over a new one
    assert connections(server) == 1


def test_in_a_loop_neither(daemon):
    async def use() -> None:
        async with rpcx.aio.connect(f"pyro://{daemon.location}") as server:
            bank = server.get(Bank, "bank")
            slow = asyncio.create_task(bank.begin())
            await asyncio.sleep(0)
            assert await bank.greet("ann") == "hello ann"
            await bank.end()
            await slow
            assert connections(server) == 2

    asyncio.run(use())


@needs_root
def test_a_further_connection_goes_to_this_users_daemon_only_too(daemon):
    with rpcx.connect(f"pyro://{daemon.location}") as server:
        bank = server.get(Bank, "bank")
        slow = rpcx.future(bank.begin)
        first = server._endpoint
        with Other(SQUAT, 0) as other:
            elsewhere = f"pyro://127.0.0.1:{other.says()}"
            first.lines._reach = lambda seconds: dial(elsewhere, seconds)  # as if the port had changed hands
            with pytest.raises(rpcx.AccessDenied, match=f"user {ANN} listens there"):
                bank.greet("ann")
            assert other.says() == "heard b''"
        slow.cancel()


def dial(url: str, seconds: float):
    from rpcx.channels.urls import parse
    from rpcx.plugins import channel

    return channel("pyro")().connect(parse(url), seconds)
