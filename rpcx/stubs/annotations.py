"""Annotations of a contract, as they read where its methods are awaited.

What comes from the other side is **received**, what goes there is **sent**; within a function that is passed, the
other way round.

- A remote object is received as its stub, ``AsyncAccount``. Sent it may be that, or an object of this process.
- A function that is received is awaited. One that is sent may be a coroutine function or not: the host does not know.
- Everything else is as it was written, aliases by their names; but one that hides a remote class is looked into.
"""

import ast
import collections.abc
import enum
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final

from rpcx.remoting.contract import contract_of
from rpcx.stubs.names import Imports, Origin, Source, Unwritable, class_names, last, source_of

abc = collections.abc

#: What may hold a mixture of a class's objects and their stubs, since it is only read.
COVARIANT: Final = frozenset({
    abc.AsyncIterable, abc.AsyncIterator, abc.Awaitable, abc.Collection, abc.Iterable, abc.Iterator, abc.Reversible,
    abc.Sequence, abc.Set, frozenset, tuple, type,
})  # fmt: skip
AWAITED: Final = frozenset({abc.Awaitable, abc.Coroutine})
STREAMS: Final = frozenset({
    abc.AsyncGenerator, abc.AsyncIterable, abc.AsyncIterator, abc.Generator, abc.Iterable, abc.Iterator
})  # fmt: skip


class Way(enum.Enum):
    """Which way a value goes, seen from who awaits; as written: it is not looked at."""

    RECEIVED, SENT, WRITTEN = range(3)


