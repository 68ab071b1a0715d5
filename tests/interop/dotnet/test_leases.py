"""Leases and sponsors over the wire, in both directions. Times are short, and what is waited for is waited for."""

import datetime
import threading
import time

import pytest

import rpcx
from rpcx.errors import AccessDenied, ObjectNotFound
from tests.interop.dotnet.shop import Talk

CALLBACKS = "dotnet+tcp://127.0.0.1:0/app?callbacks=yes"


@pytest.fixture(scope="module")
def url(mono):
    with mono.serving() as url:
        yield url


# --- C# clients, objects here ------------------------------------------------------------------------------


def test_a_csharp_client_reads_and_renews_the_lease_of_an_object_here(mono, serving):
    host = rpcx.Host()
    host.register(Talk)
    assert mono.run("client.exe", serving(host), "lease") == {
        "singleton": "True",
        "state": "Active",
        "initial": "300",
        "on call": "120",
        "patience": "120",
        "left": "True",
        "renewed": "900",
        "now": "900",
    }


def brief_lease(monkeypatch, seconds=0.3):
    from rpcx.interop.dotnet import appdomain

    terms = rpcx.Lease(initial=seconds, renew_on_call=0.3, sponsorship_timeout=10)
    monkeypatch.setattr(appdomain, "DEFAULT_LEASE", terms)


def test_a_csharp_sponsor_keeps_an_object_here_for_as_long_as_it_wants(mono, serving, monkeypatch):
    brief_lease(monkeypatch)
    host = rpcx.Host()
    host.register(Talk)
    url = serving(host, CALLBACKS)
    with mono.started("client.exe", url, "listening", "sponsor") as process:
        assert process.stdout.readline() == "registered: yes\n"
        asked = [process.stdout.readline() for _ in range(3)]
        assert asked == ["asked: Renewing\n"] * 3
        gone(host)
        process.stdin.write("\n")
        process.stdin.flush()
        out, err = process.communicate(timeout=30)
    assert out.splitlines() == ["times: 3", "after: System.Runtime.Remoting.RemotingException", "done: yes"], err


def gone(host):
    """Wait until no leased object is left."""
    deadline = time.monotonic() + 10
    while host.stats()["leased"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_without_callbacks_a_sponsor_is_refused(mono, serving):
    host = rpcx.Host()
    host.register(Talk)
    with mono.started("client.exe", serving(host), "listening", "sponsor") as process:
        _, err = process.communicate(timeout=30)
    assert "calls back to .NET clients are not enabled" in err


# --- Python clients, C# objects ----------------------------------------------------------------------------


class Keeper:
    """A sponsor that grants so many renewals."""

    def __init__(self, times):
        self.left = times
        self.asked = threading.Semaphore(0)

    def renewal(self, lease):
        self.left -= 1
        self.asked.release()
        return 0.5 if self.left >= 0 else 0.0


def test_a_python_client_reads_and_renews_the_lease_of_an_object_there(url):
    with rpcx.connect(url) as server:
        talk = server.get(Talk, "talk")
        assert rpcx.lease(talk).info() is None
        lease = rpcx.lease(talk.new_counter(1))
        info = lease.info()
        assert (info.state, info.initial, info.renew_on_call, info.sponsorship_timeout) == ("ACTIVE", 0.6, 0.6, 5.0)
        assert 55 < lease.renew(60) <= 60
        assert 50 < lease.remaining <= 60


def test_a_python_sponsor_keeps_an_object_there_for_as_long_as_it_wants(url):
    with rpcx.connect(f"{url}?callbacks=yes") as server:
        counter = server.get(Talk, "talk").new_counter(1)
        keeper = Keeper(2)
        rpcx.lease(counter).register(keeper)
        for _ in range(3):
            assert keeper.asked.acquire(timeout=20)
        deadline = time.monotonic() + 20
        with pytest.raises(ObjectNotFound):
            while time.monotonic() < deadline:
                time.sleep(0.8)  # longer than a call renews for
                counter.next()


def test_a_sponsor_may_be_taken_back(url):
    with rpcx.connect(f"{url}?callbacks=yes") as server:
        counter = server.get(Talk, "talk").new_counter(1)
        keeper = Keeper(10**6)
        rpcx.lease(counter).register(keeper)
        rpcx.lease(counter).unregister(keeper)
        assert not keeper.asked.acquire(timeout=1.5)


def test_a_client_that_listens_nowhere_cannot_sponsor(url):
    with rpcx.connect(url) as server:
        counter = server.get(Talk, "talk").new_counter(1)
        with pytest.raises(AccessDenied, match="callbacks=yes"):
            rpcx.lease(counter).register(rpcx.ClientSponsor())


def test_seconds_become_a_span_that_dotnet_can_say():
    from rpcx.interop.dotnet.lifetime import seconds, span

    assert span(1.5) == datetime.timedelta(seconds=1.5)
    assert span(float("inf")).days > 900_000
    assert seconds(datetime.timedelta(minutes=1)) == 60
    assert seconds(None) == 0
