"""Real processes for the tests of the process control service."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from schemas.process_control import SpawnSpec
from services.process_control.children import Child, Children
from services.process_control.processes import look


def never() -> None:
    """The check of a caller who does not give up."""


def eventually(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def lives(pid: int) -> bool:
    try:
        return look(pid).alive
    except ProcessLookupError:
        return False


def python(code: str) -> list[str]:
    """The command line of a Python program that starts fast."""
    return [sys.executable, "-I", "-S", "-c", code]


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process of nobody's in particular."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    assert eventually(lambda: psutil.Process(process.pid).cmdline() == ["sleep", "60"])  # it has none at first
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.close()


@pytest.fixture
def start(children: Children) -> Callable[..., Child]:
    """Starts a child: ``start("sleep", "60", stdin="pipe")``."""
    started = []

    def start(*argv: str, **options: object) -> Child:
        started.append(children.spawn(SpawnSpec(argv=argv, **options)))
        return started[-1]

    yield start
    for child in started:
        child.close(0)
