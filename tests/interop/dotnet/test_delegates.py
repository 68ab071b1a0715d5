"""Calls back to C# clients: listeners and events."""

import pytest

import rpcx
from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.delegates import function_of
from rpcx.interop.dotnet.nodes import ClassNode
from tests.interop.dotnet.shop import Listener, OutOfStock, Radio

CALLBACKS = "dotnet+tcp://127.0.0.1:0/app?callbacks=yes"


def test_listeners_and_events_of_csharp_clients_are_called(mono, serving):
    host = rpcx.Host()
    host.register(Radio)
    assert mono.run("client.exe", serving(host, CALLBACKS), "listening", "radio") == {
        "listen": "nothing",
        "say": "5",
        "subscribe": "nothing",
        "unsubscribe": "nothing",
        "switched": "nothing",
        "heard": "hello,event again,again,later,,switched True 0",
    }


@pytest.mark.parametrize("scheme", ["dotnet+tcp", "dotnet+http"])
def test_what_a_csharp_listener_throws_is_raised_here_with_its_fields_and_stack(mono, serving, scheme):
    host = rpcx.Host()
    host.publish(radio := Radio(), "radio")
    url = serving(host, CALLBACKS.replace("dotnet+tcp", scheme))
    with mono.started("client.exe", url, "listening", "refuser") as process:
        assert process.stdout.readline() == "registered: yes\n"
        (listener,) = radio._listeners
        with pytest.raises(OutOfStock, match="boom") as caught:
            listener.said("boom")
    assert caught.value.left == 7
    assert "Refuser.Said" in caught.value.__notes__[0]


def test_unless_that_is_enabled(mono, serving):
    host = rpcx.Host()
    host.register(Radio)
    facts = mono.run("client.exe", serving(host), "listening", "radio")
    assert facts["listen"].startswith("System.UnauthorizedAccessException")
    assert facts["subscribe"].startswith("System.UnauthorizedAccessException")
    assert facts["heard"] == ""


def test_a_client_that_listens_nowhere_is_told_so(mono, serving):
    host = rpcx.Host()
    host.register(Radio)
    facts = mono.run("client.exe", serving(host, CALLBACKS), "radio")
    assert "the client listens nowhere" in facts["listen"]


def test_a_python_client_listens_to_a_csharp_server(mono):
    with mono.serving() as url, rpcx.connect(f"{url}?callbacks=yes") as server:
        radio, listener = server.get(Radio, "radio"), Listener()
        radio.listen(listener)
        assert radio.say("hello") == 5
        assert listener._heard == ["hello"]


@pytest.mark.parametrize("members", [{}, {"Delegate": ClassNode("E", {"methodName": "m", "target": "t"}), "t": "x"}])
def test_what_is_no_delegate_of_a_remote_object_is_refused(members):
    with pytest.raises(InvalidArguments, match="a delegate"):
        function_of(ClassNode("System.DelegateSerializationHolder", members), lambda node: node)
