"""The text of a trust file."""

import base64
import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from rpcx.security.authority import found_authority
from rpcx.security.identity import self_signed
from rpcx.security.records import MOST_KEYS, Record, checked_name, read_record, trusted_key, write_record

NOON = datetime.datetime(2026, 12, 7, 12, tzinfo=datetime.UTC)


def pem() -> bytes:
    return self_signed(Ed25519PrivateKey.generate()).public_bytes(Encoding.PEM)


def test_what_is_written_is_read_again():
    record = Record((trusted_key(pem(), NOON), trusted_key(pem())), frozenset({"ops", "dev"}))
    assert read_record(write_record(record)) == record


def test_a_bare_certificate_is_a_record_without_roles():
    record = read_record(pem())
    assert record.roles == frozenset()
    assert record.keys[0].until is None


def test_people_may_write_remarks_and_blank_lines():
    record = read_record(b"# Ann, of the bank\n\nroles: ops ,, dev\n\n" + pem() + b"\n# the end\n")
    assert record.roles == {"ops", "dev"}


@pytest.mark.parametrize(("text", "why"), [
    (b"role: ops\n", "neither roles: nor until:"),
    (b"roles ops\n", "neither roles: nor until:"),
    (b"roles: ../ops\n", "no name for a role"),
    (b"until: tomorrow\n", "isoformat"),
    (b"until: 2026-12-07T12:00:00\n", "no time zone"),
])  # fmt: skip
def test_a_line_that_makes_no_sense_is_an_error(text, why):
    with pytest.raises(ValueError, match=why):
        read_record(text + pem())


def test_roles_stand_first():
    with pytest.raises(ValueError, match="before the first certificate"):
        read_record(pem() + b"roles: ops\n" + pem())


@pytest.mark.parametrize("text", [b"", b"roles: ops\n", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_file_without_a_certificate_is_an_error(text):
    with pytest.raises(ValueError, match="no certificate"):
        read_record(text)


def test_nonsense_in_place_of_a_certificate_is_an_error():
    with pytest.raises(ValueError):
        read_record(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_changed_bit_of_a_certificate_makes_another_or_a_value_error():
    """Whatever else `cryptography` raises: a file that cannot be read must not hide the others."""
    der = self_signed(Ed25519PrivateKey.generate()).public_bytes(Encoding.DER)
    refused: set[str] = set()
    for bit in range(8 * len(der)):
        changed = bytearray(der)
        changed[bit // 8] ^= 1 << bit % 8
        text = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(changed) + b"-----END CERTIFICATE-----\n"
        try:
            assert read_record(text).keys
        except ValueError as error:
            refused.add(type(error.__cause__).__name__)
    assert refused >= {"UnsupportedAlgorithm", "InvalidVersion"}, "what is no ValueError by itself was among them"


def test_an_authority_is_not_trusted_as_an_end(tmp_path):
    authority = found_authority(tmp_path / "ca", "acme").read_bytes()
    with pytest.raises(ValueError, match="rpcx keys ca trust"):
        read_record(authority)


def test_the_number_of_keys_is_bounded():
    with pytest.raises(ValueError, match=f"more than {MOST_KEYS}"):
        read_record(pem() * (MOST_KEYS + 1))


@pytest.mark.parametrize("name", ["", ".", "..", "../ann", "a/b", "-rf", "a b", "a\n", "x" * 65, "é"])
def test_a_name_that_could_be_a_path_or_an_option_is_none(name):
    with pytest.raises(ValueError, match="no name for a principal"):
        checked_name(name, "principal")


def test_a_key_ends_at_its_time_and_not_before():
    key = trusted_key(pem(), NOON)
    assert not key.ended(NOON - datetime.timedelta(seconds=1))
    assert key.ended(NOON)
    assert not trusted_key(pem()).ended(NOON)
