"""The rules of the suite itself: they are shown to fail what they forbid."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

LEAKS = """
import os, subprocess, sys, threading

stop = threading.Event()
kept = []

def test_that_leaves_things_behind():
    threading.Thread(target=stop.wait, name="forgotten-thread").start()
    kept.append(os.pipe())
    kept.append(subprocess.Popen([sys.executable, "-c", "input()  # forgotten-child"], stdin=subprocess.PIPE))

def test_that_cleans_up():
    stop.set()
    kept[1].communicate(b"\\n")
    for number in kept[0]:
        os.close(number)
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child, open(os.devnull) as file:
        thread = threading.Thread(target=print)
        thread.start()
        thread.join()

def test_that_starts_the_loop_of_async_methods():
    import asyncio
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rpcx-async", daemon=True).start()
    kept.append(loop)
"""

OPEN = """
import rpcx

kept = []

def test_that_forgets_to_close():
    host = rpcx.Host()
    url = host.listen("inproc://forgotten")
    kept.extend([host.start(), rpcx.connect(url)])
"""

SKIPS = """
import pytest

@pytest.mark.skip(reason="no peer here")
def test_without_peer(): ...

@pytest.mark.skip(reason="Windows only: named pipes")
def test_of_another_platform(): ...

@pytest.mark.xfail(reason="known")
def test_that_is_expected_to_fail(): assert False

def test_passes(): ...
"""


SLOW = """
import time

def test_that_takes_its_time():
    time.sleep(1.5)
"""


def run(folder: Path, source: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest over ``source`` under this suite's conftest."""
    conftest = CONFTEST.read_text()
    assert "SETTLE_SECONDS = 8.0" in conftest
    (folder / "conftest.py").write_text(conftest.replace("SETTLE_SECONDS = 8.0", "SETTLE_SECONDS = 0.5"))
    (folder / "test_sample.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    kept = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", *options],
        cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def test_a_test_that_leaves_something_behind_fails_and_is_told_what(tmp_path):
    result = run(tmp_path, LEAKS, "-p", "no:xdist")
    assert result.returncode == 1, result.stdout
    (told,) = [line for line in result.stdout.splitlines() if line.startswith("left behind: ")]
    assert "thread 'forgotten-thread'" in told
    assert told.count("pipe:[") == 3  # two ends of os.pipe, and the child's stdin
    assert "forgotten-child" in told
    assert "test_that_leaves_things_behind" in result.stdout.splitlines()[-2]
    assert "3 passed, 1 error" in result.stdout.splitlines()[-1]


def test_a_test_that_leaves_a_host_or_a_connection_is_told_which(tmp_path):
    result = run(tmp_path, OPEN, "-p", "no:xdist")
    assert result.returncode == 1, result.stdout
    (told,) = [line for line in result.stdout.splitlines() if line.startswith("left behind: ")]
    assert told.startswith("left behind: <Host inproc://forgotten, 1 connected>; <Server inproc://forgotten>; thread")


@pytest.mark.parametrize("workers", [["-p", "no:xdist"], ["-n", "1"]], ids=["alone", "xdist"])
def test_in_ci_a_skipped_test_fails_the_run(tmp_path, workers):
    result = run(tmp_path, SKIPS, *workers, CI="true")
    assert result.returncode == 1, result.stdout
    assert "test_sample.py::test_without_peer: no peer here" in result.stdout
    assert "test_sample.py::test_of_another_platform: " not in result.stdout
    assert "test_sample.py::test_that_is_expected_to_fail: " not in result.stdout
    assert "1 passed, 2 skipped, 1 xfailed" in result.stdout.splitlines()[-1]


@pytest.mark.parametrize("workers", [["-p", "no:xdist"], ["-n", "1"]], ids=["alone", "xdist"])
def test_in_ci_a_skipped_module_fails_the_run(tmp_path, workers):
    result = run(tmp_path, "import pytest\npytest.importorskip('no_such_peer')\n", *workers, CI="true")
    assert result.returncode == 1, result.stdout
    assert "could not import 'no_such_peer'" in result.stdout


def test_outside_of_ci_skipping_is_allowed(tmp_path):
    assert run(tmp_path, SKIPS, "-p", "no:xdist").returncode == 0


def test_attacks_at_full_size_may_take_longer_than_a_test_of_every_day(tmp_path):
    assert run(tmp_path, SLOW, "-p", "no:xdist", "-o", "timeout=1").returncode != 0
    assert run(tmp_path, SLOW, "-p", "no:xdist", "-o", "timeout=1", "--long").returncode == 0


def test_named_pipes_of_tests_have_a_private_directory_with_a_short_path(runtime_directory):
    assert os.environ["RPCX_RUNTIME_DIR"] == str(runtime_directory)
    assert runtime_directory.stat().st_mode & 0o777 == 0o700
    assert len(str(runtime_directory)) < 40
