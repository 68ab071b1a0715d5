"""What holds for every test.

- No test leaves a host, a connection, a thread, an open file or a child process behind (`nothing_left_behind`).
- Named pipes of tests live in a directory of their own (`RPCX_RUNTIME_DIR`).
- So do keys (`RPCX_HOME`): no test makes or reads those of whoever runs it.
- With ``CI=true`` nothing may be skipped but for the platform: a test that did not run proves nothing.
"""

import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from hypothesis import settings

from rpcx.security.lines import QUIET, Lines
from rpcx.testing import open_ends

SETTLE_SECONDS = 8.0  # for what a test closed to be gone really
KEPT_THREAD = "rpcx-async"  # the one thread rpcx keeps: the event loop of async methods, made at first use
KEPT_FILES = ("anon_inode:[eventpoll]", "socket:", "socket:")  # and what an event loop has open
PLATFORM_SKIPS = (
    "Windows only",
    "macOS only",
    "not on Linux",
    "Python 3.13 or later only",
)  # reasons that CI accepts, by their beginning

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("cover", max_examples=20, deadline=None, derandomize=True)
settings.register_profile("night", max_examples=100_000, deadline=None, print_blob=True)


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("true", "1")


settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if in_ci() else "dev"))


# --- nothing is left behind ---------------------------------------------------------------------------------


class Belongings(NamedTuple):
    """What this process has."""

    ends: list[object]  # hosts and connections that are open
    threads: set[threading.Thread]
    files: set[tuple[str, str]]  # (descriptor, what it is)
    children: set[int]

    @classmethod
    def now(cls) -> "Belongings":
        return cls(open_ends(), set(threading.enumerate()), open_files(), children())

    def more_than(self, before: "Belongings") -> list[str]:
        """What is here and was not before, in words."""
        threads = self.threads - before.threads
        kept = [thread for thread in threads if thread.name == KEPT_THREAD][:1]
        files = sorted(self.files - before.files)
        if kept:
            files = without(files, KEPT_FILES)
        return [
            *sorted(repr(end) for end in self.ends if end not in before.ends),
            *(f"thread {thread.name!r}" for thread in threads if thread not in kept),
            *(f"file {number}: {what}" for number, what in files),
            *(child_text(pid) for pid in self.children - before.children),
        ]


def without(files: list[tuple[str, str]], kept: tuple[str, ...]) -> list[tuple[str, str]]:
    """``files`` less one for each kind that is kept."""
    rest = list(files)
    for kind in kept:
        found = next((file for file in rest if file[1].startswith(kind)), None)
        if found is not None:
            rest.remove(found)
    return rest


def open_files() -> set[tuple[str, str]]:
    if not os.path.isdir("/proc/self/fd"):
        return set()
    files = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            files.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except OSError:
            pass  # the directory's own descriptor, closed by now
    return files


def children() -> set[int]:
    """Direct children, zombies included: the kernel's own list, since psutil reads all of /proc for it."""
    try:
        lists = [(task / "children").read_text() for task in Path("/proc/self/task").iterdir()]
    except OSError:
        return {child.pid for child in psutil.Process().children()}
    return {int(pid) for listed in lists for pid in listed.split()}


def child_text(pid: int) -> str:
    try:
        child = psutil.Process(pid)
        return f"child process {pid} ({child.status()}): {' '.join(child.cmdline()) or child.name()}"
    except psutil.Error:
        return f"child process {pid}"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves hosts, connections, threads, open files or child processes, and name them."""
    before = Belongings.now()
    yield
    deadline = time.monotonic() + SETTLE_SECONDS
    while left := Belongings.now().more_than(before):
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + "; ".join(left), pytrace=False)
        gc.collect()
        time.sleep(0.02)


# --- what one test says is not held against another ---------------------------------------------------------


@pytest.fixture(autouse=True)
def lines_to_spare() -> None:
    """Log lines are counted by who causes them, and that is nearly always 127.0.0.1."""
    QUIET._lines = Lines(time.monotonic())


# --- where named pipes live ---------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="session")
def runtime_directory() -> Iterator[Path]:
    """A private directory for named pipes; its path is short, since a socket's path has 108 bytes at most."""
    root = "/tmp" if os.path.isdir("/tmp") else None
    path = tempfile.mkdtemp(prefix="rpcx-", dir=root)
    before = os.environ.get("RPCX_RUNTIME_DIR")
    os.environ["RPCX_RUNTIME_DIR"] = path
    yield Path(path)
    if before is None:
        del os.environ["RPCX_RUNTIME_DIR"]
    else:
        os.environ["RPCX_RUNTIME_DIR"] = before
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def keys_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A private directory for keys; child processes get it too, so they are the same user."""
    path = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RPCX_HOME", str(path))
        yield path


@pytest.fixture
def free_tcp_url() -> str:
    """Listening here takes a port that is free."""
    return "tcp://127.0.0.1:0"


# --- nothing is skipped in CI -------------------------------------------------------------------------------


class SkipWatch:
    """Notes what was skipped and should not have been; where results arrive, not in xdist's workers."""

    def __init__(self) -> None:
        self.unexpected: list[str] = []

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not reason.startswith(PLATFORM_SKIPS):
            self.unexpected.append(f"{report.nodeid}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unexpected:
            terminalreporter.section("skipped, which CI does not accept", red=True)
            for line in self.unexpected:
                terminalreporter.line(line)


# --- attacks at full size -----------------------------------------------------------------------------------

LONG_SECONDS = 4 * 3600.0  # for one test then: a million messages take minutes, not the minute of every day


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="attacks at full size")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        for item in items:
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))


def pytest_configure(config: pytest.Config) -> None:
    if in_ci() and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipWatch())
