"""The robot example runs, shows what it says, and is as short as it says."""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROBOT = Path(__file__).parents[2] / "examples" / "robot" / "robot.py"


def test_the_robot_shows_what_a_product_needs(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROBOT)], cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for shown in (
        "a child object, awaited -> left holds with 5 N",
        "callbacks -> ['coroutine heard at the dock', 'function heard at the dock']",
        "a property, set and limited -> 5.0",
        "and deleted -> 1.0",
        "a Path -> ",
        "8 threads, 400 steps -> 400",
        "wrong argument, executed? -> no",
        "timed out, executed? -> maybe",
        "connection lost, executed? -> maybe",
        "nobody there, executed? -> no",
    ):
        assert f"ok  {shown}" in done.stdout
    assert "NO" not in done.stdout


def test_the_robot_has_fewer_than_100_lines_of_code():
    source = ROBOT.read_text()
    ast.parse(source)
    code = [line for line in source.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(code) < 100
