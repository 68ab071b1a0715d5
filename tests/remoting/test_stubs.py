"""Stubs at run time: whose they are is all they know; the objects behind them are real."""

import asyncio
from typing import Protocol

import pytest

import rpcx
from rpcx.aio import Stub, stub_of
from tests.stubs import people
from tests.stubs.bank import Account, Bank, Counter, Savings
from tests.stubs.bank_async import AsyncAccount, AsyncBank, AsyncCounter, AsyncSavings


def run(main, *classes: type) -> None:
    """``main(server)`` in a loop, with a host that serves in threads."""

    async def whole(url: str) -> None:
        async with rpcx.aio.connect(url) as server:
            await asyncio.wait_for(main(server), 20)

    host = rpcx.Host()
    host.register(*(classes or (Bank, Account, Counter)))
    url = host.listen("inproc://stubs")
    with host:
        asyncio.run(whole(url))


def test_a_stub_is_asked_for_like_the_class_it_stands_for():
    async def main(server) -> None:
        bank = server.get(AsyncBank)
        account = await bank.open("ann")
        assert await account.deposit(5, by="bob") == 5
        assert [item async for item in bank.ticks(3)] == [0, 1, 2]
        assert [await (await each.twin).total async for each in bank.accounts()] == [0]
        assert await server.get(AsyncBank, "bank").total_of(account, [account]) == 10

    run(main)


def test_objects_are_made_by_their_stubs():
    async def main(server) -> None:
        account = await server.create(AsyncAccount, "ann", balance=3)
        account.total = 7.9
        assert await account.total == 7
        del account.total
        assert await account.total == 0
        assert await (await server.create(AsyncCounter, "c", start=4)).up() == 5

    run(main)


def test_functions_are_sent_awaited_or_not_and_received_to_be_awaited():
    async def main(server) -> None:
        bank, heard = server.get(AsyncBank), []

        async def make(owner: str) -> AsyncAccount:
            return await server.create(AsyncAccount, owner, 8)

        async def ask() -> int:
            return 1

        made = await bank.apply(make, ask, heard.append)
        assert await made.total == 9
        assert heard == [9]

        class Told(people.Listener):
            async def told(self, what: str) -> None:
                heard.append(what)

        same = await bank.listen(Told(), {})
        assert await same(made) == made
        assert heard == [9, "once"]

    run(main)


def test_async_with_gives_the_reference_back():
    ended = []

    @rpcx.client_activated
    class Thing:
        def close(self) -> None:
            ended.append(self)

    @stub_of(Thing)
    class AsyncThing(Stub, Protocol): ...

    async def main(server) -> None:
        async with await server.create(AsyncThing):
            assert not ended
        while not ended:
            await asyncio.sleep(0.001)

    run(main, Thing)


def test_a_stub_is_for_async_code_only():
    host = rpcx.Host()
    host.register(Bank)
    url = host.listen("inproc://stubs")
    with host, rpcx.connect(url) as server:
        with pytest.raises(rpcx.InvalidArguments, match=r"get\(AsyncBank\): that is for rpcx.aio; here it is Bank"):
            server.get(AsyncBank)
        with pytest.raises(rpcx.InvalidArguments, match=r"create\(AsyncAccount\)"):
            server.create(AsyncAccount, "ann")


def test_a_subclass_of_a_stub_is_none_unless_it_says_so():
    class Fake(AsyncAccount):
        """A double, for tests of what uses accounts."""

    async def main(server) -> None:
        with pytest.raises(rpcx.InvalidArguments, match="'Fake'"):
            server.get(Fake, "bank")

    run(main)


def test_a_stub_belongs_to_a_remote_class():
    with pytest.raises(TypeError, match="no remote class"):
        stub_of(dict)


def test_a_double_of_a_stub_is_a_context_manager_as_a_proxy_is():
    class Fake(AsyncSavings):
        async def rate(self, years: int | None = None) -> float:
            return 2.0

    async def main() -> float:
        async with Fake("ann") as savings:
            return await savings.rate()

    assert asyncio.run(main()) == 2.0


def test_an_async_service_may_annotate_what_it_is_given_with_a_stub():
    @rpcx.singleton("desk")
    class Desk:
        async def look(self, account: AsyncAccount) -> int:
            return await account.total

    async def main(server) -> None:
        desk = server.get(Desk)
        with pytest.raises(rpcx.InvalidArguments, match="a remote Account is needed"):
            await desk.look(5)
        assert await desk.look(Savings("ann", 12)) == 12

    async def whole() -> None:
        host = rpcx.Host()
        host.register(Desk)
        url = host.listen("inproc://stubs")
        async with host, rpcx.aio.connect(url) as server:
            await main(server)

    asyncio.run(whole())
