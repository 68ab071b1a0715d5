"""The example of services found by name, run as its README says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_names_are_found_and_go_with_their_host():
    done = subprocess.run(
        [sys.executable, "examples/naming/shop.py"], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["till/bonn", "till/ulm", "sold", "kill", "till/ulm"]
    assert lines[2] == "sold in ulm: 3"
