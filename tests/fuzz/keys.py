"""Parsers of what strangers say of keys: TLS itself, invitations, files that somebody sent.

The keys they need are made when the first message comes.
"""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rpcx.abc import PeerFacts
from rpcx.errors import AuthenticationFailed, ConnectionLost
from rpcx.security.identity import own_identity
from rpcx.security.invite import _Talk
from rpcx.security.keyring import _read_statement
from rpcx.security.records import read_record
from rpcx.security.sides import ServerSide
from rpcx.security.tls import TlsSession
from tests.security.pair import StillLink, Within, user

KEPT = tempfile.TemporaryDirectory(prefix="rpcx-fuzz-keys-")
HOME = Path(KEPT.name) / "keys"


def record(data: bytes) -> None:
    """A file of trusted keys."""
    _allowing(ValueError, lambda: read_record(data))


def statement(data: bytes) -> None:
    """What somebody says of a new key."""
    _allowing(ValueError, lambda: _read_statement(data))


class _Said:
    """A socket that says one thing and hears nothing."""

    def __init__(self) -> None:
        self.data = b""

    def recv(self, size: int) -> bytes:
        said, self.data = self.data[:size], self.data[size:]
        return said

    def settimeout(self, seconds: float) -> None: ...


@functools.cache
def _inviter() -> tuple[Any, _Said]:
    said = _Said()
    made: Any = said
    return _Talk(made, "CODE", own_identity(HOME), inviter=True), said


def guest(data: bytes) -> None:
    """What somebody says who comes to an invitation."""
    talk, said = _inviter()
    talk._theirs, talk._begun, said.data = None, b"", data
    _allowing((ValueError, AuthenticationFailed), lambda: talk.judge(talk.hear(), b"guest"))


@functools.cache
def _server() -> ServerSide:
    with user(HOME):
        side = ServerSide()
    side._trust._looked = float("inf")  # else it looks at its files twice a second, whatever is said
    return side


def tls(data: bytes) -> None:
    """What a stranger says at a door with TLS: nothing of it reaches the session within."""
    within = Within()
    session = TlsSession(within, _server(), PeerFacts("tcp", "192.0.2.1:1"))
    session.attach(StillLink(), 0.0)
    for at in range(0, len(data), 200):
        session.receive(data[at : at + 200], 0.0)
        session.outgoing()
    assert not within.got
    session.lost(ConnectionLost("the end"))


def _allowing(refusal: type[Exception] | tuple[type[Exception], ...], work: Callable[[], object]) -> None:
    try:
        work()
    except refusal:
        pass
