"""What a Protocol has to say of its type variables."""

import ast

import pytest

from rpcx.stubs.annotations import Annotations
from rpcx.stubs.names import Imports, Source
from rpcx.stubs.variance import Sign, Variance

CASES = {
    # result, parameter: the word
    ("T", None): "covariant",
    (None, "T"): "contravariant",
    ("T", "T"): "",
    (None, None): "covariant",  # it is not used: then either will do
    ("'Sequence[T] | None'", None): "covariant",
    ("Optional[tuple[int, T]]", None): "covariant",
    ("Annotated[T, 'list[T]']", None): "covariant",
    ("Literal['T']", "T"): "contravariant",
    ("list[T]", None): "",
    (None, "dict[str, T]"): "",
    ("Callable[[int, T], None]", None): "contravariant",
    (None, "Callable[[T], None]"): "covariant",
    ("Callable[..., T]", None): "covariant",
    (None, "Union[T, Sequence[T]]"): "contravariant",
}


@pytest.mark.parametrize("pair", CASES, ids=str)
def test_where_a_variable_stands_says_how_it_varies(module, pair):
    source = Source(module("from typing import *\nT = TypeVar('T')\n"))
    annotations = Annotations(source, "", Imports(), lambda cls: "")
    variance = Variance(("T",))
    for text, sign in zip(pair, (Sign.RECEIVED, Sign.SENT), strict=True):
        variance.use(ast.parse(text, mode="eval").body if text else None, sign, annotations)
    assert variance.of("T") == CASES[pair]
