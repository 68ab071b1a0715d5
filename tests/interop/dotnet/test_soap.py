"""Calls and returns in SOAP."""

import pytest

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.formatters import soap
from rpcx.interop.dotnet.messages import MethodCall, MethodReturn
from rpcx.interop.dotnet.nodes import ClassNode, Kind, Primitive
from tests.interop.dotnet import soap_vectors as vectors
from tests.interop.dotnet.soap_vectors import CLR, END, PROPERTIES, START, recorded

SOAP = soap(None)
SERVER_FAULT = (
    f'<detail xsi:type="f:ServerFault" xmlns:f="{CLR}/ns/System.Runtime.Serialization.Formatters">'
    "<exceptionType>Shop.Sad</exceptionType><message>so sad</message><stackTrace>here</stackTrace></detail>"
)
TALK = "Shop.ITalk, shared, Version=0.0.0.0, Culture=neutral, PublicKeyToken=null"


def call(method, args=(), names=None, signature=None, of=TALK):
    return MethodCall(method, of, list(args), signature, names=names)


# --- calls --------------------------------------------------------------------------------------------------------


def test_a_call_names_its_method_its_class_and_its_arguments():
    read = SOAP.read_call(vectors.DIVIDE)
    assert (read.method, read.type_name, read.names) == ("Divide", "Shop.ITalk, shared", ("a", "b"))
    assert read.args == [Primitive(Kind.INT32, 17), Primitive(Kind.INT32, 5)]
    assert read.signature is None
    assert SOAP.read_call(vectors.GET_VALUE).args == []


def test_a_call_of_an_overloaded_method_names_its_parameters_types():
    assert SOAP.read_call(vectors.JOIN).signature == ("System.String", "System.Int32")
    types = ("System.String, mscorlib, Version=4.0.0.0", "Shop.Point[], shared", "System.Int32&, mscorlib")
    made = SOAP.read_call(SOAP.write_call(call("Join", ["a", None, None], ("a", "b", None), types)))
    assert made.signature == ("System.String", "Shop.Point[], shared", "System.Int32&")
    assert made.names == ("a", "b")


def test_a_calls_context_is_not_read():
    assert SOAP.read_call(vectors.IN_CONTEXT).args == [Primitive(Kind.INT32, 5)]


def test_what_is_written_is_read_again():
    data = SOAP.write_call(call("Divide", [Primitive(Kind.INT32, 1), None, None], ("a", "b", None)))
    read = SOAP.read_call(data)
    assert (read.method, read.args, read.names) == ("Divide", [Primitive(Kind.INT32, 1), None], ("a", "b"))
    assert read.type_name == "Shop.ITalk, shared"
    unnamed = SOAP.read_call(SOAP.write_call(call("Divide", ["x", "y"])))
    assert unnamed.names == ("arg1", "arg2")


def test_around_a_call_stands_what_it_calls():
    headers = SOAP.headers(call("Größe", of="System.MarshalByRefObject, mscorlib, Version=4.0.0.0"))
    assert headers == {"SOAPAction": f'"{CLR}/ns/System.MarshalByRefObject#Gr%C3%B6%C3%9Fe"'}


# --- returns ------------------------------------------------------------------------------------------------------


def test_a_return_has_a_value_and_what_came_back():
    read = SOAP.read_return(vectors.DIVIDED)
    assert (read.value, read.out, read.names) == (Primitive(Kind.INT32, 3), [Primitive(Kind.INT32, 2)], ("rest",))
    assert SOAP.read_return(vectors.VOID).void


def test_a_return_answers_in_the_namespace_of_its_call():
    asked = SOAP.read_call(vectors.DIVIDE)
    answer = MethodReturn(Primitive(Kind.INT32, 3), out=[None, None, "x"], names=(None, None, "rest"))
    data = SOAP.write_return(answer, asked)
    assert f'="{CLR}/nsassem/Shop.ITalk/shared"'.encode() in data
    assert b':DivideResponse id="ref-1"><return xsi:type="xsd:int">3</return><rest ' in data
    read = SOAP.read_return(data)
    assert (read.value, read.out, read.names) == (Primitive(Kind.INT32, 3), ["x"], ("rest",))
    elsewhere = MethodCall("Divide", "", names=(), space="urn:shop")
    assert b'="urn:shop"' in SOAP.write_return(MethodReturn(void=True), elsewhere)


def test_an_exception_is_in_a_faults_detail():
    read = SOAP.read_return(vectors.SOLD_OUT)
    assert isinstance(read.exception, ClassNode)
    assert read.exception.name == "Shop.OutOfStock"
    assert read.exception.members["Message"] == "no more than 3"
    node = ClassNode("System.Exception", {"ClassName": "System.Exception", "Message": "no", "HResult": None})
    data = SOAP.write_return(MethodReturn(exception=node), None)
    assert b'<SOAP-ENV:Fault id="ref-1">' in data
    assert b"**** System.Exception - no" in data
    assert SOAP.read_return(data).exception.members == node.members


@pytest.mark.parametrize(
    ("detail", "name", "message", "stack"),
    [
        ("", "System.Runtime.Remoting.RemotingException", "it failed", None),
        ("<detail/>", "System.Runtime.Remoting.RemotingException", "it failed", None),
        ("<detail><e xmlns='urn:x'>why</e></detail>", "System.Runtime.Remoting.RemotingException", "it failed", None),
        (
            SERVER_FAULT, "Shop.Sad", "so sad", "here",
        ),
    ],
)  # fmt: skip
def test_a_fault_without_dotnets_exception_says_what_it_can(detail, name, message, stack):
    fault = f"<faultcode>SOAP-ENV:Server</faultcode><faultstring> it failed </faultstring>{detail}"
    exception = SOAP.read_return(recorded(f"<SOAP-ENV:Fault>{fault}</SOAP-ENV:Fault>")).exception
    assert (exception.name, exception.members["Message"], exception.members["StackTraceString"]) == (
        name,
        message,
        stack,
    )


# --- what is none -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no XML"),
        (b"<html/>", "no SOAP 1.1: the document is a html"),
        (b'<Envelope xmlns="http://www.w3.org/2003/05/soap-envelope"><Body><m/></Body></Envelope>', "no SOAP 1.1"),
        (f"{START}{END}".encode(), "not one body"),
        (recorded(""), "not one body with something in it"),
        (recorded("</SOAP-ENV:Body><SOAP-ENV:Body><m/>"), "not one body"),
        (
            recorded("<m/>", '<t:x xmlns:t="urn:t" SOAP-ENV:mustUnderstand="1"/>'),
            "must be understood, and is not: {urn:t}x",
        ),
        (
            recorded("<m/>", f'<h:__MethodSignature xmlns:h="{PROPERTIES}">{"xsd:int " * 300}</h:__MethodSignature>'),
            "a signature of more than 256 types",
        ),
    ],
)
def test_what_is_no_message_is_refused(data, reason):
    with pytest.raises(ProtocolError, match=reason):
        SOAP.read_call(data)


def test_a_header_that_need_not_be_understood_is_passed_over():
    data = recorded("<m/>", '<t:x xmlns:t="urn:t" SOAP-ENV:mustUnderstand="0"/><t:y xmlns:t="urn:t"/>')
    assert SOAP.read_call(data).method == "m"


def test_every_recorded_message_is_read_at_every_cut_or_refused():
    for data in (*vectors.CALLS, *vectors.RETURNS):
        for end in range(0, len(data), 97):
            with pytest.raises(ProtocolError):
                SOAP.read_return(data[:end])
