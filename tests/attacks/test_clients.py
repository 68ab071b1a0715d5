"""Clients that shook hands and are hostile: each pays for itself, a good one is served meanwhile.

They are the host's own user here, whom rules of access do not stop: what holds for them holds for all.
"""

import itertools
import logging
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import msgpack
import psutil
import pytest

import rpcx
import rpcx.drivers.aio
import rpcx.drivers.threads
from rpcx.protocol.frames import HEADER, Kind, frame
from rpcx.protocol.handshake import MAGIC, Offer
from rpcx.remoting.proxy import dynamic_method
from tests.attacks.cost import growth
from tests.attacks.test_floods import both, door, eventually, threaded

MIB = 1 << 20
BLOCK = 64 << 10  # bytes
NAMES = 5_000  # that are tried instead of a method's

ran: list[str] = []
resting: list[int] = []
gate = threading.Event()


@rpcx.singleton("bank")
class Bank:
    limit = 5

    def __init__(self) -> None:
        self.total = 3

    def add(self, a: int, b: int) -> int:
        return a + b

    def block(self) -> bytes:
        return b"x" * BLOCK

    @rpcx.method(blocking=True)
    def rest(self) -> None:
        resting.append(1)
        gate.wait(10)

    def _secret(self) -> None:
        ran.append("_secret")


@rpcx.client_activated(lease=rpcx.Lease(initial=60))
class Note:
    def text(self) -> str:
        return "text"


@contextmanager
def offered(serving, **options):
    with serving(**options) as (host, url):
        host.withdraw("bank")
        host.register(Bank, Note)
        yield host, url


@contextmanager
def hostile(url: str, name: str = "eve"):
    """A connection that shook hands, and speaks for itself."""
    with socket.create_connection(door(url), timeout=5) as sock:
        sock.sendall(MAGIC + frame(Kind.HELLO, 0, Offer(name=name).to_bytes())[0])
        assert sock.recv(4096).startswith(MAGIC)
        yield sock


def call(number: int, method: str, *args: object) -> bytes:
    return frame(Kind.CALL, number, msgpack.packb(["bank", method, list(args), 30.0]))[0]


def good_call_takes(url: str) -> float:
    begun = time.monotonic()
    with rpcx.connect(url, insecure=True, timeout=5) as server:
        assert server.get(Bank).add(1, 2) == 3
    return time.monotonic() - begun


def is_closed(sock: socket.socket) -> bool:
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return True  # else a timeout is raised


@both
def test_who_takes_no_answers_is_read_no_further_and_closed(serving, monkeypatch):
    for driver in (rpcx.drivers.threads, rpcx.drivers.aio):
        monkeypatch.setattr(driver, "LINGER_SECONDS", 0.2)
    limits = rpcx.Limits(write_stall=1.0)
    with offered(serving, limits=limits) as (host, url), hostile(url) as sock, growth():
        good_call_takes(url)
        sock.settimeout(0.3)
        numbers = itertools.count(1)
        accepted = 0
        try:
            for _ in range(400):  # 100 x 64 KiB each: 2.5 GiB if all were answered
                accepted += sock.send(b"".join(call(next(numbers), "block") for _ in range(100)))
                time.sleep(0.002)
        except OSError:
            pass  # it is read no further, or was closed
        assert good_call_takes(url) < 0.5
        assert eventually(lambda: host.stats()["connections"] == 0)
        assert accepted


