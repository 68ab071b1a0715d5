"""What authorization costs a call: the owner's gate is the object table, others' looks up a set."""

import time
from collections.abc import Callable
from statistics import median

import rpcx
from rpcx.abc import PeerFacts

CALLS = 50_000
ROUNDS = 9


@rpcx.singleton("bench", allow={"ops"})
class Bench:
    """Something to be looked up."""

    def add(self, a: int, b: int) -> int:
        return a + b


def microseconds(find: Callable[[str, str], object]) -> float:
    """One lookup, the median of several rounds."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(CALLS):
            find("bench", "add")
        taken.append((time.perf_counter() - begun) / CALLS * 1e6)
    return median(taken)


def access() -> dict[str, float]:
    """Microseconds of each call, by who makes it."""
    figures = {}
    peer = PeerFacts("tcp", "127.0.0.1:1", principal="ann", roles=frozenset({"ops", "staff"}))
    owner = PeerFacts("pipe", "pipe://x", owner=True)
    for name, facts, options in (
        ("us a call for the owner", owner, {}),
        ("us a call for others", peer, {}),
        ("us a call for others, with a hook", peer, {"authorize": lambda *_: True}),
    ):
        with rpcx.Host(**options) as host:
            host.register(Bench)
            gate = host._realm.gate(facts, "session")
            figures[name] = microseconds(gate.find)
    return figures
