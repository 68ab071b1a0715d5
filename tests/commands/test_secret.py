"""``rpcx secret NAME``."""

import pytest
from typer.testing import CliRunner

from rpcx.commands.secret import app
from rpcx.security.secret import read_secret, secret_file
from tests.security.pair import user


@pytest.fixture(autouse=True)
def keys(tmp_path):
    with user(tmp_path):
        yield


def test_it_makes_a_secret_and_says_where():
    done = CliRunner().invoke(app, ["team"])
    assert done.exit_code == 0
    assert done.output.strip() == str(secret_file("team"))
    assert len(read_secret("team")) == 32


def test_what_cannot_be_made_is_said_in_one_line():
    assert CliRunner().invoke(app, ["team"]).exit_code == 0
    again = CliRunner().invoke(app, ["team"])
    assert again.exit_code == 1
    assert "is there already" in again.output
    wrong = CliRunner().invoke(app, ["../x"])
    assert wrong.exit_code == 1
    assert "is no name" in wrong.output
