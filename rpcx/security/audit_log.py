"""The audit log's file: one JSON line for each event of `rpcx.security.audit`.

- A line cannot be forged through what a peer says: JSON in ASCII, so that control characters, line ends and look-alikes
  are escaped, and no field longer than 256 characters.
- The file is its owner's alone (0600), no symbolic link, and is opened again when it was rotated away.
- A source (a principal, a user or an address) gets ten lines a second; what is more is counted, and the count is
  written when the second is over. So a flood fills no disk, and is seen all the same.
- With a **chain**, each line has the SHA-256 of the one before, over rotations and restarts: `verify` finds a line that
  was changed, taken out or put in. What was cut off at the end it finds only with a hash noted elsewhere.
- A line that a crash or a full disk cut off stays as it is. The next one begins on a line of its own and says so: event
  ``torn``, with the number of bytes and the SHA-256 of the piece. The chain goes on from the last whole line.
- Writing never raises. Lines that could not be written are counted, and told in the first that can.
- What was written survives the end of this process, however sudden. To survive that of the machine it has to be synced,
  which ``sync="each"`` does for each line: whoever causes an event waits for the disk then, some milliseconds. Lines
  that strangers cause are synced once a second.
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
from typing import Any, Final, Literal, get_args

from rpcx.abc import Clock, PeerFacts
from rpcx.errors import AccessDenied
from rpcx.security.lines import LINES, LeftOut, Lines, source_of

log = logging.getLogger("rpcx.audit")

LONGEST_FIELD: Final = 256  # characters of what a peer may have said
#: Kinds that strangers cause, who must not be able to have everybody wait for the disk.
STRANGERS: Final = frozenset({"auth-fail", "accept-reject", "limit-hit", "suppressed", "lost", "torn"})
SYNC_SECONDS: Final = 1.0  # between two times that the disk is waited for because of one of these
LOOK_SECONDS: Final = 1.0  # between two looks whether the file was rotated away
NO_LINE: Final = "it is no line of a chain: it was changed or put in, or the log is kept without chain=True"
BEGINNING: Final = "0" * 64  # stands for the hash of the line before the first
LONGEST_LINE: Final = 65_536  # bytes; ours have a tenth of it

Sync = Literal["never", "each"]


class AuditLog:
    """A file of events, of this process alone.

    Args:
        file: made if need be; events are put behind what is there.
        chain: let each line have the hash of the one before. The file is then locked, since two writers would break it.
        sync: "never" leaves it to the system when lines reach the disk (some 30 s); "each" waits for it at each line.
        clock: monotonic seconds, for counting.

    Raises:
        AccessDenied: others can write or read the file, or it is no file.
        BlockingIOError: it is a chain, and another process writes it.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        *,
        chain: bool = False,
        sync: Sync = "never",
        clock: Clock = time.monotonic,
    ) -> None:
        if sync not in get_args(Sync):
            raise ValueError(f"AuditLog(sync={sync!r}): one of {', '.join(get_args(Sync))} is needed")
        self.file = Path(file)
        self.lost = 0  # lines that could not be written since the last that could
        self.left_out = 0  # lines that sources did not get, as far as they were told
        self._chain = chain
        self._syncs = sync == "each"
        self._synced = -SYNC_SECONDS  # when it was last, by the clock
        self._clock = clock
        self._lock = threading.Lock()
        self._last = BEGINNING  # the hash of the last whole line
        self._lines = Lines(clock())
        self._looked = clock()
        self._torn: bytes | None = None  # of the last line, if it was written in part; empty: but for its end
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
            admitted, left_out = self._lines.take(source, LINES, now)
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
        if self._torn is not None:
            os.write(self._handle, b"\n")
            torn, self._torn = self._torn, None
            if torn:
                self._append({"event": "torn", "count": len(torn), "torn_sha256": _hash(torn)})
        stamped = {"ts": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"), **line}
        if self._chain:
            stamped["prev_sha256"] = self._last
        text = json.dumps({name: _short(value) for name, value in stamped.items() if value is not None})
        data = text.encode("ascii")
        written = os.write(self._handle, data + b"\n")
        if written < len(data):
            self._torn = data[:written] or None
            raise OSError("the disk is full")
        self._last = _hash(data)
        if written == len(data):
            self._torn = b""
        if self._syncs:
            self._sync(str(line["event"]))

    def _sync(self, kind: str) -> None:
        """Wait for the disk, but not each time that a stranger wants it."""
        now = self._clock()
        if kind not in STRANGERS or now - self._synced >= SYNC_SECONDS:
            self._synced = now
            os.fsync(self._handle)  # type: ignore[arg-type]  # open: a line was written just now

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
            self._continue(handle)
            if self._syncs:
                _sync_name(self.file)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def _continue(self, handle: int) -> None:
        """Lock a chain's file, and take up where it ends. An empty one that came by rotation goes on with ours."""
        if self._chain:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._torn = None
        size = os.fstat(handle).st_size
        whole, _, piece = os.pread(handle, LONGEST_LINE, max(size - LONGEST_LINE, 0)).rpartition(b"\n")
        if whole:
            self._last = _hash(whole.rpartition(b"\n")[2])
        if piece and _fields(piece) is not None:  # only its end is missing
            self._last, self._torn = _hash(piece), b""
        elif piece:
            self._torn = piece


def _check(handle: int, file: Path) -> None:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise AccessDenied(f"{file}: the audit log must be a file")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise AccessDenied(f"{file}: it belongs to user {found.st_uid}; an audit log is its writer's own")
    if os.name == "posix" and found.st_mode & 0o077:
        raise AccessDenied(f"{file}: others may read or write it; run chmod 600 {file}")


def _sync_name(file: Path) -> None:
    """Have a new file's name survive too."""
    if os.name == "posix":
        directory = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _fields(line: bytes) -> dict[str, Any] | None:
    """What a line says; None: it is none of ours, or only a piece of one."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _source(kind: str, peer: PeerFacts | None, fields: Mapping[str, object]) -> str:
    """Whose share of lines an event takes: its peer's, or that of its kind and place."""
    if peer is None:
        return f"{kind} {fields['object_type'] or fields['peer'] or ''}"
    return source_of(peer)


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
        self.notes: list[str] = []  # what is no problem and is to be known: lines that were cut off, chains begun anew
        self.problem: str | None = None  # None: all lines are there as they were written


def verify(files: Iterable[str | os.PathLike[str]], noted: str | None = None) -> Chain:
    """Follow the chain through the files, oldest first.

    Args:
        files: the rotated ones, then the present one.
        noted: a ``head`` that was noted elsewhere; the chain must lead through it.
    """
    chain = Chain()
    for file in files:
        problem = _follow_file(chain, Path(file), noted)
        if problem is not None:
            chain.problem = problem
            return chain
    if noted is not None and not chain.noted:
        chain.problem = f"no line has the hash {noted}: the log was cut off before it, or written anew"
    return chain


def _follow_file(chain: Chain, file: Path, noted: str | None) -> str | None:
    """Go on with one file; what is wrong with it."""
    piece: bytes | None = None  # the line before, if it is none
    where = str(file)
    with file.open("rb") as lines:
        for number in range(1, 1 << 62):
            line = lines.readline(LONGEST_LINE)
            if not line:
                break
            where = f"{file}, line {number}"
            if len(line) == LONGEST_LINE:  # ours are shorter, and what follows it would not be seen for what it is
                return f"{where}: {NO_LINE}"
            fields = _fields(line)
            if piece is not None and (fields is None or fields.get("torn_sha256") != _hash(piece)):
                return f"{file}, line {number - 1}: {NO_LINE}"
            if piece is None and fields is not None and "torn_sha256" in fields:
                return f"{where}: the piece of a line that it tells of was taken out"
            piece = None
            if fields is None and line.endswith(b"\n"):
                piece = line.rstrip(b"\n")
                chain.notes.append(f"{where} was cut off after {len(piece)} bytes, by a crash or a full disk")
            elif fields is None:
                chain.notes.append(
                    f"{where} is cut off after {len(line)} bytes, by a crash or a full disk, and nothing follows it"
                )
            else:
                if number == 1 and chain.lines and fields.get("prev_sha256") == BEGINNING:
                    chain.notes.append(
                        f"{where} begins a chain anew: whether lines before it were cut off is not known"
                    )
                    chain.head = BEGINNING
                problem = _follow(chain, line.rstrip(b"\n"), fields)
                if problem is not None:
                    return f"{where}: {problem}"
            chain.noted = chain.noted or chain.head == noted
    return f"{where}: {NO_LINE}" if piece is not None else None


def _follow(chain: Chain, line: bytes, fields: dict[str, Any]) -> str | None:
    before = fields.get("prev_sha256")
    if not isinstance(before, str):
        return NO_LINE
    if chain.lines == 0:
        chain.first = before
    elif before != chain.head:
        return "the line before it is not the one it was written behind: lines were changed, taken out or put in"
    chain.lines += 1
    chain.head = _hash(line)
    return None
