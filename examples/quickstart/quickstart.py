"""An account that lives in one process and is used from another."""

import sys

import rpcx


@rpcx.client_activated(lease=rpcx.Lease(initial=60))
class Account:
    """Clients make one, own it, and it ends with them: its lease says when at the latest."""

    def __init__(self, owner: str, balance: int = 0) -> None:
        self.owner, self.balance = owner, balance

    def deposit(self, amount: int) -> int:
        """Put money in; the new balance."""
        self.balance += amount
        return self.balance


if "serve" in sys.argv:
    host = rpcx.Host()
    host.register(Account)
    print("serving at", host.listen("pipe://quickstart"), flush=True)  # a pipe of your own user's
    with host:
        host.wait()
else:
    with rpcx.connect("pipe://quickstart") as server:
        account = server.create(Account, "ann", 100)  # the object is there, its proxy here
        print("balance", account.deposit(5))
