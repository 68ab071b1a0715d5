"""Clients that ask for much and take nothing: what waits for them is bounded, whichever way they ask.

A host reads no further when 8 MiB wait. Everything here came before that: in one read, one frame, one stream.
"""

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress

import msgpack
import pytest

import rpcx
import rpcx.drivers.aio
import rpcx.drivers.threads
from rpcx.protocol.connection import COUNT_SIZE
from rpcx.protocol.frames import HEADER, Kind, frame
from tests.attacks.cost import best_of_three, growth
from tests.attacks.test_clients import hostile
from tests.attacks.test_floods import both, eventually

BLOCK = 64 << 10  # bytes of an answer

gate = threading.Event()


@rpcx.singleton("depot")
class Depot:
    def __init__(self) -> None:
        self.made = 0  # answers

    def block(self) -> bytes:
        self.made += 1
        return b"x" * BLOCK

    def text(self) -> str:
        self.made += 1
        return "x" * BLOCK

    def rows(self) -> list[str]:
        self.made += 1
        return ["x" * 1000] * 60

    async def awaited(self) -> bytes:
        self.made += 1
        return b"x" * BLOCK

    @rpcx.method(blocking=True)
    def blocking(self) -> bytes:
        self.made += 1
        time.sleep(0.001)
        return b"x" * BLOCK

    def blocks(self) -> Iterator[bytes]:
        for _ in itertools.count():
            self.made += 1
            yield b"x" * BLOCK

    async def awaited_blocks(self) -> AsyncIterator[bytes]:
        for _ in itertools.count():
            self.made += 1
            yield b"x" * BLOCK

    def lines(self) -> Iterator[str]:
        for _ in itertools.count():
            self.made += 1
            yield "x" * 1000

    async def awaited_lines(self) -> AsyncIterator[str]:
        for _ in itertools.count():  # it never waits for anything
            self.made += 1
            yield "x" * 1000

    def pages(self) -> Iterator[str]:
        for _ in itertools.count():
            self.made += 1
            yield "x" * 8000

    @rpcx.method(blocking=True)
    def rest_on(self, data: bytes) -> int:
        gate.wait(30)
        return len(data)

    @rpcx.oneway
    async def rest(self, data: bytes) -> None:
        while not gate.is_set():
            await asyncio.sleep(0.01)

    def add(self, a: int, b: int) -> int:
        return a + b


@contextmanager
def depot(serving, monkeypatch, **limits):
    for driver in (rpcx.drivers.threads, rpcx.drivers.aio):
        monkeypatch.setattr(driver, "LINGER_SECONDS", 0.2)
    with serving(limits=rpcx.Limits(**limits)) as (host, url):
        kept = Depot()
        host.publish(kept, "depot")
        good_call_takes(url)
        yield host, url, kept


def good_call_takes(url: str) -> float:
    def call() -> None:
        with rpcx.connect(url, insecure=True, timeout=5) as server:
            assert server.get(Depot).add(1, 2) == 3

    return best_of_three(call)


def call(number: int, method: str, *args: object) -> bytes:
    return frame(Kind.CALL, number, msgpack.packb(["depot", method, list(args), 30.0]))[0]


def burst(first: int, method: str, count: int) -> bytes:
    body = msgpack.packb(["depot", method, count, [], 30.0])
    return frame(Kind.BURST, first, count.to_bytes(COUNT_SIZE, "big") + body)[0]


def credit(number: int, items: int) -> bytes:
    return frame(Kind.CREDIT, number, items.to_bytes(4, "big"))[0]


