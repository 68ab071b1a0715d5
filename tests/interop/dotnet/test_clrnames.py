"""Names of .NET types, taken apart and put together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.clrnames import MSCORLIB, ClrName, full_assembly, parse, pascal

INT = f"System.Int32, {MSCORLIB}"


@pytest.mark.parametrize(
    "text",
    [
        "System.String",
        INT,
        f"System.Collections.Generic.List`1[[{INT}]], {MSCORLIB}",
        f"System.Collections.Generic.Dictionary`2[[System.String, {MSCORLIB}],[A.B+C[,][], shared]], {MSCORLIB}",
        "System.Int32[][,,]",
        "System.Int32&",
        "Ns.Odd\\,Name, shared",
    ],
)
def test_a_name_comes_back_as_it_was(text):
    assert parse(text).qualified == text


def test_the_parts_of_a_name():
    name = parse(f"List`1[[{INT}]][,], shared")
    assert name == ClrName("List`1", (ClrName("System.Int32", assembly=MSCORLIB),), (2,), assembly="shared")
    assert name.bare == "List`1[[System.Int32]][,]"
    assert parse("List`1[[System.Int32, other]][,]").bare == name.bare


@pytest.mark.parametrize("text", ["", "[", "A[", "A[[B]", "A[[B]]]", "A[x]", "A`1[[]]", "A" * 9000, "A[[" * 40])
def test_what_is_no_name_is_a_protocol_error(text):
    with pytest.raises(ProtocolError):
        parse(text)


@given(st.text(st.sampled_from("AB.`1[],& *\\"), max_size=30))
def test_any_text_is_a_name_or_a_protocol_error(text):
    try:
        parse(text)
    except ProtocolError:
        pass


def test_names_get_their_capitals():
    names = ("set_value", "setValue", "SetValue", "x", "get_Value")
    assert [pascal(name) for name in names] == ["SetValue", "SetValue", "SetValue", "X", "get_Value"]


def test_an_assembly_gets_what_dotnet_says_of_one_without_a_signature():
    assert full_assembly("shared") == "shared, Version=0.0.0.0, Culture=neutral, PublicKeyToken=null"
    assert full_assembly("mscorlib") == MSCORLIB
    assert full_assembly("a, Version=1.0.0.0") == "a, Version=1.0.0.0"
    assert full_assembly("") == ""
