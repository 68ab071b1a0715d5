"""What stands around a message on the wire: frames, whatever channel carries them, and those of .NET's TCP channel.

    message  ".NET" 1 0  operation:u16  length  header*  0:u16  body
    length   0:u16 bytes:i32                     or, chunked:  1:u16 {bytes:i32 data CRLF}* 0:i32 CRLF
    header   1:u16 name value (both texts)       or            id:u16 form:u8 value

There is no handshake: a client just sends. Answers come in the order of the requests. The IPC channel uses the same
frames. `Frames` takes bytes in any portions; it never holds more than one message's limit.

`Wire` is what a session needs of a channel's way to say frames. The HTTP channel's is `rpcx.interop.dotnet.http_wire`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Protocol

from rpcx.errors import ProtocolError

PREAMBLE: Final = b".NET\x01\x00"
MESSAGE: Final = 64 << 20  # bytes of one body; .NET itself has no limit
HEADERS: Final = 64  # of one message
TEXT: Final = 8192  # bytes of one header's text: a URL, a reason
CRLF: Final = b"\r\n"


class Operation(IntEnum):
    """What a message is."""

    REQUEST = 0
    ONEWAY = 1
    REPLY = 2


class Header(IntEnum):
    """The headers that have a number."""

    END = 0
    CUSTOM = 1
    STATUS_CODE = 2
    STATUS_PHRASE = 3
    REQUEST_URI = 4
    CLOSE = 5
    CONTENT_TYPE = 6


class Form(IntEnum):
    """How a header's value is written."""

    VOID = 0
    TEXT = 1
    BYTE = 2
    UINT16 = 3
    INT32 = 4


CONTENT_LENGTH: Final = 0
CHUNKED: Final = 1
BINARY: Final = "application/octet-stream"
XML: Final = "text/xml"

_START: Final = struct.Struct("<6sHH")
_INT32: Final = struct.Struct("<i")
_UINT16: Final = struct.Struct("<H")
_SIZES: Final = {Form.VOID: 0, Form.BYTE: 1, Form.UINT16: 2, Form.INT32: 4}


@dataclass(slots=True)
class Frame:
    """One message."""

    operation: Operation
    body: bytes = b""
    uri: str = ""  # of a request: the object's URL, or its URI alone
    content_type: str = ""  # empty: not said, the binary formatter's
    failure: str | None = None  # of a reply: why the request never reached an object
    closes: bool = False  # the connection ends behind it
    custom: dict[str, str] = field(default_factory=dict)  # headers of the application's sinks, and of formatters
    fault: bool = False  # of a reply: it carries an exception
    uncertain: bool = False  # of a failure: the request may have been served all the same
    agent: str | None = None  # what the sender calls itself, where that is said


class Wire(Protocol):
    """One end of a connection: frames as bytes, bytes as frames."""

    @property
    def content_types(self) -> tuple[str, ...]:
        """Of messages that it may carry."""
        ...

    @property
    def says_oneway(self) -> bool:
        """Whether its requests tell one-way calls from others."""
        ...

    @property
    def always_answers(self) -> bool:
        """Whether one-way calls are answered too: with nothing."""
        ...

    @property
    def patience(self) -> float | None:
        """Seconds for which the peer keeps an idle connection; None: it does not say."""
        ...

    @property
    def between(self) -> bool:
        """Whether no message has begun that is not complete."""
        ...

    @property
    def wanted(self) -> int:
        """How many bytes are known to be missing; 0: none."""
        ...

    @property
    def over(self) -> bool:
        """Whether the connection ends when what was packed has left."""
        ...

    def receive(self, data: bytes, /) -> Iterator[Frame | bytes]:
        """What ``data`` completes: messages, and bytes to send at once. Raises ProtocolError: that was the end."""
        ...

    def pack(self, frame: Frame, /) -> bytes:
        """The bytes of a frame that is sent now."""
        ...


# --- writing ----------------------------------------------------------------------------------------------------


def request(body: bytes, uri: str, *, oneway: bool = False) -> bytes:
    """A call's frame."""
    operation = Operation.ONEWAY if oneway else Operation.REQUEST
    return b"".join((
        _START.pack(PREAMBLE, operation, CONTENT_LENGTH), _INT32.pack(len(body)),
        _header(Header.REQUEST_URI, uri), _header(Header.CONTENT_TYPE, BINARY), _UINT16.pack(Header.END), body,
    ))  # fmt: skip


def reply(body: bytes) -> bytes:
    """An answer's frame; it has no headers."""
    return _START.pack(PREAMBLE, Operation.REPLY, CONTENT_LENGTH) + _INT32.pack(len(body)) + b"\0\0" + body


def refusal(reason: str) -> bytes:
    """The frame that says why a request never reached an object; the connection ends with it."""
    status = struct.pack("<HBH", Header.STATUS_CODE, Form.UINT16, 1)
    close = struct.pack("<HB", Header.CLOSE, Form.VOID)
    start = _START.pack(PREAMBLE, Operation.REPLY, CONTENT_LENGTH) + _INT32.pack(0)
    return b"".join((start, status, _header(Header.STATUS_PHRASE, reason), close, b"\0\0"))


def _header(number: Header, value: str) -> bytes:
    return struct.pack("<HB", number, Form.TEXT) + _text(value)


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    return (b"\x01" if data else b"\x00") + _INT32.pack(len(data)) + data  # 0: UTF-16, 1: UTF-8


# --- reading ----------------------------------------------------------------------------------------------------


class _Incomplete(Exception):
    """More bytes are needed."""


