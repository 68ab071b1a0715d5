"""The agent, used as its clients use it: through a named pipe."""

import asyncio
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

import rpcx
from schemas.process_control import Agent, ExitStatus, Process, ProcessFilter, ProcessId, SpawnSpec
from schemas.process_control_async import AsyncAgent, AsyncProcess
from services.process_control.agent import implementations
from services.process_control.processes import look
from services.process_control.rules import Rules
from tests.services.process_control.conftest import eventually, lives, python

LEASE = 0.6  # seconds, in tests of leases


class Place:
    """An agent that runs in this process, and a client."""

    def __init__(self, lease: rpcx.Lease | None = None, rules: Rules | None = None, grace: float = 0.2) -> None:
        agent, process, self.desk = implementations(rules, lease)
        self.host = rpcx.Host(grace=grace)
        self.host.register(agent, process)
        self.url = self.host.listen(f"pipe://t{uuid.uuid4().hex[:12]}")
        self.host.start()
        self.server = rpcx.connect(self.url)
        self.agent = self.server.get(Agent)

    def close(self) -> None:
        self.server.close()
        self.host.close()
        self.desk.close()


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.close()


@pytest.fixture
def agent(place: Place) -> Agent:
    return place.agent


@pytest.fixture
def hasty() -> Iterator[Place]:
    """An agent with short leases."""
    place = Place(rpcx.Lease(initial=LEASE, renew_on_call=LEASE, sponsorship_timeout=1))
    yield place
    place.close()


SLEEP = SpawnSpec(argv=["sleep", "60"])


# --- looking ------------------------------------------------------------------------------------------------


def test_the_agent_tells_about_its_machine_and_its_processes(agent, sleeper):
    facts = agent.facts()
    assert facts.agent == ProcessId(pid=os.getpid(), started=look(os.getpid()).started)
    assert eventually(lambda: agent.processes(ProcessFilter(pids=[sleeper.pid]))[0].command == ("sleep", "60"))
    assert len(agent.processes()) > 1


def test_watching_sees_a_child_start_and_end_and_stops_when_it_is_closed(agent):
    events = agent.watch(ProcessFilter(command="^sleep 60 60"), interval=0.05)
    assert next(events).kind == "watching"
    with agent.spawn(SpawnSpec(argv=["sleep", "60", "60"])) as child:
        event = next(events)
        assert (event.kind, event.process.id) == ("started", child.id())
    event = next(events)
    assert (event.kind, event.process.name) == ("ended", "sleep")
    events.close()


@pytest.mark.parametrize("interval", [0, 0.01, 1e9, float("nan")])
def test_intervals_that_make_no_sense_are_refused(agent, interval):
    with pytest.raises(rpcx.InvalidArguments, match="interval"):
        next(agent.watch(None, interval))


# --- children -----------------------------------------------------------------------------------------------


def test_a_child_can_be_followed_from_its_start_to_its_end(agent):
    with agent.spawn(
        SpawnSpec(argv=["sh", "-c", "read line; echo got $line; echo oops >&2; exit 3"], stdin="pipe")
    ) as child:
        assert child.owned()
        assert child.status() is None
        assert child.info().parent == os.getpid()
        assert child.write(b"this\n") == 5
        child.close_stdin()
        assert b"".join(child.stdout()) == b"got this\n"
        assert b"".join(child.stderr()) == b"oops\n"
        assert child.wait() == child.status() == ExitStatus(code=3)
        assert b"".join(child.stdout(start=4)) == b"this\n"
        for act in (child.info, child.stop, child.suspend, child.resume, lambda: child.signal("TERM")):
            with pytest.raises(ProcessLookupError, match=r"has ended: it exited with 3"):
                act()


def test_a_client_can_make_a_process_itself(place):
    with place.server.create(Process, SLEEP) as child:
        assert child.owned()
        assert child.info().id == child.id()
    assert eventually(lambda: not lives(child_pid(place)))


