"""The text of a trust file: certificates in PEM, with what is to be known of them in lines before.

    roles: ops, dev
    until: 2026-12-07T12:00:00+00:00
    -----BEGIN CERTIFICATE-----
    …

``roles`` is the principal's and stands first; ``until`` belongs to the certificate that follows, and is there while a
key is being replaced. Other tools read such a file as a bundle of certificates: PEM ignores what stands between.
"""

import datetime
import re
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rpcx.security.identity import fingerprint_of, legible

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")  # of principals, roles and realms: also a file's name
BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
MOST_KEYS: Final = 16  # of one principal


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One certificate that is trusted."""

    certificate: bytes = field(repr=False)  # DER
    fingerprint: str
    until: datetime.datetime | None = None  # no longer than this; None: as long as the certificate itself

    def ended(self, now: datetime.datetime) -> bool:
        """Whether it was replaced long enough ago."""
        return self.until is not None and now >= self.until


@dataclass(frozen=True, slots=True)
class Record:
    """What one trust file says."""

    keys: tuple[TrustedKey, ...]
    roles: frozenset[str] = frozenset()


def checked_name(name: str, what: str) -> str:
    """``name``, if it may be one. Raises ValueError: it could be mistaken for something else, or for a path."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a {what}: letters, digits and . _ @ + - (first a letter or digit)")
    return name


def read_record(content: bytes) -> Record:
    """The record in ``content``. Raises ValueError: it makes no sense, or a certificate in it may sign others."""
    roles: frozenset[str] = frozenset()
    keys: list[TrustedKey] = []
    position = 0
    for block in BLOCK.finditer(content):
        notes = _notes(content[position : block.start()])
        position = block.end()
        if "roles" in notes:
            if keys:
                raise ValueError("roles are the principal's: their line stands before the first certificate")
            roles = frozenset(checked_name(role.strip(), "role") for role in notes["roles"].split(",") if role.strip())
        until = datetime.datetime.fromisoformat(notes["until"]) if "until" in notes else None
        if until is not None and until.tzinfo is None:
            raise ValueError(f"until: {notes['until']} names no time zone")
        keys.append(trusted_key(block.group(), until))
        if len(keys) > MOST_KEYS:
            raise ValueError(f"more than {MOST_KEYS} certificates")
    if not keys:
        raise ValueError("it holds no certificate")
    return Record(tuple(keys), roles)


def trusted_key(pem: bytes, until: datetime.datetime | None = None) -> TrustedKey:
    """The certificate of one end. Raises ValueError: it is none, or one that may sign others.

    An end's certificate is trusted as it stands. One of an authority would make everybody it signs trusted too.
    """
    with legible():
        certificate = x509.load_pem_x509_certificate(pem)
        signs = is_authority(certificate)
    if signs:
        raise ValueError("the certificate is an authority's (CA:TRUE); trust it with: rpcx keys ca trust")
    der = certificate.public_bytes(Encoding.DER)
    return TrustedKey(der, fingerprint_of(der), until)


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign other certificates. One that does not say it may not counts as one that may."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return True


def write_record(record: Record) -> bytes:
    """The text of a record."""
    lines = [f"roles: {', '.join(sorted(record.roles))}\n".encode()] if record.roles else []
    for key in record.keys:
        if key.until is not None:
            lines.append(f"until: {key.until.isoformat()}\n".encode())
        lines.append(x509.load_der_x509_certificate(key.certificate).public_bytes(Encoding.PEM))
    return b"".join(lines)


def _notes(text: bytes) -> dict[str, str]:
    notes = {}
    for line in text.decode("utf-8", "replace").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon or name not in ("roles", "until"):
            raise ValueError(f"the line {line[:80]!r} says neither roles: nor until:")
        notes[name] = value.strip()
    return notes
