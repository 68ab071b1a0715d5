"""What classes declare for their members, here and in .NET's own library, for a formatter that leaves types to that.

SOAP writes ``<Age>41</Age>`` and expects the receiver to know that Age is an Int32. `settle` puts the nodes that are
meant in the places of what was read so; `declared` says when a type may be left away.
"""

import dataclasses
import enum
import functools
import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rpcx.errors import InvalidArguments, ProtocolError
from rpcx.interop.dotnet import soap_text
from rpcx.interop.dotnet.clrnames import ClrName, parse, system
from rpcx.interop.dotnet.members import exception_fields, possible_names, stripped
from rpcx.interop.dotnet.nodes import (
    CLR_NAMES,
    KINDS,
    OBJECT,
    STRING,
    ArrayNode,
    ClassNode,
    Kind,
    Node,
    Primitive,
    Untyped,
)  # fmt: skip
from rpcx.interop.dotnet.shapes import fields_of, outer_assembly, shape_of
from rpcx.interop.dotnet.systems import EXCEPTION, FIELDS
from rpcx.interop.dotnet.types import ClrType, find

PAIR: Final = "System.Collections.Generic.KeyValuePair`2"
NULLABLE: Final = "System.Nullable`1"
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def declared(cls: str, member: str) -> str | None:
    """The type, by its bare name, that a class declares for a member; None: not known, or more than one fits."""
    known = _members(cls).get(stripped(member))
    return known.bare if known is not None and known.name not in (OBJECT, NULLABLE) else None


def settle(nodes: Sequence[Node], types: Sequence[ClrName | None]) -> list[Node]:
    """``nodes``, of which each is of one of ``types`` if it says nothing else, with their types, and all within.

    Raises:
        InvalidArguments: a value does not fit its type, or has none.
    """
    settling = _Settling()
    settled = [settling.value(node, of) for node, of in zip(nodes, types, strict=True)]
    settling.rest()
    return settled


class _Settling:
    def __init__(self) -> None:
        self._met: set[int] = set()  # id() of nodes
        self._waiting: deque[ClassNode | ArrayNode] = deque()

    def value(self, node: Node, of: ClrName | None) -> Node:
        if isinstance(node, Untyped):
            node = _meant(node, of)
        if isinstance(node, ClassNode | ArrayNode) and id(node) not in self._met:
            self._met.add(id(node))
            self._waiting.append(node)
        return node

    def rest(self) -> None:
        """What is within what was met."""
        while self._waiting:
            node = self._waiting.popleft()
            if isinstance(node, ClassNode):
                known = _members(node.name)
                for name, value in node.members.items():
                    node.members[name] = self.value(value, known.get(stripped(name)))
            elif not isinstance(node.element, Kind):
                of = parse(node.element)
                node.items[:] = [self.value(item, of) for item in node.items]


def _meant(node: Untyped, of: ClrName | None) -> Node:
    """What a value is, if it is ``of`` a type, or what it says itself."""
    if node.name is not None:
        of = parse(node.name)._replace(assembly=node.assembly or "")
    if of is not None and of.name == NULLABLE and of.args:
        of = of.args[0]
    if of is None or of.name == OBJECT:
        if node.members is not None:
            raise InvalidArguments(f"an object with {', '.join(node.members)[:200]} that does not say its type")
        return node.text
    if node.members is not None:
        return ClassNode(str(of), node.members, outer_assembly(of) if of.assembly else None, inline=True)
    return _of_text(node.text, of)


def _of_text(text: str, of: ClrName) -> Node:
    """The value that a text says."""
    if of.name == STRING and not of.ranks:
        return text
    kind = KINDS.get(of.name) if not of.ranks else None
    if kind is not None:
        try:
            return Primitive(kind, soap_text.read(kind, text))
        except ValueError as error:
            raise InvalidArguments(str(error)) from None
    known = find(of)
    if known is not None and issubclass(known.cls, enum.Enum):
        return _enum(text, known)
    if of.ranks or known is not None:
        raise InvalidArguments(f"{text[:40]!r} is no {of}")
    return ClassNode(
        str(of), {"value__": text} if text.strip() else {}, inline=True
    )  # it means nothing, as will be said


def _enum(text: str, known: ClrType) -> ClassNode:
    """An enum's value by its name, several names, or its number."""
    numbers = [_number(part.strip(), known) for part in text.split(",")]
    value = functools.reduce(lambda one, other: one | other, numbers)
    members: dict[str, Node] = {"value__": Primitive(known.underlying, value)}
    return ClassNode(str(known.name), members, outer_assembly(known.name), inline=True)


def _number(text: str, known: ClrType) -> int:
    if _NUMBER.fullmatch(text):
        return int(text)
    cls: Any = known.cls  # an enum
    members: Mapping[str, enum.Enum] = cls.__members__
    value = {_folded(name): member.value for name, member in members.items()}.get(_folded(text))
    if not isinstance(value, int):
        raise InvalidArguments(f"{known.name} has no {text[:80]!r}; it has {', '.join(members)[:300]}")
    return value


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


# --- classes ----------------------------------------------------------------------------------------------------


def _members(cls: str) -> dict[str, ClrName]:
    """The types of a class's members, by all names that they may have."""
    try:
        name = parse(cls)
    except ProtocolError:
        return {}  # no name of a type: it means nothing, as will be said
    return _members_of(name.anywhere, find(name))


@functools.lru_cache(maxsize=4096)
def _members_of(name: ClrName, known: ClrType | None) -> dict[str, ClrName]:
    if name.name == PAIR and len(name.args) == 2:
        return {"key": name.args[0], "value": name.args[1]}
    if known is None:
        return _primitives(FIELDS.get(name.name, EXCEPTION))
    if issubclass(known.cls, Exception):
        fields = {stripped(clr): shape_of(hint).clr for _, clr, hint in exception_fields(known.cls)}
        return {**_primitives(EXCEPTION), **fields}
    if not dataclasses.is_dataclass(known.cls):
        return {}  # an enum, or a remote class
    return {
        possible: shape.clr
        for own, clr, shape in fields_of(known.cls)
        for possible in (stripped(clr), *possible_names(own, None))
    }


def _primitives(kinds: dict[str, Kind]) -> dict[str, ClrName]:
    return {member: system(CLR_NAMES[kind]) for member, kind in kinds.items()}