def child_pid(place: Place) -> int:
    living = list(place.desk.children._living)
    return living[0].pid if living else 2**22 + 1


def test_output_streams_while_the_child_runs_and_is_binary(agent):
    code = (
        "import sys, time\n"
        "for i in range(3): sys.stdout.buffer.write(bytes(range(256))); sys.stdout.flush(); time.sleep(0.15)"
    )
    with agent.spawn(SpawnSpec(argv=python(code))) as child:
        arrived, got = [], b""
        for chunk in child.stdout():
            arrived.append(time.monotonic())
            got += chunk
        assert got == bytes(range(256)) * 3
        assert arrived[-1] - arrived[0] > 0.2


def test_a_slow_reader_slows_the_child_and_loses_nothing(agent):
    blocks = 400  # of 64 KiB: 25 MiB, more than is sent ahead
    code = f"import sys; w = sys.stdout.buffer.write; [w(bytes([i % 251]) * 65536) for i in range({blocks})]"
    with agent.spawn(SpawnSpec(argv=python(code))) as child:
        output = child.stdout()
        first = next(output)
        with pytest.raises(TimeoutError, match=r"has not ended within 0\.3 s"):
            child.wait(0.3)
        got = first + b"".join(output)
        assert got == b"".join(bytes([i % 251]) * 65536 for i in range(blocks))


def test_a_reader_that_leaves_can_come_back_where_it_was(agent):
    with agent.spawn(SpawnSpec(argv=["sh", "-c", "echo one; read x; echo two"], stdin="pipe")) as child:
        output = child.stdout()
        got = next(output)
        output.close()
        child.write(b"\n")
        assert got + b"".join(child.stdout(start=len(got))) == b"one\ntwo\n"
        with pytest.raises(LookupError, match="byte 99 is not at hand"):
            next(child.stdout(start=99))


def test_stopping_tells_who_was_stopped_and_who_had_to_be_killed(agent):
    with agent.spawn(SpawnSpec(argv=["sh", "-c", "trap '' TERM; sleep 60 & echo ready; wait; wait"])) as child:
        next(child.stdout())
        report = child.stop(0.1)
        assert report.status == ExitStatus(signal="SIGKILL")
        assert report.signalled[0] == child.id()
        assert len(report.signalled) == 2
        assert child.id() in report.killed


@pytest.mark.parametrize("name", ["SIGTERM", "term", "Term", 15])
def test_signals_go_by_name_or_number(agent, name):
    with agent.spawn(SLEEP) as child:
        child.signal(name)
        assert child.wait(5) == ExitStatus(signal="SIGTERM")


@pytest.mark.parametrize("name", ["SIGNOTHING", "", "SIG", 0, -1, 9999, "15"])
def test_what_is_no_signal_is_refused(agent, name):
    with agent.spawn(SLEEP) as child:
        with pytest.raises(ValueError, match="is no signal of this system; it has SIGHUP, SIGINT"):
            child.signal(name)
        assert child.status() is None


def test_suspended_children_stand_still_when_the_call_returns(agent):
    with agent.spawn(SLEEP) as child:
        child.suspend()
        assert child.info().status == "stopped"
        child.resume()
        assert eventually(lambda: child.info().status == "sleeping")


def test_pipes_that_were_not_asked_for_are_an_error(agent, sleeper):
    with agent.spawn(SpawnSpec(argv=["sleep", "60"], stderr="stdout")) as child:
        with pytest.raises(ValueError, match="it was started with stdin='null'"):
            child.write(b"x")
        with pytest.raises(ValueError, match="it was started with stderr='stdout'"):
            next(child.stderr())
    with agent.attach(sleeper.pid) as other:
        for use in (lambda: other.write(b"x"), other.close_stdin, lambda: next(other.stdout())):
            with pytest.raises(ValueError, match="was not started by this object"):
                use()


