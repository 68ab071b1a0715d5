"""``rpcx envelope``."""

import json

from typer.testing import CliRunner

from rpcx.commands.envelope import app
from rpcx.security.cards import Cards
from rpcx.security.identity import home

RUN = CliRunner()


def test_a_file_sealed_for_oneself_opens_where_it_belongs(tmp_path):
    plain, sealed, opened, card = (tmp_path / name for name in ("plain", "sealed", "opened", "card"))
    plain.write_bytes(b"4711")
    printed = RUN.invoke(app, ["card"])
    assert printed.exit_code == 0, printed.output
    card.write_text(printed.output)
    assert RUN.invoke(app, ["take", str(card), "--as", "me"]).exit_code == 0
    assert RUN.invoke(app, ["seal", str(plain), "--for", "me", "--to", str(sealed), "--context", "a"]).exit_code == 0
    assert b"4711" not in sealed.read_bytes()
    shown = json.loads(RUN.invoke(app, ["show", str(sealed), "--json"]).output)
    assert shown["context"] == "a"
    assert Cards(home()).key(bytes.fromhex(shown["key"]))
    renewed = RUN.invoke(app, ["renew", "--json"])  # older keys still open
    assert len(bytes.fromhex(json.loads(renewed.output)["key"])) == len(bytes.fromhex(shown["key"]))
    assert RUN.invoke(app, ["open", str(sealed), "--to", str(opened), "--context", "b"]).exit_code != 0
    assert not opened.exists()
    done = RUN.invoke(app, ["open", str(sealed), "--to", str(opened), "--context", "a", "--json"])
    assert json.loads(done.output) == {"file": str(opened)}
    assert opened.read_bytes() == b"4711"
    assert RUN.invoke(app, ["open", str(sealed), "--to", str(opened), "--context", "a"]).exit_code != 0  # there already
