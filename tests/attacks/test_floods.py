"""Strangers in number, over real sockets: good clients are served, and nothing is left behind.

``--long`` takes the full size: 5,000 sockets instead of 600.
"""

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest

import rpcx
from tests.attacks.cost import best_of_three, growth
from tests.loops import in_a_loop
from tests.protocol.pair import Digest
from tests.security.pair import user

OTHER_FILES = 400  # that a flood leaves to everything else; 256 of them are the host's ends
FEW_THREADS = 8  # that a host may have more, however many strangers there are


@rpcx.singleton("bank")
class Bank:
    def add(self, a: int, b: int) -> int:
        return a + b


@pytest.fixture
def flood_size(request) -> Iterator[int]:
    """So many sockets, and files enough for them."""
    wanted = 5000 if request.config.getoption("--long") else 600
    needed = wanted + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < needed:
        pytest.fail(f"{wanted} sockets need {needed} open files; ulimit -Hn says {hard}")
    if resource.RLIM_INFINITY != soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def opened(*, insecure: bool = True, **options) -> tuple[rpcx.Host, str]:
    host = rpcx.Host(**options)
    host.register(Bank)
    return host, host.listen("tcp://127.0.0.1:0", insecure=insecure)


@contextmanager
def threaded(**options):
    host, url = opened(**options)
    with host:
        yield host, url


@contextmanager
def looped(**options):
    """The same host in an event loop, in a thread of its own."""
    host, url = opened(**options)
    with in_a_loop(host):
        yield host, url


both = pytest.mark.parametrize("serving", [threaded, looped])


