"""From Python values to nodes: one message at a time.

One `Outward` turns the values of one message, so that an object named twice is one object there too, and a cycle
stays one. Fields of instances are filled in one after the other, so a long chain of them needs no deep recursion.
What a value becomes, its `Shape` says (`rpcx.interop.dotnet.shapes`).
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.clrnames import ClrName
from rpcx.interop.dotnet.nodes import ClassNode, Node

DEEPEST: Final = 100  # containers in containers


class Referrer(Protocol):
    """What turns an object that travels by reference into its node."""

    def refer(self, instance: object, /) -> ClassNode | None:
        """The reference; None: it does not travel so."""
        ...


class Outward:
    """Turns the values of one message into nodes.

    Raises `InvalidArguments`, which says what about a value does not fit.
    """

    def __init__(self, referrer: Referrer) -> None:
        self._referrer = referrer
        self._made: dict[tuple[int, str], Node] = {}  # by id() of a value and the type it becomes
        self._kept: list[object] = []  # keeps those values alive, so that no id() comes twice
        self._unfilled: deque[Callable[[], None]] = deque()
        self._depth = 0

    def node(self, value: object, shape: "Shape") -> Node:
        """``value`` and all it refers to."""
        node = self.inner(value, shape)
        while self._unfilled:
            self._unfilled.popleft()()
        return node

    def inner(self, value: object, shape: "Shape") -> Node:
        """The same within a value; instances may not be filled in yet."""
        if value is None:
            return None
        self._depth += 1
        if self._depth > DEEPEST:
            raise InvalidArguments(f"containers are nested deeper than {DEEPEST}")
        try:
            return shape.node(value, self)
        except (ValueError, AttributeError, OverflowError) as error:
            raise InvalidArguments(f"{shown(value)} cannot go to .NET as {shape.clr}: {error}") from None
        finally:
            self._depth -= 1

    def once(self, value: object, shape: "Shape", make: Callable[[], Node]) -> Node:
        """The node of ``value``, made at its first coming."""
        key = id(value), shape.clr.bare
        if key not in self._made:
            self._kept.append(value)
            self._made[key] = make()
        return self._made[key]

    def later(self, fill: Callable[[], None]) -> None:
        """Fill something in before the message is written."""
        self._unfilled.append(fill)

    def refer(self, instance: object) -> ClassNode | None:
        """A reference to ``instance``, if it travels so."""
        return self._referrer.refer(instance)


class Shape:
    """An annotation understood: a .NET type, and how a value becomes one."""

    clr: ClrName

    def __init__(self, clr: ClrName) -> None:
        self.clr = clr

    def node(self, value: Any, out: Outward) -> Node:  # whatever the annotation allows
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.clr}>"


def shown(value: object) -> str:
    """A value for a message, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
