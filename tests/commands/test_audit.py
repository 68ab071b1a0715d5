"""``rpcx audit``."""

import json

import pytest
from typer.testing import CliRunner

from rpcx.abc import PeerFacts
from rpcx.commands.audit import app
from rpcx.security.audit_log import AuditLog, verify

EVENT = dict.fromkeys(("channel", "peer", "object_type", "object", "method", "result", "ms", "count"))


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "audit.log"
    log = AuditLog(file, chain=True)
    log.write("auth-ok", PeerFacts("tcp", "10.0.0.1:1", principal="ann"), EVENT)
    log.write("authz-deny", PeerFacts("tcp", "10.0.0.1:1", principal="bob"), {**EVENT, "object": "\x1b[2J\nx"})
    log.close()
    return file


def run(*words: str):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_whole_log_is_called_whole_with_its_last_hash(file):
    done = run("verify", file)
    assert done.exit_code == 0
    assert "2 lines, whole, from the beginning" in done.output
    assert verify([file]).head in done.output
    assert json.loads(run("verify", "--json", file).output)["ok"] is True
    assert run("verify", file, "--noted", verify([file]).head).exit_code == 0


def test_a_changed_log_is_a_failure_that_names_the_line(file):
    file.write_text(file.read_text().replace("ann", "eve"))
    done = run("verify", file)
    assert done.exit_code == 1
    assert "line 2" in done.output.replace("\n", " ")
    asked = run("verify", "--json", file)
    assert (asked.exit_code, json.loads(asked.output)["ok"]) == (1, False)
    assert run("verify", file, "--noted", "0" * 64).exit_code == 1


def test_a_file_that_is_not_there_is_told(tmp_path):
    done = run("verify", tmp_path / "none.log")
    assert done.exit_code == 1
    assert "none.log" in done.output


def test_events_are_shown_without_what_a_terminal_obeys(file):
    done = run("show", file)
    assert len(done.output.splitlines()) == 2
    assert "\x1b" not in done.output
    assert "auth-ok ann 10.0.0.1:1" in done.output
    assert run("show", file, "--event", "auth-ok").output.count("\n") == 1
    assert "bob" not in run("show", file, "--principal", "ann").output
    shown = [json.loads(line) for line in run("show", file, "--json").output.splitlines()]
    assert [event["principal"] for event in shown] == ["ann", "bob"]
    assert shown[1]["object"] == "\x1b[2J\nx"
