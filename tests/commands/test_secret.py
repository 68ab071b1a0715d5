"""``rpcx secret NAME``."""

import json

import pytest
from typer.testing import CliRunner

from rpcx.commands.secret import app
from rpcx.security.secret import read_secret, secret_file
from tests.security.pair import user


@pytest.fixture(autouse=True)
def keys(tmp_path):
    with user(tmp_path / "keys"):
        yield


def test_it_makes_a_secret_and_says_where():
    done = CliRunner().invoke(app, ["team"])
    assert done.exit_code == 0
    assert done.output.strip() == str(secret_file("team"))
    assert len(read_secret("team")) == 32
    done = CliRunner().invoke(app, ["other", "--json"])
    assert json.loads(done.output) == {"secret": str(secret_file("other"))}


def test_what_cannot_be_made_is_said_in_one_line(capsys):
    assert CliRunner().invoke(app, ["team"]).exit_code == 0
    before = read_secret("team")
    for words, said in ((["team"], "remove it on all machines"), (["../x"], "is no name")):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 1
        assert said in done.output
    assert read_secret("team") == before
