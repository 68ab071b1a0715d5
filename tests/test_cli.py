"""The command line: hosts in processes of their own; calls in this one, but where a signal or a pipe matters."""

import json
import os
import pty
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner, Result

import rpcx
from rpcx.cli import _argument, _arguments, app
from rpcx.security.identity import own_identity
from rpcx.security.tokens import issue
from rpcx.terminal import visible
from tests.security.pair import user

COMMAND = (sys.executable, "-m", "rpcx.cli")

SHOP = '''
import datetime, time
from collections.abc import Iterator

import rpcx
from rpcx import Lease as NotOurs

@rpcx.singleton("shop")
class Shop:
    """Sells [red]things[/red]."""
    def __init__(self): self._open = True
    def price(self, item: str, count: int = 1) -> float:
        """What it costs.

        A second paragraph.
        """
        return 2.5 * count
    def items(self, n: int) -> Iterator[str]:
        yield from (f"item {i}" for i in range(n))
    def rows(self) -> Iterator[dict[str, int]]:
        yield {f"column{i}": i for i in range(20)}
    def clock(self) -> Iterator[int]:
        for tick in range(1_000_000):
            yield tick
            time.sleep(0.01)
    @property
    def is_open(self) -> bool: return self._open
    @is_open.setter
    def is_open(self, value: bool) -> None: self._open = value
    @property
    def size(self) -> int: return 3
    @rpcx.oneway
    def note(self, line: str) -> None: pass
    def cart(self) -> "Cart": return Cart()
    def greeter(self): return lambda: "hello"
    def echo(self, *args: object, **kwargs: object) -> object: return [list(args), kwargs]
    def odd(self) -> object: return {"raw": b"\\x00\\xff", "day": datetime.date(2020, 1, 2), "inf": float("inf")}
    def loud(self) -> str: return "\\x1b]0;owned\\x07[bold]:smile:"
    def boom(self): raise KeyError("no such thing")
    def shout(self): raise ValueError("first\\n\\x1b[2Jsecond")
    def sleep(self) -> None: time.sleep(20)

Alias = Shop

@rpcx.client_activated
class Cart:
    def add(self, item: str) -> int: return 1

@rpcx.remote
class OnlyReturned: pass
'''

HOSTED = """
import rpcx, shop
def rpcx_host(host):
    host.publish(shop.Shop(), "mine")
"""


def run(*arguments: str) -> Result:
    """In this process; not a terminal."""
    return CliRunner().invoke(app, list(arguments))


