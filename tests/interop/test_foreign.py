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
    made.attach(SimpleNamespace(flush=lambda: calls.append("flush"), close=lambda: calls.append("close")), 0.0)
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
    assert session.calls == ["flush"] * 3


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
