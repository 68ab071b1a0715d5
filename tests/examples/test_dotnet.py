"""The steps from .NET Remoting to rpcx: the example runs, and the page shows what the example does."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "dotnet"


def test_every_step_runs_with_a_client_that_is_never_changed():
    if not (shutil.which("mono") and shutil.which("mcs")):
        pytest.skip("Mono is not installed: Mono: make peers")
    done = subprocess.run(
        [sys.executable, "-m", "examples.dotnet.moving"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "C# client, C# server: from Python",
        "C# client, Python server: nothing yet",
        "Python client, Python server: 000",
        "C# client, the same object: from a pipe",
        "C# client, the same object over HTTP: 000",
        "Python client, Python server, no .NET: one message",
    ]


def test_without_mono_it_says_what_it_needs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "examples.dotnet.moving"],
        cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("skipped: this example needs Mono: apt-get install")


def test_the_page_shows_the_example():
    page = (ROOT / "docs" / "dotnet.md").read_text().partition("## Clients on other machines")[0]
    shop = ROOT / "tests" / "interop" / "dotnet" / "shop.py"  # what runs against C#
    code = "\n".join(path.read_text() for path in (*EXAMPLE.glob("*.py"), shop))
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        assert block.rstrip() in code, block