def said(*arguments: str) -> str:
    """What a command that works prints."""
    done = run(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout.rstrip("\n")


def refused(*arguments: str) -> str:
    """The one line of a command that does not."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("rpcx: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def process(*arguments: str, cwd: Path | None = None, **options: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=cwd, check=False, **options)


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A host, and as many of its URLs as it listens on; it must be ended by a signal."""
    command = [*COMMAND, "serve", *arguments, "--json"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, text=True, **streams) as server:
        try:
            yield server, [json.loads(server.stdout.readline())["url"] for _ in range(arguments.count("--listen"))]
        finally:
            server.kill()


def pipe_url() -> str:
    return f"pipe://shop-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the modules to serve are."""
    made = tmp_path_factory.mktemp("shop")
    (made / "shop.py").write_text(SHOP)
    (made / "hosted.py").write_text(HOSTED)
    (made / "broken.py").write_text("import sh\n")
    return made


@pytest.fixture(scope="module")
def shop(folder):
    """A served module; its URL. It listens on TCP too, and ends in good order when it is told to."""
    with serving(folder, "shop", "--listen", pipe_url()) as (server, (url,)):
        yield url
        server.send_signal(signal.SIGTERM)
        assert (server.wait(10), server.stderr.read()) == (0, "")


# --- serve ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_host_prints_where_it_listens_and_ends_in_good_order_by_signal(folder, number):
    listen = ("--listen", pipe_url(), "--listen", "tcp://127.0.0.1:0", "--insecure", "--formatter", "json")
    with serving(folder, "shop", *listen) as (server, (pipe, tcp)):
        assert not tcp.endswith(":0")
        assert said("call", f"{tcp}/shop", "price", "apple", "--insecure") == "2.5"
        assert "listens with --insecure" in refused("call", f"{tcp}/shop", "price", "apple")
        with rpcx.connect(pipe), pytest.raises(rpcx.ProtocolError):  # json was said, and nothing else
            rpcx.connect(pipe, formatters=["msgpack"])
        server.send_signal(number)
        assert (server.wait(10), server.stdout.read(), server.stderr.read()) == (0, "", "")
    assert "no host listens there" in refused("inspect", pipe)


def test_over_tcp_the_url_that_a_host_prints_is_all_there_is_to_say(folder):
    with serving(folder, "shop", "--listen", "tcp://127.0.0.1:0") as (_, (url,)):
        assert "?key=sha256:" in url
        assert said("call", f"{url}/shop", "price", "apple") == "2.5"
        assert "shop" in said("inspect", url)
        plain = url.partition("?")[0]
        assert said("call", f"{plain}/shop", "price", "apple") == "2.5"
        assert "expects TLS" in refused("call", f"{plain}/shop", "price", "apple", "--insecure")


def test_only_the_classes_that_are_named_are_served(folder):
    for names in (["shop", "Cart"], ["shop:Cart,Cart"]):
        with serving(folder, *names, "--listen", pipe_url()) as (_, (url,)):
            described = json.loads(said("inspect", url, "--json"))
            assert [entry["name"] for entry in described["classes"]] == ["Cart"]
            assert described["objects"] == []


def test_a_module_may_register_and_publish_by_itself(folder):
    with serving(folder, "hosted", "--listen", pipe_url()) as (_, (url,)):
        assert said("call", f"{url}/mine", "price", "apple") == "2.5"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing_like_it"], "there is no module 'nothing_like_it' here or installed"),
        (["shop.py"], "'shop.py' is a file; give the module's name, as in: rpcx serve shop"),
        (["broken"], "broken cannot be imported: ModuleNotFoundError: No module named 'sh'"),
        (["shop:Basket"], "shop has no 'Basket'"),
        (["shop:Iterator"], "is no remote class"),
        (["json"], "defines no remote class"),
        (["shop", "--formatter", "yaml"], "no formatter 'yaml' is installed"),
        (["shop", "--listen", "pipe:/x"], "is no URL"),
        (["shop", "--listen", "bogus://x"], "no channel 'bogus' is installed"),
        (["shop", "--listen", "tcp://0.0.0.0:0", "--insecure"], "leave out --insecure"),
    ],
)
def test_serve_says_in_one_line_what_is_wrong(folder, monkeypatch, arguments, words):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = signal.getsignal(signal.SIGTERM)
    assert words in refused("serve", "--listen", pipe_url(), *arguments)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_port_in_use_is_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with rpcx.Host() as host:
        url = host.listen("tcp://127.0.0.1:0", insecure=True)
        assert f"port {url.rpartition(':')[2]} is in use" in refused("serve", "shop", "--listen", url, "--insecure")


# --- call -------------------------------------------------------------------------------------------------------


def test_a_method_is_called_with_json_and_plain_words(shop):
    assert said("call", f"{shop}/shop", "price", "apple", "count=3") == "7.5"
    assert said("call", f"{shop}/shop", "price", "apple", "--timeout", "9") == "2.5"
    words = ["-5", "true", "[1, {}]", "ann", '"5"', '"a=b"', "NaN", "n=1", "s=x=y", "--", "-Infinity", "--json"]
    expected = [[-5, True, [1, {}], "ann", "5", "a=b", "NaN", "-Infinity", "--json"], {"n": 1, "s": "x=y"}]
    assert json.loads(said("call", f"{shop}/shop", "echo", "--json", *words)) == expected


@given(word=st.text())
def test_any_word_is_an_argument_and_quotes_keep_it_a_text(word):
    _argument(word)
    assert _argument(json.dumps(word)) == word
    assert _arguments([json.dumps(word)]) == ([word], {})
    assert _arguments([f"name={json.dumps(word)}"]) == ([], {"name": word})


def test_a_property_is_read_and_set(shop):
    assert said("call", f"{shop}/shop", "is_open", "--json") == "true"
    assert said("call", f"{shop}/shop", "is_open=false") == ""
    assert said("call", f"{shop}/shop", "is_open") == "False"
    assert said("call", f"{shop}/shop", "is_open=true") == ""


def test_a_stream_is_printed_an_item_a_line(shop):
    assert said("call", f"{shop}/shop", "items", "3").splitlines() == ["item 0", "item 1", "item 2"]
    assert said("call", f"{shop}/shop", "items", "2", "--json").splitlines() == ['"item 0"', '"item 1"']
    assert said("call", f"{shop}/shop", "rows").count("\n") == 0  # however wide


