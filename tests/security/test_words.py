"""A fingerprint in words."""

from rpcx.security.identity import own_identity
from rpcx.security.words import WORDS, in_words

ZEROS = "sha256:" + "A" * 43
ONES = "sha256:" + "_" * 42 + "8"


def test_there_is_a_word_for_each_byte_and_none_twice():
    assert len(WORDS) == len(set(WORDS)) == 256
    assert all(word.isascii() and word.islower() and 3 <= len(word) <= 9 for word in WORDS)


def test_ten_bytes_are_ten_words():
    assert in_words(ZEROS) == " ".join([WORDS[0]] * 10)
    assert in_words(ONES) == " ".join([WORDS[255]] * 10)


def test_two_keys_have_different_words(tmp_path):
    one, other = (own_identity(tmp_path / name).fingerprint for name in ("a", "b"))
    assert in_words(one) != in_words(other)
