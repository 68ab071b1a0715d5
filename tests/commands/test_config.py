"""``rpcx config``, and how ``rpcx serve`` takes a file."""

import json
import sys

from typer.testing import CliRunner

from rpcx.cli import app as rpcx_app
from rpcx.commands.config import app


def run(*words: object, of=app):
    return CliRunner().invoke(of, [str(word) for word in words])


def test_the_schema_is_json():
    done = run("schema")
    assert done.exit_code == 0
    assert json.loads(done.output)["title"] == "Config"


def test_a_file_is_checked_without_opening_anything(tmp_path, monkeypatch):
    service = 'import rpcx\n@rpcx.singleton("d")\nclass D:\n    def f(self) -> None: ...\n'
    (tmp_path / "checked_desk.py").write_text(service)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "app.toml"
    file.write_text('[[objects]]\nclass = "checked_desk:D"\n[[channels]]\nurl = "tcp://127.0.0.1:1"\n')
    file.chmod(0o600)
    done = run("check", file)
    assert done.exit_code == 0, done.output
    assert "1 objects, 1 channels" in done.output
    done = run("check", file, "--json")
    assert json.loads(done.output) == {"file": str(file), "objects": 1, "channels": 1}
    file.write_text(file.read_text().replace("[[channels]]", "[[doors]]"))
    done = run("check", file)
    assert done.exit_code == 1
    assert "doors: there is no such key" in " ".join(done.output.split())


def test_a_file_goes_by_itself():
    for words in ("", "bank", "bank --config x", "-l pipe://x --config x", "--config x --allow ops"):
        done = run("serve", *words.split(), of=rpcx_app)
        assert done.exit_code == 2
        assert "--config" in done.output
