"""This user's own key."""

import pytest

from rpcx.errors import AccessDenied
from rpcx.security.identity import fingerprint_of, own_identity


def test_it_is_made_once_and_found_again(tmp_path):
    made = own_identity(tmp_path / "keys")
    assert own_identity(tmp_path / "keys") == made
    assert made.fingerprint == fingerprint_of(made.certificate)
    assert made.fingerprint.startswith("sha256:")
    assert len(made.fingerprint) == len("sha256:") + 43
    assert made.key_file.stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_may_read_is_refused(tmp_path):
    own_identity(tmp_path).key_file.chmod(0o644)
    with pytest.raises(AccessDenied, match="chmod 600"):
        own_identity(tmp_path)
