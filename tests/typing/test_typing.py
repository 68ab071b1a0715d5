"""The API's types, as two checkers see them."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FILES = [str(HERE / "accepted.py"), str(HERE / "stubs.py")]
ROOT = HERE.parents[1]


def test_mypy_infers_what_is_promised():
    command = [sys.executable, "-m", "mypy", "--strict", *FILES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=55)
    assert done.returncode == 0, done.stdout


def test_pyright_infers_what_is_promised():
    command = [sys.executable, "-m", "pyright", *FILES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=55)
    assert done.returncode == 0, done.stdout
