"""Strangers in number at a door with TLS: who begins to shake hands and stops, who repeats what somebody else said.

OpenSSL works for each that says a ClientHello, so the bounds of a source come before it. Full size with ``--long``.
"""

import socket
import ssl
import threading
import time
from contextlib import ExitStack

import psutil
import pytest

import rpcx
from tests.attacks.cost import growth
from tests.attacks.test_floods import (
    FEW_THREADS,
    both,
    call_takes,
    connect_from,
    door,
    eventually,
    flood_size,
    somewhere,
)

__all__ = ["flood_size"]  # a fixture

STRANGERS = 256  # at once, by default


@pytest.fixture
def client_hello() -> bytes:
    """What an rpcx client says first; whoever heard it can repeat it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["rpcx/1"])
    said = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), said).do_handshake()
    return said.read()


@both
def test_strangers_who_begin_to_shake_hands_and_stop_keep_nobody_out(serving, flood_size, client_hello):
    process = psutil.Process()
    with serving(insecure=False) as (host, url):
        call_takes(url, insecure=False)
        files, threads = process.num_fds(), threading.active_count()
        with ExitStack() as flood, growth():
            for number in range(flood_size):
                stranger = connect_from(somewhere(number), door(url), flood)
                if stranger is not None:
                    stranger.sendall(client_hello)
                if number % 100 == 99:
                    assert call_takes(url, insecure=False) < 0.5
                    assert threading.active_count() < threads + FEW_THREADS
            assert eventually(lambda: host.stats()["connections"] <= STRANGERS, 2), "who is evicted is gone at once"
            assert host.stats()["evicted"] >= flood_size - 300
            assert call_takes(url, insecure=False) < 0.5
        assert eventually(lambda: host.stats()["connections"] == 0)
        assert eventually(lambda: process.num_fds() <= files)
        assert eventually(lambda: threading.active_count() <= threads)


def is_answered(source: str, url: str, data: bytes) -> bool:
    """Whether the host shakes hands with who says ``data``."""
    with ExitStack() as stack:
        sock = connect_from(source, door(url), stack)
        if sock is None:
            return False
        try:
            sock.sendall(data)
            return bool(sock.recv(1))
        except ConnectionError:
            return False


@both
def test_a_hello_that_one_source_repeats_is_worked_on_so_often_a_second_and_no_more(serving, client_hello):
    rules = rpcx.Admission(exempt_local=False, per_source=1000, longest_penalty=0)  # the rate alone
    with serving(insecure=False, admission=rules) as (host, url):
        assert call_takes(url, insecure=False) < 0.5
        begun = time.monotonic()
        answered = sum(is_answered("127.0.1.1", url, client_hello) for _ in range(300))
        allowed = rules.burst + rules.rate * (time.monotonic() - begun)
        assert rules.burst <= answered <= allowed + 1
        assert host.bounds()["admission.rate"].refused == 300 - answered
        assert call_takes(url, insecure=False) < 0.5, "another source"


@both
def test_who_repeats_a_hello_and_leaves_stays_outside_for_a_while(serving, client_hello):
    with serving(insecure=False, admission=rpcx.Admission(exempt_local=False)) as (host, url):
        assert is_answered("127.0.1.1", url, client_hello)
        assert eventually(lambda: host.bounds()["admission.longest_penalty"].now == 1)
        assert not is_answered("127.0.1.1", url, client_hello)
        assert is_answered("127.0.1.2", url, client_hello)
        assert call_takes(url, insecure=False) < 0.5


@both
def test_who_speaks_plainly_at_a_door_with_tls_gets_no_answer(serving):
    with serving(insecure=False) as (_host, url), ExitStack() as stack:
        for words in (
            b"\xabRPCX\x01\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x15\x03\x03\x00\x02\x02\x28",
        ):
            sock = connect_from("127.0.0.1", door(url), stack)
            assert sock is not None
            sock.sendall(words)
            sock.settimeout(5)
            try:
                assert sock.recv(100) == b""
            except ConnectionError:
                pass
            assert call_takes(url, insecure=False) < 0.5


def test_the_sockets_of_the_flood_are_as_many_as_they_say(flood_size):
    """Else the flood would prove nothing."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(flood_size)]
        assert len({sock.fileno() for sock in socks}) == flood_size
