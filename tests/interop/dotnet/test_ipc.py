"""Mono's IPC channel: Unix sockets in the directory for temporary files."""

import os
import secrets
import socket
import stat
import tempfile
from pathlib import Path

import pytest

import rpcx
from rpcx.errors import AccessDenied, NotSent
from tests.interop.dotnet.shop import Counter, Listener, Radio, RemoteObjectDef, Talk, Values


@pytest.fixture
def name():
    name = f"rpcx-test-{secrets.token_hex(4)}"
    yield name
    path(name).unlink(missing_ok=True)


def path(name):
    return Path(tempfile.gettempdir()) / name


def test_the_published_classic_and_all_values_over_ipc(mono, serving, name):
    host = rpcx.Host()
    host.register(RemoteObjectDef, Values, Talk)
    assert serving(host, f"dotnet+ipc://{name}/app") == f"ipc://{name}/app"
    assert stat.S_IMODE(path(name).stat().st_mode) == 0o600
    facts = mono.run("client.exe", f"ipc://{name}/app", "classic", "values", "talk")
    assert facts["classic"] == "000"
    assert facts["person"] == "True"
    assert (facts["drive"], facts["home"]) == ("205", "True")


def test_the_socket_goes_with_its_host(name):
    host = rpcx.Host()
    host.listen(f"dotnet+ipc://{name}")
    assert path(name).exists()
    host.close()
    assert not path(name).exists()


def test_clients_are_called_back_in_the_process_that_called(mono, serving, name):
    host = rpcx.Host()
    host.register(Radio)
    serving(host, f"dotnet+ipc://{name}/app?callbacks=yes")
    facts = mono.run("client.exe", f"ipc://{name}/app", "listening", "radio")
    assert facts["heard"] == "hello,event again,again,later,,switched True 0"


def test_a_python_client_over_ipc(mono, name):
    with mono.serving("ipc", name) as url, rpcx.connect(f"{url}?callbacks=yes") as server:
        talk = server.get(Talk, "talk")
        counter = talk.new_counter(1)
        assert counter.next() == 2
        assert talk.drive(counter) == 7
        assert talk.drive(server.get(Counter, "once")) == 2
        radio, listener = server.get(Radio, "radio"), Listener()
        radio.listen(listener)
        assert radio.say("hello") == 5
        assert listener._heard == ["hello"]
        radio.add_heard(listener._heard.append)
        radio.say("event")
        radio.remove_heard(listener._heard.append)
        assert listener._heard == ["hello", "event", "event"]


def test_a_name_that_is_taken_is_left_alone_and_a_stale_one_replaced(name):
    host = rpcx.Host()
    host.listen(f"dotnet+ipc://{name}")
    other = rpcx.Host()
    with pytest.raises(OSError, match="somebody listens there"):
        other.listen(f"dotnet+ipc://{name}")
    host.close()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path(name)))
    stale.close()
    other.listen(f"dotnet+ipc://{name}")
    other.close()
    path(name).write_text("a file")
    third = rpcx.Host()
    with pytest.raises(OSError, match="no socket of this user's"):
        third.listen(f"dotnet+ipc://{name}")
    third.close()


def test_a_place_on_the_network_is_no_name():
    with pytest.raises(ValueError, match="'127.0.0.1:5' is no name"):
        rpcx.connect("dotnet+ipc://127.0.0.1:5/app")


def test_nobody_there(name):
    with pytest.raises(NotSent, match="Is the server running"):
        rpcx.connect(f"dotnet+ipc://{name}/app")


@pytest.mark.skipif(os.geteuid() != 0, reason="not on Linux as root: needs another user")
def test_another_users_server_is_refused(name):
    with socket.socket(socket.AF_UNIX) as squatter:
        squatter.bind(str(path(name)))
        os.setresuid(-1, 65534, -1)  # the listener's user is the one at listen()
        try:
            squatter.listen()
        finally:
            os.setresuid(-1, 0, -1)
        with pytest.raises(AccessDenied, match="runs as user 65534"):
            rpcx.connect(f"dotnet+ipc://{name}/app")


def test_a_way_back_leads_to_sockets_of_that_kind_only():
    from rpcx.abc import PeerFacts
    from rpcx.interop.dotnet.channel import DotnetTcpChannel
    from rpcx.interop.dotnet.http import DotnetHttpChannel
    from rpcx.interop.dotnet.ipc import DotnetIpcChannel

    peer = PeerFacts("dotnet+ipc", "ipc://x", pid=7)
    way = DotnetIpcChannel().way_back(f"unix://{path('there')}", peer)
    assert (way.location, way.params) == ("there", {"pid": "7"})
    for url in ("unix:///etc/passwd", f"unix://{path('x')}/../../run/docker.sock", "tcp://127.0.0.1:80", "ipc://x", ""):
        assert DotnetIpcChannel().way_back(url, peer) is None
    tcp = PeerFacts("dotnet+tcp", "127.0.0.1:40000")
    assert DotnetTcpChannel().way_back("tcp://192.0.2.7:5000/x", tcp).location == "127.0.0.1:5000"
    for url in ("unix:///x", "http://192.0.2.7:80", "tcp://", "tcp://host", "tcp://h:99999"):
        assert DotnetTcpChannel().way_back(url, tcp) is None
    http = PeerFacts("dotnet+http", "[::1]:40000")
    assert DotnetHttpChannel().way_back("http://192.0.2.7:5000/x", http).location == "[::1]:5000"
    for url in ("tcp://192.0.2.7:80", "https://192.0.2.7:80", "http://host", "http://h:99999"):
        assert DotnetHttpChannel().way_back(url, http) is None
