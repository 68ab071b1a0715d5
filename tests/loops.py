"""A host in an event loop, for tests that are written for threads."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import rpcx


@contextmanager
def in_a_loop(host: rpcx.Host) -> Iterator[rpcx.Host]:
    """``host`` serves in an event loop, in a thread of its own."""
    running = threading.Event()

    async def serve() -> None:
        async with host:
            running.set()
            await host.wait_async()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert running.wait(10)
    try:
        yield host
    finally:
        host.stop()
        thread.join(10)