def test_an_interrupt_ends_a_stream_as_it_should_end(shop):
    with subprocess.Popen([*COMMAND, "call", f"{shop}/shop", "clock"], stdout=subprocess.PIPE, text=True) as caller:
        assert [caller.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
        caller.send_signal(signal.SIGINT)
        assert caller.wait(10) == 0


def test_a_reader_may_leave_before_the_end(shop):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, "call", f"{shop}/shop", "clock"], text=True, **streams) as caller:
        caller.stdout.readline()
        caller.stdout.close()
        assert (caller.wait(10), caller.stderr.read()) == (1, "")


def test_what_json_lacks_is_written_readably(shop):
    text = said("call", f"{shop}/shop", "odd", "--json")
    assert json.loads(text) == {"raw": {"$bytes": "AP8="}, "day": {"$date": "2020-01-02"}, "inf": {"$float": "inf"}}
    assert "datetime.date(2020, 1, 2)" in said("call", f"{shop}/shop", "odd")


def test_a_remote_object_is_shown_as_its_contract_and_id(shop):
    assert said("call", f"{shop}/shop", "cart").startswith("Cart, id Cart/")
    assert said("call", f"{shop}/shop", "greeter").startswith("function, id function/")
    reference = json.loads(said("call", f"{shop}/shop", "cart", "--json"))["$ref"]
    assert reference[0].startswith("Cart/")
    assert reference[1] == ["Cart"]


def test_a_text_reaches_a_program_as_it_is_and_a_terminal_without_controls(shop):
    assert said("call", f"{shop}/shop", "loud") == "\x1b]0;owned\x07[bold]:smile:"
    ours, theirs = pty.openpty()
    try:
        subprocess.run([*COMMAND, "call", f"{shop}/shop", "loud"], stdout=theirs, timeout=30, check=True)
        assert os.read(ours, 1000) == b"\\x1b]0;owned\\x07[bold]:smile:\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


@given(text=st.text(max_size=50))
def test_nothing_visible_commands_a_terminal(text):
    shown = visible(text)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown if char not in "\t\n")
    assert visible(shown) == shown


def test_nothing_is_printed_for_nothing(shop):
    assert said("call", f"{shop}/shop", "note", "x") == ""
    assert said("call", f"{shop}/shop", "note", "x", "--json") == "null"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shop", "boom"], "rpcx: KeyError: 'no such thing'"),
        (["shop", "shout"], "rpcx: ValueError: first \\x1b[2Jsecond"),
        (["shop", "nope"], "no remote method 'nope' (it has:"),
        (["none", "x"], "no such object"),
        (["shop", "price", "apple", "many"], "argument 'count'"),
        (["shop", "price"], "missing a required argument: 'item'"),
        (["shop", "size=4"], "size is no property that can be set"),
        (["shop", "price=4"], "price is no property that can be set"),
        (["shop", "size", "4"], "size is a property"),
        (["shop", "is_open=true", "4"], "is_open is a property"),
        (["shop", "sleep", "--timeout", "0.2"], "Allow more with --timeout SECONDS"),
    ],
)
def test_what_goes_wrong_is_one_clear_line(shop, arguments, words):
    assert words in refused("call", f"{shop}/{arguments[0]}", *arguments[1:])


def test_verbose_shows_the_remote_traceback_too(shop):
    done = run("call", "-v", f"{shop}/shop", "boom")
    assert done.exit_code == 1
    assert "Remote traceback" in done.stderr
    assert 'raise KeyError("no such thing")' in done.stderr
    assert done.stderr.splitlines()[-1] == "rpcx: KeyError: 'no such thing'"


def test_a_host_that_does_not_run_is_named():
    assert "no host listens there" in refused("call", "pipe://nobody-here/x", "y")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["call"], "Missing argument"),
        (["call", "pipe://x", "y"], "which object?"),
        (["call", "pipe://x/y", "z", "--timeuot=3"], "no option --timeuot=3"),
        (["call", "pipe://x/y", "z", "-x"], "no option -x"),
        (["call", "pipe://x/y", "z", "--timeout", "0"], "--timeout"),
        (["serve", "shop"], "--config FILE"),
        (["inspect"], "Missing argument"),
    ],
)
def test_wrong_usage_is_status_2(arguments, words):
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr


def test_a_keyword_given_twice_is_wrong_usage(shop):
    assert run("call", f"{shop}/shop", "echo", "a=1", "a=2").exit_code == 2


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """A host that admits nobody without a token; its URL, and where this user's token belongs."""
    with user(tmp_path / "keys"):
        monkeypatch.setenv("RPCX_HOME", str(tmp_path / "keys"))
        host = rpcx.Host(authenticators=["token"])
        host.publish(Till(), "till", allow=["teller"])
        url = host.listen(pipe_url())
        with host:
            yield url, tmp_path / "keys" / "token"


