"""Whom clients may signal."""

import os
import subprocess

import pytest

from services.process_control.rules import Rules, user_name


def test_processes_of_the_agents_user_may_be_signalled(sleeper):
    Rules().permit(sleeper.pid)


def test_process_1_and_the_agent_itself_never():
    everybody = Rules(users=frozenset(range(70_000)))
    with pytest.raises(PermissionError, match="process 1 runs the system"):
        everybody.permit(1)
    with pytest.raises(PermissionError, match="is this agent itself"):
        everybody.permit(os.getpid())


def test_processes_of_others_only_if_they_are_allowed(sleeper):
    me = user_name(os.getuid())
    with pytest.raises(
        PermissionError, match=f"process {sleeper.pid} runs as {me}; this agent signals only .* of 54321$"
    ):
        Rules(users=frozenset({54321})).permit(sleeper.pid)
    with pytest.raises(PermissionError, match=r"of nobody$"):
        Rules(users=frozenset()).permit(sleeper.pid)
    Rules(users=frozenset({54321, os.getuid()})).permit(sleeper.pid)


@pytest.mark.parametrize("identity", ["setuid", "seteuid"])
def test_both_the_real_and_the_effective_user_count(identity):
    """A process that root made another user's, or the other way round, belongs to both."""
    if os.getuid() != 0:
        assert Rules().users == {os.getuid()}  # only root can make such a process
        return
    code = f"import os, time; os.{identity}(54321); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen(["python3", "-I", "-S", "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    with pytest.raises(PermissionError, match="runs as 54321"):
        Rules().permit(process.pid)
    process.kill()
    process.communicate()


def test_a_process_that_does_not_exist_is_no_question_of_permission():
    with pytest.raises(ProcessLookupError, match="there is no process"):
        Rules().permit(2**22 + 1)


def test_an_account_without_a_name_is_called_by_its_number():
    assert user_name(54321) == "54321"
