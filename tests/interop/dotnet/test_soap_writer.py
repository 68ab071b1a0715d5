"""Nodes in SOAP's encoding."""

import datetime
import uuid

import pytest
from hypothesis import given

from rpcx import dotnet
from rpcx.interop.dotnet.declared import declared, settle
from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive, Untyped
from rpcx.interop.dotnet.outward import Outward
from rpcx.interop.dotnet.scalars import Bounds
from rpcx.interop.dotnet.shapes import shape_of
from rpcx.interop.dotnet.soap_reader import SoapReader
from rpcx.interop.dotnet.soap_text import LAST_TICK
from rpcx.interop.dotnet.soap_writer import Dialect, SoapWriter
from rpcx.interop.dotnet.systems import UTC_KIND, date_time
from rpcx.interop.dotnet.xml_tree import parse
from tests.interop.dotnet.graphs import graphs, same
from tests.interop.dotnet.shop import Color, Node, Person, Point, Tiny
from tests.interop.dotnet.test_values import Nobody, back

BOUNDS = Bounds()
STANDARD, MONO, MICROSOFT = Dialect.STANDARD, Dialect.MONO, Dialect.MICROSOFT
NOON = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)


def written(*nodes, dialect=STANDARD) -> bytes:
    writer = SoapWriter(declared, dialect)
    writer.message("m", [("v", node) for node in nodes])
    return writer.document()


def nodes(data: bytes) -> list:
    root = parse(data, BOUNDS)
    return SoapReader(root, BOUNDS).nodes(root.children[0].children[0].children)


def read(data: bytes) -> list:
    made = nodes(data)
    return settle(made, [None] * len(made))


def there(value, hint):
    return Outward(Nobody()).node(value, shape_of(hint))


def body(data: bytes) -> str:
    """What is in the message's element, and behind it."""
    return data.decode().partition('<m id="ref-1">')[2].removesuffix("</SOAP-ENV:Body></SOAP-ENV:Envelope>")


# --- there and back -----------------------------------------------------------------------------------------------


def as_soap_has_it(node, met):
    """The graph with arrays that begin at 0, and with moments that have a date and no zone but UTC."""
    if isinstance(node, Primitive) and node.kind is Kind.DATETIME:
        return Primitive(Kind.DATETIME, moment(node.value))
    if id(node) in met or not isinstance(node, ClassNode | ArrayNode):
        return node
    met.add(id(node))
    if isinstance(node, ClassNode):
        node.members = {name: as_soap_has_it(inner, met) for name, inner in node.members.items()}
        return node
    node.lower = None
    if node.element is Kind.DATETIME:
        node.items = [moment(bits) for bits in node.items]
    elif not isinstance(node.element, Kind):
        node.items = [as_soap_has_it(inner, met) for inner in node.items]
    return node


def moment(bits):
    return bits % (LAST_TICK + 1) | (UTC_KIND << 62 if bits >> 62 == UTC_KIND else 0)


@given(graphs())
def test_any_graph_comes_back_as_it_was(graph):
    graph = as_soap_has_it(graph, set())
    (again,) = nodes(written(graph))
    assert same(graph, again)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("", str), (" ", str), ("\r\n", str), (" a\r\nb\r", str), ("\0\x1f\ufffe\uffff😀]]>&<\"'", str), (None, str),
        (" ", dotnet.Char), ("\0", dotnet.Char), (b"\0\xff", bytes), (b"", bytes), (NOON, dotnet.DateTime),
        (NOON.replace(tzinfo=None), dotnet.DateTime), (datetime.timedelta(days=-1, microseconds=3), dotnet.TimeSpan),
        (float("inf"), float), (-float("inf"), dotnet.Single), (uuid.UUID(int=5), uuid.UUID), (Color.Blue, Color),
        (Tiny.One, Tiny), (Point(1, -2), Point), ([Point(1, 2)], dotnet.Array[Point]),
        ([NOON], dotnet.Array[dotnet.DateTime]),
        ([[1], None], dotnet.Array[dotnet.Array[int] | None]), ([["a", None]], dotnet.Array2D[str | None]),
        ({"a": 1, 2: [None, 1.5]}, dotnet.Hashtable), ([1, "b", None], dotnet.ArrayList),
        ([" ", "\0"], dotnet.Array[dotnet.Char]),
        (Person("Ann", 3, home=Point(1, 2), favourite=Color.Blue), Person), (Node(1, Node(2)), Node),
    ],
)  # fmt: skip
def test_values_come_back_whoever_they_are_written_for(value, hint, dialect):
    (node,) = read(written(there(value, hint), dialect=dialect))
    assert back(node) == value


@pytest.mark.parametrize("dialect", [STANDARD, MONO])
@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ([1, 2], list[int]), ({"a": 1}, dict[str, int]), ({}, dict[str, int]),
        ({"a": [1], "b": []}, dict[str, list[int]]),
        ({Color.Red: Point(1, 2)}, dict[Color, Point]), ([Node(1)], list[Node]),
        ({uuid.UUID(int=1): Person("Bob")}, dict[dotnet.Guid, Person]),
    ],
)  # fmt: skip
def test_generic_types_come_back_where_they_are_known(value, hint, dialect):
    (node,) = read(written(there(value, hint), dialect=dialect))
    assert back(node) == value


# --- how it is written --------------------------------------------------------------------------------------------


