"""``rpcx service``."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rpcx.commands.service import app

CONFIG = """
allow_from = ["192.0.2.0/24", "2001:db8::/32"]
[audit]
file = "log/audit.log"
[[objects]]
class = "bank:Bank"
[[channels]]
url = "tcp://0.0.0.0:4000"
"""


@pytest.fixture
def config(tmp_path) -> Path:
    file = tmp_path / "bank.toml"
    file.write_text(CONFIG)
    file.chmod(0o600)
    return file


def printed(config: Path, *words: str) -> list[str]:
    done = CliRunner().invoke(app, ["unit", str(config), *words])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_a_unit_serves_the_file_as_another_user_with_no_more_than_it_needs(config):
    lines = printed(config, "--user", "bank", "--memory", "512M")
    (command,) = [line for line in lines if line.startswith("ExecStart=")]
    assert command.endswith(f"-m rpcx.cli serve --config {config}")
    said = {"User=bank", "MemoryMax=512M", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet="}
    assert said <= set(lines)
    assert f"ReadWritePaths={config.parent}/log" in lines
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6" in lines


def test_the_networks_of_the_file_are_those_of_the_unit(config):
    lines = printed(config)
    assert lines[lines.index("IPAddressDeny=any") + 1] == "IPAddressAllow=localhost 192.0.2.0/24 2001:db8::/32"


def test_where_a_channel_is_for_any_network_the_unit_says_so(config):
    config.write_text(CONFIG + '[[channels]]\nurl = "tcp://0.0.0.0:4001"\nallow_from = []\n')
    assert not [line for line in printed(config) if line.startswith("IPAddress")]


def test_a_host_of_pipes_has_no_network(config):
    config.write_text(CONFIG.replace("tcp://0.0.0.0:4000", "pipe://bank"))
    assert "RestrictAddressFamilies=AF_UNIX" in printed(config)


def test_root_is_refused(config):
    done = CliRunner().invoke(app, ["unit", str(config), "--user", "root"])
    assert done.exit_code == 1
    assert "--user" in done.output


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not on Linux with systemd")
def test_systemd_understands_it_and_calls_it_safe(config):
    unit = config.with_name("bank.service")
    (config.parent / "log").mkdir()
    unit.write_text("\n".join(printed(config, "--user", "daemon")))
    words = ["systemd-analyze", "--no-pager"]
    verified = subprocess.run([*words, "verify", unit], capture_output=True, text=True, check=False)
    assert "bank.service" not in verified.stderr, "it complains of nothing in it"
    judging = [*words, "security", "--offline=true", "--threshold=20", unit]  # 2.0 of 10, which is no safety at all
    judged = subprocess.run(judging, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout


def test_pipes_for_other_users_have_a_directory_that_these_may_enter(config):
    config.write_text(CONFIG.replace('"tcp://0.0.0.0:4000"', '"pipe://bank"\nallow_uids = [1]'))
    assert "Environment=RPCX_SHARED_DIR=%t/rpcx" in printed(config)
    assert "RuntimeDirectoryMode=0755" in printed(config)


SERVICE = """
import rpcx

@rpcx.singleton("bank")
class Bank:
    def total(self) -> int:
        return 5
"""


def test_what_the_unit_starts_serves(config):
    (config.parent / "log").mkdir()
    (config.parent / "bank.py").write_text(SERVICE)
    config.write_text(CONFIG.replace("0.0.0.0:4000", "127.0.0.1:0").replace("192.0.2.0/24", "127.0.0.0/8"))
    (command,) = [line.partition("=")[2] for line in printed(config) if line.startswith("ExecStart=")]
    with subprocess.Popen(shlex.split(command), cwd=config.parent, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout.readline().startswith("listening on tcp://127.0.0.1:")
        host.terminate()
