"""Move a live system from Pyro5 to rpcx, step by step, without touching its old programs.

Needs Pyro5: ``pip install 'rpcx[pyro]'``.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rpcx
from examples.ports import free_port
from examples.pyro.contract import Bank

HERE = Path(__file__).parent


def main() -> None:
    """All steps, one after the other."""
    os.environ["RPCX_NAMES"] = "pipe://moving-names"  # not the directory that this user may have already
    port = free_port()
    with name_server(port):
        new_programs_with_rpcx(port)
        server_with_rpcx(port)
    with directory(port):
        name_server_with_rpcx(port)
        without_pyro()


def new_programs_with_rpcx(port: int) -> None:
    """The old server stays; what is written from now on uses rpcx."""
    with old_server(port):
        with rpcx.connect(f"PYRONAME:bank@127.0.0.1:{port}") as server:
            server.get(Bank).deposit("bob", 1.0)
        print("Pyro5 client, Pyro5 server:", old_client(port))


def server_with_rpcx(port: int) -> None:
    """The same name in the same name server: old clients notice nothing. New ones speak rpcx's own protocol."""
    host = rpcx.Host()
    host.register(Bank, name=f"PYRONAME:bank@127.0.0.1:{port}")
    host.listen("pyro://127.0.0.1:0")
    host.listen("pipe://moving")
    with host:
        until_found(f"PYRONAME:bank@127.0.0.1:{port}")
        print("Pyro5 client, rpcx server:", old_client(port))
        with rpcx.connect("pipe://moving") as server:
            print("rpcx client, rpcx server:", server.get(Bank).deposit("ann", 1.0))


def name_server_with_rpcx(port: int) -> None:
    """Rpcx's directory is a name server too, where the old one was: one name for both kinds of clients."""
    host = rpcx.Host()
    host.register(Bank, name="bank")
    host.listen("pyro://127.0.0.1:0")
    host.listen("pipe://moving")
    with host:
        until_found("name://bank")
        print("Pyro5 client, rpcx name server:", old_client(port))
        with rpcx.connect("name://bank") as server:
            print("rpcx client, the same object:", server.get(Bank).deposit("ann", 1.0))


def without_pyro() -> None:
    """The last Pyro5 client is gone: one line less, and its port is closed."""
    host = rpcx.Host()
    host.register(Bank, name="bank")
    host.listen("pipe://moving")
    with host:
        until_found("name://bank")
        with rpcx.connect("name://bank") as server, rpcx.batch(server.get(Bank)) as calls:
            calls.deposit("ann", 1.0)
            found = calls.deposit("ann", 1.0)
        print("rpcx client, rpcx server, no Pyro5:", found.result())


# --- the old programs -----------------------------------------------------------------------------------------


@contextmanager
def running(*command: str, lines: int = 1) -> Iterator[None]:
    """A program, from when it has printed so many lines until the block ends."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def name_server(port: int) -> Iterator[None]:
    """Pyro5's, as it always was."""
    with running("-u", "-m", "Pyro5.nameserver", "-n", "127.0.0.1", "-p", str(port), "-x", lines=3):
        yield


@contextmanager
def directory(port: int) -> Iterator[None]:
    """rpcx's, in its place: rpcx names serve --pyro."""
    where = ["--listen", os.environ["RPCX_NAMES"], "--pyro", f"127.0.0.1:{port}"]
    with running("-m", "rpcx.cli", "names", "serve", *where, lines=2):
        yield


@contextmanager
def old_server(port: int) -> Iterator[None]:
    """The Pyro5 server, until the block ends."""
    with running(str(HERE / "old_server.py"), str(port)):
        yield


def old_client(port: int) -> str:
    """What the Pyro5 client says: ann's balance, and who is there."""
    command = [sys.executable, str(HERE / "old_client.py"), str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def until_found(name: str) -> None:
    """A host enters its names beside its work; here the next line needs them."""
    while True:
        try:
            rpcx.connect(name).close()
        except (rpcx.ObjectNotFound, rpcx.NotSent):
            continue
        return


if __name__ == "__main__":
    main()
