"""What mypy and pyright must infer of generated stubs; checked by test_typing.py, never run."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import assert_type

from rpcx import aio
from schemas.process_control import ProcessEvent, ProcessId, SpawnSpec, StopReport
from schemas.process_control_async import AsyncAgent, AsyncProcess
from tests.stubs.bank import Account, Color, Status
from tests.stubs.bank_async import (
    AsyncAccount,
    AsyncBank,
    AsyncBox,
    AsyncCounter,
    AsyncIntBox,
    AsyncListener,
    AsyncSavings,
    AsyncSource,
)


async def objects(server: aio.AsyncServer) -> None:
    account = await server.create(AsyncAccount, "ann", 3, color=Color.BLUE)
    assert_type(account, AsyncAccount)
    assert_type(await account.deposit(5, "a", by="bob", rate=1.5), int)
    total: Awaitable[int] = account.total
    assert_type(await total, int)
    account.total = 7.5
    del account.total
    assert_type(await account.twin, AsyncAccount)
    assert_type(await account.slow(), dict[str, AsyncAccount | None])
    assert_type(await account.audit("x"), None)
    assert_type(await account.some(1), int)
    assert_type(await account.some(account), AsyncAccount)
    assert_type(await account.inherited(account), Status)
    async with account as same:
        assert_type(same, AsyncAccount)
    assert_type(await (await server.create(AsyncCounter, "c", start=None)).up(), int)


async def calls(server: aio.AsyncServer, account: AsyncAccount, savings: AsyncSavings, local: Account) -> None:
    bank = server.get(AsyncBank)
    assert_type(bank, AsyncBank)
    assert_type(await bank.all(), list[AsyncAccount])
    assert_type(bank.ticks(3), AsyncIterator[int])
    assert_type([item async for item in bank.more()], list[int])
    assert_type([item async for item in bank.accounts()], list[AsyncAccount])
    assert_type([item async for item in bank.later()], list[AsyncAccount])
    own: list[Account] = [local]
    theirs: list[AsyncAccount] = [account, savings]
    assert_type(await bank.total_of(local, own, [local, savings]), int)
    assert_type(await bank.total_of(savings, theirs, by_name={"it": account}), int)
    assert_type(await savings.me(), AsyncSavings)
    assert_type(await savings.deposit(), int)
    assert_type(await bank.same("x"), str)
    assert_type(await aio.call(bank.open, "ann"), AsyncAccount)

    async def make(owner: str) -> AsyncAccount:
        return await server.create(AsyncAccount, owner)

    assert_type(await bank.apply(make, lambda: 5, print), AsyncAccount)
    assert_type(await bank.apply(lambda owner: local, lambda: 5, print), AsyncAccount)


async def functions(bank: AsyncBank, listener: AsyncListener) -> None:
    changed: Callable[[AsyncAccount], Awaitable[AsyncAccount]] = await bank.listen(listener, {"a": listener})
    assert_type(await changed(await bank.open("ann")), AsyncAccount)


async def generics(server: aio.AsyncServer, number: AsyncIntBox, source: AsyncSource[bool]) -> None:
    box: AsyncBox[str] = server.get(AsyncBox, "box")
    assert_type(await box.get(), str)
    assert_type(await box.boxes(), list[AsyncBox[str]])
    assert_type(await number.get(), int)
    sources: list[AsyncSource[int]] = [source]  # it only gives, so one of bool is one of int
    assert_type(await sources[0].get(), Sequence[int])


async def processes(server: aio.AsyncServer) -> None:
    agent = server.get(AsyncAgent)
    async for event in agent.watch(interval=0.1):
        assert_type(event, ProcessEvent)
    async with await agent.spawn(SpawnSpec(argv=["true"])) as process:
        assert_type(process, AsyncProcess)
        assert_type(await process.id(), ProcessId)
        assert_type(await process.stop(grace=1.0), StopReport)
        assert_type([chunk async for chunk in process.stdout()], list[bytes])
    assert_type(await server.create(AsyncProcess, SpawnSpec(argv=["true"])), AsyncProcess)


async def refused(server: aio.AsyncServer, account: AsyncAccount) -> None:
    await server.create(AsyncAccount, 5)  # type: ignore[arg-type]
    await account.deposit("5")  # type: ignore[arg-type]
    account.total = "5"  # type: ignore[assignment]
    await account.nothing()  # type: ignore[attr-defined]
