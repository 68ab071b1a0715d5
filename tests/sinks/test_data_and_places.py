"""What travels as data, what by reference, what not at all; and plain data for formatters of one's own."""

import collections
import dataclasses
import datetime
import enum
import json
import typing
import weakref
from typing import Annotated

import pydantic
import pytest
from hypothesis import given
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, RootModel, TypeAdapter

from rpcx.errors import LimitExceeded, ObjectExpired
from rpcx.sinks.tags import CannotTravel
from rpcx.sinks.values import Values
from tests.sinks.samples import FORMATTERS, VALUES, Remote, connection, nested, same, there_and_back

formatters = pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: formatter.name)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    length: float = dataclasses.field(init=False, default=9.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    points: tuple[Point, Point]
    colour: Colour


class Owner(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    since: datetime.date = Field(alias="member_since")
    level: Level = Level.LOW


class Choosy(BaseModel):
    first: int = Field(validation_alias=AliasChoices(AliasPath("deep", 0), "one", "uno"))
    second: int = Field(default=2, validation_alias="two", serialization_alias="zwei")


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=False)
    first: int = Field(alias="one")


class Numbers(RootModel[list[int]]):
    pass


@pydantic.dataclasses.dataclass
class Checked:
    a: Annotated[int, Field(alias="A")]
    b: int = dataclasses.field(default=7, init=False)


class Pair(typing.NamedTuple):
    left: int
    right: str


AS_DATA = {
    "an enum": (Colour.RED, "red", Colour),
    "an int enum": (Level.LOW, 1, Level),
    "a dataclass, what it is made with": (Point(1, 2.0), {"x": 1, "y": 2.0}, Point),
    "dataclasses within": (
        Line((Point(1), Point(2)), Colour.RED),
        {"points": ({"x": 1, "y": 0.0}, {"x": 2, "y": 0.0}), "colour": "red"},
        Line,
    ),
    "a model by its aliases, with extras": (
        Owner(name="ann", member_since=datetime.date(2024, 1, 1), shoe=38),
        {"name": "ann", "member_since": datetime.date(2024, 1, 1), "level": 1, "shoe": 38},
        Owner,
    ),
    "a model by one of its aliases": (Choosy(one=1, two=3), {"one": 1, "two": 3}, Choosy),
    "a model that is validated by name": (ByName(first=1), {"first": 1}, ByName),
    "a model that is its content": (Numbers([1, 2]), [1, 2], Numbers),
    "a checked dataclass": (Checked(A=1), {"A": 1}, Checked),
    "a named tuple": (Pair(1, "a"), (1, "a"), Pair),
    "a deque": (collections.deque([1, 2]), [1, 2], collections.deque[int]),
    "an ordered dict": (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}, collections.OrderedDict[str, int]),
}


@formatters
@pytest.mark.parametrize(("value", "data", "kind"), AS_DATA.values(), ids=AS_DATA)
def test_what_the_receivers_annotation_makes_travels_as_data(formatter, value, data, kind):
    arrived = there_and_back(formatter, value)
    assert same(arrived, data)
    assert TypeAdapter(kind).validate_python(arrived) == value


def shouting(base: type) -> type:
    """A subclass that lies about its content in every way that a copy could ask."""

    def lie(*_):
        raise AssertionError("the subclass was asked")

    return type("Shouting", (base,), {"__str__": lie, "__repr__": lie, "__int__": lie, "__float__": lie})


@formatters
@pytest.mark.parametrize(
    "value", [7, 2**70, 1.5, "text", b"bytes", [1], (1,), {"a": 1}, {1}, frozenset({1}), bytearray(b"b"), 1j], ids=repr
)
def test_a_subclass_travels_as_its_base(formatter, value):
    arrived = there_and_back(formatter, shouting(type(value))(value))
    assert same(arrived, value)


@formatters
def test_a_subclass_of_a_date_or_path_travels_as_its_base(formatter):
    class Stamp(datetime.datetime):
        pass

    assert same(there_and_back(formatter, Stamp(2024, 1, 1)), datetime.datetime(2024, 1, 1))  # naive on purpose


@formatters
def test_what_goes_by_reference_does_so_wherever_it_is(formatter):
    value = {
        "line": [Point(Remote(["ref", "a", ["A"]]), ())],
        "set": {Remote(["call", "b"])},
        "t": (Remote(["home", "c"]),),
    }
    arrived = there_and_back(formatter, value)
    assert arrived["line"][0]["x"].fields == ["ref", "a", ["A"]]
    assert arrived["set"].pop().fields == ["call", "b"]
    assert arrived["t"][0].fields == ["home", "c"]


@formatters
def test_a_remote_class_goes_by_reference_even_if_it_is_a_dataclass(formatter):
    values = Values(lambda value: ["ref", "p", ["Point"]] if isinstance(value, Point) else None, list)
    body, segments = formatter.encode([Point(1)], values)
    assert formatter.decode(body, segments, values) == [["ref", "p", ["Point"]]]


@formatters
def test_each_reference_is_asked_for_once(formatter):
    """The other side counts them."""
    asked = []
    values = Values(lambda value: asked.append(value) or (["x"] if isinstance(value, Remote) else None), list)
    remote = Remote([])
    formatter.encode([remote, {"k": remote, 2: (remote,)}, 2**70, b"x" * 9000], values)
    assert asked == [remote] * 3


