"""The built-in formatters: msgpack, compact and fast, and JSON, which a person can read on the wire.

msgpack's fast path: an envelope whose arguments are scalars is packed as it is, by a packer that is taken from a
pool (a `Packer` may not be shared). Everything else is first lowered to what msgpack has, with extension types
for tags; a large buffer leaves the envelope as a segment, without a copy.

Decoding makes a new decoder per message. Counting containers costs a Python call for each, so it is done only
in bodies over `COUNTED_BODY`: smaller ones cannot hold many (4 MiB of empty lists would become 291 MiB).
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]  # it ships no types

from rpcx.abc import Buffer
from rpcx.errors import LimitExceeded, RpcxError
from rpcx.sinks.values import (
    BY_CODE,
    CONTAINERS,
    MAX_DEPTH,
    REF_CODE,
    SCALARS,
    SEGMENT_CODE,
    SMALL_INT,
    CannotTravel,
    Values,
    as_data,
    checked_depth,
    lift,
    tag_of,
    too_deep,
)

MAX_CONTAINERS: Final = 100_000  # lists and maps in one message; each costs 56 to 64 bytes for one on the wire
COUNTED_BODY: Final = 16_384  # bytes of body from which containers are counted
SEGMENT_SIZE: Final = 8_192  # bytes from which a buffer travels as a segment
SURROGATES: Final = "surrogatepass"  # so that any str survives, file names from odd file systems too

PLAIN_DEPTH: Final = 3  # lists within lists that the fast path looks into: a batch of calls has three
SHORT_BODY: Final = 4_096  # bytes up to which a body is first decoded as if it had no extension types

unpackb: Final = msgpack.unpackb

BUFFERS: Final = frozenset({bytes, bytearray, memoryview})


class MsgpackFormatter:
    """``msgpack``: the default.

    Args:
        depth: containers within containers that are accepted.
        containers: lists and maps that a message may have.
    """

    name = "msgpack"

    def __init__(self, *, depth: int = MAX_DEPTH, containers: int = MAX_CONTAINERS) -> None:
        self._depth = depth
        self._containers = containers
        self._packers: list[Any] = []  # free packers; msgpack has no types. append and pop are atomic

    def encode(self, value: Any, values: Values) -> tuple[bytes, Sequence[Buffer]]:
        """Bytes and segments of an envelope."""
        if _is_plain(value, PLAIN_DEPTH):
            try:
                packer = self._packers.pop()
            except IndexError:
                packer = msgpack.Packer(unicode_errors=SURROGATES)
            try:
                body = packer.pack(value)
            except OverflowError:
                pass  # an integer beyond 64 bits
            else:
                self._packers.append(packer)
                return body, ()
        return _Encoding(values, self._depth).encode(value)

    def decode(self, body: bytes, segments: Sequence[Buffer], values: Values) -> object:
        """The envelope. Raises ValueError on bytes that are none."""
        if len(body) > SHORT_BODY or segments:
            return _Decoding(values, segments, self._depth, self._containers).decode(body)
        # A short body without extension types: what most calls and answers are.
        try:
            value = unpackb(body, strict_map_key=False, unicode_errors=SURROGATES, ext_hook=_extended)
            if type(value) is not list or not _is_plain(value, PLAIN_DEPTH):
                checked_depth([value], self._depth + 1)
        except _Extended:
            return _Decoding(values, segments, self._depth, self._containers).decode(body)
        except (RpcxError, ValueError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever a hostile message provokes, it is no message
            raise ValueError(f"{type(error).__name__}: {error}") from None
        return value


def _is_plain(value: list[Any], depth: int) -> bool:
    """Whether there are only scalars, and lists of them to some depth: what msgpack says by itself."""
    for item in value:
        kind = type(item)
        if kind in SCALARS:
            continue
        if kind is not list or not (SCALARS.issuperset(map(type, item)) or (depth > 0 and _is_plain(item, depth - 1))):
            return False
    return True


class _Extended(Exception):
    """A short body has extension types after all."""


def _extended(code: int, data: bytes) -> object:  # noqa: ARG001  # msgpack's signature
    raise _Extended


class _Encoding:
    """One message on its way to bytes."""

    def __init__(self, values: Values, depth: int) -> None:
        self._values = values
        self._limit = depth + 2  # the envelope and its argument list are two levels of their own
        self._segments: list[Buffer] = []

    def encode(self, value: object) -> tuple[bytes, Sequence[Buffer]]:
        try:
            return self._pack(self._lower(value, 0)), self._segments
        except RecursionError:
            raise too_deep() from None

    def _pack(self, lowered: object) -> bytes:
        packed: Any = msgpack.packb(lowered, unicode_errors=SURROGATES)
        return packed  # type: ignore[no-any-return]  # bytes, as long as autoreset is on

    def _lower(self, value: Any, depth: int) -> Any:  # any value; what msgpack packs
        kind = type(value)
        if kind in SCALARS:
            return value if kind is not int or value in SMALL_INT else self._tagged(value, depth)
        if kind in BUFFERS and memoryview(value).nbytes >= SEGMENT_SIZE:
            return self._segment(value)
        if kind is bytes:
            return value
        if depth > self._limit:
            raise too_deep(self._limit - 2)
        if kind is list:
            return [self._step(index, item, depth) for index, item in enumerate(value)]
        if kind is dict:
            return {self._lower(key, depth + 1): self._step(key, item, depth) for key, item in value.items()}
        return self._tagged(value, depth)

    def _step(self, key: Any, item: Any, depth: int) -> Any:  # a key of any kind
        if type(item) in SCALARS and type(item) is not int:
            return item
        try:
            return self._lower(item, depth + 1)
        except CannotTravel as error:
            error.path.insert(0, key)
            raise

    def _tagged(self, value: Any, depth: int) -> Any:  # any value; what msgpack packs
        tag = tag_of(value)
        if tag is not None:
            return msgpack.ExtType(tag.code, self._pack(self._lower(tag.lower(value), depth + 1)))
        fields = self._values.refer(value)
        if fields is not None:
            return msgpack.ExtType(REF_CODE, self._pack(fields))
        return self._lower(as_data(value), depth + 1)

    def _segment(self, value: Any) -> Any:  # a buffer; an ExtType
        kind = type(value)
        view = memoryview(value)
        self._segments.append(value if kind is bytes else view.cast("B") if view.c_contiguous else view.tobytes())
        code = 0 if kind is bytes else BY_CODE_OF[kind]
        return msgpack.ExtType(SEGMENT_CODE, self._pack([len(self._segments) - 1, code]))


BY_CODE_OF: Final[dict[Any, int]] = {bytearray: 7, memoryview: 8}  # the tags of the table


class _Decoding:
    """One message on its way from bytes."""

    def __init__(self, values: Values, segments: Sequence[Buffer], depth: int, containers: int) -> None:
        self._values = values
        self._segments = segments
        self._depth = depth
        self._containers = containers  # that may still come
        self._level = 0  # of extension types within extension types

    def decode(self, body: bytes) -> object:
        try:
            value = self._unpack(body)
            for item in value if type(value) is list else (value,):
                if type(item) in CONTAINERS:
                    checked_depth(value, self._depth)
                    break
        except (RpcxError, ValueError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever a hostile message provokes, it is no message
            raise ValueError(f"{type(error).__name__}: {error}") from None
        return value

    def _unpack(self, body: bytes) -> Any:  # plain data
        counted = len(body) > COUNTED_BODY
        return msgpack.unpackb(
            body,
            ext_hook=self._extension,
            list_hook=self._count if counted else None,
            object_hook=self._count if counted else None,
            strict_map_key=False,
            unicode_errors=SURROGATES,
        )

    def _count(self, container: Any) -> Any:  # a list or dict
        self._containers -= 1
        if self._containers < 0:
            raise LimitExceeded("a message has more lists and maps than allowed")
        return container

    def _extension(self, code: int, data: bytes) -> object:
        self._level += 1
        if self._level > self._depth + 2:
            raise too_deep(self._depth)
        try:
            content = self._unpack(data)
        finally:
            self._level -= 1
        if code == REF_CODE:
            if type(content) is not list:
                raise ValueError("a reference without fields")
            return self._values.resolve(content)
        if code == SEGMENT_CODE:
            return self._from_segment(*content)
        tag = BY_CODE.get(code)
        if tag is None:
            raise ValueError(f"an unknown extension type {code}")
        return lift(tag, content)

    def _from_segment(self, index: int, code: int) -> object:
        if not 0 <= index < len(self._segments):
            raise ValueError(f"segment {index} of {len(self._segments)}")
        segment = self._segments[index]
        if code == 0:
            return segment if type(segment) is bytes else bytes(segment)
        if code not in BY_CODE_OF.values():
            raise ValueError(f"a segment of unknown kind {code}")
        return lift(BY_CODE[code], segment)


class JsonFormatter:
    """``json``: readable text, for looking at the wire and for peers without msgpack."""

    name = "json"

    def encode(self, value: object, values: Values) -> tuple[bytes, Sequence[Buffer]]:
        """Text in UTF-8; no segments."""
        try:
            plain = values.plain(value)
        except RecursionError:
            raise too_deep() from None
        try:
            return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(), ()
        except UnicodeEncodeError:  # lone surrogates
            return json.dumps(plain, allow_nan=False, separators=(",", ":")).encode(), ()

    def decode(self, body: bytes, segments: Sequence[Buffer], values: Values) -> object:
        """The envelope. Raises ValueError on bytes that are none."""
        if segments:
            raise ValueError("segments beside JSON")
        try:
            value = values.restore(json.loads(body, parse_constant=_no_constant))
            checked_depth([value], MAX_DEPTH + 1)
        except (RpcxError, ValueError):
            raise
        except RecursionError:
            raise too_deep() from None
        except Exception as error:  # noqa: BLE001  # whatever a hostile message provokes, it is no message
            raise ValueError(f"{type(error).__name__}: {error}") from None
        return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
