"""Compact tokens: what is one, and that nothing else is."""

import base64
import datetime
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rpcx.security.compact import MOST_BYTES, Claims, claims_of, parse, sign
from rpcx.security.identity import public_fingerprint

KEY = Ed25519PrivateKey.generate()
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
HOLDER = "sha256:" + "A" * 43


def claims(**changes) -> Claims:
    said = {"principal": "ann", "audience": "bank", "issued": NOW, "expires": NOW + datetime.timedelta(minutes=15)}
    return Claims(**{**said, "roles": frozenset({"teller"}), "holder": HOLDER, **changes})


def word(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def said(**changes) -> bytes:
    """Claims as they are written, with these changed; None: left out."""
    body = {"sub": "ann", "roles": [], "aud": "bank", "iat": 100, "exp": 200, "cnf": {"spki": HOLDER}, **changes}
    return json.dumps({key: value for key, value in body.items() if value is not None}).encode()


@pytest.mark.parametrize("holder", [HOLDER, None])
def test_a_token_says_what_its_issuer_said(holder):
    token = sign(claims(holder=holder), KEY)
    signed = parse(token)
    assert claims_of(signed.body) == claims(holder=holder)
    assert signed.issuer == public_fingerprint(KEY.public_key())
    assert signed.signed_by(KEY.public_key())
    assert not signed.signed_by(Ed25519PrivateKey.generate().public_key())


def test_a_changed_character_anywhere_makes_it_another_or_none():
    token = sign(claims(), KEY)
    for at in range(len(token)):
        other = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        try:
            assert not parse(other).signed_by(KEY.public_key()), at
        except ValueError:
            pass


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": "eddsa"},
        {"typ": "JWT"},
        {"kid": "x"},
        {"kid": 5},
        {"crit": ["exp"]},
        {"jwk": {}},
    ],
)
def test_a_header_that_says_anything_else_is_none_of_ours(header):
    whole = {"alg": "EdDSA", "kid": public_fingerprint(KEY.public_key()), "typ": "rpcx+jwt", **header}
    text = f"{word(whole)}.{word(said())}"
    with pytest.raises(ValueError, match="header"):
        parse(f"{text}.{word(KEY.sign(text.encode()))}")


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": None},
        {"sub": 5},
        {"sub": "uid:0"},
        {"sub": "a b"},
        {"roles": None},
        {"roles": "ops"},
        {"roles": [5]},
        {"roles": ["*"]},
        {"roles": [f"r{n}" for n in range(33)]},
        {"aud": None},
        {"aud": ["bank", "shop"]},
        {"aud": ""},
        {"aud": "a\nb"},
        {"iat": None},
        {"exp": None},
        {"exp": 200.0},
        {"exp": "200"},
        {"exp": True},
        {"exp": 100},
        {"exp": 99},
        {"exp": 3701},
        {"exp": 1 << 40},
        {"iat": -1},
        {"cnf": {}},
        {"cnf": {"spki": None}},
        {"cnf": {"spki": "sha256:x"}},
        {"cnf": {"spki": HOLDER, "jwk": 1}},
        {"cnf": "x"},
        {"nbf": 150},
        {"scope": "all"},
    ],
)
def test_claims_that_make_no_sense_or_that_nobody_knows_are_none(changes):
    claims_of(said())
    with pytest.raises(ValueError):
        claims_of(said(**changes))


def test_nothing_is_said_twice():
    with pytest.raises(ValueError, match="twice"):
        claims_of(b'{"sub":"ann","sub":"bob"}')


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b"\xff", b"[" * 3000, b'{"iat":' + b"9" * 3000 + b"}"])
def test_what_is_no_object_is_none(body):
    with pytest.raises(ValueError):
        claims_of(body)


def test_a_token_has_4_kib_at_most():
    with pytest.raises(ValueError, match="at most 4096"):
        parse("x" * (MOST_BYTES + 1))
    long = frozenset(f"{number:02}" + "r" * 62 for number in range(32))
    assert len(sign(claims(roles=long), KEY)) <= MOST_BYTES


@given(st.binary(max_size=300))
def test_garbage_is_refused_as_what_it_is(data):
    for read in (parse, claims_of):
        with pytest.raises(ValueError):
            read(data)
