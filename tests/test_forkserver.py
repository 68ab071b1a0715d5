"""The fork server: real processes that become others. Numbers are users enough; nobody needs to know them by name."""

import contextlib
import importlib
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rpcx.errors import NotSent
from rpcx.forkserver import ForkServer
from rpcx.helper import User
from rpcx.impersonation import Helper

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not on Linux without root: only root can become other users")
ROOT = Path(__file__).parent.parent
HERE = "tests.test_forkserver"
ANN = User(61_001, 61_001, (61_001, 61_050), "ann", "/home/ann")
BEN = User(61_002, 61_002, (61_002,), "ben", "/home/ben")
WAIT_SECONDS = 10.0


def family() -> list[int]:
    """This process, and its parent."""
    return [os.getpid(), os.getppid()]


def groups() -> list[int]:
    return sorted(os.getgroups())


def tries_to_be_root() -> list[str]:
    """What came of it, and what the kernel says that this process may."""
    ways = [
        lambda: os.setuid(0), lambda: os.seteuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0),
        lambda: os.setresgid(0, 0, 0), lambda: os.setgroups([0]), lambda: os.kill(os.getppid(), signal.SIGKILL),
        lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
    ]  # fmt: skip
    said = []
    for way in ways:
        try:
            way()
            said.append("done")
        except OSError as error:
            said.append(type(error).__name__)
    status = Path("/proc/self/status").read_text().splitlines()
    return said + [line.split()[1] for line in status if line.startswith(("CapPrm", "CapEff", "CapAmb"))]


def chance() -> list[str]:
    """What should be nobody else's."""
    return [str(random.random()), secrets.token_hex(16), str(uuid.uuid4()), str(random.getrandbits(64))]


@pytest.fixture
def forks() -> Iterator[ForkServer]:
    names = [f"{HERE}:{each.__name__}" for each in (family, groups, tries_to_be_root, chance)]
    made = ForkServer(names)
    yield made
    made.close()


@contextlib.contextmanager
def helper(forks: ForkServer, user: User = ANN) -> Iterator[Helper]:
    made = Helper(user, forks)
    try:
        yield made
    finally:
        made.close()


def asked(of: Helper, function: str, module: str = HERE):
    return of.door.call(f"{module}:{function}", [], {})


def until(true) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children()


def files(pid: int) -> list[str]:
    kinds = [os.readlink(each).partition(":")[0] for each in Path(f"/proc/{pid}/fd").iterdir()]
    return sorted(kinds)


@needs_root
def test_a_helper_is_a_fork_and_no_new_interpreter(forks):
    with helper(forks, ANN) as first, helper(forks, BEN) as second:
        parents = {asked(each, "family")[1] for each in (first, second)}
        assert parents == {forks._process.pid}
        assert psutil.Process(forks._process.pid).ppid() == os.getpid()
        assert asked(first, "family")[0] == first._process.pid != second._process.pid


@needs_root
def test_a_helper_has_the_users_groups_and_cannot_be_root_again(forks):
    with helper(forks, ANN) as ann, helper(forks, BEN) as ben:
        assert asked(ann, "groups") == [61_001, 61_050]
        assert asked(ben, "groups") == [61_002]
        assert asked(ann, "tries_to_be_root") == ["PermissionError"] * 8 + ["0" * 16] * 3
        assert asked(ann, "family")[1] == forks._process.pid  # which lives


@needs_root
def test_the_fork_server_has_one_thread_and_keeps_nothing_of_what_it_makes(forks):
    with helper(forks):
        pid = forks._process.pid
        until(lambda: len(children(pid)) == 2)  # and the one that is ready
        before = files(pid)
    mine = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for user in (ANN, BEN, ANN, BEN, ANN):
        with helper(forks, user) as each:
            asked(each, "family")
    until(lambda: len(children(pid)) == 1)  # the others were waited for: none is a zombie
    until(lambda: files(pid) == before)
    assert len(before) == 5  # the standard ones, and what the helper that is ready reports by and is told from
    assert [before.count(each) for each in ("socket", "/dev/null", "pipe", "anon_inode")] == [1] * 4
    assert psutil.Process(pid).num_threads() == 1
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == mine


@needs_root
def test_a_helper_that_is_killed_is_gone_and_no_zombie(forks):
    with helper(forks) as made:
        process = psutil.Process(made._process.pid)
        process.kill()
        until(lambda: made.gone)
        _, alive = psutil.wait_procs([process], timeout=WAIT_SECONDS)  # a zombie would be alive
        assert not alive


@needs_root
def test_a_helper_that_does_not_end_by_itself_is_killed(forks):
    with helper(forks) as made:
        process = psutil.Process(made._process.pid)
        process.suspend()
        made.close()
        _, alive = psutil.wait_procs([process], timeout=WAIT_SECONDS)
        assert not alive
        assert made.gone


@needs_root
def test_a_fork_server_that_was_killed_is_replaced_and_its_helpers_end(forks):
    with helper(forks) as first:
        before = forks._process.pid
        ready = [each for each in children(before) if each.pid != first._process.pid]
        os.kill(before, signal.SIGKILL)
        until(lambda: first.gone)
        with helper(forks) as second:
            assert asked(second, "family")[1] == forks._process.pid != before
        assert all(each.status() == psutil.STATUS_ZOMBIE for each in ready if each.is_running())


@needs_root
def test_a_helper_that_dies_before_or_while_it_is_asked_for_costs_nobody_else_anything(forks):
    with helper(forks) as first:
        pid = forks._process.pid
        old = {first._process.pid}
        for _ in range(20):  # a dying one may still read what comes: it did, one time in six
            until(lambda: {each.pid for each in children(pid)} - old)
            (ready,) = {each.pid for each in children(pid)} - old
            os.kill(ready, signal.SIGKILL)
            with helper(forks, BEN) as second:
                assert asked(second, "family")[1] == pid == asked(first, "family")[1]
            old |= {ready, second._process.pid}


