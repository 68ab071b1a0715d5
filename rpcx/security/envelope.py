"""A message that only one reader can open, and only its sender can have made: for files, queues and relays.

    envelope   header ‖ HPKE(plaintext, info = header) ‖ Ed25519("rpcx/1 envelope" ‖ 0 ‖ header ‖ ciphertext)
    header     "rpcxenv1"  algorithm u8  milliseconds u64  id 16  sender 32  key 16  length u16  context

All numbers are big-endian, and every envelope has one spelling. The sender stands in the header, which the
ciphertext is bound to: who strips the signature and puts its own has an envelope that does not open. So do context
and id: a message moved to another queue is refused. The signature is checked before anything is decrypted.

HPKE is RFC 9180's base mode: X25519, HKDF-SHA256, ChaCha20-Poly1305; or the hybrid of ML-KEM-768 and X25519.
"""

import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rpcx.security.hpke_keys import ALGORITHMS, PrivateKey, PublicKey, fingerprint_bytes, suite

MAGIC: Final = b"rpcxenv1"
HEADER: Final = struct.Struct("!8sBQ16s32s16sH")
SIGNATURE_SIZE: Final = 64
SPEECH: Final = b"rpcx/1 envelope\0"  # what a signature begins with: it is good for nothing else
MOST_CONTEXT: Final = 1024  # bytes
MOST_BYTES: Final = (64 << 20) + 4096  # of one envelope: the largest message, and what an envelope adds

Senders = Callable[[bytes], Ed25519PublicKey | None]  # the key that has this fingerprint; None: it is not trusted
Keys = Callable[[bytes], PrivateKey | None]  # this reader's key that has this id; None: it is gone, or another's


class EnvelopeRefused(ValueError):
    """An envelope that is not opened: changed, of nobody known, for somebody else, misplaced, too old or repeated."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an envelope says openly. Nothing of it counts before the signature was checked."""

    algorithm: int
    milliseconds: int  # since 1970, by the sender's clock
    message_id: bytes
    sender: bytes  # SHA-256 of the SubjectPublicKeyInfo of its identity
    key_id: bytes  # of the reader's key
    context: str

    def pack(self) -> bytes:
        context = self.context.encode()
        if len(context) > MOST_CONTEXT:
            raise ValueError(f"a context of {len(context)} bytes; {MOST_CONTEXT} are possible")
        fixed = (self.algorithm, self.milliseconds, self.message_id, self.sender, self.key_id, len(context))
        return HEADER.pack(MAGIC, *fixed) + context


@dataclass(frozen=True, slots=True)
class Opened:
    """A message that was opened."""

    data: bytes = field(repr=False)
    header: Header


class Window:
    """What was opened lately, so that it is opened once only; of messages whose time is far from now, none is.

    Args:
        skew: seconds that clocks may differ and a message may travel.
        most: ids remembered; while that many are fresh, more are refused.

    Not locked: its user sees to it that one thread at a time asks.
    """

    def __init__(self, skew: float = 120.0, most: int = 200_000) -> None:
        self._skew = int(skew * 1000)
        self._most = most
        self._seen: dict[tuple[bytes, bytes], int] = {}  # (sender, id) → when it may be forgotten; oldest first

    def admit(self, header: Header, now: int) -> None:
        """Remember a message whose signature is good. Raises EnvelopeRefused: it is repeated, early or late."""
        if abs(header.milliseconds - now) > self._skew:
            late = (now - header.milliseconds) / 1000
            raise EnvelopeRefused(
                f"sealed {late:+.1f} s before now, {self._skew / 1000:g} s are allowed: late, or a clock is wrong"
            )
        self._forget(now)
        key = (header.sender, header.message_id)
        if key in self._seen:
            raise EnvelopeRefused("it was opened before: somebody repeats it")
        if len(self._seen) >= self._most:
            raise EnvelopeRefused(f"more than {self._most} messages within the time that each is remembered")
        self._seen[key] = now + 2 * self._skew

    def _forget(self, now: int) -> None:
        for key in list(self._oldest(now)):
            del self._seen[key]

    def _oldest(self, now: int) -> Any:  # keys of those that may be forgotten
        for key, until in self._seen.items():
            if until >= now:
                return
            yield key


