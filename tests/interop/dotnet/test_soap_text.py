"""Primitives as texts."""

import decimal
import math

import pytest
from hypothesis import given

from rpcx.interop.dotnet.nodes import Kind, Primitive
from rpcx.interop.dotnet.soap_text import LAST_TICK, read, write
from rpcx.interop.dotnet.systems import UTC_KIND, datetime_of, timedelta_of
from tests.interop.dotnet.graphs import PRIMITIVES

UTC = UTC_KIND << 62


@given(PRIMITIVES)
def test_what_is_written_is_read_again(primitive):
    value = primitive.value
    if primitive.kind is Kind.DATETIME:
        value = min(value & (1 << 62) - 1, LAST_TICK) | (value & UTC)
    assert Primitive(primitive.kind, read(primitive.kind, write(primitive.kind, value))) == Primitive(
        primitive.kind, value
    )


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.BOOLEAN, "true", True),
        (Kind.BOOLEAN, " 0 ", False),
        (Kind.INT32, "-2147483648", -(2**31)),
        (Kind.INT32, "+5", 5),
        (Kind.UINT64, "18446744073709551615", 2**64 - 1),
        (Kind.DOUBLE, "1.0000000000000001E+300", 1e300),
        (Kind.DOUBLE, "INF", math.inf),
        (Kind.DOUBLE, "-Infinity", -math.inf),
        (Kind.SINGLE, "3.40282347E+38", 3.4028234663852886e38),
        (Kind.SINGLE, "0.100000001", 0.10000000149011612),
        (Kind.DECIMAL, "-0.0000000000000000000000000001", decimal.Decimal("-1E-28")),
        (Kind.CHAR, " ", " "),
        (Kind.CHAR, "\0", "\0"),
        (Kind.TIMESPAN, "P", 0),
        (Kind.TIMESPAN, "P400DT", 400 * 864_000_000_000),
        (Kind.TIMESPAN, "-P2DT19H54M53.9930000S", -2_444_939_930_000),
        (Kind.TIMESPAN, "PT0.0000001S", 1),
        (Kind.TIMESPAN, "P1Y1M", 390 * 864_000_000_000),
    ],
)
def test_dotnets_texts(kind, text, value):
    assert read(kind, text) == value


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2024-02-29T12:30:15.1230000+00:00", "2024-02-29T12:30:15.123000+00:00"),
        ("2024-02-29T12:30:15.1230000+02:00", "2024-02-29T10:30:15.123000+00:00"),
        ("2024-02-29T12:30:15-01:30", "2024-02-29T14:00:15+00:00"),
        ("2024-02-29T12:30:15.5Z", "2024-02-29T12:30:15.500000+00:00"),
        ("2024-02-29T12:30:15", "2024-02-29T12:30:15"),
        ("0001-01-01T00:00:00.0000000+14:00", "0001-01-01T00:00:00+00:00"),  # the first moment is that in any zone
        ("9999-12-31T23:59:59.9999999-12:00", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_a_time_with_a_zone_is_utc_and_one_without_has_none(text, iso):
    assert datetime_of(read(Kind.DATETIME, text)).isoformat() == iso


def test_durations_are_exact():
    assert timedelta_of(read(Kind.TIMESPAN, write(Kind.TIMESPAN, -1234567890))).total_seconds() == -123.456789
    assert write(Kind.TIMESPAN, -(2**63)) == "-P10675199DT2H48M5.4775808S"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.BOOLEAN, "yes"), (Kind.INT32, "2147483648"), (Kind.BYTE, "-1"), (Kind.INT32, "1_0"), (Kind.INT32, ""),
        (Kind.INT32, "٣"), (Kind.INT64, "9" * 5000), (Kind.DOUBLE, "1_0"), (Kind.DOUBLE, "infinity"),
        (Kind.DOUBLE, "1e999"),
        (Kind.SINGLE, "1e39"), (Kind.DOUBLE, "0x1"), (Kind.DECIMAL, "1E5"), (Kind.DECIMAL, "NaN"), (Kind.CHAR, ""),
        (Kind.CHAR, "ab"), (Kind.CHAR, "😀"), (Kind.DATETIME, "2024-02-30T00:00:00"), (Kind.DATETIME, "2024-02-29"),
        (Kind.DATETIME, "2024-02-29T24:00:00"), (Kind.DATETIME, "10000-01-01T00:00:00"), (Kind.TIMESPAN, "1:00"),
        (Kind.TIMESPAN, "P99999999999D"), (Kind.TIMESPAN, ""),
    ],
)  # fmt: skip
def test_what_is_none_is_refused_and_named(kind, text):
    with pytest.raises(ValueError, match=r"is no System\.\w+"):
        read(kind, text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.BYTE, 256), (Kind.INT32, 2**31), (Kind.INT32, "5"), (Kind.SINGLE, 1e300), (Kind.CHAR, "ab"),
        (Kind.DECIMAL, decimal.Decimal(2**96)), (Kind.DECIMAL, decimal.Decimal("NaN")), (Kind.DATETIME, LAST_TICK + 1),
        (Kind.TIMESPAN, 2**63),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_not_written(kind, value):
    with pytest.raises(ValueError, match=r"is no System\.\w+"):
        write(kind, value)
