"""What a lease costs, with a thousand, a hundred thousand and a million of them alive.

    python -m benchmarks.leases [--most N] [--rounds N]

Cost must follow what ends, not what lives: the last column is the one to look at. The work is the same at
every size (a test counts it), but memory is not: a table of a million does not fit the processor's caches, so
what finds its object by id gets slower like the look-up alone, the first row. A call looks nothing up.

Each figure is the best of some rounds in one process. The collector of cycles is off meanwhile, because its
full passes cost what lives, whoever asks for memory.
"""

import argparse
import gc
import resource
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from rpcx.lifetime.lease import Lease
from rpcx.lifetime.manager import LeaseManager, Quotas

SIZES = (1_000, 100_000, 1_000_000)  # live objects
BATCH = 1_000  # objects made, called, renewed and ended in each round
CALLS = 100  # calls on one object in a row, as from a busy client
SHORT = Lease(initial=10.0)
LONG = Lease(initial=1e6)
HELD_BY_ONE = 1_000  # of the objects that only live


class Population:
    """A manager with ``size`` objects that only live, and the steps that are timed."""

    def __init__(self, size: int) -> None:
        self.manager = LeaseManager(quotas=Quotas(per_host=2 * size + 2 * BATCH))
        self.now = 0.0  # virtual seconds
        self.made = 0  # objects of all rounds, so that ids are new
        for number in range(size):
            name = f"idle/{number}"
            self.manager.add(name, LONG, number * 1e-4)
            self.manager.hold(name, number // HELD_BY_ONE, 0.0)

    def names(self) -> list[str]:
        """Ids for the objects of one round."""
        self.made += BATCH
        return [f"busy/{number}" for number in range(self.made - BATCH, self.made)]

    def look_up(self, names: list[str]) -> None:
        """Find each by its id, and nothing else: the control."""
        find = self.manager.get
        for name in names:
            find(name)

    def create(self, names: list[str]) -> None:
        """Each is handed out to one client."""
        for name in names:
            self.manager.add(name, SHORT, self.now)
            self.manager.hold(name, "client", self.now)

    def call(self, names: list[str]) -> None:
        """One of them is called again and again: `enter` and `leave`."""
        lease = self.manager.get(names[BATCH // 2])
        assert lease is not None
        enter, leave, now = self.manager.enter, self.manager.leave, self.now
        for _ in range(BATCH * CALLS):
            enter(lease, now)
            leave(lease, now)

    def renew(self, names: list[str]) -> None:
        """A client renews each; that also makes them outlive being released."""
        for name in names:
            self.manager.renew(name, 30.0, self.now)

    def run_out(self, names: list[str]) -> None:
        """Time is over for all of them: looked at, ended, taken out of every table."""
        self.now += 1000.0
        ended = self.manager.tick(self.now)
        assert len(ended) == len(names), f"{len(ended)} ended"

    def goodbye(self, names: list[str]) -> None:
        """The client that holds them leaves."""
        self.manager.holder_gone("client", self.now)
        ended = self.manager.tick(self.now)
        self.manager.holder_back("client", self.now)
        assert len(ended) == len(names), f"{len(ended)} ended"


def timed(step: Callable[[list[str]], None], names: list[str], operations: int) -> float:
    """Microseconds for one of ``operations``."""
    begun = time.perf_counter()
    step(names)
    return (time.perf_counter() - begun) / operations * 1e6


def one_round(population: Population) -> dict[str, float]:
    """Every figure once."""
    names = population.names()
    create = timed(population.create, names, BATCH)
    figures = {
        "look-up by id (control)": timed(population.look_up, names, BATCH),
        "create, one holder": create,
        "renew": timed(population.renew, names, BATCH),
        "call (enter + leave)": timed(population.call, names, BATCH * CALLS),
        "run out": timed(population.run_out, names, BATCH),
    }
    names = population.names()
    population.create(names)
    figures["released by a goodbye"] = timed(population.goodbye, names, BATCH)
    return figures


def measured(size: int, rounds: int) -> dict[str, float]:
    """Best of each figure, and what a live object takes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    population = Population(size)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    gc.collect()
    gc.disable()
    try:
        results = [one_round(population) for _ in range(rounds)]
    finally:
        gc.enable()
    best = {name: min(result[name] for result in results) for name in results[0]}
    return {**best, "memory": taken * 1024 / size}


def report(figures: dict[int, dict[str, float]]) -> Table:
    """A row for each step, a column for each size, and how the largest compares with the smallest."""
    table = Table(title="Leases: microseconds for one, by how many live")
    table.add_column("")
    sizes = sorted(figures)
    for size in sizes:
        table.add_column(f"{size:,} live", justify="right")
    table.add_column("largest : smallest", justify="right")
    for name in figures[sizes[0]]:
        row = [figures[size][name] for size in sizes]
        if name == "memory":
            cells = [f"{row[-1]:,.0f} bytes" if size == sizes[-1] else "" for size in sizes]
            table.add_row("memory of a live one", *cells, "")
        else:
            table.add_row(name, *(f"{value:.3f}" for value in row), f"{row[-1] / row[0]:.2f}")
    return table


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a lease costs, by how many live.")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="largest number of live objects")
    parser.add_argument("--rounds", type=int, default=7, help="the best of so many is shown")
    options = parser.parse_args(arguments)
    sizes = [size for size in SIZES if size <= options.most] or [options.most]
    Console().print(report({size: measured(size, options.rounds) for size in sizes}))


if __name__ == "__main__":
    main()
