"""The audit log's file: one JSON line for each event of `rpcx.security.audit`.

- A line cannot be forged through what a peer says: JSON in ASCII, so that control characters, line ends and look-alikes
  are escaped, and no field longer than 256 characters.
- The file is its owner's alone (0600), no symbolic link, and is opened again when it was rotated away.
- A source (a principal, a user or an address) gets ten lines a second; what is more is counted, and the count is
  written when the second is over. So a flood fills no disk, and is seen all the same.
- With a **chain**, each line has the SHA-256 of the one before, over rotations and restarts: `verify` finds a line that
  was changed, taken out or put in. What was cut off at the end it finds only with a hash noted elsewhere.
- Writing never raises and never waits for the disk to sync. Lines that could not be written are counted, and told in
  the first that can.
"""

import datetime
import hashlib
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from rpcx.abc import Clock, PeerFacts
from rpcx.errors import AccessDenied
from rpcx.security.lines import LINES, LeftOut, Lines, source_of

log = logging.getLogger("rpcx.audit")

LONGEST_FIELD: Final = 256  # characters of what a peer may have said
RARE: Final = {"accept-reject": 1}  # kinds of which fewer will do
LOOK_SECONDS: Final = 1.0  # between two looks whether the file was rotated away
BEGINNING: Final = "0" * 64  # stands for the hash of the line before the first
LONGEST_LINE: Final = 65_536  # bytes; ours have a tenth of it