class Thing:
    pass


PLACES = {
    "args[0]": ["bank", "add", [Thing()], 30.0],
    "args[1].points[0].x[3]": ["bank", "add", [0, Line((Point([1, 2, 3, Thing()]), Point(1)), Colour.RED)], 30.0],
    "args[0].shoe": ["bank", "add", [Owner(name="a", member_since=datetime.date.min, shoe=Thing())], 30.0],
    "limit['a']": ["bank", "add", [], 30.0, {"limit": {"a": Thing()}}, None],
    "args[0] key <": ["bank", "add", [{Thing(): 1}], 30.0],
    "args[0] item <": ["bank", "add", [{Thing()}], 30.0],
    "result[1][0]": [[0, (Thing(),)]],
    "[1].args[2][0]": [["bank", "add", [[1]], None], ["bank", "add", [[1], [2], [Thing()]], None]],
}


@formatters
@pytest.mark.parametrize(("place", "envelope"), PLACES.items(), ids=PLACES)
def test_what_cannot_travel_is_named_with_its_place_and_what_to_do(formatter, place, envelope):
    with pytest.raises(TypeError) as error:
        formatter.encode(envelope, connection())
    text = str(error.value)
    assert text.startswith(place)
    assert f"a {Thing.__module__}.Thing cannot travel: make it a dataclass or pydantic model to send a copy" in text
    assert "@rpcx.remote" in text


@formatters
@pytest.mark.parametrize(
    "value", [(n for n in ()), iter([]), {}.keys(), map(str, [])], ids=lambda value: type(value).__name__
)
def test_an_iterator_is_to_be_made_a_list(formatter, value):
    with pytest.raises(CannotTravel, match=r"^args\[0\]: .* make it a list"):
        formatter.encode(["bank", "add", [value], None], connection())


@formatters
@pytest.mark.parametrize(
    "value",
    [Thing, int, json, weakref.ref(Thing), (3).__add__, ..., NotImplemented],
    ids=lambda value: type(value).__name__,
)
def test_code_and_its_parts_do_not_travel(formatter, value):
    with pytest.raises(CannotTravel, match="cannot travel"):
        formatter.encode([value], connection())


# --- references that arrive ---------------------------------------------------------------------------------


@formatters
def test_an_error_about_a_reference_arrives_as_it_is_and_any_other_as_valueerror(formatter):
    body, segments = formatter.encode([Remote(["home", "x"])], connection())

    def resolving(error):
        def resolve(_):
            raise error

        return Values(lambda _: None, resolve)

    with pytest.raises(ObjectExpired):
        formatter.decode(body, segments, resolving(ObjectExpired("gone")))
    for error in (KeyError("k"), TypeError("t"), RecursionError(), AttributeError("a")):
        with pytest.raises(ValueError, match="a ref of unusable data"):
            formatter.decode(body, segments, resolving(error))


# --- plain data ---------------------------------------------------------------------------------------------


def kinds_within(plain: object) -> set[type]:
    if type(plain) is list:
        return {list}.union(*map(kinds_within, plain))
    if type(plain) is dict:
        assert all(type(key) is str for key in plain)
        return {dict}.union(*map(kinds_within, plain.values()))
    return {type(plain)}


@given(VALUES)
def test_plain_data_are_plain_and_restored_exactly(value):
    plain = connection().plain(value)
    assert kinds_within(plain) <= {type(None), bool, int, float, str, list, dict}
    json.dumps(plain, allow_nan=False)
    assert same(connection().restore(plain), value)


def test_plain_data_read_well():
    value = {"when": datetime.date(2024, 2, 29), "at": (1, 2), "raw": b"ab", 3: None}
    assert connection().plain(value) == {
        "$dict": [
            ["when", {"$date": "2024-02-29"}], ["at", {"$tuple": [1, 2]}], ["raw", {"$bytes": "YWI="}], [3, None],
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    "plain",
    [
        {"$nothing": 1},
        {"$": 1},
        {"$bytes": 1},
        {"$bytes": "?"},
        {"$bytes": "YWI"},
        {"$dict": [1]},
        {"$dict": [[1]]},
        {"$dict": [[[], 1]]},
        {"$dict": {}},
        {"$tuple": 1},
        {"$set": [[]]},
        {"$ref": 1},
        {"$segment": [0, 0]},
        {"$int": "1"},
        {"$float": "much"},
        {"$float": 1},
        {"$text": "a"},
        {"$text": {"$bytes": "/w=="}},
        {"$exception": [1]},
    ],
    ids=repr,
)
def test_what_is_no_plain_data_is_a_valueerror(plain):
    with pytest.raises(ValueError):
        connection().restore([plain])


def test_plain_data_have_the_limits_of_their_values():
    small = connection(depth=4, containers=10)
    small.restore(small.plain([[1]] * 9))
    for value, words in (([[1]] * 10, "than the 10"), (nested(9), "deeper than 4")):
        with pytest.raises(LimitExceeded, match=words):
            small.plain(value)
        with pytest.raises(LimitExceeded, match=words):
            small.restore(value)
    with pytest.raises(LimitExceeded, match="than the 10"):
        small.restore({"$tuple": [{"$tuple": []}] * 10})
