"""``rpcx token``."""

import json

import pytest
from typer.testing import CliRunner

from rpcx.commands.token import app
from rpcx.security.compact import claims_of, parse
from rpcx.security.identity import own_identity
from tests.security.pair import user


@pytest.fixture(autouse=True)
def keys(tmp_path):
    with user(tmp_path / "keys"):
        yield


def test_it_issues_a_token_for_this_users_key_and_shows_it(tmp_path):
    done = CliRunner().invoke(app, ["issue", "--as", "ann", "--role", "teller", "--minutes", "5"])
    assert done.exit_code == 0, done.output
    claims = claims_of(parse(done.output.strip()).body)
    own = own_identity().fingerprint
    assert (claims.principal, claims.roles, claims.audience, claims.holder) == ("ann", {"teller"}, own, own)
    assert (claims.expires - claims.issued).total_seconds() == 300
    file = tmp_path / "token"
    file.write_text(done.output)
    shown = json.loads(CliRunner().invoke(app, ["show", str(file), "--json"]).output)
    assert (shown["principal"], shown["believed here"]) == ("ann", "yes")
    with user(tmp_path / "other"):
        assert "no: its issuer is not known" in CliRunner().invoke(app, ["show", str(file)]).output


def test_it_binds_to_whom_it_is_told(tmp_path):
    with user(tmp_path / "holder"):
        holder = own_identity()
    for to in (holder.fingerprint, str(holder.certificate_file)):
        done = CliRunner().invoke(app, ["issue", "--as", "ann", "--to", to, "--audience", "bank"])
        assert claims_of(parse(done.output.strip()).body).holder == holder.fingerprint
    done = CliRunner().invoke(app, ["issue", "--as", "ann", "--bearer"])
    assert claims_of(parse(done.output.strip()).body).holder is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["issue", "--as", "ann", "--bearer", "--to", "x"], "which?"),
        (["issue", "--as", "owner"], "owner"),
        (["issue", "--as", "ann", "--to", "nowhere.pem"], "no such file"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(words, said):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert said in done.output
