"""What the tests of this folder share: values of every kind, and what it means that two are the same."""

import datetime
import decimal
import pathlib
import uuid
import zoneinfo

from hypothesis import strategies as st

from rpcx.conformance.formatters import same
from rpcx.sinks.formatters import JsonFormatter, MsgpackFormatter
from rpcx.sinks.values import Values

__all__ = ["FORMATTERS", "VALUES", "Remote", "connection", "nested", "same", "there_and_back"]

FORMATTERS = [MsgpackFormatter(), JsonFormatter()]


class Remote:
    """Goes by reference in these tests."""

    def __init__(self, fields: list) -> None:
        self.fields = fields


def connection(**limits) -> Values:
    return Values(lambda value: value.fields if isinstance(value, Remote) else None, Remote, **limits)


def there_and_back(formatter, value, *, segments=lambda segments: segments):
    """``value`` as it arrives, in an envelope of one."""
    body, beside = formatter.encode([value], connection())
    (arrived,) = formatter.decode(body, segments(beside), connection())
    return arrived


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


ZONES = st.one_of(
    st.none(),
    st.just(datetime.UTC),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "UTC", "Asia/Kolkata"]).map(zoneinfo.ZoneInfo),
    st.builds(
        lambda us: datetime.timezone(datetime.timedelta(microseconds=us)),
        st.integers(-86_399_999_999, 86_399_999_999),
    ),
    st.just(datetime.timezone(datetime.timedelta(hours=2), "CEST")),
)
TEXTS = st.text(st.characters(codec=None, exclude_categories=()))  # surrogates, alone and in pairs

HASHABLE_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**80), 2**80),
    st.floats(),
    TEXTS,
    st.binary(max_size=40),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=ZONES),
    st.times(timezones=ZONES),
    st.timedeltas(),
    st.complex_numbers(),
    st.sampled_from([pathlib.Path("/a/b"), pathlib.PurePosixPath("c"), pathlib.PureWindowsPath("c:\\d")]),
    st.builds(range, st.integers(-(2**70), 2**70), st.integers(), st.integers(1, 9)),
    st.just(uuid.UUID(int=2**128 - 1)),
)
HASHABLE = st.recursive(
    HASHABLE_LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
LEAVES = HASHABLE_LEAVES | st.binary(max_size=40).map(bytearray) | st.decimals() | st.just(decimal.Decimal("sNaN7"))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(TEXTS, inner, max_size=4),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.dictionaries(st.sampled_from(["$ref", "$bytes", "$", "a"]), inner, max_size=1),
        st.sets(HASHABLE, max_size=4),
    ),
    max_leaves=12,
)
