"""``rpcx keys``, by two users on one machine: each has a directory of keys of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "rpcx.cli")
SERVICE = """
import rpcx

@rpcx.singleton("bank", allow={"*"})
class Bank:
    def total(self) -> int:
        return 42
"""


class User:
    """Somebody with keys of his own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "RPCX_HOME": str(home), "NO_COLOR": "1"}

    def run(self, *words: str, status: int = 0, stdin: str | None = None) -> str:
        """What a command prints; on standard error if it is to fail."""
        done = subprocess.run(
            [*COMMAND, *words],
            check=False, env=self.environment, capture_output=True, text=True, input=stdin, timeout=30,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    def keys(self, *words: str, status: int = 0, stdin: str | None = None) -> str:
        return self.run("keys", *words, status=status, stdin=stdin)

    def key(self) -> str:
        return json.loads(self.keys("show", "--json"))["fingerprint"]

    @contextmanager
    def begun(self, *words: str) -> Iterator[subprocess.Popen]:
        """A command that runs meanwhile."""
        with subprocess.Popen(
            [*COMMAND, *words], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            cwd=self.home.parent,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.terminate()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The URL of a bank of his."""
        (self.home.parent / "keyed_bank.py").write_text(SERVICE)
        with self.begun("serve", "keyed_bank", "--listen", "tcp://127.0.0.1:0", "--json") as process:
            yield json.loads(process.stdout.readline())["url"]


@pytest.fixture
def ops(tmp_path) -> User:
    return User(tmp_path / "ops")


@pytest.fixture
def ann(tmp_path) -> User:
    return User(tmp_path / "ann")


def of(url: str, what: str) -> str:
    """The URL of an object: it stands before the question mark."""
    address, _, query = url.partition("?")
    return f"{address}/{what}?{query}"


def test_a_key_is_made_by_showing_it_and_shown_in_words(ann):
    shown = json.loads(ann.keys("show", "--json"))
    assert json.loads(ann.keys("init", "--json")) == shown
    assert len(shown["words"].split()) == 10
    assert ann.keys("show", "--certificate").startswith("-----BEGIN CERTIFICATE-----")
    assert shown["fingerprint"] in ann.keys("show")


def test_a_stranger_is_refused_then_trusted_then_revoked(ops, ann):
    with ops.serving() as url:
        refused = ann.run("call", of(url, "bank"), "total", status=1)
        assert "rpcx keys trust identity.crt --as NAME" in refused
        assert ann.key() in refused

        ops.keys("trust", "-", "--as", "ann", "--role", "teller", stdin=ann.keys("show", "--certificate"))
        assert_in_time(lambda: ann.run("call", of(url, "bank"), "total") == "42\n")

        ops.keys("revoke", "ann")
        assert_in_time(lambda: "AuthenticationFailed" in ann.run("call", of(url, "bank"), "total", status=1))


def assert_in_time(holds, tries: int = 12) -> None:
    """A host looks at its keys twice a second; until then a command may fail."""
    for attempt in range(tries):
        try:
            if holds():
                return
        except AssertionError:
            if attempt == tries - 1:
                raise
    raise AssertionError("not in time")


def test_two_users_meet_by_a_code(ops, ann):
    with ops.begun("keys", "invite", "--as", "ann", "--role", "teller", "--json") as process:
        told = json.loads(process.stdout.readline())
        met = json.loads(ann.keys("accept", told["address"], told["code"], "--as", "bank", "--json"))
        assert met == {"name": "bank", "fingerprint": ops.key(), "known_as": "ann"}
        assert json.loads(process.stdout.readline()) == {"name": "ann", "fingerprint": ann.key()}
        assert process.wait(10) == 0
    with ops.serving() as url:
        assert ann.run("call", of(url.partition("?")[0], "bank"), "total") == "42\n", "no pin is needed in the URL"


def test_a_fleet_has_an_authority(ops, ann, tmp_path):
    ops.keys("ca", "init", "acme")
    (tmp_path / "leaf.crt").write_text(
        ops.keys("ca", "issue", "-", "--as", "ann", "--role", "teller", stdin=ann.keys("show", "--certificate"))
    )
    assert json.loads(ops.keys("ca", "trust", str(ops.home / "ca" / "acme.pem"), "--json")) == {"realm": "acme"}
    assert "ann@acme" in ann.keys("install", str(tmp_path / "leaf.crt"))
    with ops.serving() as url:
        assert ann.run("call", of(url, "bank"), "total") == "42\n"


def test_a_new_key_is_followed(ops, ann, tmp_path):
    ops.keys("trust", "-", "--as", "ann", stdin=ann.keys("show", "--certificate"))
    old = ann.key()
    statement = json.loads(ann.keys("rotate", "--json"))["statement"]
    assert json.loads(ops.keys("follow", statement, "--json"))["name"] == "ann"
    new = json.loads(ann.keys("rotate", "--finish", "--json"))["fingerprint"]
    trusted = {row["fingerprint"]: row for row in json.loads(ops.keys("list", "--json"))["trusted"]}
    assert trusted[old]["until"] is not None
    assert trusted[new]["until"] is None
    with ops.serving() as url:
        assert ann.run("call", of(url, "bank"), "total") == "42\n"


def test_everything_is_listed(ops, ann):
    ops.keys("trust", "-", "--as", "ann", "--role", "b", "--role", "a", stdin=ann.keys("show", "--certificate"))
    ops.keys("pin", "bank.example:4444", "sha256:" + "A" * 43)
    ops.keys("revoke", "sha256:" + "B" * 42 + "E")
    listed = json.loads(ops.keys("list", "--json"))
    assert listed["trusted"] == [{"name": "ann", "roles": ["a", "b"], "fingerprint": ann.key(), "until": None}]
    assert listed["pins"] == {"bank.example:4444": "sha256:" + "A" * 43}
    assert listed["revoked"] == {"sha256:" + "B" * 42 + "E": "?"}
    text = ops.keys("list")
    assert "ann" in text
    assert "bank.example:4444" in text
    ops.keys("roles", "ann", "--role", "c")
    ops.keys("pin", "bank.example:4444")
    ops.keys("forgive", "sha256:" + "B" * 42 + "E")
    listed = json.loads(ops.keys("list", "--json"))
    assert listed["trusted"][0]["roles"] == ["c"]
    assert listed["pins"] == listed["revoked"] == {}


@pytest.mark.parametrize(("words", "said"), [
    (("trust", "/nonexistent.crt", "--as", "ann"), "nonexistent.crt"),
    (("trust", "-", "--as", "ann"), "PEM"),
    (("revoke", "ann"), "nobody is trusted as 'ann'"),
    (("pin", "nonsense"), "no HOST:PORT"),
    (("pin", "a:1", "sha256:short"), "no fingerprint"),
    (("rotate", "--finish"), "rpcx keys rotate"),
    (("accept", "127.0.0.1:1", "CODE", "--as", "x"), "nobody invites there"),
    (("accept", "nonsense", "CODE", "--as", "x"), "no HOST:PORT"),
    (("ca", "issue", "-", "--as", "x"), "rpcx keys ca init"),
])  # fmt: skip
def test_what_cannot_be_done_is_told_in_one_line(ann, words, said):
    told = ann.keys(*words, status=1, stdin="")
    assert said in told
    assert told.count("\n") == 1
    assert "Traceback" not in told


def test_keys_that_others_may_read_stop_everything_with_the_remedy(ann):
    ann.keys("init")
    (ann.home / "identity.key").chmod(0o644)
    assert f"chmod 600 {ann.home}/identity.key" in ann.keys("show", status=1)


def test_somebody_to_try_out_is_made_by_a_word_and_told_where(tmp_path):
    mine = User(tmp_path / "mine")
    told = json.loads(mine.keys("dev", "ann", "--role", "teller", "--json"))
    assert told["name"] == "ann@localhost"
    assert "RPCX_HOME=" + told["home"] in mine.keys("dev", "ann")
    assert "DEV, for this machine" in mine.keys("list")
    with mine.serving() as url:
        assert User(Path(told["home"])).run("call", f"{url.partition('?')[0]}/bank", "total") == "42\n"
    assert "rpcx keys dev" in mine.keys("ca", "init", "localhost", status=1)