@needs_root
def test_why_there_is_no_helper_is_told_and_the_next_one_is_made(forks):
    nobody = User(-7, 61_001, (61_001,), "nobody", "/")
    with pytest.raises(NotSent, match="no helper for user -7: "):
        Helper(nobody, forks)
    pid = forks._process.pid
    with helper(forks) as made:
        assert asked(made, "family")[1] == pid


@needs_root
def test_what_is_left_to_chance_differs_between_helpers(forks):
    with helper(forks) as first, helper(forks) as second:
        said = asked(first, "chance"), asked(second, "chance"), chance()
        assert len({each for three in said for each in three}) == 12


BUSY = """
import os, threading, time
file = open(__file__)
threading.Thread(target=threading.Event().wait, daemon=True).start()
place = os.path.dirname(__file__)
if os.path.exists(place + "/refuse"):
    raise RuntimeError("not now")
with open(place + "/imports", "a") as counted:
    counted.write(".")

def state():
    return [os.getppid(), threading.active_count() > 3, file.read(4), os.getuid()]
"""


@pytest.fixture
def busy(tmp_path, monkeypatch) -> Path:
    """A module that keeps a thread and a file."""
    (tmp_path / "rpcxbusy.py").write_text(BUSY)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@needs_root
def test_a_module_that_starts_threads_is_imported_by_each_helper_for_itself(busy):
    forks = ForkServer(["rpcxbusy:state"])
    try:
        for user in (ANN, BEN):
            with helper(forks, user) as made:
                pid, thread, text, uid = asked(made, "state", "rpcxbusy")
                assert (pid, thread, text, uid) == (forks._process.pid, True, "\nimp", user.uid)
        assert psutil.Process(forks._process.pid).num_threads() == 1
    finally:
        forks.close()


@needs_root
def test_an_import_that_fails_in_a_helper_is_told_and_tried_again(busy):
    forks = ForkServer(["rpcxbusy:state"])
    try:
        with helper(forks) as made:
            pid = forks._process.pid
            until(lambda: (busy / "imports").read_text() == "...")  # by the fork server, this helper and the next
            (busy / "refuse").touch()
            with helper(forks, BEN), pytest.raises(NotSent, match="RuntimeError: not now"):
                Helper(BEN, forks)
            (busy / "refuse").unlink()
            with helper(forks, BEN) as again:
                assert asked(again, "state", "rpcxbusy")[0] == pid == asked(made, "state", "rpcxbusy")[0]
    finally:
        forks.close()


OWN = """
import rpcx

def begun():
    return as_users._forks._process is not None

as_users = rpcx.Impersonation([begun])
"""


@needs_root
def test_a_module_that_acts_as_others_itself_begins_no_second_fork_server_in_the_first(tmp_path, monkeypatch):
    (tmp_path / "rpcxown.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("rpcxown")
    with own.as_users:
        assert own.begun()
        with helper(own.as_users._forks) as made:
            assert asked(made, "begun", "rpcxown") is False


HOST = """
import os, sys, time
from rpcx.forkserver import ForkServer
from rpcx.impersonation import Helper
from tests.test_forkserver import ANN, HERE, asked, children, helper, until
forks = ForkServer([HERE + ":family"])
first = Helper(ANN, forks)
until(lambda: len(children(forks._process.pid)) == 2)
"""
KEEPING = """
from rpcx.errors import NotSent
from rpcx.forkserver import ForkServer
from rpcx.helper import prctl
from rpcx.impersonation import Helper
from tests.test_forkserver import ANN
prctl(28, 4)  # PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP: capabilities outlive a change of user
forks = ForkServer([])
try:
    Helper(ANN, forks)
except NotSent as error:
    print(error)
forks.close()
"""
KILLED = "print(forks._process.pid, *(each.pid for each in children(forks._process.pid)), flush=True); time.sleep(60)"
FORKED = """
before = asked(first, "family")
child = os.fork()
if child == 0:
    try:
        with helper(forks) as mine:
            assert asked(mine, "family")[1] == forks._process.pid != before[1]
        forks.close()
        print("done", flush=True)
    finally:
        os._exit(0)
os.waitpid(child, 0)
print(asked(first, "family") == before and not first.gone)
first.close()
forks.close()
"""


@needs_root
def test_a_host_that_is_killed_leaves_neither_fork_server_nor_helpers():
    host = subprocess.Popen([sys.executable, "-c", HOST + KILLED], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with host:
        others = [psutil.Process(int(each)) for each in host.stdout.readline().split()]
        assert len(others) == 3
        host.kill()
    _, alive = psutil.wait_procs(others, timeout=WAIT_SECONDS)
    assert all(each.status() == psutil.STATUS_ZOMBIE for each in alive)  # nobody may be there to reap it


@needs_root
def test_a_fork_of_the_host_has_a_fork_server_of_its_own_and_ends_nothing_of_the_hosts():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HOST + FORKED],
        capture_output=True, text=True, timeout=40, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.split() == ["done", "True"], done.stderr


@needs_root
def test_a_helper_that_could_be_root_again_is_none():
    done = subprocess.run(
        [sys.executable, "-c", KEEPING], capture_output=True, text=True, timeout=40, check=False, cwd=ROOT
    )
    assert "no helper for user 61001: PermissionError: root was given up and could be had again" in done.stdout


def test_a_fork_server_that_was_never_asked_ends_at_once_and_leaves_nothing(forks):
    forks.begin()
    process = psutil.Process(forks._process.pid)
    forks.close()
    assert not process.is_running()