def test_what_cannot_be_started_is_an_error_that_says_why(agent, tmp_path):
    with pytest.raises(FileNotFoundError, match="'frobnicate': there is no such program in PATH"):
        agent.spawn(SpawnSpec(argv=["frobnicate"]))
    (tmp_path / "plain").write_text("no program")
    with pytest.raises(PermissionError, match="may not execute it"):
        agent.spawn(SpawnSpec(argv=[str(tmp_path / "plain")]))


def test_one_agent_has_only_so_many_children():
    place = Place(rules=Rules(most_children=1))
    try:
        with place.agent.spawn(SLEEP), pytest.raises(rpcx.LimitExceeded, match="has 1 children already"):
            place.agent.spawn(SLEEP)
    finally:
        place.close()


# --- processes of others ------------------------------------------------------------------------------------


def test_an_attached_process_is_controlled_but_not_owned(agent, sleeper):
    with agent.attach(sleeper.pid) as other:
        assert not other.owned()
        assert other.info().command == ("sleep", "60")
        other.suspend()
        assert other.info().status == "stopped"
        other.resume()
    time.sleep(0.3)
    assert lives(sleeper.pid)  # though the object has ended
    with agent.attach(sleeper.pid) as other:
        assert other.status() is None
        report = other.stop(2)
        assert (report.status, report.signalled, report.killed) == (ExitStatus(), (other.id(),), ())
        assert other.wait() == other.status() == ExitStatus()
    assert sleeper.wait(5) == -signal.SIGTERM


def test_an_attached_process_that_ignores_sigterm_is_killed(agent):
    code = "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    process = subprocess.Popen(python(code), stdout=subprocess.PIPE)
    process.stdout.readline()
    with agent.attach(process.pid) as other:
        assert other.stop(0.1).killed == (other.id(),)
    assert process.wait(5) == -signal.SIGKILL
    process.stdout.close()


def test_a_process_is_named_by_pid_and_start_time(place, sleeper):
    identity = place.agent.attach(sleeper.pid).id()
    assert place.server.create(Process, identity).id() == identity
    with pytest.raises(ProcessLookupError, match="belongs to another one now"):
        place.server.create(Process, ProcessId(pid=sleeper.pid, started=identity.started - 1))


def test_processes_that_are_not_there_are_an_error(agent, sleeper):
    with pytest.raises(ProcessLookupError, match="there is no process 4194305"):
        agent.attach(4194305)
    other = agent.attach(sleeper.pid)
    sleeper.kill()
    assert eventually(lambda: not lives(sleeper.pid))
    with pytest.raises(ProcessLookupError, match="has ended"):  # a zombie
        agent.attach(sleeper.pid)
    with pytest.raises(ProcessLookupError, match="has ended"):
        other.signal("TERM")
    sleeper.wait()
    with pytest.raises(ProcessLookupError, match=r"there is no process|has ended"):
        other.info()
    assert other.status() == ExitStatus()


@pytest.mark.parametrize("pid", [0, -1, -5, 2**31, 2**70])
def test_numbers_that_would_mean_many_processes_are_no_pids(agent, pid):
    with pytest.raises(rpcx.InvalidArguments, match="pid"):
        agent.attach(pid)


def test_what_the_rules_forbid_is_not_done(agent):
    with pytest.raises(PermissionError, match="process 1 runs the system"):
        agent.attach(1).stop()
    with pytest.raises(PermissionError, match="is this agent itself"):
        agent.attach(os.getpid()).signal("KILL")


def test_other_users_processes_can_be_seen_and_not_signalled(sleeper):
    place = Place(rules=Rules(users=frozenset({54321})))
    try:
        other = place.agent.attach(sleeper.pid)
        assert other.info().id.pid == sleeper.pid
        for act in (other.stop, other.suspend, other.resume, lambda: other.signal("HUP")):
            with pytest.raises(PermissionError, match="this agent signals only processes of 54321"):
                act()
        assert lives(sleeper.pid)
        assert not look(sleeper.pid).stopped
        with place.agent.spawn(SLEEP) as own:
            assert own.stop().status.signal == "SIGTERM"  # one's own children always
    finally:
        place.close()


