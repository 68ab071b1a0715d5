"""Two users who do not know each other's key exchange them, by a code that is good once.

One **invites**: it waits on a port and shows a code of 128 random bits. The other **accepts** with address and code,
told by whatever way is trusted: telephone, messenger, paper. Then each trusts the other's key, and the inviter knows
by which name and roles.

    inviter  → guest    1  its certificate, a nonce
    guest    → inviter  2  its certificate, a nonce, proof and signature
    inviter  → guest    3  proof and signature, the name it gave the guest

A proof is an HMAC of both certificates and nonces, keyed by the code, with a word for the direction. So a key that
somebody in between puts in place of the right one makes the proof wrong, and who lacks the code can make none; the
code has too many bits to be guessed from a proof, on line or off. The signature, by the key itself, says that nobody
has somebody else's key entered for his own. Nothing that is said is secret, so nothing is encrypted.
"""

import base64
import hmac
import json
import secrets
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding

from rpcx.errors import AuthenticationFailed, NotSent
from rpcx.security.identity import Identity, legible, own_identity, private_key
from rpcx.security.keyring import trust
from rpcx.security.records import TrustedKey, trusted_key

CODE_BYTES: Final = 16
NONCE_BYTES: Final = 32
MOST_BYTES: Final = 8192  # of one message
MESSAGE_SECONDS: Final = 10.0  # that one message may take
MOST_TRIES: Final = 20  # guests that fail before the invitation ends: somebody plays with it
SPEECH: Final = b"rpcx/1 invitation\0"


def new_code() -> str:
    """A code: 26 letters and digits in groups of five or so, 128 bits."""
    text = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode().rstrip("=")
    return "-".join(text[at : at + 5] for at in range(0, len(text), 5))


@dataclass(frozen=True, slots=True)
class Met:
    """Who was met, and under which name each knows the other now."""

    name: str  # that this side knows the other by
    fingerprint: str
    known_as: str = field(default="")  # that the other side knows this one by


class Invitation:
    """Waits for one guest.

    Args:
        directory: this user's keys.
        name: what the guest will be called here.
        roles: what it may be trusted with.
        address: (host, port) to wait at; port 0: any.
    """

    def __init__(self, directory: Path, name: str, roles: frozenset[str], address: tuple[str, int]) -> None:
        self.code = new_code()
        self._directory = directory
        self._name = name
        self._roles = roles
        self._identity = own_identity(directory)
        self._listening = socket.create_server(address)
        self.address: tuple[str, int] = self._listening.getsockname()[:2]

    def wait(self, seconds: float) -> Met:
        """Let the guest in.

        Raises:
            TimeoutError: nobody came with the code within ``seconds``.
            AuthenticationFailed: too many came with a wrong one.
            ValueError: the guest's key is trusted by another name already.
        """
        until = time.monotonic() + seconds
        for _ in range(MOST_TRIES):
            left = until - time.monotonic()
            if left <= 0:
                break
            self._listening.settimeout(left)
            guest, _ = self._listening.accept()
            with guest:
                talk = _Talk(guest, self.code, self._identity, inviter=True)
                try:
                    talk.say({})
                    talk.judge(talk.hear(), b"guest")
                except (AuthenticationFailed, OSError, ValueError):
                    continue  # not the one who was invited
                key = trust(self._directory, talk.theirs_pem, self._name, self._roles)
                talk.say({**talk.proof(b"inviter"), "name": self._name})
                return Met(self._name, key.fingerprint)
        else:
            raise AuthenticationFailed(f"{MOST_TRIES} came without the code; the invitation is void")
        raise TimeoutError(f"nobody came with the code within {seconds:g} s")

    def close(self) -> None:
        """Wait no more."""
        self._listening.close()

    def __enter__(self) -> "Invitation":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def accept(directory: Path, address: tuple[str, int], code: str, name: str) -> Met:
    """Meet whoever invites at ``address``, and know it as ``name``.

    Raises:
        AuthenticationFailed: it does not know the code, or somebody sits in between; nobody is trusted by that.
        NotSent: nobody invites there.
    """
    try:
        connected = socket.create_connection(address, MESSAGE_SECONDS)
    except OSError as error:
        raise NotSent(f"{address[0]}:{address[1]}: nobody invites there ({error.strerror or error})") from error
    with connected:
        talk = _Talk(connected, code, own_identity(directory), inviter=False)
        try:
            talk.meet(talk.hear())
            talk.say(talk.proof(b"guest"))
            theirs = talk.hear()
        except (OSError, ValueError) as error:
            raise AuthenticationFailed(
                f"{address[0]}:{address[1]} ended the meeting: is the code right, and not used before?"
            ) from error
        talk.judge(theirs, b"inviter")
        key = trust(directory, talk.theirs_pem, name)
        return Met(name, key.fingerprint, str(theirs.get("name", ""))[:64])


