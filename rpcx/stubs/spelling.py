"""How Python is spelled: expressions, signatures and docstrings as text, as formatters would have them."""

import ast
import io
import tokenize
from typing import Final

from rpcx.stubs.names import WIDTH

INDENT: Final = "    "


def expression(node: ast.expr) -> str:
    """An expression in one line, its texts in double quotes."""
    text = ast.unparse(node)
    if "'" not in text:
        return text
    pieces, end = [], 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING:
            pieces += [text[end : token.start[1]], _double_quoted(token.string)]
            end = token.end[1]
    return "".join(pieces) + text[end:]


def _double_quoted(token: str) -> str:
    prefix, _, body = token.partition("'")
    if '"' in token or not body or "f" in prefix.lower():
        return token
    return f'{prefix}"{body[:-1]}"'.replace("\\'", "'")


def signature(head: str, parameters: list[str], result: str) -> str:
    """``head(parameters) -> result:`` in one line if it fits, else a line for each parameter."""
    line = f"{head}({', '.join(parameters)}) -> {result}:"
    if len(line) <= WIDTH - len(" ...") or not parameters:
        return line
    indent = head[: len(head) - len(head.lstrip())]
    return f"{head}(\n" + "".join(f"{indent}{INDENT}{each},\n" for each in parameters) + f"{indent}) -> {result}:"


def parameters(arguments: ast.arguments) -> list[str]:
    """The parameters of a function, each as text, with the marks between them."""
    positional = [*arguments.posonlyargs, *arguments.args]
    lacking = len(positional) - len(arguments.defaults)
    defaults: list[ast.expr | None] = [*[None] * lacking, *arguments.defaults]
    parts = [_parameter(each, default) for each, default in zip(positional, defaults, strict=True)]
    if arguments.posonlyargs:
        parts.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg is not None:
        parts.append(f"*{_parameter(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += [_parameter(*pair) for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg is not None:
        parts.append(f"**{_parameter(arguments.kwarg, None)}")
    return parts


def _parameter(node: ast.arg, default: ast.expr | None) -> str:
    text = node.arg if node.annotation is None else f"{node.arg}: {expression(node.annotation)}"
    if default is None:
        return text
    return f"{text}{' = ' if node.annotation is not None else '='}{expression(default)}"


def docstring(text: str | None, indent: str) -> str:
    """``text`` as a docstring with its line end; empty for none."""
    if not text:
        return ""
    plain = '"""' not in text and not text.endswith(("\\", '"'))
    prefix = "r" if plain and "\\" in text else ""
    if not prefix:
        text = text.replace("\\", "\\\\")
        text = f'{text[:-1]}\\"' if text.endswith('"') else text
        text = text.replace('"""', '\\"\\"\\"')
    first, *others = text.split("\n")
    if not others:
        return f'{indent}{prefix}"""{first}"""\n'
    lines = [f"{indent}{line}".rstrip() for line in others]
    return "\n".join([f'{indent}{prefix}"""{first}', *lines, f'{indent}"""\n'])