# --- ownership ----------------------------------------------------------------------------------------------


FAMILY = SpawnSpec(argv=["sh", "-c", "sleep 60 & echo $!; wait"], grace=1)


def test_a_child_ends_with_its_proxy(agent):
    with agent.spawn(FAMILY) as child:
        pids = [child.id().pid, int(next(child.stdout()))]
    assert eventually(lambda: not any(map(lives, pids)))


def test_a_child_ends_with_its_lease_unless_somebody_renews_it(hasty):
    forgotten, renewed = hasty.agent.spawn(FAMILY), hasty.agent.spawn(FAMILY)
    pids = [forgotten.id().pid, renewed.id().pid]
    grandchild = int(next(forgotten.stdout()))
    rpcx.lease(renewed).renew(60)
    assert eventually(lambda: not lives(pids[0]) and not lives(grandchild), LEASE + 3)
    assert lives(pids[1])
    with pytest.raises(rpcx.ObjectExpired, match="its lease ran out"):
        forgotten.info()


def test_who_reads_its_output_keeps_a_child(hasty):
    child = hasty.agent.spawn(SpawnSpec(argv=["sh", "-c", f"echo begin; sleep {3 * LEASE}; echo end"]))
    assert b"".join(child.stdout()) == b"begin\nend\n"


def test_a_child_ends_when_its_client_is_gone(place):
    other = rpcx.connect(place.url)
    child = other.get(Agent).spawn(FAMILY)
    pids = [child.id().pid, int(next(child.stdout()))]
    other.close()
    assert eventually(lambda: not any(map(lives, pids)))


def test_children_end_with_their_agent():
    place = Place()
    child = place.agent.spawn(FAMILY)
    pids = [child.id().pid, int(next(child.stdout()))]
    place.close()
    assert not any(map(lives, pids))


# --- callers who give up ------------------------------------------------------------------------------------


def test_a_call_that_its_caller_gave_up_ends_at_the_agent(place):
    with place.agent.spawn(SpawnSpec(argv=["sleep", "60"], stdin="pipe")) as child:
        for wait in (child.wait, lambda: child.write(b"x" * 2**20), lambda: next(child.stdout())):
            with rpcx.options(timeout=0.1), pytest.raises(rpcx.CallTimeout):
                wait()
        output = place.desk.children._living.copy().pop().stdout
        assert eventually(lambda: not output._readers)


def test_many_wait_for_the_same_child(agent):
    with agent.spawn(SpawnSpec(argv=["sh", "-c", "read x; exit 4"], stdin="pipe")) as child:
        futures = [rpcx.future(child.wait) for _ in range(8)]
        child.close_stdin()
        assert {future.result(5).code for future in futures} <= {4}


def test_two_clients_may_use_one_child(place):
    with place.agent.spawn(SpawnSpec(argv=["cat"], stdin="pipe")) as child:
        got: list[bytes] = []
        threads = [threading.Thread(target=lambda: got.append(b"".join(child.stdout(start=0)))) for _ in range(3)]
        for thread in threads:
            thread.start()
        child.write(b"to all")
        child.close_stdin()
        for thread in threads:
            thread.join(5)
        assert got == [b"to all"] * 3


def test_async_clients_await_the_same_contract(place):
    async def use() -> None:
        async with rpcx.aio.connect(place.url) as server:
            agent = server.get(AsyncAgent)
            async with await agent.spawn(SpawnSpec(argv=["cat"], stdin="pipe")) as child:
                await child.write(b"hello")
                await child.close_stdin()
                assert [chunk async for chunk in child.stdout()] == [b"hello"]
                assert (await child.wait()).code == 0
            made = await server.create(AsyncProcess, SLEEP)
            with pytest.raises(rpcx.CallTimeout), rpcx.options(timeout=0.1):
                await made.wait()
            assert (await made.stop(1.0)).status.signal == "SIGTERM"

    asyncio.run(use())
