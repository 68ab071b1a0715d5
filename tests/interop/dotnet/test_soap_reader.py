"""SOAP's encoding of values, as nodes."""

import pytest

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.declared import settle
from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive, Untyped
from rpcx.interop.dotnet.scalars import Bounds
from rpcx.interop.dotnet.soap_reader import SoapReader
from rpcx.interop.dotnet.xml_tree import parse
from tests.interop.dotnet import shop
from tests.interop.dotnet import soap_vectors as vectors
from tests.interop.dotnet.soap_vectors import CLR, END, SOAP, START

BOUNDS = Bounds(depth=32, objects=1000, elements=1000, text=10_000)
SYSTEM = f'xmlns:s="{CLR}/ns/System"'
SHOP = f'xmlns:p="{CLR}/nsassem/Shop/shared"'


def read(values: str, objects: str = "", bounds: Bounds = BOUNDS) -> list:
    """The values of a message."""
    root = parse(f"{START}<b><m>{values}</m>{objects}</b>{END}".encode(), bounds)
    return SoapReader(root, bounds).nodes(root.children[0].children[0].children)


def value(text: str, objects: str = ""):
    (node,) = read(text, objects)
    return node


def recorded(data: bytes):
    root = parse(data, BOUNDS)
    message = root.children[-1].children[0]
    return settle(SoapReader(root, BOUNDS).nodes(message.children), [None] * len(message.children))


# --- what Mono writes ---------------------------------------------------------------------------------------------


def test_a_graph_with_cycles_is_one_again():
    (ann,) = recorded(vectors.PERSON)
    member = "<{}>k__BackingField".format
    bob = ann.members[member("Friend")]
    assert bob.members[member("Friend")] is ann
    children = ann.members[member("Children")]
    assert children.name.startswith("System.Collections.Generic.List`1[[Shop.Person, shared")
    items = children.members["_items"]
    assert (items.element, items.lengths, items.items[0] is bob, items.items[2:]) == (
        "Shop.Person",
        (4,),
        True,
        [None, None],
    )
    assert (ann.name, ann.assembly[:7], ann.inline) == ("Shop.Person", "shared,", False)


def test_members_get_the_types_that_classes_declare():
    (ann,) = recorded(vectors.PERSON)
    member = "<{}>k__BackingField".format
    assert shop.Person  # it is mapped
    assert ann.members[member("Age")] == Primitive(Kind.INT32, 41)
    assert ann.members[member("Name")] == "Ann"
    assert ann.members[member("Favourite")].members == {"value__": Primitive(Kind.INT32, 2)}
    assert ann.members[member("Home")].members == {"X": Primitive(Kind.INT32, 5), "Y": Primitive(Kind.INT32, 6)}
    assert ann.members[member("Home")].inline
    (table,) = recorded(vectors.TABLE)
    assert table.members["Version"] == Primitive(Kind.INT32, 4)
    assert table.members["Keys"].items == ["a", "n", Primitive(Kind.INT32, 2)]
    (dictionary,) = recorded(vectors.DICTIONARY)
    pair = dictionary.members["KeyValuePairs"].items[1]
    assert (pair.name.partition("[")[0], pair.members) == (
        "System.Collections.Generic.KeyValuePair`2",
        {"key": "b", "value": Primitive(Kind.INT32, 2)},
    )


def test_arrays():
    (words,) = recorded(vectors.WORDS)
    assert (words.type_name, words.lengths, words.items) == ("System.String[,]", (2, 2), ["a", "b", None, "a"])
    (data,) = recorded(vectors.BYTES)
    assert (data.element, data.items) == (Kind.BYTE, b"\0\x7f\xff")
    jagged = value(
        '<v href="#ref-2"/>',
        f'<SOAP-ENC:Array id="ref-2" {SYSTEM} SOAP-ENC:arrayType="s:Int32[][2]"><item href="#ref-3"/></SOAP-ENC:Array>'
        '<SOAP-ENC:Array id="ref-3" SOAP-ENC:arrayType="xsd:int[3]"><item>1</item><item>2</item></SOAP-ENC:Array>',
    )
    assert (jagged.type_name, jagged.items[1]) == ("System.Int32[][]", None)
    assert (jagged.items[0].items, jagged.items[0].lengths) == ([1, 2, 0], (3,))


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ('<v xsi:type="xsd:int">5</v>', Primitive(Kind.INT32, 5)),
        (f'<v {SYSTEM} xsi:type="s:Char">é</v>', Primitive(Kind.CHAR, "é")),
        ('<v id="ref-2" xsi:type="SOAP-ENC:string"> a </v>', " a "),
        ('<v xsi:type="xsd:string"/>', ""),
        ('<v id="ref-2">5</v>', "5"),  # what has an id is a text
        ('<v xsi:null="1"/>', None),
        ('<v xsi:nil="true"/>', None),
        ('<v xmlns:i="http://www.w3.org/1999/XMLSchema-instance" i:null="1"/>', None),
        ('<v xmlns:x="http://www.w3.org/1999/XMLSchema" xsi:type="x:short">5</v>', Primitive(Kind.INT16, 5)),
        ('<v xsi:type="xsd:anyType">x</v>', "x"),
    ],
)
def test_single_values(text, node):
    assert value(text) == node


def test_values_whose_type_is_not_said():
    text, struct, enum = read(f'<a>5</a><b><X>1</X></b><c {SHOP} xsi:type="p:Color">Blue</c>')
    assert (text.text, text.members, text.name) == ("5", None, None)
    assert (struct.members["X"].text, struct.name) == ("1", None)
    assert (enum.text, enum.name, enum.assembly) == ("Blue", "Shop.Color", "shared")
    assert isinstance(text, Untyped)


