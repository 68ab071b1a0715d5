"""The demonstration: an agent in one process, clients in others, over a named pipe and over TCP with mutual TLS.

Each step says what it promises and checks it; the exit status is 0 only if every promise was kept.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rpcx
from examples.process_control.client import SLACK, gone_within, living
from examples.process_control.report import Report
from schemas.process_control import Agent

ROOT = Path(__file__).resolve().parents[2]
LEASE = 2.0  # seconds a Process lives without calls
GRACE = 0.5  # seconds a lost client has to come back
PATIENCE = 45.0  # seconds for a client to do all it does


def python(*words: str, **options: object) -> "subprocess.Popen[str]":
    """Another Python process, in the project's folder."""
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, text=True, **options)  # type: ignore[call-overload,no-any-return]  # Popen's overloads see no keywords through **


def start_agent() -> "tuple[subprocess.Popen[str], list[str]]":
    """The agent, and where it listens."""
    words = ("--listen", f"pipe://demo-{os.getpid()}", "--listen", "tcp://127.0.0.1:0")
    agent = python("-m", "services.process_control", *words, "--lease", f"{LEASE}", "--grace", f"{GRACE}",
        stdout=subprocess.PIPE)  # fmt: skip
    assert agent.stdout is not None
    lines = [agent.stdout.readline() for _ in range(2)]
    return agent, [line.removeprefix("listening on ").strip() for line in lines]


def kill_a_client(url: str, report: Report) -> None:
    """End a client by kill -9 that holds a shell with two children: the agent cleans up."""
    client = python("-m", "examples.process_control.client", url, "hold", stdout=subprocess.PIPE)
    assert client.stdout is not None
    with client, rpcx.connect(url) as server:
        agent = server.get(Agent)
        pids = tuple(map(int, client.stdout.readline().split()))
        there = len(pids) == 3 and living(agent, pids) == pids
        report.check(f"client {client.pid} holds a shell and its two children: {pids}", there)
        client.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        gone = gone_within(agent, pids, GRACE + SLACK)
        report.check(f"killed; {time.monotonic() - killed:.1f} s later its children are gone", gone)


def main() -> int:
    """Run it all, with keys that are made for it and thrown away; the exit status."""
    with tempfile.TemporaryDirectory() as keys:
        os.environ["RPCX_HOME"] = keys
        return demonstrate()


def demonstrate() -> int:
    """Whether all promises were kept, as an exit status."""
    report = Report()
    begun = time.monotonic()
    agent, urls = start_agent()
    try:
        if not all(urls):
            report.check("the agent listens", False)
            return 1
        report.title(f"agent {agent.pid}: leases of {LEASE:g} s, {GRACE:g} s for lost clients to come back")
        for url in urls:
            report.title(f"a client at {url}")
            client = python("-m", "examples.process_control.client", url, f"{LEASE}")
            report.broken += client.wait(PATIENCE) != 0
            report.title(f"kill -9 of a client at {url}")
            kill_a_client(url, report)
        report.title("the end")
        agent.terminate()
        report.check("the agent ended in order", agent.wait(10) == 0)
    finally:
        agent.kill()
        agent.communicate()
    kept = report.broken == 0
    report.check(f"every promise kept, in {time.monotonic() - begun:.0f} s" if kept else "not as promised", kept)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
