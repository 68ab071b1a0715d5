"""Hosts from files: what is in one holds, and what is wrong in one is told with its key."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import rpcx
from rpcx.config import load, schema
from rpcx.errors import AccessDenied

SERVICE = """
import rpcx

@rpcx.singleton("bank", allow={"staff"})
class Bank:
    def balance(self) -> int:
        return 5
    def close_day(self) -> str:
        return "closed"

@rpcx.client_activated
class Account:
    def owner(self) -> str:
        return "ann"

class Plain: ...

raise_when_run = 1
"""

WHOLE = """
allow = ["guests"]
formatters = ["json"]
grace = 5
custom_errors = true

[audit]
file = "audit.log"
chain = true

[limits]
message = 100_000
in_flight = 7

[quotas]
per_principal = 9

[admission]
strangers = 11

[lease]
initial = 77

[[objects]]
class = "configured_bank:Bank"
name = "savings"
allow = ["tellers", "principal:ann"]
methods = { close_day = ["ops"] }

[[objects]]
class = "configured_bank:Account"

[[channels]]
url = "inproc://configured"

[[channels]]
url = "tcp://127.0.0.1:0"
insecure = true
"""


@pytest.fixture
def directory(tmp_path, monkeypatch) -> Path:
    (tmp_path / "configured_bank.py").write_text(SERVICE)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("configured_bank", None)
    return tmp_path


def write(directory: Path, text: str) -> Path:
    file = directory / "app.toml"
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_all_that_a_file_says_holds(directory):
    with rpcx.Host.from_config(write(directory, WHOLE)) as host:
        import configured_bank

        realm = host._realm
        assert [url.partition(":")[0] for url in host.urls] == ["inproc", "tcp"]
        assert list(realm._formatters) == ["json"]
        assert (realm._limits.message, realm._limits.in_flight) == (100_000, 7)
        assert realm.table.manager.quotas == rpcx.Quotas(per_principal=9)
        assert host._doorkeeper._guard.rules == rpcx.Admission(strangers=11)
        assert realm._custom_errors
        rules = realm.table.find("savings").rules
        assert rules == {"balance": {"tellers", "principal:ann"}, "close_day": {"ops"}}
        with rpcx.connect(host.urls[0], formatters=("json",)) as server:
            assert server.get(configured_bank.Bank, "savings").balance() == 5
            account = server.create(configured_bank.Account)
            assert 70 < rpcx.lease(account).remaining <= 77
    said = [json.loads(line)["event"] for line in (directory / "audit.log").read_text().splitlines()]
    assert said[:2] == ["listen", "listen"]
    assert {"auth-ok", "create"} <= set(said)


BOUNDS = """
[limits]
write_cap = 1_000_000
oneways = 50
longest_call = 60
session = 3_600.5
frame_seconds = 5
[quotas]
callbacks = 7
longest_renewal = 600
[admission]
longest_penalty = 0
"""


def test_every_kind_of_bound_can_be_set(directory):
    with rpcx.Host.from_config(write(directory, BOUNDS + SMALL)) as host:
        most = {name: bound.most for name, bound in host.bounds().items()}
    assert most["limits.write_cap"] == 1_000_000
    assert most["limits.oneways"] == 50
    assert (most["limits.longest_call"], most["limits.session"], most["limits.frame_seconds"]) == (60, 3600.5, 5)
    assert (most["quotas.callbacks"], most["quotas.longest_renewal"]) == (7, 600)
    assert most["admission.longest_penalty"] == 0


@pytest.mark.parametrize(("line", "complaint"), [
    ("[limits]\nlongest_call = 0", r"limits: .*longest_call=0.*seconds above 0"),
    ("[limits]\nsession = -1", r"limits: .*session=-1"),
    ("[limits]\nwrite_cap = 0", r"limits: .*write_cap=0"),
    ("[quotas]\ncallbacks = 0", r"quotas: .*callbacks=0"),
    ("[quotas]\nlongest_renewal = inf", r"quotas: .*longest_renewal=inf"),
    ("[admission]\nlongest_penalty = -1", r"admission: .*longest_penalty=-1"),
    ('[audit]\nfile = "x"\nsync = "sometimes"', r"audit\.sync"),
])  # fmt: skip
def test_a_bound_that_makes_no_sense_is_told(directory, line, complaint):
    with pytest.raises(ValueError, match=complaint):
        rpcx.Host.from_config(write(directory, line + "\n" + SMALL))


SMALL = '[[objects]]\nclass = "configured_bank:Bank"\n[[channels]]\nurl = "inproc://small"\n'


def test_what_is_not_said_is_as_ever(directory):
    with rpcx.Host.from_config(write(directory, SMALL)) as host:
        assert host._realm.table.find("bank").rules["balance"] == {"staff"}
        assert list(host._realm._formatters) == ["msgpack", "json"]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ("alow = ['x']\n" + SMALL, r"app\.toml: alow: there is no such key"),
        (SMALL + "alow_uids = [5]\n", r"channels\[0\]\.alow_uids: there is no such key"),
        (SMALL.replace("[[channels]]\nurl", "[[channel]]\nurl"), r"channels: it is missing"),
        ("grace = 'long'\n" + SMALL, r"grace: Input should be a valid number"),
        ("grace = -1\n" + SMALL, r"grace: .*greater than or equal to 0"),
        ("custom_errors = 1\n" + SMALL, r"custom_errors: Input should be a valid boolean"),
        ("allow = 'ops'\n" + SMALL, r"allow: Input should be a valid list"),
        ("allow = ['a b']\n" + SMALL, r"allow: .*'a b' is no word of a rule"),
        (SMALL.replace("inproc://small", "nothing"), r"channels\[0\]\.url: 'nothing' is no URL"),
        (SMALL.replace(":Bank", ""), r"objects\[0\]\.class: "),
        (SMALL.replace(":Bank", ":Nobody"), r"objects\[0\]\.class: configured_bank has no class Nobody"),
        (SMALL.replace(":Bank", ":Plain"), r"objects\[0\]\.class: .*is no remote class: Plain"),
        (SMALL.replace("configured_bank:", "nowhere:"), r"objects\[0\]\.class: nowhere cannot be imported"),
        (SMALL.replace('Bank"\n', 'Bank"\nmethods = { nil = ["x"] }\n'), r"objects\[0\]: .*no remote method 'nil'"),
        (SMALL.replace('Bank"\n', 'Account"\nname = "x"\n'), r"objects\[0\]: .*it has no uri"),
        ("[limits]\nmessage = 5\n" + SMALL, r"limits: Limits\(message=5\)"),
        ("[limits]\nmesage = 5\n" + SMALL, r"limits\.mesage: there is no such key"),
        ("[lease]\ninitial = 0\n" + SMALL, r"lease: Lease\(initial=0"),
        ("[quotas]\nper_host = 0\n" + SMALL, r"quotas: Quotas\(per_host=0"),
        ("[admission]\nstrangers = 0\n" + SMALL, r"admission: Admission\(strangers=0"),
        ("allow_from = ['here']\n" + SMALL, r"allow_from: .*'here' is no network"),
        (SMALL + "allow_from = ['here']\n", r"channels\[0\]\.allow_from: .*'here' is no network"),
        (SMALL + "allow_uids = ['nobody-of-this-name']\n", r"channels\[0\]: .*are for pipe://"),
        (SMALL.replace("inproc://", "pipe://") + "allow_uids = ['nobody-of-this-name']\n", r"channels\[0\]: .*no user"),
        ("objects = 5 5", r"app\.toml: it is no TOML: "),
        ("", r"objects: it is missing\n.*channels: it is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_and_key(directory, changed, complaint):
    with pytest.raises(ValueError, match=complaint):
        rpcx.Host.from_config(write(directory, changed))


def test_channel_rules_hold_for_files_too(directory):
    file = write(directory, SMALL.replace("inproc://small", "tcp://0.0.0.0:0") + "insecure = true\n")
    with pytest.raises(AccessDenied, match=r"channels\[0\]: .*no loopback address"):
        rpcx.Host.from_config(file)


def test_a_file_that_everybody_may_write_is_refused(directory):
    file = write(directory, SMALL)
    file.chmod(0o666)
    with pytest.raises(AccessDenied, match="chmod o-w"):
        load(file)


def test_a_file_that_is_none_is_told(directory):
    with pytest.raises(FileNotFoundError):
        load(directory / "none.toml")
    (directory / "big.toml").write_bytes(b"#" * (2 << 20))
    (directory / "big.toml").chmod(0o600)
    with pytest.raises(ValueError, match="is it a configuration"):
        load(directory / "big.toml")


def test_a_failed_start_leaves_no_door_open(directory):
    text = SMALL + '[[channels]]\nurl = "tcp://0.0.0.0:0"\ninsecure = true\n'
    for _ in range(2):  # were the first door still open, the second try would find it taken
        with pytest.raises(AccessDenied, match=r"channels\[1\]"):
            rpcx.Host.from_config(write(directory, text))


def test_modules_named_are_imported_and_nothing_else_is_run(directory):
    """In a process that notes what it imports and executes."""
    program = """
