"""Where the names in a module come from, as its source says, and what they are called where they are used again.

A stub repeats annotations as they were written, so it imports each name from where the contract's module has it from.
Only the source knows that: ``Iterator`` itself does not know that it came from ``collections.abc``, and what is
imported under ``if TYPE_CHECKING`` is not there at run time at all.
"""

import ast
import builtins
import functools
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

UNKNOWN: Final = object()  # what a name stands for that has no value at run time

Definition = ast.FunctionDef | ast.AsyncFunctionDef


class Unwritable(ValueError):
    """No stub can be written; the message says for what and why."""


class Origin(NamedTuple):
    """What an import statement says about a name."""

    module: str
    name: str = ""  # in that module; empty: it is the module itself
    guarded: bool = False  # it is imported while types are checked, and only then


class Source:
    """A module, its syntax tree, and where its names come from."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        try:
            self.tree = ast.parse(inspect.getsource(module))
        except (OSError, TypeError):
            raise Unwritable(f"{module.__name__}: its source is needed, and cannot be read") from None
        self._origins: dict[str, list[Origin]] = {}  # several for `import a.b` and `import a.c`: both bind a
        self.assigned: dict[str, ast.expr] = {}  # what names are set to in the module: it may be an alias of a type
        for statement, guarded in _statements(self.tree.body, guarded=False):
            self._note(statement, guarded=guarded)

    def _note(self, statement: ast.stmt, *, guarded: bool) -> None:
        for name, origin in self._bound(statement, guarded=guarded):
            known = self._origins.setdefault(name, [])
            if not known or (origin.name == known[0].name == "" and origin not in known):
                known.append(origin)  # the first counts: what follows it is what to do without

    def _bound(self, statement: ast.stmt, *, guarded: bool) -> Iterator[tuple[str, Origin]]:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield alias.asname or alias.name.partition(".")[0], Origin(alias.name, "", guarded)
        elif isinstance(statement, ast.ImportFrom):
            place = self._absolute(statement)
            for alias in statement.names:
                yield alias.asname or alias.name, Origin(place, alias.name, guarded)
        elif isinstance(statement, ast.ClassDef | Definition):
            yield statement.name, Origin(self.module.__name__, statement.name, guarded)
        else:
            for name, value in _assignments(statement):
                self.assigned.setdefault(name, value)
                yield name, Origin(self.module.__name__, name, guarded)

    def _absolute(self, statement: ast.ImportFrom) -> str:
        if not statement.level:
            return statement.module or ""
        spec = self.module.__spec__
        package = (spec.parent if spec is not None else None) or ""
        return importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)

    def origins(self, name: str) -> list[Origin]:
        """Where ``name`` comes from; empty: it is a builtin.

        Raises:
            KeyError: the module has no such name.
        """
        if name in self._origins:
            return self._origins[name]
        if name in vars(self.module):
            return [Origin(self.module.__name__, name)]  # by `from x import *`, or by code
        if hasattr(builtins, name):
            return []
        raise KeyError(name)

    def value(self, node: ast.expr) -> object:
        """What a name, or a dotted one, stands for at run time; `UNKNOWN` if nothing, or ``node`` is something else."""
        if isinstance(node, ast.Attribute):
            owner = self.value(node.value)
            return UNKNOWN if owner is UNKNOWN else getattr(owner, node.attr, UNKNOWN)
        if not isinstance(node, ast.Name):
            return UNKNOWN
        found = vars(self.module).get(node.id, UNKNOWN)
        if found is not UNKNOWN:
            return found
        try:
            origins = self.origins(node.id)
        except KeyError:
            return UNKNOWN
        return _imported(origins[0]) if origins else getattr(builtins, node.id)

    def alias(self, name: str) -> "tuple[Source, ast.expr]":
        """What ``name`` is set to, and the module that does so, whichever modules it passed since."""
        source = self
        while name not in source.assigned:
            origin = next((each for each in source._origins.get(name, ()) if each.name), None)
            if origin is None or origin.module == source.module.__name__:
                raise Unwritable(f"{self.module.__name__}: what {name!r} stands for is not to be seen in its source")
            source, name = source_of(origin.module), origin.name
        return source, source.assigned[name]

    def function(self, function: types.FunctionType, path: str) -> list[Definition]:
        """The definition of ``function`` in the class at ``path``, and then its overloads; empty: it has none."""
        line, name = function.__code__.co_firstlineno, function.__name__
        same = [
            node
            for node, _ in _statements(self.class_at(path).body if path else self.tree.body, guarded=False)
            if isinstance(node, Definition) and node.name == name
        ]
        own = [node for node in same if line in (node.lineno, *(each.lineno for each in node.decorator_list))]
        overloads = [node for node in same if any(last(each) == "overload" for each in node.decorator_list)]
        return own[:1] + overloads if own else []

    def class_at(self, path: str) -> ast.ClassDef:
        """The definition of a class, by its qualified name."""
        body: list[ast.stmt] = self.tree.body
        found: ast.ClassDef | None = None
        for name in path.split("."):
            classes = (node for node, _ in _statements(body, guarded=False) if isinstance(node, ast.ClassDef))
            found = next((each for each in classes if each.name == name), None)
            if found is None:
                raise Unwritable(f"{self.module.__name__}.{path}: it has no source of its own; define it in a module")
            body = found.body
        assert found is not None  # a path has a name
        return found


def source_of(module: str) -> Source:
    """The source of a module that is, or can be, imported."""
    return _read(importlib.import_module(module))


@functools.cache
def _read(module: types.ModuleType) -> Source:
    return Source(module)


def class_names(definition: ast.ClassDef) -> set[str]:
    """What the body of a class sets or defines, but functions: it is known in annotations and defaults there."""
    names: set[str] = set()
    for node, _ in _statements(definition.body, guarded=False):
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        names.update(name for name, _ in _assignments(node))
    return names


class Imports:
    """The imports of the file that is written, and what each name is called in it."""

    def __init__(self) -> None:
        self._names: dict[str, Origin] = {}  # by what it is called here; what is defined here has no module
        self._used: set[str] = set()  # the others are only not to be taken by anything else
        self._plain: set[Origin] = set()  # of `import a.b`

    def reserve(self, origin: Origin) -> None:
        """Keep its name for it, in case that it is needed."""
        self._names[origin.name] = origin

    def define(self, wanted: str) -> str:
        """A name for what the file itself defines: ``wanted``, or like it where that is taken."""
        return self.name(Origin("", wanted), wanted)

    def name(self, origin: Origin, wanted: str) -> str:
        """What ``origin`` is called here: ``wanted``, or like it where that is taken."""
        number, name = 1, wanted
        while name in self._names and self._names[name][:2] != origin[:2]:
            number += 1
            name = f"{wanted}_{number}"
        known = self._names.get(name)
        unguarded = name in self._used and known is not None and not known.guarded
        self._names[name] = origin._replace(guarded=origin.guarded and not unguarded)
        self._used.add(name)
        return name

    def module(self, origin: Origin) -> None:
        """``import a.b``, which binds ``a``."""
        top = origin.module.partition(".")[0]
        if self._names.setdefault(top, Origin(top)).module != top:
            raise Unwritable(f"{top!r} means two things: the module, and {self._names[top].name!r}; rename that")
        self._plain.add(origin)

    def statements(self) -> tuple[list[str], list[str]]:
        """Import statements, sorted as is customary: those that are always there, and those under TYPE_CHECKING."""
        named = [(name, self._names[name]) for name in self._used if self._names[name].module]
        found: dict[bool, dict[str, list[str]]] = {False: {}, True: {}}  # guarded → module → names
        modules: dict[bool, set[str]] = {False: set(), True: set()}
        for name, origin in named:
            if origin.name:
                spelled = origin.name if origin.name == name else f"{origin.name} as {name}"
                found[origin.guarded].setdefault(origin.module, []).append(spelled)
            else:
                modules[origin.guarded].add(f"import {origin.module} as {name}")
        always = {origin.module for origin in self._plain if not origin.guarded}
        modules[False] |= {f"import {module}" for module in always}
        modules[True] |= {f"import {origin.module}" for origin in self._plain if origin.module not in always}
        return tuple(_sections(modules[guarded], found[guarded]) for guarded in (False, True))  # type: ignore[return-value]  # of two


def _sections(modules: set[str], found: dict[str, list[str]]) -> list[str]:
    """One text for each of: the standard library's, others', and the program's own."""
    statements: dict[int, list[str]] = {}
    for statement in sorted(modules, key=str.lower):
        statements.setdefault(_section(statement.split()[1]), []).append(statement)
    for module in sorted(found, key=str.lower):
        names = sorted(set(found[module]), key=_order)
        renamed = [name for name in names if " as " in name]  # each has a line of its own
        together = [name for name in names if name not in renamed]
        lines = statements.setdefault(_section(module), [])
        lines += [_from(module, each) for each in (together, *([name] for name in renamed)) if each]
    return ["\n".join(statements[section]) for section in sorted(statements)]


