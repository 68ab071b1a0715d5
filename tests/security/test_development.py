"""Principals for trying out: good on this machine, for a month, and nowhere else."""

import datetime

import pytest
from cryptography import x509

import rpcx
from rpcx.errors import AuthenticationFailed
from rpcx.security.authority import DEVELOPMENT, LONGEST_DAYS, found_authority, own_authority
from rpcx.security.development import try_out
from rpcx.security.identity import own_identity
from rpcx.security.keyring import trust_authority
from rpcx.security.sides import ClientSide, ServerSide
from tests.security.pair import NOW, End, user


@rpcx.singleton("desk", allow=["teller"])
class Desk:
    def who(self) -> str | None:
        return rpcx.context.peer.principal

    @rpcx.method(allow=["boss"])
    def close_day(self) -> str:
        return "closed"


@pytest.fixture
def home(tmp_path):
    with user(tmp_path / "mine"):
        own_identity()
    return tmp_path / "mine"


def test_rules_can_be_tried_on_one_machine_without_another_user(home):
    ann, bob = try_out(home, "ann", frozenset({"teller"})), try_out(home, "bob", frozenset({"teller", "boss"}))
    with user(home):
        host = rpcx.Host()
        host.register(Desk)
        url = host.listen("tcp://127.0.0.1:0").partition("?")[0]
    with host:
        for tried, may in ((ann, False), (bob, True)):
            with user(tried.home), rpcx.connect(url) as server:
                desk = server.get(Desk)
                assert desk.who() == tried.name
                if may:
                    assert desk.close_day() == "closed"
                else:
                    with pytest.raises(rpcx.ObjectNotFound):
                        desk.close_day()
    assert (ann.name, bob.name) == ("ann@localhost", "bob@localhost")


def test_other_roles_are_given_by_saying_it_again(home):
    first = try_out(home, "ann", frozenset({"teller"}))
    key = own_identity(first.home).fingerprint
    again = try_out(home, "ann", frozenset({"boss"}))
    assert own_identity(again.home).fingerprint == key
    leaf = x509.load_pem_x509_certificate((again.home / "identity.crt").read_bytes())
    (uri,) = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.UniformResourceIdentifier
    )
    assert uri == "rpcx://localhost/ann?role=boss"


def met(home, tried, where: str) -> tuple[End, End]:
    """A host of this user and the principal's client, each of which sees the other at ``where``."""
    with user(home):
        serving = ServerSide()
    with user(tried.home):
        calling = ClientSide(where, None)
    client, server = End(calling, b"hello"), End(serving)
    for end in (client, server):
        end.facts.address = where
    for _ in range(4):
        server.gets(client.sends(), NOW)
        client.gets(server.sends(), NOW)
    return client, server


@pytest.mark.parametrize(("where", "fine"), [
    ("127.0.0.1:4000", True), ("[::1]:4000", True), ("192.0.2.7:4000", False), ("[2001:db8::7]:4000", False),
])  # fmt: skip
def test_they_are_let_in_from_this_machine_only(home, where, fine):
    _, server = met(home, try_out(home, "ann"), where)
    assert (server.within.got == b"hello") is fine
    if not fine:
        assert isinstance(server.within.error, AuthenticationFailed)
        assert "lets nobody in from another machine" in str(server.within.error)


def test_a_server_elsewhere_is_not_believed_for_such_a_certificate(home):
    """Not even where the authority is known that signed it."""
    ann, bob = try_out(home, "ann"), try_out(home, "bob")
    for tried in (ann, bob):
        (tried.home / "authorities").mkdir(mode=0o700)
        (tried.home / "authorities" / "localhost.pem").write_bytes(
            (home / "authorities" / "localhost.pem").read_bytes()
        )
    for where, fine in (("127.0.0.1:4000", True), ("192.0.2.7:4000", False)):
        client, _ = met(bob.home, ann, where)
        assert (client.within.error is None) is fine
    assert "does not know the server's key" in str(client.within.error)


def test_the_authority_is_marked_limited_and_made_anew_when_it_is_over(home):
    try_out(home, "ann")
    place = home / "dev" / "authority"
    realm, first = own_authority(place)
    assert realm == DEVELOPMENT
    assert "DEV" in first.subject.rfc4514_string()
    assert first.not_valid_after_utc - datetime.datetime.now(datetime.UTC) <= datetime.timedelta(days=LONGEST_DAYS)
    only = first.extensions.get_extension_for_class(x509.NameConstraints).value
    assert [each.value for each in only.permitted_subtrees] == ["localhost"]
    try_out(home, "bob")
    assert own_authority(place)[1] == first
    for file in place.iterdir():
        file.unlink()
    found_authority(place, DEVELOPMENT, days=0.5)
    tried = try_out(home, "ann")
    assert own_authority(place)[1] != first
    assert tried.until > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=LONGEST_DAYS - 1)
    assert (home / "authorities" / "localhost.pem").read_bytes() == (place / "localhost.pem").read_bytes()


def test_nobody_elses_authority_is_trusted_for_that_realm(home, tmp_path):
    found_authority(tmp_path / "theirs", DEVELOPMENT)
    with pytest.raises(ValueError, match="rpcx keys dev"):
        trust_authority(home, (tmp_path / "theirs" / "localhost.pem").read_bytes(), DEVELOPMENT)
    assert not (home / "authorities").exists()


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 65])
def test_a_name_leaves_no_directory(home, name):
    with pytest.raises(ValueError, match="is no name"):
        try_out(home, name)
