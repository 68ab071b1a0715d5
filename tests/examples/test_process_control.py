"""The demonstration runs, keeps its promises, and would notice if it did not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil

from examples.process_control.report import Report

ROOT = Path(__file__).parents[2]
STEPS = (
    "processes listed, the agent among them",
    "line 4 of a child",
    "output arrived while the child ran",
    "the child exited with 7",
    "watching saw it start and end",
    "a suspended child is stopped",
    "stopping a shell stopped its children too: ended by SIGTERM",
    "pid 1 is not signalled",
    "the lease ran out, and the three processes are gone",
    "the sponsored ones are not",
    "its lease ran out",
    "holds a shell and its two children",
    "its children are gone",
)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_demonstration_keeps_its_promises_over_each_channel():
    done = subprocess.run(
        [sys.executable, "-m", "examples.process_control"],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    shown = done.stdout
    assert (done.returncode, done.stderr) == (0, ""), shown
    assert re.search(r"ok  every promise kept, in \d+ s", shown)
    assert "  NO  " not in shown
    assert "\x1b" not in shown, "colours without a terminal"
    for channel in ("pipe", "tcp"):
        (part,) = re.findall(rf"^a client at {channel}://.*?(?=^a client|^the end)", shown, re.DOTALL | re.MULTILINE)
        lacking = [step for step in STEPS if step not in part]
        assert not lacking, part
    pids = [int(pid) for numbers in re.findall(r"\((\d+), (\d+), (\d+)\)", shown) for pid in numbers]
    assert len(pids) == 6
    assert not [pid for pid in (*pids, int(re.findall(r"agent (\d+):", shown)[0])) if lives(pid)]


def test_a_broken_promise_is_counted_and_shown(capsys):
    report = Report()
    report.check("two and two are four", True)
    report.check("two and two are [five]", False)
    assert report.broken == 1
    shown = capsys.readouterr().out.split("\n")
    assert shown[:2] == ["  ok  two and two are four", "  NO  two and two are [five]"]
