"""What is not calls per second: idle processor time, the cost of connections, authorization, import time."""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import rpcx
from benchmarks.access import access
from rpcx.protocol.frames import Kind, frame
from rpcx.protocol.handshake import MAGIC, Offer

IDLE_SECONDS = 5.0
CONNECTIONS = 2_000
CONNECTS = 40
ROUNDS = 5

HOST = """
import resource, sys, rpcx
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
@rpcx.singleton("calc")
class Calc:
    def add(self, a: int, b: int) -> int: return a + b
host = rpcx.Host()
host.register(Calc)
print(host.listen("tcp://127.0.0.1:0", insecure=sys.argv[1:] != ["tls"]), flush=True)
with host: sys.stdin.read()
"""


@rpcx.singleton("calc")
class Calc:
    """The client's contract of the host above."""

    def add(self, a: int, b: int) -> int:
        raise NotImplementedError


class HostProcess:
    """A host in a process of its own."""

    def __init__(self, *words: str) -> None:
        self._words = words  # "tls", or nothing

    def __enter__(self) -> "HostProcess":
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOST, *self._words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()

    def seconds(self) -> float:
        """Processor time used so far."""
        import psutil

        used = psutil.Process(self._process.pid).cpu_times()
        return used.user + used.system

    def memory(self) -> int:
        """Resident bytes."""
        import psutil

        return psutil.Process(self._process.pid).memory_info().rss


def idle() -> dict[str, float]:
    """Processor seconds per second of an idle host and an idle connected client."""
    with HostProcess() as host, rpcx.connect(host.url, insecure=True) as server:
        calc = server.get(Calc)
        for i in range(2_000):
            calc.add(i, 1)
        time.sleep(0.5)
        there, here = host.seconds(), time.process_time()
        time.sleep(IDLE_SECONDS)
        return {
            "host, share of a core": (host.seconds() - there) / IDLE_SECONDS,
            "client, share of a core": (time.process_time() - here) / IDLE_SECONDS,
        }


def connections() -> dict[str, float]:
    """What 2,000 idle connections cost the host, and one busy client beside them; by turns with a host without."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    with (
        HostProcess() as host, rpcx.connect(host.url, insecure=True) as server,
        HostProcess() as empty, rpcx.connect(empty.url, insecure=True) as alone,
    ):  # fmt: skip
        before = host.memory()
        crowd = [_shake(host.url) for _ in range(CONNECTIONS)]
        time.sleep(0.5)
        each = (host.memory() - before) / CONNECTIONS
        beside, apart = server.get(Calc), alone.get(Calc)
        parts = []
        for _ in range(ROUNDS):
            there = _rate(lambda: beside.add(1, 2))
            parts.append(there / _rate(lambda: apart.add(1, 2)))
        for sock in crowd:
            sock.close()
        return {
            "KiB for each idle connection": each / 1024,
            "calls/s beside them, of those alone": statistics.median(parts),
        }


def _shake(url: str) -> socket.socket:
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    sock = socket.create_connection((host, int(port)))
    sock.sendall(MAGIC + frame(Kind.HELLO, 0, Offer(session=os.urandom(8).hex()).to_bytes())[0])
    assert sock.recv(4096)
    return sock


def _rate(work: Callable[[], object], seconds: float = 0.25) -> float:
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        work()
        done += 1
    return done / (time.perf_counter() - begun)


def connect() -> dict[str, float]:
    """Milliseconds until the first call can be sent: with both keys proved, and plain, by turns."""
    spent: dict[str, list[float]] = {"tls": [], "plain": []}
    with HostProcess("tls") as sealed, HostProcess() as plain:
        for _ in range(CONNECTS):
            for name, host in (("tls", sealed), ("plain", plain)):
                begun = time.perf_counter()
                with rpcx.connect(host.url, insecure=name == "plain"):
                    spent[name].append(time.perf_counter() - begun)
    return {
        "ms to connect and prove both keys": 1000 * statistics.median(spent["tls"]),
        "ms to connect without": 1000 * statistics.median(spent["plain"]),
    }


def imports() -> dict[str, float]:
    """Milliseconds that ``import rpcx`` takes beyond ``import pydantic``, by turns."""
    spent: dict[str, list[float]] = {"pydantic": [], "rpcx": []}
    program = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    for _ in range(7):
        for name, module in (("pydantic", "pydantic"), ("rpcx", "pydantic, rpcx")):
            done = subprocess.run(
                [sys.executable, "-c", program.format(module)], capture_output=True, text=True, check=True
            )
            spent[name].append(float(done.stdout))
    return {
        "ms beyond pydantic's own": 1000 * (statistics.median(spent["rpcx"]) - statistics.median(spent["pydantic"]))
    }


EXTRAS: dict[str, Callable[[], dict[str, float]]] = {
    "idle": idle,
    "connections": connections,
    "connect": connect,
    "access": access,
    "import": imports,
}
