"""A Kerberos realm, which the tests of one process share."""

from collections.abc import Iterator

import pytest

from tests.security.realm import Realm, running


@pytest.fixture(scope="session")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    with running(tmp_path_factory.mktemp("realm")) as realm:
        yield realm


@pytest.fixture
def realm(kdc: Realm, monkeypatch: pytest.MonkeyPatch) -> Realm:
    """The realm, where libkrb5 finds it."""
    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)
    return kdc