def door(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("tcp://").partition("?")[0].rpartition(":")
    return host, int(port)


def connect_from(source: str, where: tuple[str, int], stack: ExitStack) -> socket.socket | None:
    sock = stack.enter_context(socket.socket())
    try:
        sock.settimeout(5)
        sock.bind((source, 0))
        sock.connect(where)
    except OSError:
        return None  # refused at the door: that is the host's right
    return sock


def somewhere(number: int) -> str:
    """One of many addresses of this machine."""
    return f"127.{1 + number % 200}.{number // 200 % 250}.1"


def call_takes(url: str, *, insecure: bool = True) -> float:
    """Seconds that a good client takes to connect, call and leave."""

    def call() -> None:
        with rpcx.connect(url, insecure=insecure, timeout=5) as server:
            assert server.get(Bank).add(1, 2) == 3

    return best_of_three(call)


def eventually(holds, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@both
def test_idle_strangers_from_many_addresses_keep_nobody_out(serving, flood_size):
    process = psutil.Process()
    with serving() as (host, url):
        call_takes(url)
        files, threads = process.num_fds(), threading.active_count()
        with ExitStack() as flood, growth():
            for number in range(flood_size):
                connect_from(somewhere(number), door(url), flood)
                if number % 100 == 99:
                    assert call_takes(url) < 0.5
                    assert threading.active_count() < threads + FEW_THREADS
            assert eventually(lambda: host.stats()["connections"] <= 256, 2), "who is evicted is gone at once"
            assert host.stats()["strangers"] <= 256
            assert host.stats()["strangers_high"] <= 256
            assert host.stats()["evicted"] >= flood_size - 300
            assert call_takes(url) < 0.5
        assert eventually(lambda: host.stats()["connections"] == 0)
        assert eventually(lambda: process.num_fds() <= files)
        assert eventually(lambda: threading.active_count() <= threads)
        assert call_takes(url) < 0.5


@both
def test_an_open_connection_is_not_evicted_by_a_flood(serving):
    with serving(admission=rpcx.Admission(strangers=4)) as (host, url), ExitStack() as flood:
        with rpcx.connect(url, insecure=True) as server:
            bank = server.get(Bank)
            assert bank.add(1, 2) == 3
            for number in range(60):
                connect_from(f"127.0.1.{1 + number}", door(url), flood)
                assert bank.add(number, 1) == number + 1
        assert eventually(lambda: host.stats()["evicted"] >= 50)


@both
def test_a_source_that_hurries_is_refused_and_others_are_not(serving):
    rules = rpcx.Admission(per_source=4, exempt_local=False)
    with serving(admission=rules) as (host, url), ExitStack() as flood:
        for _ in range(12):
            connect_from("127.0.1.1", door(url), flood)
        assert eventually(lambda: host.stats()["refused"] == 8)
        other = connect_from("127.0.1.2", door(url), flood)
        assert eventually(lambda: host.stats()["strangers"] == 5)
        assert other is not None


@both
def test_a_network_that_is_not_allowed_hears_nothing(serving):
    with serving(allow_from=["127.0.0.0/24"]) as (host, url), ExitStack() as stack:
        assert call_takes(url) < 0.5
        outside = connect_from("127.0.1.1", door(url), stack)
        assert outside is None or outside.recv(100) == b""
        assert host.stats()["refused"] == 1


def test_one_door_may_be_narrower_than_the_host():
    host = rpcx.Host()
    host.register(Bank)
    narrow = host.listen("tcp://127.0.0.1:0", insecure=True, allow_from=["192.0.2.0/24"])
    wide = host.listen("tcp://127.0.0.1:0", insecure=True)
    with host:
        assert call_takes(wide) < 0.5
        with pytest.raises(rpcx.ConnectionLost):
            rpcx.connect(narrow, insecure=True, timeout=2)


@both
def test_there_are_so_many_connections_and_the_next_is_told_by_a_closed_door(serving):
    with serving(admission=rpcx.Admission(connections=3)) as (_host, url), ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(rpcx.connect(url, insecure=True))
        with pytest.raises(rpcx.ConnectionLost):
            rpcx.connect(url, insecure=True, timeout=2)
        stack.close()
        assert eventually(lambda: tried(url))


def tried(url: str) -> bool:
    try:
        return call_takes(url) < 5
    except rpcx.ConnectionLost:
        return False


@both
def test_nonsense_costs_its_sender_and_nobody_else(serving):
    rules = rpcx.Admission(exempt_local=False, rate=1000, burst=1000)
    with serving(admission=rules) as (host, url), ExitStack() as stack:
        sock = connect_from("127.0.1.1", door(url), stack)
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert sock.recv(100) == b""
        again = connect_from("127.0.1.1", door(url), stack)
        assert again is None or again.recv(100) == b"", "it stays outside for a while"
        other = connect_from("127.0.1.2", door(url), stack)
        assert eventually(lambda: host.stats()["strangers"] == 1)
        assert other is not None


def test_a_stranger_that_arrives_in_the_middle_of_a_word_is_heard_out():
    """Slow is not guilty: half a hello now, half later."""
    with threaded() as (host, url), ExitStack() as stack:
        slow = connect_from("127.0.0.1", door(url), stack)
        slow.sendall(b"\xabRPC")
        assert call_takes(url) < 0.5
        assert host.stats()["strangers"] == 1
        slow.sendall(b"X\x01\r\n")
        time.sleep(0.05)
        assert host.stats()["strangers"] == 1


# --- penalties, for whatever way of not proving who one is ---------------------------------------------------------


def stays_outside(host: rpcx.Host, attempt) -> None:
    """The attempt fails, and then its source is refused at the door for a while."""
    with pytest.raises((rpcx.AuthenticationFailed, rpcx.NotSent)):
        attempt()
    assert eventually(lambda: host.bounds()["admission.longest_penalty"].now == 1)
    with pytest.raises(rpcx.ConnectionLost):
        attempt()
    assert host.bounds()["admission.longest_penalty"].refused == 1


def test_an_unknown_key_costs_its_source(tmp_path):
    with user(tmp_path / "host"):
        host = rpcx.Host(admission=rpcx.Admission(exempt_local=False))
        url = host.listen("tcp://127.0.0.1:0")
    with host, user(tmp_path / "eve"):
        stays_outside(host, lambda: rpcx.connect(url, timeout=2))


def test_a_proof_that_is_not_believed_costs_its_source():
    rules = rpcx.Admission(exempt_local=False)
    host = rpcx.Host(admission=rules, authenticators=[Digest("ann")])
    url = host.listen("tcp://127.0.0.1:0", insecure=True)
    with host:
        stays_outside(host, lambda: rpcx.connect(url, insecure=True, timeout=2, authenticators=[Digest("eve")]))


def test_on_this_machine_a_failure_costs_nothing_more(tmp_path):
    """Many users share its address."""
    with user(tmp_path / "host"):
        host = rpcx.Host()
        url = host.listen("tcp://127.0.0.1:0")
    with host, user(tmp_path / "eve"):
        for _ in range(3):
            with pytest.raises(rpcx.AuthenticationFailed):
                rpcx.connect(url, timeout=2)
        assert host.bounds()["admission.longest_penalty"].now == 0
