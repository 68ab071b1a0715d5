"""By-value types: what travels as a copy, and how each is written with plainer values.

Some values every formatter can say (None, bool, int, float, str, list, dict). The others are **tagged**: a tag
from the closed table below, and a plainer value. A tag says what Python value it was, exactly, so that a tuple
comes back as a tuple without an annotation. Enums, dataclasses and pydantic models travel as their data; the
receiver's annotation makes the type again, since types come from the receiver's code and never from the wire.

    tag        of                          as
    tuple …    tuple, set, frozenset       list
    int        beyond 64 bits              two's complement, big-endian bytes
    datetime   with its zone's key         [iso text, fold, key or None]
    ndarray    numpy, no object dtype      [dtype description, shape, order, data]
    ref        anything by reference       its fields (see rpcx.remoting.references)

Adding a type is one line of the table.
"""

import base64
import dataclasses
import datetime
import decimal
import enum
import functools
import math
import pathlib
import sys
import uuid
import zoneinfo
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from rpcx.errors import LimitExceeded, RpcxError

MAX_DEPTH: Final = 32  # containers within containers (Cap'n Proto 64; msgpack's C code stops at 1,024)
REFERENCE: Final = "ref"
SEGMENT: Final = "segment"
SMALL_INT: Final = range(-(1 << 63), 1 << 64)  # what a formatter's own integers hold

#: Values of exactly these types need no look by anybody.
SCALARS: Final = frozenset({type(None), bool, int, float, str})

Refer = Callable[[object], "list[object] | None"]
Resolve = Callable[[list[Any]], object]


class CannotTravel(TypeError):
    """A value that is neither by-value nor remote. `path` leads to it from the outermost container."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[int | str] = []

    def __str__(self) -> str:
        return f"{''.join(f'[{step!r}]' for step in self.path)}: {self.reason}" if self.path else self.reason


class Tag(NamedTuple):
    """How one type is written."""

    name: str  # in JSON, as "$name"
    code: int  # in msgpack, as an extension type
    lower: Callable[[Any], object]  # the value, plainer
    lift: Callable[[Any], object]  # and back; raises ValueError or TypeError on what it did not make


def _zone_key(zone: datetime.tzinfo | None) -> str | None:
    return zone.key if isinstance(zone, zoneinfo.ZoneInfo) else None


@functools.cache
def _zones() -> set[str]:
    return zoneinfo.available_timezones()


def _lower_datetime(value: datetime.datetime) -> object:
    key = _zone_key(value.tzinfo)
    shown = value.replace(tzinfo=None) if key is not None else value
    return [shown.isoformat(), value.fold, key]


def _lift_datetime(fields: Any) -> datetime.datetime:
    text, fold, key = fields
    value = datetime.datetime.fromisoformat(text).replace(fold=fold)
    if key is None:
        return value
    if key not in _zones():  # never a path: a key from the wire opens no file but a known zone's
        raise ValueError(f"unknown time zone {key!r:.80}")
    return value.replace(tzinfo=zoneinfo.ZoneInfo(key))


def _lower_delta(value: datetime.timedelta) -> object:
    return [value.days, value.seconds, value.microseconds]


def _lift_time(fields: Any) -> datetime.time:
    text, fold = fields
    return datetime.time.fromisoformat(text).replace(fold=fold)


def _lower_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _lift_int(data: Any) -> int:
    return int.from_bytes(_bytes(data), "big", signed=True)


def _lower_path(value: pathlib.PurePath) -> object:
    return [isinstance(value, pathlib.Path), str(value)]


def _lift_path(fields: Any) -> pathlib.PurePath:
    concrete, text = fields
    return pathlib.Path(text) if concrete else pathlib.PurePath(text)


def _lower_array(value: Any) -> object:  # a numpy array
    import numpy as np

    if value.dtype.hasobject:
        raise CannotTravel("a numpy array of dtype object is refused, since it could carry code; give it a plain dtype")
    order: Any = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    plain = np.asarray(value, order=order)
    flat = plain.reshape(-1, order=order) if plain.ndim else plain.reshape(1)
    data: Any = flat.view(np.uint8).data if plain.dtype.itemsize and plain.size else b""
    return [np.lib.format.dtype_to_descr(value.dtype), list(value.shape), order, data]


def _lift_array(fields: Any) -> object:
    np = _numpy()
    description, shape, order, data = fields
    dtype = np.lib.format.descr_to_dtype(_description(description))
    if dtype.hasobject:
        raise ValueError("a numpy array of dtype object")
    if order not in ("C", "F") or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("a numpy array of impossible shape")
    if math.prod(shape) * dtype.itemsize != memoryview(data).nbytes:
        raise ValueError("a numpy array whose data do not fill its shape")
    flat = np.frombuffer(bytearray(data), dtype=dtype) if memoryview(data).nbytes else np.empty(0, dtype)
    return flat.reshape(tuple(shape), order=order)


def _description(plain: Any) -> Any:  # plain data
    """A dtype's description with the tuples that numpy wants for structures."""
    if isinstance(plain, list):
        return [tuple(_field(part) for part in entry) if isinstance(entry, list | tuple) else entry for entry in plain]
    return tuple(_description(part) for part in plain) if isinstance(plain, tuple) else plain


