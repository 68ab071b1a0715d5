"""Changes to whom this user trusts, and to its own key.

Each change is one file written anew, which hosts that run notice within half a second.

**A new key** comes in two steps, so that at no moment somebody is locked out. `begin_rotation` makes it and a
statement, the new certificate signed by the old key. Whoever trusts the old key adds the new one by that statement
(`follow_rotation`) and takes both for two weeks. `finish_rotation` then puts the new key in the old one's place.
"""

import base64
import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from rpcx.errors import AccessDenied
from rpcx.security.authority import DEVELOPMENT, read_authority, read_name
from rpcx.security.files import create_private, private_directory, read_private, write_private
from rpcx.security.identity import CERTIFICATE, KEY, fingerprint_of, key_pem, own_identity, private_key, self_signed
from rpcx.security.records import Record, TrustedKey, checked_name, read_record, trusted_key, write_record
from rpcx.security.trust import NEXT_KEY, OWNER, TrustStore

OVERLAP: Final = datetime.timedelta(days=14)  # that an old key is taken beside the new one
NEXT_PRIVATE: Final = "identity-next.key"
SPEECH: Final = b"rpcx/1 new key\0"  # what a statement's signature begins with: it is good for nothing else


# --- others -----------------------------------------------------------------------------------------------------


def trust(directory: Path, pem: bytes, name: str, roles: frozenset[str] = frozenset()) -> TrustedKey:
    """Trust the certificate in ``pem`` as ``name``; a name that is known gets the key besides those it has.

    Raises:
        ValueError: it holds no certificate, or one that may sign others; the name is none, or taken by this user.
        AccessDenied: it was revoked.
    """
    if checked_name(name, "principal") == OWNER:
        raise ValueError(f"{OWNER} is this user itself; choose another name")
    key = trusted_key(pem)
    store = TrustStore(directory)
    if key.fingerprint in store.revoked():
        raise AccessDenied(f"{key.fingerprint} was revoked here; a new key is needed, or: rpcx keys forgive")
    for other, record in store.records().items():
        if other != name and any(each.fingerprint == key.fingerprint for each in record.keys):
            raise ValueError(f"{key.fingerprint} is trusted as {other} already; one key is one principal")
    before = store.records().get(name, Record(()))
    keys = tuple(each for each in before.keys if each.fingerprint != key.fingerprint)
    _write(directory, name, Record((*keys, key), roles or before.roles))
    return key


def set_roles(directory: Path, name: str, roles: frozenset[str]) -> None:
    """Give a principal these roles and no others. Raises LookupError: nobody is known by that name."""
    record = TrustStore(directory).records().get(name)
    if record is None:
        raise LookupError(f"nobody is trusted as {name}")
    _write(directory, name, replace(record, roles=roles))


def trust_authority(directory: Path, pem: bytes, realm: str) -> None:
    """Trust whomever an authority signs for, as ``NAME@realm``. Raises ValueError: it is no such authority."""
    check_realm(realm)
    read_authority(checked_name(realm, "realm"), pem)
    write_private(private_directory(directory / "authorities") / f"{realm}.pem", pem)


def check_realm(realm: str) -> None:
    """Raises ValueError: it is the one whose authority is this machine's own, for trying out."""
    if realm == DEVELOPMENT:
        raise ValueError(f"the realm {realm} is for trying out on this machine (rpcx keys dev); choose another")


def revoke(directory: Path, whom: str) -> list[str]:
    """Trust a principal's keys, or one key, no more: ``NAME``, ``sha256:…``; which keys. Sessions are closed.

    Raises:
        LookupError: no key is known by that name.
        ValueError: it is this user's own key, or no fingerprint.
    """
    store = TrustStore(directory)
    records = store.records()
    if whom.startswith("sha256:"):
        _checked_fingerprint(whom)
        fingerprints, name = [whom], next((n for n, r in records.items() if _has(r, whom)), "?")
    elif whom in records:
        fingerprints, name = [key.fingerprint for key in records[whom].keys], whom
    else:
        known = ", ".join(sorted(records)) or "nobody"
        raise LookupError(f"nobody is trusted as {whom!r}; known are: {known}. A key is named by its sha256:…")
    if own_identity(directory).fingerprint in fingerprints:
        raise ValueError("that is this user's own key; replace it with: rpcx keys rotate")
    _write_revoked(directory, {**store.revoked(), **dict.fromkeys(fingerprints, name)})
    if name in records:
        _keep(directory, name, records[name], lambda key: key.fingerprint not in fingerprints)
    return fingerprints


def forgive(directory: Path, fingerprint: str) -> None:
    """Take a key off the list of revoked ones; trusted it is not by that. Raises LookupError: it is not on it."""
    revoked = TrustStore(directory).revoked()
    if fingerprint not in revoked:
        raise LookupError(f"{fingerprint} was not revoked here")
    _write_revoked(directory, {key: name for key, name in revoked.items() if key != fingerprint})


# --- this user's own key ----------------------------------------------------------------------------------------


def install(directory: Path, pem: bytes) -> str:
    """Show the certificate in ``pem``, which an authority signed, from now on; whom it is for.

    Raises:
        ValueError: it is of another key, or no leaf of an authority.
    """
    own = own_identity(directory)
    leaf = x509.load_pem_x509_certificate(pem)
    der = leaf.public_bytes(Encoding.DER)
    if fingerprint_of(der) != own.fingerprint:
        raise ValueError(f"the certificate is of the key {fingerprint_of(der)}; this user's is {own.fingerprint}")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    realm = names.get_values_for_type(x509.UniformResourceIdentifier)[0].partition("://")[2].partition("/")[0]
    issued = read_name(leaf, realm)
    write_private(own.certificate_file, leaf.public_bytes(Encoding.PEM))
    return f"{issued.name}@{realm}"


