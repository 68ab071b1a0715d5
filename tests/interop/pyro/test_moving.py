"""A live system moves from Pyro5 to rpcx, step by step, as docs/pyro.md says; no step stops who has not moved yet."""

import rpcx
from tests.interop.pyro import test_client as contracts
from tests.interop.pyro.shop import Account, Bank


def test_each_step_leaves_the_others_as_they_are(daemon, peer):
    old = f"PYRO:bank@{daemon.location}"
    greeting = f"with Proxy({old!r}) as bank: result = bank.greet('ann')"

    # An rpcx client calls the old server, by a contract, beside an old client.
    assert peer.run(greeting) == "'hello ann'"
    bank = rpcx.get(old, contracts.Bank)
    assert bank.greet("ann") == "hello ann"
    bank.close()

    # The server moves: old clients find it where it was, new ones on a pipe besides.
    daemon.close()
    with rpcx.Host() as host:
        host.register(Bank, Account)
        host.listen(f"pyro://{daemon.location}")
        host.listen("pipe://moved-bank")
        assert peer.run(greeting) == "'hello ann'"
        peer.run(f"account = Proxy({old!r}).open('bob', 5)")
        assert peer.run("result = account.deposit(1)") == "6"

        # The clients move: the URL changes, nothing else.
        for url in (old, "pipe://moved-bank/bank"):
            moved = rpcx.get(url, Bank)
            assert moved.greet("ann", loudly=True) == "HELLO ANN"
            assert moved.open("eve", 7).deposit(1) == 8
            moved.close()
        peer.run("account._pyroRelease()")
