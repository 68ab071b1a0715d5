"""Where names come from."""

import ast

import pytest

from rpcx.stubs.names import Imports, Origin, Source, Unwritable, source_of

WAYS = """
    import collections.abc
    import collections as c
    import os, os.path
    from typing import TYPE_CHECKING, Any as Anything
    from typing import *

    try:
        import tomllib as toml
    except ImportError:
        toml = None
    else:
        from json import loads

    if TYPE_CHECKING:
        import decimal
        from fractions import Fraction
        from no_such_module import Never as Nothing
    else:
        Fraction = None

    with open(__file__):
        opened = 1

    class Own: ...
    def function(): ...
    Alias = list[int]
    typed: "type" = dict[str, int]
    globals()["by_code"] = 5
"""


def name(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def test_a_name_comes_from_where_it_was_imported_from(module):
    made = module(WAYS)
    own = made.__name__
    expected = {
        "collections": [Origin("collections.abc")],
        "c": [Origin("collections")],
        "os": [Origin("os"), Origin("os.path")],
        "Anything": [Origin("typing", "Any")],
        "toml": [Origin("tomllib")],
        "loads": [Origin("json", "loads")],
        "decimal": [Origin("decimal", "", guarded=True)],
        "Fraction": [Origin("fractions", "Fraction", guarded=True)],
        "Own": [Origin(own, "Own")],
        "function": [Origin(own, "function")],
        "Alias": [Origin(own, "Alias")],
        "opened": [Origin(own, "opened")],
        "Optional": [Origin(own, "Optional")],  # by the star: only the module knows
        "by_code": [Origin(own, "by_code")],
        "int": [],
    }
    source = Source(made)
    assert {each: source.origins(each) for each in expected} == expected
    with pytest.raises(KeyError):
        source.origins("nobody")


def test_a_name_that_is_there_for_type_checkers_only_has_its_value_all_the_same(module):
    import decimal

    source = Source(module(WAYS.replace("else:\n        Fraction = None", "")))
    assert source.value(name("decimal.Decimal")) is decimal.Decimal
    assert source.value(name("Fraction")).__name__ == "Fraction"
    for unknown in ("Nothing", "decimal.Nothing", "nobody", "f()"):
        value = source.value(name(unknown))
        assert source.value(name("Nothing")) is value


def test_relative_imports_are_spelled_out(module):
    module("", "pkg_of_sample.__init__")
    module("class Thing: ...", "pkg_of_sample.things")
    source = Source(module("from . import things\nfrom .things import Thing as T", "pkg_of_sample.uses"))
    assert source.origins("things") == [Origin("pkg_of_sample", "things")]
    assert source.origins("T") == [Origin("pkg_of_sample.things", "Thing")]


def test_an_alias_is_followed_to_where_it_is_set(module):
    first = module("Alias = list[int]\nimported = __import__('json')")
    second = Source(module(f"from {first.__name__} import Alias as Other, imported"))
    source, alias = second.alias("Other")
    assert (source.module, ast.unparse(alias)) == (first, "list[int]")
    for hidden in ("nobody", "int"):
        with pytest.raises(Unwritable, match=f"what '{hidden}' stands for"):
            second.alias(hidden)


def test_a_definition_is_found_among_others_of_its_name(module):
    made = module("""
        import sys
        class A:
            if sys.version_info < (3, 0):
                def f(self): "old"
            else:
                def f(self): "new"
        class B:
            def f(self): "other"
    """)
    (found,) = Source(made).function(made.A.f, "A")
    assert ast.get_docstring(found) == "new"
    assert Source(made).function(eval("lambda self: 5"), "A") == []


def test_without_a_source_there_is_no_stub(module):
    with pytest.raises(Unwritable, match="builtins: its source is needed"):
        source_of("builtins")
    with pytest.raises(Unwritable, match=r"\.A\.B: it has no source of its own"):
        Source(module("class A: ...")).class_at("A.B")


# --- imports ------------------------------------------------------------------------------------------------


def test_two_things_of_one_name_get_two_names():
    imports = Imports()
    assert imports.define("AsyncBank") == "AsyncBank"
    assert imports.name(Origin("a", "Status"), "Status") == "Status"
    assert imports.name(Origin("b", "Status"), "Status") == "Status_2"
    assert imports.name(Origin("c", "Status"), "Status") == "Status_3"
    assert imports.name(Origin("b", "Status"), "Status") == "Status_2"
    assert imports.name(Origin("c", "AsyncBank"), "AsyncBank") == "AsyncBank_2"
    always, guarded = imports.statements()
    assert "\n".join(always).splitlines() == [
        "from a import Status",
        "from b import Status as Status_2",
        "from c import AsyncBank as AsyncBank_2",
        "from c import Status as Status_3",
    ]
    assert guarded == []


def test_what_is_reserved_is_imported_when_it_is_needed():
    imports = Imports()
    imports.reserve(Origin("typing", "Protocol"))
    assert imports.name(Origin("mine", "Protocol"), "Protocol") == "Protocol_2"
    assert "typing" not in "".join(imports.statements()[0])
    imports.name(Origin("typing", "Protocol"), "Protocol")
    assert "from typing import Protocol" in imports.statements()[0]


def test_what_somebody_needs_at_run_time_is_imported_at_run_time():
    imports = Imports()
    guarded = Origin("decimal", "Decimal", guarded=True)
    imports.name(guarded, "Decimal")
    assert imports.statements() == ([], ["from decimal import Decimal"])
    imports.name(Origin("decimal", "Decimal"), "Decimal")
    assert imports.statements() == (["from decimal import Decimal"], [])
    imports.name(guarded, "Decimal")
    assert imports.statements() == (["from decimal import Decimal"], [])
    imports.module(Origin("os.path", "", guarded=True))
    assert imports.statements()[1] == ["import os.path"]
    imports.module(Origin("os.path"))
    assert imports.statements()[1] == []


def test_imports_are_sorted_as_is_customary():
    imports = Imports()
    for each in ("rpcx.aio", "pydantic", "os.path"):
        imports.module(Origin(each))
    imports.name(Origin("datetime"), "dt")
    for wanted in ("zeta", "Alpha", "LIMIT", "T", "beta"):
        imports.name(Origin("tests.stubs.bank", wanted), wanted)
    for wanted in ("AsyncIterator", "Awaitable", "Callable", "Mapping", "MutableMapping", "Sequence"):
        imports.name(Origin("collections.abc", wanted), wanted)
    assert imports.statements()[0] == [
        (
            "import datetime as dt\nimport os.path\nfrom collections.abc import (\n    AsyncIterator,\n    Awaitable,\n"
            "    Callable,\n    Mapping,\n    MutableMapping,\n    Sequence,\n)"
        ),
        "import pydantic",
        "import rpcx.aio\nfrom tests.stubs.bank import LIMIT, Alpha, T, beta, zeta",
    ]


def test_a_module_whose_name_is_taken_is_an_error():
    imports = Imports()
    imports.name(Origin("mine", "os"), "os")
    with pytest.raises(Unwritable, match="'os' means two things"):
        imports.module(Origin("os"))
