"""Pyro5's serializers as far as they are safe: serpent, json, msgpack. Trees of plain values in, bytes out, and back.

Pyro5's ``marshal`` crashes an interpreter on hostile input and is refused. Serpent is Python's own notation of
literals, read by Python's parser; so before the parser sees it, each token is compared with what serpent writes,
and depth and number of values are counted.
"""

import base64
import binascii
import datetime
import json
import re
import struct
from typing import Any, Final, Protocol

import msgpack  # type: ignore[import-untyped]  # it has no stubs
import serpent  # type: ignore[import-untyped]  # likewise

from rpcx.errors import LimitExceeded, ProtocolError

VALUES: Final = 1_000_000  # of one message
DEPTH: Final = 100  # of lists in lists

TOKEN: Final = re.compile(
    rb"""(?P<space>\s++)|(?P<text>b?'(?:[^'\\\n]|\\.)*+'|b?"(?:[^"\\\n]|\\.)*+")|(?P<open>[\[({])|(?P<close>[\])}])"""
    rb"""|(?P<between>[,:])|(?P<number>[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?j?)|(?P<word>True|False|None)""",
    re.DOTALL,
)
BASE64: Final = {"data", "encoding"}  # the keys of a dict that serpent makes of bytes


class Serializer(Protocol):
    """One of them."""

    number: int  # in a message's header

    def loads(self, data: bytes, /) -> Any:  # plain values
        """Raises ValueError, or LimitExceeded."""
        ...

    def dumps(self, value: object, /) -> bytes:
        """Raises ValueError or TypeError: a value has no form in it."""
        ...


class Serpent:
    """Python literals. Bytes become a dict of base64, as in Pyro5 unless it is told otherwise."""

    number = 1

    def loads(self, data: bytes) -> Any:
        _check_literal(data)
        try:
            return _with_bytes(serpent.loads(data))
        except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
            raise ValueError(f"this is no serpent: {error}") from None

    def dumps(self, value: object) -> bytes:
        return bytes(serpent.dumps(value))


class Json:
    """JSON; tuples and sets become lists."""

    number = 3

    def loads(self, data: bytes) -> Any:
        if data.count(b",") + data.count(b"[") + data.count(b"{") > VALUES:
            raise LimitExceeded(f"more than {VALUES} values in one message", limit="fixed.containers")
        try:
            return json.loads(data.decode())  # UTF-8 and no other: a guess would import its codec
        except RecursionError:
            raise LimitExceeded("lists are nested too deeply", limit="fixed.depth") from None

    def dumps(self, value: object) -> bytes:
        return json.dumps(value, ensure_ascii=False, default=_plainer).encode()


class Msgpack:
    """Msgpack, with Pyro5's extensions."""

    number = 4

    def loads(self, data: bytes) -> Any:
        try:
            return msgpack.unpackb(
                data, raw=False, strict_map_key=False, ext_hook=_extension,
                max_array_len=VALUES, max_map_len=VALUES,
            )  # fmt: skip
        except (RecursionError, msgpack.exceptions.StackError):
            raise LimitExceeded("lists are nested too deeply", limit="fixed.depth") from None
        except TypeError:
            raise ValueError("a map has a list or a map as a key") from None

    def dumps(self, value: object) -> bytes:
        packed: bytes = msgpack.Packer(use_bin_type=True, default=_packable).pack(value)
        return packed


ALL: Final[dict[str, Serializer]] = {"serpent": Serpent(), "json": Json(), "msgpack": Msgpack()}
BY_NUMBER: Final[dict[int, Serializer]] = {each.number: each for each in ALL.values()}


def serializer(number: int) -> Serializer:
    """The serializer that a message's header names.

    Raises:
        ProtocolError: it is none of the three.
    """
    found = BY_NUMBER.get(number)
    if found is None:
        name = "marshal" if number == 2 else f"number {number}"
        raise ProtocolError(f"serializer {name} is not accepted here; set Pyro5.config.SERIALIZER to one of {[*ALL]}")
    return found


def _check_literal(data: bytes) -> None:
    at = 0
    if data.startswith(b"#"):  # serpent's first line says which serpent it is
        at = data.find(b"\n") + 1 or len(data)
    depth = values = numbers = 0
    for token in iter(TOKEN.scanner(data, at).match, None):  # type: ignore[attr-defined]  # a scanner stops at what does not match
        at = token.end()
        kind = token.lastgroup
        if kind == "space":
            continue
        numbers = numbers + 1 if kind == "number" else 0
        if numbers > 2:  # two are a complex number; a long sum would be a deep tree
            raise ValueError("this is no serpent: a sum")
        values += 1
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        if depth > DEPTH or values > 2 * VALUES:
            text = f"more than {VALUES} values in one message, or lists nested deeper than {DEPTH}"
            raise LimitExceeded(text, limit="fixed.depth" if depth > DEPTH else "fixed.containers")
    if at != len(data):
        raise ValueError(f"this is no serpent, at byte {at}")


def _with_bytes(value: Any) -> Any:  # plain values
    """What serpent made dicts of is bytes again."""
    kind = type(value)
    if kind is dict:
        if value.keys() == BASE64 and value["encoding"] == "base64" and type(value["data"]) is str:
            try:
                return base64.b64decode(value["data"], validate=True)
            except binascii.Error as error:
                raise ValueError(f"bytes that are no base64: {error}") from None
        return {key: _with_bytes(item) for key, item in value.items()}
    if kind is list or kind is tuple or kind is set:
        return kind(_with_bytes(item) for item in value)
    return value


def _plainer(value: object) -> object:
    if isinstance(value, set | frozenset):
        return list(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON; use serpent or msgpack")


def _packable(value: object) -> object:
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, complex):
        return msgpack.ExtType(0x30, struct.pack("dd", value.real, value.imag))
    if isinstance(value, int):
        return msgpack.ExtType(0x31, str(value).encode("ascii"))
    raise TypeError(f"a {type(value).__name__} has no form in msgpack")


def _extension(code: int, data: bytes) -> object:
    try:
        if code == 0x30:
            return complex(*struct.unpack("dd", data))
        if code == 0x31:
            return int(data)
        if code == 0x32:
            return datetime.datetime.fromtimestamp(*struct.unpack("d", data))  # noqa: DTZ006  # Pyro5's: without a zone
        if code == 0x33:
            return datetime.date.fromordinal(*struct.unpack("l", data))
    except (struct.error, OverflowError, OSError) as error:
        raise ValueError(f"an extension of msgpack's that makes no sense: {error}") from None
    raise ValueError(f"extension {code} of msgpack's is none of Pyro5's")
