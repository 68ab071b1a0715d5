"""What the doctor finds: each kind of trouble, made for real, and nothing where all is well."""

import datetime
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rpcx import doctor
from rpcx.security import keyring
from rpcx.security.authority import found_authority, issue
from rpcx.security.identity import own_identity

YEAR_2100 = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


def troubles(findings) -> list[tuple[str, str, str]]:
    """What is not well, after checking that it says what to do."""
    found = [finding for finding in findings if finding.level != "ok"]
    assert all(finding.remedy for finding in found), found
    return [(finding.level, Path(finding.subject).name, finding.says) for finding in found]


@pytest.fixture
def keys(tmp_path):
    directory = tmp_path / "keys"
    own_identity(directory)
    return directory


def test_an_old_python_is_wrong_and_a_new_one_is_well():
    assert troubles(doctor.interpreter((3, 11, 4))) == [("error", "Python 3.11.4", "has known security holes")]
    assert troubles(doctor.interpreter((3, 12, 8)))[0][0] == "error"
    assert troubles(doctor.interpreter((3, 11, 5))) == []
    assert troubles(doctor.interpreter((3, 14, 0))) == []
    assert troubles(doctor.interpreter((3, 11, 9), (1, 1, 1)))[0][2].startswith("is maintained no more")


def test_a_library_that_is_missing_or_old_is_wrong():
    needs = ["msgpack>=1.2.1", "msgpack>=900", "no-such-thing>=1", 'neither>=2; extra == "x"', "typer"]
    assert [(level, says) for level, _, says in troubles(doctor.libraries(needs))] == [
        ("error", "is older than 900"), ("error", "is missing"),
    ]  # fmt: skip
    assert troubles(doctor.libraries()) == []


def test_keys_that_are_well(keys):
    assert troubles(doctor.examine(keys)) == troubles(doctor.open_ports())
    assert troubles(doctor.key_files(keys.parent / "none")) == []


@pytest.mark.parametrize(
    ("name", "mode", "says"),
    [
        ("identity.key", 0o640, "others may read or write it"),
        ("identity.crt", 0o666, "others may write it"),
        ("", 0o755, "others may use it"),
    ],
)
def test_files_that_others_may_use_are_wrong(keys, name, mode, says):
    (keys / name).chmod(mode)
    (found,) = troubles(doctor.key_files(keys))
    assert found[0] == "error"
    assert says in found[2]


def test_a_link_in_the_place_of_a_key_is_wrong(keys):
    (keys / "identity.key").rename(keys / "elsewhere.key")
    (keys / "identity.key").symlink_to(keys / "elsewhere.key")
    assert ("error", "identity.key", "it is no plain file") in troubles(doctor.key_files(keys))
    assert troubles(doctor.own_key(keys))[0][0] == "error"


def test_a_certificate_that_ends_is_told(keys, tmp_path):
    assert troubles(doctor.own_key(keys, YEAR_2100))[0][2].startswith("has been over since")
    found_authority(tmp_path / "ca", "example.org")
    leaf = issue(tmp_path / "ca", (keys / "identity.crt").read_bytes(), "ann", frozenset(), days=5)
    keyring.trust_authority(keys, (tmp_path / "ca" / "example.org.pem").read_bytes(), "example.org")
    keyring.install(keys, leaf)
    assert troubles(doctor.own_key(keys)) == [("warning", "identity.crt", "is good for 4 days more")]
    assert troubles(doctor.trusted(keys, YEAR_2100))[0][:2] == ("error", "example.org.pem")


def test_keys_in_doubtful_places_are_told(keys):
    found_authority(keys / "ca", "example.org")
    keyring.begin_rotation(keys)
    assert [(level, name) for level, name, _ in troubles(doctor.own_key(keys))] == [
        ("warning", "ca.key"), ("warning", "identity-next.crt"),
    ]  # fmt: skip


def test_a_record_that_trusts_nobody_is_told(keys, tmp_path):
    own_identity(tmp_path / "bob")
    keyring.trust(keys, (tmp_path / "bob" / "identity.crt").read_bytes(), "bob")
    assert troubles(doctor.trusted(keys)) == []
    (keys / "authorized" / "bob.pem").write_text("nonsense")
    ((level, name, says),) = troubles(doctor.trusted(keys))
    assert (level, name) == ("error", "bob.pem")
    assert says.startswith("trusts nobody")


