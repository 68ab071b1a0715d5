"""Python values as nodes and back, without anybody else."""

import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from rpcx import dotnet
from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.inward import Inward
from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive
from rpcx.interop.dotnet.outward import Outward
from rpcx.interop.dotnet.reader import read
from rpcx.interop.dotnet.shapes import shape_of
from rpcx.interop.dotnet.systems import date_time, datetime_of
from rpcx.interop.dotnet.writer import write
from tests.interop.dotnet.shop import Color, Node, Person, Point


class Nobody:
    """Refers to nothing."""

    def refer(self, instance):
        return None

    def resolve(self, node):
        raise InvalidArguments("no reference is expected")

    delegate = exception = resolve


def there(value: Any, hint: Any = Any) -> Any:
    return Outward(Nobody()).node(value, shape_of(hint))


def back(node: Any) -> Any:
    (value,) = Inward(Nobody()).values([node])
    return value


def round_trip(value: Any, hint: Any) -> Any:
    node = there(value, hint)
    return back(node if node is None or isinstance(node, str | Primitive) else read(write(node)))


@dotnet.type("Ns.Marks", assembly="a")
class Marks(enum.IntFlag):
    RED = 1
    BLUE = 2


@pytest.mark.parametrize("value", [0, 1, 3, 40])
def test_flags_take_any_number(value):
    assert round_trip(Marks(value), Marks) == Marks(value)
    with pytest.raises(InvalidArguments, match="0 is not a valid Color"):
        back(ClassNode("Shop.Color", {"value__": Primitive(Kind.INT32, 0)}, "shared"))


GUID = uuid.uuid4()
UTC = datetime.datetime(2024, 2, 29, 1, 2, 3, 456789, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "hint", "clr"),
    [
        (5, int, "System.Int32"),
        (5, dotnet.Int64, "System.Int64"),
        (1.5, float, "System.Double"),
        (1.5, dotnet.Single, "System.Single"),
        (True, bool, "System.Boolean"),
        ("x", dotnet.Char, "System.Char"),
        ("text", str, "System.String"),
        (None, str, "System.String"),
        (b"\0\xff", bytes, "System.Byte[]"),
        ([1, 2], list[int], "System.Collections.Generic.List`1[[System.Int32]]"),
        ([1, 2], tuple[int, ...], "System.Int32[]"),
        ([[1], [2, 3]], dotnet.Array[dotnet.Array[int]], "System.Int32[][]"),
        ([[1, 2], [3, 4]], dotnet.Array2D[int], "System.Int32[,]"),
        ([[[1, 2]], [[3, 4]]], dotnet.Array3D[int], "System.Int32[,,]"),
        ([], dotnet.Array2D[str], "System.String[,]"),
        (["a", None], dotnet.Array[str], "System.String[]"),
        ({"a": 1}, dict[str, int], "System.Collections.Generic.Dictionary`2[[System.String],[System.Int32]]"),
        ({"a": [1, "b"]}, dotnet.Hashtable, "System.Collections.Hashtable"),
        ([1, "b"], dotnet.ArrayList, "System.Collections.ArrayList"),
        (decimal.Decimal("-1.50"), decimal.Decimal, "System.Decimal"),
        (GUID, uuid.UUID, "System.Guid"),
        (UTC, datetime.datetime, "System.DateTime"),
        (UTC.replace(tzinfo=None), datetime.datetime, "System.DateTime"),
        (datetime.timedelta(days=-1, microseconds=3), datetime.timedelta, "System.TimeSpan"),
        (Color.Blue, Color, "Shop.Color"),
        (Point(1, 2), Point, "Shop.Point"),
        ([Point(1, 2)], dotnet.Array[Point], "Shop.Point[]"),
        (7, dotnet.Int32 | None, "System.Nullable`1[[System.Int32]]"),
        (None, dotnet.Int32 | None, "System.Nullable`1[[System.Int32]]"),
        (2**40, Any, "System.Object"),
        ([1, 2.5, "c", None, Color.Red], Any, "System.Object"),
        ({1: 2}, Any, "System.Object"),
    ],
)
def test_a_value_comes_back_as_it_went(value, hint, clr):
    assert shape_of(hint).clr.bare == clr
    again = round_trip(value, hint)
    assert again == value
    assert type(again) is type(value)


def test_a_time_without_a_zone_has_none_afterwards():
    assert datetime_of(date_time(UTC)).tzinfo is datetime.UTC
    local = UTC.astimezone(datetime.timezone(datetime.timedelta(hours=5)))
    assert datetime_of(date_time(local)) == UTC
    assert datetime_of(0x8000000000000000 | date_time(UTC.replace(tzinfo=None))).tzinfo is None