import os, sys
import rpcx
import rpcx.config
noted = []
def hook(event, args):
    if event == "exec" and args[0].co_filename.startswith(os.getcwd()) and args[0].co_name == "<module>":
        noted.append(os.path.basename(args[0].co_filename))
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.fork"):
        noted.append(event)
sys.addaudithook(hook)
rpcx.Host.from_config(sys.argv[1]).close()
print(noted)
"""
    file = write(directory, SMALL)
    (directory / "other.py").write_text("1 / 0")
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        cwd=directory, env=None, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert done.stdout == "['configured_bank.py']\n"


def test_the_form_is_a_json_schema():
    form = schema()
    assert form["additionalProperties"] is False
    assert {"objects", "channels", "audit", "limits", "lease", "allow"} <= set(form["properties"])
    assert form["$defs"]["ObjectPart"]["required"] == ["class"]
    assert "in_flight" in form["$defs"]["Limits"]["properties"]
    json.dumps(form)


def test_a_file_can_be_served_from_the_command_line(directory):
    file = write(directory, SMALL.replace("inproc://small", "pipe://configured"))
    command = [sys.executable, "-m", "rpcx.cli", "serve", "--config", str(file), "--json"]
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(process.stdout.readline())["url"]
        assert url == "pipe://configured"
        with rpcx.connect(url) as server:
            import configured_bank

            assert server.get(configured_bank.Bank).balance() == 5
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
