"""Remote classes of schemas.process_control as async code sees them, made by `rpcx stubs schemas.process_control`.

Do not edit: what is changed here is lost when it is made anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Protocol

from pydantic import Field

import rpcx.aio
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


@rpcx.aio.stub_of(Process)
class AsyncProcess(rpcx.aio.Stub, Protocol):
    """One process. Made by `Agent.spawn`, `Agent.attach` or ``server.create(Process, spec_or_id)``.

    Errors: ProcessLookupError, it has ended (or never was); PermissionError, the agent's rules or the system do
    not allow it. What waits, waits as long as its caller: ``with rpcx.options(timeout=None)`` for ever.
    """

    def __init__(self, target: SpawnSpec | ProcessId) -> None:
        """Start a process and own it, or attach to one that runs."""
        ...

    async def id(self) -> ProcessId:
        """Which one."""
        ...

    async def owned(self) -> bool:
        """Whether it was started by this object, and ends with it."""
        ...

    async def info(self) -> ProcessInfo:
        """The process as it is now; ProcessLookupError once it has ended."""
        ...

    async def status(self) -> ExitStatus | None:
        """How it ended; None: it has not. Does not wait."""
        ...

    async def wait(self, timeout: Timeout | None = None) -> ExitStatus:
        """Wait for its end; TimeoutError after ``timeout`` seconds."""
        ...

    async def signal(self, name: str | int) -> None:
        """Send it a signal ("SIGHUP", "hup" or 1), and not its descendants."""
        ...

    async def stop(self, grace: Seconds = GRACE) -> StopReport:
        """SIGTERM, and SIGKILL for what is left after ``grace`` seconds; returns when all are gone.

        The descendants of an owned process are stopped with it, also those that outlived it. Of a process that
        is only attached to, nothing but itself. ProcessLookupError if there is nothing left to stop.
        """
        ...

    async def suspend(self) -> None:
        """Hold it (SIGSTOP); an owned process with its descendants. Returns when they stand still."""
        ...

    async def resume(self) -> None:
        """Let it run on (SIGCONT); an owned process with its descendants."""
        ...

    async def write(self, data: bytes) -> int:
        """Give an owned process input; returns the number of bytes once it, or the pipe, took them all.

        So a process that does not read holds the writer up. If the writer gives up, part may have been taken.
        BrokenPipeError: it takes no more. ValueError: its stdin is no pipe, or was closed.
        """
        ...

    async def close_stdin(self) -> None:
        """Let it read the end of its input. Twice is fine."""
        ...

    def stdout(
        self,
        start: Annotated[int, Field(ge=0)] | None = None,
    ) -> AsyncIterator[bytes]:
        """Its output, in chunks as they come, until its end.

        Nothing is read ahead of the readers: with no reader, or a slow one, the pipe fills up and the process
        waits. Every reader gets every byte from where it began, the slowest one sets the pace. The last 256 KiB
        are kept, so that a reader may come late, or come back after its connection broke.

        Args:
            start: the first byte wanted, counted from the process's start; None: the oldest that is kept.

        Raises:
            LookupError: the byte at ``start`` is kept no longer, or was not written yet.
            ValueError: its stdout is no pipe.
        """
        ...

    def stderr(
        self,
        start: Annotated[int, Field(ge=0)] | None = None,
    ) -> AsyncIterator[bytes]:
        """Its error output; see `stdout`."""
        ...


@rpcx.aio.stub_of(Agent)
class AsyncAgent(rpcx.aio.Stub, Protocol):
    """Looks at and controls the processes of the machine it runs on."""

    async def facts(self) -> HostFacts:
        """The machine and the agent."""
        ...

    async def processes(
        self,
        matching: ProcessFilter | None = None,
    ) -> list[ProcessInfo]:
        """The processes there are now, by pid; default all."""
        ...

    def watch(
        self,
        matching: ProcessFilter | None = None,
        interval: Interval = 0.25,
    ) -> AsyncIterator[ProcessEvent]:
        """What starts and ends from now on; see `ProcessEvent`. Close the iterator to end it.

        The agent looks every ``interval`` seconds, so a process that lives shorter may be missed. A consumer
        that is slower than that misses what started and ended meanwhile, and nothing else. A new process is
        reported when it runs its own program; one that goes on with its parent's, after a second.
        """
        ...

    async def spawn(self, spec: SpawnSpec) -> AsyncProcess:
        """Start a process; its owner is whoever holds the result.

        Raises:
            FileNotFoundError: there is no such program, or working directory.
            PermissionError: the agent's user may not execute it.
            LimitExceeded: the agent's children are as many as it may have.
        """
        ...

    async def attach(self, pid: Pid) -> AsyncProcess:
        """The process that has this pid now. It is not owned: it stays when the result ends."""
        ...
