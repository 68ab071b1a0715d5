"""Python as text."""

import ast
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.stubs.spelling import docstring, expression, parameters, signature


@pytest.mark.parametrize(
    "text",
    [
        'Literal["a", "it\'s", \'say "so"\']',
        'f(b"\\x00", r="\\\\d")',
        "f'{x}'",
        "dict[str, int] | None",
        "lambda x, *y: x",
    ],
)
def test_texts_are_in_double_quotes_where_that_is_plainer(text):
    assert expression(ast.parse(text, mode="eval").body) == text


@given(st.text() | st.binary())
def test_an_expression_keeps_its_value(value):
    assert ast.literal_eval(expression(ast.Constant(value))) == value


@given(st.text(alphabet=st.sampled_from("ab \"'\\\n\t#é{}"), min_size=1))
def test_a_docstring_keeps_its_text(text):
    text = inspect.cleandoc("\n".join(line.rstrip() for line in text.strip().split("\n")))
    node = ast.parse(f"def f():\n{docstring(text, '    ') or '    pass'}").body[0]
    assert isinstance(node, ast.FunctionDef)
    assert (ast.get_docstring(node) or "") == text


def test_a_docstring_of_one_line_has_one_line():
    assert docstring("Text.", "  ") == '  """Text."""\n'
    assert docstring(None, "  ") == ""


@pytest.mark.parametrize(
    "text",
    [
        "self",
        "self, a: int, b: str = 'x', /, c=3, *d: int, e, f: int = 5, **g: str",
        "self, *, a: int, b=2",
        "self, a, /",
        "self, *a, b",
    ],
)
def test_parameters_keep_their_kinds_and_defaults(text):
    node = ast.parse(f"def f({text}): ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    again = ast.parse(f"def f({', '.join(parameters(node.args))}): ...").body[0]
    assert ast.dump(node) == ast.dump(again)


def test_a_signature_that_fits_in_88_columns_has_one_line():
    short = signature("    def f", ["self", "a: int"], "None")
    assert short == "    def f(self, a: int) -> None:"
    fits = signature("    def f", ["self", "a" * 58], "None")
    assert len(fits) == 84  # and " ..."
    assert signature("    def f", ["self", "a" * 59], "None") == (
        f"    def f(\n        self,\n        {'a' * 59},\n    ) -> None:"
    )
