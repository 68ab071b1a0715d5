"""Whose keys are known, as the files of this user say now.

``authorized/NAME.pem``   the keys of a principal, and its roles (`rpcx.security.records`)
``authorities/REALM.pem`` certificates of authorities, whose leaves are principals ``NAME@REALM``
``issuers/REALM.pem``     the keys of somebody whose tokens name principals ``NAME@REALM`` (`rpcx.security.tokens`)
``known_servers``         the key that a server must have, a line each: ``host:port sha256:…``
``revoked``               fingerprints that are trusted no more, whatever else says so

A file that is not safe or makes no sense trusts nobody, and is told in the log; it does not stop the others.
"""

import datetime
import functools
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rpcx.errors import AccessDenied
from rpcx.security.authority import DEVELOPMENT, Authority, read_authority
from rpcx.security.files import read_private, write_private
from rpcx.security.identity import fingerprint_of, legible, own_identity
from rpcx.security.records import Record, TrustedKey, checked_name, read_record

log = logging.getLogger("rpcx.security")

LOOK_SECONDS: Final = 0.5  # between two looks at the files
OWNER: Final = "owner"  # the principal and the role of this user itself
NEXT_KEY: Final = "identity-next.crt"  # the key that is to replace this user's own


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who is trusted."""

    name: str
    fingerprint: str
    roles: frozenset[str]
    until: datetime.datetime  # when its certificate is over
    local: bool = False  # it is for trying out, and good on this machine only


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose tokens are believed."""

    key: Ed25519PublicKey
    realm: str  # that it speaks for; empty: this user itself, who names whom it likes


