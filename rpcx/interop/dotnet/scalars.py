"""The binary formatter's numbers and texts, read from the front of a message: each is there, or the message is none."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.nodes import Kind
from rpcx.interop.dotnet.records import FIXED


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a peer may have us make.

    Attributes:
        depth: records within records: structs in structs.
        objects: instances, arrays and strings of one message.
        elements: items of all arrays of objects together; nulls count, which cost the sender next to nothing.
        text: bytes of one string.
    """

    depth: int = 64
    objects: int = 200_000
    elements: int = 1_000_000
    text: int = 16 << 20


BOUNDS: Final = Bounds()


class Scalars:
    """Bytes, and how far they were read.

    In the path of every call; so what is there is not looked for twice, and `_take` is written out in two places.
    """

    def __init__(self, data: bytes, bounds: Bounds) -> None:
        self.at = 0  # the next byte
        self._data = data
        self._bounds = bounds

    def error(self, what: str) -> ProtocolError:
        """What to raise."""
        return ProtocolError(f"no message of the .NET binary formatter: {what} (byte {self.at} of {len(self._data)})")

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self.at

    def _take(self, size: int) -> int:
        """Where the next ``size`` bytes begin; they are there."""
        start = self.at
        if not 0 <= size <= len(self._data) - start:
            raise self.error(f"{size} bytes are announced and {len(self._data) - start} are left")
        self.at = start + size
        return start

    def byte(self) -> int:
        at = self.at
        if at >= len(self._data):
            self._take(1)  # raises
        self.at = at + 1
        return self._data[at]

    def int32(self) -> int:
        at = self.at
        if at + 4 > len(self._data):
            self._take(4)  # raises
        self.at = at + 4
        return _INT32.unpack_from(self._data, at)[0]  # type: ignore[no-any-return]  # an int

    def count(self) -> int:
        """A length; not negative."""
        value = self.int32()
        if value < 0:
            raise self.error(f"a count is {value}")
        return value

    def text(self) -> str:
        size = self.byte()
        if size >= 0x80:
            size = self._long(size & 0x7F)
        if size > self._bounds.text:
            raise self.error(f"a text has {size} bytes; the limit is {self._bounds.text}")
        start = self._take(size)
        try:
            return self._data[start : self.at].decode()
        except UnicodeDecodeError:
            raise self.error("a text is not UTF-8") from None

    def _long(self, size: int) -> int:
        """A text's length of more than one byte."""
        for shift in range(7, 35, 7):
            byte = self.byte()
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                return size
        raise self.error("a text's length has more than five bytes")

    def kind(self, code: int | None = None) -> Kind:
        """The code of a primitive type."""
        code = self.byte() if code is None else code
        kind = _KINDS.get(code)
        if kind is None:
            raise self.error(f"{code} is the code of no primitive type")
        return kind

    def primitive(self, kind: Kind) -> object:
        """The value of a primitive."""
        fixed = FIXED.get(kind)
        if fixed is not None:
            return fixed.unpack_from(self._data, self._take(fixed.size))[0]
        if kind is Kind.CHAR:
            return self._char()
        text = self.text()
        try:
            return Decimal(text)
        except InvalidOperation:
            raise self.error(f"{text[:40]!r} is no decimal number") from None

    def _char(self) -> str:
        lead = self._data[self._take(1)]
        more = 0 if lead < 0x80 else 1 if lead < 0xE0 else 2
        start = self._take(more) - 1
        try:
            return self._data[start : self.at].decode()
        except UnicodeDecodeError:
            raise self.error("a character is not UTF-8") from None


_INT32: Final = FIXED[Kind.INT32]
_KINDS: Final = {int(kind): kind for kind in Kind}