def test_structs_stand_where_they_are_used_and_objects_have_an_id():
    struct, obj = read(
        f'<a {SHOP} xsi:type="p:Point"><X>1</X></a><b href="#x"/>', f'<p:Node {SHOP} id="x"><value>1</value></p:Node>'
    )
    assert (struct.name, struct.inline, obj.name, obj.inline) == ("Shop.Point", True, "Shop.Node", False)


def test_other_toolkits_name_objects_by_their_type_and_may_nest_them():
    one, two = read(
        '<a href="#id0"/><b href="#id0"/>',
        f'<multiRef id="id0" {SHOP} xsi:type="p:Node"><value xsi:type="xsd:int">1</value>'
        '<next id="n" xsi:type="p:Node"><value>2</value><next href="#n"/></next></multiRef>',
    )
    assert one is two
    inner = one.members["next"]
    assert inner.members["next"] is inner


def test_an_object_and_nothing_are_told_apart():
    obj = value('<v href="#ref-2"/>', '<xsd:anyType id="ref-2">\n </xsd:anyType>')
    assert (obj.name, obj.members) == ("System.Object", {})


def test_times_that_come_as_objects():
    array = value(
        '<v href="#a"/>',
        f'<SOAP-ENC:Array id="a" {SYSTEM} SOAP-ENC:arrayType="s:DateTime[1]"><item href="#t"/></SOAP-ENC:Array>'
        f'<s:DateTime {SYSTEM} id="t"><ticks>635000000000000000</ticks><dateData>5246686018427387904</dateData>'
        "</s:DateTime>",
    )
    settle([array], [None])
    assert array.items[0].members["dateData"] == Primitive(Kind.UINT64, 5246686018427387904)


def test_the_length_of_an_array_may_be_left_to_its_items():
    array = value('<v SOAP-ENC:arrayType="xsd:int[]"><item>1</item><item>2</item></v>')
    assert (array.items, array.lengths) == ([1, 2], (2,))


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "objects", "reason"),
    [
        ('<v href="#none"/>', "", "'#none', which does not come"),
        ('<v href="http://127.0.0.1/x"/>', "", "which does not come"),
        ('<v href="#a"/>', '<x id="a" href="#a"/>', "a reference to itself"),
        ("<v/>", '<x id="a"/><y id="a"/>', "two objects 'a'"),
        ('<v xsi:type="q:int">5</v>', "", "a prefix that nobody declared"),
        ('<v xsi:type="xsd:int">x</v>', "", r"v, in SOAP: 'x' is no System\.Int32"),
        ('<v xsi:type="xsd:string"><a/></v>', "", "elements where a text is expected"),
        ('<v xsi:type="SOAP-ENC:Array"/>', "", "an array that does not say of what"),
        ('<v SOAP-ENC:arrayType="xsd:int[1]"><i>1</i><i>2</i></v>', "", "an array of 1 with 2 items"),
        ('<v SOAP-ENC:arrayType="xsd:int[x]"/>', "", "an array of lengths"),
        ('<v SOAP-ENC:arrayType="xsd:int[-1]"/>', "", "an array of lengths"),
        ('<v SOAP-ENC:arrayType="xsd:int"/>', "", "how long it is"),
        (f'<v SOAP-ENC:arrayType="xsd:int[{"1," * 40}1]"/>', "", "an array of lengths"),
        ('<v SOAP-ENC:arrayType="xsd:int[1]"><i><j/></i></v>', "", "no primitive where an array has some"),
        ('<v SOAP-ENC:arrayType="xsd:int[3]" SOAP-ENC:offset="[1]"/>', "", "does not begin at 0, or has gaps"),
        ('<v SOAP-ENC:arrayType="xsd:int[3]"><i SOAP-ENC:position="[2]">1</i></v>', "", "has gaps"),
        ('<v xsi:type="SOAP-ENC:base64">###</v>', "", "no base64"),
        (f'<v {SHOP} xsi:type="p:Point"><X>1</X><X>2</X></v>', "", "two members 'X'"),
    ],
)
def test_what_is_not_right_is_refused(text, objects, reason):
    with pytest.raises(ProtocolError, match=reason):
        read(text, objects)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<v SOAP-ENC:arrayType="xsd:int[999999999]"/>', "arrays have more than 1000 items"),
        ('<v SOAP-ENC:arrayType="xsd:anyType[99999,99999,99999]"/>', "arrays have more than 1000 items"),
        ('<v SOAP-ENC:arrayType="xsd:int[600]"/>' * 2, "arrays have more than 1000 items"),
        (f'<v SOAP-ENC:arrayType="xsd:string[900]">{"<i/>" * 900}</v>', "more than 500 objects and texts"),
        ("<v>1</v>" * 600, "more than 500 objects and texts"),
    ],
)
def test_a_short_message_makes_no_large_values(text, reason):
    with pytest.raises(ProtocolError, match=reason):
        read(text, bounds=Bounds(objects=500, elements=1000, text=10_000))


def test_a_long_chain_needs_no_deep_recursion():
    links = "".join(f'<p:Node {SHOP} id="n{n}"><next href="#n{n + 1}"/></p:Node>' for n in range(400))
    node = value('<v href="#n0"/>', f'{links}<p:Node {SHOP} id="n400"/>')
    length = 0
    while isinstance(node, ClassNode):
        node, length = node.members.get("next"), length + 1
    assert length == 401


def test_an_unknown_type_keeps_its_name():
    assert value('<v xmlns:u="urn:shop" xsi:type="u:Order"><a>1</a></v>').name == "{urn:shop}Order"
    assert SOAP in START
    assert isinstance(value('<v SOAP-ENC:arrayType="xsd:int[0]"/>'), ArrayNode)