def batch(number: int, method: str, count: int) -> bytes:
    """So many calls in a frame of one kilobyte for each 40,000."""
    runs = [["depot", method, 1000, [], 30.0]] * (count // 1000)
    return frame(Kind.BATCH, number, msgpack.packb(runs))[0]


def is_stuck(depot: Depot) -> bool:
    """Whether it makes nothing more."""
    made = depot.made
    time.sleep(0.1)
    return depot.made == made


def pushed(sock: socket.socket, data: bytes) -> None:
    sock.settimeout(0.5)
    with suppress(OSError):  # it is read no further
        sock.sendall(data)


@both
@pytest.mark.parametrize("method", ["block", "text", "rows", "awaited", "blocking"])
def test_calls_of_one_read_do_not_run_on_when_nobody_takes_their_answers(serving, monkeypatch, method):
    with depot(serving, monkeypatch) as (host, url, kept), growth(), hostile(url) as sock:
        pushed(sock, b"".join(call(number, method) for number in range(1, 1025)))
        assert eventually(lambda: kept.made > 20 and is_stuck(kept))
        assert kept.made < 700
        assert good_call_takes(url) < 0.5
        assert host.stats()["floods"] >= 1
    assert eventually(lambda: host.stats()["connections"] == 0)


@both
@pytest.mark.parametrize("method", ["text", "block"])
def test_calls_of_one_burst_do_not_either(serving, monkeypatch, method):
    with depot(serving, monkeypatch) as (host, url, kept), growth(), hostile(url) as sock:
        pushed(sock, burst(1, method, 1000))
        assert eventually(lambda: kept.made > 20 and is_stuck(kept))
        assert kept.made < 700
        assert good_call_takes(url) < 0.5
    assert eventually(lambda: host.stats()["connections"] == 0)
    assert eventually(lambda: host.stats()["slots"] == 0)


@both
def test_what_was_kept_back_is_answered_when_its_caller_takes_answers_again(serving, monkeypatch):
    with depot(serving, monkeypatch) as (_host, url, kept), hostile(url) as sock:
        numbers = {*range(1, 301)}
        methods = itertools.cycle(["block", "text", "awaited", "blocking", "rows"])
        pushed(sock, b"".join(call(number, method) for number, method in zip(sorted(numbers), methods, strict=False)))
        pushed(sock, burst(301, "text", 300))
        assert eventually(lambda: kept.made > 20 and is_stuck(kept))
        sock.settimeout(10)
        assert eventually_answered(sock) == 600
        assert kept.made == 600


def eventually_answered(sock: socket.socket) -> int:
    """Calls that are answered, until none is for a while."""
    from rpcx.protocol.frames import FrameReader

    reader, answered = FrameReader(64 << 20), 0
    while answered < 600:
        for kind, _, body, _ in reader.read(sock.recv(1 << 20)):
            answered += int.from_bytes(body[:COUNT_SIZE], "big") if kind == Kind.RETURNS else 1
            assert kind in (Kind.RETURN, Kind.RETURNS)
    return answered


@both
def test_who_leaves_with_calls_kept_back_leaves_nothing_behind(serving, monkeypatch):
    with depot(serving, monkeypatch) as (host, url, kept):
        with hostile(url) as sock:
            pushed(sock, b"".join(call(number, "block") for number in range(1, 513)))
            pushed(sock, burst(513, "text", 300))
            assert eventually(lambda: kept.made > 20 and is_stuck(kept))
        assert eventually(lambda: host.stats()["connections"] == 0)
        assert eventually(lambda: host.stats()["slots"] == 0)
        made = kept.made
        assert good_call_takes(url) < 0.5
        assert kept.made == made, "nothing of it ran"


@both
@pytest.mark.parametrize("method", ["blocks", "awaited_blocks", "lines", "awaited_lines"])
def test_an_endless_stream_goes_no_further_than_its_consumer_takes_whatever_credit_it_gave(
    serving, monkeypatch, method
):
    with depot(serving, monkeypatch) as (_host, url, kept), growth(), hostile(url) as sock:
        pushed(sock, call(1, method) + credit(1, 1 << 30) + call(2, "add", 1, 2))
        assert eventually(lambda: kept.made > 20 and is_stuck(kept), seconds=30)
        assert good_call_takes(url) < 0.5


@both
@pytest.mark.parametrize("method", ["lines", "pages"])
def test_many_of_one_read_go_no_further_either(serving, monkeypatch, method):
    with depot(serving, monkeypatch) as (_host, url, kept), growth(), hostile(url) as sock:
        pushed(sock, b"".join(call(number, method) + credit(number, 1 << 30) for number in range(1, 513)))
        assert eventually(lambda: kept.made > 20 and is_stuck(kept), seconds=30)
        assert good_call_takes(url) < 0.5


@both
def test_the_answers_of_a_batch_have_room_for_one_message(serving, monkeypatch):
    with depot(serving, monkeypatch, message=8 << 20) as (_host, url, kept), growth(), hostile(url) as sock:
        pushed(sock, batch(1, "block", 100_000))
        assert eventually(lambda: kept.made > 20 and is_stuck(kept))
        assert kept.made < 200
        assert good_call_takes(url) < 0.5


@both
def test_a_batch_asks_for_so_many_calls_and_no_more(serving, monkeypatch):
    with depot(serving, monkeypatch) as (host, url, _kept), growth(), hostile(url) as sock:
        sock.sendall(batch(1, "add", 2_000_000))
        sock.settimeout(5)
        answer = sock.recv(65536)
        assert b"a batch has more than 100000 calls" in answer
        assert host.bounds()["fixed.batch_calls"].refused == 1


@both
def test_one_way_calls_that_wait_are_bounded_and_what_is_lost_is_counted(serving, monkeypatch):
    gate.clear()
    with depot(serving, monkeypatch, message=4 << 20) as (host, url, _kept), growth(), hostile(url) as sock:
        one = frame(Kind.ONEWAY, 0, msgpack.packb(["depot", "rest", [b"x" * 1000], None]))[0]
        for _ in range(60):
            pushed(sock, one * 500)  # 30 MB
        try:
            assert eventually(lambda: host.bounds()["limits.oneways"].refused > 20_000)
            assert good_call_takes(url) < 0.5
        finally:
            gate.set()


@both
def test_messages_that_many_connections_have_begun_have_room_together(serving, monkeypatch):
    """Each is short of its end. What has no room is not kept, whatever comes of it, and its call is told so."""
    body = msgpack.packb(["depot", "rest_on", [b"x" * (4 << 20)], 30.0])
    begun = HEADER.pack(len(body), Kind.CALL, 0, 0, 1) + body[:-1]
    gate.clear()
    bounds = {"message": 5 << 20, "large_per_host": 9 << 20}
    with depot(serving, monkeypatch, **bounds) as (host, url, _kept), growth(), ExitStack() as stack:
        socks = [stack.enter_context(hostile(url)) for _ in range(20)]
        for sock in socks:
            sock.sendall(begun)
        assert eventually(lambda: host.bounds()["limits.large_per_host"].now > 8 << 20)
        assert host.bounds()["limits.large_per_host"].now < 9 << 20
        for sock in socks:
            sock.sendall(body[-1:])
        assert eventually(lambda: host.bounds()["limits.large_per_host"].refused == 18)
        assert sum(b"LimitExceeded" in said(sock) for sock in socks) == 18
        assert good_call_takes(url) < 0.5
        gate.set()
        assert eventually(lambda: host.bounds()["limits.large_per_host"].now == 0)


@both
def test_so_have_calls_that_run_and_leaving_makes_none(serving, monkeypatch):
    body = msgpack.packb(["depot", "rest_on", [b"x" * (1 << 20)], 30.0])
    gate.clear()
    bounds = {"message": 2 << 20, "large_per_host": 5 << 20}  # four fit, with their heads
    with depot(serving, monkeypatch, **bounds) as (host, url, _kept), growth():
        for refused in (20 - 4, 20 - 4 + 20):
            with hostile(url) as sock:
                for number in range(1, 21):
                    sock.sendall(HEADER.pack(len(body), Kind.CALL, 0, 0, number) + body)
                assert eventually(lambda most=refused: host.bounds()["limits.large_per_host"].refused == most)
        assert 4 * len(body) <= host.bounds()["limits.large_per_host"].now < 5 * len(body)
        assert good_call_takes(url) < 0.5
        gate.set()
        assert eventually(lambda: host.bounds()["limits.large_per_host"].now == 0)


def said(sock: socket.socket) -> bytes:
    """What it has to say by now."""
    sock.settimeout(0.3)
    try:
        return sock.recv(65536)
    except TimeoutError:
        return b""
