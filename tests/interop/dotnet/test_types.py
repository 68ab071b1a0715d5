"""What a program says about .NET, and how mistakes in it are told."""

import enum

import pytest

from rpcx import dotnet
from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.clrnames import parse
from rpcx.interop.dotnet.types import find, type_of


def test_a_class_is_found_by_its_name_whatever_the_assembly():
    @dotnet.type("Ns.Found", assembly="first")
    class Found:
        pass

    declared = find(parse("Ns.Found, other, Version=9.9.9.9"))
    assert declared is type_of(Found)
    assert declared.cls is Found
    assert declared.name.assembly.startswith("first, Version=0.0.0.0")
    assert repr(declared) == "<ClrType Ns.Found = Found>"
    assert find(parse("Ns.Other")) is None


def test_an_enum_is_a_struct():
    @dotnet.type("Ns.E", assembly="a")
    class E(enum.Enum):
        A = 1

    assert type_of(E).struct


def test_a_class_that_is_gone_is_found_no_more():
    dotnet.type("Ns.Gone", assembly="a")(type("Gone", (), {}))
    import gc

    gc.collect()
    assert find(parse("Ns.Gone")) is None


def test_mistakes_are_told():
    with pytest.raises(TypeError, match="needs the name"):
        dotnet.type(int)
    with pytest.raises(ProtocolError, match="no name"):
        dotnet.type("A[")
    assert repr(dotnet.Member("m_x")) == "Member('m_x')"
