"""A shared secret: the file, and who gets in by it."""

import os
import ssl

import pytest

import rpcx
from rpcx.errors import AccessDenied, AuthenticationFailed
from rpcx.security.secret import LOOK_SECONDS, Secret, SecretSide, make_secret, read_secret, secret_file
from tests.security.pair import NOW, Pair, user

needs_psk = pytest.mark.skipif(not getattr(ssl, "HAS_PSK", False), reason="Python 3.13 or later only")


@pytest.fixture(autouse=True)
def keys(tmp_path):
    with user(tmp_path / "here"):
        yield tmp_path / "here"


# --- the file -----------------------------------------------------------------------------------------------


def test_a_secret_is_256_random_bits_that_only_its_user_may_read():
    files = [make_secret("team"), make_secret("other")]
    secrets = [read_secret("team"), read_secret("other")]
    assert len(set(secrets)) == 2
    for file, secret in zip(files, secrets, strict=True):
        assert len(secret) == 32
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_secret_is_never_overwritten():
    make_secret("team")
    before = read_secret("team")
    with pytest.raises(FileExistsError):
        make_secret("team")
    assert read_secret("team") == before


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "x" * 65, "owner", "a b"])
def test_a_name_leaves_no_directory_and_is_no_role_of_ours(name):
    with pytest.raises(ValueError, match="is no name for a secret"):
        secret_file(name)


def test_a_secret_that_is_missing_open_to_others_or_none_is_refused(tmp_path):
    with pytest.raises(AccessDenied, match="rpcx secret team"):
        read_secret("team")
    file = make_secret("team")
    file.chmod(0o640)
    with pytest.raises(AccessDenied, match="chmod 600"):
        read_secret("team")
    file.chmod(0o600)
    for content in ("password\n", "", "ab" * 31):
        file.write_text(content)
        with pytest.raises(AccessDenied, match="is no secret"):
            read_secret("team")
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AccessDenied, match="symbolic link"):
        read_secret("team")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="not on Linux as a plain user: needs chown")
def test_a_secret_of_somebody_else_is_refused():
    os.chown(make_secret("team"), 12345, 12345)
    with pytest.raises(AccessDenied, match="belongs to user 12345"):
        read_secret("team")


@pytest.mark.skipif(getattr(ssl, "HAS_PSK", False), reason="not on Linux with Python 3.13: it can")
def test_an_older_python_says_what_to_use_instead():
    make_secret("team")
    with pytest.raises(AccessDenied, match=r"Python 3\.13.*rpcx keys trust"):
        rpcx.Host().listen("tcp://127.0.0.1:0?secret=team")
    with pytest.raises(AccessDenied, match=r"Python 3\.13"):
        rpcx.connect("tcp://127.0.0.1:1?secret=team")


def test_a_key_and_a_secret_together_make_no_sense():
    with pytest.raises(ValueError, match="not both"):
        rpcx.connect(f"tcp://127.0.0.1:1?secret=team&key=sha256:{'A' * 43}")
    with pytest.raises(AccessDenied, match="leave out insecure=True"):
        rpcx.connect("tcp://127.0.0.1:1?secret=team", insecure=True)


# --- who gets in --------------------------------------------------------------------------------------------


def knowing(name: str = "team", other: str = "team") -> Pair:
    pair = Pair.__new__(Pair)
    pair.server_side, pair.client_side = SecretSide(name), SecretSide(other, "somewhere:1")
    pair.meet(b"hello")
    return pair


@needs_psk
def test_who_has_the_secret_gets_in_and_has_its_role():
    make_secret("team")
    pair = knowing()
    pair.talk()
    assert pair.server.within.got == b"hello"
    assert pair.server.facts.principal == "team"
    assert pair.server.facts.roles == {"team"}
    assert not pair.server.facts.owner
    assert pair.server.session._tls.version() == "TLSv1.3"


@needs_psk
def test_another_secret_and_another_name_are_refused_alike(monkeypatch):
    make_secret("team")
    make_secret("other")
    alerts = []
    wrong = knowing()
    monkeypatch.setattr(wrong.client_side._secret, "value", b"x" * 32)
    wrong.meet(b"hello")
    for pair in (wrong, knowing(other="other")):
        _, said = pair.talk()
        alerts.append(said)
        assert isinstance(pair.server.within.error, AuthenticationFailed)
        assert isinstance(pair.client.within.error, AuthenticationFailed)
        assert pair.server.within.got == b""
    assert alerts[0] == alerts[1]


