"""Calls and returns against bytes that were recorded, and back into the same bytes."""

import pytest

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.binary import read_call, read_return, split_assembly, write_call, write_return
from rpcx.interop.dotnet.messages import MethodCall, MethodReturn
from rpcx.interop.dotnet.nodes import ArrayNode, ClassNode, Kind, Primitive
from tests.interop.dotnet.vectors import (
    ADD,
    ADD_REPLY,
    BOOM_REPLY,
    COUNT,
    COUNT_REPLY,
    SET_VALUE,
    SET_VALUE_REPLY,
    STACK,
    T,
)


def int32(value: int) -> Primitive:
    return Primitive(Kind.INT32, value)


CALLS = {
    "SetValue": (SET_VALUE, MethodCall("SetValue", T, ["000"])),
    "Add": (ADD, MethodCall("Add", T, [int32(2), int32(3)])),
    "Count": (COUNT, MethodCall("Count", T)),
}
RETURNS = {
    "SetValue": (SET_VALUE_REPLY, MethodReturn(void=True, out=[None])),
    "Add": (ADD_REPLY, MethodReturn(int32(5), out=[None, None])),
    "Count": (COUNT_REPLY, MethodReturn(int32(1))),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_read_from_and_written_as_the_bytes_that_mono_sends(name):
    data, call = CALLS[name]
    read = read_call(data)
    assert (read.method, read.type_name, list(read.args)) == (call.method, call.type_name, list(call.args))
    assert write_call(call) == data


@pytest.mark.parametrize("name", RETURNS)
def test_a_return_is_read_from_and_written_as_the_bytes_that_mono_sends(name):
    data, answer = RETURNS[name]
    assert read_return(data) == answer
    assert write_return(answer) == data


def test_an_exception_is_read_as_an_inert_node():
    exception = read_return(BOOM_REPLY).exception
    assert isinstance(exception, ClassNode)
    assert exception.name == "System.InvalidOperationException"
    assert exception.members["Message"] == "boom"
    assert exception.members["StackTraceString"] == STACK
    assert exception.members["HResult"] == int32(-2146233079)
    assert exception.members["RemoteStackIndex"] == int32(0)


def test_an_exception_comes_back_as_it_was_written():
    before = read_return(BOOM_REPLY)
    after = read_return(write_return(before))
    assert after.exception.members == before.exception.members
    assert after.void
    assert after.out == []


def test_everything_a_call_may_carry_comes_back():
    context = ClassNode("System.Runtime.Remoting.Messaging.LogicalCallContext", {"user": "ann"})
    call = MethodCall(
        "Add", T, ["a", ArrayNode(Kind.INT32, [1, 2])],
        signature=("System.String, mscorlib", "System.Int32[], mscorlib"),
        generics=("System.Int32, mscorlib",), context=context,
    )  # fmt: skip
    read = read_call(write_call(call))
    assert (read.signature, read.generics) == (call.signature, call.generics)
    assert read.args[0] == "a"
    assert read.args[1].items == [1, 2]
    assert read.context.members == {"user": "ann"}


def test_a_signature_beside_simple_arguments_leaves_them_inline():
    call = MethodCall("Add", T, ["a"], signature=("System.String, mscorlib",))
    read = read_call(write_call(call))
    assert (list(read.args), read.signature) == (["a"], call.signature)


def test_a_value_beside_out_arguments_comes_back():
    answer = MethodReturn(ArrayNode("System.String", ["x"]), out=[None, ArrayNode("System.Object", [])])
    read = read_return(write_return(answer))
    assert read.value.items == ["x"]
    assert [type(item) for item in read.out] == [type(None), ArrayNode]


@pytest.mark.parametrize("data", [SET_VALUE_REPLY, SET_VALUE], ids=["a return", "a call"])
def test_a_call_is_no_return_and_the_other_way_round(data):
    read = read_return if data is SET_VALUE else read_call
    with pytest.raises(ProtocolError, match="it is no"):
        read(data)


@pytest.mark.parametrize("data", [SET_VALUE, ADD, COUNT, SET_VALUE_REPLY, ADD_REPLY, BOOM_REPLY])
def test_a_message_cut_short_anywhere_is_a_protocol_error(data):
    read = read_call if data in (SET_VALUE, ADD, COUNT) else read_return
    for size in range(len(data)):
        with pytest.raises(ProtocolError):
            read(data[:size])
    with pytest.raises(ProtocolError, match="follow its end"):
        read(data + b"\0")


def test_bytes_that_changed_are_read_or_are_a_protocol_error():
    for data, read in [(ADD, read_call), (BOOM_REPLY, read_return)]:
        for at in range(len(data)):
            for change in (0x00, 0x01, 0x7F, 0x80, 0xFF, data[at] ^ 0x08):
                changed = data[:at] + bytes((change,)) + data[at + 1 :]
                try:
                    read(changed)
                except ProtocolError:
                    pass


def test_an_assembly_stands_behind_the_first_comma_outside_of_brackets():
    assert split_assembly("A`1[[B, b]], a, Version=1") == ("A`1[[B, b]]", "a, Version=1")
    assert split_assembly("A[,], a") == ("A[,]", "a")
    assert split_assembly("A") == ("A", "")
