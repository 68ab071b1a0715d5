"""Contracts as .NET sees them."""

import pytest

import rpcx
from rpcx import dotnet
from rpcx.errors import InvalidArguments, ObjectNotFound
from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive
from rpcx.interop.dotnet.surface import surface_of
from rpcx.remoting.contract import contract_of
from tests.interop.dotnet.shop import Counter, Talk

TALK = contract_of(Talk)


def test_properties_are_methods_there():
    surface = surface_of(contract_of(Counter))
    assert surface.choose("get_Value", [], None).method.name == "value"
    assert surface.choose("set_Value", [None], None).method.name == "value.set"
    assert surface.choose("set_Value", [None], None).void


@pytest.mark.parametrize(
    ("nodes", "types", "chosen"),
    [
        (["a", "b"], None, "join_texts"),
        (["a", Primitive(Kind.INT32, 1)], None, "join_number"),
        (["a", None], None, "join_texts"),
        (["a", None], ["System.String", "System.Int32"], "join_number"),
    ],
)
def test_overloads_are_told_apart_by_values_or_signature(nodes, types, chosen):
    assert surface_of(TALK).choose("Join", nodes, types).method.name == chosen


@pytest.mark.parametrize(
    "nodes",
    [["a"], ["a", Primitive(Kind.INT64, 1)], ["a", ClassNode("Shop.Point", {})], ["a", ArrayNode(Kind.INT32, [])]],
)
def test_what_fits_no_overload_is_told_what_there_is(nodes):
    with pytest.raises(ObjectNotFound, match=r"Join\(System.String, System.Int32\)"):
        surface_of(TALK).choose("Join", nodes, None)


def test_a_method_that_is_not_offered_is_not_there():
    for name in ("_made", "__init__", "Nothing", "join_texts"):
        with pytest.raises(ObjectNotFound, match="has no remote method"):
            surface_of(TALK).choose(name, [], None)


def test_signatures_say_what_comes_back():
    surface = surface_of(TALK)
    divide = surface.choose("Divide", [], None)
    assert repr(divide) == "<Signature Divide(System.Int32, System.Int32, System.Int32&)>"
    assert not divide.void
    assert surface.choose("Swap", [], None).void
    assert surface.choose("Find", [], None).void
    assert surface.choose("Note", [], None).void


def test_streams_are_not_offered():
    @rpcx.remote
    class Streaming:
        def items(self):
            yield 1

    contract = contract_of(Streaming)
    with pytest.raises(InvalidArguments, match="is a stream"):
        surface_of(contract).of(contract.methods["items"])


def test_a_result_that_lacks_out_parameters_is_told():
    signature = surface_of(TALK).choose("Divide", [], None)
    with pytest.raises(InvalidArguments, match="it returned 1 values"):
        signature.pack_result(5, None, 3)
    assert dotnet.Out[int] is not None
