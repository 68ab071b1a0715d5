"""Look at and control the processes of another machine, or of another session: the contract.

An `Agent` runs on the desktop in question. It lists processes, tells when some start and end, starts new ones
and hands out `Process` objects, for those it started and for any other:

    agent = server.get(Agent)
    for info in agent.processes(ProcessFilter(name="python*")): ...
    with agent.spawn(SpawnSpec(argv=["make", "-j2"], stderr="stdout")) as make:
        for chunk in make.stdout(): ...
        print(make.wait().text)

1. **A process is its pid and its start time** (`ProcessId`). Pids are reused; a `Process` never acts on
   another process than the one it was made for, but says that it has ended.
2. **What an agent started belongs to whoever holds the `Process`** (`Process.owned`). It is stopped when that
   object ends: its proxy is closed or dropped, its lease runs out, its client is gone. Whoever wants it for
   longer calls a method from time to time, renews the lease, or registers a sponsor. A process that was only
   attached to is left alone.
3. **With a child stop its descendants**: all processes of its session, and of sessions their descendants made.
   A daemon escapes: one that made a session of its own, and whose parents had all ended before the stop.
4. **Output is not lost, nor piled up**: see `Process.stdout`.

Unless said otherwise times are in seconds and sizes in bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from pydantic_core import SchemaError, SchemaValidator, core_schema

import rpcx

GRACE: Final = 3.0  # seconds from SIGTERM to SIGKILL unless told otherwise
MOST_GRACE: Final = 60.0  # seconds; a child that needs longer is stopped by a signal of the caller's own


def _linear(pattern: str) -> str:
    regex(pattern)
    return pattern


def regex(pattern: str) -> SchemaValidator:
    """A compiled regular expression: ``isinstance_python(text)`` tells whether it is found in ``text``.

    The engine is Rust's, whose time grows linearly with the text whatever the pattern; with `re` a filter from
    outside could keep the agent busy for ever. It has no look-around and no back-references.

    Raises:
        ValueError: it is no regular expression, or too large a one.
    """
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"not a regular expression without look-around: {reason[:300]}") from None


def _whole(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"contains a NUL character: {text[:60]!r}")
    return text


Regex = Annotated[str, Field(max_length=500), AfterValidator(_linear)]
Seconds = Annotated[float, Field(ge=0, le=MOST_GRACE, allow_inf_nan=False)]
Timeout = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Interval = Annotated[float, Field(ge=0.05, le=MOST_GRACE, allow_inf_nan=False)]
Pid = Annotated[int, Field(gt=0, lt=2**31)]
Word = Annotated[str, AfterValidator(_whole)]


class Fact(BaseModel):
    """What an agent reports; never changes. Fields that are not known here are ignored: agents may be newer."""

    model_config = ConfigDict(frozen=True)


class Request(BaseModel):
    """What an agent is asked for. A field that does not exist is an error, so that a typo is not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ProcessId(Fact):
    """Which process, for good.

    Attributes:
        pid: its number, which another process may have later.
        started: when it started, as the agent's system counts: on Linux in seconds after boot, which no change
            of the clock touches. Only good for comparing.
    """

    pid: Pid
    started: float

    def __str__(self) -> str:
        return f"{self.pid}@{self.started:g}"


class ProcessInfo(Fact):
    """A process as it is now. None: the agent may not know.

    Attributes:
        id: which one.
        parent: pid of the process that started it, or that inherited it.
        name: of the program, as the system shortened it.
        user: name of the account it runs as.
        status: "running", "sleeping", "stopped", "zombie" …, as psutil names them.
        command: its arguments, the program first; the first 4,096 characters. Empty for a kernel thread.
        started: when it started, by the agent's clock.
        cpu_seconds: used so far, by itself and in the kernel.
        memory_bytes: resident.
        threads: how many.
    """

    id: ProcessId
    parent: int | None
    name: str
    user: str | None
    status: str
    command: tuple[str, ...]
    started: datetime
    cpu_seconds: float | None
    memory_bytes: int | None
    threads: int | None


