"""Delegates of .NET clients: an event's handler is a method of an object of theirs, called like any other."""

from collections.abc import Callable
from typing import Any, Final

from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.nodes import ClassNode, Node
from rpcx.remoting.proxy import AsyncProxy, Proxy, dynamic_method

MOST: Final = 32  # handlers in one delegate


class Handler:
    """A method of a remote object, as a function. Equal to another of the same, so that it can be taken back."""

    def __init__(self, target: Proxy, method: str) -> None:
        self._target = target
        self._method = method

    def __call__(self, *args: object) -> Any:  # what the method returns, or an awaitable of it
        reference = self._target._rpcx_ref
        method = dynamic_method(self._method)
        call = reference.endpoint.call_async if isinstance(self._target, AsyncProxy) else reference.endpoint.call
        return call(reference, method, args, {})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Handler):
            return NotImplemented
        return self._method == other._method and self._target == other._target

    def __hash__(self) -> int:
        return hash((self._method, self._target))

    def __repr__(self) -> str:
        return f"<Handler {self._method} of {self._target!r}>"


class Handlers:
    """Several in one delegate: called in order, the last one's result counts."""

    def __init__(self, handlers: tuple[Handler, ...]) -> None:
        self._handlers = handlers

    def __call__(self, *args: object) -> Any:  # what the last one returns
        return [handler(*args) for handler in self._handlers][-1]

    def __eq__(self, other: object) -> bool:
        return self._handlers == other._handlers if isinstance(other, Handlers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._handlers)


def function_of(node: ClassNode, value: Callable[[Node], Any]) -> Callable[..., Any]:
    """What calls a delegate.

    Raises:
        InvalidArguments: it is none of a remote object's.
    """
    handlers: list[Handler] = []
    entry = node.members.get("Delegate")
    while isinstance(entry, ClassNode) and len(handlers) < MOST:
        method, target = entry.members.get("methodName"), entry.members.get("target")
        if isinstance(target, str):
            target = node.members.get(target)  # Microsoft's way: the name of another member
        proxy = value(target)
        if not isinstance(method, str) or not isinstance(proxy, Proxy):
            raise InvalidArguments("a delegate whose target is no remote object (MarshalByRefObject)")
        handlers.append(Handler(proxy, method))
        entry = entry.members.get("delegateEntry")
    if not handlers:
        raise InvalidArguments("a delegate of nothing")
    return handlers[0] if len(handlers) == 1 else Handlers(tuple(handlers))
