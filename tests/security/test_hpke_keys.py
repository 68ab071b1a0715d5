"""Keys for envelopes survive being stored, and say what is wrong."""

import sys

import pytest

from rpcx.security import hpke_keys
from rpcx.security.hpke_keys import ALGORITHMS, HYBRID, X25519, generate, private_from, public_from, suite


@pytest.mark.parametrize("pq", [False, True])
def test_a_key_is_the_same_after_it_was_stored(pq):
    made = generate(pq=pq)
    again = private_from(made.algorithm, made.raw)
    public = public_from(made.algorithm, made.public.raw)
    assert again.public.key_id == made.public.key_id == public.key_id
    made_suite = suite(made.algorithm)
    assert made_suite.decrypt(made_suite.encrypt(b"x", public.key, b"i"), again.key, b"i") == b"x"
    assert len(made_suite.encrypt(b"", public.key, b"")) == ALGORITHMS[made.algorithm].overhead


def test_other_bytes_are_no_key():
    for make in (private_from, public_from):
        for algorithm, raw in ((X25519, b"short"), (HYBRID, bytes(32)), (9, bytes(32))):
            with pytest.raises(ValueError, match="are no"):
                make(algorithm, raw)


def test_a_secret_is_not_printed():
    made = generate()
    assert repr(made.raw) not in repr(made)


def test_an_old_cryptography_is_named(monkeypatch):
    suite.cache_clear()
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.hpke", None)
    monkeypatch.delattr(sys.modules["cryptography.hazmat.primitives"], "hpke", raising=False)
    with pytest.raises(ImportError, match=r"cryptography 47 or later: pip install 'rpcx\[envelope\]'"):
        suite(X25519)
    assert hpke_keys.generate  # the module itself is there all the same
