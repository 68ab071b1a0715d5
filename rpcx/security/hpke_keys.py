"""Keys for envelopes: what others seal with, and what this user opens with.

Two kinds: X25519, and the hybrid of ML-KEM-768 and X25519, which stays closed as long as one of the two holds, against
who records today and has a quantum computer later. A key's id is the first 16 bytes of the SHA-256 of its kind and
its public half.
"""

import base64
import functools
import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from rpcx.security.identity import public_fingerprint

X25519: Final = 1
HYBRID: Final = 2
TOO_OLD: Final = "envelopes need {what}: pip install 'rpcx[envelope]'"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Sizes of one kind of keys, in bytes."""

    kem: str  # as `cryptography` calls it
    public: int
    secret: int
    overhead: int  # that encryption adds


ALGORITHMS: Final = {
    X25519: Algorithm("X25519", 32, 32, 32 + 16),
    HYBRID: Algorithm("MLKEM768_X25519", 1184 + 32, 64 + 32, 1088 + 32 + 16),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What others seal with."""

    algorithm: int
    raw: bytes
    key: Any  # what `cryptography` takes

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(bytes([self.algorithm]) + self.raw).digest()[:16]


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """What this user opens with."""

    algorithm: int
    raw: bytes = field(repr=False)
    key: Any = field(repr=False)  # what `cryptography` takes
    public: PublicKey


@functools.cache
def suite(algorithm: int) -> Any:  # of a module that type checkers need not find
    """The HPKE suite. Raises ImportError: ``cryptography`` is too old for it."""
    hpke = _hpke()
    kem = getattr(hpke.KEM, ALGORITHMS[algorithm].kem, None)
    if kem is None:
        raise ImportError(TOO_OLD.format(what="a later cryptography for hybrid keys"))
    return hpke.Suite(kem, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def generate(*, pq: bool = False) -> PrivateKey:
    """A new key. Raises ImportError: see `suite`."""
    suite(HYBRID if pq else X25519)
    secret = X25519PrivateKey.generate().private_bytes_raw()
    if not pq:
        return private_from(X25519, secret)
    from cryptography.hazmat.primitives.asymmetric import mlkem

    return private_from(HYBRID, mlkem.MLKEM768PrivateKey.generate().private_bytes_raw() + secret)


def private_from(algorithm: int, raw: bytes) -> PrivateKey:
    """A key as it is stored. Raises ValueError: it is none."""
    _check(algorithm, raw, "secret")
    ours = X25519PrivateKey.from_private_bytes(raw[-32:])
    if algorithm == X25519:
        public = ours.public_key().public_bytes_raw()
        return PrivateKey(algorithm, raw, ours, public_from(algorithm, public))
    suite(algorithm)
    from cryptography.hazmat.primitives.asymmetric import mlkem

    seeded = mlkem.MLKEM768PrivateKey.from_seed_bytes(raw[:64])
    public = seeded.public_key().public_bytes_raw() + ours.public_key().public_bytes_raw()
    both = _hpke().MLKEM768X25519PrivateKey(seeded, ours)
    return PrivateKey(algorithm, raw, both, public_from(algorithm, public))


def public_from(algorithm: int, raw: bytes) -> PublicKey:
    """A key as it is published. Raises ValueError: it is none."""
    _check(algorithm, raw, "public")
    theirs = X25519PublicKey.from_public_bytes(raw[-32:])
    if algorithm == X25519:
        return PublicKey(algorithm, raw, theirs)
    suite(algorithm)
    from cryptography.hazmat.primitives.asymmetric import mlkem

    both = _hpke().MLKEM768X25519PublicKey(mlkem.MLKEM768PublicKey.from_public_bytes(raw[:-32]), theirs)
    return PublicKey(algorithm, raw, both)


def fingerprint_bytes(public: Ed25519PublicKey) -> bytes:
    """The 32 bytes of an identity's fingerprint."""
    return raw_fingerprint(public_fingerprint(public))


def raw_fingerprint(fingerprint: str) -> bytes:
    """The 32 bytes behind ``sha256:…``."""
    return base64.urlsafe_b64decode(fingerprint.removeprefix("sha256:") + "=")


def _check(algorithm: int, raw: bytes, half: str) -> None:
    known = ALGORITHMS.get(algorithm)
    if known is None or len(raw) != getattr(known, half):
        raise ValueError(f"{len(raw)} bytes are no {half} key of kind {algorithm}")


def _hpke() -> Any:  # likewise
    try:
        from cryptography.hazmat.primitives import hpke
    except ImportError:
        raise ImportError(TOO_OLD.format(what="cryptography 47 or later")) from None
    return hpke
