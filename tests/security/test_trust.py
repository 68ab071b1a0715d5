"""Whose keys are known."""

import datetime
import logging
import os
import shutil
import ssl

import pytest

from rpcx.errors import AccessDenied
from rpcx.security import keyring
from rpcx.security.authority import found_authority, issue
from rpcx.security.identity import own_identity
from rpcx.security.records import Record, trusted_key, write_record
from rpcx.security.trust import LOOK_SECONDS, TrustStore
from tests.security.pair import odd_certificate, trust

NOON = datetime.datetime(2026, 12, 7, 12, tzinfo=datetime.UTC)


def looked_again(store: TrustStore) -> TrustStore:
    """``store`` as it is when half a second has passed."""
    store._looked -= LOOK_SECONDS
    return store


def test_the_own_key_is_always_trusted(tmp_path):
    own = own_identity(tmp_path)
    principal = TrustStore(tmp_path).principal_of(own.certificate)
    assert principal is not None
    assert principal.roles == {"owner"}
    assert TrustStore(tmp_path).certificates() == [own.certificate]


def test_a_file_makes_a_principal(tmp_path):
    trust(tmp_path / "a", tmp_path / "b", "ann")
    own_identity(tmp_path / "a")
    principal = TrustStore(tmp_path / "a").principal_of(own_identity(tmp_path / "b").certificate)
    assert principal is not None
    assert principal.name == "ann"


def test_a_server_is_remembered_by_its_key(tmp_path):
    store = TrustStore(tmp_path)
    assert store.pin_of("h:1") is None
    store.pin("h:1", "sha256:x")
    assert TrustStore(tmp_path).pin_of("h:1") == "sha256:x"
    store.pin("h:1", None)
    assert TrustStore(tmp_path).pin_of("h:1") is None


def test_nonsense_is_nobody(tmp_path):
    assert TrustStore(tmp_path).principal_of(b"no certificate") is None


def test_a_new_file_is_noticed_and_changes_the_generation(tmp_path):
    store = TrustStore(tmp_path / "a")
    before = store.generation
    assert looked_again(store).generation == before
    trust(tmp_path / "a", tmp_path / "b", "ann")
    assert looked_again(store).generation > before
    assert store.principal_of(own_identity(tmp_path / "b").certificate) is not None


def test_files_are_not_looked_at_for_every_question(tmp_path):
    store = TrustStore(tmp_path / "a")
    trust(tmp_path / "a", tmp_path / "b", "ann")
    assert store.principal_of(own_identity(tmp_path / "b").certificate) is None, "half a second has not passed"


def test_a_revoked_key_is_nobody_whatever_else_says_so(tmp_path):
    file = trust(tmp_path / "a", tmp_path / "b", "ann")
    kept = file.read_bytes()
    store = TrustStore(tmp_path / "a")
    ann = own_identity(tmp_path / "b")
    keyring.revoke(tmp_path / "a", "ann")
    file.write_bytes(kept)
    file.chmod(0o600)
    assert looked_again(store).principal_of(ann.certificate) is None
    assert ann.certificate not in store.certificates()


def test_a_key_that_is_replaced_ends_in_time(tmp_path):
    ann = own_identity(tmp_path / "b")
    time = [NOON - datetime.timedelta(seconds=1)]
    own_identity(tmp_path / "a")
    folder = tmp_path / "a" / "authorized"
    folder.mkdir(mode=0o700)
    key = trusted_key(ann.certificate_file.read_bytes(), NOON)
    (folder / "ann.pem").write_bytes(write_record(Record((key,))))
    store = TrustStore(tmp_path / "a", clock=lambda: time[0])
    before = store.generation
    assert store.principal_of(ann.certificate) is not None
    time[0] = NOON
    assert looked_again(store).principal_of(ann.certificate) is None
    assert store.generation > before


