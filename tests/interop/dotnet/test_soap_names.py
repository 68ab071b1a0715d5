"""Types of .NET as names of XML."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.interop.dotnet.clrnames import MSCORLIB, parse
from rpcx.interop.dotnet.soap_names import (
    CLR,
    SCHEMA,
    TypeName,
    XmlName,
    decoded,
    encoded,
    method_space,
    name_of,
    type_of,
    type_of_methods,
)
from tests.interop.dotnet.soap_vectors import CUT, SHARED

LIST = f"System.Collections.Generic.List`1[[System.Int32, {MSCORLIB}]]"


@pytest.mark.parametrize(
    ("name", "assembly", "space", "local"),
    [
        ("System.Guid", None, f"{CLR}ns/System", "Guid"),
        ("Shop.Person", "shared, Version=0.0.0.0, Culture=neutral, PublicKeyToken=null", SHARED, "Person"),
        ("Shop.Outer+Inner", "s", f"{CLR}nsassem/Shop/s", "Outer_x002B_Inner"),
        ("Basic", "probe", f"{CLR}assem/probe", "Basic"),
        ("System.Int32[][,]", None, f"{CLR}ns/System", "Int32[][,]"),
        ("Shop.Point[]", "s", f"{CLR}nsassem/Shop/s", "Point[]"),
        ("Shop..", "s", f"{CLR}nsassem/Shop/s", "_x002E_"),
        ("Shop.[", "s", f"{CLR}nsassem/Shop/s", "_x005B_"),
        ("Alone", None, f"{CLR}ns/", "Alone"),
    ],
)
def test_a_type_is_a_name_behind_where_it_lives(name, assembly, space, local):
    assert name_of(name, assembly) == XmlName(space, local)
    assert type_of(XmlName(space, local)) == TypeName(name, assembly)


@pytest.mark.parametrize("name", ["Shop.Point[]", "Shop.[]", "Shop.[,]"])
def test_the_name_of_an_element_has_no_brackets(name):
    space, local = name_of(name, "s", tag=True)
    assert re.fullmatch(r"\w+", local)
    assert type_of(XmlName(space, local)) == TypeName(name, "s")


def test_a_generic_type_is_read_wherever_its_name_is_cut():
    cut = XmlName(
        f"{CLR}ns/System.Collections.Generic.List`1[[System.Int32, mscorlib, Version=4.0.0",
        f"{CUT}b77a5c561934e089_x005D__x005D_",
    )
    assert type_of(cut) == type_of(name_of(LIST, None)) == TypeName(LIST)
    assert parse(type_of(cut).name).args[0].name == "System.Int32"


@pytest.mark.parametrize(
    ("local", "name"),
    [
        ("int", "System.Int32"),
        ("unsignedByte", "System.Byte"),
        ("byte", "System.SByte"),
        ("string", "System.String"),
        ("anyType", "System.Object"),
        ("base64Binary", "System.Byte[]"),
        ("timeInstant", "System.DateTime"),
        ("int[]", "System.Int32[]"),
        ("colour", f"{{{SCHEMA}}}colour"),
    ],
)
def test_types_of_xml_schema_are_primitives(local, name):
    assert type_of(XmlName(SCHEMA, local)) == TypeName(name)


def test_a_type_of_somebody_elses_stands_for_itself():
    assert type_of(XmlName("urn:shop", "Order")) == TypeName("{urn:shop}Order")
    assert type_of(XmlName("", "Order")) == TypeName("Order")


def test_mscorlib_needs_not_be_said():
    assert type_of(XmlName(f"{CLR}nsassem/System/mscorlib%2C%20Version%3D4.0.0.0", "Guid")) == TypeName("System.Guid")


@pytest.mark.parametrize(
    ("qualified", "space"),
    [
        ("Shop.ITalk, shared, Version=1.0", f"{CLR}nsassem/Shop.ITalk/shared"),
        ("System.MarshalByRefObject, mscorlib, Version=4.0.0.0", f"{CLR}ns/System.MarshalByRefObject"),
        ("Basic, probe", f"{CLR}nsassem/Basic/probe"),
    ],
)
def test_methods_live_in_a_namespace_of_their_class(qualified, space):
    assert method_space(qualified) == space
    assert type_of_methods(space).partition(",")[0] == qualified.partition(",")[0]


def test_a_namespace_that_is_no_class_of_dotnets_names_none():
    for space in ("", "urn:x", f"{CLR}soap/messageProperties", f"{CLR}assem/probe"):
        assert type_of_methods(space) == ""


@given(st.text(st.characters(exclude_categories=("Cs",), max_codepoint=0xFFFF), min_size=1, max_size=30))
def test_any_name_comes_back(name):
    assert decoded(encoded(name)) == name


def test_names_are_escaped_as_dotnet_does():
    assert encoded("<Name>k__BackingField") == "_x003C_Name_x003E_k__BackingField"
    assert encoded("_x0041_") == "_x005F_x0041_"
    assert encoded("1st") == "_x0031_st"
    assert encoded("größe") == "größe"
    assert decoded("_xD800_") == "_xD800_"  # half a character is none