class HostFacts(Fact):
    """The machine an agent runs on, and the agent.

    Attributes:
        hostname: what it calls itself.
        system: kernel, its release and the processor family, for people.
        cpus: how many logical ones.
        memory_bytes, memory_available_bytes: in all, and free for use now.
        booted: when, by its clock.
        load: processes that ran or wanted to, on average over 1, 5 and 15 minutes.
        user: the account the agent runs as: what it starts runs as that too.
        agent: the agent's own process.
        pidfd: whether signals go through process descriptors, which no reused pid misleads; without them start
            times are compared just before, which leaves microseconds.
    """

    hostname: str
    system: str
    cpus: int
    memory_bytes: int
    memory_available_bytes: int
    booted: datetime
    load: tuple[float, float, float]
    user: str
    agent: ProcessId
    pidfd: bool


class ExitStatus(Fact):
    """How a process ended. Neither code nor signal: it was not the agent's child, who alone would be told.

    Attributes:
        code: what it passed to exit(); None if a signal ended it.
        signal: name of the signal that ended it; None if it exited by itself.
        dumped: whether it left a core dump.
    """

    code: int | None = None
    signal: str | None = None
    dumped: bool = False

    @property
    def text(self) -> str:
        """For people."""
        if self.signal is not None:
            return f"ended by {self.signal}{', core dumped' if self.dumped else ''}"
        return "ended, nobody knows how" if self.code is None else f"exited with {self.code}"


class StopReport(Fact):
    """What `Process.stop` did.

    Attributes:
        status: how the process itself ended.
        signalled: all that were told to stop: the process first, then what else was of its session or
            descended from it.
        killed: those among them that were still there after the grace time and got SIGKILL.
    """

    status: ExitStatus
    signalled: tuple[ProcessId, ...]
    killed: tuple[ProcessId, ...] = ()


class ProcessEvent(Fact):
    """Something that `Agent.watch` saw.

    Attributes:
        kind: "watching" comes first and once: what starts or ends from then on is reported. Then "started"
            and "ended".
        at: when it was seen, by the agent's clock.
        process: which one; for "ended" as it was when it was last looked at. None for "watching".
    """

    kind: Literal["watching", "started", "ended"]
    at: datetime
    process: ProcessInfo | None = None


# --- requests -----------------------------------------------------------------------------------------------


class ProcessFilter(Request):
    """Which processes: those that fit everything that is given.

    Attributes:
        name: the program's name; ``*``, ``?`` and ``[…]`` as in a shell.
        user: account name, exactly.
        pids: these only.
        command: regular expression to be found in the arguments, which are joined by spaces.
        limit: how many at most, those with the lowest pids.
    """

    name: str | None = Field(default=None, min_length=1, max_length=200)
    user: str | None = Field(default=None, min_length=1, max_length=200)
    pids: Sequence[Pid] | None = Field(default=None, max_length=10_000)
    command: Regex | None = None
    limit: int = Field(default=10_000, gt=0, le=100_000)


