"""C# clients, not changed in any way, and objects in Python."""

import pytest

import rpcx
from tests.interop.dotnet.shop import TALKED, Radio, RemoteObjectDef, Talk, Values


@pytest.fixture
def url(serving):
    host = rpcx.Host()
    host.register(RemoteObjectDef, Values, Talk)
    return serving(host)


def test_the_published_classic_runs_as_it_is(mono, url):
    facts = mono.run("client.exe", url, "classic")
    assert facts == {"classic": "000", "unicode": "True", "null": "True", "long": "1000000"}


@pytest.mark.parametrize("url", ["dotnet+tcp://127.0.0.1:1233/app", "dotnet+tcp://localhost:1233"])
def test_the_published_classic_runs_letter_for_letter(mono, url):
    host = rpcx.Host()
    host.publish(remote := RemoteObjectDef(), "RemoteObjectURL")
    try:
        host.listen(url, insecure=True)
    except OSError:
        host.close()
        pytest.skip("port 1233, which the classic calls, is in use on this machine")
    with host:
        mono.run("classic.exe")
    assert remote.value == "000"


def test_the_application_name_may_be_left_out(mono, url):
    facts = mono.run("client.exe", url.removesuffix("/app"), "classic")
    assert facts["classic"] == "000"


def test_values_of_every_kind_come_back_as_they_went(mono, url):
    facts = mono.run("client.exe", url, "values")
    assert {name: value for name, value in facts.items() if value != "True"} == {}
    assert len(facts) > 50


def test_what_formatters_have_trouble_with_comes_back_as_it_went(mono, url):
    facts = mono.run("client.exe", url, "odd")
    assert {name: value for name, value in facts.items() if value != "True"} == {}
    assert len(facts) > 40


def test_calls_of_every_kind(mono, url):
    assert mono.run("client.exe", url, "talk") == TALKED


def test_a_client_on_another_address_is_served_where_it_is_allowed_to_come_from(mono, serving, address):
    host = rpcx.Host(allow={"*"})
    host.register(RemoteObjectDef, Talk, Radio)
    anywhere = "dotnet+tcp://0.0.0.0:0/app?callbacks=yes"
    port = serving(host, anywhere, insecure=True, allow_from=[f"{address}/32"]).partition("0.0.0.0:")[2]
    facts = mono.run("client.exe", f"tcp://{address}:{port}", "listening", "classic", "talk", "radio")
    assert (facts["classic"], facts["drive"]) == ("000", "205")  # its own object came back by the address it called
    assert facts["heard"].startswith("hello,event again,again")  # and is called back there


def test_what_nobody_was_allowed_is_the_owners(mono, serving, address):
    host = rpcx.Host()
    host.register(RemoteObjectDef)
    url = serving(host, "dotnet+tcp://0.0.0.0:0/app", insecure=True, allow_from=[f"{address}/32"])
    port = url.partition("0.0.0.0:")[2]
    with mono.started("client.exe", f"tcp://{address}:{port}", "classic") as process:
        _, err = process.communicate(timeout=40)
    assert "no such object or method" in err
