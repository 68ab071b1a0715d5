"""This user's own key: made at first use, proved on every TLS connection.

The key is Ed25519 and never leaves its file, ``identity.key``. The certificate, ``identity.crt``, only carries its
public half, because TLS wants certificates; names in it mean nothing. What stands for a key everywhere is its
fingerprint, the SHA-256 of its SubjectPublicKeyInfo.
"""

import base64
import datetime
import getpass
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rpcx.errors import AccessDenied
from rpcx.security.files import create_private, private_directory, read_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

HOME: Final = "RPCX_HOME"  # environment: where keys are
#: What `cryptography` says of a certificate besides ValueError.
ILLEGIBLE: Final = (
    UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip
YEARS: Final = 10  # that an identity is good for
CERTIFICATE: Final = "identity.crt"
KEY: Final = "identity.key"


@dataclass(frozen=True, slots=True)
class Identity:
    """A key and the certificate that carries its public half."""

    certificate_file: Path
    key_file: Path
    certificate: bytes = field(repr=False)  # DER
    fingerprint: str
    principal: str  # what the user calls itself, user@host; nobody else relies on it


def home() -> Path:
    """The directory of keys: ``$RPCX_HOME``, else ``rpcx`` in ``$XDG_CONFIG_HOME`` or ``~/.config``."""
    given = os.environ.get(HOME)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "rpcx"


def own_identity(directory: Path | None = None) -> Identity:
    """This user's identity, made if there is none; two processes that begin at once make one.

    Raises:
        AccessDenied: its files are not safe, or make no sense; the message names file and remedy.
    """
    directory = private_directory(directory or home())
    key, certificate = directory / KEY, directory / CERTIFICATE
    private = private_key(key) if key.exists() else _new_key(key)
    if not certificate.exists():
        create_private(certificate, self_signed(private).public_bytes(serialization.Encoding.PEM))
    der = certificate_of(read_private(certificate, secret=False), certificate)
    if public_fingerprint(private.public_key()) != fingerprint_of(der):
        raise AccessDenied(f"{certificate} is of another key than {key}; remove the certificate to have it made anew")
    return Identity(certificate, key, der, fingerprint_of(der), own_name())


def own_name() -> str:
    """What this user calls itself: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextmanager
def legible() -> Iterator[None]:
    """Whatever is wrong with a certificate that is read within is a ValueError."""
    try:
        yield
    except ILLEGIBLE as error:
        raise ValueError(f"a certificate that cannot be read: {error}") from error


def fingerprint_of(certificate_der: bytes) -> str:
    """``sha256:…`` of a certificate's public key. Raises ValueError when it is no certificate."""
    with legible():
        return public_fingerprint(x509.load_der_x509_certificate(certificate_der).public_key())


def public_fingerprint(public: "CertificatePublicKeyTypes") -> str:
    """``sha256:`` and the SHA-256 of a key's SubjectPublicKeyInfo, base64url without padding."""
    info = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + base64.urlsafe_b64encode(hashlib.sha256(info).digest()).decode().rstrip("=")


def certificate_of(pem: bytes, source: Path) -> bytes:
    """The first certificate in ``pem``, DER. Raises AccessDenied naming ``source`` when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    except ValueError:
        raise AccessDenied(f"{source} holds no certificate") from None


def private_key(file: Path) -> Ed25519PrivateKey:
    """The key in ``file``. Raises AccessDenied: it is not safe there, or none of ours."""
    try:
        loaded = serialization.load_pem_private_key(read_private(file, secret=True), None)
    except (ValueError, TypeError):
        raise AccessDenied(f"{file} holds no private key without a password") from None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise AccessDenied(f"{file} holds a {type(loaded).__name__}, not an Ed25519 key")
    return loaded


def key_pem(private: Ed25519PrivateKey) -> bytes:
    """A key as it is stored."""
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def self_signed(private: Ed25519PrivateKey, name: str | None = None) -> x509.Certificate:
    """A certificate that carries ``private``'s public half and says no more; good for both ends, CA for nobody."""
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (name or own_name())[:64])])
    return (
        leaf_builder(named, private.public_key(), datetime.timedelta(days=365 * YEARS))
        .issuer_name(named)
        .sign(private, None)
    )


def leaf_builder(
    name: x509.Name, public: "CertificatePublicKeyTypes", valid: datetime.timedelta
) -> x509.CertificateBuilder:
    """What every certificate of an end has in common; a day back, since clocks differ."""
    now = datetime.datetime.now(datetime.UTC)
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(uses, critical=False)
    )


def _new_key(file: Path) -> Ed25519PrivateKey:
    private = Ed25519PrivateKey.generate()
    return private if create_private(file, key_pem(private)) else private_key(file)