def test_a_type_is_left_away_where_the_receivers_class_says_it():
    text = body(written(there(Person("Ann", 41, home=Point(1, 2), favourite=Color.Green), Person)))
    assert "<_x003C_Age_x003E_k__BackingField>41<" in text
    assert "<_x003C_Favourite_x003E_k__BackingField>2<" in text
    assert '<_x003C_Home_x003E_k__BackingField xsi:type="a1:Point"><X>1</X>' in text  # Point? is more than one type
    assert '<v xsi:type="xsd:int">5</v>' in body(written(Primitive(Kind.INT32, 5)))
    table = body(written(there({"a": 1}, dotnet.Hashtable)))
    assert "<LoadFactor>0.72</LoadFactor>" in table  # what serializes itself is asked for members without types
    assert '<item xsi:type="xsd:int">1</item>' in table


def test_an_object_is_written_once_and_referred_to():
    node = ClassNode("N.Thing", {}, "shared")
    text = body(written(node, node, ArrayNode("N.Thing", [node], assembly="shared")))
    assert text.count('<a1:Thing id="ref-2">') == 1
    assert text.count('href="#ref-2"') == 3
    assert 'SOAP-ENC:arrayType="a1:Thing[1]"' in text


def test_a_namespace_is_declared_once():
    text = written(ClassNode("N.A", {}, "s"), ClassNode("N.B", {}, "s"), ClassNode("M.C", {}, "s")).decode()
    assert text.count("xmlns:a1=") == text.count("xmlns:a2=") == 1
    assert "xmlns:a3=" not in text


# --- Mono ---------------------------------------------------------------------------------------------------------


def test_mono_is_given_a_time_as_an_object_behind_what_refers_to_it():
    time = Primitive(Kind.DATETIME, date_time(NOON))
    assert body(written(time)) == '<v xsi:type="xsd:dateTime">2024-02-29T12:00:00.0000000Z</v></m>'
    holder = ClassNode("N.Timed", {"when": time}, "shared")
    text = body(written(holder, dialect=MONO))
    assert text.index('<when href="#ref-3"/>') < text.index('<a2:DateTime id="ref-3"><ticks>')


def test_mono_is_given_first_what_structs_in_an_array_refer_to():
    inner = ClassNode("N.Leaf", {}, "shared")
    outer = ClassNode("N.Thing", {"leaf": inner}, "shared")
    pair = ClassNode("N.Pair", {"key": "a", "value": outer}, "shared", inline=True)
    array = ArrayNode("N.Pair", [pair], assembly="shared")
    text = body(written(array, outer, dialect=MONO))  # it is referred to later, too
    assert text.index('id="ref-3"') < text.index("<SOAP-ENC:Array") < text.index("<a1:Leaf")
    assert text.count("<a1:Thing") == 1
    text = body(written(array, dialect=STANDARD))
    assert text.index("<SOAP-ENC:Array") < text.index("<a1:Thing")


def test_what_mono_would_lose_is_refused():
    time = Primitive(Kind.DATETIME, date_time(NOON))
    array = ArrayNode("N.Timed", [ClassNode("N.Timed", {"when": time}, "s", inline=True)], assembly="s")
    with pytest.raises(ValueError, match="when is a DateTime in a struct in an array, which Mono's SOAP reader loses"):
        written(array, dialect=MONO)
    assert written(array)
    pair = ClassNode("N.Pair", {}, "s", inline=True)
    array = ArrayNode("N.Pair", [pair], assembly="s")
    pair.members["value"] = ClassNode("N.Holder", {}, "s")
    pair.members["value"].members["pairs"] = array
    assert written(array, dialect=MONO)  # by way of a class it is found
    pair.members["self"] = array
    with pytest.raises(ValueError, match="structs that lead back to it"):
        written(array, dialect=MONO)


def test_for_dotnet_a_text_of_space_is_in_a_section():
    assert '"><![CDATA[ \r\n]]></v>' in body(written(" \r\n", dialect=MONO))
    assert '"> &#xD;\n</v>' in body(written(" \r\n"))


def test_infinity_is_called_as_mono_calls_it():
    assert ">-Infinity<" in body(written(Primitive(Kind.DOUBLE, -float("inf")), dialect=MONO))
    assert ">-INF<" in body(written(Primitive(Kind.DOUBLE, -float("inf"))))


# --- what cannot go -----------------------------------------------------------------------------------------------


def test_microsofts_formatter_has_no_generic_types():
    for value, hint in (([1], list[int]), ({"a": 1}, dict[str, int])):
        with pytest.raises(ValueError, match=r"is a generic type, and .NET's SoapFormatter has none: use dotnet.Array"):
            written(there(value, hint), dialect=MICROSOFT)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (ArrayNode(Kind.INT32, [1], lower=(1,)), "does not begin at 0"),
        (Primitive(Kind.INT32, 2**40), r"is no System\.Int32"),
        (ArrayNode(Kind.CHAR, ["ab"]), r"is no System\.Char"),
        (Untyped("5"), "came without a type"),
    ],
)
def test_what_does_not_go_by_soap_is_told(node, reason):
    with pytest.raises(ValueError, match=reason):
        written(node)


def test_structs_in_structs_end_somewhere():
    node = ClassNode("N.S", {}, inline=True)
    for _ in range(30):
        node = ClassNode("N.S", {"inner": node}, inline=True)
    with pytest.raises(ValueError, match="structs in structs, more than"):
        written(node)


def test_half_a_character_becomes_a_question_mark():
    assert read(written("a\ud800b")) == ["a?b"]
