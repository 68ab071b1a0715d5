"""A host and a client in one process."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rpcx

NUMBERS = itertools.count()


@pytest.fixture(params=["inproc", "tcp"])
def place(request) -> str:
    """Where a host listens: a socket pair, or TCP under TLS."""
    return f"inproc://remoting-{next(NUMBERS)}" if request.param == "inproc" else "tcp://127.0.0.1:0"


@pytest.fixture
def serve(place) -> Iterator[Callable[..., rpcx.Server]]:
    """``serve(Class, …, published={"uri": obj})`` → a connected client; its ``host`` is the host."""
    opened: list[Any] = []

    def start(
        *classes: type, published: dict[str, object] | None = None, client: dict[str, Any] | None = None, **options: Any
    ):
        host = rpcx.Host(**options)
        host.register(*classes)
        for uri, instance in (published or {}).items():
            host.publish(instance, uri)
        url = host.listen(place if not opened else f"inproc://remoting-{next(NUMBERS)}")
        opened.append(host.start())
        server = rpcx.connect(url, **(client or {}))
        opened.append(server)
        server.host = host
        return server

    yield start
    for thing in reversed(opened):
        thing.close()
