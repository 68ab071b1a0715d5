"""Whole stubs."""

from pathlib import Path

import pytest

from rpcx.stubs.names import Unwritable
from rpcx.stubs.writing import Stubs, same
from tests.stubs import bank

HERE = Path(__file__).parent
CLASSES = [
    bank.Account, bank.Savings, bank.Bank, bank.Source, bank.Drain, bank.Box, bank.IntBox, bank.Counter,
    bank.Timer, bank.Patched,
]  # fmt: skip


def test_the_stubs_of_a_contract_with_everything_are_what_is_checked_by_mypy_and_pyright():
    made = Stubs(CLASSES, "rpcx stubs tests.stubs.bank").source()
    assert made == (HERE / "bank_async.py").read_text()


def test_the_same_classes_give_the_same_text():
    assert Stubs(CLASSES, "x").source() == Stubs(CLASSES, "x").source()


def body(*classes: type) -> str:
    """What is written of classes, without the head of the file."""
    return "@rpcx.aio" + Stubs(classes, "x").source().partition("\n\n\n@rpcx.aio")[2]


def test_bases_come_before_what_inherits_them_and_what_is_mentioned_comes_last(module):
    made = module("""
        import rpcx
        @rpcx.remote
        class Below:
            def f(self) -> "Other": ...
        @rpcx.remote
        class Other:
            def f(self): ...
        class Between(Below):
            def not_remote(self): ...
        @rpcx.remote
        class Above(Between):
            def g(self) -> None: ...
    """)
    assert body(made.Above) == (
        "@rpcx.aio.stub_of(Below)\nclass AsyncBelow(rpcx.aio.Stub, Protocol):\n"
        "    async def f(self) -> AsyncOther: ...\n\n\n"
        "@rpcx.aio.stub_of(Above)\nclass AsyncAbove(AsyncBelow, Protocol):\n"
        "    async def g(self) -> None: ...\n\n\n"
        "@rpcx.aio.stub_of(Other)\nclass AsyncOther(rpcx.aio.Stub, Protocol):\n"
        "    async def f(self) -> Any: ...\n"
    )


def test_a_class_that_takes_something_back_inherits_no_stub(module):
    made = module("""
        import rpcx
        @rpcx.remote
        class Wide:
            def f(self) -> int: ...
            def g(self) -> int: ...
        class Narrow(Wide):
            def f(self) -> int: ...
        @rpcx.remote
        class Narrower(Narrow):
            def h(self) -> int: ...
    """)
    assert body(made.Narrower).splitlines()[1:] == [
        "class AsyncNarrower(rpcx.aio.Stub, Protocol):",
        "    async def g(self) -> int: ...",
        "",
        "    async def h(self) -> int: ...",
    ]


def test_a_class_with_nothing_of_its_own_has_an_empty_stub(module):
    made = module("""
        import rpcx
        class Outer:
            @rpcx.remote
            class Empty: ...
    """)
    assert body(made.Outer.Empty).splitlines() == [
        "@rpcx.aio.stub_of(Outer.Empty)",
        "class AsyncEmpty(rpcx.aio.Stub, Protocol):",
        "    ...",
    ]


def test_a_property_that_can_only_be_set_is_no_property_to_read(module):
    made = module("""
        import rpcx
        @rpcx.remote
        class Lamp:
            def _set(self, on: bool) -> None: ...
            lit = property(None, _set)
    """)
    with pytest.raises(Unwritable, match=r"Lamp\.lit can be set and not read; no stub can say so"):
        body(made.Lamp)


def test_a_type_variable_keeps_its_bound_where_it_gets_a_variance(module):
    made = module("""
        import rpcx
        from typing import Generic, TypeVar
        T = TypeVar("T", bound="int | str", covariant=False)
        @rpcx.remote
        class Source(Generic[T]):
            def get(self) -> T: ...
        @rpcx.remote
        class Drain(Generic[T]):
            @property
            def size(self) -> int: ...
            @size.setter
            def size(self, of: T) -> None: ...
    """)
    source = Stubs([made.Source, made.Drain], "x").source()
    assert '\nT_co = TypeVar("T_co", bound="int | str", covariant=True)\n' in source
    assert '\nT_contra = TypeVar("T_contra", bound="int | str", covariant=False, contravariant=True)\n' in source
    assert "def get(self) -> T_co: ..." in source
    assert "def size(self, of: T_contra) -> None: ..." in source
    assert "import T\n" not in source


def test_a_type_variable_has_to_be_made_as_checkers_want_it(module):
    made = module("""
        import rpcx
        from typing import Generic, TypeVar
        T = [TypeVar("T")][0]
        @rpcx.remote
        class Source(Generic[T]):
            def get(self) -> T: ...
    """)
    with pytest.raises(Unwritable, match=r"Source: T is not made by TypeVar\(\.\.\.\)"):
        body(made.Source)


def test_a_class_in_a_function_has_no_stub():
    import rpcx

    @rpcx.remote
    class Local:
        def f(self) -> None: ...

    with pytest.raises(Unwritable, match=r"Local: it has no source of its own; define it in a module"):
        body(Local)


def test_what_is_not_remote_has_no_stub():
    with pytest.raises(Unwritable, match="Status is no remote class"):
        body(bank.Status)


def test_a_function_of_nowhere_has_no_stub(module):
    made = module("""
        import rpcx
        def make():
            def inner(self) -> None: ...
            return inner
        @rpcx.remote
        class Made:
            f = make()
    """)
    with pytest.raises(Unwritable, match=r"Made\.f: its source is not to be found"):
        body(made.Made)


# --- is a file current? -------------------------------------------------------------------------------------


def test_a_formatter_may_pass_over_a_file():
    made = (HERE / "bank_async.py").read_text()
    assert same(made, made)
    assert same(made, made.replace('"""', "'''").replace("    Box,\n    Color,\n", "    Color, Box,\n"))
    assert same(made, "import rpcx.aio\n" + made.replace("import rpcx.aio\n", ""))


@pytest.mark.parametrize(
    ("old", "new"),
    [("-> int", "-> str"), ("Open it.", "Opened."), ("    Account,\n", ""), ("async def", "def"), ("import", "imp")],
)
def test_whatever_means_something_else_is_not_current(old, new):
    made = (HERE / "bank_async.py").read_text()
    assert old in made
    assert not same(made, made.replace(old, new, 1))
