"""What mypy and pyright must infer; checked by test_typing.py, never run."""

from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import Protocol, assert_type

import rpcx
from rpcx import aio


@rpcx.client_activated(lease=rpcx.Lease(initial=60))
class Account:
    def __init__(self, owner: str, balance: int = 0) -> None: ...

    def deposit(self, amount: int) -> int:
        return amount


@rpcx.singleton("bank")
class Bank(ABC):
    @abstractmethod
    def open(self, owner: str) -> Account: ...

    @rpcx.oneway
    def audit(self, line: str) -> None: ...

    async def slow(self) -> int:
        return 1

    @property
    def total(self) -> int:
        return 0


@rpcx.remote
class Greeter(Protocol):
    def greet(self, name: str) -> str: ...


def sync(server: rpcx.Server) -> None:
    bank = server.get(Bank, "bank")
    assert_type(bank, Bank)
    assert_type(bank.open("ann"), Account)
    assert_type(bank.total, int)
    assert_type(server.get(Greeter, "g").greet("x"), str)
    assert_type(server.create(Account, "ann", 100), Account)
    assert_type(rpcx.future(bank.open, "ann"), Future[Account])
    assert_type(rpcx.get("pipe://x/bank", Bank), Bank)


async def later(server: aio.AsyncServer) -> None:
    bank = server.get(Bank)
    assert_type(await aio.call(bank.open, "bob"), Account)
    assert_type(await aio.call(bank.slow), int)
    assert_type(await server.create(Account, "ann"), Account)
