"""Whom envelopes are sealed for: this user's own keys, and the cards by which others make theirs known.

``envelope/KEYID.key``  this user's private keys: one that ``envelope/current`` names, and older ones, which open
``cards/NAME.card``     what others published: a key, and their identity's signature on it

A card counts as long as the identity that signed it is trusted (`rpcx.security.trust`); revoke that, and it is void.
"""

import base64
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rpcx.errors import AccessDenied
from rpcx.security.files import create_private, private_directory, read_private, write_private
from rpcx.security.hpke_keys import ALGORITHMS, PrivateKey, PublicKey, generate, private_from, public_from
from rpcx.security.hpke_keys import raw_fingerprint as raw
from rpcx.security.identity import fingerprint_of, own_identity, private_key
from rpcx.security.records import checked_name
from rpcx.security.trust import TrustStore

MAGIC: Final = b"rpcxcrd1"
HEAD: Final = struct.Struct("!8sBH")  # magic, kind of key, length of the certificate
SPEECH: Final = b"rpcx/1 key card\0"  # what a signature begins with: it is good for nothing else
MOST_CERTIFICATE: Final = 8192  # bytes
CURRENT: Final = "current"


@dataclass(frozen=True, slots=True)
class Card:
    """Somebody's key, signed by its identity."""

    public: PublicKey
    fingerprint: str
    certificate: bytes  # DER
    signer: Ed25519PublicKey


def read_card(text: bytes) -> Card:
    """The card in ``text``, its signature checked. Raises ValueError: it is none, or changed."""
    if len(text) > 2 * MOST_CERTIFICATE + 4096:
        raise ValueError("that is too long for a key card")
    try:
        data = base64.b64decode(b"".join(text.split()), validate=True)
        magic, algorithm, size = HEAD.unpack_from(data)
    except (ValueError, struct.error):
        raise ValueError("that is no key card; rpcx envelope card prints one") from None
    end = HEAD.size + size
    if magic != MAGIC or algorithm not in ALGORITHMS or size > MOST_CERTIFICATE:
        raise ValueError("that is no key card; rpcx envelope card prints one")
    if len(data) != end + ALGORITHMS[algorithm].public + 64:
        raise ValueError("the key card is cut off")
    certificate = data[HEAD.size : end]
    try:
        fingerprint = fingerprint_of(certificate)
        signer = x509.load_der_x509_certificate(certificate).public_key()  # which was just read
    except ValueError:
        raise ValueError("the key card holds no certificate") from None
    if not isinstance(signer, Ed25519PublicKey):
        raise ValueError("the key card's identity is no Ed25519 key")  # noqa: TRY004  # of a stranger's bytes
    try:
        signer.verify(data[-64:], SPEECH + data[:-64])
    except InvalidSignature:
        raise ValueError("the key card is not signed by the identity in it") from None
    return Card(public_from(algorithm, data[end:-64]), fingerprint, certificate, signer)


class Cards:
    """The keys of this user and the cards of others, in the directory of keys."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._own = own_identity(directory)
        self.identity = private_key(self._own.key_file)
        self.fingerprint = self._own.fingerprint
        self._trust = TrustStore(directory)
        self._keys: dict[bytes, PrivateKey] = {}
        self._current = self._load_keys()

    # --- own ---------------------------------------------------------------------------------------------------

    def key(self, key_id: bytes) -> PrivateKey | None:
        """This user's key of that id; None: it is another's, or was removed."""
        return self._keys.get(key_id)

    def own_card(self) -> bytes:
        """What to give to others: base64 text."""
        public = self._current.public
        head = HEAD.pack(MAGIC, public.algorithm, len(self._own.certificate))
        data = head + self._own.certificate + public.raw
        return base64.encodebytes(data + self.identity.sign(SPEECH + data))

    def renew(self, *, pq: bool = False) -> PrivateKey:
        """A new key; the older ones still open. Others need the new card to use it."""
        made = generate(pq=pq)
        folder, name = private_directory(self._directory / "envelope"), made.public.key_id.hex()
        create_private(folder / f"{name}.key", base64.b64encode(bytes([made.algorithm]) + made.raw) + b"\n")
        write_private(folder / CURRENT, name.encode())
        self._current = self._keys[made.public.key_id] = made
        return made

    def retire(self, key_id: bytes) -> None:
        """Remove an old key: what was sealed for it never opens again. Raises ValueError: it is in use, or not here."""
        if key_id == self._current.public.key_id or key_id not in self._keys:
            raise ValueError(f"{key_id.hex()} is no old key; others: {[k.hex() for k in self._keys]}")
        (self._directory / "envelope" / f"{key_id.hex()}.key").unlink()
        del self._keys[key_id]

    def _load_keys(self) -> PrivateKey:
        folder = private_directory(self._directory / "envelope")
        for file in sorted(folder.glob("*.key")):
            try:
                stored = base64.b64decode(read_private(file, secret=True))
                key = private_from(stored[0], stored[1:])
            except (ValueError, IndexError):
                raise AccessDenied(f"{file} holds no key for envelopes") from None
            self._keys[key.public.key_id] = key
        try:
            name = read_private(folder / CURRENT, secret=False).decode().strip()
            return self._keys[bytes.fromhex(name)]
        except FileNotFoundError:
            return self.renew()
        except (ValueError, KeyError):
            raise AccessDenied(f"{folder / CURRENT} names no key in {folder}") from None

    # --- others ------------------------------------------------------------------------------------------------

    def take(self, text: bytes, name: str) -> Card:
        """Keep somebody's card as ``name``. Raises ValueError: it is none, or of an identity not trusted here."""
        card = read_card(text)
        if self._trust.principal_of(card.certificate) is None:
            raise ValueError(f"{card.fingerprint} is not trusted here; first: rpcx keys trust CERTIFICATE --as NAME")
        folder = private_directory(self._directory / "cards")
        write_private(folder / f"{checked_name(name, 'card')}.card", text)
        return card

    def named(self, name: str) -> Card:
        """The card kept as ``name``. Raises LookupError: there is none, or its identity is trusted no more."""
        try:
            card = read_card(
                read_private(self._directory / "cards" / f"{checked_name(name, 'card')}.card", secret=False)
            )
        except FileNotFoundError:
            raise LookupError(
                f"no key card of {name} is here; take it with: rpcx envelope take FILE --as {name}"
            ) from None
        if self._trust.principal_of(card.certificate) is None:
            raise LookupError(f"the identity {card.fingerprint} of {name}'s key card is not trusted any more")
        return card

    def by_sender(self, fingerprint: bytes) -> Card | None:
        """The card of the identity with this raw fingerprint; None: none that is trusted."""
        for file in sorted((self._directory / "cards").glob("*.card")):
            try:
                card = self.named(file.stem)
            except (LookupError, ValueError, AccessDenied):
                continue
            if raw(card.fingerprint) == fingerprint:
                return card
        own = read_card(self.own_card())
        return own if raw(own.fingerprint) == fingerprint else None

    @staticmethod
    def raw_fingerprint(card: Card) -> bytes:
        """The 32 bytes of its identity's fingerprint."""
        return raw(card.fingerprint)

    def sender(self, fingerprint: bytes) -> Ed25519PublicKey | None:
        """The key by which that identity signs; None: it is not trusted, or its card is not here."""
        card = self.by_sender(fingerprint)
        return card.signer if card is not None else None