def _field(part: Any) -> Any:  # plain data
    return _description(part) if isinstance(part, list) else part


def _lower_number(value: Any) -> object:  # a numpy scalar
    import numpy as np

    return [np.lib.format.dtype_to_descr(value.dtype), value.tobytes()]


def _lift_number(fields: Any) -> object:
    np = _numpy()
    description, data = fields
    dtype = np.lib.format.descr_to_dtype(_description(description))
    if dtype.hasobject or len(data) != dtype.itemsize:
        raise ValueError("a numpy scalar of impossible type")
    return np.frombuffer(_bytes(data), dtype=dtype)[0]


def _numpy() -> Any:  # the module
    try:
        import numpy as np
    except ImportError:
        raise ValueError("a numpy value arrived, and numpy is not installed here") from None
    return np


def _bytes(data: Any) -> bytes:  # some kind of buffer
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ValueError(f"bytes are needed, not {type(data).__name__}")  # noqa: TRY004  # one error for bad messages
    return bytes(data)


def _items(data: Any) -> list[Any]:  # plain data
    if not isinstance(data, list):
        raise ValueError(f"a list is needed, not {type(data).__name__}")  # noqa: TRY004  # one error for bad messages
    return data


TABLE: Final[dict[type, Tag]] = {
    tuple: Tag("tuple", 3, list, lambda data: tuple(_items(data))),
    set: Tag("set", 4, list, lambda data: set(_items(data))),
    frozenset: Tag("frozenset", 5, list, lambda data: frozenset(_items(data))),
    int: Tag("int", 6, _lower_int, _lift_int),  # beyond SMALL_INT only
    bytearray: Tag("bytearray", 7, bytes, lambda data: bytearray(_bytes(data))),
    memoryview: Tag("memoryview", 8, bytes, lambda data: memoryview(_bytes(data))),
    complex: Tag("complex", 9, lambda v: [v.real, v.imag], lambda data: complex(*data)),
    datetime.datetime: Tag("datetime", 10, _lower_datetime, _lift_datetime),
    datetime.date: Tag("date", 11, datetime.date.isoformat, datetime.date.fromisoformat),
    datetime.time: Tag("time", 12, lambda v: [v.isoformat(), v.fold], _lift_time),
    datetime.timedelta: Tag("timedelta", 13, _lower_delta, lambda data: datetime.timedelta(*data)),
    decimal.Decimal: Tag("decimal", 14, str, lambda text: decimal.Decimal(_text(text))),
    uuid.UUID: Tag("uuid", 15, lambda v: v.bytes, lambda data: uuid.UUID(bytes=_bytes(data))),
    pathlib.PurePath: Tag("path", 16, _lower_path, _lift_path),
    range: Tag("range", 17, lambda v: [v.start, v.stop, v.step], lambda data: range(*data)),
}  # fmt: skip
ARRAY: Final = Tag("ndarray", 18, _lower_array, _lift_array)
NUMBER: Final = Tag("npscalar", 19, _lower_number, _lift_number)
BYTES: Final = Tag("bytes", 20, bytes, _bytes)  # in formatters that have no bytes of their own
FLOAT: Final = Tag("float", 21, repr, lambda text: float(_text(text)))  # nan and inf, where JSON has none
DICT: Final = Tag("dict", 22, lambda v: [[k, w] for k, w in v.items()], lambda data: dict(_items(data)))
REF_CODE: Final = 1
SEGMENT_CODE: Final = 2

BY_CODE: Final[dict[int, Tag]] = {tag.code: tag for tag in (*TABLE.values(), ARRAY, NUMBER)}
BY_NAME: Final[dict[str, Tag]] = {tag.name: tag for tag in (*TABLE.values(), ARRAY, NUMBER, BYTES, FLOAT, DICT)}


def _text(value: Any) -> str:  # plain data
    if not isinstance(value, str):
        raise ValueError(f"a text is needed, not {type(value).__name__}")  # noqa: TRY004  # one error for bad messages
    return value


def tag_of(value: object) -> Tag | None:
    """The tag that ``value`` travels under; None: it is plain, or becomes so by `as_data`."""
    kind = type(value)
    tag = TABLE.get(kind)
    if tag is not None:
        return None if kind is int and value in SMALL_INT else tag
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return ARRAY
        if isinstance(value, numpy.generic):
            return NUMBER
    return next((TABLE[base] for base in KINDS if isinstance(value, base)), None)


#: Classes whose subclasses travel as they do: their tags need nothing but what the class promises.
KINDS: Final[tuple[type, ...]] = (
    pathlib.PurePath, datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID,
)  # fmt: skip


BASES: Final[tuple[Any, ...]] = (int, float, str, bytes, list, tuple, dict, set, frozenset, bytearray, complex)


