"""This user's own key: made at first use, proved on every TLS connection."""

import base64
import datetime
import getpass
import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rpcx.errors import AccessDenied

HOME: Final = "RPCX_HOME"  # environment: where keys are
YEARS: Final = 10  # that an identity is good for


@dataclass(frozen=True, slots=True)
class Identity:
    """A key pair and the certificate that carries its public half."""

    certificate_file: Path
    key_file: Path
    certificate: bytes  # DER
    fingerprint: str  # "sha256:" and the SHA-256 of its public key, base64url
    principal: str  # what the user calls itself: user@host


def home() -> Path:
    """The directory of keys: ``$RPCX_HOME``, ``$XDG_CONFIG_HOME/rpcx`` or ``~/.config/rpcx``."""
    given = os.environ.get(HOME)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "rpcx"


def own_identity(directory: Path | None = None) -> Identity:
    """This user's identity, made if there is none.

    Raises:
        AccessDenied: others can read the key.
    """
    directory = directory or home()
    certificate, key = directory / "identity.crt", directory / "identity.key"
    if not certificate.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(certificate, key)
    if key.stat().st_mode & 0o077:
        raise AccessDenied(f"{key}: others may read it; run chmod 600 {key}")
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    der = loaded.public_bytes(serialization.Encoding.DER)
    return Identity(certificate, key, der, fingerprint_of(der), _own_name())


def fingerprint_of(certificate_der: bytes) -> str:
    """``sha256:…`` of a certificate's public key (its SubjectPublicKeyInfo)."""
    public = x509.load_der_x509_certificate(certificate_der).public_key()
    info = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + base64.urlsafe_b64encode(hashlib.sha256(info).digest()).decode().rstrip("=")


def _own_name() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _make(certificate: Path, key: Path) -> None:
    private = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _own_name()[:64])])
    now = datetime.datetime.now(datetime.UTC)
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(uses, critical=False)
        .sign(private, None)
    )
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123  # with a mode
        file.write(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