@pytest.mark.parametrize("spoil", [
    lambda file: file.chmod(0o666),
    lambda file: file.write_bytes(b"nonsense"),
    lambda file: (file.rename(file.with_suffix(".real")), file.symlink_to(file.with_suffix(".real"))),
    lambda file: file.write_text(ssl.DER_cert_to_PEM_cert(odd_certificate())),
])  # fmt: skip
def test_a_file_that_cannot_be_used_trusts_nobody_and_stops_no_other(tmp_path, caplog, spoil):
    trust(tmp_path / "a", tmp_path / "c", "bob")
    spoil(trust(tmp_path / "a", tmp_path / "b", "ann"))
    with caplog.at_level(logging.ERROR, "rpcx.security"):
        store = TrustStore(tmp_path / "a")
    assert store.principal_of(own_identity(tmp_path / "b").certificate) is None
    assert store.principal_of(own_identity(tmp_path / "c").certificate).name == "bob"
    assert "ann.pem trusts nobody" in caplog.text


def test_a_list_of_revoked_keys_that_others_may_write_leaves_only_the_owner(tmp_path, caplog):
    trust(tmp_path / "a", tmp_path / "b", "ann")
    (tmp_path / "a" / "revoked").touch()
    (tmp_path / "a" / "revoked").chmod(0o666)
    store = TrustStore(tmp_path / "a")
    assert store.principal_of(own_identity(tmp_path / "b").certificate) is None
    assert store.principal_of(own_identity(tmp_path / "a").certificate).name == "owner"
    assert "nobody but this user" in caplog.text


def test_pins_that_others_may_write_are_not_believed(tmp_path):
    store = TrustStore(tmp_path)
    store.pin("h:1", "sha256:x")
    (tmp_path / "known_servers").chmod(0o666)
    with pytest.raises(AccessDenied, match="known_servers"):
        store.pin_of("h:1")


def test_a_line_of_one_word_is_an_error_that_names_its_place(tmp_path):
    store = TrustStore(tmp_path)
    (tmp_path / "known_servers").write_text("# fine\nh:1 sha256:x\n\nh:2\n")
    with pytest.raises(AccessDenied, match="known_servers, line 4"):
        store.pins()


def test_whom_an_authority_signs_for_is_trusted_by_the_name_it_gave(tmp_path):
    leaf = issue(*authority(tmp_path), own_identity(tmp_path / "b").certificate_file.read_bytes(), "ann", {"ops"})
    keyring.install(tmp_path / "b", leaf)
    keyring.trust_authority(tmp_path / "a", (tmp_path / "ca" / "acme.pem").read_bytes(), "acme")
    store = TrustStore(tmp_path / "a")
    principal = store.principal_of(own_identity(tmp_path / "b").certificate)
    assert (principal.name, principal.roles) == ("ann@acme", {"ops"})
    keyring.revoke(tmp_path / "a", principal.fingerprint)
    assert looked_again(store).principal_of(own_identity(tmp_path / "b").certificate) is None


def test_another_authority_of_the_same_name_is_none(tmp_path):
    directory = authority(tmp_path)[0]
    leaf = issue(directory, own_identity(tmp_path / "b").certificate_file.read_bytes(), "ann", frozenset())
    keyring.install(tmp_path / "b", leaf)
    shutil.rmtree(directory)
    other = found_authority(directory, "acme").read_bytes()
    keyring.trust_authority(tmp_path / "a", other, "acme")
    assert TrustStore(tmp_path / "a").principal_of(own_identity(tmp_path / "b").certificate) is None


def test_the_coming_key_is_the_owners_too(tmp_path):
    store = TrustStore(tmp_path)
    keyring.begin_rotation(tmp_path)
    coming = (tmp_path / "identity-next.crt").read_bytes()
    assert looked_again(store).principal_of(trusted_key(coming).certificate).name == "owner"
    assert os.listdir(tmp_path).count("authorized") == 0


def authority(tmp_path) -> tuple:
    found_authority(tmp_path / "ca", "acme")
    return (tmp_path / "ca",)
