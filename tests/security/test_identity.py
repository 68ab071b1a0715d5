"""This user's own key."""

import os
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from rpcx.errors import AccessDenied
from rpcx.security.files import write_private
from rpcx.security.identity import fingerprint_of, home, own_identity, private_key, self_signed


def test_it_is_made_once_and_found_again(tmp_path):
    made = own_identity(tmp_path / "keys")
    assert own_identity(tmp_path / "keys") == made
    assert made.fingerprint == fingerprint_of(made.certificate)
    assert made.fingerprint.startswith("sha256:")
    assert len(made.fingerprint) == len("sha256:") + 43
    assert made.key_file.stat().st_mode & 0o777 == 0o600


def test_its_certificate_is_good_for_both_ends_and_signs_nobody(tmp_path):
    certificate = x509.load_der_x509_certificate(own_identity(tmp_path).certificate)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {use._name for use in uses} == {"clientAuth", "serverAuth"}
    assert isinstance(certificate.public_key(), ed25519.Ed25519PublicKey)


def test_two_processes_that_begin_at_once_make_one(tmp_path):
    code = "from rpcx.security.identity import own_identity; print(own_identity().fingerprint)"
    environment = {**os.environ, "RPCX_HOME": str(tmp_path / "keys")}
    begun = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in begun}) == 1
    assert sorted(os.listdir(tmp_path / "keys")) == ["identity.crt", "identity.key"]


def test_a_key_that_others_may_read_is_refused(tmp_path):
    own_identity(tmp_path).key_file.chmod(0o644)
    with pytest.raises(AccessDenied, match="chmod 600"):
        own_identity(tmp_path)


def test_a_lost_certificate_is_made_anew_of_the_same_key(tmp_path):
    made = own_identity(tmp_path)
    made.certificate_file.unlink()
    assert own_identity(tmp_path).fingerprint == made.fingerprint


def test_a_certificate_of_another_key_is_an_error(tmp_path):
    made = own_identity(tmp_path)
    other = self_signed(ed25519.Ed25519PrivateKey.generate())
    write_private(made.certificate_file, other.public_bytes(Encoding.PEM))
    with pytest.raises(AccessDenied, match="of another key"):
        own_identity(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_that_is_no_key_is_an_error_that_names_it(tmp_path, content):
    write_private(tmp_path / "identity.key", content)
    with pytest.raises(AccessDenied, match=r"identity\.key holds no private key"):
        own_identity(tmp_path)


def test_a_key_of_another_kind_is_refused(tmp_path):
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(tmp_path / "identity.key", pem)
    with pytest.raises(AccessDenied, match="not an Ed25519 key"):
        private_key(tmp_path / "identity.key")


def test_where_keys_are(monkeypatch, tmp_path):
    monkeypatch.setenv("RPCX_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("RPCX_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert home() == tmp_path / "rpcx"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / ".config" / "rpcx"


def test_nothing_of_a_key_shows_in_its_repr(tmp_path):
    made = own_identity(tmp_path)
    assert repr(made.certificate) not in repr(made)
    assert made.fingerprint in repr(made)
