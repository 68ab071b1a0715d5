"""Tags: how each type that no format has by itself is written with plainer values.

    tag         of                             as
    tuple       tuple, set, frozenset          list of the items
    dict        keys that are no texts         list of pairs (in formats whose maps have text keys only)
    int         beyond 64 bits                 bytes: two's complement, big-endian
    datetime    and time                       [ISO text, fold, zone]; a time without a zone leaves that out
    bytearray                                  bytes, beside the message when they are many
    memoryview  read-only                      bytes; one that may be written to: a bytearray
    path        of a Windows machine           [can be opened, text, "windows"]; else without the third

A zone is none (an offset is in the text then), the key of a known zone, or ``[microseconds east]``, with a name
behind it if it was given one: what ISO text cannot say. `schemas/wire.md` has the whole.

A tag's ``lift`` gets what a stranger wrote. Leaves therefore compare exact types before they touch a value: a
proxy among the fields of a date must not be asked for its ``__index__``, which would be a call in the thread
that reads. Adding a type is one line of `TABLE`.
"""

import datetime
import decimal
import functools
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Final, NamedTuple

SMALL_INT: Final = range(-(1 << 63), 1 << 64)  # what every format has integers for
NO_CODE: Final = -1
VIEW_CODE: Final = 8
MICROSECOND: Final = datetime.timedelta(microseconds=1)
ADVICE: Final = (
    "make it a dataclass or pydantic model to send a copy, or decorate it with @rpcx.remote to send a reference"
)


class CannotTravel(TypeError):
    """A value that is neither by-value nor remote. Its place in the message is put in front of the reason."""

    def __init__(self, reason: str, culprit: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.culprit = culprit  # the value itself, to find its place; only looked for once something failed


class Blob:
    """Bytes inside a tag's plainer value that a formatter may carry beside the message."""

    __slots__ = ("code", "data")

    def __init__(self, data: memoryview, code: int) -> None:
        self.data = data  # one dimension of unsigned bytes, contiguous
        self.code = code  # of the tag that a segment with these bytes stands for


class Lent:
    """A buffer that travels as a bytearray without having been copied into one."""

    __slots__ = ("data",)

    def __init__(self, data: memoryview) -> None:
        self.data = data  # as in `Blob`


class Tag(NamedTuple):
    """How one type is written."""

    name: str  # in JSON, as "$name"
    code: int  # in msgpack, as an extension type; never reused for another
    lower: Callable[[Any], Any]  # the value, plainer; Any: each tag has its own type
    lift: Callable[[Any], object]  # and back. Raises whatever it likes on what `lower` did not make
    nested: bool = False  # its items are values of the user's: they count for depth and number


def fields(data: object, *kinds: type) -> list[Any]:  # Any: of the types just compared
    """``data`` as a list of exactly these types; ValueError otherwise."""
    if type(data) is not list or tuple(map(type, data)) != kinds:
        raise ValueError(f"[{', '.join(kind.__name__ for kind in kinds)}] is needed")
    return data


def exactly(kind: type, data: Any) -> Any:  # of the type just compared
    """``data`` if its type is ``kind``; ValueError otherwise."""
    if type(data) is not kind:
        raise ValueError(f"{kind.__name__} is needed, not {type(data).__name__}")
    return data


# --- bytes --------------------------------------------------------------------------------------------------


def flat(data: Any) -> memoryview:  # anything with a buffer
    """The bytes of ``data``, without a copy unless they are scattered."""
    view = memoryview(data)
    if view.format == "B" and view.ndim == 1 and view.contiguous:
        return view
    try:
        return view.cast("B")
    except TypeError:  # not contiguous, of a foreign format, or empty in one dimension
        return memoryview(view.tobytes())


def exact_bytes(data: Any) -> bytes | bytearray | memoryview:  # a stranger's
    """``data`` if it has bytes; ValueError otherwise."""
    if type(data) not in (bytes, bytearray, memoryview):
        raise ValueError(f"bytes are needed, not {type(data).__name__}")
    return data  # type: ignore[no-any-return]  # its type was compared


def lift_bytearray(data: Any) -> bytearray:  # a stranger's
    """A bytearray with these bytes: ``data`` itself if it is one."""
    return data if type(data) is bytearray else bytearray(exact_bytes(data))


def _lower_view(view: memoryview) -> Blob | Lent:
    return Blob(flat(view), VIEW_CODE) if view.readonly else Lent(flat(view))


def _lift_view(data: Any) -> memoryview:  # a stranger's
    view = memoryview(exact_bytes(data))
    return view if type(data) is bytearray else view.toreadonly()


# --- numbers ------------------------------------------------------------------------------------------------


def _lower_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _lift_int(data: Any) -> int:  # a stranger's
    return int.from_bytes(exactly(bytes, data), "big", signed=True)


def _lift_delta(parts: Any) -> datetime.timedelta:  # a stranger's
    return datetime.timedelta(*fields(parts, int, int, int))


def _lift_range(parts: Any) -> range:  # a stranger's
    return range(*fields(parts, int, int, int))


def _lift_complex(parts: Any) -> complex:  # a stranger's
    return complex(*fields(parts, float, float))


def _lift_decimal(text: Any) -> decimal.Decimal:  # a stranger's
    return decimal.Decimal(exactly(str, text))


# --- time ---------------------------------------------------------------------------------------------------


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())  # 40 ms; only once somebody sends a zone by its key