def as_data(value: Any) -> Any:  # any object; plainer data
    """The data of an object whose type the receiver's annotation makes again.

    Raises:
        CannotTravel: there is no such data.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    fields = getattr(type(value), "model_fields", None)  # of a pydantic model
    if isinstance(fields, dict) and hasattr(type(value), "__pydantic_validator__"):
        own = {_alias(name, info): getattr(value, name) for name, info in fields.items()}
        return own | (getattr(value, "model_extra", None) or {})
    for base in BASES:
        if isinstance(value, base):
            return base(value)  # a subclass: its base's value
    if isinstance(value, deque):
        return list(value)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    raise CannotTravel(
        f"a {name} cannot travel: make it a dataclass or pydantic model to send a copy, "
        "or decorate it with @rpcx.remote to send a reference"
    )


def _alias(name: str, info: Any) -> str:  # pydantic's FieldInfo
    alias = info.validation_alias if info.validation_alias is not None else info.alias
    return alias if isinstance(alias, str) else name


def too_deep(limit: int = MAX_DEPTH) -> LimitExceeded:
    """The error for containers within containers."""
    return LimitExceeded(f"data are nested deeper than {limit} levels, or contain themselves")


def lift(tag: Tag, data: object) -> object:
    """``tag``'s value from plainer data; ValueError if they are none of its."""
    try:
        return tag.lift(data)
    except (RpcxError, ValueError):
        raise
    except Exception as error:  # noqa: BLE001  # whatever hostile data provoke, they are none of the tag's
        raise ValueError(f"a {tag.name} of unusable data: {error}") from None


class Values:
    """What a formatter may ask about values (`rpcx.abc.Values`), with this connection's references."""

    __slots__ = ("refer", "resolve")

    def __init__(self, refer: Refer, resolve: Resolve) -> None:
        self.refer = refer  # an object → the fields of its reference; None: it has none
        self.resolve = resolve  # the fields → what stands for the object here

    def plain(self, value: object) -> object:
        """``value`` as None, bool, int, float, str, list and dict with text keys only; `restore` inverts it."""
        return self._plain(value, 0)

    def _plain(self, value: Any, depth: int) -> object:
        kind = type(value)
        if kind in SCALARS and not (kind is int and value not in SMALL_INT):
            return value if kind is not float or math.isfinite(value) else {"$float": repr(value)}
        if depth > MAX_DEPTH:
            raise too_deep()
        if kind is list:
            return [self._step(index, item, depth) for index, item in enumerate(value)]
        if kind is dict:
            if all(type(key) is str for key in value) and not (len(value) == 1 and next(iter(value)).startswith("$")):
                return {key: self._step(key, item, depth) for key, item in value.items()}
            pairs = DICT.lower(value)
            return {"$dict": self._plain(pairs, depth)}
        if kind is bytes or kind is bytearray or kind is memoryview:
            name = "bytes" if kind is bytes else TABLE[kind].name
            return {f"${name}": base64.b64encode(value).decode("ascii")}
        tag = tag_of(value)
        if tag is not None:
            return {f"${tag.name}": self._plain(tag.lower(value), depth + 1)}
        fields = self.refer(value)
        if fields is not None:
            return {f"${REFERENCE}": fields}
        return self._plain(as_data(value), depth + 1)

    def _step(self, key: int | str, item: object, depth: int) -> object:
        try:
            return self._plain(item, depth + 1)
        except CannotTravel as error:
            error.path.insert(0, key)
            raise

    def restore(self, plain: object) -> object:
        """The value that `plain` wrote. Raises ValueError on anything else."""
        return self._restore(plain, 0)

    def _restore(self, plain: object, depth: int) -> object:
        if depth > 4 * MAX_DEPTH:  # a tag is a level of its own here
            raise too_deep()
        if isinstance(plain, list):
            return [self._restore(item, depth + 1) for item in plain]
        if not isinstance(plain, dict):
            return plain
        if len(plain) == 1:
            ((key, data),) = plain.items()
            if isinstance(key, str) and key.startswith("$"):
                return self._tagged(key[1:], data, depth)
        return {key: self._restore(item, depth + 1) for key, item in plain.items()}

    def _tagged(self, name: str, data: object, depth: int) -> object:
        if name == REFERENCE:
            return self.resolve(_items(data))
        tag = BY_NAME.get(name)
        if tag is None:
            raise ValueError(f"an unknown tag ${name:.40}")
        if name in ("bytes", "bytearray", "memoryview"):
            try:
                data = base64.b64decode(_text(data), validate=True)
            except ValueError as error:
                raise ValueError(f"bytes that are no base64: {error}") from None
            return lift(tag, data)
        return lift(tag, self._restore(data, depth + 1))


def checked_depth(value: object, limit: int = MAX_DEPTH) -> None:
    """Raise LimitExceeded if containers in ``value`` nest deeper than ``limit``. Iterative: depth cannot hurt it."""
    level: Sequence[Any] = [value]
    depth = 0
    while level:
        if depth > limit + 2:  # the envelope and its argument list are two levels of their own
            raise too_deep(limit)
        below: list[Any] = []
        for item in level:
            children = item.values() if type(item) is dict else item
            below += [child for child in children if type(child) in CONTAINERS]
        level = below
        depth += 1


CONTAINERS: Final = frozenset({list, dict, tuple, set, frozenset})
