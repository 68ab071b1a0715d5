"""What is said between client and server: calls and returns, in no particular encoding.

Values are nodes (`rpcx.interop.dotnet.nodes`). A formatter turns these messages into bytes and back: the binary one
is `rpcx.interop.dotnet.binary`, the one in XML `rpcx.interop.dotnet.soap`. XML calls values by the names of parameters,
and has none for a parameter that it leaves out; the binary formatter tells them by their places.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rpcx.interop.dotnet.nodes import ClassNode, Node


@dataclass(slots=True)
class MethodCall:
    """A call. What it is for, and whether it is answered, the transport says."""

    method: str
    type_name: str  # of the class that declares the method, with its assembly
    args: Sequence[Node] = ()  # one for each parameter, those that are only out included
    signature: tuple[str, ...] | None = None  # types of the parameters; None: the method's name is enough
    generics: tuple[str, ...] | None = None  # type arguments of a generic method
    context: ClassNode | str | None = None  # the logical call context, or its id
    names: tuple[str | None, ...] | None = None  # of the arguments; None for one that only comes back
    space: str = ""  # in XML: the namespace that the caller wrote


@dataclass(slots=True)
class MethodReturn:
    """The answer to a call: a value and out parameters, or an exception."""

    value: Node = None
    void: bool = False  # it has no value, which is not the same as null
    out: list[Node] = field(default_factory=list)  # a slot for each parameter: its value if it is out or ref
    exception: Node = None
    context: ClassNode | str | None = None
    names: tuple[str | None, ...] | None = None  # of what is in ``out``; None for a parameter that only went