def _from(module: str, names: list[str]) -> str:
    statement = f"from {module} import {', '.join(names)}"
    if len(statement) <= WIDTH:
        return statement
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


WIDTH: Final = 88  # columns: what fits here fits everywhere, and what is split stays so


def _section(module: str) -> int:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return 1
    known = sys.modules.get(top)
    place = next(iter(getattr(known, "__path__", ())), None) or getattr(known, "__file__", None) or ""
    return 3 if place and "site-packages" not in place else 2


def _order(name: str) -> tuple[int, str]:
    """CONSTANTS before Classes before functions."""
    first = name.split(maxsplit=1)[0]
    return (0 if first.isupper() and len(first) > 1 else 1 if first[:1].isupper() else 2), first


def _statements(body: Iterable[ast.stmt], *, guarded: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """Statements of a block and of blocks in it, and whether they are for type checkers only."""
    for statement in body:
        yield statement, guarded
        if isinstance(statement, ast.If):
            yield from _statements(statement.body, guarded=guarded or last(statement.test) == "TYPE_CHECKING")
            yield from _statements(statement.orelse, guarded=guarded)
        elif isinstance(statement, ast.Try | ast.With):
            yield from _statements(statement.body, guarded=guarded)
            for handler in getattr(statement, "handlers", ()):
                yield from _statements(handler.body, guarded=guarded)
            yield from _statements(getattr(statement, "orelse", ()), guarded=guarded)


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """What a statement sets: (name, what to)."""
    targets: list[ast.expr] = []
    value: ast.expr | None = None
    if isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    elif isinstance(statement, ast.AnnAssign):
        targets, value = [statement.target], statement.value
    for target in targets:
        if isinstance(target, ast.Name) and value is not None:
            yield target.id, value


def last(node: ast.expr) -> str:
    """The last part of a name; empty: it is none."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _imported(origin: Origin) -> object:
    """What an import that type checkers see would bring."""
    try:
        module = importlib.import_module(origin.module)
        return getattr(module, origin.name, UNKNOWN) if origin.name else module
    except ImportError:
        return UNKNOWN
