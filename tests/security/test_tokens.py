"""Tokens as an authenticator: who gets in by one, and every way not to."""

import datetime
import itertools
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import rpcx
from rpcx.abc import Binding, PeerFacts
from rpcx.errors import AccessDenied, AuthenticationFailed
from rpcx.security.identity import own_identity, private_key
from rpcx.security.tokens import UNKNOWN, TokenAuthenticator, issue
from tests.loops import in_a_loop
from tests.security.pair import user

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
NUMBERS = itertools.count()
TELLER = frozenset({"teller"})


def binding(nonce: bytes = b"s" * 32, *, private: bool = True) -> Binding:
    return Binding(b"h" * 32, b"S" * 32, b"C" * 32, b"c" * 32, nonce, PeerFacts("tcp", "x", private=private))


class Two:
    """A host's user, who issues, and a client's."""

    def __init__(self, path) -> None:
        self.host, self.client, self.thief = path / "host", path / "client", path / "thief"
        self.holder = own_identity(self.client).fingerprint
        own_identity(self.thief)

    def issued(self, principal="ann", audience="bank", seconds=900, **options) -> str:
        options = {"holder": self.holder, "directory": self.host, "now": NOW, **options}
        return issue(principal, audience, seconds, roles=frozenset({"teller"}), **options)

    def said(self, token: str, by=None, at: Binding | None = None) -> bytes:
        return TokenAuthenticator(token=token, directory=by or self.client).client(at or binding()).step(b"")

    def judged(self, message: bytes, at: Binding | None = None, now=NOW, audience="bank", **options):
        host = TokenAuthenticator(audience, directory=self.host, clock=lambda: now, **options)
        return host.server(at or binding()).step(message)[1]


@pytest.fixture
def two(tmp_path):
    return Two(tmp_path)


def test_the_holder_of_a_token_is_known_by_it(two):
    proved = two.judged(two.said(two.issued()))
    assert (proved.principal, proved.roles, proved.seconds) == ("ann", {"teller"}, 900.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(899, None), (900, "ended 0 s ago"), (5000, "ended 4100 s ago"), (-60, None), (-61, "of a time to come")],
)
def test_a_token_is_good_for_its_time(two, seconds, words):
    message = two.said(two.issued())
    now = NOW + datetime.timedelta(seconds=seconds)
    if words is None:
        assert two.judged(message, now=now).principal == "ann"
    else:
        with pytest.raises(AuthenticationFailed, match=words):
            two.judged(message, now=now)


def test_a_token_for_another_audience_is_refused_and_the_default_is_the_hosts_key(two):
    with pytest.raises(AuthenticationFailed, match="for 'shop', and this is 'bank'"):
        two.judged(two.said(two.issued(audience="shop")))
    own = own_identity(two.host).fingerprint
    assert two.judged(two.said(two.issued(audience=own)), audience=None).principal == "ann"


def test_a_token_that_somebody_else_signed_is_refused_in_the_same_words_as_nonsense(two):
    forged = two.said(two.issued(directory=two.thief))
    for message in (forged, b"", b"\0\0", b"\xff" * 200, forged[:-1], b"\0\3a.b"):
        with pytest.raises(AuthenticationFailed) as refused:
            two.judged(message)
        assert str(refused.value) == UNKNOWN


def test_a_changed_byte_anywhere_is_refused(two):
    message = two.said(two.issued())
    for at in range(len(message)):
        with pytest.raises(AuthenticationFailed):
            two.judged(message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :])


def test_a_stolen_token_is_worth_nothing_without_its_key(two, monkeypatch):
    token = two.issued()
    with pytest.raises(AuthenticationFailed, match="is for the key"):
        two.said(token, by=two.thief)  # so the thief signs by its own key all the same
    thiefs = two.said(two.issued(holder=own_identity(two.thief).fingerprint), by=two.thief)
    proof, size = thiefs[-96:], len(token).to_bytes(2, "big")
    key = private_key(own_identity(two.thief).key_file)
    from rpcx.security.tokens import _proof

    signed = proof[:32] + key.sign(_proof(binding(), token.encode()))
    for tried in (proof, signed, b""):
        with pytest.raises(AuthenticationFailed):
            two.judged(size + token.encode() + tried)
    with pytest.raises(AuthenticationFailed, match="another key"):
        two.judged(size + token.encode() + signed)


def test_a_proof_that_is_used_again_on_another_connection_is_refused(two):
    message = two.said(two.issued())
    assert two.judged(message).principal == "ann"
    with pytest.raises(AuthenticationFailed, match="has not proved"):
        two.judged(message, at=binding(nonce=b"another server's nonce, 32 bytes"))


def test_a_token_for_whoever_has_it_is_believed_only_where_that_was_said(two):
    message = two.said(two.issued(holder=None))
    with pytest.raises(AuthenticationFailed, match="bound to no key"):
        two.judged(message)
    assert two.judged(message, bearer=True).principal == "ann"
    assert TokenAuthenticator(bearer=True).shows_secret
    assert not TokenAuthenticator().shows_secret
    with pytest.raises(AccessDenied, match="TLS and pipes only"):
        two.said(two.issued(holder=None), at=binding(private=False))


