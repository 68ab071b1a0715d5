"""Arguments and results against annotations of every kind."""

import logging
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import rpcx
from rpcx.remoting.contract import _Classes
from rpcx.remoting.validation import resolve
from rpcx.testing import pair

if TYPE_CHECKING:
    from nowhere import Missing

T = TypeVar("T")


class Odd:
    """Pydantic knows nothing of it."""


@rpcx.singleton("checked")
class Checked:
    def many(self, *numbers: int, **texts: str) -> tuple[list[int], dict[str, str]]:
        return list(numbers), texts

    def unknown(self, value: "Missing") -> "Missing":
        return value

    def odd(self, value: Odd | None) -> Odd | None:
        return value

    def generic(self, value: T) -> T:
        return value

    def anything(self, value: Any, other: object) -> list[Any]:
        return [value, other]


@pytest.fixture
def checked() -> Checked:
    with pair(Checked) as both:
        yield both.server.get(Checked)


def test_each_of_many_arguments_is_checked_and_named(checked):
    assert checked.many(1, "2", a="x") == ([1, 2], {"a": "x"})
    with pytest.raises(rpcx.InvalidArguments, match=r"Checked\.many: argument 'numbers': .*\(got 'x'\)"):
        checked.many(1, "x")
    with pytest.raises(rpcx.InvalidArguments, match="argument 'b'"):
        checked.many(a="x", b=5)


def test_an_annotation_that_nobody_knows_is_not_checked_and_said_once_to_be_so(checked, caplog):
    with caplog.at_level(logging.WARNING, "rpcx"):
        assert checked.unknown(5) == checked.unknown(5) == 5
    assert "annotation 'Missing' is not checked: name 'Missing' is not defined" in caplog.text


def test_a_remote_class_may_go_while_annotations_are_read():
    """Those of this process are known weakly, by name."""

    class Going(_Classes):
        def __iter__(self):
            return iter([*super().__iter__(), "gone just now"])

    classes = Going()
    classes.add("Checked", Checked)
    assert resolve("Checked", Checked.anything, classes) is Checked


def test_a_class_that_pydantic_does_not_know_has_to_fit_as_it_is(checked):
    assert checked.odd(None) is None
    with pytest.raises(rpcx.InvalidArguments, match="instance of Odd"):
        checked.odd({"a": 1})


def test_a_type_variable_and_any_take_what_comes(checked):
    assert checked.generic({"a": (1,)}) == {"a": (1,)}
    assert checked.anything({1}, b"x") == [{1}, b"x"]
