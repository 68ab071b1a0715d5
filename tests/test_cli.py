"""The command line, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rpcx
from rpcx.cli import app

SHOP = '''
import rpcx
from collections.abc import Iterator

@rpcx.singleton("shop")
class Shop:
    """Sells things."""
    def __init__(self): self._open = True
    def price(self, item: str, count: int = 1) -> float:
        """What it costs."""
        return 2.5 * count
    def items(self, n: int) -> Iterator[str]:
        yield from (f"item {i}" for i in range(n))
    @property
    def is_open(self) -> bool: return self._open
    @is_open.setter
    def is_open(self, value: bool) -> None: self._open = value
    def cart(self) -> "Cart": return Cart()
    def boom(self): raise KeyError("no such thing")

@rpcx.client_activated
class Cart:
    def add(self, item: str) -> int: return 1
'''


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rpcx.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A served module; its URL."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    url = f"pipe://shop-{uuid.uuid4().hex[:8]}"
    command = [sys.executable, "-m", "rpcx.cli", "serve", "shop", "--listen", url, "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert json.loads(server.stdout.readline()) == {"url": url}
        yield url
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0


def test_a_method_is_called_with_json_and_plain_words(shop):
    done = run("call", f"{shop}/shop", "price", "apple", "count=3")
    assert (done.returncode, done.stdout.strip()) == (0, "7.5")
    assert run("call", f"{shop}/shop", "price", "apple").stdout.strip() == "2.5"


def test_a_property_is_read_and_set(shop):
    assert run("call", f"{shop}/shop", "is_open", "--json").stdout.strip() == "true"
    assert run("call", f"{shop}/shop", "is_open=false").returncode == 0
    assert run("call", f"{shop}/shop", "is_open", "--json").stdout.strip() == "false"


def test_a_stream_is_printed_item_by_item(shop):
    assert run("call", f"{shop}/shop", "items", "3").stdout.splitlines() == ["item 0", "item 1", "item 2"]
    assert run("call", f"{shop}/shop", "items", "2", "--json").stdout.splitlines() == ['"item 0"', '"item 1"']


def test_a_remote_object_is_shown_as_what_it_is(shop):
    reference = json.loads(run("call", f"{shop}/shop", "cart", "--json").stdout)["$ref"]
    assert reference[0].startswith("Cart/")
    assert reference[1] == ["Cart"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop", "boom"], "KeyError: 'no such thing'"),
        (["shop", "nope"], "no remote method 'nope' (it has:"),
        (["none", "x"], "no such object"),
        (["shop", "price", "apple", "many"], "argument 'count'"),
        (["shop", "price"], "missing a required argument: 'item'"),
    ],
)
def test_what_goes_wrong_is_one_clear_line(shop, arguments, said):
    done = run("call", f"{shop}/{arguments[0]}", *arguments[1:])
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_verbose_shows_the_remote_traceback_too(shop):
    done = run("call", "-v", f"{shop}/shop", "boom")
    assert "Remote traceback" in done.stderr
    assert 'raise KeyError("no such thing")' in done.stderr


def test_inspect_shows_what_a_host_offers(shop):
    text = run("inspect", shop).stdout
    for part in (
        "shop",
        "Sells things.",
        "price(item: str, count: int = 1) -> float",
        "What it costs.",
        "Cart",
        "(stream)",
    ):
        assert part in text
    described = json.loads(run("inspect", shop, "--json").stdout)
    assert described["objects"][0]["uri"] == "shop"
    assert described["classes"][0]["name"] == "Cart"


def test_serve_says_what_is_wrong(tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    for arguments, said in (
        (["nothing_like_it", "--listen", "pipe://x"], "there is no module"),
        (["shop:Basket", "--listen", "pipe://x"], "has no 'Basket'"),
        (["shop:Iterator", "--listen", "pipe://x"], "no remote class"),
        (["shop", "--listen", "pipe:/x"], "is no URL"),
        (["shop", "--listen", "tcp://127.0.0.1:0"], "insecure=True"),
        (["json", "--listen", "pipe://x"], "no remote class"),
    ):
        done = run("serve", *arguments, cwd=tmp_path)
        assert done.returncode == 1, arguments
        assert said in done.stderr, done.stderr


def test_a_host_that_does_not_run_is_named():
    done = run("call", "pipe://nobody-here/x", "y")
    assert done.returncode == 1
    assert "no host listens there" in done.stderr


def test_the_version_is_told():
    assert run("--version").stdout.strip() == f"rpcx {rpcx.__version__}"


def test_wrong_usage_is_status_2():
    result = CliRunner().invoke(app, ["call"], env={**os.environ, "TERM": "dumb"})
    assert result.exit_code == 2
    assert CliRunner().invoke(app, ["call", "pipe://x", "y"]).exit_code == 2


def test_completion_can_be_installed():
    assert "--install-completion" in run("--help").stdout
