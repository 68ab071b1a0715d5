"""Hosts in a stock Pyro5 name server, in a process of its own: entered, found by stock clients, taken out."""

import time

import pytest

import rpcx
from rpcx.abc import Announced
from rpcx.interop.pyro import names
from rpcx.interop.pyro.names import Announcer, PyroName
from tests.interop.pyro.shop import Account, Bank


@pytest.fixture
def known(peer, daemon):
    """What the name server knows, and its metadata, as a stock client sees it."""
    host, _, port = daemon.names.partition(":")
    peer.run(f"names = Pyro5.api.locate_ns({host!r}, {port})")

    def known(prefix: str = "") -> dict[str, tuple[str, set[str]]]:
        found = eval(peer.run(f"result = names.list(prefix={prefix!r}, return_metadata=True)"))
        return {name: (uri, set(tags)) for name, (uri, tags) in found.items()}

    yield known
    peer.run("names._pyroRelease()")


def eventually(there) -> None:
    end = time.monotonic() + 10
    while not there():
        assert time.monotonic() < end


def test_a_host_is_found_by_stock_clients_while_it_runs(peer, daemon, known):
    host = rpcx.Host()
    host.register(Bank, name=f"PYRONAME:shop.bank@{daemon.names}", tags={"region": "eu"})
    host.register(Account)
    location = host.listen("pyro://127.0.0.1:0").partition("://")[2]
    with host:
        eventually(lambda: known("shop."))
        assert known("shop.") == {"shop.bank": (f"PYRO:bank@{location}", {"region=eu"})}
        assert peer.run("with Proxy(names.lookup('shop.bank')) as bank: result = bank.greet('ann')") == "'hello ann'"
        with rpcx.get(f"PYRONAME:shop.bank@{daemon.names}", Bank) as bank:
            assert bank.greet("ann") == "hello ann"
    assert known("shop.") == {}
    assert "some.bank" in known()


@pytest.fixture
def announced(daemon, monkeypatch):
    """Makes announcers that look all the time."""
    monkeypatch.setattr(names, "RENEW_SECONDS", 0.0)
    made: list[Announcer] = []

    def announced(*urls: str) -> Announcer:
        offers = [Announced(f"PYRONAME:thing@{daemon.names}", urls, {})]
        made.append(PyroName().announce(offers[0].name, lambda: offers))
        return made[-1]

    yield announced
    for each in made:
        each.close()


def test_a_name_that_was_lost_is_entered_again(peer, announced, known):
    announced("pipe://x/thing", "pyro://127.0.0.1:1/thing")
    eventually(lambda: known("thing"))
    peer.run("names.remove('thing')")
    eventually(lambda: known("thing"))
    assert known("thing")["thing"][0] == "PYRO:thing@127.0.0.1:1"


def test_a_name_is_taken_over_from_the_program_before_and_left_to_the_one_after(peer, announced, known, caplog):
    peer.run("names.register('thing', 'PYRO:thing@127.0.0.1:1')")
    announcer = announced("pyro://127.0.0.1:2/thing")
    eventually(lambda: known("thing")["thing"][0] == "PYRO:thing@127.0.0.1:2")
    peer.run("names.register('thing', 'PYRO:thing@127.0.0.1:3')")
    eventually(lambda: "it keeps it" in caplog.text)
    announcer.close()
    assert known("thing")["thing"][0] == "PYRO:thing@127.0.0.1:3"
    assert caplog.text.count("it keeps it") == 1


def test_a_host_without_a_channel_for_pyro_says_so(announced, known, caplog):
    announced("pipe://x/thing")
    eventually(lambda: "does not listen on pyro://" in caplog.text)
    assert known("thing") == {}


def test_a_name_server_that_is_gone_keeps_what_it_has_and_no_host_from_closing(daemon, announced, known, caplog):
    announcer = announced("pyro://127.0.0.1:1/thing")
    eventually(lambda: known("thing"))
    daemon.process.kill()
    announcer.close()
    assert "stay in the name server" in caplog.text


def test_names_that_make_no_sense_are_refused_at_once():
    with pytest.raises(ValueError, match="looks like PYRONAME:bank"):
        rpcx.Host().register(Bank, name="PYRONAME:")
    assert PyroName().place("PYRONAME:bank") == "127.0.0.1:9090"
    assert PyroName().place("PYRONAME:bank@names.example") == "names.example:9090"
    assert PyroName().place("PYRONAME:bank@[::1]") == "[::1]:9090"
    assert PyroName().place("PYRONAME:bank@[::1]:4") == "[::1]:4"
