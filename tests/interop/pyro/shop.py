"""What the tests offer to Pyro5 clients."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import rpcx


@dataclass
class Receipt:
    owner: str
    amount: int


@rpcx.remote
class Account:
    def __init__(self, owner: str, balance: int) -> None:
        self._owner = owner
        self._balance = balance

    @property
    def owner(self) -> str:
        return self._owner

    @property
    def balance(self) -> int:
        return self._balance

    @balance.setter
    def balance(self, value: int) -> None:
        self._balance = value

    def deposit(self, amount: int) -> int:
        if amount < 0:
            raise ValueError("amount must be positive")
        self._balance += amount
        return self._balance

    def give(self, receipt: Receipt) -> Receipt:
        return Receipt(receipt.owner.upper(), receipt.amount + 1)


@rpcx.remote
class Callback:
    def told(self, text: str) -> str:
        raise NotImplementedError


class Odd(Exception):
    """No Pyro client knows it."""


@rpcx.singleton("bank")
class Bank:
    def __init__(self) -> None:
        self.noted: list[str] = []
        self.noticed = threading.Event()
        self.closed = threading.Event()

    def greet(self, name: str, *, loudly: bool = False) -> str:
        text = f"hello {name}"
        return text.upper() if loudly else text

    def open(self, owner: str, balance: int = 0) -> Account:
        return Account(owner, balance)

    def balance_of(self, account: Account) -> int:
        return account.balance

    def echo(self, value: object) -> object:
        return value

    async def later(self, value: int) -> int:
        return value * 2

    @rpcx.oneway
    def note(self, text: str) -> None:
        self.noted.append(text)
        self.noticed.set()

    def notes(self) -> list[str]:
        assert self.noticed.wait(10)
        return self.noted

    @rpcx.method(blocking=True)
    def call_back(self, where: str) -> str:
        with rpcx.get(where, Callback) as callback:
            return callback.told("done")

    @rpcx.method(blocking=True)
    def slow(self, seconds: float) -> None:
        time.sleep(seconds)

    def imaginary(self) -> complex:
        return 1j

    def fail(self) -> None:
        raise Odd("really")

    def count(self, upto: int) -> Iterator[int]:
        try:
            yield from range(upto)
        finally:
            self.closed.set()

    def was_closed(self) -> bool:
        return self.closed.wait(10)

    async def acount(self, upto: int) -> AsyncIterator[int]:
        for each in range(upto):
            yield each