def test_a_cycle_stays_one():
    ann = Person("Ann", 41, home=Point(3, 4))
    ann.friend = Person("Bob", 12, friend=ann, children=[ann, ann])
    again = round_trip(ann, Person)
    assert again.friend.friend is again
    assert again.friend.children == [again, again]
    assert again.home == Point(3, 4)


def test_a_list_in_itself_stays_so():
    value: list[Any] = [1]
    value.append(value)
    again = round_trip(value, Any)
    assert again[1] is again


def test_a_long_chain_needs_no_depth():
    node = None
    for number in range(5000):
        node = Node(number, node)
    again, length = round_trip(node, Node), 0
    while again is not None:
        again, length = again.next, length + 1
    assert length == 5000


def test_fields_are_found_under_the_names_that_dotnet_gives_them():
    for spelled in ("name", "Name", "_name", "m_name", "<Name>k__BackingField", "Base+name"):
        assert back(ClassNode("Shop.Person", {spelled: "Ann"}, "shared")).name == "Ann"


def test_fields_that_lack_have_their_default_or_are_named():
    assert back(ClassNode("Shop.Person", {}, "shared")).age == 0
    with pytest.raises(InvalidArguments, match="has no field 'value'"):
        back(ClassNode("Shop.Node", {"other": None}, "shared"))


def test_fields_are_checked_against_their_annotations():
    with pytest.raises(InvalidArguments, match=r"Person\.age"):
        back(ClassNode("Shop.Person", {"Age": "old"}, "shared"))
    with pytest.raises(InvalidArguments, match=r"Person\.friend"):
        back(
            ClassNode("Shop.Person", {"Friend": ClassNode("Shop.Node", {"value": Primitive(Kind.INT32, 1)})}, "shared")
        )


@pytest.mark.parametrize("name", ["System.Diagnostics.Process", "builtins.eval", "Shop.Nothing", "os.system"])
def test_a_type_that_means_nothing_here_is_named(name):
    with pytest.raises(InvalidArguments, match=f"{name} means nothing here"):
        back(ClassNode(name, {}, "anywhere"))


@pytest.mark.parametrize(
    ("node", "what"),
    [
        (ClassNode("System.Guid", {}), "without _a"),
        (ClassNode("System.Collections.ArrayList", {"_size": Primitive(Kind.INT32, 9), "_items": None}), "do not fit"),
        (ClassNode("System.Collections.Hashtable", {}), "keys and values"),
        (ClassNode("System.Decimal", {"flags": "x"}), "no integer"),
        (ClassNode("System.Int32", {"m_value": "x"}), "its value"),
        (ClassNode("System.Int32", {}), "Int32"),
        (Primitive(Kind.DATETIME, (1 << 62) - 1), "no DateTime"),
        (ClassNode("Shop.Color", {"value__": Primitive(Kind.INT32, 3)}), "3 is not a valid"),
        (ClassNode("Shop.Color", {}), "not a valid"),
        (ClassNode("Shop.RemoteObjectDef", {}), "means nothing"),
        (ClassNode("RemoteObjectDef", {}), "no dataclass"),
        (
            ClassNode(
                "System.Collections.Hashtable",
                {
                    "Keys": ArrayNode("System.Object", [ArrayNode(Kind.INT32, [1])]),
                    "Values": ArrayNode("System.Object", [None]),
                },
            ),
            "cannot be one",
        ),
    ],
)
def test_nodes_that_are_not_what_they_say_are_refused(node, what):
    with pytest.raises(InvalidArguments, match=what):
        back(node)


@dataclass
class Unmapped:
    x: int = 0


@pytest.mark.parametrize(
    ("value", "hint", "what"),
    [
        (Unmapped(), Any, "say which type it is"),
        (5, str, "is no text"),
        ([[1], [2, 3]], dotnet.Array2D[int], "differ in length"),
        ("x", uuid.UUID, "cannot go to .NET as System.Guid"),
        (7, Color, "cannot go to .NET as Shop.Color"),
        (object(), Any, "say which type it is"),
    ],
)
def test_what_cannot_go_is_told(value, hint, what):
    with pytest.raises(InvalidArguments, match=what):
        there(value, hint)


def test_containers_in_containers_end_at_the_limit():
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    again = round_trip(value, Any)  # arrays stand beside one another: there is no depth
    assert len(again) == 1
    table: dict[str, Any] = {}
    for _ in range(200):
        table = {"in": table}
    with pytest.raises(InvalidArguments, match="nested deeper than 100"):
        there(table)
