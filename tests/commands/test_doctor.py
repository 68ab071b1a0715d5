"""``rpcx doctor`` and ``rpcx keys doctor``: what they print and how they end."""

import os
import subprocess
import sys

from rpcx.security.identity import own_identity


def test_it_fails_when_something_is_wrong_and_says_what_to_do(tmp_path):
    keys = tmp_path / "keys"
    own_identity(keys)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "RPCX_HOME": str(keys), "NO_COLOR": "1"}
        return subprocess.run(
            [sys.executable, "-m", "rpcx.cli", *words],
            env=environment, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    assert run("keys", "doctor").returncode == 0
    assert run("doctor").returncode == 0
    (keys / "identity.key").chmod(0o644)
    for words in (("doctor",), ("keys", "doctor")):
        told = run(*words)
        assert told.returncode == 1, told.stdout + told.stderr
        assert f"chmod 600 {keys}/identity.key" in told.stdout.replace("\n", "")
    assert '"level": "error"' in run("doctor", "--json").stdout
