"""Protocols without encryption: on loopback, or for the networks that are named, and those who call from there."""

import socket

import pytest

import rpcx
from rpcx.errors import AccessDenied
from rpcx.interop.plain import PlainPeer, as_reached

SCHEMES = ["dotnet+tcp", "pyro"]


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
    with pytest.raises(AccessDenied, match="needs insecure=True"):
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


def test_a_client_beyond_loopback_is_refused_with_what_to_do():
    for scheme in SCHEMES:
        with pytest.raises(AccessDenied, match="a tunnel"):
            rpcx.connect(f"{scheme}://192.0.2.1:4000", insecure=True)


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
