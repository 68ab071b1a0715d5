"""``python -m services.process_control``."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

import rpcx
from schemas.process_control import Agent, Process, SpawnSpec
from services.process_control.__main__ import arguments
from tests.services.process_control.conftest import eventually, lives

ROOT = Path(__file__).parents[3]


def serve(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "services.process_control", *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_end_and_takes_its_children_along(number):
    url = f"pipe://t{uuid.uuid4().hex[:12]}"
    agent = serve("--listen", url, "--listen", "tcp://127.0.0.1:0", "--insecure")
    try:
        lines = [agent.stdout.readline().strip() for _ in range(2)]
        assert lines[0] == f"listening on {url}"
        assert lines[1].startswith("listening on tcp://127.0.0.1:")
        with rpcx.connect(lines[1].removeprefix("listening on "), insecure=True) as server:
            assert server.get(Agent).facts().agent.pid == agent.pid
            child = server.get(Agent).spawn(SpawnSpec(argv=["sleep", "60"]))
            pid = child.id().pid
            agent.send_signal(number)
            assert agent.wait(10) == 0
            assert eventually(lambda: not lives(pid))
            assert agent.communicate() == ("", "")
    finally:
        agent.kill()
        agent.communicate()


def test_rpcx_serve_serves_it_too():
    url = f"pipe://t{uuid.uuid4().hex[:12]}"
    words = ["-W", "error", "-c", "from rpcx.cli import main; main()", "serve", "services.process_control"]
    agent = subprocess.Popen(
        [sys.executable, *words, "--listen", url], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert agent.stdout.readline() == f"listening on {url}\n"
        with rpcx.connect(url) as server:
            child = server.create(Process, SpawnSpec(argv=["sleep", "60"]))
            pid = child.id().pid
            agent.terminate()
            assert agent.wait(10) == 0
            assert not lives(pid)
            assert agent.communicate() == ("", "")
    finally:
        agent.kill()
        agent.communicate()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--listen", "tcp://0.0.0.0:0", "--insecure"], "insecure"),
        (["--listen", "nonsense"], "nonsense"),
        (["--listen", "carrier-pigeon://x"], "carrier-pigeon"),
    ],
)
def test_what_cannot_be_listened_to_is_said_in_one_line(words, reason):
    agent = serve(*words)
    out, err = agent.communicate(timeout=20)
    assert agent.returncode == 1, err
    assert out == ""
    assert reason in err
    assert "Traceback" not in err


def test_the_command_line_knows_users_and_seconds(capsys):
    given = arguments(["--user", str(os.getuid()), "--user", "root", "--lease", "2.5", "--children", "3"])
    assert (given.user, given.lease, given.children) == ([os.getuid(), 0], 2.5, 3)
    for wrong in (["--user", "nobody-of-that-name"], ["--lease", "-1"], ["--lease", "soon"], ["--children", "x"]):
        with pytest.raises(SystemExit):
            arguments(wrong)
    assert "this machine has no such user" in capsys.readouterr().err