@rpcx.remote
class Till:
    """Counts."""

    def total(self) -> int:
        return 5


def test_call_and_inspect_prove_who_one_is(guarded):
    url, token = guarded
    assert "token" in refused("call", f"{url}/till", "total")  # what the host wants
    assert "there is no token" in refused("call", f"{url}/till", "total", "--authenticator", "token")
    own = own_identity().fingerprint
    token.write_text(issue("ann", own, 600, roles=frozenset({"teller"}), holder=own))
    token.chmod(0o600)
    assert said("call", f"{url}/till", "total", "--authenticator", "token") == "5"
    assert "till Till published" in said("inspect", url, "--authenticator", "token")
    assert "no authenticator 'tokn'" in refused("inspect", url, "--authenticator", "tokn")


# --- inspect ----------------------------------------------------------------------------------------------------


def test_inspect_shows_what_a_host_offers(shop):
    lines = [line.strip("├─└│ ") for line in said("inspect", shop).splitlines()]
    assert "shop Shop singleton" in lines
    assert "Sells [red]things[/red]." in lines
    assert "price(item: str, count: int = 1) -> float  What it costs." in lines
    assert "is_open -> bool  (property, settable)" in lines
    assert "size -> int  (property)" in lines
    assert "note(line: str) -> None  (one-way)" in lines
    assert "echo(*args: object, **kwargs: object) -> object" in lines
    assert any(line.startswith("items(n: int)") and line.endswith("(stream)") for line in lines)
    assert "Cart clients make instances" in lines
    assert not any("OnlyReturned" in line or "is_open.set" in line for line in lines)


def test_inspect_shows_live_leases(shop):
    with rpcx.connect(shop) as server:
        reference = server.call("shop", rpcx.remoting.proxy.dynamic_method("cart"), [], {})
        rows = [line for line in said("inspect", shop).splitlines() if "Cart/" in line]
        assert len(rows) == 1
        assert "ACTIVE" in rows[0]
        lease = json.loads(said("inspect", shop, "--json"))["leases"][0]
        assert lease["uri"] in repr(reference)
        assert 0 < lease["remaining"] <= 300


def test_inspect_gives_the_description_itself_as_json(shop):
    described = json.loads(said("inspect", shop, "--json"))
    assert described["objects"][0]["uri"] == "shop"
    assert [entry["name"] for entry in described["classes"]] == ["Cart"]


# --- the program itself -----------------------------------------------------------------------------------------


def test_the_version_is_told():
    assert said("--version") == f"rpcx {rpcx.__version__}"


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(name, command) of what a group offers, at any depth."""
    if not hasattr(group, "commands"):
        yield name, group
        return
    for own, each in group.commands.items():
        yield from commands(each, f"{name} {own}")


def test_every_command_can_print_json():
    offered = [*commands(get_command(app), "rpcx")]
    for point in entry_points(group="rpcx.commands"):
        if point.value.startswith("rpcx."):
            offered += commands(get_command(point.load()), f"rpcx {point.name}")
    assert len(offered) > 30
    assert [name for name, each in offered if not any("--json" in option.opts for option in each.params)] == []


def test_completion_can_be_installed():
    assert "--install-completion" in process("--help").stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("rpcx ser", ["serve", "service"]), ("rpcx names l", ["list", "lookup"]), ("rpcx call --time", ["--timeout"])],
)
def test_a_shell_completes_commands_and_options(typed, offered):
    asked = {"_RPCX_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [Path(sys.executable).with_name("rpcx")],
        env={**os.environ, **asked}, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.split() == offered


def test_plug_ins_add_commands_and_a_broken_one_is_left_out(tmp_path):
    (tmp_path / "greeting.py").write_text(
        "import typer\napp = typer.Typer()\n@app.command()\ndef hello(): print('hello')\n"
    )
    info = tmp_path / "greeting-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[rpcx.commands]\nbroken = nowhere:app\ngreet = greeting:app\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = process("greet", env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert done.stderr.startswith("rpcx: the command broken (nowhere:app) is left out: ModuleNotFoundError")


def test_the_library_does_not_load_the_command_line():
    code = "import sys, rpcx; print([name for name in ('typer', 'rich', 'rpcx.cli') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