class Annotations:
    """Rewrites the annotations in one class.

    Args:
        source: of the module that the class is in.
        path: its qualified name there.
        imports: of the file that is written.
        stub: what the stub of a remote class is called there.
        renamed: names that are other ones there: type variables.
    """

    def __init__(
        self,
        source: Source,
        path: str,
        imports: Imports,
        stub: Callable[[type], str],
        renamed: dict[str, str] | None = None,
    ) -> None:
        self.source = source
        self._path = path
        self._imports = imports
        self._stub = stub
        self._renamed = renamed if renamed is not None else {}
        self._entered: frozenset[tuple[Source, ast.expr]] = frozenset()  # aliases that this is inside of
        self._inner = class_names(source.class_at(path)) if path else set()

    # --- what is asked for -------------------------------------------------------------------------------------

    def received(self, node: ast.expr | None) -> ast.expr:
        """The annotation of a result; Any for none."""
        return _union(self._variants(node, Way.RECEIVED)) if node is not None else self._from("typing", "Any")

    def sent(self, node: ast.expr | None) -> ast.expr:
        """The annotation of a parameter; Any for none."""
        return _union(self._variants(node, Way.SENT)) if node is not None else self._from("typing", "Any")

    def items(self, node: ast.expr | None) -> ast.expr:
        """What a stream of the annotation ``node`` brings."""
        if node is None:
            return self._from("typing", "Any")
        node = unquoted(node)
        value = self.value(node)
        if typing.get_origin(value) in STREAMS and typing.get_args(value):  # an alias
            source, alias = self._alias(node)
            return self._within(source).items(alias)
        if isinstance(node, ast.Subscript) and self.origin(node.value) in STREAMS:
            return self.received(elements(node)[0])
        return self._from("typing", "Any")

    def written(self, node: ast.expr) -> ast.expr:
        """An expression that is no annotation, such as a default: only its names are looked at."""
        return _Names(self._called).visit(ast.parse(ast.unparse(node), mode="eval").body)  # type: ignore[no-any-return]  # an expression

    def value(self, node: ast.expr) -> object:
        """What a name stands for, in the class or in its module."""
        if isinstance(node, ast.Name) and node.id in self._inner:
            node = chain(self._path.partition(".")[0], [*self._path.split(".")[1:], node.id])
        return self.source.value(node)

    # --- one annotation ----------------------------------------------------------------------------------------

    def _variants(self, node: ast.expr, way: Way) -> list[ast.expr]:
        """The members of the union that ``node`` becomes."""
        node = unquoted(node)
        if isinstance(node, ast.Name | ast.Attribute):
            return self._named(node, way)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return [*self._variants(node.left, way), *self._variants(node.right, way)]
        if isinstance(node, ast.Subscript):
            return self._subscripted(node, way)
        if isinstance(node, ast.List):  # the parameters of a ParamSpec
            return [ast.List([_union(self._variants(each, way)) for each in node.elts])]
        if isinstance(node, ast.Starred):
            return [ast.Starred(_union(self._variants(node.value, way)))]
        return [self.written(node)]

    def _named(self, node: ast.Name | ast.Attribute, way: Way) -> list[ast.expr]:
        inside = self._inside(node)
        if inside is not None:
            return inside[0]._variants(inside[1], way)
        value = self.value(node)
        if contract_of(value) is None:
            return [self._known_as(node)]
        stub = ast.Name(self._stub(typing.cast(type, value)))
        if way is Way.RECEIVED:
            return [stub]
        return [self.written(node), stub] if way is Way.SENT else [self.written(node)]

    def _known_as(self, node: ast.Name | ast.Attribute) -> ast.expr:
        if isinstance(node, ast.Name):
            try:
                return self._called(node.id) or node
            except KeyError:
                place = f"{self.source.module.__name__}{'.' * bool(self._path)}{self._path}"
                raise Unwritable(f"{place}: {node.id!r}, in an annotation, is not known there") from None
        return self.written(node)

    def _subscripted(self, node: ast.Subscript, way: Way) -> list[ast.expr]:
        origin, parts = self.origin(node.value), elements(node)
        if origin is typing.Literal:
            return [self.written(node)]
        if origin is typing.Annotated:
            metadata = [self.written(each) for each in parts[1:]]
            return [self._of(node.value, [each, *metadata]) for each in self._variants(parts[0], way)]
        if origin in (typing.Union, typing.Optional, types.UnionType):
            members = [member for part in parts for member in self._variants(part, way)]
            return [*members, ast.Constant(None)] if origin is typing.Optional else members
        if origin is abc.Callable and len(parts) == 2 and way is not Way.WRITTEN:
            return self._function(node.value, parts[0], parts[1], way)
        if way is Way.SENT and origin not in COVARIANT:
            return [*self._variants(node, Way.WRITTEN), *self._variants(node, Way.RECEIVED)]
        (head,) = self._variants(node.value, way)
        return [_subscript(head, [_union(self._variants(part, way)) for part in parts])]

    def _function(self, base: ast.expr, takes: ast.expr, gives: ast.expr, way: Way) -> list[ast.expr]:
        """A function that is passed: what it takes goes the other way."""
        other = Way.RECEIVED if way is Way.SENT else Way.SENT
        if isinstance(takes, ast.List):
            takes = ast.List([_union(self._variants(each, other)) for each in takes.elts])
        else:
            takes = self.written(takes)
        plain = unquoted(gives)
        if isinstance(plain, ast.Subscript) and self.origin(plain.value) in AWAITED:
            plain = elements(plain)[-1]
        result = _union(self._variants(plain, way))
        awaited = ast.Subscript(self._from("collections.abc", "Awaitable"), result)
        results = [result, awaited] if way is Way.SENT else [awaited]
        return [self._of(base, [takes, each]) for each in results]

    def _of(self, base: ast.expr, parts: list[ast.expr]) -> ast.expr:
        return _subscript(self.written(base), parts)

    # --- names -------------------------------------------------------------------------------------------------

    def origin(self, node: ast.expr) -> object:
        """The class behind ``typing.Sequence``, ``Sequence`` and their like."""
        value = self.value(node)
        return getattr(value, "__origin__", None) or value

    def _inside(self, node: ast.expr) -> "tuple[Annotations, ast.expr] | None":
        """What an alias stands for, and where that was written, if there is something in it to rewrite."""
        value = self.value(node)
        if isinstance(value, type) or not _is_looked_into(value):
            return None
        source, alias = self._alias(node)
        within = self._within(source)
        if not within._rewrites(alias, frozenset()):
            return None
        if (source, alias) in self._entered:
            raise Unwritable(f"{source.module.__name__}: {last(node)} holds itself and what is to be awaited")
        within._entered = self._entered | {(source, alias)}
        return within, alias

    def _rewrites(self, node: ast.expr, seen: frozenset[ast.expr]) -> bool:
        """Whether anything in an annotation reads otherwise in a stub; ``seen``: aliases that were looked into."""
        node = unquoted(node)
        if isinstance(node, ast.Name | ast.Attribute):
            value = self.value(node)
            if contract_of(value) is not None or isinstance(value, type) or not _is_looked_into(value):
                return contract_of(value) is not None
            source, alias = self._alias(node)
            return alias not in seen and self._within(source)._rewrites(alias, seen | {alias})
        parts: list[Any] = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Subscript):
            origin, parts = self.origin(node.value), [node.value, *elements(node)]
            if origin is abc.Callable or origin is typing.Literal:
                return origin is abc.Callable
            parts = parts[:2] if origin is typing.Annotated else parts
        return any(self._rewrites(part, seen) for part in parts if isinstance(part, ast.expr))

    def _alias(self, node: ast.expr) -> tuple[Source, ast.expr]:
        """What an alias is set to, and where."""
        owner = self.value(node.value) if isinstance(node, ast.Attribute) else None
        return (source_of(owner.__name__) if isinstance(owner, types.ModuleType) else self.source).alias(last(node))

    def _within(self, source: Source) -> "Annotations":
        """The same for what is written in a module."""
        return Annotations(source, "", self._imports, self._stub)

    def _called(self, name: str) -> ast.expr | None:
        """What ``name`` is to be called; None: it needs no import.

        Raises:
            KeyError: nobody here knows it.
        """
        if name in self._renamed:
            return ast.Name(self._renamed[name])
        if name in self._inner:
            top, *rest = [*self._path.split("."), name]
            return chain(self._imports.name(Origin(self.source.module.__name__, top), top), rest)
        for origin in self.source.origins(name):
            if origin.name or origin.module.partition(".")[0] != name:
                return ast.Name(self._imports.name(origin, name))
            self._imports.module(origin)
        return None

    def _from(self, module: str, name: str) -> ast.expr:
        return ast.Name(self._imports.name(Origin(module, name), name))


