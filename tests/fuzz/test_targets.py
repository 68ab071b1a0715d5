"""Parsers of a stranger's bytes refuse them in their own way; and, where there is atheris, a short search for more."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rpcx.protocol.connection import CALL
from tests.fuzz import pyro as pyro_parsers
from tests.fuzz.targets import HOST, TARGETS, endpoint, envelope, http, kept, mutants, posted, pyro, pyro_answers
from tests.interop.dotnet import soap_vectors

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mutants_each(request) -> int:
    return 50_000 if request.config.getoption("--long") else 1500


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # strange serial numbers
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
    assert b"'ann'" in pyro(pyro_parsers.call("serpent", "anything", "ann"))
    assert pyro_answers(pyro_parsers.answer("serpent", "ann"))
    assert b'"at": null' in pyro(pyro_parsers.call("json", "typed", {"x": 1}))
    assert not HOST._realm.endpoints


def test_each_target_has_a_corpus():
    assert [target for target in TARGETS if not kept(target)] == []


def test_make_fuzz_leaves_out_none():
    (listed,) = re.findall(r"\$\(or \$\(TARGET\),(.*?)\)", (ROOT / "Makefile").read_text())
    assert sorted(listed.split()) == sorted(TARGETS)


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
