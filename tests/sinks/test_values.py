"""What travels as its data."""

import collections
import dataclasses
import enum
import typing

import pydantic
import pytest

from rpcx.sinks.lowering import MAX_DEPTH, check_depth
from rpcx.sinks.tags import CannotTravel
from rpcx.sinks.values import BY_CODE, BY_NAME, Values

VALUES = Values(lambda _: None, lambda fields: fields)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0
    length: float = dataclasses.field(init=False, default=0.0)


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    number: int = pydantic.Field(alias="no")
    colour: Colour = Colour.RED


class Pair(typing.NamedTuple):
    a: int
    b: str


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Colour.RED, "red"),
        (Level.LOW, 1),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Order(no=5, more=1), {"no": 5, "colour": "red", "more": 1}),
        (Pair(1, "b"), {"$tuple": [1, "b"]}),
        (Text("t"), "t"),
        (collections.deque([1]), [1]),
        (collections.OrderedDict(a=1), {"a": 1}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_an_object_of_the_applications_travels_as_data(value, data):
    assert VALUES.plain(value) == data


def test_what_has_no_data_says_so():
    with pytest.raises(CannotTravel, match="cannot travel"):
        VALUES.reduce(object())


def test_tags_have_a_name_and_a_code_of_their_own():
    assert len({tag.name for tag in BY_NAME.values()}) == len(BY_NAME)
    assert len({tag.code for tag in BY_CODE.values()}) == len(BY_CODE)
    assert VALUES.reduce(Level.LOW) == (None, 1)
    assert VALUES.reduce((1,)) == (BY_NAME["tuple"], [1])


@pytest.mark.parametrize("tag", BY_NAME.values(), ids=lambda tag: tag.name)
@pytest.mark.parametrize("data", [None, 1, "x", b"x", [], [1], {"a": 1}, [None, None, None], ["a", "b", "c", "d"]])
def test_a_tag_over_the_wrong_data_is_a_value_error(tag, data):
    try:
        VALUES.lift(tag, data)
    except ValueError:
        pass


def test_a_zone_from_the_wire_opens_no_file():
    with pytest.raises(ValueError, match="unknown time zone"):
        VALUES.lift(BY_NAME["datetime"], ["2026-01-01T00:00:00", 0, "../../etc/passwd"])


@pytest.mark.parametrize("plain", [{"$nothing": 1}, {"$ref": 1}, {"$bytes": "ä"}, {"$bytes": 1}, {"$tuple": 5}])
def test_unknown_or_broken_tags_are_refused(plain):
    with pytest.raises(ValueError):  # each says it in its own words
        VALUES.restore(plain)


def test_depth_is_counted_without_recursion():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Exception, match="nested deeper than 32"):
        check_depth(deep, MAX_DEPTH)
    while deep:
        deep = deep[0]
