"""The agent: carries out the contracts of `schemas.process_control` on this machine.

What is done here is only whom a call is for, and what it is told when it fails. The work is in the modules
beside this one: `processes` (identity and signals), `children` (what was started here), `pipes` (their input
and output), `table` (what there is to see), `rules` (what is allowed).
"""

import contextlib
from collections.abc import Iterator
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from typing import Annotated, ClassVar

from pydantic import Field

import rpcx
from schemas.process_control import (
    GRACE,
    Agent,
    ExitStatus,
    HostFacts,
    Interval,
    Pid,
    Process,
    ProcessEvent,
    ProcessFilter,
    ProcessId,
    ProcessInfo,
    Seconds,
    SpawnSpec,
    StopReport,
    Timeout,
)
from services.process_control import table
from services.process_control.children import HOLD_SECONDS, Child, Children
from services.process_control.pipes import Output
from services.process_control.processes import Handle, look, stopped_within
from services.process_control.rules import Rules
from services.process_control.signals import signal_number


class Desk:
    """What the objects of one agent share."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.children = Children(self.rules.most_children)

    def close(self) -> None:
        """Stop all children."""
        self.children.close()


class ProcessService(Process):
    """A process of this machine. Its methods are marked, so that subclasses may have another lease."""

    desk: ClassVar[Desk] = Desk()

    def __init__(self, target: SpawnSpec | ProcessId) -> None:
        self._child: Child | None = None  # None: not ours
        if isinstance(target, SpawnSpec):
            self._child = self.desk.children.spawn(target)
            self._handle = self._child.handle
        else:
            self._handle = Handle(target.pid, target.started)
            if not self._handle.alive:
                self._handle.close()
                raise ProcessLookupError(f"process {target.pid} has ended")

    def close(self) -> None:
        """Stop the process if it is owned; let it go otherwise."""
        if self._child is not None:
            self._child.close()
        else:
            self._handle.close()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # --- to look at it -------------------------------------------------------------------------------------

    @rpcx.method
    def id(self) -> ProcessId:
        return ProcessId(pid=self._handle.pid, started=self._handle.started)

    @rpcx.method
    def owned(self) -> bool:
        return self._child is not None

    @rpcx.method(blocking=True, idempotent=True)
    def info(self) -> ProcessInfo:
        if self._child is None or not self._child.ended.is_set():
            seen = look(self._handle.pid)
            info = table.info_of(seen) if seen.started == self._handle.started else None
            if info is not None:
                return info
        raise self._gone()

    @rpcx.method
    def status(self) -> ExitStatus | None:
        if self._child is not None:
            return self._child.status
        return None if self._handle.alive else ExitStatus()

    @rpcx.method(blocking=True)
    def wait(self, timeout: Timeout | None = None) -> ExitStatus:
        if self._child is not None:
            status = self._child.wait(timeout, rpcx.check)
        else:
            status = ExitStatus() if self._handle.wait(timeout, rpcx.check) else None
        if status is None:
            raise TimeoutError(f"process {self._handle.pid} has not ended within {timeout:g} s")
        return status

    # --- to act on it --------------------------------------------------------------------------------------

    @rpcx.method(blocking=True)
    def signal(self, name: str | int) -> None:
        self._send(signal_number(name))

    @rpcx.method(blocking=True)
    def stop(self, grace: Seconds = GRACE) -> StopReport:
        if self._child is None:
            return self._stop_foreign(grace)
        report = self._child.stop(grace, rpcx.check)
        if report is None:
            raise self._gone()
        return report

    @rpcx.method(blocking=True)
    def suspend(self) -> None:
        if self._child is None:
            self._send(SIGSTOP)
            stopped_within(HOLD_SECONDS, self._handle.pid)
        elif not self._child.hold():
            raise self._gone()

    @rpcx.method(blocking=True)
    def resume(self) -> None:
        if self._child is None:
            self._send(SIGCONT)
        elif not self._child.send(SIGCONT):
            raise self._gone()

    # --- its input and output ------------------------------------------------------------------------------

    @rpcx.method(blocking=True)
    def write(self, data: bytes) -> int:
        if self._child is None or self._child.stdin is None:
            raise self._no_pipe("stdin")
        return self._child.stdin.write(data, rpcx.check)

    @rpcx.method(blocking=True)
    def close_stdin(self) -> None:
        if self._child is None or self._child.stdin is None:
            raise self._no_pipe("stdin")
        self._child.stdin.close()

    @rpcx.method(blocking=True)
    def stdout(self, start: Annotated[int, Field(ge=0)] | None = None) -> Iterator[bytes]:
        yield from self._output("stdout", None if self._child is None else self._child.stdout, start)

    @rpcx.method(blocking=True)
    def stderr(self, start: Annotated[int, Field(ge=0)] | None = None) -> Iterator[bytes]:
        yield from self._output("stderr", None if self._child is None else self._child.stderr, start)

    # --- within --------------------------------------------------------------------------------------------

    def _output(self, name: str, output: Output | None, start: int | None) -> Iterator[bytes]:
        if output is None:
            raise self._no_pipe(name)
        return output.read(start, rpcx.check)

    def _send(self, number: Signals) -> None:
        if self._child is None:
            self.desk.rules.permit(self._handle.pid)
        elif self._child.ended.is_set():
            raise self._gone()
        self._handle.signal(number)

    def _stop_foreign(self, grace: float) -> StopReport:
        self._send(SIGTERM)
        killed: tuple[ProcessId, ...] = ()
        with contextlib.suppress(ProcessLookupError):  # it has ended, between any two of these
            self._send(SIGCONT)  # suspended, it would not hear the other
            if not self._handle.wait(grace, rpcx.check):
                self._send(SIGKILL)
                killed = (self.id(),)
                self._handle.wait(None, rpcx.check)
        return StopReport(status=ExitStatus(), signalled=(self.id(),), killed=killed)

    def _gone(self) -> ProcessLookupError:
        status = self._child.status if self._child is not None else None
        how = f": it {status.text}" if status is not None else ""
        return ProcessLookupError(f"process {self._handle.pid} has ended{how}")

    def _no_pipe(self, name: str) -> ValueError:
        if self._child is None:
            return ValueError(
                f"process {self._handle.pid} was not started by this object, so its {name} is not at hand"
            )
        way = getattr(self._child.spec, name)
        return ValueError(f"{name} of process {self._handle.pid} is no pipe: it was started with {name}={way!r}")


class AgentService(Agent):
    """The agent of this machine."""

    process: ClassVar[type[ProcessService]] = ProcessService

    @rpcx.method(blocking=True, idempotent=True)
    def facts(self) -> HostFacts:
        return table.host_facts()

    @rpcx.method(blocking=True, idempotent=True)
    def processes(self, matching: ProcessFilter | None = None) -> list[ProcessInfo]:
        found = []
        for info in table.processes(matching or ProcessFilter()):
            rpcx.check()
            found.append(info)
        return found

    @rpcx.method(blocking=True)
    def watch(self, matching: ProcessFilter | None = None, interval: Interval = 0.25) -> Iterator[ProcessEvent]:
        yield from table.watch(matching or ProcessFilter(), interval, rpcx.check)

    @rpcx.method(blocking=True)
    def spawn(self, spec: SpawnSpec) -> Process:
        return self.process(spec)

    @rpcx.method(blocking=True)
    def attach(self, pid: Pid) -> Process:
        seen = look(pid)
        return self.process(ProcessId(pid=pid, started=seen.started))


def implementations(
    rules: Rules | None = None, lease: rpcx.Lease | None = None
) -> tuple[type[AgentService], type[ProcessService], Desk]:
    """Classes for ``host.register`` with rules and a lease of their own, and the desk to close at the end.

    Args:
        rules: default `Rules()`.
        lease: of each Process; default that of the contract.
    """
    desk = Desk(rules)
    process = type("ProcessService", (ProcessService,), {"desk": desk, "__doc__": ProcessService.__doc__})
    if lease is not None:
        process = rpcx.client_activated(lease=lease, name="Process")(process)
    agent = type("AgentService", (AgentService,), {"process": process, "__doc__": AgentService.__doc__})
    return agent, process, desk
