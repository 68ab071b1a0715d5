"""The threads driver, with a session that is not rpcx's."""

import socket
import threading
import time

import pytest

from rpcx.drivers import threads, waiting
from rpcx.drivers.threads import Pump
from rpcx.errors import ProtocolError
from tests.drivers.toy import Brittle, LineSession, SocketEnd


@pytest.fixture
def served():
    """Makes (peer socket, session) pairs, all under one pump."""
    pump = Pump("toy", callers_lead=False)
    pump.start()
    peers: list[socket.socket] = []

    def serve(kind=LineSession, **options):
        near, far = socket.socketpair()
        near.settimeout(5)
        peers.append(near)
        session = kind(**options)
        pump.add(SocketEnd(far), session)
        pump.wake()
        return near, session

    serve.pump = pump
    yield serve
    for peer in peers:
        peer.close()
    pump.close()


def line(peer: socket.socket) -> bytes:
    said = b""
    while not said.endswith(b"\n"):
        data = peer.recv(1)
        if not data:
            break
        said += data
    return said


def test_what_arrives_together_is_answered_together(served):
    peer, _ = served()
    peer.sendall(b"a\nb\nc\n")
    deadline = time.monotonic() + 5
    said = b""
    while said.count(b"\n") < 3 and time.monotonic() < deadline:
        said += peer.recv(100)
    assert said == b"A\nB\nC\n"


def test_a_call_that_takes_long_holds_up_no_other(served):
    release = threading.Event()
    peer, session = served(work=lambda text: release.wait(10) if text == b"slow" else None)
    other, _ = served()
    peer.sendall(b"slow\nquick\n")
    other.sendall(b"hello\n")
    assert line(other) == b"HELLO\n"
    assert line(peer) == b"QUICK\n"
    release.set()
    assert line(peer) == b"SLOW\n"
    assert session.overran == [b"slow"]


def test_one_that_talks_without_a_pause_keeps_no_other_from_being_heard(served):
    talker, _ = served()
    others = [served()[0] for _ in range(3)]
    heard, over = [], threading.Event()

    def talk() -> None:
        while not over.is_set():
            talker.sendall(b"x\n")
            heard.append(line(talker))

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        for _ in range(20):
            for other in others:
                other.sendall(b"y\n")
                assert line(other) == b"Y\n"
    finally:
        over.set()
        thread.join()
    assert set(heard) == {b"X\n"}


def test_of_many_the_one_that_has_been_talking_alone_is_looked_at_for_longer(served, monkeypatch):
    looks = []

    def look(receive, size, seconds):
        looks.append(seconds)
        return waiting.look(receive, size, seconds)

    monkeypatch.setattr(threads, "look", look)
    peer, _ = served()
    other, _ = served()
    for speaker in [peer] * threads.ROW + [other, peer] * threads.ROW:
        speaker.sendall(b"x\n")
        assert line(speaker) == b"X\n"
    assert set(looks) <= {0.0}
    deadline = time.monotonic() + 10
    while threads.ALONE_SECONDS not in looks:  # a busy machine has the pump sleep instead of look
        assert time.monotonic() < deadline
        peer.sendall(b"x\n")
        assert line(peer) == b"X\n"


def talked_until_unwatched(pump, peer: socket.socket) -> None:
    """Talk until nobody is woken for this connection any more, since it is looked at anyway."""
    deadline = time.monotonic() + 10
    while pump._unwatched is None:
        assert time.monotonic() < deadline
        peer.sendall(b"x\n")
        assert line(peer) == b"X\n"


def test_one_that_was_looked_at_anyway_is_heard_after_a_pause(served):
    peer, _ = served()
    for _ in range(3):
        talked_until_unwatched(served.pump, peer)
        deadline = time.monotonic() + 5
        while served.pump._unwatched is not None:  # somebody sleeps
            assert time.monotonic() < deadline
            time.sleep(0.001)
        peer.sendall(b"y\n")
        assert line(peer) == b"Y\n"


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_one_that_was_looked_at_anyway_may_leave_and_its_number_be_anothers(served, pause):
    peer, session = served()
    talked_until_unwatched(served.pump, peer)
    time.sleep(pause)
    peer.close()
    deadline = time.monotonic() + 5
    while session.ended is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    for _ in range(5):
        other, _ = served()
        talked_until_unwatched(served.pump, other)


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_one_that_was_looked_at_anyway_may_take_nothing_for_a_while(served, pause):
    peer, session = served(work=lambda text: session.out.append(b"z" * 3_000_000) if text == b"go" else None)
    talked_until_unwatched(served.pump, peer)
    peer.sendall(b"go\n")
    time.sleep(pause)
    got = b""
    while len(got) < 3_000_003:
        got += peer.recv(1 << 16)
    assert got == b"z" * 3_000_000 + b"GO\n"


