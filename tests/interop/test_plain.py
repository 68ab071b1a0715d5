"""Protocols without encryption: for this user's processes on loopback, or for the networks that are named."""

import asyncio
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import rpcx
import rpcx.aio
from rpcx import dotnet
from rpcx.channels.urls import host_port, parse
from rpcx.errors import AccessDenied, ConnectionLost, NotSent
from rpcx.interop.plain import PlainPeer, as_reached
from rpcx.interop.pyro.message import CONNECT, Message, write
from rpcx.plugins import channel as find_channel
from tests.channels.conformance import accepted
from tests.others import ANN, SQUAT, Other, needs_root

SCHEMES = ["dotnet+tcp", "dotnet+http", "pyro"]


@dotnet.type("Bank", assembly="bank")
@rpcx.singleton("bank", allow={"*"})
class Bank:
    def balance(self) -> int:
        return 5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("options", [{}, {"allow_from": []}])
def test_beyond_loopback_a_door_without_networks_is_refused(scheme, options):
    host = rpcx.Host()
    with pytest.raises(AccessDenied, match="0.0.0.0 is no loopback address.*allow_from="):
        host.listen(f"{scheme}://0.0.0.0:0", insecure=True, **options)
    with pytest.raises(AccessDenied, match="0.0.0.0 is no loopback address.*insecure=True, allow_from="):
        host.listen(f"{scheme}://0.0.0.0:0", allow_from=["192.0.2.0/24"])
    host.close()


def test_rpcx_itself_has_tls_and_needs_no_such_door():
    host = rpcx.Host()
    with pytest.raises(AccessDenied, match="no loopback address"):
        host.listen("tcp://0.0.0.0:0", insecure=True, allow_from=["192.0.2.0/24"])
    host.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_who_comes_from_elsewhere_hears_nothing(scheme, address):
    host = rpcx.Host()
    url = host.listen(f"{scheme}://0.0.0.0:0", insecure=True, allow_from=["203.0.113.0/24", "127.0.0.1"])
    port = int(url.partition("://")[2].partition("/")[0].rpartition(":")[2])
    with host:
        with socket.create_connection((address, port), timeout=10) as stranger:
            stranger.sendall(b"anything")
            try:
                assert stranger.recv(100) == b""
            except ConnectionResetError:
                pass  # the same, said harder
        with socket.create_connection(("127.0.0.1", port), timeout=10) as known:
            known.settimeout(0.2)
            with pytest.raises(TimeoutError):
                known.recv(100)  # it is listened to


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_client_goes_beyond_loopback_where_it_says_that_it_is_insecure(scheme, address):
    host = rpcx.Host()
    host.register(Bank)
    url = host.listen(f"{scheme}://0.0.0.0:0", insecure=True, allow_from=[address])
    elsewhere = url.replace("0.0.0.0", address)
    with host:
        with pytest.raises(AccessDenied, match="a tunnel.*insecure=True"):
            rpcx.connect(elsewhere)
        with rpcx.connect(elsewhere, insecure=True) as server:
            assert server.get(Bank).balance() == 5
            assert not server._endpoint.facts.owner, "whoever answers there"


def test_a_pyro_client_is_under_the_rules_and_finds_what_it_is_handed(address):
    api = pytest.importorskip("Pyro5.api")

    @rpcx.remote
    class Account:
        def owner(self) -> str:
            return "ann"

    @rpcx.singleton("vault", allow={"ops"})
    class Vault:
        def open(self) -> None: ...

    @rpcx.singleton("desk", allow={"*"})
    class Desk:
        def account(self) -> Account:
            return Account()

        def mine(self, account: Account) -> bool:
            return isinstance(account, Account)

    host = rpcx.Host()
    host.register(Bank, Vault, Desk)
    url = host.listen("pyro://0.0.0.0:0", insecure=True, allow_from=[f"{address}/32"])
    port = url.rpartition(":")[2]
    with host, api.Proxy(f"PYRO:bank@{address}:{port}") as bank, api.Proxy(f"PYRO:vault@{address}:{port}") as vault:
        assert bank.balance() == 5
        with pytest.raises(Exception, match="no such object or method"):
            vault.open()
        with api.Proxy(f"PYRO:desk@{address}:{port}") as desk, desk.account() as account:
            assert account._pyroUri.location == f"{address}:{port}"
            assert account.owner() == "ann"
            assert desk.mine(account) is True


def test_of_all_addresses_the_one_that_was_called_is_told():
    def peer(reached):
        return PlainPeer("pyro", "192.0.2.9:4", reached=reached)

    assert as_reached("0.0.0.0:5", peer("192.0.2.1")) == "192.0.2.1:5"
    assert as_reached("[::]:5", peer("2001:db8::1")) == "[2001:db8::1]:5"
    assert as_reached("10.0.0.1:5", peer("192.0.2.1")) == "10.0.0.1:5"
    assert as_reached("localhost:5", peer("127.0.0.1")) == "localhost:5"


# --- this user's, by the kernel's word -----------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("place", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
def test_on_loopback_both_ends_know_each_other_as_on_a_pipe(scheme, place):
    channel = find_channel(scheme)()
    listener = channel.listen(parse(f"{scheme}://{place}"))
    near, far = connected(channel, listener)
    for end in (near, far):
        facts = end.facts
        assert (facts.channel, facts.uid, facts.owner, facts.private) == (scheme, os.geteuid(), True, True)
        assert str(facts).endswith(f" uid {os.geteuid()}")
        end.close()
    listener.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_with_insecure_everybody_is_the_owner_and_it_is_known_who_came(scheme):
    channel = find_channel(scheme)()
    listener = channel.listen(parse(f"{scheme}://127.0.0.1:0"), insecure=True)
    near, far = connected(channel, listener, insecure=True)
    assert (near.facts.uid, near.facts.owner, near.facts.private) == (None, True, False)
    assert (far.facts.uid, far.facts.owner, far.facts.private) == (os.geteuid(), True, False)
    near.close()
    far.close()
    listener.close()


