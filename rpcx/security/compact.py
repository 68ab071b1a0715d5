"""Compact tokens: what somebody signed about somebody, in one word. A JWT (RFC 7519, 8037) with nothing to choose.

    base64url(header) . base64url(claims) . base64url(signature)

    header  {"alg": "EdDSA", "kid": the key that signs, "typ": "rpcx+jwt"}
    claims  {"sub": principal, "roles": [role, …], "aud": for whom, "iat": since when, "exp": until when,
             "cnf": {"spki": the holder's key}}

The signature is Ed25519's, whatever a header says: a header that says anything else is none of ours. Keys are named by
their fingerprints. What is not known is not ignored, since it may be meant to restrict: it makes the token none. The
claims are read after the signature was checked, by `claims_of`.
"""

import base64
import binascii
import datetime
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rpcx.security.identity import public_fingerprint
from rpcx.security.records import checked_name

MOST_BYTES: Final = 4096  # of a token
MOST_SECONDS: Final = 3600  # that one may be good for
MOST_ROLES: Final = 32
LATE_SECONDS: Final = 60  # by which the issuer's clock may be before ours
FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}\Z")
FINGERPRINT: Final = re.compile(r"sha256:[A-Za-z0-9_-]{43}\Z")
ALGORITHM: Final = "EdDSA"
KIND: Final = "rpcx+jwt"  # so that another protocol's token is never taken for one of ours, nor ours for its


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says."""

    principal: str
    audience: str  # for whom it is: a text that host and issuer agreed on
    issued: datetime.datetime
    expires: datetime.datetime
    roles: frozenset[str] = frozenset()
    holder: str | None = None  # fingerprint of the key without which it is worth nothing; None: whoever has it

    def __post_init__(self) -> None:
        checked_name(self.principal, "principal")
        for role in self.roles:
            checked_name(role, "role")
        if len(self.roles) > MOST_ROLES:
            raise ValueError(f"{len(self.roles)} roles; at most {MOST_ROLES} are allowed")
        if not 0 < len(self.audience) <= 256 or not self.audience.isprintable():
            raise ValueError("the audience is not a short text")
        seconds = (self.expires - self.issued).total_seconds()
        if not 0 < seconds <= MOST_SECONDS:
            raise ValueError(f"it is good for {seconds:g} s; more than 0 and at most {MOST_SECONDS} are allowed")
        if self.holder is not None and not FINGERPRINT.match(self.holder):
            raise ValueError(f"{self.holder[:80]!r} is no key's fingerprint")


@dataclass(frozen=True, slots=True)
class Signed:
    """A token taken apart; nothing in it is believed yet."""

    issuer: str  # fingerprint of the key that is said to have signed it
    body: bytes  # the claims, unread
    _signed: bytes
    _signature: bytes

    def signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether that key signed it."""
        try:
            key.verify(self._signature, self._signed)
        except InvalidSignature:
            return False
        return True


def sign(claims: Claims, key: Ed25519PrivateKey) -> str:
    """The token that says ``claims``. Raises ValueError: it would be too long."""
    said: dict[str, object] = {
        "sub": claims.principal,
        "roles": sorted(claims.roles),
        "aud": claims.audience,
        "iat": int(claims.issued.timestamp()),
        "exp": int(claims.expires.timestamp()),
    }
    if claims.holder is not None:
        said["cnf"] = {"spki": claims.holder}
    header = {"alg": ALGORITHM, "kid": public_fingerprint(key.public_key()), "typ": KIND}
    text = f"{_encoded(_json(header))}.{_encoded(_json(said))}"
    token = f"{text}.{_encoded(key.sign(text.encode()))}"
    if len(token) > MOST_BYTES:
        raise ValueError(f"a token of {len(token)} bytes; at most {MOST_BYTES} are allowed")
    return token


def parse(token: bytes | str) -> Signed:
    """Take a token apart. Raises ValueError: it is none."""
    if len(token) > MOST_BYTES:
        raise ValueError(f"it has {len(token)} bytes; at most {MOST_BYTES} are allowed")
    text = token if isinstance(token, str) else token.decode("ascii", "replace")
    if not FORM.match(text):
        raise ValueError("it is no token: three words in base64url with dots between them")
    head, body, signature = text.split(".")
    header = _object(_decoded(head))
    if header.keys() != {"alg", "kid", "typ"} or header["alg"] != ALGORITHM or header["typ"] != KIND:
        raise ValueError(f"its header is not that of {KIND}, signed by {ALGORITHM}")
    issuer = header["kid"]
    if not isinstance(issuer, str) or not FINGERPRINT.match(issuer):
        raise ValueError("its header names no key")
    return Signed(issuer, _decoded(body), f"{head}.{body}".encode(), _decoded(signature))


def claims_of(body: bytes) -> Claims:
    """Read the claims. Raises ValueError: they make no sense, or say more than we understand."""
    said = _object(body)
    unknown = said.keys() - {"sub", "roles", "aud", "iat", "exp", "cnf"}
    if unknown:
        raise ValueError(f"it claims what is not known here: {', '.join(sorted(unknown))[:80]!r}")
    principal, roles, audience = said.get("sub"), said.get("roles"), said.get("aud")
    if not isinstance(principal, str) or not isinstance(audience, str):
        raise ValueError("it does not say who it is for, or for which host")  # noqa: TRY004  # one error for no token
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise ValueError("its roles are no list of names")
    holder = said.get("cnf", {"spki": None})
    if not isinstance(holder, dict) or holder.keys() != {"spki"} or not isinstance(holder["spki"], str | None):
        raise ValueError("it is bound to something that is no key")
    if "cnf" in said and holder["spki"] is None:
        raise ValueError("it is bound to no key")
    return Claims(
        principal, audience, _moment(said.get("iat")), _moment(said.get("exp")), frozenset(roles), holder["spki"]
    )


def _moment(seconds: object) -> datetime.datetime:
    if type(seconds) is not int or not 0 <= seconds < 1 << 36:
        raise ValueError("it does not say since when and until when it is good, in whole seconds")
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _object(data: bytes) -> dict[str, Any]:  # of JSON
    try:
        found = json.loads(data.decode(), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  # one error for what is no token
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # of JSON
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it says the same thing twice")
    return found


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """The bytes of base64url; only of the one text that `_encoded` makes of them."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(f"it is no base64url: {error}") from None
    if _encoded(data) != text:
        raise ValueError("it is no base64url: it has bits to spare")
    return data
