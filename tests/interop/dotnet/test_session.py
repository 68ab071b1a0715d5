"""A host's .NET channel under clients that mean harm, or are merely odd; spoken to over a plain socket."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import rpcx
import rpcx.aio
from rpcx import dotnet
from rpcx.errors import AccessDenied
from rpcx.interop.dotnet import framing
from rpcx.interop.dotnet.binary import read_return, write_call
from rpcx.interop.dotnet.messages import MethodCall
from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive
from rpcx.interop.dotnet.objref import ObjRef, compose
from tests.interop.dotnet.shop import Basket, Counter, Radio, RemoteObjectDef, Talk, Values
from tests.interop.dotnet.vectors import T
from tests.others import ANN, SQUAT, Other, needs_root


class Raw:
    """A client that says what it likes."""

    def __init__(self, url):
        host, port = url.split("/")[2].split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.frames = framing.Frames()

    def say(self, data):
        self.socket.sendall(data)

    def hear(self):
        """The next answer; None: the connection is closed."""
        while True:
            data = self.socket.recv(65536)
            if not data:
                return None
            for frame in self.frames.receive(data):
                return read_return(frame.body)

    def call(self, uri, method, *args, oneway=False):
        body = write_call(MethodCall(method, T, list(args)))
        self.say(framing.request(body, uri, oneway=oneway))
        return None if oneway else self.hear()

    def failure(self, uri, method, *args):
        return self.call(uri, method, *args).exception.members["Message"]

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.socket.close()


@pytest.fixture
def host():
    host = rpcx.Host()
    host.register(RemoteObjectDef, Values, Talk, Basket, Radio)
    return host


@pytest.fixture
def url(host, serving):
    return serving(host)


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b".NET\x02\x00", framing.reply(b""), b".NET\x01\x00\x00\x00\x00\x00\xff\xff\xff\x7f"],
    ids=["http", "another version", "an answer", "too much"],
)
def test_who_speaks_something_else_is_shown_out_and_others_notice_nothing(url, data):
    with Raw(url) as good, Raw(url) as bad:
        bad.say(data)
        assert bad.hear() is None
        assert good.call("talk", "Notes").value == ""


def test_a_body_that_makes_no_sense_is_answered_by_an_exception(url):
    with Raw(url) as raw:
        for body in (b"", b"\0" * 40, b"\xff" * 40):
            raw.say(framing.request(body, "talk"))
            exception = raw.hear().exception
            assert exception.name == "System.Runtime.Serialization.SerializationException"
        assert raw.call("talk", "Notes").value == ""


def test_a_client_that_leaves_within_a_message_leaves_nothing_behind(host, url):
    with Raw(url) as raw:
        raw.say(framing.request(b"x" * 1000, "talk")[:100])
    deadline = time.monotonic() + 5
    while host.peers:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "uri", ["rpcx", "/rpcx", "app/rpcx", "tcp://x:1/app/rpcx", "talk/../rpcx", "", "x@lease", "rpcx@lease"]
)
def test_nothing_but_what_was_mapped_can_be_reached(url, uri):
    with Raw(url) as raw:
        assert raw.call(uri, "describe").exception is not None


@pytest.mark.parametrize("method", ["__init__", "_notes", "__class__", "GetType", "add_Heard", "", "join_texts"])
def test_no_method_but_those_of_the_contract_can_be_called(url, method):
    with Raw(url) as raw:
        assert "has no remote method" in raw.failure("talk", method)


def test_a_type_that_was_not_mapped_is_never_made(url):
    with Raw(url) as raw:
        node = ClassNode("System.Diagnostics.Process", {"fileName": "/bin/sh"}, "System")
        assert "means nothing here" in raw.failure("values", "EchoObject", node)


def test_a_reference_makes_nobody_connect_anywhere(url):
    with socket.create_server(("127.0.0.1", 0)) as trap, Raw(url) as raw:
        where = f"tcp://127.0.0.1:{trap.getsockname()[1]}"
        node = compose(ObjRef("x", server_type="Shop.IListener, shared", urls=(where,)))
        assert "are not enabled" in raw.failure("radio", "Listen", node)
        trap.settimeout(0.2)
        with pytest.raises(TimeoutError):
            trap.accept()


@needs_root
def test_a_call_back_is_for_this_users_processes_only_if_the_client_had_to_be_one(host, serving):
    url = serving(host, "dotnet+tcp://127.0.0.1:0/app?callbacks=yes")
    with Other(SQUAT, 0) as other, Raw(url) as raw:
        where = f"tcp://127.0.0.1:{other.says()}"
        node = compose(ObjRef("x", server_type="Shop.ICounter, shared", urls=(where,)))
        assert f"user {ANN} listens there" in raw.failure("talk", "Drive", node)
        assert other.says() == "heard b''"


@needs_root
def test_a_further_connection_goes_to_this_user_only_too():
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
        port = server.getsockname()[1]
        accepted = threads.submit(server.accept)
        with rpcx.connect(f"dotnet+tcp://127.0.0.1:{port}") as client, accepted.result(10)[0]:
            server.close()
            with Other(SQUAT, port) as other:
                assert other.says() == str(port)
                with pytest.raises(AccessDenied, match=f"user {ANN} listens there"):
                    client.get(Talk, "talk").note("for a connection of its own, since it is one-way")
                assert other.says() == "heard b''"


def test_a_further_connection_that_is_not_accepted_yet_holds_up_no_loop():
    async def use() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            first = asyncio.create_task(asyncio.to_thread(server.accept))
            async with rpcx.aio.connect(f"dotnet+tcp://127.0.0.1:{server.getsockname()[1]}") as client:
                talk = client.get(Talk, "talk")
                unanswered = asyncio.create_task(talk.notes())
                await asyncio.sleep(0)
                with rpcx.options(timeout=None):
                    waiting = asyncio.create_task(talk.notes())
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(waiting), 0.1)  # the loop's own timer goes on
                second = await asyncio.to_thread(server.accept)
                for task in (unanswered, waiting):
                    task.cancel()
                await asyncio.gather(unanswered, waiting, return_exceptions=True)
            for sock, _ in (await first, second):
                sock.close()

    begun = time.monotonic()
    asyncio.run(use())
    assert time.monotonic() - begun < 4  # less than a connection may take


def test_arguments_are_checked_against_annotations(url):
    with Raw(url) as raw:
        assert "argument 'b'" in raw.failure("talk", "Divide", Primitive(Kind.INT32, 1), "x", None)
        assert "argument" in raw.failure("talk", "Divide", Primitive(Kind.INT32, 1))


def test_calls_that_were_sent_ahead_are_answered_in_order(url):
    with Raw(url) as raw:
        raw.say(
            b"".join(
                framing.request(write_call(MethodCall("SetValue", T, [str(n)])), "RemoteObjectURL") for n in range(50)
            )
        )
        raw.say(framing.request(write_call(MethodCall("GetValue", T)), "RemoteObjectURL"))
        frames = []
        while len(frames) < 51:
            frames += list(raw.frames.receive(raw.socket.recv(65536)))
        assert read_return(frames[-1].body).value == "49"


def test_oneway_calls_are_not_answered_even_if_they_fail(url):
    with Raw(url) as raw:
        raw.call("talk", "Note", "a", oneway=True)
        raw.call("talk", "Nothing", oneway=True)
        raw.call("nowhere", "Note", "b", oneway=True)
        assert raw.call("talk", "Notes").value == "a"


def test_activation_that_asks_for_nothing_known_is_refused(url):
    with Raw(url) as raw:
        uri = "app/RemoteActivationService.rem"
        for message in (None, "x", ArrayNode("System.Object", [])):
            assert "ConstructionCall" in raw.failure(uri, "Activate", message)
        call = ClassNode(
            "System.Runtime.Remoting.Messaging.ConstructionCall", {"__TypeName": "System.Diagnostics.Process"}
        )
        assert "not allowed to be client activated" in raw.failure(uri, "Activate", call)
        empty = ClassNode("System.Runtime.Remoting.Messaging.ConstructionCall", {})
        assert "names no type" in raw.failure(uri, "Activate", empty)


def test_what_custom_errors_hide_stays_here(serving):
    host = rpcx.Host(custom_errors=True)
    host.register(Talk)
    with Raw(serving(host)) as raw:
        exception = raw.call("talk", "Fail", "ValueError").exception
        assert exception.members["Message"] == "text"
        assert exception.members["StackTraceString"] is None


@dotnet.type("Ns.Slow", assembly="a")
@rpcx.singleton("slow")
class Slow:
    def __init__(self):
        self._go = threading.Event()

    async def later(self, text: str) -> str:
        await asyncio.sleep(0)
        return text

    def wait(self) -> bool:
        return self._go.wait(10)

    def go(self) -> None:
        self._go.set()


def test_a_slow_call_holds_up_nobody_else(serving):
    host = rpcx.Host()
    host.register(Slow)
    url = serving(host)
    with Raw(url) as one, Raw(url) as other:
        one.say(framing.request(write_call(MethodCall("Wait", T)), "slow"))
        other.call("slow", "Go")
        assert one.hear().value.value is True


def test_async_methods_are_awaited(serving):
    host = rpcx.Host()
    host.register(Slow)
    with Raw(serving(host)) as raw:
        assert raw.call("slow", "Later", "text").value == "text"


async def in_a_loop(mono):
    host = rpcx.Host()
    host.register(Slow, RemoteObjectDef, Talk, Radio)
    host.publish(Counter(), "counter")
    url = host.listen("dotnet+tcp://127.0.0.1:0/app?callbacks=yes").removeprefix("dotnet+")
    async with host:
        with Raw(url) as raw:
            assert (await asyncio.to_thread(raw.call, "slow", "Later", "text")).value == "text"
        facts = await asyncio.to_thread(mono.run, "client.exe", url, "classic", "talk")
        assert (facts["classic"], facts["drive"]) == ("000", "205")


def test_a_host_in_a_loop_serves_csharp_clients_too(mono):
    asyncio.run(in_a_loop(mono))


def test_who_is_not_the_owner_is_under_the_rules_of_the_host(serving, monkeypatch):
    from rpcx.interop.plain import PlainPeer, PlainTcp

    def admit(self, sock, where):
        return PlainPeer("dotnet+tcp", f"{where[0]}:{where[1]}")  # as if it came from another machine

    monkeypatch.setattr(PlainTcp, "_admit", admit)
    host = rpcx.Host()
    host.register(Talk, methods={"notes": {"*"}})
    host.register(Basket)
    with Raw(serving(host, insecure=True)) as raw:
        assert raw.call("talk", "Notes").value == ""
        assert "no such object or method" in raw.failure("talk", "Note", "x")
        call = ClassNode("System.Runtime.Remoting.Messaging.ConstructionCall", {"__TypeName": "Shop.Basket"})
        assert "no such object or method" in raw.failure("RemoteActivationService.rem", "Activate", call)
