"""``name://``: hosts that announce themselves and clients that find them, in real processes over real channels."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rpcx
from rpcx.naming.directory import Found, Names, serve
from rpcx.naming.place import machine
from rpcx.naming.resolver import reachable

HOST = """
import sys
import rpcx

@rpcx.singleton("bank")
class Bank:
    def total(self) -> int:
        return int(sys.argv[2])

host = rpcx.Host()
host.register(Bank, name="shop/bank", tags={"region": "eu"})
host.listen(sys.argv[1])
host.listen("tcp://127.0.0.1:0", insecure=True)
with host:
    print("ready", flush=True)
    host.wait()
"""


@rpcx.singleton("bank")
class Bank:
    def total(self) -> int:
        return 1


@pytest.fixture
def place(tmp_path, monkeypatch) -> str:
    """Where this test's directory is."""
    monkeypatch.setenv("RPCX_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("RPCX_NAMES", "pipe://dir")
    return "pipe://dir"


@pytest.fixture
def directory(place) -> Iterator[Names]:
    names = Names({})
    host = rpcx.Host(grace=0.2)
    serve(names, host, lease=1.5)
    host.listen(place)
    with host:
        yield names


def program(code: str, *words: str) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert started.stdout is not None
    assert started.stdout.readline().strip() == "ready"
    return started


def ended(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> int:
    """End a process in this way; its exit status."""
    process.send_signal(number)
    status = process.wait(10)
    assert process.stdout is not None
    process.stdout.close()
    return status


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.01)


def known(names: Names) -> list[str]:
    return [found.name for found in names.find("", {})]


def test_a_host_is_found_while_it_runs_and_no_longer(directory):
    host = rpcx.Host()
    host.register(Bank, name="shop/bank", tags={"region": "eu"})
    host.publish(Bank(), "second", name="shop/second")
    pipe, tcp = host.listen("pipe://here"), host.listen("tcp://127.0.0.1:0", insecure=True)
    host.listen("inproc://hidden")
    assert known(directory) == []
    with host:
        until(lambda: len(known(directory)) == 2)
        found = directory.look_up("shop/bank")
        assert found.urls == [f"{pipe}/bank", f"{tcp}/bank"]
        assert (found.tags, found.owner, found.machine) == ({"region": "eu"}, "owner", machine())
        assert rpcx.get("name://shop/bank", Bank).total() == 1
        with rpcx.connect("name://shop/second") as server:
            assert server.get(Bank).total() == 1
            assert server.address.scheme == "pipe", "the nearest"
    until(lambda: known(directory) == [])
    with pytest.raises(rpcx.ObjectNotFound, match="nobody has the name 'shop/bank'"):
        rpcx.get("name://shop/bank", Bank)


def test_a_host_in_a_loop_and_an_async_client(directory):
    async def main() -> None:
        host = rpcx.Host()
        host.register(Bank, name="bank")
        host.listen("pipe://loop")
        async with host:
            while not known(directory):
                await asyncio.sleep(0.01)
            async with rpcx.aio.connect("name://bank") as server:
                assert await rpcx.aio.call(server.get(Bank).total) == 1

    asyncio.run(main())
    until(lambda: known(directory) == [])


def test_a_host_that_is_killed_vanishes_and_its_heir_takes_the_name(directory):
    first = program(HOST, "pipe://first", "1")
    until(lambda: known(directory))
    assert rpcx.get("name://shop/bank", Bank).total() == 1
    second = program(HOST, "pipe://second", "2")
    until(lambda: "pipe://second/bank" in directory.look_up("shop/bank").urls)
    ended(second)
    until(lambda: known(directory) == [])
    ended(first)


def test_a_host_that_is_silent_vanishes_with_its_lease_and_is_back_when_it_speaks_again(directory):
    host = program(HOST, "pipe://silent", "3")
    until(lambda: known(directory))
    host.send_signal(signal.SIGSTOP)  # its connection stands
    until(lambda: known(directory) == [])
    host.send_signal(signal.SIGCONT)
    until(lambda: finds() == 3)
    ended(host)


def test_a_directory_that_is_killed_is_told_anew(place, tmp_path):
    def started() -> subprocess.Popen[str]:
        words = ["names", "serve", "--listen", place, "--file", str(tmp_path / "names.db"), "--lease", "3"]
        made = subprocess.Popen([sys.executable, "-m", "rpcx.cli", *words], stdout=subprocess.PIPE, text=True)
        assert made.stdout is not None
        assert "listening on" in made.stdout.readline()
        return made

    directory = started()
    host = program(HOST, "pipe://kept", "7")
    until(lambda: finds() == 7)
    ended(directory)
    with pytest.raises(rpcx.NotSent, match="rpcx names serve"):
        rpcx.get("name://shop/bank", Bank)
    directory = started()
    assert finds() == 7, "its storage knows"
    time.sleep(3.2)  # the lease of what was found there
    assert finds() == 7, "the host entered it again"
    ended(host)
    assert ended(directory, signal.SIGTERM) == 0


def finds() -> int:
    try:
        return rpcx.get("name://shop/bank", Bank).total()
    except rpcx.ObjectNotFound:
        return 0


def test_what_does_not_answer_is_passed_over(directory):
    host = rpcx.Host()
    host.register(Bank)
    url = host.listen("tcp://127.0.0.1:0", insecure=True)
    with host:
        directory.enter(1, Found("bank", ["pipe://nobody/bank", f"{url}/bank"], {}, "owner", machine(), os.getuid()))
        assert rpcx.get("name://bank", Bank, insecure=True).total() == 1
    directory.enter(1, Found("gone", ["pipe://nobody/x", "pipe://neither/x"], {}, "owner", machine(), os.getuid()))
    with pytest.raises(rpcx.NotSent, match="answers at none of its places"):
        rpcx.connect("name://gone")


def test_pipes_lead_nowhere_from_another_machine():
    far = Found("x", ["pipe://a/x", "tcp://far:1/x"], machine="far")
    assert reachable(far) == ["tcp://far:1/x"]
    near = Found("x", ["pyro://h:2/x", "tcp://h:1/x", "pipe://a/x"], machine=machine(), uid=os.getuid() + 1)
    assert reachable(near) == [f"pipe://a/x?user={os.getuid() + 1}", "tcp://h:1/x", "pyro://h:2/x"]


def test_a_name_that_leads_nowhere_from_here_says_so(directory):
    directory.enter(1, Found("far", ["pipe://a/x"], {}, "owner", "far"))
    with pytest.raises(rpcx.NotSent, match="is on another machine"):
        rpcx.connect("name://far")


def test_the_directory_that_is_not_there_is_named(place):
    with pytest.raises(rpcx.NotSent, match="the directory of names is not there"):
        rpcx.connect("name://bank")
    host = rpcx.Host()
    host.register(Bank, name="bank")
    host.listen("pipe://alone")
    with host:
        assert rpcx.get("pipe://alone/bank", Bank).total() == 1, "the host serves all the same"


def test_names_that_cannot_be_announced(place):
    host = rpcx.Host()
    host.register(Bank, name="bank")
    with pytest.raises(ValueError, match="has it already"):
        host.publish(Bank(), "other", name="bank")
    with pytest.raises(ValueError, match="is no name"):
        host.publish(Bank(), "third", name="no name")
    with pytest.raises(ValueError, match="no plug-in announces"):
        host.publish(Bank(), "fourth", name="PYRO:x@h:1")
    with pytest.raises(TypeError, match="one class at a time"):
        host.register(name="x")
    host.close()


def test_another_directory_stands_in_its_place():
    class Phone:
        said: list = []

        def resolve(self, name, timeout, *, insecure=False):
            return [f"inproc://{name.partition(':')[2]}/bank"]

        def place(self, name):
            return "book"

        def announce(self, name, offers):
            Phone.said += [(offer.name, list(offer.urls), dict(offer.tags)) for offer in offers()]
            return self

        def close(self):
            Phone.said.append("closed")

    from rpcx import plugins

    plugins.register(plugins.RESOLVERS, "phone", Phone)
    host = rpcx.Host()
    host.register(Bank, name="phone:rings", tags={"a": "b"})
    host.listen("inproc://rings")
    with host:
        assert rpcx.get("phone:rings", Bank).total() == 1
    assert Phone.said == [("phone:rings", ["inproc://rings/bank"], {"a": "b"}), "closed"]