@both
def test_who_cancels_what_it_calls_is_cut_off_and_its_work_still_counts(serving):
    gate.clear()
    resting.clear()
    with offered(serving, limits=rpcx.Limits(in_flight=100)) as (host, url):
        with hostile(url) as sock:
            sock.sendall(b"".join(call(number, "rest") for number in range(1, 101)))
            assert eventually(lambda: len(resting) >= (100 if serving is threaded else 4))  # a loop has few threads
            sock.sendall(b"".join(frame(Kind.CANCEL, number, b"")[0] for number in range(1, 101)))
            sock.sendall(call(101, "rest"))  # a slot is not free because its caller gave up
            assert is_closed(sock)
        gate.set()
        assert good_call_takes(url) < 0.5
        with hostile(url) as sock:
            try:
                for number in range(1, 300):
                    sock.sendall(call(number, "add", 1, 2) + frame(Kind.CANCEL, number, b"")[0])
            except ConnectionError:
                pass
            assert is_closed(sock)
        assert good_call_takes(url) < 0.5


@both
def test_who_sends_nonsense_all_the_time_is_cut_off(serving):
    batch = frame(Kind.BATCH, 1, msgpack.packb([["bank"]]))[0]
    calls = [batch, frame(Kind.CALL, 1, b"\xc1")[0], frame(Kind.ONEWAY, 0, b"\xc1")[0]]
    with offered(serving) as (host, url):
        for data in calls:
            with hostile(url) as sock:
                sock.settimeout(5)
                sent = 0
                with suppress(ConnectionError):  # it reads on meanwhile
                    for sent in range(1000):
                        sock.sendall(data)
                        if data is not calls[2]:
                            sock.recv(65536)  # the answer, so that the id is free again; or the end
                assert is_closed(sock)
                assert sent >= 199, "now and then nonsense is allowed"
        assert good_call_takes(url) < 0.5
        assert eventually(lambda: host.stats()["connections"] == 0)


@both
def test_who_pings_all_the_time_is_cut_off(serving):
    with offered(serving) as (host, url):
        with hostile(url) as sock:
            with suppress(ConnectionError):
                for _ in range(20):
                    sock.sendall(frame(Kind.PING, 7, b"")[0])
                    sock.recv(65536)
            assert is_closed(sock)
        assert good_call_takes(url) < 0.5
        assert eventually(lambda: host.stats()["connections"] == 0)


def names() -> list[str]:
    """What somebody might try who looks for a way from a method to everything else."""
    words = {
        name
        for kind in (
            object,
            type,
            int,
            str,
            list,
            dict,
            Exception,
            type(names),
            type(rpcx),
            bytes,
            set,
            tuple,
            socket.socket,
            threading.Thread,
            rpcx.Host,
            type(gate),
        )
        for name in dir(kind)
    }
    words |= {"_secret", "limit", "total", "ran", "gate", "Bank", "eval", "exec", "open", "import", "__builtins__"}
    tried = sorted(words - {"add", "block", "rest"})
    marks = (".", "/", "\0", " ", "::", "[", ".__", "->")
    joined = (f"{a}{between}{b}" for between in marks for a in ("add", "") for b in tried)
    spelled = (f"{before}{name}{behind}" for name in tried for before, behind in (("", ""), ("add", ""), ("", ".set")))
    odd = ["", "add\0", "ADD", "a" * 5000, "add\u200b", "\uff41\uff44\uff44", "..", "*", "%s", "add;", "\x1b[2J"]
    return [*dict.fromkeys((*odd, *spelled, *joined))][:NAMES]


@both
def test_no_name_but_a_declared_one_leads_anywhere(serving):
    with offered(serving) as (_host, url), rpcx.connect(url, insecure=True) as server:
        tried = names()
        assert len(tried) == NAMES
        for name in tried:
            with pytest.raises(rpcx.ObjectNotFound):
                server.call("bank", dynamic_method(name), (), {})
        assert server.call("bank", dynamic_method("add"), (1, 2), {}) == 3
    assert ran == []


@both
def test_what_a_client_keeps_and_gives_back_still_counts(serving):
    with offered(serving, quotas=rpcx.Quotas(per_principal=20)) as (host, url):
        for _ in range(2):  # a new session is no new quota
            with rpcx.connect(url, insecure=True) as server:
                for _ in range(10):
                    rpcx.lease(server.create(Note)).renew(1e6)
        with rpcx.connect(url, insecure=True) as server:
            assert host.stats()["leased"] == 20
            with pytest.raises(rpcx.LimitExceeded, match="per_principal=20"):
                server.create(Note)
        assert good_call_takes(url) < 0.5


