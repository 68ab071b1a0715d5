"""What the time of a refusal tells: nothing that its text does not.

Absent, forbidden and not one's own are answered alike; here it is looked that they take alike. In short, with the
host's work by itself and nothing around it: the same functions run, in the same order, and medians are close. With
``--long``, as a client sees it over loopback and TLS: Welch's t of 20,000 samples each stays below 4.5 in absolute
value, which chance exceeds seven times in a million; in short of fewer, below 9.

Not so for what is in no cache: that one of 200 objects is there shows 0.4 µs later to who calls each, and that an id is
which somebody guessed, of 128 random bits, 0.2 µs later.
"""

import datetime
import gc
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import msgpack
import pytest

import rpcx
from rpcx.abc import PeerFacts
from rpcx.errors import AuthenticationFailed
from rpcx.protocol.frames import FrameReader, Kind, frame
from rpcx.protocol.handshake import MAGIC, Offer
from rpcx.remoting.proxy import dynamic_method
from rpcx.security import trust as trust_store
from rpcx.security.identity import own_identity
from rpcx.security.keyring import trust
from rpcx.security.tokens import TokenAuthenticator
from tests.security.pair import user
from tests.security.test_tokens import Two, binding

ROOT = Path(__file__).parents[2]
THRESHOLD = 4.5
LONG, SHORT = 20_000, 1_500  # samples of each case
CONNECTIONS = 4_000  # … where each is a connection
CROPPED = 0.8  # share of the samples that are kept, the fastest: what is above is other programs' doing
CLOSE = 0.15  # by which medians may differ in the short form, of the larger

Work = Callable[[], object]


@rpcx.singleton("open", allow=["*"])
class Open:
    def get(self) -> int:
        return 1

    @rpcx.method(allow=["ops"])
    def put(self) -> None: ...


@rpcx.singleton("shut", allow=["ops"])
class Shut:
    def get(self) -> int:
        return 1


@rpcx.client_activated(allow=["*"], lease=rpcx.Lease(initial=3600))
class Note:
    def get(self) -> int:
        return 1


@rpcx.client_activated(allow=["ops"], lease=rpcx.Lease(initial=3600))
class Secret:
    def get(self) -> int:
        return 1


class Line:
    """A host's end of a connection whose client is ``ann``, in memory."""

    def __init__(self, host: rpcx.Host) -> None:
        facts = PeerFacts("tcp", "192.0.2.1:1", principal="ann", fingerprint="sha256:ann")
        self.end = host._realm.endpoint("", facts)
        quiet = dict.fromkeys(("flush", "flush_soon", "flush_now", "flush_later", "rearm", "close"), lambda: None)
        self.end.attach(SimpleNamespace(facts=facts, spawn=lambda job: job.run(), **quiet), 0.0)
        self.end.receive(MAGIC + frame(Kind.HELLO, 0, Offer(name="ann").to_bytes())[0], 0.0)
        self.end.outgoing()

    def asks(self, target: str, method: str) -> Work:
        """Call, and what the host has to say to it."""
        data = frame(Kind.CALL, 7, msgpack.packb([target, method, [], 30.0]))[0]
        end = self.end

        def ask() -> bytes:
            for job in end.receive(data, 0.0):
                job.run()
            return b"".join(end.outgoing())

        return ask


@pytest.fixture
def host():
    made = rpcx.Host()
    made.register(Open, Shut, Note, Secret)
    yield made
    made._realm.endpoints.clear()
    made.close()


def handed_to_another(host: rpcx.Host, cls: type) -> str:
    """The id of an object that somebody else holds."""
    entry = host._realm.table.export(cls(), "somebody else")
    return entry.uri


def trace(work: Work) -> list[str]:
    """The functions that run, in order."""
    called: list[str] = []

    def note(frame, event, argument) -> None:
        if event == "call":
            called.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        elif event == "c_call":
            called.append(getattr(argument, "__qualname__", repr(argument)))

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


def timed(works: list[Work], samples: int) -> list[list[int]]:
    """Nanoseconds that each takes, in turns of random order: what the machine does meanwhile meets all alike."""
    taken: list[list[int]] = [[] for _ in works]
    order = list(range(len(works)))
    clock, shuffle = time.perf_counter_ns, random.Random(1).shuffle
    for work in works * 50:
        work()
    gc.disable()
    try:
        for _ in range(samples):
            shuffle(order)
            for index in order:
                begun = clock()
                works[index]()
                taken[index].append(clock() - begun)
    finally:
        gc.enable()
    return taken


def welch(one: list[int], other: list[int]) -> float:
    """Welch's t of two lists of times, cropped at the same time."""
    most = sorted(one + other)[int(len(one + other) * CROPPED)]
    one, other = [t for t in one if t <= most], [t for t in other if t <= most]
    variance = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / variance**0.5


def run_alike(works: list[Work]) -> None:
    """The host does the same for each, as far as can be told without a network."""
    assert len({work() for work in works}) == 1, "and says the same"
    first, *others = [trace(work) for work in works for _ in range(2)][1::2]
    for other in others:
        assert other == first
    for _ in range(5):  # a busy machine may have one bad second
        medians = [statistics.median(each) for each in timed(works, SHORT)]
        if max(medians) - min(medians) <= CLOSE * max(medians):
            return
    raise AssertionError(f"medians of {medians} ns")


