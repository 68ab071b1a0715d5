"""A client of the process control service: what one can do with an `Agent` and a `Process`.

``client.py URL LEASE`` walks through all of it (the agent was started with leases of so many seconds);
``client.py URL hold`` starts children, names their pids and waits to be killed.
"""

import itertools
import os
import sys
import time

import rpcx
from examples.process_control.report import Report
from schemas.process_control import Agent, Process, ProcessFilter, SpawnSpec

SLACK = 2.0  # seconds that something may come late on a busy machine
TALKER = """
import sys, time
for i in range(1, 5):
    sys.stdout.write(f"line {i} of a child\\n")
    sys.stdout.flush()
    time.sleep(0.25)
sys.exit(7)
"""
FAMILY = SpawnSpec(argv=["sh", "-c", "sleep 600 & sleep 600 & wait"])  # a shell with two children of its own


def look(agent: Agent, report: Report) -> None:
    """Facts and the process table."""
    facts = agent.facts()
    free = f"{facts.memory_available_bytes / 2**30:.1f} of {facts.memory_bytes / 2**30:.1f} GiB free"
    report.line(
        f"{facts.hostname}: {facts.system}, {facts.cpus} cpus, {free}; agent {facts.agent.pid} runs as {facts.user}"
    )
    everything = agent.processes()
    report.processes(sorted(everything, key=lambda info: info.memory_bytes or 0, reverse=True)[:6])
    report.check(f"{len(everything)} processes listed, the agent among them", facts.agent in {p.id for p in everything})
    agents = agent.processes(ProcessFilter(user=facts.user, command=r"services\.process_control"))
    report.check("a filter by user and regular expression finds the agent", facts.agent in {p.id for p in agents})


def stream(agent: Agent, report: Report) -> None:
    """A child, its output as it comes, and what watching saw of it."""
    with rpcx.options(timeout=10):
        events = agent.watch(ProcessFilter(command=f"talker {os.getpid()}$"), 0.1)
        next(events)  # from here on nothing is missed
    begun = time.monotonic()
    with agent.spawn(SpawnSpec(argv=[sys.executable, "-c", TALKER, f"talker {os.getpid()}"], stderr="stdout")) as child:
        arrived = []
        for chunk in child.stdout():
            arrived.append(time.monotonic() - begun)
            report.output(arrived[-1], chunk.decode().rstrip())
        report.check("output arrived while the child ran", arrived[-1] - arrived[0] > 0.5)
        status = child.wait()
        report.check(f"the child {status.text}", status.code == 7)
        seen = [(event.kind, event.process.id) for event in itertools.islice(events, 2) if event.process is not None]
        report.check("watching saw it start and end", seen == [("started", child.id()), ("ended", child.id())])


def control(agent: Agent, report: Report) -> None:
    """Input, suspending, signals, stopping."""
    with agent.spawn(SpawnSpec(argv=["tr", "a-z", "A-Z"], stdin="pipe")) as child:
        child.write(b"what goes in small\n")
        child.suspend()
        report.check("a suspended child is stopped", child.info().status == "stopped")
        child.resume()
        child.close_stdin()
        report.check("what was written came back in capitals", b"".join(child.stdout()) == b"WHAT GOES IN SMALL\n")
    with agent.spawn(FAMILY) as family:
        pids = family_of(agent, family)
        stopped = family.stop(1.0)
        report.check(f"stopping a shell stopped its children too: {stopped.status.text}", len(stopped.signalled) == 3)
        report.check("none of them is left", not living(agent, pids))
    for promise, error, attempt in (
        ("pid 1 is not signalled", PermissionError, lambda: agent.attach(1).signal("TERM")),
        ("nor the agent itself", PermissionError, lambda: agent.attach(agent.facts().agent.pid).stop()),
        (
            "a program that does not exist is named",
            FileNotFoundError,
            lambda: agent.spawn(SpawnSpec(argv=["frobnicate"])),
        ),
    ):
        try:
            attempt()
        except error as reason:
            report.check(f"{promise}: {reason}", True)
        else:
            report.check(promise, False)


def lease(agent: Agent, report: Report, seconds: float) -> None:
    """A child lives as long as its lease, which calls and sponsors renew."""
    forgotten, sponsored = agent.spawn(FAMILY), agent.spawn(FAMILY)
    sponsor = rpcx.ClientSponsor(renewal=seconds)
    rpcx.lease(sponsored).register(sponsor)
    pids, kept = family_of(agent, forgotten), family_of(agent, sponsored)
    report.line(f"two shells of three processes each; nobody calls them for {seconds:g} s, one has a sponsor")
    gone = gone_within(agent, pids, seconds + SLACK)
    report.check("the lease ran out, and the three processes are gone", gone)
    time.sleep(0.3)
    report.check("the sponsored ones are not", living(agent, kept) == kept)
    try:
        forgotten.info()
    except rpcx.ObjectExpired as error:
        report.check("a call says so", True)
        report.line(str(error))
    else:
        report.check("a call says so", False)
    sponsored.stop(1.0)


def family_of(agent: Agent, shell: Process) -> tuple[int, ...]:
    """Pids of the shell and its two children, once they are there."""
    pid = shell.id().pid
    deadline = time.monotonic() + SLACK
    while True:
        pids = tuple(info.id.pid for info in agent.processes() if pid in (info.id.pid, info.parent))
        if len(pids) == 3 or time.monotonic() > deadline:
            return pids
        time.sleep(0.02)


def living(agent: Agent, pids: tuple[int, ...]) -> tuple[int, ...]:
    """Those of these processes that live. A zombie does not: it waits for init to take note of its end."""
    found = agent.processes(ProcessFilter(pids=pids))
    return tuple(info.id.pid for info in found if info.status != "zombie")


def gone_within(agent: Agent, pids: tuple[int, ...], seconds: float) -> bool:
    """Whether none of these processes is left in time."""
    deadline = time.monotonic() + seconds
    while living(agent, pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def hold(url: str) -> None:
    """Start children, and hold them until killed."""
    with rpcx.connect(url) as server:
        agent = server.get(Agent)
        family = server.create(Process, FAMILY)
        print(*family_of(agent, family), flush=True)
        with rpcx.options(timeout=None):
            family.wait()


def walk(url: str, seconds: float) -> int:
    """All of it; how many promises were not kept."""
    report = Report()
    with rpcx.connect(url) as server:
        agent = server.get(Agent)
        look(agent, report)
        stream(agent, report)
        control(agent, report)
        lease(agent, report, seconds)
    return report.broken


if __name__ == "__main__":
    if sys.argv[2] == "hold":
        hold(sys.argv[1])
    else:
        sys.exit(walk(sys.argv[1], float(sys.argv[2])))
