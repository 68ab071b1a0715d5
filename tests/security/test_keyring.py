"""Changes to whom this user trusts, and to its own key."""

import datetime
import json

import pytest

from rpcx.errors import AccessDenied
from rpcx.security import keyring
from rpcx.security.authority import found_authority, issue
from rpcx.security.identity import own_identity
from rpcx.security.trust import TrustStore

NOON = datetime.datetime(2026, 12, 7, 12, tzinfo=datetime.UTC)


@pytest.fixture
def here(tmp_path):
    own_identity(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def ann(tmp_path):
    own_identity(tmp_path / "ann")
    return tmp_path / "ann"


def certificate(home) -> bytes:
    return own_identity(home).certificate_file.read_bytes()


def name_of(home, of) -> str | None:
    principal = TrustStore(home).principal_of(own_identity(of).certificate)
    return principal.name if principal is not None else None


# --- others -----------------------------------------------------------------------------------------------------


def test_somebody_is_trusted_by_a_name_and_with_roles(here, ann):
    keyring.trust(here, certificate(ann), "ann", frozenset({"ops"}))
    principal = TrustStore(here).principal_of(own_identity(ann).certificate)
    assert (principal.name, principal.roles) == ("ann", {"ops"})


def test_a_second_key_of_a_name_is_taken_besides_the_first(here, ann, tmp_path):
    keyring.trust(here, certificate(ann), "ann", frozenset({"ops"}))
    keyring.trust(here, certificate(tmp_path / "laptop"), "ann")
    assert name_of(here, ann) == name_of(here, tmp_path / "laptop") == "ann"
    assert TrustStore(here).principal_of(own_identity(ann).certificate).roles == {"ops"}, "roles stay"


def test_trusting_twice_is_once(here, ann):
    keyring.trust(here, certificate(ann), "ann")
    keyring.trust(here, certificate(ann), "ann")
    assert len(TrustStore(here).records()["ann"].keys) == 1


def test_one_key_is_one_principal(here, ann):
    keyring.trust(here, certificate(ann), "ann")
    with pytest.raises(ValueError, match="trusted as ann already"):
        keyring.trust(here, certificate(ann), "bob")


@pytest.mark.parametrize("name", ["owner", "../x", ""])
def test_some_names_cannot_be_given(here, ann, name):
    with pytest.raises(ValueError, match="name"):
        keyring.trust(here, certificate(ann), name)


def test_roles_can_be_given_and_taken(here, ann):
    keyring.trust(here, certificate(ann), "ann", frozenset({"ops"}))
    keyring.set_roles(here, "ann", frozenset({"dev"}))
    assert TrustStore(here).records()["ann"].roles == {"dev"}
    keyring.set_roles(here, "ann", frozenset())
    assert TrustStore(here).records()["ann"].roles == frozenset()
    with pytest.raises(LookupError, match="nobody is trusted as bob"):
        keyring.set_roles(here, "bob", frozenset())


def test_somebody_is_revoked_by_name(here, ann):
    keyring.trust(here, certificate(ann), "ann")
    assert keyring.revoke(here, "ann") == [own_identity(ann).fingerprint]
    assert name_of(here, ann) is None
    assert TrustStore(here).records() == {}
    assert TrustStore(here).revoked() == {own_identity(ann).fingerprint: "ann"}


def test_one_key_of_two_is_revoked_by_its_fingerprint(here, ann, tmp_path):
    keyring.trust(here, certificate(ann), "ann")
    keyring.trust(here, certificate(tmp_path / "laptop"), "ann")
    keyring.revoke(here, own_identity(ann).fingerprint)
    assert name_of(here, ann) is None
    assert name_of(here, tmp_path / "laptop") == "ann"


def test_a_revoked_key_is_not_trusted_again_by_mistake(here, ann):
    keyring.trust(here, certificate(ann), "ann")
    keyring.revoke(here, "ann")
    with pytest.raises(AccessDenied, match="rpcx keys forgive"):
        keyring.trust(here, certificate(ann), "ann")
    keyring.forgive(here, own_identity(ann).fingerprint)
    keyring.trust(here, certificate(ann), "ann")
    assert name_of(here, ann) == "ann"
    with pytest.raises(LookupError, match="was not revoked"):
        keyring.forgive(here, own_identity(ann).fingerprint)


def test_a_key_can_be_revoked_before_it_was_ever_seen(here, ann):
    keyring.revoke(here, own_identity(ann).fingerprint)
    with pytest.raises(AccessDenied):
        keyring.trust(here, certificate(ann), "ann")


def test_revoking_names_who_is_known_when_the_name_is_not(here, ann):
    keyring.trust(here, certificate(ann), "ann")
    with pytest.raises(LookupError, match="known are: ann"):
        keyring.revoke(here, "anne")


def test_the_own_key_is_replaced_and_not_revoked(here):
    with pytest.raises(ValueError, match="rpcx keys rotate"):
        keyring.revoke(here, own_identity(here).fingerprint)


@pytest.mark.parametrize("text", ["sha256:", "sha256:short", "sha256:" + "A" * 44])
def test_what_is_no_fingerprint_is_told(here, text):
    with pytest.raises(ValueError, match="no fingerprint"):
        keyring.revoke(here, text)


# --- a new key --------------------------------------------------------------------------------------------------


def test_a_new_key_comes_without_locking_anybody_out(here, ann):
    keyring.trust(here, certificate(ann), "ann", frozenset({"ops"}))
    old = own_identity(ann)
    statement = keyring.begin_rotation(ann)
    assert own_identity(ann) == old, "nothing changes before it is finished"

    name, fingerprint = keyring.follow_rotation(here, statement, NOON)
    assert (name, name_of(here, ann)) == ("ann", "ann"), "by the old key"

    assert keyring.finish_rotation(ann) == fingerprint == own_identity(ann).fingerprint
    principal = TrustStore(here, clock=lambda: NOON).principal_of(own_identity(ann).certificate)
    assert (principal.name, principal.roles) == ("ann", {"ops"}), "by the new one"

    in_time, late = NOON + datetime.timedelta(days=13.9), NOON + datetime.timedelta(days=14)
    assert TrustStore(here, clock=lambda: in_time).principal_of(old.certificate) is not None
    assert TrustStore(here, clock=lambda: late).principal_of(old.certificate) is None


def test_a_statement_is_the_same_until_it_is_finished(ann):
    assert keyring.begin_rotation(ann) == keyring.begin_rotation(ann)


def test_there_must_be_a_new_key_to_finish_with(ann):
    with pytest.raises(LookupError, match="rpcx keys rotate"):
        keyring.finish_rotation(ann)


def test_a_stranger_has_no_word_on_new_keys(here, ann):
    with pytest.raises(LookupError, match="counts for nothing"):
        keyring.follow_rotation(here, keyring.begin_rotation(ann))


def test_a_revoked_key_has_no_word_on_new_keys(here, ann):
    keyring.trust(here, certificate(ann), "ann")
    statement = keyring.begin_rotation(ann)
    kept = (here / "authorized" / "ann.pem").read_bytes()
    keyring.revoke(here, "ann")
    (here / "authorized" / "ann.pem").write_bytes(kept)
    with pytest.raises(LookupError, match="revoked"):
        keyring.follow_rotation(here, statement)


def test_a_statement_that_was_changed_is_refused(here, ann, tmp_path):
    keyring.trust(here, certificate(ann), "ann")
    own_identity(tmp_path / "eve")
    theirs = json.loads(keyring.begin_rotation(tmp_path / "eve"))
    forged = {**json.loads(keyring.begin_rotation(ann)), "new": theirs["new"]}
    with pytest.raises(ValueError, match="not signed by the key"):
        keyring.follow_rotation(here, json.dumps(forged).encode())
    borrowed = {**theirs, "old": own_identity(ann).fingerprint}
    with pytest.raises(ValueError, match="not signed by the key"):
        keyring.follow_rotation(here, json.dumps(borrowed).encode())


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"old": 5, "new": "", "signature": ""}', b"\xff"])
def test_what_is_no_statement_is_told(here, text):
    with pytest.raises(ValueError, match="no statement"):
        keyring.follow_rotation(here, text)


def test_a_server_that_was_pinned_to_the_old_key_is_trusted_by_both(here, ann):
    keyring.trust(here, certificate(ann), "ann")
    store = TrustStore(here)
    store.pin("h:1", own_identity(ann).fingerprint)
    keyring.follow_rotation(here, keyring.begin_rotation(ann))
    assert store.pin_of("h:1") is None


# --- an authority -----------------------------------------------------------------------------------------------


def test_only_a_certificate_of_the_own_key_is_installed(here, ann, tmp_path):
    found_authority(tmp_path / "ca", "acme")
    leaf = issue(tmp_path / "ca", certificate(ann), "ann", frozenset({"ops"}))
    with pytest.raises(ValueError, match="is of the key"):
        keyring.install(here, leaf)
    assert keyring.install(ann, leaf) == "ann@acme"
    assert own_identity(ann).certificate_file.read_bytes() == leaf


def test_an_ends_certificate_is_no_authority(here, ann):
    with pytest.raises(ValueError, match="authority"):
        keyring.trust_authority(here, certificate(ann), "acme")