def seem_alike(works: list[Work], samples: int, is_long: bool) -> None:
    """A client cannot tell them apart by time. What differs really does so three times."""
    most = THRESHOLD if is_long else 2 * THRESHOLD
    for _ in range(3):
        first, *others = timed(works, samples)
        seen = [welch(first, other) for other in others]
        if all(abs(t) < most for t in seen):
            return
    raise AssertionError(f"t = {', '.join(f'{t:.1f}' for t in seen)}")


def refused(server: rpcx.Server, target: str, method: str) -> Work:
    """A call by a client, and what it is told."""
    called = dynamic_method(method)

    def ask() -> str:
        try:
            server.call(target, called, (), {})
        except rpcx.ObjectNotFound as error:
            return str(error)
        raise AssertionError("it was not refused")

    return ask


#: An object that is there and one that is not; a method likewise. Each is called as often as the other, since what is
#: called more often is found sooner, by the processor's caches.
CASES = [("shut", "get"), ("none", "get"), ("open", "put"), ("open", "gut")]


@pytest.fixture
def is_long(request) -> bool:
    return request.config.getoption("--long")


def test_what_is_absent_and_what_is_forbidden_take_alike(host):
    line = Line(host)
    run_alike([line.asks(*case) for case in CASES])


@pytest.mark.parametrize("cls", [Secret, Note])
def test_an_id_of_anothers_and_one_that_nobody_has_take_alike(host, cls):
    """Whether it may be called by who holds it, or by nobody like this client."""
    line = Line(host)
    other = handed_to_another(host, cls)
    run_alike([line.asks(other, "get"), line.asks(other[:-22] + "A" * 22, "get")])


def judged(host: TokenAuthenticator, message: bytes) -> Work:
    def judge() -> str:
        try:
            host.server(binding()).step(message)
        except AuthenticationFailed as error:
            return str(error)
        raise AssertionError("it was believed")

    return judge


def test_an_unknown_issuer_and_a_wrong_signature_take_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(trust_store, "LOOK_SECONDS", float("inf"))
    two = Two(tmp_path)
    good, unknown = two.said(two.issued()), two.said(two.issued(directory=two.thief))
    size = int.from_bytes(good[:2], "big")
    wrong = good[: size - 4] + b"AAAA" + good[size:]
    host = TokenAuthenticator("bank", directory=two.host)
    run_alike([judged(host, unknown), judged(host, wrong)])


PROGRAM = """
import sys
import rpcx
from tests.attacks.test_timing import Open, Shut

host = rpcx.Host()
host.register(Open, Shut)
print(host.listen("tcp://127.0.0.1:0"), flush=True)
with host:
    sys.stdin.read()
"""


@contextmanager
def apart(home: Path) -> Iterator[str]:
    """A host in a process of its own, as of the user of ``home``; its URL."""
    environment = {**os.environ, "RPCX_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("")


def test_a_client_cannot_tell_by_time_what_there_is(tmp_path, is_long):
    with user(tmp_path / "ann"):
        ann = own_identity()
    with user(tmp_path / "host"):
        own_identity()
    trust(tmp_path / "host", ann.certificate_file.read_bytes(), "ann", frozenset())
    with apart(tmp_path / "host") as url, user(tmp_path / "ann"), rpcx.connect(url) as server:
        for pair in (CASES[:2], CASES[2:]):
            seem_alike([refused(server, *case) for case in pair], LONG if is_long else SHORT, is_long)


def test_a_stranger_cannot_tell_by_time_whose_tokens_are_believed(tmp_path, is_long):
    two = Two(tmp_path)
    now = datetime.datetime.now(datetime.UTC)
    good, unknown = two.issued(now=now), two.issued(now=now, directory=two.thief)
    host = rpcx.Host(authenticators=[TokenAuthenticator("bank", directory=two.host)])
    url = host.listen("pipe://tokens")

    def tried(token: str) -> Work:
        shown = TokenAuthenticator(token=token, directory=two.client)

        def connect() -> str:
            try:
                rpcx.connect(url, authenticators=[shown]).close()
            except AuthenticationFailed as error:
                return str(error)
            raise AssertionError("it was let in")

        return connect

    with host:
        seem_alike([tried(unknown), tried(good[:-4] + "AAAA")], CONNECTIONS if is_long else 100, is_long)


def test_a_difference_would_be_seen():
    """The measure itself: one more of twenty equal steps is found."""
    steps = [b"x" * 64] * 20

    def work(count: int) -> Work:
        return lambda: [hash(step + b"y") for step in steps[:count]]

    assert trace(work(20)) != trace(work(19))
    one, other = timed([work(20), work(19)], 3_000)
    assert abs(welch(one, other)) > THRESHOLD


def test_an_answer_is_one_frame(host):
    (answer,) = FrameReader(1 << 20).read(Line(host).asks("none", "get")())
    assert answer[:2] == (Kind.FAULT, 7)
