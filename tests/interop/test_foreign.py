"""What each end of a connection in another protocol has."""

from types import SimpleNamespace

import pytest

import rpcx
from rpcx.abc import PeerFacts
from rpcx.errors import ConnectionLost, ForkedConnection, LimitExceeded, ProtocolError
from rpcx.interop.foreign import READ, ForeignSession


class Lines:
    """A protocol of lines: nine bytes at most, and not the word ``bad``."""

    def __init__(self) -> None:
        self._begun = b""

    @property
    def between(self) -> bool:
        return not self._begun

    @property
    def wanted(self) -> int:
        return READ + len(self._begun)

    def receive(self, data: bytes):
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            if line == b"bad":
                raise ProtocolError("bad")
            if len(line) > 9:
                raise LimitExceeded("long")
            yield line


class Echo(ForeignSession[bytes]):
    """Says each line again."""

    heard: list[bytes]
    end: Exception | None = None

    def _arrived(self, message: bytes, now: float) -> list:
        self.heard.append(message)
        if message == b"leave":
            self.close()
        self._put(message + b"!")
        return []

    def _ended(self, error: Exception) -> None:
        self.end = error


@pytest.fixture
def session():
    host = rpcx.Host()
    made = Echo(host._realm, PeerFacts("tcp", "192.0.2.1:1"), "holder", Lines())
    made.heard = []
    host._realm.endpoints.add(made)
    calls = []
    link = SimpleNamespace(
        flush=lambda: calls.append("flush"), close=lambda: calls.append("close"), rearm=lambda: calls.append("rearm"),
        spawn=calls.append,
    )  # fmt: skip
    made.attach(link, 0.0)
    made.calls = calls
    yield made
    host.close()


def test_messages_are_heard_however_they_are_cut_and_answers_leave_once(session):
    for piece in (b"on", b"e\ntwo\nth", b"ree\n"):
        session.receive(piece, 0.0)
    assert session.heard == [b"one", b"two", b"three"]
    assert session.ready
    assert b"".join(session.outgoing()) == b"one!two!three!"
    assert not session.ready
    assert session.calls == ["rearm", "flush", "flush", "rearm", "flush"]


def test_a_message_under_way_is_asked_for(session):
    assert session.wanted() == READ
    session.receive(b"half", 0.0)
    assert session.wanted() == READ + 4


@pytest.mark.parametrize(("data", "kind"), [(b"bad\nmore\n", ProtocolError), (b"far too long\nmore\n", LimitExceeded)])
def test_nonsense_ends_it_and_what_came_before_counts(session, data, kind):
    session.receive(b"fine\n" + data, 0.0)
    assert session.heard == [b"fine"]
    assert isinstance(session.error, kind)
    assert session.end is session.error
    assert session.finished
    assert session.opened.error is session.error


def test_what_follows_a_goodbye_is_not_heard(session):
    session.receive(b"leave\nmore\n", 0.0)
    assert session.heard == [b"leave"]


def test_the_end_is_the_first_there_was(session):
    session.eof(0.0)
    assert isinstance(session.error, ConnectionLost)
    first = session.error
    session.lost(ValueError("later"))
    assert session.error is first
    assert session not in session._realm.endpoints


def test_an_end_within_a_message_says_so(session):
    session.receive(b"half", 0.0)
    session.eof(0.0)
    assert "within a message" in str(session.error)


def test_a_childs_copy_is_not_the_parents(session):
    session.forked()
    assert isinstance(session.error, ForkedConnection)


def test_a_message_that_was_begun_has_to_end_in_time(session):
    session.receive(b"one\nhal", 100.0)
    due = session.due()
    assert 110.0 < due < 110.1
    session.tick(due - 0.1)
    assert session.error is None
    session.receive(b"f", 105.0)
    assert session.due() < 110.2, "a byte now and then buys no time"
    session.tick(110.2)
    assert "not finished in time" in str(session.error)
    assert session._realm.table.hits["limits.frame_seconds"] == 1
    assert session.due() is None


def test_what_is_complete_has_no_end_of_its_own(session):
    session.receive(b"hal", 100.0)
    session.receive(b"f\n", 101.0)
    assert session.due() is None


def test_who_takes_no_answers_has_no_further_calls_run_and_is_given_up(session, monkeypatch):
    monkeypatch.setattr("rpcx.interop.foreign.time.monotonic", lambda: 100.0)
    session._go_on("first")
    session.held_back(session._limits.write_cap + 1, took=False)
    session._go_on("second")
    assert session.calls == ["first"]
    session.held_back(100, took=True)
    assert session.calls == ["first", "second"]
    assert session.due() == 100.0 + session._limits.write_stall
    session.held_back(0, took=True)
    assert session.due() is None
    session.held_back(session._limits.write_cap + 1, took=False)
    session._go_on("third")
    session.tick(100.0 + session._limits.write_stall)
    assert "took nothing" in str(session.error)
    session.held_back(0, took=True)
    assert session.calls == ["first", "second"], "what waited has nobody to be answered"