def test_another_issuer_speaks_for_its_realm_only_and_until_it_is_revoked(two, tmp_path):
    message = two.said(two.issued(directory=two.thief))
    issuers = two.host / "issuers"
    issuers.mkdir(parents=True, mode=0o700)
    two.host.chmod(0o700)
    own_identity(two.host)
    certificate = x509.load_der_x509_certificate(own_identity(two.thief).certificate)
    (issuers / "acme.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    assert two.judged(message).principal == "ann@acme"
    revoked = two.host / "revoked"
    revoked.write_text(f"{own_identity(two.thief).fingerprint} acme\n")
    revoked.chmod(0o600)
    with pytest.raises(AuthenticationFailed, match="not believed"):
        two.judged(message)


def test_a_holder_whose_key_was_revoked_is_refused(two):
    message = two.said(two.issued())
    revoked = two.host / "revoked"
    revoked.write_text(f"{two.holder} ann\n")
    revoked.chmod(0o600)
    with pytest.raises(AuthenticationFailed, match="trusted no more"):
        two.judged(message)


def test_nobody_is_made_the_owner(two):
    with pytest.raises(ValueError, match="owner"):
        two.issued("owner")


def test_a_client_reads_its_token_anew_each_time(two, tmp_path):
    tokens = iter([two.issued("ann"), two.issued("bob")])
    client = TokenAuthenticator(token=lambda: next(tokens), directory=two.client)
    assert [two.judged(client.client(binding()).step(b"")).principal for _ in range(2)] == ["ann", "bob"]
    asked = TokenAuthenticator(directory=two.client)
    with pytest.raises(AuthenticationFailed, match="rpcx token issue"):
        asked.client(binding())
    file = two.client / "token"
    file.write_text(two.issued("carl") + "\n")
    file.chmod(0o600)
    assert two.judged(asked.client(binding()).step(b"")).principal == "carl"
    file.chmod(0o644)
    with pytest.raises(AccessDenied, match="chmod 600"):
        asked.client(binding())


@rpcx.singleton("till", allow={"teller"})
class Till:
    def who(self) -> tuple[str | None, bool]:
        return rpcx.context.peer.principal, rpcx.context.peer.owner


@pytest.mark.parametrize("url", ["pipe", "tcp"])
def test_it_works_over_real_connections_and_the_session_ends_with_the_token(url, tmp_path):
    with user(tmp_path / "one"):
        own = own_identity().fingerprint
        tokens = []

        def fresh() -> str:
            tokens.append(issue("ann", own, 2 if not tokens else 900, roles=frozenset({"teller"}), holder=own))
            return tokens[-1]

        with rpcx.Host(authenticators=["token"]) as host:
            host.register(Till)
            where = host.listen(f"pipe://till{next(NUMBERS)}" if url == "pipe" else "tcp://127.0.0.1:0")
            with rpcx.connect(where, authenticators=[TokenAuthenticator(token=fresh)]) as server:
                till = server.get(Till)
                assert till.who() == ("ann", False)
                first = server._endpoint
                deadline = time.monotonic() + 10
                while first.error is None:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                assert isinstance(first.error, AuthenticationFailed)
                assert till.who() == ("ann", False)
                assert len(tokens) == 2
            with pytest.raises(AuthenticationFailed, match="the client has none, the server token"):
                rpcx.connect(where)


def in_threads(host: rpcx.Host) -> rpcx.Host:
    return host


def revoke(key: str, directory: Path) -> None:
    """As `rpcx keys revoke` does it."""
    (directory / "revoked").write_text(f"{key} somebody\n")
    (directory / "revoked").chmod(0o600)


@pytest.mark.parametrize("serving", [in_threads, in_a_loop])
@pytest.mark.parametrize(("url", "whose"), [("pipe", "issuer"), ("pipe", "holder"), ("tcp", "issuer")])
def test_a_session_ends_when_a_key_behind_its_token_is_revoked(url, whose, serving, tmp_path):
    """Over a pipe nothing else of the connection depends on keys."""
    issuer, home = own_identity(tmp_path / "issuer"), tmp_path / "one"
    with user(home):
        own = own_identity().fingerprint
        (home / "issuers").mkdir(mode=0o700)
        certificate = x509.load_der_x509_certificate(issuer.certificate)
        (home / "issuers" / "acme.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        token = TokenAuthenticator(
            token=issue("ann", own, 900, roles=TELLER, holder=own, directory=tmp_path / "issuer")
        )
        host = rpcx.Host(authenticators=["token"])
        host.register(Till)
        where = host.listen(f"pipe://till{next(NUMBERS)}" if url == "pipe" else "tcp://127.0.0.1:0")
        with serving(host), rpcx.connect(where, authenticators=[token]) as server:
            till = server.get(Till)
            assert till.who() == ("ann@acme", False)
            first = server._endpoint
            revoke(issuer.fingerprint if whose == "issuer" else own, home)
            deadline = time.monotonic() + 10
            while first.error is None:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert isinstance(first.error, AuthenticationFailed)
            with pytest.raises(AuthenticationFailed):
                till.who()


def test_a_configuration_file_names_it(two, tmp_path):
    file = tmp_path / "app.toml"
    text = '[[objects]]\nclass = "tests.end_to_end.served:Bank"\n[[channels]]\nurl = "inproc://{}"\n[[authenticators]]\n{}\n'
    file.write_text(text.format(f"till{next(NUMBERS)}", 'name = "token"\naudience = "bank"'))
    with user(two.host), rpcx.Host.from_config(file) as host:
        (url,) = host.urls
        with pytest.raises(AuthenticationFailed, match="the server token"):
            rpcx.connect(url)
        token = issue("ann", "bank", 60, holder=own_identity().fingerprint)
        with rpcx.connect(url, authenticators=[TokenAuthenticator(token=token)]):
            (peer,) = host.peers
            assert peer.principal == "ann"
    for wrong in ('name = "token"\naudiense = "x"', 'name = "nobody\'s"'):
        file.write_text(text.format(f"till{next(NUMBERS)}", wrong))
        with pytest.raises(ValueError, match="app.toml: authenticators"):
            rpcx.Host.from_config(file)