class Frames:
    """Makes messages of the bytes of a connection.

    Args:
        message: bytes that one body may have.
        says_oneway: whether clients tell one-way calls from others.
    """

    content_types = ("", BINARY)
    always_answers = False
    patience: float | None = None
    over = False

    def __init__(self, message: int = MESSAGE, *, says_oneway: bool = True) -> None:
        self.says_oneway = says_oneway
        self._most = message
        self._buffer = bytearray()
        self._at = 0  # the next byte
        self._need = 0  # bytes the buffer must have before it is worth looking again
        self._known = b""  # the last request's headers, as bytes: who calls an object again repeats them
        self._meant = "", ""  # and their meaning: URI, content type

    def receive(self, data: bytes) -> Iterator[Frame]:
        """The messages that are complete with ``data``.

        Raises:
            ProtocolError: the bytes are no message, or one is too large.
        """
        self._buffer += data
        while self._buffer and len(self._buffer) >= self._need:
            self._at = self._need = 0
            try:
                frame = self._frame()
            except _Incomplete:
                return
            del self._buffer[: self._at]
            yield frame

    def pack(self, frame: Frame) -> bytes:
        """The bytes of a frame."""
        if frame.operation is Operation.REPLY:
            return reply(frame.body)
        return request(frame.body, frame.uri, oneway=frame.operation is Operation.ONEWAY)

    @property
    def wanted(self) -> int:
        """How many bytes are known to be missing; 0: none."""
        return max(0, self._need - len(self._buffer))

    @property
    def between(self) -> bool:
        """Whether no message has begun that is not complete."""
        return not self._buffer

    def _frame(self) -> Frame:
        if not self._buffer.startswith(PREAMBLE):
            self._check_preamble()
        _, number, delimiter = _START.unpack_from(self._buffer, self._take(_START.size))
        operation = _OPERATIONS.get(number)
        if operation is None:
            raise ProtocolError(f"a .NET message of operation {number}, which is not known")
        size = -1
        if delimiter == CONTENT_LENGTH:
            size = self._int32()
            self._check_size(size)
        elif delimiter != CHUNKED:
            raise ProtocolError(f"a .NET message whose length is given in way {delimiter}, which is not known")
        frame = Frame(operation)
        if self._known and self._buffer.startswith(self._known, self._at):
            frame.uri, frame.content_type = self._meant
            self._at += len(self._known)
        else:
            self._headers(frame)
        frame.body = self._bytes(size) if size >= 0 else self._chunks()
        return frame

    def _check_preamble(self) -> None:
        """Refuse a stranger at the first wrong byte, without waiting for the rest."""
        start = bytes(self._buffer[: len(PREAMBLE)])
        if not PREAMBLE.startswith(start):
            raise ProtocolError(f"no .NET Remoting: it begins with {start!r}, not with {PREAMBLE!r}")

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self._most:
            raise ProtocolError(f"a .NET message of {size} bytes; the limit is {self._most}", limit="limits.message")

    def _headers(self, frame: Frame) -> None:
        start = self._at
        for _ in range(HEADERS):
            number = self._uint16()
            if number == Header.END:
                if frame.uri and not frame.custom and frame.failure is None and not frame.closes:
                    self._known, self._meant = bytes(self._buffer[start : self._at]), (frame.uri, frame.content_type)
                return
            if number == Header.CUSTOM:
                name = self._string()
                frame.custom[name] = self._string()
            else:
                self._known_header(frame, number)
        raise ProtocolError(f"a .NET message with more than {HEADERS} headers")

    def _known_header(self, frame: Frame, number: int) -> None:
        form = self._buffer[self._take(1)]
        if form == Form.TEXT:
            text = self._string()
            if number == Header.REQUEST_URI:
                frame.uri = text
            elif number == Header.CONTENT_TYPE:
                frame.content_type = text
            elif number == Header.STATUS_PHRASE:
                frame.failure = text
            return
        size = _SIZES.get(form)  # type: ignore[call-overload]  # any number; those not known give None
        if size is None:
            raise ProtocolError(f"a header of a .NET message is written in form {form}, which is not known")
        value = int.from_bytes(self._bytes(size), "little")
        if number == Header.STATUS_CODE and value != 0:
            frame.failure = frame.failure or "the server refused the request"
        elif number == Header.CLOSE:
            frame.closes = True

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            size = self._int32()
            self._check_size(len(body) + size if size >= 0 else size)
            body += self._bytes(size)
            if self._bytes(2) != CRLF:
                raise ProtocolError("a chunk of a .NET message does not end with CR LF")
            if size == 0:
                return bytes(body)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _take(self, size: int) -> int:
        start, end = self._at, self._at + size
        if end > len(self._buffer):
            self._need = end
            raise _Incomplete
        self._at = end
        return start

    def _bytes(self, size: int) -> bytes:
        start = self._take(size)
        return bytes(memoryview(self._buffer)[start : start + size])

    def _int32(self) -> int:
        return int(_INT32.unpack_from(self._buffer, self._take(4))[0])

    def _uint16(self) -> int:
        return int(_UINT16.unpack_from(self._buffer, self._take(2))[0])

    def _string(self) -> str:
        encoding, size = self._buffer[self._take(1)], self._int32()
        if encoding > 1 or not 0 <= size <= TEXT:
            raise ProtocolError(f"a header's text of {size} bytes in encoding {encoding}; {TEXT} bytes at most")
        try:
            return self._bytes(size).decode("utf-8" if encoding else "utf-16-le")
        except UnicodeDecodeError:
            raise ProtocolError("a header's text cannot be decoded") from None


_OPERATIONS: Final = {int(operation): operation for operation in Operation}