class SpawnSpec(Request):
    """What to start.

    Attributes:
        argv: program and arguments; no shell reads them. The program is looked for in the agent's PATH.
        cwd: working directory; None: the agent's.
        env: variables to set, besides those of the agent or instead of them.
        inherit_env: False starts from no variables but ``env``.
        stdin: "null" is empty; "pipe" is fed by `Process.write`.
        stdout: "pipe" is read by `Process.stdout`; "null" is thrown away.
        stderr: the same; "stdout" joins it to stdout, in the order it was written.
        grace: seconds from SIGTERM to SIGKILL when its `Process` ends.
    """

    argv: Sequence[Word] = Field(min_length=1, max_length=10_000)
    cwd: Path | None = None
    env: dict[Word, Word] = {}
    inherit_env: bool = True
    stdin: Literal["null", "pipe"] = "null"
    stdout: Literal["pipe", "null"] = "pipe"
    stderr: Literal["pipe", "null", "stdout"] = "pipe"
    grace: Seconds = GRACE

    @field_validator("env")
    @classmethod
    def _variables(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if not name or "=" in name:
                raise ValueError(f"{name!r} cannot be the name of a variable")
        return env


# --- contracts ----------------------------------------------------------------------------------------------


@rpcx.client_activated(lease=rpcx.Lease(initial=60, renew_on_call=60, sponsorship_timeout=10))
class Process(AbstractContextManager["Process"]):
    """One process. Made by `Agent.spawn`, `Agent.attach` or ``server.create(Process, spec_or_id)``.

    Errors: ProcessLookupError, it has ended (or never was); PermissionError, the agent's rules or the system do
    not allow it. What waits, waits as long as its caller: ``with rpcx.options(timeout=None)`` for ever.
    """

    @abstractmethod
    def __init__(self, target: SpawnSpec | ProcessId) -> None:
        """Start a process and own it, or attach to one that runs."""

    @abstractmethod
    def id(self) -> ProcessId:
        """Which one."""

    @abstractmethod
    def owned(self) -> bool:
        """Whether it was started by this object, and ends with it."""

    @abstractmethod
    @rpcx.method(blocking=True, idempotent=True)
    def info(self) -> ProcessInfo:
        """The process as it is now; ProcessLookupError once it has ended."""

    @abstractmethod
    def status(self) -> ExitStatus | None:
        """How it ended; None: it has not. Does not wait."""

    @abstractmethod
    @rpcx.method(blocking=True)
    def wait(self, timeout: Timeout | None = None) -> ExitStatus:
        """Wait for its end; TimeoutError after ``timeout`` seconds."""

    @abstractmethod
    @rpcx.method(blocking=True)
    def signal(self, name: str | int) -> None:
        """Send it a signal ("SIGHUP", "hup" or 1), and not its descendants."""

    @abstractmethod
    @rpcx.method(blocking=True)
    def stop(self, grace: Seconds = GRACE) -> StopReport:
        """SIGTERM, and SIGKILL for what is left after ``grace`` seconds; returns when all are gone.

        The descendants of an owned process are stopped with it, also those that outlived it. Of a process that
        is only attached to, nothing but itself. ProcessLookupError if there is nothing left to stop.
        """

    @abstractmethod
    @rpcx.method(blocking=True)
    def suspend(self) -> None:
        """Hold it (SIGSTOP); an owned process with its descendants. Returns when they stand still."""

    @abstractmethod
    @rpcx.method(blocking=True)
    def resume(self) -> None:
        """Let it run on (SIGCONT); an owned process with its descendants."""

    @abstractmethod
    @rpcx.method(blocking=True)
    def write(self, data: bytes) -> int:
        """Give an owned process input; returns the number of bytes once it, or the pipe, took them all.

        So a process that does not read holds the writer up. If the writer gives up, part may have been taken.
        BrokenPipeError: it takes no more. ValueError: its stdin is no pipe, or was closed.
        """

    @abstractmethod
    @rpcx.method(blocking=True)
    def close_stdin(self) -> None:
        """Let it read the end of its input. Twice is fine."""

    @abstractmethod
    @rpcx.method(blocking=True)
    def stdout(self, start: Annotated[int, Field(ge=0)] | None = None) -> Iterator[bytes]:
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

    @abstractmethod
    @rpcx.method(blocking=True)
    def stderr(self, start: Annotated[int, Field(ge=0)] | None = None) -> Iterator[bytes]:
        """Its error output; see `stdout`."""


@rpcx.singleton("agent")
class Agent(ABC):
    """Looks at and controls the processes of the machine it runs on."""

    @abstractmethod
    @rpcx.method(blocking=True, idempotent=True)
    def facts(self) -> HostFacts:
        """The machine and the agent."""

    @abstractmethod
    @rpcx.method(blocking=True, idempotent=True)
    def processes(self, matching: ProcessFilter | None = None) -> list[ProcessInfo]:
        """The processes there are now, by pid; default all."""

    @abstractmethod
    @rpcx.method(blocking=True)
    def watch(self, matching: ProcessFilter | None = None, interval: Interval = 0.25) -> Iterator[ProcessEvent]:
        """What starts and ends from now on; see `ProcessEvent`. Close the iterator to end it.

        The agent looks every ``interval`` seconds, so a process that lives shorter may be missed. A consumer
        that is slower than that misses what started and ended meanwhile, and nothing else. A new process is
        reported when it runs its own program; one that goes on with its parent's, after a second.
        """

    @abstractmethod
    @rpcx.method(blocking=True)
    def spawn(self, spec: SpawnSpec) -> Process:
        """Start a process; its owner is whoever holds the result.

        Raises:
            FileNotFoundError: there is no such program, or working directory.
            PermissionError: the agent's user may not execute it.
            LimitExceeded: the agent's children are as many as it may have.
        """

    @abstractmethod
    @rpcx.method(blocking=True)
    def attach(self, pid: Pid) -> Process:
        """The process that has this pid now. It is not owned: it stays when the result ends."""
