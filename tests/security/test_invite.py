"""Two users exchange keys by a code."""

import base64
import json
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from rpcx.errors import AuthenticationFailed, NotSent
from rpcx.security import invite
from rpcx.security.identity import own_identity
from rpcx.security.invite import Invitation, accept, new_code
from rpcx.security.trust import TrustStore
from tests.security.pair import odd_certificate

HERE = ("127.0.0.1", 0)


@contextmanager
def invited(directory, seconds: float = 10.0):
    """An invitation that is waited for in a thread; what came of it is in ``outcome``."""
    with Invitation(directory, "ann", frozenset({"ops"}), HERE) as invitation:
        outcome = []

        def wait() -> None:
            try:
                outcome.append(invitation.wait(seconds))
            except Exception as error:
                outcome.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        invitation.outcome, invitation.thread = outcome, thread
        try:
            yield invitation
        finally:
            thread.join(seconds + 5)  # it gives up at that very moment itself
    assert not thread.is_alive()


def knows(home, of) -> str | None:
    principal = TrustStore(home).principal_of(own_identity(of).certificate)
    return principal.name if principal is not None else None


def test_both_know_the_other_afterwards(tmp_path):
    with invited(tmp_path / "host") as invitation:
        met = accept(tmp_path / "guest", invitation.address, invitation.code, "bank")
        invitation.thread.join(5)
    assert (met.name, met.known_as) == ("bank", "ann")
    assert met.fingerprint == own_identity(tmp_path / "host").fingerprint
    assert invitation.outcome[0].fingerprint == own_identity(tmp_path / "guest").fingerprint
    assert knows(tmp_path / "host", tmp_path / "guest") == "ann"
    assert knows(tmp_path / "guest", tmp_path / "host") == "bank"
    assert TrustStore(tmp_path / "host").records()["ann"].roles == {"ops"}
    assert TrustStore(tmp_path / "guest").records()["bank"].roles == frozenset()


def test_how_the_code_is_written_does_not_matter(tmp_path):
    with invited(tmp_path / "host") as invitation:
        written = " ".join(invitation.code.lower().split("-"))
        assert accept(tmp_path / "guest", invitation.address, written, "bank").known_as == "ann"


def test_without_the_code_nobody_is_trusted_and_the_right_one_can_come_still(tmp_path):
    with invited(tmp_path / "host") as invitation:
        with pytest.raises(AuthenticationFailed, match="is the code right"):
            accept(tmp_path / "eve", invitation.address, new_code(), "bank")
        assert knows(tmp_path / "host", tmp_path / "eve") is None
        assert knows(tmp_path / "eve", tmp_path / "host") is None
        accept(tmp_path / "guest", invitation.address, invitation.code, "bank")
    assert knows(tmp_path / "host", tmp_path / "guest") == "ann"


def test_a_code_is_good_once(tmp_path):
    with invited(tmp_path / "host") as invitation:
        accept(tmp_path / "guest", invitation.address, invitation.code, "bank")
        invitation.thread.join(5)
        invitation.close()
        with pytest.raises(NotSent, match="nobody invites there"):
            accept(tmp_path / "eve", invitation.address, invitation.code, "bank")


def test_an_inviter_that_lacks_the_code_is_not_believed(tmp_path):
    with invited(tmp_path / "eve", 0.5) as invitation, pytest.raises(AuthenticationFailed):
        invitation.code = new_code()
        accept(tmp_path / "guest", invitation.address, new_code(), "bank")
    assert knows(tmp_path / "guest", tmp_path / "eve") is None


def relay(near: socket.socket, far: socket.socket, change) -> None:
    """Carry lines from one to the other, changed."""
    with near.makefile("rb") as lines:
        for line in lines:
            try:
                far.sendall(json.dumps(change(json.loads(line))).encode() + b"\n")
            except OSError:
                break
    for end in (near, far):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.mark.parametrize("whose", ["inviter", "guest"])
def test_somebody_in_between_who_puts_in_another_key_is_noticed(tmp_path, whose):
    eve = own_identity(tmp_path / "eve")

    def swap(fields: dict) -> dict:
        return {**fields, "certificate": invite._text(eve.certificate)} if "certificate" in fields else fields

    with socket.create_server(HERE) as between, invited(tmp_path / "host", 2.0) as invitation:

        def carry() -> None:
            guest, _ = between.accept()
            host = socket.create_connection(invitation.address)
            with guest, host:
                back = threading.Thread(target=relay, args=(host, guest, swap if whose == "inviter" else dict))
                back.start()
                relay(guest, host, swap if whose == "guest" else dict)
                back.join()

        carrier = threading.Thread(target=carry)
        carrier.start()
        with pytest.raises(AuthenticationFailed):
            accept(tmp_path / "guest", between.getsockname(), invitation.code, "bank")
        carrier.join()
    assert isinstance(invitation.outcome[0], TimeoutError)
    for home in ("host", "guest"):
        assert TrustStore(tmp_path / home).records() == {}


def test_a_key_that_is_shown_must_be_had(tmp_path, monkeypatch):
    """Who has the code may still not enter the key of somebody else as his own."""
    other = own_identity(tmp_path / "other")

    class Borrowed(invite._Talk):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            self._identity = other if not self._inviter else self._identity

    with invited(tmp_path / "host", 1.0) as invitation:
        monkeypatch.setattr(invite, "_Talk", Borrowed)
        with pytest.raises(AuthenticationFailed):
            accept(tmp_path / "guest", invitation.address, invitation.code, "bank")
    assert TrustStore(tmp_path / "host").records() == {}


@pytest.mark.parametrize("bytes_", [
    b"GET / HTTP/1.1\r\n\r\n", b"\n", b"[]\n", b"{}\n", b"[" * 8000 + b"\n", b"x" * 20_000, b"\xff\xfe\n", b"",
    b'{"certificate": 5, "nonce": null, "proof": "", "signature": ""}\n',
    b'{"certificate": "AAAA", "nonce": "AAAA", "proof": "AAAA", "signature": "AAAA"}\n',
    json.dumps({"certificate": base64.b64encode(odd_certificate()).decode(), "nonce": "AAAA"}).encode() + b"\n",
])  # fmt: skip
def test_nonsense_spoils_nothing(tmp_path, bytes_):
    with invited(tmp_path / "host") as invitation:
        with socket.create_connection(invitation.address) as stranger, suppress(OSError):
            stranger.sendall(bytes_)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(4096):
                pass
        accept(tmp_path / "guest", invitation.address, invitation.code, "bank")
    assert knows(tmp_path / "host", tmp_path / "guest") == "ann"


def test_many_wrong_guests_end_the_invitation(tmp_path, monkeypatch):
    monkeypatch.setattr(invite, "MOST_TRIES", 3)
    with invited(tmp_path / "host") as invitation:
        for _ in range(3):
            socket.create_connection(invitation.address).close()
        invitation.thread.join(5)
        assert isinstance(invitation.outcome[0], AuthenticationFailed)


def test_an_invitation_ends_in_time(tmp_path):
    with invited(tmp_path / "host", 0.05) as invitation:
        invitation.thread.join(5)
        assert isinstance(invitation.outcome[0], TimeoutError)


def test_codes_have_128_bits():
    code = new_code()
    assert len(code.replace("-", "")) == 26
    assert code != new_code()
