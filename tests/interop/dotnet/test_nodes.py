"""Inert nodes: what they show of themselves."""

from rpcx.interop.dotnet.nodes import CLR_NAMES, KINDS, ArrayNode, ClassNode, Kind, Primitive


def test_primitives_are_equal_by_kind_and_value():
    assert Primitive(Kind.INT32, 1) == Primitive(Kind.INT32, 1)
    assert Primitive(Kind.INT32, 1) != Primitive(Kind.INT64, 1)
    assert Primitive(Kind.DOUBLE, float("nan")) == Primitive(Kind.DOUBLE, float("nan"))
    assert len({Primitive(Kind.INT32, 1), Primitive(Kind.INT32, 1)}) == 1
    assert Primitive(Kind.INT32, 1) != 1


def test_an_array_knows_what_dotnet_calls_it():
    assert ArrayNode(Kind.INT32, [1, 2, 3, 4], (2, 2)).type_name == "System.Int32[,]"
    assert ArrayNode("Ns.C", []).type_name == "Ns.C[]"


def test_a_cycle_can_be_shown():
    node = ClassNode("C", {})
    node.members["me"] = node
    assert repr(node) == "<ClassNode C me>"
    assert repr(ArrayNode(Kind.INT32, [1, 2], (1, 2))) == "<ArrayNode System.Int32[,] of 1x2>"
    assert repr(Primitive(Kind.INT32, 5)) == "INT32(5)"


def test_every_primitive_type_has_a_name():
    assert set(CLR_NAMES) == set(Kind) == set(KINDS.values())
