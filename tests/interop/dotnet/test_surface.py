"""Contracts as .NET sees them."""

from typing import Annotated

import pytest

import rpcx
from rpcx import dotnet
from rpcx.errors import InvalidArguments, ObjectNotFound
from rpcx.interop.dotnet.messages import MethodCall, MethodReturn
from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive, Untyped
from rpcx.interop.dotnet.outward import Outward
from rpcx.interop.dotnet.surface import surface_of
from rpcx.remoting.contract import contract_of
from tests.interop.dotnet.shop import Counter, Talk

TALK = contract_of(Talk)


def chosen_for(contract, method, args=(), signature=None, names=None):
    return surface_of(contract).choose(MethodCall(method, "", args, signature, names=names))


def test_properties_are_methods_there():
    counter = contract_of(Counter)
    assert chosen_for(counter, "get_Value").method.name == "value"
    assert chosen_for(counter, "set_Value", [None]).method.name == "value.set"
    assert chosen_for(counter, "set_Value", [None]).void


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
    assert chosen_for(TALK, "Join", nodes, types).method.name == chosen


@pytest.mark.parametrize(
    "nodes",
    [["a"], ["a", Primitive(Kind.INT64, 1)], ["a", ClassNode("Shop.Point", {})], ["a", ArrayNode(Kind.INT32, [])]],
)
def test_what_fits_no_overload_is_told_what_there_is(nodes):
    with pytest.raises(ObjectNotFound, match=r"Join\(System.String, System.Int32\)"):
        chosen_for(TALK, "Join", nodes)


def test_a_method_that_is_not_offered_is_not_there():
    for name in ("_made", "__init__", "Nothing", "join_texts"):
        with pytest.raises(ObjectNotFound, match="has no remote method"):
            chosen_for(TALK, name)


def test_signatures_say_what_comes_back():
    divide = chosen_for(TALK, "Divide")
    assert repr(divide) == "<Signature Divide(System.Int32, System.Int32, System.Int32&)>"
    assert not divide.void
    assert chosen_for(TALK, "Swap").void
    assert chosen_for(TALK, "Find").void
    assert chosen_for(TALK, "Note").void


def test_streams_are_not_offered():
    @rpcx.remote
    class Streaming:
        def items(self):
            yield 1

    contract = contract_of(Streaming)
    with pytest.raises(InvalidArguments, match="is a stream"):
        surface_of(contract).of(contract.methods["items"])


def test_a_result_that_lacks_out_parameters_is_told():
    signature = chosen_for(TALK, "Divide")
    with pytest.raises(InvalidArguments, match="it returned 1 values"):
        signature.pack_result(5, None, 3)
    assert dotnet.Out[int] is not None


# --- messages in XML, where places have names and types may be missing ---------------------------------------------


@pytest.mark.parametrize(
    ("types", "chosen"),
    [
        (["System.String", "System.Int32"], "join_number"),
        (["System.String", "System.String"], "join_texts"),
        (None, "join_texts"),  # both fit what says nothing
    ],
)
def test_overloads_are_told_apart_in_xml_too(types, chosen):
    args = [Untyped("a"), Untyped("5")]
    assert chosen_for(TALK, "Join", args, types, names=("a", "b")).method.name == chosen
    assert chosen_for(TALK, "Join", ["a", Primitive(Kind.INT32, 5)], names=("a", "b")).method.name == "join_number"
    assert (
        chosen_for(TALK, "Join", ["a", Untyped("Red", name="Shop.Color")], types, names=("a", "b")) if types else True
    )


def test_in_xml_a_signature_does_not_say_what_an_array_is_of_nor_who_is_ref():
    @rpcx.remote
    class Overloaded:
        @dotnet.name("Take")
        def take_array(self, items: dotnet.Array[int]) -> None: ...
        @dotnet.name("Take")
        def take_ref(self, items: dotnet.Ref[int]) -> int: ...

    contract = contract_of(Overloaded)
    assert chosen_for(contract, "Take", [None], ["Array"], names=("items",)).method.name == "take_array"
    assert chosen_for(contract, "Take", [None], ["System.Int32"], names=("items",)).method.name == "take_ref"
    assert chosen_for(contract, "Take", [None], ["System.Int32&"]).method.name == "take_ref"
    with pytest.raises(ObjectNotFound):
        chosen_for(contract, "Take", [None], ["Array"])


def test_parameters_that_only_come_back_may_be_left_out_in_xml():
    divide = chosen_for(TALK, "Divide")
    args = [Untyped("17"), Untyped("5")]
    given = divide.given(MethodCall("Divide", "", args, names=("a", "b")))
    assert given == [Primitive(Kind.INT32, 17), Primitive(Kind.INT32, 5), None]
    given = divide.given(MethodCall("Divide", "", [*args, Untyped("0")], names=("a", "b", "rest")))
    assert given[2] == Primitive(Kind.INT32, 0)
    with pytest.raises(InvalidArguments, match="1 arguments came, and it has: a, b"):
        divide.given(MethodCall("Divide", "", [Untyped("17")], names=("a",)))
    with pytest.raises(InvalidArguments, match=r"'x' is no System\.Int32"):
        divide.given(MethodCall("Divide", "", [Untyped("x"), Untyped("5")], names=("a", "b")))


def test_what_comes_back_has_the_names_that_dotnet_gives_parameters():
    @rpcx.remote
    class Named:
        def find(
            self, first_name: dotnet.Out[int] = None, b: Annotated[dotnet.Out[int], dotnet.Member("URL")] = None
        ) -> tuple[int, int]: ...

    find = chosen_for(contract_of(Named), "Find")
    assert find.names == (None, None)
    assert find.pack_result((1, 2), Outward(None), 2).names == ("firstName", "URL")
    assert chosen_for(TALK, "Swap").names == ("a", "b")


def test_an_answer_in_xml_gets_its_places_and_types():
    divide = chosen_for(TALK, "Divide")
    answer = divide.answered(MethodReturn(Untyped("3"), out=[Untyped("2")], names=("rest",)))
    assert (answer.value, answer.out) == (Primitive(Kind.INT32, 3), [None, None, Primitive(Kind.INT32, 2)])
    named_otherwise = MethodReturn(void=True, out=[Untyped("3"), Untyped("2")], names=("DivideResult", "rest"))
    assert divide.answered(named_otherwise).value == Primitive(Kind.INT32, 3)
    note = chosen_for(TALK, "Note")
    assert note.answered(MethodReturn(None, names=())).void  # some write a null for nothing
    with pytest.raises(InvalidArguments, match="the answer has 1 values, and 2 are expected"):
        divide.answered(MethodReturn(Untyped("3"), names=()))