@both
def test_every_kind_of_frame_after_the_handshake_costs_its_sender_alone(serving):
    bodies = [b"", b"\xc1", b"\x00" * 4, b"\xff" * 64, msgpack.packb([]), msgpack.packb([["bank"]])]
    with offered(serving) as (host, url), rpcx.connect(url, insecure=True) as good:
        bank = good.get(Bank)
        for kind in range(256):
            with hostile(url) as sock:
                for number, body in enumerate(bodies):
                    try:
                        sock.sendall(frame(kind, number, body)[0])
                    except ConnectionError:
                        break
            assert bank.add(kind, 1) == kind + 1
        assert eventually(lambda: host.stats()["connections"] == 1)


@both
def test_a_length_that_lies_takes_no_memory(serving):
    process = psutil.Process()
    with offered(serving, limits=rpcx.Limits(frame_seconds=0.5)) as (host, url):
        good_call_takes(url)
        memory = process.memory_info().rss
        socks = []
        for _ in range(32):  # 2 GiB announced
            cage = hostile(url)
            sock = cage.__enter__()
            socks.append(cage)
            sock.sendall(HEADER.pack(64 * MIB - 64, Kind.CALL, 0, 0, 1) + b"x" * 5000)
        assert good_call_takes(url) < 0.5
        assert process.memory_info().rss - memory < 32 * MIB
        assert eventually(lambda: host.stats()["connections"] == 0), "what was begun must be finished in time"
        for cage in socks:
            cage.__exit__(None, None, None)


def test_a_strangers_words_make_no_lines_in_the_log(caplog):
    evil = "eve\r\n2026-01-01 root logged in\x1b[2J"
    with caplog.at_level(logging.DEBUG), offered(threaded) as (_host, url):
        with hostile(url, evil) as sock:
            sock.sendall(frame(Kind.ONEWAY, 0, msgpack.packb([evil, evil, [evil], None]))[0])
            sock.sendall(call(1, evil))
            sock.recv(4096)
            sock.sendall(frame(77, 1, evil.encode())[0])
            assert is_closed(sock)
        good_call_takes(url)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("rpcx")]
    assert said, "the one-way call that failed is told"
    assert not [text for text in said if any(ord(letter) < 32 or ord(letter) == 127 for letter in text)]


@both
def test_many_connections_have_no_more_in_flight_than_the_host_lets_them(serving):
    """And leaving frees no slot before the work has ended."""
    gate.clear()
    resting.clear()
    with offered(serving, limits=rpcx.Limits(in_flight_per_host=40)) as (host, url):
        with ExitStack() as stack:
            for _ in range(4):
                sock = stack.enter_context(hostile(url))
                sock.sendall(b"".join(call(number, "rest") for number in range(1, 31)))
            assert eventually(lambda: host.stats()["calls_refused"] >= 120 - 44)
            refused = host.stats()["calls_refused"]
            assert refused <= 120 - 40
            sock.settimeout(5)
            answer = sock.recv(65536)
            assert b"LimitExceeded" in answer
            assert b"try again" in answer
            assert good_call_takes(url) < 0.5, "a call at a time needs no slot"
        assert eventually(lambda: host.stats()["connections"] == 0)
        assert host.stats()["slots"] >= 36
        with hostile(url) as again:
            again.sendall(b"".join(call(number, "rest") for number in range(1, 31)))
            assert eventually(lambda: host.stats()["calls_refused"] >= refused + 20)
            gate.set()
            assert eventually(lambda: host.stats()["slots"] <= 30)
        assert eventually(lambda: host.stats()["slots"] == 0)
        assert good_call_takes(url) < 0.5
