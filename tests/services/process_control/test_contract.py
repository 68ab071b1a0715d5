"""What is asked for and reported: `schemas.process_control`."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

import rpcx
from schemas.process_control import Process, ProcessFilter, ProcessId, ProcessInfo, SpawnSpec, regex
from services.process_control.agent import AgentService, ProcessService, implementations


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"argv": []}, "at least 1 item"),
        ({"argv": "ls -l"}, "argv"),  # one text is no list of words
        ({"argv": ["ls", "\0"]}, "contains a NUL character"),
        ({"argv": ["ls"], "env": {"A=B": "c"}}, "'A=B' cannot be the name of a variable"),
        ({"argv": ["ls"], "env": {"": "c"}}, "cannot be the name of a variable"),
        ({"argv": ["ls"], "env": {"A": "\0"}}, "contains a NUL character"),
        ({"argv": ["ls"], "stdin": "tty"}, "'null' or 'pipe'"),
        ({"argv": ["ls"], "grace": -1}, "greater than or equal to 0"),
        ({"argv": ["ls"], "grace": float("inf")}, "grace"),
        ({"argv": ["ls"], "grace": 1e9}, "less than or equal to 60"),
        ({"argv": ["ls"], "shell": True}, "shell"),
        ({}, "argv"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_with_the_reason(wrong, where):
    with pytest.raises(ValidationError, match=where):
        SpawnSpec(**wrong)


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"pids": [0]}, "greater than 0"),
        ({"pids": [2**31]}, "less than 2147483648"),
        ({"pids": "12"}, "pids"),
        ({"command": "("}, "not a regular expression"),
        ({"command": "(?=a)"}, "look-around"),
        ({"command": "(a{1000}){1000}"}, "size limit"),
        ({"command": "a" * 501}, "at most 500"),
        ({"limit": 0}, "limit"),
        ({"nmae": "x"}, "nmae"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_with_the_reason(wrong, where):
    with pytest.raises(ValidationError, match=where):
        ProcessFilter(**wrong)


def test_expressions_are_searched_for_in_linear_time():
    assert regex(r"b\d+").isinstance_python("a b42 c")
    assert not regex("(a+)+$").isinstance_python("a" * 100_000 + "!")


def test_an_identity_reads_well():
    assert str(ProcessId(pid=7, started=12.5)) == "7@12.5"


def test_reports_of_newer_agents_can_be_read():
    info = {
        "id": {"pid": 7, "started": 1.0, "boot": "x"}, "parent": 1, "name": "n", "user": None, "status": "new one",
        "command": [], "started": "2026-01-01T00:00:00Z", "cpu_seconds": None, "memory_bytes": None, "threads": None,
        "colour": "red",
    }  # fmt: skip
    assert ProcessInfo.model_validate(info).status == "new one"


def test_implementations_fulfil_the_contract_also_with_a_lease_of_their_own():
    agent, process, _ = implementations(lease=rpcx.Lease(initial=1))
    host = rpcx.Host()
    host.register(agent, process)
    host.close()
    assert not ProcessService.__abstractmethods__
    assert not AgentService.__abstractmethods__
    contract, own = Process.__rpcx_contract__, process.__rpcx_contract__
    assert own.lease == rpcx.Lease(initial=1)
    assert own.fingerprint == contract.fingerprint
    assert set(own.methods) == set(contract.methods)


def test_the_contract_is_the_same_in_every_process():
    code = (
        "from schemas.process_control import Agent, Process\n"
        "print(Process.__rpcx_contract__.fingerprint, Agent.__rpcx_contract__.fingerprint)"
    )
    printed = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(printed) == 1


def test_clients_need_no_service():
    code = (
        "import sys, schemas.process_control; print([m for m in sys.modules if m.startswith(('services', 'psutil'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
