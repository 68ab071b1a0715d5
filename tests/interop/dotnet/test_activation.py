"""Ways an object comes to be: made by clients with arguments, for each call, once, or published."""

from typing import Any

import pytest

import rpcx
from rpcx import aio
from rpcx.errors import InvalidArguments, RemoteError
from tests.interop.dotnet.shop import Basket, Counter, Once, RemoteObjectDef


def test_a_csharp_client_makes_objects_here(mono, serving):
    host = rpcx.Host()
    host.register(Basket, Once, RemoteObjectDef)
    host.publish(Counter(5), "published")
    facts = mono.run("client.exe", serving(host), "create")
    assert facts == {
        "ann": "Ann 3",
        "none": "nobody 0",
        "again": "nobody 0",
        "single call": "1 1",
        "published": "6 7",
        "not offered": "System.Runtime.Remoting.RemotingException this host lets clients make no 'RemoteObjectDef' "
        "(it offers: Basket)",
    }


def test_a_csharp_program_that_only_says_new_makes_them_here(mono, serving):
    host = rpcx.Host()
    host.register(Basket, RemoteObjectDef)
    assert mono.run("client.exe", serving(host), "registered") == {"value": "000", "basket": "Ann 3"}


@pytest.fixture(scope="module")
def url(mono):
    with mono.serving() as url:
        yield url


def test_a_python_client_makes_objects_there(url):
    with rpcx.connect(url) as server:
        ann = server.create(Served, "Ann", 3)
        assert ann.describe() == "Ann 3"
        assert ann.again(server.create(Served)).describe() == "nobody 0"
        with pytest.raises(RemoteError, match="not allowed to be client activated"):
            server.create(Basket)
        with pytest.raises(InvalidArguments, match="only @rpcx.client_activated"):
            server.create(Counter)


def test_an_object_that_the_server_marshalled_is_found(url):
    with rpcx.connect(url) as server:
        published = server.get(Counter, "published")
        assert published.next() == 6
        assert published.next() == 7


async def in_a_loop(url):
    async with aio.connect(url) as server:
        ann: Any = await server.create(Served, "Ann", 3)
        assert await ann.describe() == "Ann 3"


def test_the_same_in_a_loop(url):
    import asyncio

    asyncio.run(in_a_loop(url))


def make_served():
    from rpcx import dotnet

    @dotnet.type("ServedBasket", assembly="server")
    @rpcx.client_activated
    class Served:
        def __init__(self, owner: str = "nobody", size: int = 0) -> None: ...
        def describe(self) -> str: ...  # type: ignore[empty-body]  # a contract
        def again(self, other: Any) -> Any: ...

    return Served


Served: Any = make_served()
