"""The example of a host for Pyro5 clients, run as its README says."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "pyro"


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
