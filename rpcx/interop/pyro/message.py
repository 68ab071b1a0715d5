"""Pyro5's messages, without I/O: a header of forty bytes, annotations, and a body that some serializer wrote.

    0   4s  "PYRO"          8   H  flags                 20  16s  correlation id
    4   H   version 502     10  H  sequence number       36  H    reserved
    6   B   kind            12  I  length of the body    38  H    0x4dc5
    7   B   serializer      16  I  length of annotations

A length is checked before anything is gathered for it; what was compressed may not grow beyond the limit either.
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

from rpcx.errors import LimitExceeded, ProtocolError

CONNECT: Final = 1
CONNECT_OK: Final = 2
CONNECT_FAIL: Final = 3
INVOKE: Final = 4
RESULT: Final = 5
PING: Final = 6
KINDS: Final = range(CONNECT, PING + 1)

EXCEPTION: Final = 1 << 0
COMPRESSED: Final = 1 << 1
ONEWAY: Final = 1 << 2
BATCH: Final = 1 << 3
STREAM: Final = 1 << 4  # the result is an iterator; its id is the annotation STREAM_ID
KEPT_SERIALIZED: Final = 1 << 5
CORRELATED: Final = 1 << 6

STREAM_ID: Final = "STRM"
VERSION: Final = 502
MAGIC: Final = 0x4DC5
HEADER: Final = struct.Struct("!4sHBBHHII16sHH")
CHUNK: Final = struct.Struct("!4sI")
LARGEST: Final = 16 << 20  # bytes of a message: its values take many times that in memory


@dataclass(slots=True)
class Message:
    """One message."""

    kind: int
    serializer: int
    seq: int
    body: bytes = b""
    flags: int = 0
    annotations: dict[str, bytes] = field(default_factory=dict)
    correlation: bytes = bytes(16)


def write(message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        LimitExceeded: no peer that has our limits takes it.
    """
    chunks = b"".join(CHUNK.pack(name.encode(), len(data)) + data for name, data in message.annotations.items())
    if len(message.body) + len(chunks) > LARGEST:
        raise LimitExceeded(f"a Pyro message of {len(message.body)} bytes; at most {LARGEST} are allowed")
    header = HEADER.pack(
        b"PYRO", VERSION, message.kind, message.serializer, message.flags, message.seq, len(message.body), len(chunks),
        message.correlation, 0, MAGIC,
    )  # fmt: skip
    return header + chunks + message.body


class Messages:
    """Takes a stream of bytes apart.

    Args:
        largest: bytes that a message may have behind its header.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = min(largest, LARGEST)
        self._data = bytearray()
        self._need = HEADER.size  # until the next step

    @property
    def between(self) -> bool:
        """Whether nothing of a message is here."""
        return not self._data

    @property
    def wanted(self) -> int:
        """Bytes that are missing for the next step."""
        return self._need - len(self._data)

    def receive(self, data: bytes) -> list[Message]:
        """The messages that are complete now.

        Raises:
            ProtocolError: this is not Pyro5.
            LimitExceeded: a message is longer than allowed.
        """
        self._data += data
        messages = []
        while len(self._data) >= HEADER.size:
            header = HEADER.unpack_from(self._data)
            size = self._size(header)
            self._need = HEADER.size + size
            if len(self._data) < self._need:
                break
            rest = bytes(memoryview(self._data)[HEADER.size : self._need])
            del self._data[: self._need]
            self._need = HEADER.size
            messages.append(self._message(header, rest))
        return messages

    def _size(self, header: tuple[bytes, int, int, int, int, int, int, int, bytes, int, int]) -> int:
        tag, version, kind, _, _, _, body, annotations, _, _, magic = header
        if tag != b"PYRO" or magic != MAGIC or kind not in KINDS:
            raise ProtocolError("this is no message of Pyro's")
        if version != VERSION:
            raise ProtocolError(f"version {version} of Pyro's protocol; only {VERSION} (Pyro5) is spoken here")
        if body + annotations > self._largest:
            text = f"a message of {body + annotations} bytes; at most {self._largest} are allowed"
            raise LimitExceeded(text, limit="limits.message")
        return body + annotations

    def _message(
        self, header: tuple[bytes, int, int, int, int, int, int, int, bytes, int, int], rest: bytes
    ) -> Message:
        _, _, kind, serializer, flags, seq, _, annotations, correlation, _, _ = header
        body = rest[annotations:]
        if flags & COMPRESSED:
            body, flags = self._inflated(body), flags & ~COMPRESSED
        return Message(kind, serializer, seq, body, flags, _annotations(rest[:annotations]), correlation)

    def _inflated(self, body: bytes) -> bytes:
        inflater = zlib.decompressobj()
        try:
            plain = inflater.decompress(body, self._largest + 1)
        except zlib.error as error:
            raise ProtocolError(f"a body that cannot be decompressed: {error}") from None
        if len(plain) > self._largest:
            raise LimitExceeded(f"a body that grows beyond {self._largest} bytes", limit="limits.message")
        if not inflater.eof:
            raise ProtocolError("a compressed body that is cut short")
        return plain


def _annotations(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        if len(data) - at < CHUNK.size:
            raise ProtocolError("an annotation that is cut short")
        name, length = CHUNK.unpack_from(data, at)
        at += CHUNK.size
        if length > len(data) - at or not name.isascii():
            raise ProtocolError("an annotation that is longer than what came, or has no ASCII name")
        found[name.decode("ascii")] = data[at : at + length]
        at += length
    return found
