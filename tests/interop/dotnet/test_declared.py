"""What classes declare for their members."""

import dataclasses
from typing import Annotated, Any

import pytest

from rpcx import dotnet
from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.clrnames import parse
from rpcx.interop.dotnet.declared import declared, settle
from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive, Untyped
from tests.interop.dotnet.shop import Color, OutOfStock, Person, Point

MAPPED = (Color, OutOfStock, Person, Point)  # by being imported


@dotnet.type("Test.Mixed", assembly="test")
@dataclasses.dataclass
class Mixed:
    count: int = 0
    long_count: dotnet.Int64 = 0
    anything: Any = None
    maybe: int | None = None
    named: Annotated[dotnet.Byte, dotnet.Member("m_Odd")] = 0


@pytest.mark.parametrize(
    ("cls", "member", "of"),
    [
        ("Test.Mixed", "count", "System.Int32"),
        ("Test.Mixed", "Count", "System.Int32"),
        ("Test.Mixed", "_longCount", "System.Int64"),
        ("Test.Mixed", "Base+count", "System.Int32"),
        ("Test.Mixed", "m_Odd", "System.Byte"),
        ("Test.Mixed", "anything", None),
        ("Test.Mixed", "maybe", None),
        ("Test.Mixed", "other", None),
        ("Shop.Person", "<Favourite>k__BackingField", "Shop.Color"),
        ("Shop.OutOfStock", "Left", "System.Int32"),
        ("Shop.OutOfStock", "HResult", "System.Int32"),
        ("System.Guid", "_b", "System.Int16"),
        ("System.Collections.Hashtable", "LoadFactor", "System.Single"),
        ("System.Collections.Generic.List`1[[System.Int64, mscorlib]]", "_size", "System.Int32"),
        ("System.Collections.Generic.KeyValuePair`2[[System.Int64, a],[Shop.Color, b]]", "value", "Shop.Color"),
        ("Nobody.Knows", "member", None),
        ("no, name", "member", None),
    ],
)
def test_members_have_the_types_that_annotations_or_dotnet_say(cls, member, of):
    assert declared(cls, member) == of


def settled(node, of=None):
    (made,) = settle([node], [parse(of) if of is not None else None])
    return made


@pytest.mark.parametrize(
    ("text", "of", "node"),
    [
        ("5", "System.Int32", Primitive(Kind.INT32, 5)),
        ("5", "System.String", "5"),
        ("5", "System.Object", "5"),
        ("5", None, "5"),
        ("5", "System.Nullable`1[[System.Int64, mscorlib]]", Primitive(Kind.INT64, 5)),
        (" ", "System.Char", Primitive(Kind.CHAR, " ")),
    ],
)
def test_a_text_becomes_what_is_expected(text, of, node):
    assert settled(Untyped(text), of) == node


@pytest.mark.parametrize(
    ("text", "value"), [("Blue", 40), ("40", 40), ("-1", -1), ("Red, Green", 3), ("blue", 40), (" Red ", 1)]
)
def test_an_enum_comes_by_its_name_or_number(text, value):
    for node in (settled(Untyped(text), "Shop.Color"), settled(Untyped(text, name="Shop.Color", assembly="x"))):
        assert (node.name, node.inline, node.members) == ("Shop.Color", True, {"value__": Primitive(Kind.INT32, value)})
    assert Color(40) is Color.Blue


def test_a_struct_gets_its_name_and_its_members_their_types():
    node = settled(Untyped("", {"X": Untyped("1"), "Y": Untyped("2")}), "Shop.Point")
    assert (node.name, node.inline) == ("Shop.Point", True)
    assert node.members == {"X": Primitive(Kind.INT32, 1), "Y": Primitive(Kind.INT32, 2)}


def test_all_that_is_within_is_settled_once():
    inner = ClassNode("Test.Mixed", {"count": Untyped("1"), "anything": Untyped("2")})
    inner.members["maybe"] = inner
    array = ArrayNode("System.Object", [inner, Untyped("x"), inner, None])
    assert settled(array).items[1] == "x"
    assert inner.members == {"count": Primitive(Kind.INT32, 1), "anything": "2", "maybe": inner}


@pytest.mark.parametrize(
    ("node", "of", "reason"),
    [
        (Untyped("x"), "System.Int32", r"'x' is no System\.Int32"),
        (Untyped("Purple"), "Shop.Color", "Shop.Color has no 'Purple'; it has Red, Green, Blue"),
        (Untyped("x"), "Shop.Point", r"'x' is no Shop\.Point"),
        (Untyped("x"), "System.Int32[]", r"'x' is no System\.Int32\[\]"),
        (Untyped("", {"a": None}), None, "an object with a that does not say its type"),
        (Untyped("", {"a": None}), "System.Object", "does not say its type"),
    ],
)
def test_what_does_not_fit_is_told(node, of, reason):
    with pytest.raises(InvalidArguments, match=reason):
        settled(node, of)


def test_an_unknown_enum_is_left_to_be_named():
    assert settled(Untyped("Monday", name="System.DayOfWeek")).name == "System.DayOfWeek"
    assert settled(Untyped(" "), "Some.Class").members == {}
