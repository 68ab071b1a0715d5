"""``rpcx stubs``."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rpcx.cli import app as rpcx_app
from rpcx.commands.stubs import app

ROOT = Path(__file__).parents[2]

BANK = """
import rpcx
@rpcx.singleton("bank")
class {name}:
    def open(self, owner: str) -> "Account": ...
@rpcx.client_activated
class Account:
    def deposit(self, amount: int) -> int: ...
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("stub_bank", "no_bank"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "stub_bank.py").write_text(BANK.format(name="Bank"))
    (tmp_path / "no_bank.py").write_text("from stub_bank import Bank, Account as A\nx = 5\n")
    return lambda text: CliRunner().invoke(app, shlex.split(text))


def told(done) -> str:
    return " ".join(done.stderr.split())


def test_stubs_are_printed_and_say_how_they_were_made(run):
    done = run("stub_bank")
    assert done.exit_code == 0, done.output
    assert "made by `rpcx stubs stub_bank`." in done.stdout.splitlines()[0]
    assert "class AsyncBank(rpcx.aio.Stub, Protocol):\n    async def open(self, owner: str) -> AsyncAccount: ..." in (
        done.stdout
    )
    compile(done.stdout, "stubs", "exec")


@pytest.mark.parametrize("words", ["stub_bank:Account", "stub_bank Account", "no_bank:A"])
def test_classes_may_be_named(run, words):
    done = run(words)
    assert done.exit_code == 0, done.output
    assert "class AsyncAccount" in done.stdout
    assert "AsyncBank" not in done.stdout


def test_several_classes_may_be_named_in_the_order_they_are_to_have(run):
    done = run("stub_bank:Account,Bank Account")
    assert done.stdout.index("class AsyncAccount") < done.stdout.index("class AsyncBank")
    assert "made by `rpcx stubs stub_bank:Account,Bank`." in done.stdout


def test_a_file_is_written_and_checked(run, tmp_path):
    file = tmp_path / "stub_bank_async.py"
    assert run(f"stub_bank -o {file} --check").exit_code == 1
    assert json.loads(run(f"stub_bank -o {file} --json").stdout) == {"file": str(file)}
    assert json.loads(run("stub_bank --json").stdout) == {"text": file.read_text().rstrip("\n") + "\n"}
    assert run(f"stub_bank -o {file} --check").stdout == ""
    assert json.loads(run(f"stub_bank -o {file} --check --json").stdout) == {"file": str(file), "current": True}
    written = file.read_text()
    file.write_text(written.replace("amount: int", "amount: float"))
    done = run(f"stub_bank --check -o {file}")
    assert done.exit_code == 1
    assert told(done) == f"rpcx: {file} is not current; make it anew: rpcx stubs stub_bank --output {file}"
    assert "float" in file.read_text()  # it only looks
    run(f"stub_bank -o {file}")
    assert file.read_text() == written


def test_check_needs_a_file(run):
    done = run("stub_bank --check")
    assert done.exit_code == 2
    assert "--check needs --output" in done.output


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("no_bank", "no_bank defines no remote class; decorate one, or name one that it imports"),
        ("no_bank x", "no_bank.x is no remote class"),
        ("no_bank y", "no_bank has no 'y'"),
        ("nowhere", "there is no module 'nowhere' here or installed"),
        ("stub_bank.py", "'stub_bank.py' is a file; give the module's name, as in: rpcx stubs stub_bank"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, words, line):
    done = run(words)
    assert done.exit_code == 1
    assert line in told(done)


def test_a_contract_that_no_stub_can_say_is_named(run, tmp_path):
    (tmp_path / "stub_bank.py").write_text(BANK.format(name="Bank").replace('"Account"', '"Nobody"'))
    done = run("stub_bank")
    assert done.exit_code == 1
    assert told(done) == "rpcx: stub_bank.Bank: 'Nobody', in an annotation, is not known there"


def test_it_is_a_command_of_rpcx(monkeypatch):
    from rpcx import cli

    monkeypatch.setattr(cli, "app", rpcx_app)
    monkeypatch.setattr(sys, "argv", ["rpcx", "stubs", "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0


def test_the_stubs_of_this_project_are_current():
    for module in ("schemas.process_control", "tests.stubs.bank"):
        file = ROOT / f"{module.replace('.', '/')}_async.py"
        done = CliRunner().invoke(app, [module, "--output", str(file), "--check"])
        assert done.exit_code == 0, done.output
