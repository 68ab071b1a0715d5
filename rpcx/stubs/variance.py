"""How a generic contract uses its type variables, which a Protocol has to say of its own.

A variable that is only received may be covariant, one that is only sent contravariant; checkers insist on it.
"""

import ast
import collections.abc
import types
import typing
from enum import IntEnum

from rpcx.stubs.annotations import COVARIANT, Annotations, elements, unquoted


class Sign(IntEnum):
    """Where a type variable stands; their negation turns the way round."""

    SENT, BOTH, RECEIVED = -1, 0, 1


class Variance:
    """Collects where the variables ``names`` are used."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._seen: dict[str, set[Sign]] = {name: set() for name in names}

    def use(self, node: ast.expr | None, sign: Sign, annotations: Annotations) -> None:
        """An annotation of a result (received) or of a parameter (sent)."""
        if node is not None and self._seen:
            self._walk(unquoted(node), sign, annotations)

    def of(self, name: str) -> str:
        """The word for it: "covariant", "contravariant"; empty: invariant."""
        seen = self._seen[name]
        if seen <= {Sign.RECEIVED}:
            return "covariant"
        return "contravariant" if seen == {Sign.SENT} else ""

    def _walk(self, node: ast.expr, sign: Sign, annotations: Annotations) -> None:
        node = unquoted(node)
        if isinstance(node, ast.Name) and node.id in self._seen:
            self._seen[node.id].add(sign)
        elif isinstance(node, ast.BinOp):
            self._walk(node.left, sign, annotations)
            self._walk(node.right, sign, annotations)
        elif isinstance(node, ast.List | ast.Tuple):
            for each in node.elts:
                self._walk(each, sign, annotations)
        elif isinstance(node, ast.Subscript):
            for part, own in self._parts(node, sign, annotations):
                self._walk(part, own, annotations)

    def _parts(self, node: ast.Subscript, sign: Sign, annotations: Annotations) -> list[tuple[ast.expr, Sign]]:
        origin, parts = annotations.origin(node.value), elements(node)
        if origin is typing.Literal:
            return []
        if origin is typing.Annotated:
            return [(parts[0], sign)]
        if origin is collections.abc.Callable:
            return [(parts[0], Sign(-sign)), (parts[-1], sign)]
        same = origin in COVARIANT or origin in (typing.Union, typing.Optional, types.UnionType)
        return [(part, sign if same else Sign.BOTH) for part in parts]