KNOCK = """
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.sendall(b"x" * 1000)
print("said", flush=True)
sys.stdin.readline()
try:
    print("heard", sock.recv(10))
except ConnectionResetError:
    print("reset")
"""


@needs_root
@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_user_is_refused_before_a_byte_of_it_is_read(scheme, caplog):
    listener = find_channel(scheme)().listen(parse(f"{scheme}://127.0.0.1:0"))
    with Other(KNOCK, port_of(listener.url)) as other:
        assert other.says() == "said"
        assert listener.accept() is None
        other.goes_on()
        assert other.says() == "reset"  # what TCP says when a connection is closed with something unread
    assert listener.refused == 1
    assert f"user {ANN} calls, this side runs as user 0" in caplog.text
    assert "say insecure=True" in caplog.text
    listener.close()


GREET = """
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.settimeout(20)
try:
    sock.sendall(bytes.fromhex(sys.argv[2]))
    heard = sock.recv(4000)
except ConnectionError:
    heard = b""
print(len(heard), flush=True)
"""
HELLO = write(Message(CONNECT, 1, 0, b"{'handshake': 'hello', 'object': 'bank'}")).hex()


def of_another_user(url: str) -> int:
    """How many bytes it hears, who shakes hands with a host as Pyro5 does."""
    with Other(GREET, port_of(url), HELLO) as other:
        return int(other.says())


@needs_root
def test_a_host_serves_this_user_and_no_other_unless_insecure_says_so():
    with rpcx.Host(allow=()) as host:
        host.register(Bank)
        url, anybodys = host.listen("pyro://127.0.0.1:0"), host.listen("pyro://127.0.0.1:0", insecure=True)
        assert of_another_user(url) == 0
        assert of_another_user(anybodys) > 0
        with rpcx.get(f"{url}/bank", Bank) as bank:
            assert bank.balance() == 5


@needs_root
def test_a_host_in_a_loop_does_so_too():
    async def serve() -> None:
        async with rpcx.Host() as host:
            host.register(Bank)
            url, anybodys = host.listen("pyro://127.0.0.1:0"), host.listen("pyro://127.0.0.1:0", insecure=True)
            assert await asyncio.to_thread(of_another_user, url) == 0
            assert await asyncio.to_thread(of_another_user, anybodys) > 0
            async with rpcx.aio.connect(url) as server:
                assert await server.get(Bank, "bank").balance() == 5

    asyncio.run(serve())


@needs_root
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_client_says_nothing_to_another_user_who_has_the_port(scheme):
    with Other(SQUAT, 0) as other:
        port = other.says()
        with pytest.raises(AccessDenied, match=f"user {ANN} listens there, this side runs as user 0.*insecure=True"):
            rpcx.connect(f"{scheme}://127.0.0.1:{port}")
        assert other.says() == "heard b''"


@needs_root
def test_a_client_in_a_loop_neither():
    async def use(port: str) -> None:
        async with rpcx.aio.connect(f"pyro://127.0.0.1:{port}"):
            pass

    with Other(SQUAT, 0) as other:
        with pytest.raises(AccessDenied, match=f"user {ANN} listens there"):
            asyncio.run(use(other.says()))
        assert other.says() == "heard b''"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_that_takes_no_connections_or_ends_them_is_not_taken_for_anybodys(scheme):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NotSent, match="nobody accepted the connection in time"):
            rpcx.connect(url, timeout=0.05)
        server.accept()[0].close()

        def end_it() -> None:
            server.accept()[0].close()

        closing = threading.Thread(target=end_it)
        closing.start()
        with pytest.raises((NotSent, ConnectionLost)), rpcx.connect(url, timeout=5) as server:
            server.get(Bank, "bank").balance()  # the kernel may have named the owner before the end came
        closing.join()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_where_the_system_does_not_tell_there_is_insecure_or_something_better(scheme, monkeypatch):
    insecure = find_channel(scheme)().listen(parse(f"{scheme}://127.0.0.1:0"), insecure=True)
    monkeypatch.delattr(socket, "AF_NETLINK")
    better = "use a pipe, or tcp:// with TLS; or, where every user .* say insecure=True"
    with pytest.raises(AccessDenied, match=f"the system does not tell who calls.*{better}"):
        find_channel(scheme)().listen(parse(f"{scheme}://127.0.0.1:0"))
    with pytest.raises(AccessDenied, match=f"the system does not tell who listens there.*{better}"):
        find_channel(scheme)().connect(parse(insecure.url), 5.0)
    near, far = connected(find_channel(scheme)(), insecure, insecure=True)
    assert (far.facts.uid, far.facts.owner) == (None, True)
    near.close()
    far.close()
    insecure.close()


def connected(channel, listener, **options):
    """Both ends of a connection, whose server's end is accepted while the client waits for that."""
    with ThreadPoolExecutor(1) as threads:
        dialling = threads.submit(channel.connect, parse(listener.url), 10.0, **options)
        far = accepted(listener)
        return dialling.result(10), far


def port_of(url: str) -> int:
    return host_port(parse(url).location)[1]