@needs_psk
def test_a_server_that_shows_a_certificate_instead_is_refused(keys):
    """Somebody in between, who does not know the secret, has nothing else to offer."""
    make_secret("team")
    pair = Pair(keys)
    pair.server_side._context = pair.server_side.context
    pair.server_side.context.verify_mode = ssl.CERT_NONE
    pair.client_side = SecretSide("team", "somewhere:1")
    pair.meet(b"hello")
    said, _ = pair.talk()
    assert pair.client.within.error is not None
    assert pair.server.within.got == b""
    assert b"hello" not in said


@needs_psk
def test_a_client_with_a_key_instead_is_refused(keys):
    make_secret("team")
    pair = Pair(keys)
    pair.server_side = SecretSide("team")
    pair.meet(b"hello")
    pair.talk()
    assert isinstance(pair.server.within.error, AuthenticationFailed)
    assert pair.client.within.error is not None


@needs_psk
def test_a_recorded_client_cannot_be_replayed():
    make_secret("team")
    pair = knowing()
    said, _ = pair.talk()
    pair.meet()
    pair.server.gets(said)
    assert pair.server.within.got == b""
    assert pair.server.within.error is not None


@needs_psk
def test_a_whole_call_by_a_shared_secret():
    @rpcx.singleton("desk", allow=["team"])
    class Desk:
        def who(self) -> str | None:
            return rpcx.context.peer.principal

    make_secret("team")
    host = rpcx.Host()
    host.register(Desk, allow={"team"})
    url = host.listen("tcp://127.0.0.1:0?secret=team")
    assert url.endswith("?secret=team")
    with host, rpcx.connect(url) as server:
        assert server.get(Desk).who() == "team"


# --- another secret -----------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("rpcx.security.secret.LOOK_SECONDS", 0.0)


def test_a_file_that_changes_is_noticed_and_one_that_is_no_secret_is_as_good_as_none(at_once, caplog):
    file = make_secret("team")
    secret = Secret("team")
    first = secret.value
    secret.refresh()
    assert (secret.value, secret.generation) == (first, 0)
    file.unlink()
    make_secret("team")
    secret.refresh()
    assert secret.value == read_secret("team") != first
    assert secret.generation == 1
    file.chmod(0o644)
    secret.refresh()
    assert (secret.value, secret.generation) == (b"", 2)
    assert "lets nobody in" in caplog.text
    assert "chmod 600" in caplog.text
    file.chmod(0o600)
    secret.refresh()
    assert (secret.value, secret.generation) == (read_secret("team"), 3)
    file.unlink()
    secret.refresh()
    assert (secret.value, secret.generation) == (b"", 4)


def test_a_file_is_looked_at_now_and_then_only(monkeypatch):
    file = make_secret("team")
    secret = Secret("team")
    file.unlink()
    secret.refresh()
    assert secret.generation == 0
    monkeypatch.setattr("rpcx.security.secret.time.monotonic", lambda: secret._looked + 2 * LOOK_SECONDS)
    secret.refresh()
    assert secret.generation == 1


@needs_psk
@pytest.mark.parametrize("there_is_another", [True, False])
def test_who_has_the_old_secret_is_closed_and_does_not_come_back(at_once, there_is_another):
    file = make_secret("team")
    pair = knowing()
    pair.talk()
    pair.server_side.tick(NOW)
    assert not pair.server.link.closed
    assert pair.server_side.due() is not None
    client_side = pair.client_side
    file.unlink()
    if there_is_another:
        make_secret("team")
    pair.server_side.tick(NOW + 1)
    assert pair.server.link.closed
    assert isinstance(pair.server.within.error, AuthenticationFailed)
    pair.server.session.lost(ConnectionError("closed"))
    assert pair.server_side.due() is None
    pair.meet(b"hello")
    assert pair.client_side is client_side, "it still has the old one"
    pair.talk()
    assert pair.server.within.got == b""
    assert isinstance(pair.server.within.error, AuthenticationFailed)
    if there_is_another:
        pair.client_side = SecretSide("team", "somewhere:1")
        pair.meet(b"hello")
        pair.talk()
        assert pair.server.within.got == b"hello"
