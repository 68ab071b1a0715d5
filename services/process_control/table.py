"""What there is to see: the process table through psutil, filtered, and what changes in it."""

import fnmatch
import getpass
import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import psutil

from schemas.process_control import HostFacts, ProcessEvent, ProcessFilter, ProcessId, ProcessInfo, regex
from services.process_control.processes import HAS_PIDFD, Seen, everything, look

COMMAND_CHARACTERS: Final = 4096  # of a command that are reported; some have megabytes
YOUNG_SECONDS: Final = 1.0  # for which a process is looked at again, since it may yet start another program
FIELDS: Final = ("name", "username", "status", "cmdline", "create_time", "cpu_times", "memory_info", "num_threads")

Wanted = Callable[[ProcessInfo], bool]
Key = tuple[int, float]  # pid and start time


def info_of(seen: Seen) -> ProcessInfo | None:
    """The process from the table as it is now; None: it has ended."""
    try:
        process = psutil.Process(seen.pid)
        facts = process.as_dict(FIELDS)
        if look(seen.pid).started != seen.started:
            return None
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None
    times, memory = facts["cpu_times"], facts["memory_info"]
    return ProcessInfo(
        id=ProcessId(pid=seen.pid, started=seen.started),
        parent=seen.parent or None,
        name=_text(facts["name"] or ""),
        user=facts["username"],
        status=facts["status"] or "unknown",
        command=_command(facts["cmdline"] or ()),
        started=datetime.fromtimestamp(facts["create_time"], UTC),
        cpu_seconds=None if times is None else times.user + times.system,
        memory_bytes=None if memory is None else memory.rss,
        threads=facts["num_threads"],
    )


def _command(words: "list[str] | tuple[str, ...]") -> tuple[str, ...]:
    command: list[str] = []
    left = COMMAND_CHARACTERS
    for word in words:
        if left <= 0:
            break
        command.append(_text(word[:left]))
        left -= len(word) + 1
    return tuple(command)


def _text(text: str) -> str:
    """Names and arguments are bytes, really; what is no UTF-8 among them cannot travel as text."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def wanted(matching: ProcessFilter) -> Wanted:
    """A function that tells whether a process fits the filter."""
    name = None if matching.name is None else re.compile(fnmatch.translate(matching.name)).match
    command = None if matching.command is None else regex(matching.command).isinstance_python
    pids = None if matching.pids is None else frozenset(matching.pids)

    def fits(info: ProcessInfo) -> bool:
        return (
            (pids is None or info.id.pid in pids)
            and (matching.user is None or info.user == matching.user)
            and (name is None or name(info.name) is not None)
            and (command is None or command(" ".join(info.command)))
        )

    return fits


def processes(matching: ProcessFilter) -> Iterator[ProcessInfo]:
    """The processes that fit, by pid."""
    fits = wanted(matching)
    pids = None if matching.pids is None else frozenset(matching.pids)
    found = 0
    for seen in everything():
        if pids is not None and seen.pid not in pids:
            continue
        info = info_of(seen)
        if info is not None and fits(info):
            yield info
            found += 1
            if found >= matching.limit:
                return


class Watch:
    """Compares the process table with how it was at the last look.

    Zombies have ended. Between fork and exec a process has the name and arguments of its parent, and for a
    moment none. So a young one that has is not reported yet, and one that does not fit is looked at again.
    """

    def __init__(self, matching: ProcessFilter) -> None:
        self._fits = wanted(matching)
        self._known: dict[Key, ProcessInfo | None] = {}  # None: of no interest, or not reported yet
        self._young: dict[Key, float] = {}  # → until when to look again, monotonic seconds
        for seen in everything():
            if seen.alive:
                info = info_of(seen)
                self._known[seen.pid, seen.started] = info if info is not None and self._fits(info) else None

    def look(self, now: float) -> list[ProcessEvent]:
        """What changed since the last look; ends come first. ``now`` in monotonic seconds."""
        table = {(seen.pid, seen.started): seen for seen in everything() if seen.alive}
        at = datetime.now(UTC)
        events = []
        for key in self._known.keys() - table.keys():
            self._young.pop(key, None)
            if (info := self._known.pop(key)) is not None:
                events.append(ProcessEvent(kind="ended", at=at, process=info))
        for key in table.keys() - self._known.keys():
            self._known[key], self._young[key] = None, now + YOUNG_SECONDS
        for key, until in list(self._young.items()):
            info = info_of(table[key])
            if info is not None and self._fits(info) and (now >= until or not _is_between(info)):
                self._known[key] = info
                events.append(ProcessEvent(kind="started", at=at, process=info))
            if now >= until or self._known[key] is not None:
                del self._young[key]
        return events


def _is_between(info: ProcessInfo) -> bool:
    """Whether it may be between fork and exec: it runs what its parent runs, or has no arguments (yet)."""
    try:
        parent = None if info.parent is None else info_of(look(info.parent))
    except ProcessLookupError:
        parent = None
    return not info.command or (parent is not None and parent.command == info.command)


def host_facts() -> HostFacts:
    """This machine, and this process as its agent."""
    memory = psutil.virtual_memory()
    return HostFacts(
        hostname=platform.node(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpus=os.cpu_count() or 1,
        memory_bytes=memory.total,
        memory_available_bytes=memory.available,
        booted=datetime.fromtimestamp(psutil.boot_time(), UTC),
        load=os.getloadavg(),
        user=getpass.getuser(),
        agent=ProcessId(pid=os.getpid(), started=look(os.getpid()).started),
        pidfd=HAS_PIDFD,
    )


def watch(matching: ProcessFilter, interval: float, check: Callable[[], None]) -> Iterator[ProcessEvent]:
    """What starts and ends, looked for every ``interval`` seconds until ``check`` raises."""
    eye = Watch(matching)
    yield ProcessEvent(kind="watching", at=datetime.now(UTC))
    while True:
        yield from eye.look(time.monotonic())
        _pause(interval, check)


def _pause(seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
        check()
