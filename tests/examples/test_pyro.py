"""The examples with Pyro5, run as their README says; and the page shows what they do."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "pyro"


def test_the_client_says_what_the_readme_says():
    host = subprocess.Popen([sys.executable, str(FOLDER / "host.py")], stdout=subprocess.PIPE, text=True)
    with host:
        try:
            uri = host.stdout.readline().strip()
            client = subprocess.run(
                [sys.executable, str(FOLDER / "client.py"), uri], capture_output=True, text=True, timeout=30, check=True
            )
        finally:
            host.terminate()
    assert client.stdout.splitlines() == [
        "balance 100",
        "refused: amount must be positive",
        "still 100",
        "stream [0, 1, 2]",
    ]
    assert client.stdout in (FOLDER / "README.md").read_text()


def test_every_step_runs_with_old_programs_that_are_never_changed():
    done = subprocess.run(
        [sys.executable, "-m", "examples.pyro.moving"],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 6
    assert done.stdout in (FOLDER / "README.md").read_text()


def test_the_page_shows_the_steps():
    page = (ROOT / "docs" / "pyro.md").read_text().partition("## Moving")[2].partition("## Who may call")[0]
    code = "\n".join(path.read_text() for path in FOLDER.glob("*.py"))
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        assert block.rstrip() in code, block