class _Talk:
    """One end of a meeting."""

    def __init__(self, connected: socket.socket, code: str, identity: Identity, *, inviter: bool) -> None:
        self._socket = connected
        self._begun = b""
        self._identity = identity
        self._inviter = inviter
        self._private = private_key(identity.key_file)
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._secret = _secret(code)
        self._theirs: TrustedKey | None = None
        self._their_nonce = b""
        self._said_hello = False

    @property
    def theirs_pem(self) -> bytes:
        assert self._theirs is not None
        return x509.load_der_x509_certificate(self._theirs.certificate).public_bytes(Encoding.PEM)

    def say(self, fields: dict[str, Any]) -> None:
        if not self._said_hello:
            self._said_hello = True
            fields = {"certificate": _text(self._identity.certificate), "nonce": _text(self._nonce), **fields}
        self._socket.sendall(json.dumps(fields).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """The next message. Raises ValueError: it is too long, too slow or none."""
        until = time.monotonic() + MESSAGE_SECONDS
        while b"\n" not in self._begun:
            if len(self._begun) > MOST_BYTES or time.monotonic() > until:
                raise ValueError("too much, or too slow")
            self._socket.settimeout(max(0.01, until - time.monotonic()))
            piece = self._socket.recv(MOST_BYTES)
            if not piece:
                raise ValueError("it left")
            self._begun += piece
        line, _, self._begun = self._begun.partition(b"\n")
        try:
            fields = json.loads(line.decode())  # bytes would be searched for UTF-16 and UTF-32
        except RecursionError:
            raise ValueError("nested too deep") from None
        if not isinstance(fields, dict):
            raise ValueError("no message")  # noqa: TRY004  # of the peer's; it is no type error of ours
        return fields

    def meet(self, fields: dict[str, Any]) -> None:
        """Take in who the other says it is."""
        self._their_nonce = _bytes(fields, "nonce")
        with legible():
            certificate = x509.load_der_x509_certificate(_bytes(fields, "certificate"))
        self._theirs = trusted_key(certificate.public_bytes(Encoding.PEM))

    def proof(self, direction: bytes) -> dict[str, str]:
        text = self._transcript(direction)
        return {"proof": _text(hmac.digest(self._secret, text, "sha256")), "signature": _text(self._private.sign(text))}

    def judge(self, fields: dict[str, Any], direction: bytes) -> None:
        """Check the other's proof, which comes with who it is if that was not said before."""
        if self._theirs is None:
            self.meet(fields)
        assert self._theirs is not None
        text = self._transcript(direction)
        if not hmac.compare_digest(_bytes(fields, "proof"), hmac.digest(self._secret, text, "sha256")):
            raise AuthenticationFailed("the other side does not know the code, or somebody sits in between")
        public = x509.load_der_x509_certificate(self._theirs.certificate).public_key()
        try:
            assert isinstance(public, Ed25519PublicKey)
            public.verify(_bytes(fields, "signature"), text)
        except (AssertionError, InvalidSignature):
            raise AuthenticationFailed("the other side does not have the key it shows") from None

    def _transcript(self, direction: bytes) -> bytes:
        """Both certificates and nonces, the inviter's first, whichever end this is; each hashed, so of fixed length."""
        assert self._theirs is not None
        mine = _digest(self._identity.certificate) + _digest(self._nonce)
        theirs = _digest(self._theirs.certificate) + _digest(self._their_nonce)
        first, second = (mine, theirs) if self._inviter else (theirs, mine)
        return SPEECH + direction + b"\0" + first + second


def _secret(code: str) -> bytes:
    """The code as a key; how it is grouped and written does not matter."""
    plain = "".join(code.split()).replace("-", "").upper().encode()
    return HKDF(hashes.SHA256(), 32, None, b"rpcx/1 invitation code").derive(plain)


def _digest(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"it did not say its {name}")  # noqa: TRY004  # a peer's fault, as all here
    return base64.b64decode(value, validate=True)
