"""Who a server lets in, and which server a client believes."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from rpcx.errors import AuthenticationFailed, ConnectionLost, ProtocolError
from rpcx.security.authority import found_authority, issue
from rpcx.security.identity import own_identity
from rpcx.security.keyring import install, set_roles, trust_authority
from rpcx.security.sides import ALPN, LOOK_SECONDS, ClientSide, ServerSide
from tests.security.pair import NOW, End, Pair, only_a_hello, shaken, trust, user


def sides(server, client, *, pin=None, where="somewhere:1"):
    with user(server):
        serving = ServerSide()
    with user(client):
        return serving, ClientSide(where, pin)


def meeting(serving, calling):
    """What both ends came to."""
    pair = Pair.__new__(Pair)
    pair.server_side, pair.client_side = serving, calling
    pair.meet(b"hello")
    said, _ = pair.talk()
    return pair, said


@pytest.fixture
def homes(tmp_path):
    return tmp_path / "server", tmp_path / "client"


# --- the client's view --------------------------------------------------------------------------------------


def test_the_same_user_needs_no_configuration(tmp_path):
    pair, _ = meeting(*sides(tmp_path, tmp_path))
    assert pair.server.within.got == b"hello"
    assert pair.client.facts.owner
    assert pair.client.facts.principal == "owner"


def test_an_unknown_server_is_refused_and_learns_nothing(homes):
    trust(*homes)
    pair, said = meeting(*sides(*homes))
    error = pair.client.within.error
    assert isinstance(error, AuthenticationFailed)
    assert f"tcp://somewhere:1?key={pair.server_side.identity.fingerprint}" in str(error)
    assert only_a_hello(said)
    pair.server.session.eof(NOW)
    assert pair.server.facts.fingerprint is None


def test_a_key_in_the_url_is_all_a_client_needs(homes):
    trust(*homes)
    serving, _ = sides(*homes)
    pair, _ = meeting(*sides(*homes, pin=serving.identity.fingerprint))
    assert pair.server.within.got == b"hello"


def test_another_key_than_the_url_demands_is_an_error_that_names_both(homes):
    trust(*homes)
    wanted = "sha256:" + "A" * 43
    pair, said = meeting(*sides(*homes, pin=wanted))
    error = pair.client.within.error
    assert isinstance(error, AuthenticationFailed)
    assert wanted in str(error)
    assert pair.server_side.identity.fingerprint in str(error)
    assert only_a_hello(said)


def test_the_urls_key_counts_even_for_a_server_that_is_trusted(tmp_path):
    pair, _ = meeting(*sides(tmp_path, tmp_path, pin="sha256:" + "A" * 43))
    assert isinstance(pair.client.within.error, AuthenticationFailed)


def test_a_server_that_was_pinned_is_known_again_and_a_changed_key_names_both(homes):
    trust(*homes)
    serving, calling = sides(*homes)
    calling._trust.pin("somewhere:1", serving.identity.fingerprint)
    pair, _ = meeting(*sides(*homes))
    assert pair.server.within.got == b"hello"
    other = homes[0].with_name("other")
    trust(other, homes[1])
    pair, _ = meeting(*sides(other, homes[1]))
    error = str(pair.client.within.error)
    assert isinstance(pair.client.within.error, AuthenticationFailed)
    assert serving.identity.fingerprint in error
    assert pair.server_side.identity.fingerprint in error
    assert "known_servers" in error


def test_a_server_that_is_trusted_has_its_name(homes):
    trust(*homes)
    trust(homes[1], homes[0], "bank")
    pair, _ = meeting(*sides(*homes))
    assert pair.server.within.got == b"hello"
    assert pair.client.facts.principal == "bank"
    assert not pair.client.facts.owner


def test_somebody_in_between_gets_nowhere(homes):
    """He has a key of his own, and copies of both certificates without their private halves."""
    trust(*homes)
    between = homes[0].with_name("between")
    serving, _ = sides(*homes)
    pin = serving.identity.fingerprint
    towards_client, towards_server = sides(between, between, pin=pin)
    calling = sides(*homes, pin=pin)[1]
    pair, said = meeting(towards_client, calling)
    assert isinstance(pair.client.within.error, AuthenticationFailed)
    assert only_a_hello(said)
    pair, _ = meeting(serving, towards_server)
    assert isinstance(pair.server.within.error, AuthenticationFailed)
    assert pair.server.within.got == b""
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        towards_server.context.load_cert_chain(calling.identity.certificate_file, towards_server.identity.key_file)


# --- the server's view --------------------------------------------------------------------------------------


def client_context(side: ClientSide, **changes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if changes.get("key", True):
        context.load_cert_chain(side.identity.certificate_file, side.identity.key_file)
    if "alpn" in changes:
        context.set_alpn_protocols(changes["alpn"])
    if "most" in changes:
        context.maximum_version = changes["most"]
    return context


@pytest.mark.parametrize(
    ("changes", "kind", "complaint"),
    [
        ({"alpn": [ALPN], "most": ssl.TLSVersion.TLSv1_2}, ProtocolError, "TLS 1.3"),
        ({"alpn": ["http/1.1"]}, ProtocolError, "no protocol by name"),
        ({}, ProtocolError, "no protocol by name"),
        ({"alpn": [ALPN], "key": False}, AuthenticationFailed, "no key"),
    ],
    ids=["tls 1.2", "wrong alpn", "no alpn", "no certificate"],
)
def test_a_client_that_is_not_ours_is_refused(tmp_path, changes, kind, complaint):
    serving, calling = sides(tmp_path, tmp_path)
    end = End(serving)
    shaken(client_context(calling, **changes), end)
    assert isinstance(end.within.error, kind)
    assert complaint in str(end.within.error)
    assert end.within.got == b""


def test_the_same_client_with_everything_right_is_let_in(tmp_path):
    serving, calling = sides(tmp_path, tmp_path)
    end = End(serving)
    assert shaken(client_context(calling, alpn=[ALPN]), end) is None
    assert end.within.got.startswith(b"hello")


@pytest.mark.parametrize("changes", [{"most": ssl.TLSVersion.TLSv1_2}, {"alpn": ["h2"]}], ids=["tls 1.2", "alpn"])
def test_a_client_refuses_a_server_that_speaks_anything_else(tmp_path, changes):
    serving, calling = sides(tmp_path, tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(serving.identity.certificate_file, serving.identity.key_file)
    context.set_alpn_protocols(changes.get("alpn", [ALPN]))
    context.maximum_version = changes.get("most", ssl.TLSVersion.TLSv1_3)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    end = End(calling, b"hello")
    incoming.write(end.sends())
    try:
        tls.do_handshake()
    except ssl.SSLError:
        pass  # it has no more to say, or does not like what it heard
    end.gets(outgoing.read())
    assert isinstance(end.within.error, ProtocolError)
    assert end.sends() == b""


def test_sessions_cannot_be_resumed(tmp_path):
    """A resumed one would not show its certificate again."""
    serving, calling = sides(tmp_path, tmp_path)
    context = client_context(calling, alpn=[ALPN])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    sessions = []
    for _ in range(2):
        end = End(serving)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, session=sessions[-1] if sessions else None)
        for _ in range(2):
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            end.gets(outgoing.read())
            incoming.write(end.sends())
        end.within.says.append(b"welcome")
        incoming.write(end.sends())
        assert tls.read(100) == b"welcome"
        assert not tls.session_reused
        assert tls.session is None or not tls.session.has_ticket
        assert end.facts.principal == "owner"
        sessions.append(tls.session)


@pytest.mark.parametrize("ca", [False, True])
def test_who_is_trusted_cannot_vouch_for_others(homes, ca):
    """A certificate that a trusted key has signed is a stranger's, whatever the trusted one says it may do."""
    server, client = homes
    issuer, minted = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    root = certificate("ann", issuer, issuer, "ann", ca=ca)
    with user(server):
        own_identity()
    (server / "authorized").mkdir(exist_ok=True)
    (server / "authorized" / "ann.pem").write_bytes(root.public_bytes(Encoding.PEM))
    client.mkdir()
    chain, key = client / "chain.pem", client / "key.pem"
    leaf = certificate("owner", minted, issuer, "ann", ca=False)
    chain.write_bytes(leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM))
    key.write_bytes(minted.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with user(server):
        end = End(ServerSide())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols([ALPN])
    shaken(context, end)
    assert isinstance(end.within.error, AuthenticationFailed)
    assert end.within.got == b""


def certificate(name, key, signer, issuer, *, ca):
    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(signer, None)
    )


