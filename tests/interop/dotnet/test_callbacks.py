"""Events of C# objects, with handlers here."""

import asyncio
from typing import Annotated, Any

import pytest

import rpcx
from rpcx import aio, dotnet
from rpcx.errors import AccessDenied, InvalidArguments
from rpcx.interop.dotnet.callbacks import Delegated
from rpcx.interop.dotnet.delegates import function_of
from rpcx.interop.dotnet.outward import Outward
from tests.interop.dotnet.shop import Ear, Radio


@pytest.fixture(scope="module")
def url(mono):
    with mono.serving() as url:
        yield url


@pytest.fixture
def server(url):
    with rpcx.connect(f"{url}?callbacks=yes") as server:
        yield server


def test_a_function_hears_an_event_until_it_is_taken_back(server):
    radio, heard = server.get(Radio, "radio"), []

    def hear(text: str) -> None:
        heard.append(text)

    radio.add_heard(hear)
    radio.say("once")
    radio.add_heard(heard.append)
    radio.say("twice")
    radio.remove_heard(hear)
    radio.say("again")
    radio.remove_heard(heard.append)
    radio.say("never")
    assert heard == ["once", "twice", "twice", "again"]


def test_a_method_of_an_object_that_dotnet_knows_needs_no_other_class(server):
    radio, ear = server.get(Radio, "radio"), Ear()
    radio.add_heard(ear.on_heard)
    radio.say("hello")
    radio.remove_heard(ear.on_heard)
    radio.say("never")
    assert ear._heard == ["hello"]


def test_an_event_of_the_usual_kind_brings_its_sender(server):
    radio: Any = server.get(Radio, "radio")
    senders = []

    def switched(sender: Any, _: Any) -> None:
        senders.append(sender.say("back"))

    radio.add_switched(switched)
    radio.switch()
    assert senders == [0]


def test_what_a_handler_raises_reaches_whoever_caused_the_event(server):
    radio = server.get(Radio, "radio")

    def refuse(text: str) -> None:
        raise KeyError(text)

    radio.add_heard(refuse)
    with pytest.raises(KeyError, match="loud"):
        radio.say("loud")
    radio.remove_heard(refuse)


async def in_a_loop(url):
    heard = []

    async def hear(text: str) -> None:
        await asyncio.sleep(0)
        heard.append(text)

    async with aio.connect(f"{url}?callbacks=yes") as server:
        radio: Any = server.get(Radio, "radio")
        await radio.add_heard(hear)
        await radio.say("hello")
        await radio.remove_heard(hear)
        await radio.say("never")
    assert heard == ["hello"]


def test_async_functions_hear_too(url):
    asyncio.run(in_a_loop(url))


def test_unless_calls_back_are_enabled(url):
    with rpcx.connect(url) as server, pytest.raises(AccessDenied, match="callbacks=yes"):
        server.get(Radio, "radio").add_heard(print)


def test_the_server_reaches_the_function_and_nothing_else(server):
    """What was not handed out is not there, whoever asks; and the function's object has that one method."""
    from tests.interop.dotnet.test_session import Raw

    radio, heard = server.get(Radio, "radio"), []
    radio.add_heard(heard.append)
    domain = server._realm.annexes["dotnet"]
    (uri,) = [entry.uri for entry in domain.table.entries() if "callback" in entry.uri]
    with Raw(domain.urls[0]) as raw:
        assert "has no remote method" in raw.failure(uri, "call", "x")
        assert "has no remote method" in raw.failure(uri, "_rpcx_function", "x")
        assert raw.call("rpcx", "describe").exception is not None
        assert "argument" in raw.failure(uri, "OnHeard", None)
        assert raw.call(uri, "OnHeard", "x").exception is None
    assert heard == ["x"]
    radio.remove_heard(heard.append)


class Nobody:
    def refer(self, instance):
        return instance


def delegated(**options):
    return Delegated(dotnet.Delegate("Ns.Handler", assembly="a", **options), Annotated[Any, None])


def test_a_function_that_dotnet_has_no_class_for_is_refused():
    with pytest.raises(InvalidArguments, match="through="):
        delegated().node(print, Outward(Nobody()))
    with pytest.raises(InvalidArguments, match="is no function"):
        delegated().node(5, Outward(Nobody()))
    with pytest.raises(ValueError, match="no method of a class"):
        dotnet.Delegate("Ns.Handler", through="OnHeard")


def test_a_function_that_comes_home_is_itself():
    node = delegated(through="Ns.Ear.OnHeard").node(print, Outward(Nobody()))
    assert function_of(node, lambda target: target) is print