def _lower_moment(value: datetime.datetime | datetime.time) -> list[object]:
    zone = value.tzinfo
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key is not None:
        return [value.replace(tzinfo=None).isoformat(), value.fold, zone.key]
    if zone is None:
        return [value.isoformat(), value.fold, None]
    try:
        offset = zone.utcoffset(None)  # fixed zones answer without a date, pydantic's and pytz's UTC too
    except Exception:  # noqa: BLE001  # it is the user's class, and this is only a question
        offset = None
    if offset is None:
        raise CannotTravel(
            f"its time zone {zone!r:.80} has no fixed offset and no zoneinfo key; "
            "use zoneinfo.ZoneInfo, or .astimezone(datetime.UTC)",
            value,
        )
    fixed = datetime.timezone(offset)
    name = zone.tzname(None) if type(zone) is datetime.timezone else None
    if name is not None and name != fixed.tzname(None):
        return [value.replace(tzinfo=None).isoformat(), value.fold, [offset // MICROSECOND, name]]
    if offset.microseconds:
        return [value.replace(tzinfo=None).isoformat(), value.fold, [offset // MICROSECOND]]
    return [value.replace(tzinfo=fixed).isoformat(), value.fold, None]


def _lower_time(value: datetime.time) -> list[object]:
    text, fold, zone = _lower_moment(value)
    return [text, fold] if zone is None else [text, fold, zone]


def _lift_zone(zone: Any) -> datetime.tzinfo:  # a stranger's
    if type(zone) is str:
        if zone not in _zones():  # never a path: a key from the wire opens no file but a known zone's
            raise ValueError(f"unknown time zone {zone!r:.80}")
        return zoneinfo.ZoneInfo(zone)
    kinds = (int, str) if len(exactly(list, zone)) == 2 else (int,)
    microseconds, *name = fields(zone, *kinds)
    return datetime.timezone(microseconds * MICROSECOND, *name)


def _lift_moment(kind: type[Any], parts: Any) -> Any:  # datetime or time, which share no base
    text, fold, zone = (*exactly(list, parts), None)[:3]
    value = kind.fromisoformat(exactly(str, text)).replace(fold=exactly(int, fold))
    if zone is None:
        return value
    if value.tzinfo is not None:
        raise ValueError("two zones")
    return value.replace(tzinfo=_lift_zone(zone))


# --- paths --------------------------------------------------------------------------------------------------


def _lower_path(path: pathlib.PurePath) -> list[object]:
    windows = ["windows"] if isinstance(path, pathlib.PureWindowsPath) else []
    return [isinstance(path, pathlib.Path), str(path), *windows]


def _lift_path(parts: Any) -> pathlib.PurePath:  # a stranger's
    concrete, text = fields(parts[:2], bool, str)
    if parts[2:] not in ([], ["windows"]):
        raise ValueError(f"no kind of path: {parts[2:]!r:.40}")
    pure = pathlib.PureWindowsPath if parts[2:] else pathlib.PurePosixPath
    # A Windows path on Linux can only be looked at: it arrives as a pure one.
    return pathlib.Path(text) if concrete and isinstance(pathlib.Path(), pure) else pure(text)


# --- the table ----------------------------------------------------------------------------------------------


def _items(kind: Callable[[list[Any]], object]) -> Callable[[Any], object]:  # items of any type
    return lambda data: kind(exactly(list, data))


BYTEARRAY: Final = Tag("bytearray", 7, lambda v: Blob(v.data if type(v) is Lent else memoryview(v), 7), lift_bytearray)
PATH: Final = Tag("path", 16, _lower_path, _lift_path)

#: Values of exactly these types, or (see `rpcx.sinks.values.family`) of classes derived from them.
TABLE: Final[dict[type, Tag]] = {
    tuple: Tag("tuple", 3, list, _items(tuple), nested=True),
    set: Tag("set", 4, list, _items(set), nested=True),
    frozenset: Tag("frozenset", 5, list, _items(frozenset), nested=True),
    bytearray: BYTEARRAY,
    Lent: BYTEARRAY,
    memoryview: Tag("memoryview", VIEW_CODE, _lower_view, _lift_view),
    complex: Tag("complex", 9, lambda v: [v.real, v.imag], _lift_complex),
    datetime.datetime: Tag("datetime", 10, _lower_moment, functools.partial(_lift_moment, datetime.datetime)),
    datetime.date: Tag("date", 11, datetime.date.isoformat, lambda v: datetime.date.fromisoformat(exactly(str, v))),
    datetime.time: Tag("time", 12, _lower_time, functools.partial(_lift_moment, datetime.time)),
    datetime.timedelta: Tag("timedelta", 13, lambda v: [v.days, v.seconds, v.microseconds], _lift_delta),
    decimal.Decimal: Tag("decimal", 14, decimal.Decimal.__str__, _lift_decimal),
    uuid.UUID: Tag("uuid", 15, lambda v: v.bytes, lambda v: uuid.UUID(bytes=exactly(bytes, v))),
    pathlib.PurePosixPath: PATH,
    pathlib.PureWindowsPath: PATH,
    pathlib.PosixPath: PATH,
    pathlib.WindowsPath: PATH,
    range: Tag("range", 17, lambda v: [v.start, v.stop, v.step], _lift_range),
}

INT: Final = Tag("int", 6, _lower_int, _lift_int)  # beyond `SMALL_INT` only

# Tags of formats that lack what msgpack has: they have no extension type.
FLOAT: Final = Tag("float", NO_CODE, repr, lambda v: float(exactly(str, v)))  # nan and inf
DICT: Final = Tag("dict", NO_CODE, lambda v: [[k, w] for k, w in v.items()], _items(dict), nested=True)
TEXT: Final = Tag(  # with two surrogates that escapes would join into one character
    "text",
    NO_CODE,
    lambda v: v.encode("utf-8", "surrogatepass"),
    lambda v: exactly(bytes, v).decode("utf-8", "surrogatepass"),
)