def test_a_key_that_is_added_is_trusted_without_a_restart(homes, monkeypatch):
    monkeypatch.setattr("rpcx.security.trust.LOOK_SECONDS", 0.0)
    serving, _ = sides(*homes)
    calling = sides(*homes, pin=serving.identity.fingerprint)[1]
    pair, _ = meeting(serving, calling)
    assert isinstance(pair.server.within.error, AuthenticationFailed)
    trust(*homes)
    pair, _ = meeting(serving, calling)
    assert pair.server.within.got == b"hello"


def test_a_key_that_is_removed_ends_its_live_sessions_and_no_others(homes, monkeypatch):
    monkeypatch.setattr("rpcx.security.trust.LOOK_SECONDS", 0.0)
    file = trust(*homes)
    serving, _ = sides(*homes)
    assert serving.due() is None
    calling = sides(*homes, pin=serving.identity.fingerprint)[1]
    theirs, _ = meeting(serving, calling)
    own, _ = meeting(serving, sides(homes[0], homes[0])[1])
    assert serving.due() is not None
    serving.tick(NOW)
    assert serving.due() == NOW + LOOK_SECONDS
    assert not theirs.server.link.closed
    file.unlink()
    serving.tick(NOW + LOOK_SECONDS)
    assert theirs.server.link.closed
    assert isinstance(theirs.server.within.error, AuthenticationFailed)
    assert not own.server.link.closed
    for pair in (theirs, own):
        pair.server.session.lost(ConnectionError("closed"))
    assert serving.due() is None


