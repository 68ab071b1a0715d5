"""The API's types, as two checkers see them."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_mypy_infers_what_is_promised():
    command = [sys.executable, "-m", "mypy", "--strict", str(HERE / "accepted.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=55)
    assert done.returncode == 0, done.stdout


def test_pyright_infers_what_is_promised():
    command = [sys.executable, "-m", "pyright", str(HERE / "accepted.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=55)
    assert done.returncode == 0, done.stdout