def test_many_calls_may_overrun_at_once(served):
    together = threading.Barrier(8)
    peer, _ = served(work=lambda _: together.wait(10))
    peer.sendall(b"".join(b"%d\n" % i for i in range(8)))
    assert sorted(line(peer) for _ in range(8)) == [b"%d\n" % i for i in range(8)]


def test_a_job_that_is_known_to_block_gets_a_worker(served):
    names: list[str] = []
    peer, _ = served(work=lambda _: names.append(threading.current_thread().name))
    peer.sendall(b"block\n")
    line(peer)
    peer.sendall(b"short\n")
    line(peer)
    assert names[0].endswith("-worker")
    assert names[1].endswith("-pump")


def test_a_timer_of_the_session_runs_without_traffic(served):
    peer, _ = served(beat=0.02)
    assert [line(peer) for _ in range(3)] == [b"beat\n"] * 3


def test_a_session_that_has_finished_sends_the_rest_and_closes(served):
    peer, session = served()
    peer.sendall(b"quit\n")
    assert line(peer) == b"bye\n"
    assert peer.recv(1) == b""


def test_a_peer_that_goes_away_is_reported(served):
    peer, session = served()
    peer.sendall(b"x\n")
    line(peer)
    peer.close()
    deadline = time.monotonic() + 5
    while session.ended is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert isinstance(session.ended, ConnectionError)


def test_what_the_stream_does_not_take_leaves_later(served):
    peer, session = served(work=lambda _: session.out.append(b"x" * 3_000_000))
    peer.sendall(b"go\n")
    time.sleep(0.05)  # the sender fills the socket's buffer and has to wait
    got = 0
    while got < 3_000_003:
        got += len(peer.recv(1 << 16))
    assert got == 3_000_003


def test_a_defect_in_a_job_stops_nothing(served, caplog):
    def work(text: bytes) -> None:
        if text == b"bad":
            raise ZeroDivisionError

    peer, _ = served(work=work)
    peer.sendall(b"bad\ngood\n")
    assert line(peer) == b"GOOD\n"
    end = time.monotonic() + 5  # it may have been taken over, and tell later
    while "a job failed" not in caplog.text:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_pump_that_closes_while_a_helper_is_just_being_started_closes_all_the_same(monkeypatch):
    pump = Pump("toy", callers_lead=False)
    closing, begun = threading.Event(), threading.Event()
    start = threading.Thread.start

    def late(thread: threading.Thread) -> None:
        if thread.name == "toy-pump" and not begun.is_set():
            begun.set()
            closing.wait(5)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", late)
    starting = threading.Thread(target=pump.start, name="starting")
    starting.start()
    assert begun.wait(5)
    pump.close()
    closing.set()
    starting.join(5)


def test_a_session_that_fails_on_what_it_gets_ends_alone(served, caplog):
    peer, session = served(Brittle)
    other, _ = served()
    peer.sendall(b"break\n")
    assert line(peer) == b""
    assert isinstance(session.ended, ProtocolError)
    assert "made this side fail" in caplog.text
    other.sendall(b"hello\n")
    assert line(other) == b"HELLO\n"


def test_a_peer_that_takes_nothing_is_read_no_further_and_that_is_counted():
    pump = Pump("toy", callers_lead=False, most_waiting=1000)
    pump.start()
    near, far = socket.socketpair()
    near.settimeout(5)
    pump.add(SocketEnd(far), LineSession())
    pump.wake()
    near.setblocking(False)
    sent = 0
    deadline = time.monotonic() + 10
    while pump.stats()["floods"] == 0:
        assert time.monotonic() < deadline
        try:
            sent += near.send(b"x" * 999 + b"\n")
        except BlockingIOError:
            time.sleep(0.001)
    while not (stats := pump.stats())["waiting_high"] >= stats["waiting"] > 1000:  # answers to what was read go on
        assert time.monotonic() < deadline
    taken = 0
    while taken < sent // 1000 * 1000:
        assert time.monotonic() < deadline
        try:
            taken += len(near.recv(1 << 16))
        except BlockingIOError:
            time.sleep(0.001)
    while pump.stats()["waiting"]:  # it arrives a moment before that is noted
        assert time.monotonic() < deadline
    pump.close()
    near.close()
