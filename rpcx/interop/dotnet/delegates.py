"""Delegates of .NET's as functions here: an event's handler is a method of an object there, called like any other.

The other way round: `rpcx.interop.dotnet.callbacks`.
"""

from collections.abc import Callable
from typing import Any, Final

from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.clrnames import ClrName, parse
from rpcx.interop.dotnet.nodes import OBJECT, ClassNode, Node
from rpcx.remoting.proxy import AsyncProxy, Proxy, dynamic_method

DELEGATE: Final = "System.DelegateSerializationHolder"
FUNCTION: Final = "_rpcx_function"  # attribute of an object of ours that stands for a function: that function
MOST: Final = 32  # handlers in one delegate


class Handler:
    """A method of a remote object, as a function. Equal to another of the same, so that it can be taken back."""

    def __init__(self, target: Proxy, method: str, cls: ClrName) -> None:
        self.target = target
        self.method = method
        self.cls = cls  # of the target, there

    def __call__(self, *args: object) -> Any:  # what the method returns, or an awaitable of it
        reference = self.target._rpcx_ref
        method = dynamic_method(self.method)
        call = reference.endpoint.call_async if isinstance(self.target, AsyncProxy) else reference.endpoint.call
        return call(reference, method, args, {})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Handler):
            return NotImplemented
        return self.method == other.method and self.target == other.target

    def __hash__(self) -> int:
        return hash((self.method, self.target))

    def __repr__(self) -> str:
        return f"<Handler {self.method} of {self.target!r}>"


class Handlers:
    """Several in one delegate: called in order, the last one's result counts."""

    def __init__(self, handlers: tuple[Callable[..., Any], ...]) -> None:
        self.handlers = handlers

    def __call__(self, *args: object) -> Any:  # what the last one returns
        return [handler(*args) for handler in self.handlers][-1]

    def __eq__(self, other: object) -> bool:
        return self.handlers == other.handlers if isinstance(other, Handlers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.handlers)


def function_of(node: ClassNode, value: Callable[[Node], Any]) -> Callable[..., Any]:
    """What calls a delegate.

    Raises:
        InvalidArguments: it is none of a remote object's.
    """
    handlers: list[Callable[..., Any]] = []
    entry = node.members.get("Delegate")
    while isinstance(entry, ClassNode) and len(handlers) < MOST:
        handlers.append(_handler(entry, node, value))
        entry = entry.members.get("delegateEntry")
    if not handlers:
        raise InvalidArguments("a delegate of nothing")
    return handlers[0] if len(handlers) == 1 else Handlers(tuple(handlers))


def _handler(entry: ClassNode, node: ClassNode, value: Callable[[Node], Any]) -> Callable[..., Any]:
    method, target = entry.members.get("methodName"), entry.members.get("target")
    if isinstance(target, str):
        target = node.members.get(target)  # the name of another member
    known = value(target)
    function: Callable[..., Any] | None = getattr(known, FUNCTION, None)
    if function is not None:
        return function  # it came home
    if not isinstance(method, str) or not isinstance(known, Proxy):
        raise InvalidArguments("a delegate whose target is no remote object (MarshalByRefObject)")
    return Handler(known, method, _class_of(entry))


def _class_of(entry: ClassNode) -> ClrName:
    cls, assembly = entry.members.get("targetTypeName"), entry.members.get("targetTypeAssembly")
    name = parse(cls) if isinstance(cls, str) else ClrName(OBJECT)
    return name._replace(assembly=assembly) if isinstance(assembly, str) else name
