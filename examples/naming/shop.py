"""A directory, two hosts that enter their names, and a client that finds them; then one host is killed."""

import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.synchronize import Event as Ready

import rpcx
from rpcx.naming.directory import URI, Directory, Names, serve


@rpcx.singleton("till")
class Till:
    """Counts what was sold."""

    def __init__(self) -> None:
        self.sold = 0

    def sell(self, pieces: int) -> int:
        """Sell so many; how many were sold so far."""
        self.sold += pieces
        return self.sold


def directory(ready: Ready) -> None:
    """What ``rpcx names serve`` is."""
    host = rpcx.Host(grace=0.5)
    serve(Names({}), host, lease=3.0)
    host.listen("pipe://names")
    with host:
        ready.set()
        host.wait()


def shop(town: str, ready: Ready) -> None:
    """A host that is found by name."""
    host = rpcx.Host()
    host.register(Till, name=f"till/{town}", tags={"town": town})
    host.listen(f"pipe://{town}")
    with host:
        ready.set()
        host.wait()


def main() -> None:
    """Find, sell, kill, look again."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["RPCX_RUNTIME_DIR"] = place  # where pipes are: a directory of the user's own that this run may fill
        run()


def run() -> None:
    """The same, with pipes in a place of their own."""
    start = multiprocessing.get_context("spawn")
    processes = []
    for target, args in ((directory, ()), (shop, ("ulm",)), (shop, ("bonn",))):
        ready = start.Event()
        processes.append(start.Process(target=target, args=(*args, ready)))
        processes[-1].start()
        ready.wait(30)
    with rpcx.connect("pipe://names") as server:
        names = server.get(Directory, URI)
        _show(names, 2)
        print("sold in ulm:", rpcx.get("name://till/ulm", Till).sell(3))
        print("kill -9 bonn")
        processes[-1].kill()
        _show(names, 1)
    for process in processes:
        process.kill()
        process.join()


def _show(names: Directory, expected: int) -> None:
    """Print who is there, once as many are."""
    end = time.monotonic() + 20
    while len(found := names.find("till/")) != expected:
        if time.monotonic() > end:
            sys.exit(f"{expected} tills were expected, {len(found)} are there")
        time.sleep(0.05)
    for each in found:
        print(f"{each.name:12} {each.tags} {each.urls}")


if __name__ == "__main__":
    main()
