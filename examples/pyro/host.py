"""An rpcx host that Pyro5 clients call too; run it, then client.py beside it."""

from collections.abc import Iterator

import rpcx


@rpcx.remote
class Account:
    """Handed out by reference, to either kind of client."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._balance = 0

    @property
    def balance(self) -> int:
        """What there is."""
        return self._balance

    def deposit(self, amount: int) -> int:
        """Put in; the balance then."""
        if amount <= 0:
            raise ValueError("amount must be positive")
        self._balance += amount
        return self._balance


@rpcx.singleton("bank")
class Bank:
    """What Pyro5 calls PYRO:bank@host:port."""

    def open(self, owner: str) -> Account:
        """A new account."""
        return Account(owner)

    def count(self, upto: int) -> Iterator[int]:
        """A stream, to Pyro5 an item stream."""
        yield from range(upto)


def main() -> None:
    """Serve until interrupted."""
    with rpcx.Host() as host:
        host.register(Bank, Account)
        url = host.listen("pyro://127.0.0.1:0")
        print(f"PYRO:bank@{url.removeprefix('pyro://')}", flush=True)
        host.wait()


if __name__ == "__main__":
    main()
