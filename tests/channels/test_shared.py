"""Pipes for other users: who comes in, and that nobody puts a socket of theirs in the place of one."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rpcx
from rpcx.channels import shared
from rpcx.channels.pipe import PipeChannel
from rpcx.channels.shared import Guests, found_socket, made_directory
from rpcx.channels.urls import parse
from rpcx.errors import AccessDenied, NotSent
from tests.channels.conformance import accepted

ME = os.getuid()
ANN, BOB, TEAM = 54_321, 54_322, 54_400  # users and a group; the kernel needs no names for them

needs_root = pytest.mark.skipif(ME != 0, reason="not on Linux without root: only root can become other users")


@pytest.fixture
def base(monkeypatch) -> Iterator[Path]:
    """In place of /tmp, with its mode; short, and reachable by all."""
    path = Path(tempfile.mkdtemp(prefix="rpcx-", dir="/tmp"))
    path.chmod(0o1777)
    monkeypatch.setenv(shared.DIRECTORY, str(path))
    yield path
    shutil.rmtree(path)


def listening(**guests):
    return PipeChannel().listen_for(parse("pipe://bank"), guests.get("uids", [ANN]), guests.get("gids", []))


def test_only_such_pipes_are_reachable_and_their_url_names_the_user(base):
    listener = listening()
    directory = base / f"rpcx-shared-{ME}"
    assert listener.url == f"pipe://bank?user={ME}"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o711
    assert stat.S_IMODE((directory / "bank").stat().st_mode) == 0o666
    assert stat.S_IMODE((directory / "bank.lock").stat().st_mode) == 0o600
    near = PipeChannel().connect(parse(listener.url), 5.0)
    far = accepted(listener)
    assert near.facts.owner
    assert far.facts.owner
    near.close()
    far.close()
    with pytest.raises(NotSent):  # the private one is another
        PipeChannel().connect(parse("pipe://bank"), 1.0)
    listener.close()
    assert not (directory / "bank").exists()


def test_a_socket_for_one_group_is_that_groups(base):
    listener = listening(uids=[], gids=[os.getgid()])
    found = (base / f"rpcx-shared-{ME}" / "bank").stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (os.getgid(), 0o660)
    listener.close()


def test_guests_are_those_named():
    guests = Guests(frozenset({ANN}), frozenset({TEAM}))
    assert guests.admit(ANN, ())
    assert guests.admit(BOB, (5, TEAM))
    assert not guests.admit(BOB, (5,))
    assert not guests.admit(0, (0,))
    assert not guests.admit(None, ())


def test_a_directory_that_was_there_first_is_not_believed(base):
    place = base / f"rpcx-shared-{ME}"
    (base / "elsewhere").mkdir()
    place.symlink_to(base / "elsewhere")
    with pytest.raises(AccessDenied, match="symbolic link"):
        listening()
    place.unlink()
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(AccessDenied, match="others may write it"):
        listening()
    with pytest.raises(AccessDenied, match="others may write it"):
        found_socket("bank", ME)


def test_a_base_that_others_may_change_is_not_believed(base):
    base.chmod(0o777)
    with pytest.raises(AccessDenied, match="others may rename"):
        made_directory()
    base.chmod(0o1777)


def test_what_is_no_socket_is_neither_used_nor_removed(base):
    place = made_directory()
    (place / "bank").symlink_to("/etc/hostname")
    for attempt in (listening, lambda: found_socket("bank", ME)):
        with pytest.raises((AccessDenied, OSError), match="no socket"):
            attempt()
    assert (place / "bank").is_symlink()


def test_an_unknown_socket_is_tried_before_it_is_removed(base):
    place = made_directory()
    with socket.socket(socket.AF_UNIX) as strange:
        strange.bind(str(place / "bank"))
        strange.listen()
        with pytest.raises(OSError, match="a program that holds no lock listens there"):
            listening()
    listening().close()  # now nobody answers


def test_a_name_nobody_listens_to_says_where_it_was_looked_for(base):
    with pytest.raises(NotSent, match=f"rpcx-shared-{ME}"):
        found_socket("nobody", ME)
    with pytest.raises(NotSent, match="no host listens there"):
        PipeChannel().connect(parse("pipe://bank?user=54323"), 1.0)


def test_other_channels_know_no_users():
    with rpcx.Host() as host, pytest.raises(ValueError, match="are for pipe://"):
        host.listen("tcp://127.0.0.1:0", allow_uids=[ANN])


# --- users that are others in truth ---------------------------------------------------------------------------

CLIENT = """
import json, os, sys
import rpcx
from tests.channels.test_shared import Bank

uid, groups, url, *calls = json.loads(sys.argv[1])
warm = rpcx.Host()  # loads what is loaded late while this process may still read it
warm.register(Bank)
with warm:
    with rpcx.connect(warm.listen(f"inproc://warm")) as server:
        server.get(Bank).balance()
os.setgroups(groups)
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
said = []
try:
    with rpcx.connect(url, timeout=5.0) as server:
        for call in calls:
            try:
                said.append(getattr(server.get(Bank), call)())
            except Exception as error:
                said.append(f"{type(error).__name__}: {error}")
        said.append(server.peer.principal)
except Exception as error:
    said.append(f"{type(error).__name__}: {error}")
print(json.dumps(said))
"""


@rpcx.singleton("bank", allow={"user:54321", "group:54400"})
class Bank:
    def balance(self) -> int:
        return 5

    def who(self) -> list[object]:
        peer = rpcx.context.peer
        return [peer.uid, peer.principal, peer.owner, "gid:54400" in peer.roles]

    @rpcx.method(allow={"user:54321"})
    def close_day(self) -> str:
        return "closed"

    @rpcx.method(allow=())
    def own(self) -> str:
        return "own"


@pytest.fixture
def run_as(base) -> Callable[..., list[object]]:
    def run(uid: int, groups: list[int], url: str, *calls: str) -> list[object]:
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, json.dumps([uid, groups, url, *calls])],
            capture_output=True, text=True, timeout=30, check=False, cwd=Path(__file__).parent.parent.parent,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@needs_root
def test_other_users_may_what_the_rules_say(run_as):
    with rpcx.Host() as host:
        host.register(Bank)
        url = host.listen("pipe://bank", allow_uids=[ANN], allow_gids=[TEAM])
        assert run_as(ANN, [], url, "balance", "who", "close_day", "own") == [
            5, [ANN, f"uid:{ANN}", False, False], "closed", "ObjectNotFound: no such object or method", "uid:0",
        ]  # fmt: skip
        assert run_as(BOB, [TEAM], url, "who", "close_day") == [
            [BOB, f"uid:{BOB}", False, True], "ObjectNotFound: no such object or method", "uid:0",
        ]  # fmt: skip


@needs_root
def test_users_that_were_not_named_do_not_get_in(run_as):
    with rpcx.Host() as host:
        host.register(Bank)
        url = host.listen("pipe://bank", allow_uids=[ANN])
        (said,) = run_as(BOB, [TEAM], url, "balance")
        assert "NotSent" in said or "ConnectionLost" in said
        private = host.listen("pipe://own")
        (said,) = run_as(ANN, [], private, "balance")
        assert said.startswith(("AccessDenied", "NotSent"))


@needs_root
def test_a_client_does_not_follow_to_a_host_of_another_user(run_as, base):
    """Ann puts a directory and a socket where root's would be, and a client looks for root's."""
    place = base / "rpcx-shared-0"
    place.mkdir()
    os.chown(place, ANN, ANN)
    (said,) = run_as(BOB, [], "pipe://bank?user=0", "balance")
    assert "belongs to user 54321" in said
