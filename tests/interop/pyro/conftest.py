"""Stock Pyro5 on the other side."""

from collections.abc import Iterator

import pytest

import rpcx
from tests.interop.pyro.peer import Daemon, Peer
from tests.interop.pyro.shop import Account, Bank


@pytest.fixture
def location() -> Iterator[str]:
    """host:port of an rpcx host that Pyro5 clients may call."""
    with rpcx.Host() as host:
        host.register(Bank, Account)
        yield host.listen("pyro://127.0.0.1:0").partition("://")[2]


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Stock Pyro5."""
    started = Peer()
    yield started
    started.close()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A stock daemon and its name server."""
    started = Daemon()
    yield started
    started.close()
