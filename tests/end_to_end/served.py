"""The service that end-to-end tests run in processes of its own: ``python -m tests.end_to_end.served URL…``."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import rpcx

MEETING = threading.Barrier(20)


@rpcx.singleton("bank")
class Bank:
    def __init__(self) -> None:
        self.total_ = 0
        self.lines: list[str] = []

    def add(self, a: int, b: int = 1) -> int:
        return a + b

    def echo(self, data: bytes) -> bytes:
        return data

    def pid(self) -> int:
        return os.getpid()

    def hang(self) -> None:
        time.sleep(60)

    async def hang_async(self) -> None:
        await asyncio.sleep(60)

    def meet(self) -> bool:
        """Returns only when 20 calls of it run at the same time."""
        MEETING.wait(timeout=10)
        return True

    def call_back(self, function: Callable[[int], int], n: int) -> list[int]:
        return [function(i) for i in range(n)]

    def open(self, owner: str) -> "Account":
        return Account(owner)

    def ticks(self, n: int) -> Iterator[int]:
        yield from range(n)

    async def ticks_async(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    @rpcx.oneway
    def audit(self, line: str) -> None:
        self.lines.append(line)

    def audited(self) -> list[str]:
        return self.lines

    def caller_pid(self) -> int | None:
        return rpcx.context.peer.pid


@rpcx.client_activated(lease=rpcx.Lease(initial=300, renew_on_call=120))
class Account:
    def __init__(self, owner: str, mark: Path | None = None) -> None:
        self.owner = owner
        self.balance = 0
        self.mark = mark  # a file that is made when this object ends

    def deposit(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    def close(self) -> None:
        if self.mark is not None:
            self.mark.write_text(self.owner)


def main() -> None:
    host = rpcx.Host(grace=0.2)
    host.register(Bank, Account)
    insecure = "--insecure" in sys.argv
    for url in sys.argv[1:]:
        if url != "--insecure":
            print(host.listen(url, insecure=insecure), flush=True)
    with host:
        sys.stdin.read()  # until the test closes the pipe, or dies


if __name__ == "__main__":
    main()
