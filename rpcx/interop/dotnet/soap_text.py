"""Primitives as XML says them: ``true``, ``1.5``, ``2024-02-29T12:30:15.1230000Z``, ``-P2DT19H54M53.993S``."""

import datetime
import math
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from rpcx.interop.dotnet.nodes import CLR_NAMES, Kind, decimal_text
from rpcx.interop.dotnet.records import FIXED
from rpcx.interop.dotnet.systems import DAY_TICKS, TICK_BITS, UTC_KIND

LONGEST: Final = 64  # characters of a number or a time
SECOND_TICKS: Final = 10_000_000
LAST_TICK: Final = 3_652_059 * DAY_TICKS - 1  # of the year 9999
SPANS: Final = range(-(1 << 63), 1 << 63)
#: Days in a year and a month of a duration; .NET's, since XML does not say.
YEAR_DAYS: Final = 360
MONTH_DAYS: Final = 30

_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False, "True": True, "False": False}
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_INFINITE: Final = {"INF": math.inf, "-INF": -math.inf, "Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:(Z)|([+-])([0-9]{2}):([0-9]{2}))?",
    re.ASCII,
)
_SPAN: Final = re.compile(
    r"(-)?P(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)D)?"
    r"(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)(?:\.([0-9]+))?S)?)?",
    re.ASCII,
)


# --- reading ----------------------------------------------------------------------------------------------------


def read(kind: Kind, text: str) -> object:
    """The value of a primitive, as its node has it.

    Raises:
        ValueError: the text says none.
    """
    if kind is Kind.CHAR:
        if len(text) != 1 or text > "\uffff":
            raise ValueError(f"{text[:40]!r} is no System.Char: one character of the first 65536")
        return text
    text = text.strip()
    value = _READERS[kind](kind, text) if len(text) <= LONGEST else None
    if value is None:
        raise ValueError(f"{text[:40]!r} is no {CLR_NAMES[kind]}")
    return value


def _boolean(_: Kind, text: str) -> bool | None:
    return _BOOLEANS.get(text)


def _integer(kind: Kind, text: str) -> int | None:
    if _INTEGER.fullmatch(text) is None:
        return None
    value, size = int(text), FIXED[kind].size * 8
    low, high = (0, 1 << size) if kind in _UNSIGNED else (-(1 << size - 1), 1 << size - 1)
    return value if low <= value < high else None


def _floating(kind: Kind, text: str) -> float | None:
    known = _INFINITE.get(text)
    if known is not None or _NUMBER.fullmatch(text) is None:
        return known
    packing = FIXED[kind]
    try:
        value: float = packing.unpack(packing.pack(float(text)))[0]
    except OverflowError:
        return None  # more than a Single can be
    return value if math.isfinite(value) else None


def _decimal(_: Kind, text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) and "e" not in text.lower() else None


def _time(_: Kind, text: str) -> int | None:
    """A DateTime's bits: with a zone as UTC."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zulu, sign, hours, minutes = found.groups()
    try:
        days = datetime.date(int(year), int(month), int(day)).toordinal() - 1
    except ValueError:
        return None
    if int(hour) > 23 or int(minute) > 59 or int(second) > 59:
        return None
    ticks = days * DAY_TICKS + _clock(int(hour), int(minute), int(second)) + _fraction(fraction)
    if sign is not None:
        offset = _clock(int(hours), int(minutes), 0)
        ticks += -offset if sign == "+" else offset
    utc = UTC_KIND << 62 if zulu or sign else 0
    return min(max(ticks, 0), LAST_TICK) | utc  # the first and last moment stay what they are in any zone


def _span(_: Kind, text: str) -> int | None:
    """A TimeSpan's ticks."""
    found = _SPAN.fullmatch(text)
    if found is None:
        return None
    sign, years, months, days, hours, minutes, seconds, fraction = found.groups()
    all_days = int(years or 0) * YEAR_DAYS + int(months or 0) * MONTH_DAYS + int(days or 0)
    ticks = all_days * DAY_TICKS + _clock(int(hours or 0), int(minutes or 0), int(seconds or 0)) + _fraction(fraction)
    ticks = -ticks if sign else ticks
    return ticks if ticks in SPANS else None


def _clock(hours: int, minutes: int, seconds: int) -> int:
    return ((hours * 60 + minutes) * 60 + seconds) * SECOND_TICKS


def _fraction(digits: str | None) -> int:
    """A fraction of a second in ticks."""
    return int((digits or "0")[:7].ljust(7, "0"))


_UNSIGNED: Final = (Kind.BYTE, Kind.UINT16, Kind.UINT32, Kind.UINT64)
_INTEGERS: Final = (*_UNSIGNED, Kind.SBYTE, Kind.INT16, Kind.INT32, Kind.INT64)
_READERS: Final[dict[Kind, Callable[[Kind, str], object]]] = {
    **dict.fromkeys(_INTEGERS, _integer),
    Kind.BOOLEAN: _boolean,
    Kind.DECIMAL: _decimal,
    Kind.DOUBLE: _floating,
    Kind.SINGLE: _floating,
    Kind.DATETIME: _time,
    Kind.TIMESPAN: _span,
}


# --- writing ----------------------------------------------------------------------------------------------------


def write(kind: Kind, value: Any) -> str:  # what a primitive's value may be
    """The text of a primitive.

    Raises:
        ValueError: the value does not fit into the type.
    """
    try:
        return _WRITERS[kind](kind, value)
    except (TypeError, OverflowError, struct.error) as error:
        raise ValueError(f"{value!r} is no {CLR_NAMES[kind]}: {error}") from None


def _write_integer(kind: Kind, value: int) -> str:
    FIXED[kind].pack(value)  # whether it fits
    return str(int(value))


def _write_floating(kind: Kind, value: float) -> str:
    FIXED[kind].pack(value)
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"


def _write_boolean(_: Kind, value: object) -> str:
    return "true" if value else "false"


def _write_decimal(_: Kind, value: Decimal) -> str:
    return decimal_text(value)


def _write_char(kind: Kind, value: str) -> str:
    return str(read(kind, value))


def _write_time(_: Kind, bits: int) -> str:
    ticks = bits & TICK_BITS
    if ticks > LAST_TICK:
        raise OverflowError("it is after the year 9999")
    days, rest = divmod(ticks, DAY_TICKS)
    day = datetime.date.fromordinal(days + 1).isoformat()
    seconds, fraction = divmod(rest, SECOND_TICKS)
    zone = "Z" if bits >> 62 == UTC_KIND else ""
    return f"{day}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:07}{zone}"


def _write_span(kind: Kind, ticks: int) -> str:
    FIXED[kind].pack(ticks)
    days, rest = divmod(abs(ticks), DAY_TICKS)
    seconds, fraction = divmod(rest, SECOND_TICKS)
    clock = f"{seconds // 3600}H{seconds // 60 % 60}M{seconds % 60}.{fraction:07}S"
    return f"{'-' if ticks < 0 else ''}P{days}DT{clock}"


_WRITERS: Final[dict[Kind, Callable[[Kind, Any], str]]] = {
    **dict.fromkeys(_INTEGERS, _write_integer),
    Kind.BOOLEAN: _write_boolean,
    Kind.CHAR: _write_char,
    Kind.DECIMAL: _write_decimal,
    Kind.DOUBLE: _write_floating,
    Kind.SINGLE: _write_floating,
    Kind.DATETIME: _write_time,
    Kind.TIMESPAN: _write_span,
}
