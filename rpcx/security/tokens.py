"""Tokens as an authenticator: an issuer's word, for an hour at most, and the holder's key.

    host    rpcx.Host(authenticators=[TokenAuthenticator(audience="bank")])
    client  rpcx.connect(url, authenticators=[TokenAuthenticator(token=text)])

The client's one message is its token, its public key and what the private half signed: the token, tied to this very
connection (`rpcx.abc.Binding.text`).

    size of the token u16 │ token │ Ed25519 public key, 32 bytes │ signature, 64 bytes

A token names the key of its holder, so one that was stolen is worth nothing without that key, and what was signed on
one connection is worth nothing on another. A token that names no key is good for whoever has it; a host believes such
ones only where it says ``bearer=True``.

Who issues: this user, by its own key, names principals as it likes. An issuer whose certificates are in
``issuers/REALM.pem`` speaks for its realm only: its principals are ``NAME@REALM``. A session ends with its token.
"""

import datetime
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rpcx.abc import Binding, Judging, Proved, Proving
from rpcx.errors import AccessDenied, AuthenticationFailed
from rpcx.security.compact import LATE_SECONDS, MOST_BYTES, Claims, claims_of, parse, sign
from rpcx.security.files import read_private
from rpcx.security.identity import home, own_identity, private_key, public_fingerprint
from rpcx.security.trust import OWNER, TrustStore

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
SPEECH: Final = b"token\0"  # what is signed is this, and the token's SHA-256
UNKNOWN: Final = "the token is not believed here"  # the one answer, whoever is said to have signed it
TOKEN_FILE: Final = "token"  # noqa: S105  # a name, no secret: in the directory of keys: a client's, unless it is told another

#: Whose key stands for that of an issuer who is not known, so that finding out takes as long.
NOBODY: Final = Ed25519PrivateKey.generate().public_key()

Token = str | Path | Callable[[], str]
Clock = Callable[[], datetime.datetime]  # the time of day, with its zone


