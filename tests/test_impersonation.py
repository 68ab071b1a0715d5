"""Acting as the caller: users that are others in truth, and processes that really switch."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import rpcx
from rpcx import context
from rpcx.abc import PeerFacts
from rpcx.channels import shared

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not on Linux without root: only root can become other users")
ROOT = Path(__file__).parent.parent
ANN, BOB = (f"rpcx{os.getpid()}{name}" for name in ("ann", "bob"))  # another run, or worker, has its own


def identity() -> dict[str, object]:
    """What this process is, asked inside of it."""
    status = Path("/proc/self/status").read_text()
    files = [
        os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{n}")
    ]
    return {
        "uids": list(os.getresuid()), "gids": list(os.getresgid()), "groups": sorted(os.getgroups()),
        "pid": os.getpid(),
        "locked": "NoNewPrivs:\t1" in status, "cwd": os.getcwd(),
        "home": os.environ["HOME"], "user": os.environ["USER"],
        "secret": os.environ.get("RPCX_HOME"), "files": files,
    }  # fmt: skip


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Serving:
    """A call under way, for `rpcx.context`."""

    deadline = None
    depth = 0

    def __init__(self, facts: PeerFacts) -> None:
        self.peer = facts


@pytest.fixture
def calling():
    tokens = []

    def call(uid, channel="pipe", principal=None):
        tokens.append(context.serving.set(Serving(PeerFacts(channel, "here", uid=uid, principal=principal))))

    yield call
    for token in reversed(tokens):
        context.serving.reset(token)


@pytest.fixture(scope="module")
def users() -> Iterator[dict[str, int]]:
    import pwd

    made = []
    try:
        for name in (ANN, BOB):
            subprocess.run(["useradd", "--no-create-home", "--user-group", name], check=True, capture_output=True)
            made.append(name)
        yield {name: pwd.getpwnam(name).pw_uid for name in made}
    finally:
        for name in made:
            subprocess.run(["userdel", name], check=False, capture_output=True)


@pytest.fixture
def as_users() -> Iterator[rpcx.Impersonation]:
    with rpcx.Impersonation([identity, die]) as made:
        yield made


@pytest.fixture
def place(monkeypatch) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="rpcx-", dir="/tmp"))
    path.chmod(0o1777)
    monkeypatch.setenv(shared.DIRECTORY, str(path))
    yield path
    shutil.rmtree(path)


def credentials() -> list[str]:
    """The credentials of every thread of this process."""
    return [
        line
        for task in Path("/proc/self/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith(("Uid:", "Gid:", "Groups:"))
    ]


CLIENT = """
import json, os, sys
uid, url, path = json.loads(sys.argv[1])
import rpcx
from tests.test_impersonation import Files
warm = rpcx.Host()
warm.publish(Files(None), "files")
with warm, rpcx.connect(warm.listen("inproc://warm")) as server:
    server.get(Files).nothing()
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
with rpcx.connect(url) as server:
    try:
        print(server.get(Files).read(path))
    except PermissionError as error:
        print("refused:", type(error).__name__)
