"""``rpcx firewall``."""

import json

import pytest
from typer.testing import CliRunner

from rpcx.commands.firewall import app

NETWORKS = ["--allow-from", "192.0.2.0/24", "--allow-from", "2001:db8::/32"]


def printed(*words: str) -> list[str]:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_rules_for_nft_accept_the_networks_and_drop_the_rest():
    lines = printed("tcp://0.0.0.0:4000", *NETWORKS)
    assert lines[-3:] == [
        "add rule inet rpcx_4000 input ip saddr { 192.0.2.0/24 } tcp dport 4000 accept",
        "add rule inet rpcx_4000 input ip6 saddr { 2001:db8::/32 } tcp dport 4000 accept",
        "add rule inet rpcx_4000 input tcp dport 4000 drop",
    ]


def test_rules_for_ufw_deny_after_they_allowed():
    assert printed("tcp://0.0.0.0:4000", *NETWORKS, "--tool", "ufw") == [
        "ufw allow proto tcp from 192.0.2.0/24 to any port 4000",
        "ufw allow proto tcp from 2001:db8::/32 to any port 4000",
        "ufw deny proto tcp from any to any port 4000",
    ]


def test_rules_for_windows_only_allow_since_the_rest_is_blocked_there():
    (line,) = printed("tcp://0.0.0.0:4000", *NETWORKS, "--tool", "windows")
    assert "action=allow" in line
    assert line.endswith("remoteip=192.0.2.0/24,2001:db8::/32")


def test_as_json():
    told = json.loads("".join(printed("tcp://0.0.0.0:4000", *NETWORKS, "--tool", "ufw", "--json")))
    assert told["tool"] == "ufw"
    assert len(told["rules"]) == 3


@pytest.mark.parametrize(("words", "said"), [
    (("pipe://bank", *NETWORKS), "on this machine"),
    (("tcp://0.0.0.0:0", *NETWORKS), "needs a port"),
    (("tcp://0.0.0.0:4000", "--allow-from", "192.0.2.1/24"), "is no network"),
    (("nonsense", *NETWORKS), "nonsense"),
])  # fmt: skip
def test_what_cannot_be_is_told(words, said):
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 1
    assert said in done.output