class TokenAuthenticator:
    """Either end's.

    Args:
        audience: a host's: the text that tokens for it name, and others do not. Default the fingerprint of its key.
        token: a client's: the token, a private file that holds it, or what returns it; read for each connection.
            Default the file ``token`` in the directory of keys.
        bearer: whether tokens that are bound to no key are believed. They are for TLS and pipes only.
        directory: where the keys are; see `rpcx.security.identity.home`.
        clock: the time of day.
    """

    name = "token"

    def __init__(
        self,
        audience: str | None = None,
        *,
        token: Token | None = None,
        bearer: bool = False,
        directory: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._directory = directory or home()
        self._audience = audience
        self._token = token
        self._bearer = bearer
        self._clock = clock or functools.partial(datetime.datetime.now, datetime.UTC)
        self._trust: TrustStore | None = None  # a host's, made when it is first asked

    @property
    def shows_secret(self) -> bool:
        """Whether somebody who reads its messages could pass for the client."""
        return self._bearer

    def client(self, binding: Binding) -> Proving:
        """Show the token and sign."""
        return _Holder(self._read(), binding, self._directory)

    def server(self, binding: Binding) -> Judging:
        """Judge a token."""
        if self._trust is None:
            self._trust = TrustStore(self._directory)
        audience = self._audience or self._trust.own.fingerprint
        return _Judge(self._trust, audience, binding, self._clock(), bearer=self._bearer)

    def _read(self) -> str:
        token = self._token if self._token is not None else self._directory / TOKEN_FILE
        if isinstance(token, str):
            return token.strip()
        if isinstance(token, Path):
            try:
                return read_private(token, secret=True).decode("ascii", "replace").strip()
            except FileNotFoundError:
                raise AuthenticationFailed(
                    f"there is no token ({token}); ask for one, as made by: rpcx token issue"
                ) from None
        return token().strip()


class _Holder:
    """A client's end."""

    def __init__(self, token: str, binding: Binding, directory: Path) -> None:
        self._token = token.encode("ascii", "replace")
        self._binding = binding
        self._directory = directory

    def step(self, message: bytes) -> bytes:
        if message:
            raise AuthenticationFailed("the server asks for more than a token")
        try:
            holder = claims_of(parse(self._token).body).holder
        except ValueError as error:
            raise AuthenticationFailed(f"this side's token is none: {error}") from None
        head = len(self._token).to_bytes(2, "big") + self._token
        if holder is None:
            if not self._binding.peer.private:
                raise AccessDenied(
                    "a token that is bound to no key is for TLS and pipes only: others could read it here"
                )
            return head
        own = own_identity(self._directory)
        if own.fingerprint != holder:
            raise AuthenticationFailed(f"the token is for the key {holder}; this user's is {own.fingerprint}")
        key = private_key(own.key_file)
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return head + public + key.sign(_proof(self._binding, self._token))

    def admitted(self, message: bytes) -> None:
        """The server has nothing to prove: TLS, or the kernel, said who it is."""


class _Judge:
    """A server's end."""

    def __init__(
        self, trust: TrustStore, audience: str, binding: Binding, now: datetime.datetime, *, bearer: bool
    ) -> None:
        self._trust = trust
        self._audience = audience
        self._binding = binding
        self._now = now
        self._bearer = bearer

    def step(self, message: bytes) -> tuple[bytes, Proved | None]:
        token, proof = _taken_apart(message)
        claims, issuer, realm = self._believed(token)
        if claims.audience != self._audience:
            raise AuthenticationFailed(f"the token is for {claims.audience!r}, and this is {self._audience!r}")
        left = (claims.expires - self._now).total_seconds()
        if left <= 0:
            raise AuthenticationFailed(f"the token ended {abs(left):.0f} s ago, by the clock of the host")
        if (claims.issued - self._now).total_seconds() > LATE_SECONDS:
            raise AuthenticationFailed(
                "the token is of a time to come: the clock of its issuer is fast, or the host's slow"
            )
        self._held(token, claims, proof)
        principal = f"{claims.principal}@{realm}" if realm else claims.principal
        if OWNER in (principal, *claims.roles):
            raise AuthenticationFailed("no token makes its holder the owner")
        return b"", Proved(principal, claims.roles, left, functools.partial(self._stands, issuer, claims.holder))

    def _stands(self, issuer: str, holder: str | None) -> bool:
        """Whether the keys of both are trusted still."""
        return self._trust.issuer(issuer) is not None and not (holder and self._trust.is_revoked(holder))

    def _believed(self, token: bytes) -> tuple[Claims, str, str]:
        """What a known issuer claims, its key and its realm; not a word of it is read before the signature is."""
        try:
            signed = parse(token)
            issuer = self._trust.issuer(signed.issuer)
            good = signed.signed_by(issuer.key if issuer is not None else NOBODY)  # whoever it is, it takes as long
            if issuer is None or not good:
                raise AuthenticationFailed(UNKNOWN)
            return claims_of(signed.body), signed.issuer, issuer.realm
        except ValueError as error:
            raise AuthenticationFailed(UNKNOWN) from error

    def _held(self, token: bytes, claims: Claims, proof: bytes) -> None:
        """Whether the client has the key that the token names."""
        if claims.holder is None:
            if not self._bearer:
                raise AuthenticationFailed("the token is bound to no key: whoever has it could use it")
            if proof:
                raise AuthenticationFailed(UNKNOWN)
            return
        try:
            key = Ed25519PublicKey.from_public_bytes(proof[:KEY_BYTES])
            key.verify(proof[KEY_BYTES:], _proof(self._binding, token))
        except (ValueError, InvalidSignature) as error:
            raise AuthenticationFailed("the client has not proved that the token is its own") from error
        shown = public_fingerprint(key)
        if shown != claims.holder or shown in self._trust.revoked():  # all of these are public
            raise AuthenticationFailed("the token is for another key, or for one that is trusted no more")


def issue(
    principal: str,
    audience: str,
    seconds: int,
    *,
    roles: frozenset[str] = frozenset(),
    holder: str | None,
    directory: Path | None = None,
    now: datetime.datetime | None = None,
) -> str:
    """A token, signed by this user's key.

    Args:
        principal: who has it.
        audience: what the host calls itself.
        seconds: how long it is good, at most an hour.
        roles: with which its holder may be trusted.
        holder: the fingerprint of the key it is bound to; None: whoever has it.
        directory: where the key is.
        now: the time of day.

    Raises:
        ValueError: it would make no sense, or would be too long.
    """
    if OWNER in (principal, *roles):
        raise ValueError(f"no token makes its holder the {OWNER}")
    own = own_identity(directory or home())
    begun = (now or datetime.datetime.now(datetime.UTC)).replace(microsecond=0)
    claims = Claims(principal, audience, begun, begun + datetime.timedelta(seconds=seconds), roles, holder)
    return sign(claims, private_key(own.key_file))


def _taken_apart(message: bytes) -> tuple[bytes, bytes]:
    """The token and what follows it: a key and a signature, or nothing. Raises AuthenticationFailed."""
    size = int.from_bytes(message[:2], "big")
    token, proof = message[2 : 2 + size], message[2 + size :]
    if not 0 < size <= MOST_BYTES or len(token) != size or len(proof) not in (0, KEY_BYTES + SIGNATURE_BYTES):
        raise AuthenticationFailed(UNKNOWN)
    return token, proof


def _proof(binding: Binding, token: bytes) -> bytes:
    """What the holder signs."""
    return binding.text("client", SPEECH + hashlib.sha256(token).digest())
