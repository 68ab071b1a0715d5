"""Real host processes for end-to-end tests."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class HostProcess:
    """A process that serves `tests.end_to_end.served`."""

    def __init__(self, *urls: str, insecure: bool = False) -> None:
        self.insecure = insecure
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.served", *urls, *(["--insecure"] if insecure else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.urls = [self.process.stdout.readline().strip() for _ in urls]
        assert all(self.urls), "the host process did not start"

    @property
    def url(self) -> str:
        return self.urls[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process.stdout.close()


@pytest.fixture
def start_host() -> Iterator[Callable[..., HostProcess]]:
    started: list[HostProcess] = []

    def start(*urls: str, insecure: bool = False) -> HostProcess:
        started.append(HostProcess(*(urls or (f"pipe://t{uuid.uuid4().hex[:12]}",)), insecure=insecure))
        return started[-1]

    yield start
    for host in started:
        host.close()


@pytest.fixture(params=["pipe", "tcp", "plain tcp"])
def host_process(request, start_host) -> HostProcess:
    if request.param == "pipe":
        return start_host(f"pipe://t{uuid.uuid4().hex[:12]}")
    return start_host("tcp://127.0.0.1:0", insecure=request.param == "plain tcp")
