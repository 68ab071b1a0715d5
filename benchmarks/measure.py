"""Measuring side by side: all competitors run at once, and take turns round by round.

These machines are noisy, so absolute times mean nothing from one run to the next. In one run every competitor
has a server and a client process of its own, which sleep while another is measured; a row's rounds go round all
of them again and again, the median of each is taken, and the ratio to the raw socket of the same run is the
result. On two cores client and server have one each; otherwise the scheduler may put both on one, where waking
is cheap, and a run measures now this and now that.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks import peers

MEGABYTE = 1 << 20
DOTNET = ("Mono to Mono", "Mono to rpcx", "rpcx to Mono", "rpcx to rpcx")
SOAP = tuple(f"{name}, SOAP" for name in DOTNET)
CORES = {"two": ({0}, {1}), "one": ({0}, {0})}  # of (clients, servers)


@dataclass
class Row:
    """One kind of work."""

    name: str
    title: str
    cores: str  # "two" or "one"
    work: str  # attribute of a Client
    calls: int  # that one piece of work counts for
    only: tuple[str, ...] = ()  # competitors; empty: all


ROWS = {
    row.name: row
    for row in (
        Row("sequential", "sequential add, two cores, TCP", "two", "add", 1),
        Row(
            "pipe", "sequential add, two cores, Unix socket", "two", "add", 1, ("raw socket-unix", "rpcx-unix", "rpcx")
        ),
        Row("onecore", "sequential add, both on one core, TCP", "one", "add", 1),
        Row("inflight", "64 calls in flight, two cores, TCP", "two", "inflight", peers.INFLIGHT),
        Row("batch", "batch of 64 in one message, two cores, TCP", "two", "batch", peers.INFLIGHT),
        Row("echo", "echo of 1 MiB, two cores, TCP", "two", "echo", 1),
        Row("tls", "sequential add, two cores, TLS beside plain TCP", "two", "add", 1, ("rpcx-tls", "rpcx")),
        Row("dotnet", ".NET's protocol: sequential Add(int, int), two cores, TCP", "two", "add", 1, DOTNET),
        Row("soap", ".NET's protocol: sequential Add(int, int), two cores, SOAP over HTTP", "two", "add", 1, SOAP),
        Row("tlsecho", "echo of 1 MiB, two cores, TLS beside plain TCP", "two", "echo", 1, ("rpcx-tls", "rpcx")),
    )
}


class Competitor:
    """A server process and a client process, both idle until told."""

    def __init__(self, name: str, cores: str) -> None:
        self.name = name
        place = json.dumps(peers.place_for(name))
        clients, servers = CORES[cores]
        self._server = self._start("serve", name, place, servers)
        self._read(self._server)
        self._client = self._start("call", name, place, clients)
        self._read(self._client)

    def _start(self, side: str, name: str, place: str, cores: set[int]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.measure", side, name, place, json.dumps(sorted(cores))]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def _read(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} did not start")
        return line

    def round(self, work: str, seconds: float) -> float | None:
        """Pieces of work per second in one round; None: it cannot do this."""
        assert self._client.stdin is not None
        self._client.stdin.write(f"{work} {seconds}\n")
        self._client.stdin.flush()
        rate: float | None = json.loads(self._read(self._client))
        return rate

    def close(self) -> None:
        for process in (self._client, self._server):
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def measure(row: Row, names: list[str], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Calls per second of each competitor, round by round; absent: it is not installed, or cannot do this."""
    wanted = [name for name in names if not row.only or name in row.only or name == "raw socket"]
    if not row.only:
        wanted = [name for name in wanted if not name.endswith(peers.VARIANTS)]
    work = {
        name: "add" if name.startswith("raw") and row.work in ("inflight", "batch") else row.work for name in wanted
    }
    calls = {name: row.calls if work[name] == row.work else 1 for name in wanted}
    running: list[Competitor] = []
    rates: dict[str, list[float]] = {}
    try:
        for name in wanted:
            try:
                running.append(Competitor(name, row.cores))
            except RuntimeError as error:
                print(f"  {error}", file=sys.stderr)
        for _ in range(rounds):
            for competitor in running:
                rate = competitor.round(work[competitor.name], seconds)
                if rate is not None:
                    rates.setdefault(competitor.name, []).append(rate * calls[competitor.name])
    finally:
        for competitor in running:
            competitor.close()
    return rates


def median(rates: list[float]) -> float:
    return statistics.median(rates)


# --- the processes ----------------------------------------------------------------------------------------------


def _answer_rounds(client: Any) -> None:
    data = os.urandom(MEGABYTE)
    for line in sys.stdin:
        work, seconds = line.split()
        piece = getattr(client, work)
        if piece is None:
            print("null", flush=True)
            continue
        if work == "echo":
            print(_rate(lambda: client.echo(data), float(seconds), 2), flush=True)
        else:
            print(_rate(piece, float(seconds), 50 if work == "add" else 2), flush=True)


def _rate(piece: peers.Work, seconds: float, step: int) -> float:
    for _ in range(step):
        piece()
    done, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds:
        for _ in range(step):
            piece()
        done += step
    return done / spent


def main() -> None:
    side, name, place, cores = sys.argv[1:]
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(json.loads(cores)))
    where = json.loads(place)
    where = tuple(where) if isinstance(where, list) else where
    _, serve, connect = peers.PEERS[name]
    if side == "serve":
        serve(where)
    else:
        client = connect(where)
        client.add()
        peers.ready()
        _answer_rounds(client)


if __name__ == "__main__":
    main()