class AuditLog:
    """A file of events, of this process alone.

    Args:
        file: made if need be; events are put behind what is there.
        chain: let each line have the hash of the one before. The file is then locked, since two writers would break it.
        clock: monotonic seconds, for counting.

    Raises:
        AccessDenied: others can write or read the file, or it is no file.
        BlockingIOError: it is a chain, and another process writes it.
    """

    def __init__(self, file: str | os.PathLike[str], *, chain: bool = False, clock: Clock = time.monotonic) -> None:
        self.file = Path(file)
        self.lost = 0  # lines that could not be written since the last that could
        self.left_out = 0  # lines that sources did not get, as far as they were told
        self._chain = chain
        self._clock = clock
        self._lock = threading.Lock()
        self._last = BEGINNING  # the hash of the last line
        self._lines = Lines(clock())
        self._looked = clock()
        self._torn = False  # the last line was written in part
        self._closed = False
        self._handle: int | None = None  # None: closed, or it could not be opened again
        self._open()

    # --- events ------------------------------------------------------------------------------------------------

    def write(self, kind: str, peer: PeerFacts | None, fields: Mapping[str, object]) -> None:
        """Keep an event, unless its source had its share."""
        line: dict[str, object] = {"event": kind}
        if peer is not None:
            line |= {
                "channel": peer.channel, "peer": peer.address, "uid": peer.uid, "pid": peer.pid,
                "principal": peer.principal, "fpr": peer.fingerprint, "corr_id": peer.connection or None,
            }  # fmt: skip
        line |= {name: value for name, value in fields.items() if value is not None}
        source = _source(kind, peer, fields)
        with self._lock:
            now = self._clock()
            if self._closed:
                return
            admitted, left_out = self._lines.take(source, RARE.get(kind, LINES), now)
            self._suppressed(left_out, now)
            if admitted:
                self._put(line, now)

    def close(self) -> None:
        """Write what was counted, and close the file. Twice is fine."""
        with self._lock:
            if self._closed:
                return
            self._suppressed(self._lines.rest(), self._clock())
            self._closed = True
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def _suppressed(self, left_out: LeftOut, now: float) -> None:
        for source, count in left_out:
            self.left_out += count
            self._put({"event": "suppressed", "source": source, "count": count}, now)

    # --- the file ----------------------------------------------------------------------------------------------

    def _put(self, line: dict[str, object], now: float) -> None:
        try:
            self._look(now)
            if self.lost:
                self._append({"event": "lost", "count": self.lost})
                self.lost = 0
            self._append(line)
        except OSError as error:
            if not self.lost:
                log.error("%s: the audit log cannot be written: %s", self.file, error)  # noqa: TRY400  # no traceback
            self.lost += 1

    def _append(self, line: dict[str, object]) -> None:
        if self._handle is None:
            raise OSError("it is closed")
        stamped = {"ts": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"), **line}
        if self._chain:
            stamped["prev_sha256"] = self._last
        text = json.dumps({name: _short(value) for name, value in stamped.items() if value is not None})
        data = text.encode("ascii")
        if self._torn:
            os.write(self._handle, b"\n")
            self._torn = False
        written = os.write(self._handle, data + b"\n")
        if written != len(data) + 1:  # what follows begins on a line of its own
            self._torn = True
            self._last = hashlib.sha256(data[:written]).hexdigest()
            raise OSError("the disk is full")
        self._last = hashlib.sha256(data).hexdigest()

    def _look(self, now: float) -> None:
        """Open the file again if another is in its place, or none."""
        if self._handle is not None and now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            found = self.file.stat(follow_symlinks=False)
        except FileNotFoundError:
            found = None
        if self._handle is not None:
            own = os.fstat(self._handle)
            if found is not None and (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
                return
            os.close(self._handle)
            self._handle = None
        self._open()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        handle = os.open(self.file, flags, 0o600)
        try:
            _check(handle, self.file)
            if self._chain:
                self._continue(handle)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def _continue(self, handle: int) -> None:
        """Lock the file and take up its chain. An empty one that came by rotation goes on with ours."""
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(handle).st_size
        if size == 0:
            return
        tail = os.pread(handle, LONGEST_LINE, max(size - LONGEST_LINE, 0))
        if not tail.endswith(b"\n"):  # cut off by a crash; it stays, and shows as what it is
            os.write(handle, b"\n")
            tail += b"\n"
        self._last = hashlib.sha256(tail[:-1].rpartition(b"\n")[2]).hexdigest()


def _check(handle: int, file: Path) -> None:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise AccessDenied(f"{file}: the audit log must be a file")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise AccessDenied(f"{file}: it belongs to user {found.st_uid}; an audit log is its writer's own")
    if os.name == "posix" and found.st_mode & 0o077:
        raise AccessDenied(f"{file}: others may read or write it; run chmod 600 {file}")


def _source(kind: str, peer: PeerFacts | None, fields: Mapping[str, object]) -> str:
    """Whose share of lines an event takes: somebody by name, a user, an address without its port; each kind apart."""
    if peer is None:
        return f"{kind} {fields['object_type'] or fields['peer'] or ''}"
    who = source_of(peer)
    return f"{kind} {who}" if kind in RARE else who


def _short(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return text if len(text) <= LONGEST_FIELD else text[: LONGEST_FIELD - 1] + "…"


class Chain:
    """What `verify` found."""

    def __init__(self) -> None:
        self.lines = 0
        self.first = BEGINNING  # the hash that the first line names
        self.head = BEGINNING  # the hash of the last line
        self.noted = False  # whether the hash to look for was met
        self.problem: str | None = None  # None: all lines are there as they were written


def verify(files: Iterable[str | os.PathLike[str]], noted: str | None = None) -> Chain:
    """Follow the chain through the files, oldest first.

    Args:
        files: the rotated ones, then the present one.
        noted: a ``head`` that was noted elsewhere; the chain must lead through it.
    """
    chain = Chain()
    for file in files:
        with Path(file).open("rb") as lines:
            for number in range(1, 1 << 62):
                line = lines.readline(LONGEST_LINE)
                if not line:
                    break
                chain.problem = _follow(chain, line.rstrip(b"\n"))
                if chain.problem is not None:
                    chain.problem = f"{file}, line {number}: {chain.problem}"
                    return chain
                chain.noted = chain.noted or chain.head == noted
    if noted is not None and not chain.noted:
        chain.problem = f"no line has the hash {noted}: the log was cut off before it, or written anew"
    return chain


def _follow(chain: Chain, line: bytes) -> str | None:
    try:
        fields: Any = json.loads(line)
        before = fields["prev_sha256"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "it is no line of a chain; was it cut off by a crash, or is the log kept without chain=True?"
    if chain.lines == 0:
        chain.first = before
    elif before != chain.head:
        return "the line before it is not the one it was written behind: lines were changed, taken out or put in"
    chain.lines += 1
    chain.head = hashlib.sha256(line).hexdigest()
    return None
