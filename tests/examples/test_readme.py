"""What the front page and the tutorial show is what runs."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
QUICKSTART = ROOT / "examples" / "quickstart" / "quickstart.py"
TUTORIAL = ROOT / "docs" / "first-service.md"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def files_of(page: Path) -> dict[str, str]:
    """The page's Python blocks by the file each belongs to, which its first line names."""
    files = {}
    for block in blocks(page, "python"):
        first, _, rest = block.partition("\n")
        name = re.fullmatch(r"# (\w+\.py)", first)
        assert name, f"{page.name}: the first line of a block is `# file.py`, not {first!r}"
        files[name[1]] = rest
    return files


@contextlib.contextmanager
def serving(*command: str, cwd: Path) -> Iterator[str]:
    """Run a server; the first line it prints."""
    with subprocess.Popen([sys.executable, *command], cwd=cwd, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def output_of(*command: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_shows_the_quickstart_as_it_is():
    assert QUICKSTART.read_text() in blocks(README, "python")


def test_the_readme_says_what_the_quickstart_prints(tmp_path):
    shown = "".join(blocks(README, "console")).splitlines()
    with serving(str(QUICKSTART), "serve", cwd=tmp_path) as first:
        printed = output_of(str(QUICKSTART), cwd=tmp_path)
    assert first == "serving at pipe://quickstart"
    assert first in shown
    assert printed.strip() == "balance 105"
    assert printed.strip() in shown


def test_the_quickstart_fits_on_a_screen():
    assert len(QUICKSTART.read_text().splitlines()) <= 32


@pytest.fixture
def tutorial(tmp_path: Path) -> Path:
    """A folder with the tutorial's files, as its reader has made them."""
    for name, source in files_of(TUTORIAL).items():
        (tmp_path / name).write_text(source)
    output_of("-m", "rpcx.cli", "stubs", "greenhouse", "-o", "greenhouse_async.py", cwd=tmp_path)
    return tmp_path


def test_the_tutorial_makes_a_service_that_runs(tutorial):
    shown = "".join(blocks(TUTORIAL, "console"))
    with serving("serve.py", cwd=tutorial) as first:
        assert first == "serving at pipe://greenhouse"
        for program in ("client.py", "watch.py", "sponsor.py", "aclient.py", "typed.py"):
            printed = output_of(program, cwd=tutorial)
            expected = shown.partition(f"$ python {program}\n")[2].partition("$ ")[0]
            assert expected.strip(), f"the tutorial does not show what {program} prints"
            assert printed.strip() == expected.strip()


def test_the_tests_that_the_tutorial_writes_pass(tutorial):
    output = output_of("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_greenhouse.py", cwd=tutorial)
    assert "passed" in output