def test_it_makes_and_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RPCX_RUNTIME_DIR", str(tmp_path / "pipes"))
    doctor.examine(tmp_path / "keys")
    assert list(tmp_path.iterdir()) == []


def test_a_pipes_directory_that_others_may_use_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("RPCX_RUNTIME_DIR", str(tmp_path))
    tmp_path.chmod(0o777)
    assert troubles(doctor.pipes())[0][0] == "error"
    tmp_path.chmod(0o700)
    assert troubles(doctor.pipes()) == []


def test_a_system_that_does_not_tell_whose_a_connection_is_is_told(monkeypatch):
    assert troubles(doctor.loopback()) == []
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert troubles(doctor.loopback())[0][:2] == ("warning", "loopback")


def test_what_is_open_to_the_network_is_told():
    seen = [("127.0.0.1", 1, 5, "a"), ("::1", 2, 5, "b"), ("0.0.0.0", 3, 5, "c"), ("fe80::1", 4, 5, "d")]
    assert [name for _, name, _ in troubles(doctor.open_ports(seen))] == ["0.0.0.0:3", "[fe80::1]:4"]
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert any(name == f"0.0.0.0:{port}" for _, name, _ in troubles(doctor.open_ports()))


SERVING = """#!{python}
import socket
with socket.create_server(("0.0.0.0", 0)) as door:
    print(door.getsockname()[1], flush=True)
    input()
"""


def test_a_program_that_is_started_by_its_own_name_is_found_too(tmp_path):
    """As `rpcx serve` is: to the system such a process is called like the script."""
    script = tmp_path / "shopd"
    script.write_text(SERVING.format(python=sys.executable))
    script.chmod(0o700)
    with subprocess.Popen([script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        port = int(program.stdout.readline())
        found = [each for each in doctor._listening() if each[1] == port]
        program.communicate("\n")
    ((address, _, pid, command),) = found
    assert (address, pid) == ("0.0.0.0", program.pid)
    assert "python" in command


CONFIG = """
objects = [{{ class = "services.process_control:Agent" }}]
{rest}
[[channels]]
url = "{url}"
insecure = {insecure}
"""


@pytest.mark.parametrize(
    ("url", "insecure", "rest", "level"),
    [
        ("tcp://127.0.0.1:4000", "false", "audit = { file = 'a.jsonl' }", None),
        ("tcp://127.0.0.1:4000", "true", "audit = { file = 'a.jsonl' }", "not encrypted"),
        ("tcp://0.0.0.0:4000", "false", "audit = { file = 'a.jsonl' }", "on every address"),
        ("tcp://0.0.0.0:4000", "false", "allow_from = ['10.0.0.0/8']\naudit = { file = 'a.jsonl' }", None),
        ("tcp://127.0.0.1:4000", "false", "", "no audit log"),
        ("pipe://x", "false", "", None),
        ("pipe://x", "false", "nonsense = 1", "there is no such key"),
    ],
)
def test_a_configurations_addresses_are_looked_at(tmp_path, url, insecure, rest, level):
    file = tmp_path / "app.toml"
    file.write_text(CONFIG.format(url=url, insecure=insecure, rest=rest))
    found = troubles(doctor.configured(file))
    assert [says for _, _, says in found if level and level in says] == [says for _, _, says in found]
    assert bool(found) is bool(level)


def test_the_keytab_of_a_configuration_is_looked_at_wherever_that_is_said(tmp_path, monkeypatch):
    file, keytab = tmp_path / "app.toml", tmp_path / "rpcx.keytab"
    text = CONFIG.format(url="pipe://bank", insecure="false", rest="") + '\n[[authenticators]]\nname = "kerberos"\n'
    keytab.touch()
    for said, environment in ((f'keytab = "FILE:{keytab}"', "/elsewhere"), ("", str(keytab))):
        file.write_text(text + said)
        monkeypatch.setenv("KRB5_KTNAME", environment)
        keytab.chmod(0o644)
        found = ("error", "rpcx.keytab", "others may read or change it (mode 0644)")
        assert troubles(doctor.configured(file)) == [found]
        keytab.chmod(0o600)
        assert not troubles(doctor.configured(file))
    monkeypatch.setenv("KRB5_KTNAME", "MEMORY:x")
    assert not troubles(doctor.configured(file))
