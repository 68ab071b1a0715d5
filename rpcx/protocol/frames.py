"""Frames: how one message is cut out of a stream of bytes.

    length u32 │ kind u8 │ flags u8 │ segments u16 │ id u32 │ n segment sizes u32 │ body │ segments …

All numbers big-endian; ``length`` counts everything behind the 12-byte header. The body is the formatter's;
segments are large buffers that travel beside it, so that they are never copied into an envelope.

`FrameReader` is a plain loop over an offset (265 ns a frame; a generator reader costs 630-780). A frame that
is not complete in one read is collected piece by piece: memory follows the bytes that came, never the length
that was claimed, and small pieces are joined as they come (two bytes kept as an object of their own cost 43).
Each segment is joined by itself, so that it arrives as one ``bytes`` object. A large frame that there is no room for
is read to its end all the same, and nothing of it is kept (`Unkept`): so only its sender is told.
"""

import functools
from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from rpcx.abc import Buffer
from rpcx.errors import LimitExceeded, ProtocolError, RpcxError
from rpcx.protocol.conduct import Cargo

HEADER: Final = Struct("!IBBHI")
HEADER_SIZE: Final = HEADER.size
UNPACK_HEADER: Final = HEADER.unpack_from
READ_SIZE: Final = 65536  # bytes a read asks for when nothing large is under way
SMALL_PIECE: Final = 4096  # bytes up to which a piece of a large frame is joined to the one before it
LARGE_READ: Final = 1 << 20  # bytes a read asks for at most, inside a large frame
KEPT_BLOCK: Final = 16 << 20  # bytes; see `_keep_large_blocks`
MAX_SEGMENTS: Final = 1024  # in one frame; IOV_MAX on Linux, so that one sendmsg can carry it


class Kind(IntEnum):
    """What a frame says."""

    HELLO = 1  # client → server, first: who I am, what I can
    WELCOME = 2  # server → client: agreed
    REJECT = 3  # server → client: not agreed, and why
    PROOF = 4  # a step of an authenticator's exchange, within the handshake
    ADMITTED = 5  # server → client: proved; the last word of the exchange
    CALL = 16
    ONEWAY = 17  # a call without answer; id is 0
    BATCH = 18  # many calls in one frame, answered by one RETURN
    BURST = 19  # independent calls in one frame; ids follow one another
    RETURN = 20
    FAULT = 21
    ITEM = 22  # one item of a stream, answering a CALL
    END = 23  # the stream is over
    CREDIT = 24  # the consumer takes this many more items
    CANCEL = 25  # the caller gave up
    RELEASE = 26  # references that are no longer held
    RETURNS = 27  # results of calls whose ids follow one another
    PING = 30
    PONG = 31
    GOODBYE = 32  # orderly end; nothing new is sent after it


#: Bit of a RETURN's or ITEM's kind: its body is read before anything behind it is acted upon. Set when it brings
#: references home: the RELEASE that follows would end what they stand for, while the body waits for its caller.
IN_ORDER: Final = 0x80


# (kind, id, body, segments). A tuple, since one is made per frame: 30 ns against 190 for a slots class.
Frame = tuple[int, int, bytes, Sequence[Buffer]]

NO_SEGMENTS: Final[Sequence[Buffer]] = ()


def frame(kind: int, call_id: int, body: bytes, segments: Sequence[Buffer] = NO_SEGMENTS) -> list[Buffer]:
    """One frame as the buffers to send, in order."""
    if not segments:
        return [HEADER.pack(len(body), kind, 0, 0, call_id) + body]
    sizes = [memoryview(segment).nbytes for segment in segments]
    table = Struct(f"!{len(sizes)}I").pack(*sizes)
    length = len(table) + len(body) + sum(sizes)
    return [HEADER.pack(length, kind, 0, len(sizes), call_id) + table + body, *segments]


def first_frame(data: bytes, start: int, limit: int) -> tuple[Frame, bytes] | None:
    """The frame at ``start`` and what is behind it; None while it is incomplete. For strangers: small, one part.

    Raises:
        LimitExceeded: it claims more than ``limit`` bytes.
        ProtocolError: it has segments.
    """
    if len(data) - start < HEADER_SIZE:
        return None
    length, kind, _, segments, call_id = HEADER.unpack_from(data, start)
    if length > limit:
        text = f"a handshake of {length} bytes; at most {limit} are allowed"
        raise LimitExceeded(text, limit="fixed.handshake_bytes")
    if segments:
        raise ProtocolError(f"a handshake with {segments} segments; it has none")
    body = start + HEADER_SIZE
    stop = body + length
    if len(data) < stop:
        return None
    return (kind, call_id, data[body:stop], NO_SEGMENTS), data[stop:]


@functools.cache
def _keep_large_blocks() -> None:
    """Have the C library keep freed blocks of some megabytes instead of handing each back to the system.

    glibc maps a large block anew for each allocation, and every page of it faults when it is first written:
    0.4 of the 0.5 ms that a megabyte took. It stops doing so, up to the size of the largest mapped block that was
    ever freed (mallopt(3), dynamic M_MMAP_THRESHOLD); so one is allocated, never touched, and freed.
    """
    bytes(KEPT_BLOCK)


class Unkept(tuple[Any, ...]):
    """Stands for the segments of a frame that was not kept, and has an empty body: the error that says why not."""

    __slots__ = ()


