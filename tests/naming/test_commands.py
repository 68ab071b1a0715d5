"""``rpcx names``: a directory as a process, and what shows it."""

import json
import os
import subprocess
import sys

import Pyro5.api
import Pyro5.core
import pytest

import rpcx

COMMAND = (sys.executable, "-m", "rpcx.cli", "names")


@rpcx.singleton("bank", allow={"*"})
class Bank:
    def total(self) -> int:
        return 42


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("RPCX_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("NO_COLOR", "1")
    words = ["serve", "--pyro", "127.0.0.1:0", "--file", str(tmp_path / "names.db"), "--lease", "5"]
    started = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "listening on pipe://names\n"
    yield started.stdout.readline().rpartition(" ")[2].strip()
    started.terminate()
    assert started.wait(10) == 0
    started.stdout.close()


def run(*words: str, status: int = 0) -> str:
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout if not status else done.stderr


def test_names_are_listed_looked_up_and_removed_and_pyro5_programs_see_them(place):
    host = rpcx.Host()
    host.register(Bank, name="shop/bank", tags={"region": "eu"})
    host.listen("pipe://b")
    port = host.listen("pyro://127.0.0.1:0")
    with host:
        while "shop/bank" not in run("list"):
            pass
        (row,) = json.loads(run("list", "shop/", "--tag", "region=eu", "--json"))
        assert row == {
            "name": "shop/bank", "urls": ["pipe://b/bank", f"{port}/bank"], "tags": {"region": "eu"}, "owner": "owner",
        }  # fmt: skip
        assert json.loads(run("list", "--tag", "region=us", "--json")) == []
        assert run("lookup", "shop/bank").splitlines() == row["urls"]
        where, pyro_port = place.rsplit(":", 1)
        with Pyro5.core.locate_ns(where, int(pyro_port)) as names:
            assert list(names.list(prefix="shop/")) == ["shop/bank"]
            with Pyro5.api.Proxy(names.lookup("shop/bank")) as bank:
                assert bank.total() == 42
            names.register("elder", "PYRO:thing@127.0.0.1:1")
        assert run("lookup", "elder").strip() == "pyro://127.0.0.1:1/thing"
        assert json.loads(run("remove", "shop/bank", "--json")) == {"name": "shop/bank"}
        assert "nobody has the name" in run("lookup", "shop/bank", status=1)


def test_mistakes_are_told_in_one_line(tmp_path):
    environment = {**os.environ, "RPCX_RUNTIME_DIR": str(tmp_path)}
    tmp_path.chmod(0o700)

    def fails(*words: str) -> str:
        done = subprocess.run(
            [*COMMAND, *words], env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 1, done.stdout
        return done.stderr

    assert "loopback only" in fails("serve", "--pyro", "0.0.0.0:9090")
    assert "pipe://names" in fails("list")
    assert fails("list").count("\n") == 1
