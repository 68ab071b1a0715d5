"""The built-in formatters: msgpack, compact and fast, and JSON, which a person can read on the wire.

msgpack's fast paths: an envelope of scalars and plain lists is packed as it is, by a packer from a pool (a
`Packer` may not be shared); a short body is decoded as if it had no extension types, and once more if it has.
Everything else is lowered to what msgpack has, with an extension type for each tag, whose payload is msgpack
again. Large buffers leave the envelope as segments, without a copy.

What a stranger can do with a body, and what stops it (measured on 4 MiB):

    millions of empty containers    291 MiB        counted by hooks, in payloads of extension types too
    arrays that claim more items    119 MiB        the structure is skipped through first: C code, no objects
      than there are, nested
    depth                           the C stack    msgpack stops at 1,024; `check_depth` at what is allowed
    one segment, named many times   2 GiB          all may be named twice, more is refused
    a key as long as the message    for ever, on   a key has 16,384 characters at most
                                    Python 3.12.1

All but the depth are looked for in long bodies only: a short one cannot hold enough to hurt, nor so long a key.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]  # it ships no types

from rpcx.abc import Buffer
from rpcx.abc import Values as PlainValues
from rpcx.errors import RpcxError
from rpcx.protocol.frames import MAX_SEGMENTS
from rpcx.sinks.lowering import (
    ENVELOPE,
    MAX_CONTAINERS,
    MAX_DEPTH,
    SCALARS,
    Lowering,
    check_depth,
    is_long,
    long_key,
    no_message,
    refusing,
    too_deep,
    too_many,
)
from rpcx.sinks.tags import BYTEARRAY, INT, VIEW_CODE, CannotTravel, Tag, exactly, fields
from rpcx.sinks.values import BY_CODE, Values

PLAIN_DEPTH: Final = 3  # lists within lists that the fast path looks into: a batch of calls has three
SHORT_BODY: Final = 4_096  # bytes up to which a body is first decoded as if it had no extension types
CLAIMING_BODY: Final = 2_048  # bytes from which claims are checked; below, they cost 11 MiB at most, for a moment
COUNTED_BODY: Final = 16_384  # bytes from which containers are counted; a smaller body holds as many as it has bytes
SEGMENT_SIZE: Final = 8_192  # bytes from which a buffer travels as a segment
NAMED: Final = 2  # how often a segment may be named, on average by size: each time it may be copied
KEPT_PACKER: Final = 1 << 20  # bytes of a message above which its packer is not kept: its buffer never shrinks
SURROGATES: Final = "surrogatepass"  # so that any str survives, file names from odd file systems too
TIMESTAMP: Final = 3  # msgpack's own timestamps, which other languages send, arrive as datetime in UTC

SEGMENT: Final = 2  # the extension type of a segment: [index, code], where code says what it stands for:
BYTES: Final = 0  # bytes; any other is the code of a tag

#: Maps what an array or map begins with to 1, and all else to 0: fixmap and fixarray are 0x80 to 0x9f, the long
#: ones 0xdc to 0xdf.
HEADS: Final = bytes(0x80 <= byte < 0xA0 or 0xDC <= byte < 0xE0 for byte in range(256))

unpackb: Final = msgpack.unpackb


class MsgpackFormatter:
    """``msgpack``: the default.

    Args:
        depth: containers within containers that are accepted and sent.
        containers: lists, maps and tuples that a message may have.
    """

    name = "msgpack"
    sound = True

    def __init__(self, *, depth: int = MAX_DEPTH, containers: int = MAX_CONTAINERS) -> None:
        self._depth = depth
        self._containers = containers
        self._packers: list[Any] = []  # free ones; msgpack has no types. append and pop are atomic

    def encode(self, value: Any, values: Values) -> tuple[bytes, Sequence[Buffer]]:
        """Bytes and segments of an envelope.

        Raises:
            CannotTravel: (TypeError) it holds a value that has no way to travel; names the place.
            LimitExceeded: it is too deep, contains itself, or has too many containers.
        """
        if type(value) is list and _plain_lists(value, PLAIN_DEPTH, self._containers):
            return self.pack_plain(value), ()
        encoding = _Encoding(self, values, self._depth, self._containers)
        return self.pack_plain(encoding.message(value)), encoding.segments

    def pack_plain(self, lowered: object) -> bytes:
        """The bytes of what msgpack has types for."""
        try:
            packer = self._packers.pop()
        except IndexError:
            packer = msgpack.Packer(default=_big_int)
        try:
            body: bytes = packer.pack(lowered)
        except UnicodeEncodeError:  # surrogates; to be ready for them costs all other texts 20 ns each
            packer = msgpack.Packer(unicode_errors=SURROGATES, default=_big_int)
            body = packer.pack(lowered)
        if len(body) < KEPT_PACKER:
            self._packers.append(packer)
        return body

    def decode(self, body: bytes, segments: Sequence[Buffer], values: Values) -> object:
        """The envelope.

        Raises:
            ValueError: the bytes are no message.
            LimitExceeded: it is too deep, or has too many containers.
        """
        size = len(body)
        try:
            if size > CLAIMING_BODY or segments:
                if size > SHORT_BODY or segments:
                    return _Decoding(values, segments, self._depth, self._containers).decode(body)
                _check_claims(body)
            value = unpackb(
                body, strict_map_key=False, unicode_errors=SURROGATES, timestamp=TIMESTAMP, ext_hook=_extended
            )
            if size > self._depth:  # so many bytes may be heads of containers; those of a target are text
                if type(value) is list and value and type(value[0]) is str:
                    size -= len(value[0])
                if size > self._depth and body.translate(HEADS).count(1) > self._depth:
                    check_depth(value, self._depth)
        except _Extended:
            pass  # once more below, outside of this block: or it would be the context of whatever is raised there
        except (RpcxError, ValueError):
            raise
        except Exception as error:  # noqa: BLE001  # `refusing`, written out for the usual message
            raise no_message(error) from None
        else:
            return value
        return self._decode_extended(body, values)

    @refusing
    def _decode_extended(self, body: bytes, values: Values) -> object:
        return _Decoding(values, (), self._depth, self._containers).decode(body)


class _Extended(Exception):
    """A short body has extension types after all."""


def _extended(_code: int, _data: bytes) -> object:
    raise _Extended


def _plain_lists(value: list[Any], depth: int, limit: int) -> int:  # items of any type
    """How many lists there are, if they hold scalars, short bytes and lists only; 0 if not, or too many."""
    count = 1
    for item in value:
        kind = type(item)
        if kind in SCALARS:
            continue
        if kind is list:
            lists = 1 if SCALARS.issuperset(map(type, item)) else _plain_lists(item, depth - 1, limit) if depth else 0
            count += lists
            if lists and count <= limit:
                continue
        elif kind is bytes and len(item) < SEGMENT_SIZE:
            continue
        return 0
    return count


def _big_int(value: object) -> object:
    """Called by the packer for the one native value that may not fit: an int beyond 64 bits."""
    return msgpack.ExtType(INT.code, msgpack.packb(INT.lower(exactly(int, value))))


class _Encoding(Lowering):
    """One message on its way to bytes."""

    def __init__(self, formatter: MsgpackFormatter, values: Values, depth: int, containers: int) -> None:
        super().__init__(values, depth, containers)
        self.segments: list[Buffer] = []  # that travel beside the body, in the order they are named
        self._pack = formatter.pack_plain
        self._said = BYTES  # what the last bytes were said to be

    def say(self, value: Any) -> object:  # bytes, or a Blob
        data, self._said = (value, BYTES) if type(value) is bytes else (value.data, value.code)
        if len(data) < SEGMENT_SIZE or len(self.segments) == MAX_SEGMENTS:
            return data
        self.segments.append(data)
        return msgpack.ExtType(SEGMENT, self._pack([len(self.segments) - 1, self._said]))

    def mapping(self, value: dict[Any, Any], depth: int) -> object:  # keys of any type
        if SCALARS.issuperset(map(type, value.values())) and SCALARS.issuperset(map(type, value)):
            return value
        keys = [self.key(key, depth + 1) for key in value]
        self.check_distinct(keys, value)
        mapped = {key: self.lower(item, depth + 1) for key, item in zip(keys, value.values(), strict=True)}
        if len(mapped) != len(value):  # NaN within a key is no other NaN's equal, and yet they are the same bytes
            raise CannotTravel("two of its keys are the same in bytes, so one would be lost", value)
        return mapped

    def repeats(self, lowered: list[Any]) -> bool:  # keys, or the items of a set
        return len(set(lowered)) != len(lowered)

    def tagged(self, tag: Tag, content: Any) -> object:  # lowered
        if type(content) is msgpack.ExtType and content.code == SEGMENT and self._said == tag.code:
            return content  # the segment's code says it already
        return msgpack.ExtType(tag.code, self._pack(content))


class _Decoding:
    """One message on its way from bytes."""

    def __init__(self, values: Values, segments: Sequence[Buffer], depth: int, containers: int) -> None:
        self._values = values
        self._segments = segments
        self._depth = depth
        self._containers = containers
        self._left = containers  # that may still come
        self._counted = False  # whether containers are counted in this message
        self._level = 0  # of extension types within extension types
        self._nameable = NAMED * sum(map(_size, segments))  # bytes of segments that may still be named

    def decode(self, body: bytes) -> object:
        self._counted = len(body) > COUNTED_BODY
        value = self._unpack(body)
        if not self._counted or self._containers - self._left > self._depth:
            check_depth(value, self._depth)
        return value

    def _unpack(self, body: bytes) -> Any:  # what a stranger wrote
        if len(body) > CLAIMING_BODY:
            _check_claims(body)
        count, count_map = (self._count, self._count_map) if self._counted else (None, None)
        return unpackb(
            body,
            ext_hook=self._extension,
            list_hook=count,
            object_hook=count_map,
            strict_map_key=False,
            unicode_errors=SURROGATES,
            timestamp=TIMESTAMP,
        )

    def _count(self, container: Any) -> Any:  # a list or dict
        self._left -= 1
        if self._left < 0:
            raise too_many(self._containers)
        return container

    def _count_map(self, container: Any) -> Any:  # a dict
        if is_long(container):
            raise long_key()
        return self._count(container)

    def _extension(self, code: int, data: bytes) -> object:
        if self._level >= self._depth + ENVELOPE:
            raise too_deep(self._depth)
        self._level += 1
        content = self._unpack(data)
        self._level -= 1
        if code == SEGMENT:
            return self._segment(*fields(content, int, int))
        tag = BY_CODE.get(code)
        if tag is None:
            raise ValueError(f"an unknown extension type {code}")
        return self._values.lift(tag, content)

    def _segment(self, index: int, code: int) -> object:
        if not 0 <= index < len(self._segments):
            raise ValueError(f"there is no segment {index} among {len(self._segments)}")
        segment = self._segments[index]
        self._nameable -= _size(segment)
        if self._nameable < 0:
            raise ValueError(f"segments are named more than {NAMED} times")
        if code == BYTES:
            return segment if type(segment) is bytes else bytes(segment)
        if code not in (BYTEARRAY.code, VIEW_CODE):
            raise ValueError(f"a segment of unknown kind {code}")
        if code == VIEW_CODE:
            segment = memoryview(segment)
        return self._values.lift(BY_CODE[code], segment)


def _size(segment: Buffer) -> int:
    return segment.nbytes if type(segment) is memoryview else len(segment)


def _check_claims(body: bytes) -> None:
    """Raise unless each array and map is as long as it says: room is made for what it says before it is read."""
    skimmer: Any = msgpack.Unpacker(max_buffer_size=len(body))  # msgpack has no types
    skimmer.feed(body)
    try:
        skimmer.skip()
    except msgpack.OutOfData:
        raise ValueError("cut off, or containers that claim more than there is") from None
    if skimmer.tell() != len(body):
        raise ValueError(f"{len(body) - skimmer.tell()} bytes behind the end")


STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # an open one to the end: linear on any input


class JsonFormatter:
    """``json``: readable text, for looking at the wire and for peers without msgpack.

    Args:
        containers: lists and maps that a text may have. Each tag is one, so twice what values may have.
    """

    name = "json"
    sound = True

    def __init__(self, *, containers: int = 2 * MAX_CONTAINERS) -> None:
        self._containers = containers

    def encode(self, value: object, values: PlainValues) -> tuple[bytes, Sequence[Buffer]]:
        """Text in UTF-8; no segments."""
        plain = values.plain(value)
        try:
            data = _text(plain, escaped=False).encode()
        except UnicodeEncodeError:  # lone surrogates, which only escapes can tell
            data = _text(plain, escaped=True).encode()
        self._check_number(data)  # better here than at the other end
        return data, ()

    @refusing
    def decode(self, body: bytes, segments: Sequence[Buffer], values: PlainValues) -> object:
        """The envelope. Raises ValueError on bytes that are none, LimitExceeded on too much."""
        if segments:
            raise ValueError("segments beside JSON")
        try:
            self._check_number(body)
            return values.restore(json.loads(str(body, "utf-8"), parse_constant=_no_constant))
        except RecursionError:
            raise too_deep(MAX_DEPTH) from None

    def _check_number(self, body: bytes) -> None:
        """Count brackets before anything is made of them; those in texts only once there are too many."""
        count = _brackets(body)
        if count > self._containers:
            count -= sum(_brackets(match[0]) for match in STRINGS.finditer(body))
        if count > self._containers:
            raise too_many(self._containers)


def _text(plain: object, *, escaped: bool) -> str:
    return json.dumps(plain, ensure_ascii=escaped, allow_nan=False, separators=(",", ":"))


def _brackets(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