"""


@rpcx.singleton("files", allow={"*"})
class Files:
    def __init__(self, as_users):
        self._as_users = as_users

    def nothing(self) -> None:
        pass

    def read(self, path: str) -> str:
        with self._as_users.caller().open(path) as file:
            return file.read()


@needs_root
def test_a_file_is_read_with_the_callers_rights_and_the_host_never_changes(users, place, as_users):
    secret = place / "secret"
    secret.write_text("ann's")
    secret.chmod(0o600)
    os.chown(secret, users[ANN], users[ANN])
    with rpcx.Host() as host:
        host.publish(Files(as_users), "files")
        url = host.listen("pipe://files", allow_uids=list(users.values()))
        said = []
        for name in (ANN, BOB):
            done = subprocess.run(
                [sys.executable, "-c", CLIENT, json.dumps([users[name], url, str(secret)])],
                capture_output=True, text=True, timeout=40, check=False, cwd=ROOT,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            said.append(done.stdout.strip())
        assert said == ["ann's", "refused: PermissionError"]
        seen = credentials()
    assert {tuple(line.split()[1:]) for line in seen if line.startswith(("Uid:", "Gid:"))} == {("0",) * 4}


@needs_root
def test_a_helper_is_the_user_wholly_and_has_nothing_else(users, calling, as_users):
    calling(users[ANN])
    mine = os.getresuid()
    said = as_users.caller().call(identity)
    uid = users[ANN]
    assert (said["uids"], said["groups"]) == ([uid] * 3, [said["gids"][0]])
    assert len(set(said["gids"])) == 1
    assert said["gids"][0] != 0
    assert (said["locked"], said["cwd"], said["user"], said["secret"]) == (True, "/", ANN, None)
    others = [
        name for name in said["files"] if not name.startswith(("socket:", "/dev/null", "pipe:", "anon_inode:", "/proc"))
    ]
    assert len(others) <= 1  # the host's own standard error
    assert os.getresuid() == mine


@needs_root
def test_a_helper_is_kept_and_a_dead_one_replaced(users, calling, as_users):
    calling(users[ANN])
    caller = as_users.caller()
    first = caller.call(identity)["pid"]
    assert caller.call(identity)["pid"] == first
    with pytest.raises(rpcx.MaybeExecuted):
        caller.call(die)
    assert caller.call(identity)["pid"] != first


@needs_root
def test_a_users_first_use_is_a_fork_of_a_process_that_was_there_before(users, calling, as_users):
    ready = as_users._forks._process.pid
    for uid in users.values():
        calling(uid)
        said = as_users.caller().call(identity)
        assert (psutil.Process(said["pid"]).ppid(), said["uids"]) == (ready, [uid] * 3)


@needs_root
def test_a_user_has_the_groups_of_the_user_database(users, calling):
    subprocess.run(["usermod", "--append", "--groups", BOB, ANN], check=True, capture_output=True)
    calling(users[ANN])
    with rpcx.Impersonation([identity]) as as_users:
        assert set(as_users.caller().call(identity)["groups"]) == {users[ANN], users[BOB]}
    subprocess.run(["usermod", "--groups", "", ANN], check=True, capture_output=True)


@needs_root
def test_when_the_process_that_makes_helpers_is_killed_the_next_use_makes_another(users, calling, as_users):
    calling(users[ANN])
    caller = as_users.caller()
    first = caller.call(identity)["pid"]
    before = as_users._forks._process.pid
    os.kill(before, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first)], timeout=10)
    second = caller.call(identity)["pid"]
    assert psutil.Process(second).ppid() == as_users._forks._process.pid != before


@needs_root
def test_helpers_are_bounded_and_end_when_idle(users, calling):
    with rpcx.Impersonation([identity], most=1, idle=0.2) as as_users:
        calling(users[ANN])
        first = psutil.Process(as_users.caller().call(identity)["pid"])
        calling(users[BOB])
        second = psutil.Process(as_users.caller().call(identity)["pid"])
        assert not first.is_running()
        psutil.wait_procs([second], timeout=10)
        assert not second.is_running()


KILLED = """
import os, sys, time
import rpcx
from rpcx import context
from tests.test_impersonation import Serving, identity
context.serving.set(Serving(rpcx.PeerFacts("pipe", "here", uid=int(sys.argv[1]))))
print(rpcx.Impersonation([identity]).caller().call(identity)["pid"], flush=True)
time.sleep(60)
"""


@needs_root
def test_a_helper_ends_with_a_host_that_is_killed(users):
    host = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(users[ANN])], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with host:
        helper = psutil.Process(int(host.stdout.readline()))
        host.kill()
    _, alive = psutil.wait_procs([helper], timeout=10)
    assert not alive or helper.status() == psutil.STATUS_ZOMBIE  # nobody may be there to reap it


def test_root_and_strangers_are_not_acted_for(calling, as_users):
    calling(0)
    with pytest.raises(rpcx.AccessDenied, match="root is not acted for"):
        as_users.caller()
    calling(None, "tcp", "ann")
    with pytest.raises(rpcx.AccessDenied, match="ann is no user of this machine"):
        as_users.caller()
    calling(4_000_000_123)
    with pytest.raises(rpcx.AccessDenied, match="does not know user|cannot act as"):
        as_users.caller()


def test_a_host_acts_as_its_own_user_without_privilege(calling, tmp_path):
    calling(None, "tcp", "me")
    with rpcx.Impersonation([identity], users={"me": os.getuid()}, allow_root=True) as as_users:
        caller = as_users.caller()
        with caller.open(tmp_path / "new", "x") as file:
            file.write("text")
        with caller.open(str(tmp_path / "new"), "rb") as file:
            assert file.read() == b"text"
            assert not os.get_inheritable(file.fileno())
        with pytest.raises(FileExistsError):
            caller.open(tmp_path / "new", "x")
        assert caller.call(identity)["uids"][0] == os.getuid()


def test_only_listed_functions_and_absolute_paths(calling, as_users):
    with pytest.raises(ValueError, match="cannot find it"):
        rpcx.Impersonation([lambda: None])
    calling(None, "tcp", "me")
    with rpcx.Impersonation(users={"me": os.getuid()}, allow_root=True) as mine:
        with pytest.raises(LookupError, match="functions="):
            mine.caller().call(identity)
        with pytest.raises(ValueError, match="absolute path"):
            mine.caller().open("relative")
