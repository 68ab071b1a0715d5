"""Keytabs: where they are, and who may read them."""

import os
from pathlib import Path

import pytest

from rpcx.security.keytab import default_keytab, keytab_file, keytab_problem


def test_libkrb5s_ways_to_name_a_keytab_are_understood(monkeypatch):
    for keytab in ("/etc/a.keytab", "FILE:/etc/a.keytab", "WRFILE:/etc/a.keytab"):
        assert keytab_file(keytab) == Path("/etc/a.keytab")
    assert keytab_file("a.keytab") == Path("a.keytab")
    assert keytab_file("/srv/a:b/keytab") == Path("/srv/a:b/keytab")
    assert keytab_file("MEMORY:mine") is None
    monkeypatch.setenv("KRB5_KTNAME", "FILE:/srv/keytab")
    assert default_keytab() == "FILE:/srv/keytab"
    monkeypatch.delenv("KRB5_KTNAME")
    assert default_keytab() == "/etc/krb5.keytab"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0o600, ""), (0o400, ""), (0o640, ""), (0o440, ""),
        (0o644, "others may read or change it (mode 0644)"), (0o660, "others may"), (0o602, "others may"),
    ],
)  # fmt: skip
def test_a_keytab_is_for_its_owner_and_its_group_to_read(tmp_path, mode, words):
    file = tmp_path / "keytab"
    file.touch()
    file.chmod(mode)
    problem, remedy = keytab_problem(file)
    assert words in problem if words else not problem
    assert remedy == (f"run chmod 600 {file}" if words else "")


def test_a_keytab_is_there_a_file_and_this_users_or_roots(tmp_path, monkeypatch):
    problem, remedy = keytab_problem(tmp_path / "none")
    assert problem == "No such file or directory"
    assert "kadmin ktadd -k none rpcx/HOST" in remedy
    assert keytab_problem(tmp_path)[0] == "it is no plain file"
    file = tmp_path / "keytab"
    file.touch(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    if file.stat().st_uid == 0:
        assert keytab_problem(file) == ("", "")
        os.chown(file, 1234, -1)
    assert keytab_problem(file)[1] == f"run chown 4321 {file}"