class _Names(ast.NodeTransformer):
    """Calls each name in an expression what it is called in another file."""

    def __init__(self, called: Callable[[str], ast.expr | None]) -> None:
        self._called = called

    def visit_Name(self, node: ast.Name) -> ast.expr:  # ast's spelling
        try:
            return self._called(node.id) or node
        except KeyError:
            return node  # a parameter of a lambda


def _is_looked_into(value: object) -> bool:
    """Whether a remote class or a function may be part of a type; what is quoted there may be either."""
    if contract_of(value) is not None or isinstance(value, str | typing.ForwardRef):
        return True
    if typing.get_origin(value) is typing.Literal:
        return False
    parts = typing.get_args(value)
    return bool(parts) and (typing.get_origin(value) is abc.Callable or any(map(_is_looked_into, parts)))


def unquoted(node: ast.expr) -> ast.expr:
    """An annotation without the quotes around it."""
    while isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value.strip(), mode="eval").body
    return node


def elements(node: ast.Subscript) -> list[ast.expr]:
    """What is between the brackets."""
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def chain(name: str, attributes: Sequence[str]) -> ast.expr:
    """``name.attribute.attribute``."""
    node: ast.expr = ast.Name(name)
    for attribute in attributes:
        node = ast.Attribute(node, attribute)
    return node


def _subscript(head: ast.expr, parts: list[ast.expr]) -> ast.expr:
    return ast.Subscript(head, parts[0] if len(parts) == 1 else ast.Tuple(parts))


def _union(members: list[ast.expr]) -> ast.expr:
    first, *others = {ast.dump(member): member for member in members}.values()
    for member in others:
        first = ast.BinOp(first, ast.BitOr(), member)
    return first
