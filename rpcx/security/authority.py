"""An authority of one's own, for fleets: it signs certificates, and whom it signs for is trusted.

A leaf says who it is in one URI of its subject alternative name: ``rpcx://REALM/NAME?role=ops&role=dev``. It is good
for 30 days at most, and for both ends. An authority signs leaves directly (path length 0) and for its own realm only,
which its name constraints say and this module checks. Its key belongs on a machine that is otherwise off; whoever has
it is everybody.
"""

import datetime
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rpcx.security.files import create_private, private_directory, write_private
from rpcx.security.identity import ILLEGIBLE, key_pem, leaf_builder, legible, private_key
from rpcx.security.records import checked_name, is_authority

LONGEST_DAYS: Final = 30  # that a leaf is good for
AUTHORITY_DAYS: Final = 3650  # that the authority is
SCHEME: Final = "rpcx"
DEVELOPMENT: Final = "localhost"  # the realm of principals for trying out (`rpcx.security.development`)


@dataclass(frozen=True, slots=True)
class Issued:
    """Whom a leaf is for."""

    name: str
    roles: frozenset[str]
    until: datetime.datetime | None = None  # the leaf's end, or its authority's; None: it was not looked at


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority that is trusted for its realm."""

    realm: str
    certificate: bytes = field(repr=False)  # DER
    parsed: x509.Certificate = field(repr=False)

    def issued(self, certificate_der: bytes, now: datetime.datetime) -> Issued | None:
        """Whom this authority signed the certificate for; None: it did not, or not for its realm, or not for now."""
        leaf = x509.load_der_x509_certificate(certificate_der)
        try:
            leaf.verify_directly_issued_by(self.parsed)
        except (ValueError, TypeError, InvalidSignature, *ILLEGIBLE):
            return None
        for each in (leaf, self.parsed):
            if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
                return None
        if is_authority(leaf) or not _for_both_ends(leaf):
            return None
        try:
            issued = read_name(leaf, self.realm)
        except ValueError:
            return None
        return Issued(issued.name, issued.roles, min(leaf.not_valid_after_utc, self.parsed.not_valid_after_utc))


def read_authority(realm: str, pem: bytes) -> Authority:
    """The authority of ``realm``. Raises ValueError: it is none, or one that may sign other authorities."""
    try:
        with legible():
            certificate = x509.load_pem_x509_certificate(pem)
            basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise ValueError("the certificate does not say that it is an authority's") from None
    if not basic.ca or basic.path_length != 0:
        raise ValueError("the certificate is none of an authority that signs ends only (CA:TRUE, path length 0)")
    return Authority(realm, certificate.public_bytes(Encoding.DER), certificate)


def read_name(leaf: x509.Certificate, realm: str) -> Issued:
    """Whom a leaf is for. Raises ValueError: it names nobody of ``realm``, or more than one."""
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise ValueError(f"the certificate has {len(uris)} names of the form rpcx://REALM/NAME; one is needed")
    parts = urllib.parse.urlsplit(uris[0])
    if parts.scheme != SCHEME or parts.netloc != realm:
        raise ValueError(f"the certificate is for {uris[0]}, not for the realm {realm}")
    roles = urllib.parse.parse_qs(parts.query, strict_parsing=bool(parts.query)).get("role", [])
    name = checked_name(parts.path.removeprefix("/"), "principal")
    return Issued(name, frozenset(checked_name(role, "role") for role in roles))


# --- running one ------------------------------------------------------------------------------------------------


def found_authority(directory: Path, realm: str, days: float = AUTHORITY_DAYS) -> Path:
    """Make an authority in ``directory``; where its certificate is, for everybody who is to trust it.

    Args:
        directory: where its key and its certificate will be.
        realm: that it signs for.
        days: that it is good for.

    Raises:
        FileExistsError: there is one already.
        ValueError: ``realm`` is no name.
    """
    private_directory(directory)
    key, certificate = directory / "ca.key", directory / f"{checked_name(realm, 'realm')}.pem"
    private = Ed25519PrivateKey.generate()
    kind = "DEV authority, this machine only," if realm == DEVELOPMENT else "authority"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{SCHEME} {kind} of {realm}"[:64])])
    now = datetime.datetime.now(datetime.UTC)
    only = x509.NameConstraints([x509.UniformResourceIdentifier(realm)], None)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signs_only(), critical=True)
        .add_extension(only, critical=True)
        .sign(private, None)
    )
    if not create_private(key, key_pem(private)):
        raise FileExistsError(f"{directory} has an authority already ({key})")
    write_private(certificate, made.public_bytes(Encoding.PEM))
    return certificate


def issue(directory: Path, pem: bytes, name: str, roles: frozenset[str], days: float = LONGEST_DAYS) -> bytes:
    """A leaf for ``name``, PEM, that carries the key of the certificate ``pem``.

    Args:
        directory: where the authority is.
        pem: the certificate that the principal has now, from ``rpcx keys show``; it proves nothing and need not.
        name: of the principal, within the realm.
        roles: what it may be trusted with, by whoever trusts the authority.
        days: that the leaf is good for, at most 30.

    Raises:
        ValueError: a name or the number of days is not allowed.
        FileNotFoundError: there is no authority.
    """
    if not 0 < days <= LONGEST_DAYS:
        raise ValueError(f"{days:g} days: a leaf is good for {LONGEST_DAYS} days at most; issue another then")
    realm, authority = own_authority(directory)
    public = x509.load_pem_x509_certificate(pem).public_key()
    query = urllib.parse.urlencode([("role", checked_name(role, "role")) for role in sorted(roles)])
    uri = f"{SCHEME}://{realm}/{checked_name(name, 'principal')}" + (f"?{query}" if query else "")
    leaf = (
        leaf_builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), public, datetime.timedelta(days=days))
        .issuer_name(authority.subject)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(private_key(directory / "ca.key"), None)
    )
    return leaf.public_bytes(Encoding.PEM)


def own_authority(directory: Path) -> tuple[str, x509.Certificate]:
    """(realm, certificate) of the authority in ``directory``. Raises FileNotFoundError: there is none."""
    found = sorted(directory.glob("*.pem"))
    if len(found) != 1:
        raise FileNotFoundError(f"there is no authority in {directory}; make one with: rpcx keys ca init REALM")
    return found[0].stem, x509.load_pem_x509_certificate(found[0].read_bytes())


def _for_both_ends(leaf: x509.Certificate) -> bool:
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in uses and ExtendedKeyUsageOID.SERVER_AUTH in uses


def _signs_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
