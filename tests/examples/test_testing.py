"""What the page on testing shows is what runs."""

import os
import subprocess
import sys
from pathlib import Path

from tests.examples.test_readme import files_of

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_tests_of_the_page_pass(tmp_path):
    files = files_of(PAGE)
    for name, source in files.items():
        (tmp_path / name).write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout
    shown = sum(source.count("\ndef test_") for source in files.values())
    assert f"{shown} passed" in done.stdout