def test_other_roles_end_the_session_so_that_its_client_comes_back_with_them(homes, monkeypatch):
    monkeypatch.setattr("rpcx.security.trust.LOOK_SECONDS", 0.0)
    trust(*homes)
    serving, _ = sides(*homes)
    calling = sides(*homes, pin=serving.identity.fingerprint)[1]
    theirs, _ = meeting(serving, calling)
    own, _ = meeting(serving, sides(homes[0], homes[0])[1])
    set_roles(homes[0], "ann", frozenset({"ops"}))
    serving.tick(NOW)
    assert theirs.server.link.closed
    assert isinstance(theirs.server.within.error, ConnectionLost)
    assert not own.server.link.closed
    again, _ = meeting(serving, calling)
    assert again.server.facts.roles == {"ops"}
    serving.tick(NOW + 1)
    assert not again.server.link.closed


def test_a_key_that_was_removed_in_the_middle_of_a_handshake_is_not_let_in(homes, monkeypatch):
    monkeypatch.setattr("rpcx.security.trust.LOOK_SECONDS", 0.0)
    file = trust(*homes)
    serving, _ = sides(*homes)
    calling = sides(*homes, pin=serving.identity.fingerprint)[1]
    client, server = End(calling, b"hello"), End(serving)
    server.gets(client.sends())
    client.gets(server.sends())
    file.unlink()
    server.gets(client.sends())
    assert isinstance(server.within.error, AuthenticationFailed)
    assert server.within.got == b""


def test_a_store_that_cannot_be_read_lets_nobody_new_in_and_is_told(homes, monkeypatch, caplog):
    monkeypatch.setattr("rpcx.security.trust.LOOK_SECONDS", 0.0)
    serving, own = sides(homes[0], homes[0])
    monkeypatch.setattr(type(serving._trust), "generation", 99)
    monkeypatch.setattr(serving._trust, "certificates", lambda: 1 / 0)
    pair, _ = meeting(serving, own)
    assert pair.server.within.got == b"hello"
    assert "trust store cannot be read" in caplog.text
    monkeypatch.setattr(type(serving._trust), "generation", property(lambda _: 1 / 0))
    serving.tick(NOW)
    assert serving.due() == NOW + LOOK_SECONDS
    assert not pair.server.link.closed
    assert "cannot be looked at" in caplog.text


def test_a_session_ends_when_the_certificate_that_an_authority_issued_for_it_is_over(homes):
    """Also in the middle of the session; and the owner's, whose certificate is its own, goes on."""
    server, client = homes
    authority = found_authority(server.parent / "ca", "fleet")
    with user(server):
        own_identity()
    trust_authority(server, authority.read_bytes(), "fleet")
    with user(client):
        mine = own_identity().certificate_file.read_bytes()
    install(client, issue(server.parent / "ca", mine, "ann", frozenset({"ops"}), 1))
    serving, _ = sides(*homes)
    theirs, _ = meeting(serving, sides(*homes, pin=serving.identity.fingerprint)[1])
    own, _ = meeting(serving, sides(server, server)[1])
    assert theirs.server.facts.principal == "ann@fleet"
    now = datetime.datetime.now(datetime.UTC)
    serving._trust._now = lambda: now + datetime.timedelta(hours=23)
    serving.tick(NOW)
    assert not theirs.server.link.closed
    serving._trust._now = lambda: now + datetime.timedelta(hours=25)
    serving.tick(NOW + LOOK_SECONDS)
    assert theirs.server.link.closed
    assert "certificate of its key is over" in str(theirs.server.within.error)
    assert not own.server.link.closed
    again, _ = meeting(serving, sides(*homes, pin=serving.identity.fingerprint)[1])
    assert again.server.within.got == b""


def test_a_client_that_gives_up_in_the_handshake_is_not_taken_for_one_that_makes_no_sense(homes):
    """It may not know this server, which costs its source a second outside, not a minute and a half."""
    with user(homes[0]):
        end = End(ServerSide())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols([ALPN])
    shaken(context, end)  # it trusts nobody, and says so
    assert type(end.within.error) is ConnectionLost
    assert "gave up" in str(end.within.error)
