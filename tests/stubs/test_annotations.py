"""Annotations as they read in a stub."""

import ast

import pytest

from rpcx.stubs.annotations import Annotations
from rpcx.stubs.names import Imports, Source, Unwritable

SOURCE = """
    import typing
    import typing as t
    from collections.abc import *
    from collections import abc
    from dataclasses import dataclass
    from typing import *
    import rpcx

    T = TypeVar("T")
    P = ParamSpec("P")
    Texts = list[str]
    Accounts = list["Account"]
    Handler = Callable[[int], str]
    Nested = dict[str, Handler]
    Word = Literal["Account"]
    Either: TypeAlias = "int | Account"
    Json = Union[dict[str, "Json"], list["Json"], str]
    Tree = Union[dict[str, "Tree"], "Account"]

    @rpcx.remote
    class Account:
        class Entry: ...
        Kind = int
        def f(self): ...

    @rpcx.remote
    class Box(Generic[T]):
        def f(self): ...
"""

# annotation → as a result, as a parameter
CASES = {
    "int": ("int", "int"),
    "None": ("None", "None"),
    "Account": ("AsyncAccount", "Account | AsyncAccount"),
    "'Account | None'": ("AsyncAccount | None", "Account | AsyncAccount | None"),
    "Optional['Account']": ("AsyncAccount | None", "Account | AsyncAccount | None"),
    "Union[int, Account, int]": ("int | AsyncAccount", "int | Account | AsyncAccount"),
    "t.Union[int, str]": ("int | str", "int | str"),
    "list[Account]": ("list[AsyncAccount]", "list[Account] | list[AsyncAccount]"),
    "Sequence[Account]": ("Sequence[AsyncAccount]", "Sequence[Account | AsyncAccount]"),
    "typing.Sequence[Account]": ("typing.Sequence[AsyncAccount]", "typing.Sequence[Account | AsyncAccount]"),
    "dict[str, list[Account] | None]": (
        "dict[str, list[AsyncAccount] | None]",
        "dict[str, list[Account] | None] | dict[str, list[AsyncAccount] | None]",
    ),
    "tuple[Account, ...]": ("tuple[AsyncAccount, ...]", "tuple[Account | AsyncAccount, ...]"),
    "tuple[()]": ("tuple[()]", "tuple[()]"),
    "tuple[int, *tuple[Account, ...]]": (
        "tuple[int, *tuple[AsyncAccount, ...]]",
        "tuple[int, *tuple[Account | AsyncAccount, ...]]",
    ),
    "Annotated[Account, 'Account', Account.Kind]": (
        "Annotated[AsyncAccount, 'Account', Account.Kind]",
        "Annotated[Account, 'Account', Account.Kind] | Annotated[AsyncAccount, 'Account', Account.Kind]",
    ),
    "Literal['Account', 'b']": ("Literal['Account', 'b']", "Literal['Account', 'b']"),
    "Entry": ("Account.Entry", "Account.Entry"),
    "Kind": ("Account.Kind", "Account.Kind"),
    "Texts": ("Texts", "Texts"),
    "Accounts": ("list[AsyncAccount]", "list[Account] | list[AsyncAccount]"),
    "Word": ("Word", "Word"),
    "Json": ("Json", "Json"),
    "Either": ("int | AsyncAccount", "int | Account | AsyncAccount"),
    "Handler": (
        "Callable[[int], Awaitable[str]]",
        "Callable[[int], str] | Callable[[int], Awaitable[str]]",
    ),
    "Nested": (
        "dict[str, Callable[[int], Awaitable[str]]]",
        "dict[str, Callable[[int], str]] | dict[str, Callable[[int], Awaitable[str]]]",
    ),
    "Callable[[Account], Account]": (
        "Callable[[Account | AsyncAccount], Awaitable[AsyncAccount]]",
        (
            "Callable[[AsyncAccount], Account | AsyncAccount] | "
            "Callable[[AsyncAccount], Awaitable[Account | AsyncAccount]]"
        ),
    ),
    "abc.Callable[..., Awaitable[int]]": (
        "abc.Callable[..., Awaitable[int]]",
        "abc.Callable[..., int] | abc.Callable[..., Awaitable[int]]",
    ),
    "Callable[P, Coroutine[Any, Any, int]]": (
        "Callable[P, Awaitable[int]]",
        "Callable[P, int] | Callable[P, Awaitable[int]]",
    ),
    "Callable": ("Callable", "Callable"),
    "Box[Account]": ("AsyncBox[AsyncAccount]", "Box[Account] | AsyncBox[AsyncAccount]"),
    "Box": ("AsyncBox", "Box | AsyncBox"),
    "T": ("T", "T"),
}


@pytest.fixture
def annotations(module):
    return Annotations(Source(module(SOURCE)), "Account", Imports(), lambda cls: f"Async{cls.__name__}")


def parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


@pytest.mark.parametrize("text", CASES)
def test_an_annotation_reads_so_where_it_is_awaited(annotations, text):
    received, sent = CASES[text]
    assert ast.unparse(annotations.received(parsed(text))) == received
    assert ast.unparse(annotations.sent(parsed(text))) == sent


def test_what_has_no_annotation_may_be_anything(annotations):
    assert ast.unparse(annotations.received(None)) == ast.unparse(annotations.sent(None)) == "Any"
    assert ast.unparse(annotations.items(None)) == "Any"


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("Iterator[Account]", "AsyncAccount"),
        ("'Generator[Account | None, None, None]'", "AsyncAccount | None"),
        ("t.AsyncIterator[int]", "int"),
        ("Iterator", "Any"),
        ("list[int]", "Any"),
    ],
)
def test_a_stream_brings_what_it_says(annotations, text, item):
    assert ast.unparse(annotations.items(parsed(text))) == item


def test_a_name_that_nobody_knows_is_told_by_its_place(annotations):
    with pytest.raises(Unwritable, match=r"sample_\d+\.Account: 'Nobody', in an annotation, is not known there"):
        annotations.received(parsed("dict[str, 'Nobody']"))


def test_an_alias_that_holds_itself_and_a_remote_class_is_told(annotations):
    with pytest.raises(Unwritable, match=r"sample_\d+: Tree holds itself and what is to be awaited"):
        annotations.received(parsed("list[Tree]"))


def test_a_default_keeps_its_value_and_its_names(annotations):
    for text in ("-1", "'Account'", "lambda x: (x, Account)", "Account.Kind(5)"):
        assert ast.unparse(annotations.written(parsed(text))) == text
    assert ast.unparse(annotations.written(parsed("Kind"))) == "Account.Kind"


def test_an_alias_of_another_module_is_read_there(module):
    other = module("""
        import rpcx
        from typing import TypeAlias

        @rpcx.remote
        class Listener:
            def f(self): ...

        class Status: ...
        Pairs: TypeAlias = "tuple[Status, Listener]"
    """)
    source = Source(module(f"import {other.__name__} as o\nclass Status: ...\n"))
    annotations = Annotations(source, "", Imports(), lambda cls: f"Async{cls.__name__}")
    assert ast.unparse(annotations.received(parsed("Status"))) == "Status"
    assert ast.unparse(annotations.received(parsed("o.Pairs"))) == "tuple[Status_2, AsyncListener]"
