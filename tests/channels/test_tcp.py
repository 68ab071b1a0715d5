"""``tcp://``: TLS, or plain on loopback only."""

import os
import socket

import pytest

from rpcx.channels.tcp import TcpChannel
from rpcx.channels.urls import host_port, parse
from rpcx.errors import AccessDenied, NotSent
from rpcx.security.identity import own_identity
from tests.channels.conformance import accepted, check_channel


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "tcp://localhost:0"])
@pytest.mark.parametrize("insecure", [False, True], ids=["tls", "plain"])
def test_it_is_a_channel(url, insecure):
    check_channel(TcpChannel(), url, insecure=insecure)


def test_plain_tcp_has_to_be_asked_for_by_name():
    listener = TcpChannel().listen(parse("tcp://127.0.0.1:0"))
    near = TcpChannel().connect(parse(listener.url), 5.0)
    far = accepted(listener)
    assert hasattr(near, "secure")
    assert hasattr(far, "secure")
    for end in (near, far, listener):
        end.close()
    plain = TcpChannel().listen(parse("tcp://127.0.0.1:0"), insecure=True)
    assert "key=" not in plain.url
    near = TcpChannel().connect(parse(plain.url), 5.0, insecure=True)
    far = accepted(plain)
    assert not hasattr(near, "secure")
    assert not hasattr(far, "secure")
    assert (far.facts.uid, far.facts.owner, far.facts.private) == (os.geteuid(), True, False)  # it is known who came
    for end in (near, far, plain):
        end.close()


def test_a_host_says_which_key_it_has():
    listener = TcpChannel().listen(parse("tcp://127.0.0.1:0"))
    assert parse(listener.url).params == {"key": own_identity().fingerprint}
    listener.close()


def test_a_key_in_the_url_is_never_dropped_in_silence():
    with pytest.raises(AccessDenied, match="leave out insecure=True"):
        TcpChannel().connect(parse("tcp://127.0.0.1:4000?key=sha256:" + "A" * 43), 1.0, insecure=True)


def test_with_tls_any_address_may_be_listened_on():
    listener = TcpChannel().listen(parse("tcp://0.0.0.0:0"))
    listener.close()


@pytest.mark.parametrize("place", ["0.0.0.0:0", "192.0.2.1:4000", "[::]:0", "[2001:db8::1]:4000", "8.8.8.8:53"])
def test_plain_tcp_is_for_loopback_only(place):
    for act in (
        lambda: TcpChannel().listen(parse(f"tcp://{place}"), insecure=True),
        lambda: TcpChannel().connect(parse(f"tcp://{place}"), 1.0, insecure=True),
    ):
        with pytest.raises(AccessDenied, match="loopback"):
            act()


def test_what_counts_is_the_address_a_name_resolves_to(monkeypatch):
    def resolve(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(AccessDenied, match=r"192\.0\.2\.7"):
        TcpChannel().connect(parse("tcp://localhost:4000"), 1.0, insecure=True)


def test_localhost_means_both_address_families_on_one_port():
    listener = TcpChannel().listen(parse("tcp://localhost:0"), insecure=True)
    _, port = host_port(parse(listener.url).location)
    reached = 0
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                probe.connect((host, port))
                accepted(listener).close()
                reached += 1
        except OSError:
            assert family == socket.AF_INET6  # this machine has none
    assert reached == len(listener.filenos())
    near = TcpChannel().connect(parse(listener.url), 5.0, insecure=True)
    far = accepted(listener)
    assert near.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert far.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    for end in (near, far, listener):
        end.close()


def test_a_client_knows_by_which_name_it_dialled_and_a_host_of_nobody():
    listener = TcpChannel().listen(parse("tcp://localhost:0"), insecure=True)
    for name in ("localhost", "127.0.0.1"):
        url = parse(listener.url.replace("localhost", name))
        client = TcpChannel().connect(url, 5.0, insecure=True)
        server = accepted(listener)
        assert client.facts.dialled == name
        assert server.facts.dialled == ""
        client.close()
        server.close()
    listener.close()


def test_a_port_in_use_is_named_with_a_way_out():
    listener = TcpChannel().listen(parse("tcp://127.0.0.1:0"), insecure=True)
    with pytest.raises(OSError, match=r"port \d+ is in use.*port 0"):
        TcpChannel().listen(parse(listener.url), insecure=True)
    listener.close()


def test_a_refused_connection_says_what_was_tried():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = taken.getsockname()[1]
        with pytest.raises(NotSent, match=rf"127\.0\.0\.1 port {port}.*Is the host running") as caught:
            TcpChannel().connect(parse(f"tcp://127.0.0.1:{port}"), 1.0, insecure=True)
    assert caught.value.executed == "no"