class FrameReader:
    """Cuts frames out of whatever pieces the stream delivers."""

    __slots__ = (
        "_cargo", "_chunks", "_head", "_length", "_missing", "_parts", "_rest", "_sizes", "_why", "error", "largest",
        "limit",
    )  # fmt: skip

    def __init__(self, limit: int) -> None:
        self.limit = limit  # bytes behind the header that a frame may have
        self.largest = 0  # bytes of the largest frame that did not come in one read; smaller ones are not measured
        self.error: RpcxError | None = None  # what is wrong with the bytes behind the last frame; then it is over
        self._rest = b""  # an incomplete frame not worth collecting apart: header, table, small body
        self._head: tuple[int, int] | None = None  # (kind, id) of the large frame under way, else None
        self._sizes: list[int] = []  # of its parts: body, then segments
        self._parts: list[bytes] = []  # the parts that are complete
        self._chunks: list[bytes | bytearray] = []  # pieces of the part under way; small ones joined
        self._missing = 0  # bytes the part under way still needs
        self._length = 0  # bytes of the large frame under way
        self._cargo: Cargo | None = None  # who is asked for room for it; None: nobody
        self._why: LimitExceeded | None = None  # … and said why there is none: it is not kept

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return self._head is not None or bool(self._rest)

    def wanted(self) -> int:
        """How many bytes to read next: the rest of a large part exactly, so that it needs no cutting."""
        return READ_SIZE if self._head is None else max(READ_SIZE, min(self._missing, LARGE_READ))

    def weigh(self, cargo: Cargo) -> None:
        """From now on there must be room for large frames; for the one under way too."""
        self._cargo = cargo
        if self._head is not None:
            self._load()

    def read(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes.

        A frame that claims more than `limit` bytes or too many segments, or whose segment table does not fit
        it, is the end: the frames before it are returned, and `error` is set.
        """
        frames: list[Frame] = []
        position = 0
        if self._head is not None:
            position = self._collect(data, 0, frames)
        elif self._rest:
            data = self._rest + data
            self._rest = b""
        end = len(data)
        while end - position >= HEADER_SIZE:
            length, kind, _, segments, call_id = HEADER.unpack_from(data, position)
            if length > self.limit or segments > MAX_SEGMENTS:
                self.error = _too_large(length, segments, self.limit)
                return frames
            start = position + HEADER_SIZE
            stop = start + length
            if not segments and stop <= end:
                frames.append((kind, call_id, data[start:stop], NO_SEGMENTS))
                position = stop
                continue
            if start + 4 * segments > end or (stop > end and length <= READ_SIZE):
                break
            if not self._begin(data, start, length, kind, segments, call_id):
                return frames
            position = self._collect(data, start + 4 * segments, frames)
        if position < end and self._head is None:
            self._rest = data[position:] if position else data
        return frames

    def _begin(self, data: bytes, start: int, length: int, kind: int, segments: int, call_id: int) -> bool:
        sizes = list(Struct(f"!{segments}I").unpack_from(data, start))
        body = length - 4 * segments - sum(sizes)
        if body < 0:
            self.error = ProtocolError(f"a frame of {length} bytes announces segments of {sum(sizes)} bytes")
            return False
        if length > LARGE_READ // 2:
            _keep_large_blocks()
        self._head = (kind, call_id)
        self._length = length
        self.largest = max(self.largest, length)
        self._sizes = [*sizes[::-1], body]
        self._missing = self._sizes.pop()
        if self._cargo is not None:
            self._load()
        return True

    def _load(self) -> None:
        if self._cargo is not None and self._length > READ_SIZE:
            self._why = self._cargo.load(self._length)
            if self._why is not None:
                self._parts, self._chunks = [], []

    def _complete(self) -> Frame:
        """The large frame that was under way."""
        kind, call_id = self._head  # type: ignore[misc]  # set while collecting
        body, segments = self._parts[0], self._parts[1:]
        why, self._head, self._parts, self._why = self._why, None, [], None
        if why is not None:
            return kind, call_id, b"", Unkept((why,))
        if self._cargo is not None and self._length > READ_SIZE:
            self._cargo.arrived(call_id if kind in (Kind.CALL, Kind.BATCH) else 0)
        return kind, call_id, body, segments

    def _collect(self, data: bytes, position: int, frames: list[Frame]) -> int:
        """Feed the large frame under way from ``data[position:]``; where it stopped taking."""
        while True:
            take = min(self._missing, len(data) - position)
            piece = data if take == len(data) else data[position : position + take]
            position += take
            self._missing -= take
            chunks = self._chunks
            if self._why is not None:
                piece = b""
            if self._missing:
                if not piece:
                    pass
                elif take < SMALL_PIECE and chunks and type(chunks[-1]) is bytearray:
                    chunks[-1] += piece
                else:
                    chunks.append(piece if take >= SMALL_PIECE else bytearray(piece))
                return position
            self._parts.append(b"".join((*chunks, piece)) if chunks else piece)
            self._chunks = []
            if self._sizes:
                self._missing = self._sizes.pop()
                continue
            frames.append(self._complete())
            return position


def _too_large(length: int, segments: int, limit: int) -> LimitExceeded:
    if segments > MAX_SEGMENTS:
        text = f"a message has {segments} segments; at most {MAX_SEGMENTS} are allowed"
        return LimitExceeded(text, limit="fixed.segments")
    return LimitExceeded(
        f"a message of {length} bytes exceeds this side's limit of {limit} bytes; "
        "raise it with limits=Limits(message=...), or send the data as a stream",
        limit="limits.message",
    )