def seal(
    data: bytes,
    *,
    sender: Ed25519PrivateKey,
    recipient: PublicKey,
    context: str,
    message_id: bytes | None = None,
    now: int | None = None,
) -> bytes:
    """``data`` in an envelope.

    Args:
        data: what only ``recipient`` is to read.
        sender: who signs: `rpcx.security.identity.private_key` of an identity.
        recipient: the reader's key, of its card; a hybrid one makes a hybrid envelope.
        context: what the message belongs to (the queue, the file); the reader must say the same.
        message_id: 16 bytes that tell this message from all others of the sender; None: random ones.
        now: when, in milliseconds since 1970; None: by the clock.

    Raises:
        ImportError: ``cryptography`` is too old; the message says what to install.
        ValueError: the context or the data are too long.
    """
    header = Header(
        recipient.algorithm,
        milliseconds() if now is None else now,
        secrets.token_bytes(16) if message_id is None else message_id,
        fingerprint_bytes(sender.public_key()),
        recipient.key_id,
        context,
    ).pack()
    if len(data) + len(header) + 2048 > MOST_BYTES:
        raise ValueError(f"{len(data)} bytes are too many for one envelope ({MOST_BYTES} with all it adds)")
    sealed: bytes = header + suite(recipient.algorithm).encrypt(data, recipient.key, header)
    return sealed + sender.sign(SPEECH + sealed)


def open(  # noqa: A001  # used as envelope.open
    envelope: bytes,
    *,
    keys: Keys,
    senders: Senders,
    context: str,
    window: Window | None = None,
    now: int | None = None,
) -> Opened:
    """The message in an envelope.

    Args:
        envelope: bytes of unknown origin.
        keys: this reader's keys by id.
        senders: the keys that are trusted to sign, by fingerprint.
        context: what it must belong to.
        window: where it is remembered, so that it opens once; None: it may be opened again, at any time.
        now: as for `seal`.

    Raises:
        EnvelopeRefused: it is none, or must not be opened; the message says why.
    """
    header, ciphertext, signature = _parsed(envelope)
    signer = senders(header.sender)
    if signer is None:
        raise EnvelopeRefused(f"the sender {header.sender.hex()[:16]}… is not trusted here")
    try:
        signer.verify(signature, SPEECH + envelope[:-SIGNATURE_SIZE])
    except InvalidSignature:
        raise EnvelopeRefused("its signature is wrong: it was changed, or another than its sender made it") from None
    if header.context != context:
        raise EnvelopeRefused(f"it belongs to {header.context!r}, not to {context!r}")
    key = keys(header.key_id)
    if key is None or key.algorithm != header.algorithm:
        raise EnvelopeRefused(f"it is for the key {header.key_id.hex()}, which is not here")
    if window is not None:
        window.admit(header, milliseconds() if now is None else now)
    try:
        data = suite(header.algorithm).decrypt(ciphertext, key.key, header.pack())
    except InvalidTag:
        raise EnvelopeRefused("it does not open with the key it names") from None
    return Opened(data, header)


def show(envelope: bytes) -> Header:
    """What an envelope says openly, unchecked. Raises EnvelopeRefused: it is none."""
    return _parsed(envelope)[0]


def milliseconds() -> int:
    """The time of day: clocks of different machines are compared."""
    return time.time_ns() // 1_000_000


def _parsed(envelope: bytes) -> tuple[Header, bytes, bytes]:
    if not HEADER.size + SIGNATURE_SIZE <= len(envelope) <= MOST_BYTES:
        raise EnvelopeRefused(f"{len(envelope)} bytes are no envelope")
    magic, algorithm, at, message_id, sender, key_id, size = HEADER.unpack_from(envelope)
    if magic != MAGIC:
        raise EnvelopeRefused("it does not begin as an envelope of rpcx does")
    if algorithm not in ALGORITHMS:
        raise EnvelopeRefused(f"algorithm {algorithm} is not known here")
    end = HEADER.size + size
    if size > MOST_CONTEXT or len(envelope) < end + ALGORITHMS[algorithm].overhead + SIGNATURE_SIZE:
        raise EnvelopeRefused("it is cut off, or its header makes no sense")
    try:
        context = envelope[HEADER.size : end].decode()
    except UnicodeDecodeError:
        raise EnvelopeRefused("its context is no text") from None
    header = Header(algorithm, at, message_id, sender, key_id, context)
    return header, envelope[end:-SIGNATURE_SIZE], envelope[-SIGNATURE_SIZE:]
