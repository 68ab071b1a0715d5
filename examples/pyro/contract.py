"""What the Pyro5 programs share, said once more for rpcx: the old class, decorated and annotated."""

from collections.abc import Iterator

import rpcx


@rpcx.singleton("bank")
class Bank:
    """The old server's, method for method; a contract for clients, and soon the server itself."""

    def __init__(self) -> None:
        self._balances: dict[str, float] = {}

    def deposit(self, owner: str, amount: float) -> float:
        """The balance then."""
        if amount <= 0:
            raise ValueError("amount must be positive")
        self._balances[owner] = self._balances.get(owner, 0.0) + amount
        return self._balances[owner]

    def owners(self) -> Iterator[str]:
        """A stream, to Pyro5 an item stream."""
        yield from sorted(self._balances)
