"""Whose keys are known."""

from rpcx.security.identity import own_identity
from rpcx.security.trust import TrustStore
from tests.security.pair import trust


def test_the_own_key_is_always_trusted(tmp_path):
    own = own_identity(tmp_path)
    principal = TrustStore(tmp_path).principal_of(own.certificate)
    assert principal is not None
    assert principal.roles == {"owner"}
    assert TrustStore(tmp_path).certificates() == [own.certificate]


def test_a_file_makes_a_principal(tmp_path):
    trust(tmp_path / "a", tmp_path / "b", "ann")
    own_identity(tmp_path / "a")
    principal = TrustStore(tmp_path / "a").principal_of(own_identity(tmp_path / "b").certificate)
    assert principal is not None
    assert principal.name == "ann"


def test_a_server_is_remembered_by_its_key(tmp_path):
    store = TrustStore(tmp_path)
    assert store.pin_of("h:1") is None
    store.pin("h:1", "sha256:x")
    assert TrustStore(tmp_path).pin_of("h:1") == "sha256:x"
