"""Importing rpcx is cheap: a command-line tool pays for it at every start."""

import json
import statistics
import subprocess
import sys

import pytest

MOST_SECONDS = 0.150  # that `import rpcx` may take beyond what pydantic takes by itself
ROUNDS = 5

# Needed by some programs and not by all, so imported by those who use them.
HEAVY = {
    "asyncio",
    "typer",
    "rich",
    "numpy",
    "importlib.metadata",
    "cryptography",
    "ssl",
    "multiprocessing",
    "xml",
    "rpcx.interop",  # other protocols: when their URLs are used
    "rpcx.testing",
    "rpcx.conformance",
    "rpcx.stubs",
}

CHILD = """
import sys, time
begun = time.process_time()
import {module}
spent = time.process_time() - begun
import json
print(json.dumps([spent, sorted(sys.modules), __import__("threading").active_count()]))
"""


def importing(module: str) -> tuple[float, set[str], int]:
    """Seconds of processor time, the modules then loaded, the threads then running; in a fresh interpreter.

    Processor time, since a busy machine makes everything take longer.
    """
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format(module=module)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    seconds, names, threads = json.loads(child.stdout)
    return seconds, set(names), threads


@pytest.fixture(scope="module")
def figures() -> dict[str, list[tuple[float, set[str], int]]]:
    """Both imports, alternating, so that whatever disturbs disturbs both."""
    measured: dict[str, list[tuple[float, set[str], int]]] = {"pydantic": [], "rpcx": []}
    for _ in range(ROUNDS):
        for module, results in measured.items():
            results.append(importing(module))
    return measured


def test_importing_rpcx_costs_little_more_than_pydantic(figures):
    medians = {module: statistics.median(r[0] for r in results) for module, results in figures.items()}
    pydantic, rpcx = medians["pydantic"], medians["rpcx"]
    assert rpcx - pydantic < MOST_SECONDS, f"import rpcx {rpcx:.3f} s, import pydantic {pydantic:.3f} s"


def test_importing_rpcx_loads_nothing_that_only_some_need(figures):
    _, with_pydantic, _ = figures["pydantic"][0]
    _, with_rpcx, _ = figures["rpcx"][0]
    assert "rpcx.errors" in with_rpcx
    assert not (with_rpcx - with_pydantic) & HEAVY


def test_importing_rpcx_starts_no_thread(figures):
    assert all(threads == 1 for _, _, threads in figures["rpcx"])