def begin_rotation(directory: Path) -> bytes:
    """Make the key that is to replace this user's; the statement for whoever trusts the present one.

    Begun and not finished, it gives the statement again.
    """
    own = own_identity(directory)
    new = directory / NEXT_PRIVATE
    if not new.exists():
        create_private(new, key_pem(Ed25519PrivateKey.generate()))
    certificate = directory / NEXT_KEY
    if not certificate.exists():
        create_private(certificate, self_signed(private_key(new)).public_bytes(Encoding.PEM))
    (key,) = read_record(read_private(certificate, secret=False)).keys
    signature = private_key(own.key_file).sign(SPEECH + own.fingerprint.encode() + b"\0" + key.certificate)
    statement = {
        "old": own.fingerprint,
        "new": base64.b64encode(key.certificate).decode(),
        "signature": base64.b64encode(signature).decode(),
    }
    return json.dumps(statement, indent=2).encode() + b"\n"


def finish_rotation(directory: Path) -> str:
    """Put the new key in the old one's place; its fingerprint. Raises LookupError: none was begun."""
    key, certificate = directory / NEXT_PRIVATE, directory / NEXT_KEY
    if not key.exists() or not certificate.exists():
        raise LookupError("no new key was made; begin with: rpcx keys rotate")
    own = own_identity(directory)
    own.certificate_file.replace(directory / "identity-old.crt")
    own.key_file.replace(directory / "identity-old.key")
    key.replace(directory / KEY)
    certificate.replace(directory / CERTIFICATE)
    return own_identity(directory).fingerprint


def follow_rotation(directory: Path, statement: bytes, now: datetime.datetime | None = None) -> tuple[str, str]:
    """Take the new key of somebody who is trusted, by a statement of `begin_rotation`; (whose, its fingerprint).

    The old key is taken for two weeks more, and servers that are pinned to it are pinned to the new one then.

    Raises:
        ValueError: the statement makes no sense, or is not signed by the key it names.
        LookupError: that key is not trusted here.
    """
    old, new, signature = _read_statement(statement)
    store = TrustStore(directory)
    name, record = next(((n, r) for n, r in store.records().items() if _has(r, old)), (None, None))
    pinned = [server for server, pin in store.pins().items() if pin == old]
    if name is None or record is None:
        raise LookupError(f"the key {old} is not trusted here, so its word on a new one counts for nothing")
    if old in store.revoked():
        raise LookupError(f"the key {old} was revoked here, so its word on a new one counts for nothing")
    certificate = next(key.certificate for key in record.keys if key.fingerprint == old)
    public = x509.load_der_x509_certificate(certificate).public_key()
    try:
        assert isinstance(public, Ed25519PublicKey)
        public.verify(signature, SPEECH + old.encode() + b"\0" + new)
    except (AssertionError, InvalidSignature):
        raise ValueError(f"the statement is not signed by the key {old}") from None
    pem = x509.load_der_x509_certificate(new).public_bytes(Encoding.PEM)
    key = trust(directory, pem, name)
    until = (now or datetime.datetime.now(datetime.UTC)) + OVERLAP
    both = tuple(replace(k, until=until) if k.fingerprint == old else k for k in record.keys)
    _write(directory, name, Record((*both, key), record.roles))
    for server in pinned:
        store.pin(server, None)  # trusted as a principal, by either key, while both are good
    return name, key.fingerprint


def _read_statement(statement: bytes) -> tuple[str, bytes, bytes]:
    try:
        fields = json.loads(statement.decode())  # bytes would be searched for UTF-16 and UTF-32
        old = _checked_fingerprint(fields["old"])
        new, signature = (base64.b64decode(fields[name], validate=True) for name in ("new", "signature"))
        fingerprint_of(new)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("that is no statement on a new key; rpcx keys rotate writes one") from None
    return old, new, signature


# --- files ------------------------------------------------------------------------------------------------------


def _checked_fingerprint(text: str) -> str:
    if not text.startswith("sha256:") or len(text) != len("sha256:") + 43:
        raise ValueError(f"{text!r} is no fingerprint: sha256: and 43 characters")
    base64.urlsafe_b64decode(text.removeprefix("sha256:") + "=")
    return text


def _has(record: Record, fingerprint: str) -> bool:
    return any(key.fingerprint == fingerprint for key in record.keys)


def _write(directory: Path, name: str, record: Record) -> None:
    write_private(private_directory(directory / "authorized") / f"{name}.pem", write_record(record))


def _keep(directory: Path, name: str, record: Record, wanted: Callable[[TrustedKey], bool]) -> None:
    keys = tuple(key for key in record.keys if wanted(key))
    if keys:
        _write(directory, name, replace(record, keys=keys))
    else:
        (directory / "authorized" / f"{name}.pem").unlink()


def _write_revoked(directory: Path, revoked: dict[str, str]) -> None:
    lines = "".join(f"{fingerprint} {name}\n" for fingerprint, name in sorted(revoked.items()))
    write_private(private_directory(directory) / "revoked", lines.encode())
