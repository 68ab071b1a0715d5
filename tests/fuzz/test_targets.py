"""Parsers of a stranger's bytes refuse them in their own way; and, where there is atheris, a short search for more."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from rpcx.protocol.connection import CALL
from tests.fuzz.targets import (
    HOST,
    TARGETS,
    answered,
    asked,
    endpoint,
    envelope,
    http,
    mutants,
    posted,
    pyro,
    pyro_answer,
)
from tests.interop.dotnet import soap_vectors

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mutants_each(request) -> int:
    return 50_000 if request.config.getoption("--long") else 1500


@pytest.mark.parametrize("target", TARGETS)
def test_changed_bytes_are_refused_and_nothing_else_happens(target, mutants_each):
    parser, seeds = TARGETS[target]
    for data in [*seeds, b"", b"\x00", b"\xff" * 100, *mutants(target, mutants_each)]:
        parser(data)


def test_the_host_of_the_target_really_answers():
    """Else the mutants would prove nothing."""
    assert endpoint(envelope(CALL, ["bank", "anything", [1], None])) > 0
    assert b"EchoDictionaryResponse" in http(posted(soap_vectors.DICTIONARY))
    assert b"EchoPersonResponse" in http(posted(soap_vectors.PERSON))
    assert b"(('ann',1),{})" in pyro(asked("bank", "anything", "ann", 1))
    assert pyro_answer(answered("ann"))
    assert not HOST._realm.endpoints


def test_make_fuzz_knows_every_target():
    _, _, listed = (ROOT / "Makefile").read_text().partition("for target in $(or $(TARGET),")
    assert set(listed.partition(")")[0].replace("\\", " ").split()) == TARGETS.keys()


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="this platform has no atheris")
@pytest.mark.parametrize("target", TARGETS)
def test_a_short_search_finds_nothing(target, tmp_path, request):
    found = tmp_path / "found"
    found.mkdir()
    runs = 500_000 if request.config.getoption("--long") else 1500
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", target, f"-runs={runs}", f"-artifact_prefix={tmp_path}/", str(found)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {runs} runs" in done.stderr