class TrustStore:
    """The keys that are trusted. Files that changed are noticed within half a second.

    Args:
        directory: where they are; see `rpcx.security.identity.home`.
        clock: the time of day, with its zone, for keys that are trusted until then.
    """

    def __init__(self, directory: Path, clock: Callable[[], datetime.datetime] | None = None) -> None:
        self._directory = directory
        self._now = clock or functools.partial(datetime.datetime.now, datetime.UTC)
        self.own = own_identity(directory)
        self._seen: object = None  # what the files looked like
        self._looked = -LOOK_SECONDS  # when, in monotonic seconds
        self._expires: datetime.datetime | None = None  # when the first key that is being replaced ends
        self._generation = 0
        self._keys: dict[str, tuple[Principal, bytes]] = {}  # by fingerprint
        self._authorities: list[Authority] = []
        self._issuers: dict[str, Issuer] = {}  # by fingerprint
        self._revoked: frozenset[str] = frozenset()
        self._refresh()

    # --- who is trusted ----------------------------------------------------------------------------------------

    def now(self) -> datetime.datetime:
        """The time of day, by which keys end."""
        return self._now()

    @property
    def generation(self) -> int:
        """Changes when what is trusted may have changed."""
        self._refresh()
        return self._generation

    def principal_of(self, certificate_der: bytes) -> Principal | None:
        """Who has this certificate's key; None: nobody known, or trusted no more.

        It is found by its fingerprint; only when an authority signed it, what is written in it counts.
        """
        self._refresh()
        try:
            fingerprint = fingerprint_of(certificate_der)
        except ValueError:
            return None
        if fingerprint in self._revoked:
            return None
        known = self._keys.get(fingerprint)
        if known is not None:
            return known[0]
        for authority in self._authorities:
            issued = authority.issued(certificate_der, self._now())
            if issued is not None:
                name = f"{issued.name}@{authority.realm}"
                until = issued.until or authority.parsed.not_valid_after_utc
                return Principal(name, fingerprint, issued.roles, until, authority.realm == DEVELOPMENT)
        return None

    def issuer(self, fingerprint: str) -> Issuer | None:
        """Whose key signs tokens that are believed; None: nobody's."""
        self._refresh()
        return self._issuers.get(fingerprint)

    def is_revoked(self, fingerprint: str) -> bool:
        """Whether the key is trusted no more, whatever else says that it is."""
        self._refresh()
        return fingerprint in self._revoked

    def certificates(self) -> list[bytes]:
        """What a handshake may end at, DER: the trusted certificates and the authorities'."""
        self._refresh()
        return [*(der for _, der in self._keys.values()), *(each.certificate for each in self._authorities)]

    # --- servers -----------------------------------------------------------------------------------------------

    def pin_of(self, server: str) -> str | None:
        """The fingerprint that ``server`` ("host:port") must have; None: it has no pin."""
        return self.pins().get(server)

    def pin(self, server: str, fingerprint: str | None) -> None:
        """Set it, or take it away."""
        pins = {**self.pins(), server: fingerprint}
        lines = (f"{name} {pin}\n" for name, pin in sorted(pins.items()) if pin is not None)
        write_private(self._directory / "known_servers", "".join(lines).encode())

    def pins(self) -> dict[str, str]:
        """All of them. Raises AccessDenied: others may write the file."""
        return dict(_pairs(self._directory / "known_servers"))

    # --- the files ---------------------------------------------------------------------------------------------

    def records(self) -> dict[str, Record]:
        """What is in ``authorized``, by principal; files that cannot be used are left out, and logged."""
        found = {}
        for file in sorted((self._directory / "authorized").glob("*.pem")):
            try:
                found[checked_name(file.stem, "principal")] = read_record(read_private(file, secret=False))
            except (ValueError, OSError) as error:
                log.error("%s trusts nobody: %s", file, error)  # noqa: TRY400  # the reason is enough
        return found

    def authorities(self) -> list[Authority]:
        """What is in ``authorities``; likewise."""
        found = []
        for file in sorted((self._directory / "authorities").glob("*.pem")):
            try:
                found.append(read_authority(checked_name(file.stem, "realm"), read_private(file, secret=False)))
            except (ValueError, OSError) as error:
                log.error("%s trusts nobody: %s", file, error)  # noqa: TRY400  # the reason is enough
        return found

    def revoked(self) -> dict[str, str]:
        """Fingerprints that are trusted no more, and whose they were.

        Raises:
            AccessDenied: others may write the file. Nobody is trusted then: who was revoked cannot be told.
        """
        return dict(_pairs(self._directory / "revoked"))

    def _refresh(self) -> None:
        moment = time.monotonic()
        if moment - self._looked < LOOK_SECONDS:
            return
        self._looked = moment
        seen = [look(path) for path in self._files()]
        expired = self._expires is not None and self._now() >= self._expires
        if seen != self._seen or expired:
            self._seen = seen
            self._generation += 1
            self._load()

    def _files(self) -> Iterable[Path]:
        yield self._directory / "revoked"
        yield self._directory / NEXT_KEY
        for folder in ("authorized", "authorities", "issuers"):
            yield self._directory / folder
            yield from sorted((self._directory / folder).glob("*.pem"))

    def _load(self) -> None:
        now = self._now()
        own = _owner(self.own.fingerprint, self.own.certificate)
        keys = {own.fingerprint: (own, self.own.certificate)}
        keys.update(self._next_key())
        untils = []
        for name, record in self.records().items():
            for key in record.keys:
                if key.until is not None and not key.ended(now):
                    untils.append(key.until)
                if not key.ended(now):
                    keys.setdefault(key.fingerprint, (_principal(name, key, record), key.certificate))
        self._expires = min(untils, default=None)
        issuers = {own.fingerprint: _issuer(self.own.certificate, ""), **self._other_issuers(now)}
        try:
            self._revoked = frozenset(self.revoked())
            authorities = self.authorities()
        except OSError as error:
            log.error("nobody but this user is trusted: %s", error)  # noqa: TRY400  # likewise
            keys, authorities = {own.fingerprint: keys[own.fingerprint]}, []
            issuers = {own.fingerprint: issuers[own.fingerprint]}
        self._keys = {fingerprint: known for fingerprint, known in keys.items() if fingerprint not in self._revoked}
        self._issuers = {key: issuer for key, issuer in issuers.items() if key not in self._revoked}
        self._authorities = authorities

    def _other_issuers(self, now: datetime.datetime) -> dict[str, Issuer]:
        """What is in ``issuers``; a key of this user's own stays its own."""
        found: dict[str, Issuer] = {}
        for file in sorted((self._directory / "issuers").glob("*.pem")):
            try:
                realm = checked_name(file.stem, "realm")
                record = read_record(read_private(file, secret=False))
                keys = [key for key in record.keys if not key.ended(now)]
                found |= {key.fingerprint: _issuer(key.certificate, realm) for key in keys}
            except (ValueError, OSError) as error:
                log.error("%s issues no tokens: %s", file, error)  # noqa: TRY400  # the reason is enough
        found.pop(self.own.fingerprint, None)
        return found

    def _next_key(self) -> dict[str, tuple[Principal, bytes]]:
        """This user's coming key is its own too."""
        try:
            (key,) = read_record(read_private(self._directory / NEXT_KEY, secret=False)).keys
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as error:
            log.error("%s: %s", self._directory / NEXT_KEY, error)  # noqa: TRY400  # likewise
            return {}
        return {key.fingerprint: (_owner(key.fingerprint, key.certificate), key.certificate)}


def _issuer(certificate: bytes, realm: str) -> Issuer:
    with legible():
        key = x509.load_der_x509_certificate(certificate).public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"tokens are signed by Ed25519 keys, not by a {type(key).__name__}")  # noqa: TRY004  # a file's
    return Issuer(key, realm)


def _principal(name: str, key: TrustedKey, record: Record) -> Principal:
    return Principal(name, key.fingerprint, record.roles, ends_by(key.certificate))


def _owner(fingerprint: str, certificate: bytes) -> Principal:
    return Principal(OWNER, fingerprint, frozenset({OWNER}), ends_by(certificate))


def ends_by(certificate: bytes) -> datetime.datetime:
    """When a certificate (DER) is over."""
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


def look(path: Path) -> tuple[str, int, int, int, int]:
    """What shows that a file changed, or who may read and write it."""
    try:
        found = path.lstat()
    except OSError:
        return str(path), 0, 0, 0, 0
    return str(path), found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _pairs(file: Path) -> Iterable[tuple[str, str]]:
    """The lines of a file, each of two words at least; none if there is no file."""
    try:
        content = read_private(file, secret=False)
    except FileNotFoundError:
        return
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise AccessDenied(f"{file}, line {number}: two words are expected, not {line[:80]!r}")
        yield words[0], words[1].strip()
