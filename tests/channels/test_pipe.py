"""``pipe://``: a socket nobody else can reach, and no live host's is stolen."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rpcx.channels import pipe
from rpcx.channels.pipe import PipeChannel, runtime_directory
from rpcx.channels.urls import parse
from rpcx.errors import AccessDenied, NotSent
from tests.channels.conformance import accepted, check_channel


@pytest.fixture
def directory(tmp_path_factory, monkeypatch) -> Path:
    made = tmp_path_factory.mktemp("p")
    made.chmod(0o700)
    monkeypatch.setenv(pipe.DIRECTORY, str(made))
    return made


def test_it_is_a_channel(directory):
    check_channel(PipeChannel(), "pipe://conform")


def test_the_socket_is_private(directory):
    listener = PipeChannel().listen(parse("pipe://private"))
    found = (directory / "private").stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    listener.close()
    assert not (directory / "private").exists()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_directory_that_others_may_enter_is_refused(directory, mode):
    directory.chmod(mode)
    with pytest.raises(AccessDenied, match="0700 is needed"):
        PipeChannel().listen(parse("pipe://x"))
    directory.chmod(0o700)


def test_a_symbolic_link_in_its_place_is_refused(directory, monkeypatch):
    link = directory / "link"
    link.symlink_to(directory)
    monkeypatch.setenv(pipe.DIRECTORY, str(link))
    with pytest.raises(AccessDenied, match="symbolic link"):
        runtime_directory()


def test_a_file_in_its_place_is_refused(directory, monkeypatch):
    (directory / "file").touch()
    monkeypatch.setenv(pipe.DIRECTORY, str(directory / "file"))
    with pytest.raises(AccessDenied, match="no directory"):
        runtime_directory()


def test_a_directory_of_another_user_is_refused(directory, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(AccessDenied, match="user 12345"):
        runtime_directory()


def test_both_ends_know_each_other(directory):
    listener = PipeChannel().listen(parse("pipe://who"))
    near = PipeChannel().connect(parse("pipe://who"), 5.0)
    far = accepted(listener)
    for end in (near, far):
        assert (end.facts.pid, end.facts.uid, end.facts.gid) == (os.getpid(), os.getuid(), os.getgid())
        end.close()
    listener.close()


def test_another_user_is_refused_on_both_ends(directory, monkeypatch):
    listener = PipeChannel().listen(parse("pipe://other"))
    monkeypatch.setattr(pipe, "credentials", lambda sock: (1, 4711, 4711))
    with pytest.raises(AccessDenied, match="user 4711"):
        PipeChannel().connect(parse("pipe://other"), 5.0)
    probe = socket.socket(socket.AF_UNIX)
    probe.connect(str(directory / "other"))
    assert listener.accept() is None
    assert listener.refused >= 1
    probe.close()
    listener.close()


SERVER = """
import sys, time
from rpcx.channels.pipe import PipeChannel
from rpcx.channels.urls import parse
listener = PipeChannel().listen(parse("pipe://" + sys.argv[1]))
print("listening", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other_process(directory):
    started = []

    def start(name: str) -> subprocess.Popen:
        server = subprocess.Popen([sys.executable, "-c", SERVER, name], stdout=subprocess.PIPE, text=True)
        started.append(server)
        assert server.stdout.readline() == "listening\n"
        return server

    yield start
    for server in started:
        server.kill()
        server.wait()
        server.stdout.close()


def test_a_live_hosts_pipe_is_never_stolen(other_process):
    server = other_process("live")
    with pytest.raises(OSError, match=f"process {server.pid} listens there"):
        PipeChannel().listen(parse("pipe://live"))
    PipeChannel().connect(parse("pipe://live"), 5.0).close()


def test_a_killed_hosts_pipe_is_stale_and_replaced(other_process, directory):
    server = other_process("stale")
    server.kill()
    server.wait()
    assert (directory / "stale").exists()
    with pytest.raises(NotSent, match="no host listens"):
        PipeChannel().connect(parse("pipe://stale"), 1.0)
    listener = PipeChannel().listen(parse("pipe://stale"))
    PipeChannel().connect(parse("pipe://stale"), 5.0).close()
    listener.close()


def test_a_name_nobody_listens_to_is_an_error_that_says_so(directory):
    with pytest.raises(NotSent, match="Is the host running"):
        PipeChannel().connect(parse("pipe://nobody"), 1.0)


def test_a_directory_too_long_for_a_socket_is_named(directory, monkeypatch):
    deep = directory / ("x" * 90)
    monkeypatch.setenv(pipe.DIRECTORY, str(deep))
    with pytest.raises(ValueError, match="too long for a socket"):
        PipeChannel().listen(parse("pipe://x"))


def test_without_unix_sockets_the_alternative_is_named(monkeypatch):
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(AccessDenied, match="tcp://localhost"):
        PipeChannel().listen(parse("pipe://x"))
