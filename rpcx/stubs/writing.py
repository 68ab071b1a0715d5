"""Writes the file: a stub for each class that is wanted, and for those that these mention; bases first.

The same classes always give the same text, and a formatter that passes over it leaves it as it means.
"""

import ast
from collections.abc import Sequence
from typing import Final

from rpcx.remoting.contract import contract_of
from rpcx.stubs.classes import ClassStub
from rpcx.stubs.names import Imports, Origin, Unwritable

HEADER: Final = '''"""Remote classes of {module} as async code sees them, made by `{command}`.

Do not edit: what is changed here is lost when it is made anew.
"""

from __future__ import annotations
'''


class Stubs:
    """The stubs of ``classes``.

    Args:
        classes: remote ones of one module.
        command: how this file is made anew, for its reader.
    """

    def __init__(self, classes: Sequence[type], command: str) -> None:
        self._header = HEADER.format(module=classes[0].__module__, command=command)
        self._imports = Imports()
        self._names: dict[type, str] = {}  # what the stub of each class is called
        self._written: dict[type, str] = {}  # in this order
        self._variables: dict[str, str] = {}  # statements that make type variables, by their names
        self._imports.module(Origin("rpcx.aio"))
        for name in ("Protocol", "TypeVar", "TYPE_CHECKING"):
            self._imports.reserve(Origin("typing", name))
        for cls in classes:
            self.name(cls)

    def source(self) -> str:
        """All of the file.

        Raises:
            Unwritable: a class has no source, or says what no stub can.
        """
        while waiting := [cls for cls in self._names if cls not in self._written]:
            self._write(waiting[0])
        always, guarded = self._imports.statements()
        if guarded:
            self._imports.name(Origin("typing", "TYPE_CHECKING"), "TYPE_CHECKING")
            always, guarded = self._imports.statements()
        parts = [self._header, *always]
        if guarded:
            parts.append("if TYPE_CHECKING:\n" + _indented("\n\n".join(guarded)))
        if self._variables:
            parts.append("\n".join(self._variables.values()))
        classes = "\n\n\n".join(self._written.values())
        return "\n\n".join(part.strip("\n") for part in parts) + f"\n\n\n{classes}\n"

    def name(self, cls: type) -> str:
        """What the stub of ``cls`` is called; from then on it is one of those to be written."""
        if cls not in self._names:
            self._names[cls] = self._imports.define(f"Async{cls.__name__}")
        return self._names[cls]

    def _write(self, cls: type) -> None:
        contract = contract_of(cls)
        if contract is None:
            raise Unwritable(f"{cls.__module__}.{cls.__qualname__} is no remote class")
        stub = ClassStub(cls, contract, self._imports, self.name)
        for base in stub.bases:
            self.name(base)
            if base not in self._written:
                self._write(base)
        self._written[cls] = stub.text()
        self._variables |= stub.variables


def same(made: str, found: str) -> bool:
    """Whether two files say the same; a formatter, or a sorter of imports, may have been over one."""
    return _meaning(made) == _meaning(found)


def _meaning(text: str) -> tuple[list[str], list[str]]:
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return [text], []
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [f"{getattr(node, 'module', '')} {ast.dump(alias)}" for node in imports for alias in node.names]
    return sorted(names), [ast.dump(node) for node in body if node not in imports]


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.split("\n"))
