"""Functions of ours as .NET's delegates: handlers for the events of its objects.

A delegate that travels is an object and the name of a method of it. Here it is a `Callback` around the function, by
reference, whose class .NET is told to be one that it has: that of a bound method's object, or the one that the
delegate's annotation says functions go through. For a handler written in C# that class is its own, and the server
must have it too; so whatever events a C# client can subscribe to, can be subscribed to here.
"""

import functools
import inspect
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any, Final

from rpcx.errors import InvalidArguments
from rpcx.interop.dotnet.clrnames import ClrName
from rpcx.interop.dotnet.delegates import DELEGATE, Handler, Handlers
from rpcx.interop.dotnet.nodes import ClassNode, Node
from rpcx.interop.dotnet.outward import Outward, Shape, shown
from rpcx.interop.dotnet.types import CLR_TYPE, ClrType, Delegate, clr_name, type_of
from rpcx.interop.dotnet.types import name as named
from rpcx.remoting.contract import contract_of
from rpcx.remoting.decorators import remote
from rpcx.remoting.objects import identity

ENTRY: Final = f"{DELEGATE}+DelegateEntry"


class Callback:
    """A function, as an object with one method. Classes for the methods are made by `_class_for`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._rpcx_function = function  # what it is again when it comes home (`delegates.FUNCTION`)


_CALLBACKS: Final[weakref.WeakValueDictionary[tuple[object, type], Callback]] = weakref.WeakValueDictionary()


class Delegated(Shape):
    """A delegate: a function here."""

    def __init__(self, declared: Delegate, hint: Any) -> None:  # a Callable's annotation
        super().__init__(declared.name)
        self._declared = declared
        takes, gives = typing.get_args(hint) or (..., Any)
        self._takes = tuple(takes) if isinstance(takes, list) else None  # None: not said
        self._gives = gives

    def node(self, value: Any, out: Outward) -> Node:
        if not callable(value):
            raise InvalidArguments(f"{shown(value)} is no function")
        return out.once(value, self, lambda: self._holder(value, out))

    def _holder(self, value: Any, out: Outward) -> ClassNode:  # a function
        members: dict[str, Node] = {}
        following: Node = None
        handlers = value.handlers if isinstance(value, Handlers) else (value,)
        for number, handler in reversed(list(enumerate(handlers))):
            target, cls, method = self._target(handler, out)
            members[f"target{number}"] = target
            following = self._entry(f"target{number}", cls, method, following)
        return ClassNode(DELEGATE, {"Delegate": following, **members})

    def _entry(self, target: str, cls: ClrName, method: str, following: Node) -> ClassNode:
        members: dict[str, Node] = {
            "type": str(self.clr),
            "assembly": self.clr.assembly,
            "target": target,
            "targetTypeAssembly": cls.assembly,
            "targetTypeName": str(cls),
            "methodName": method,
            "delegateEntry": following,
        }
        return ClassNode(ENTRY, members)

    def _target(self, handler: Any, out: Outward) -> tuple[Node, ClrName, str]:  # a function
        """What .NET is to call: the reference, its class, its method."""
        if isinstance(handler, Handler):  # one of .NET's own
            return out.refer(handler.target), handler.cls, handler.method
        cls, method = _own_method(handler) or self._through(handler)
        return out.refer(self._callback(handler, cls, method)), cls, method

    def _through(self, handler: object) -> tuple[ClrName, str]:
        if self._declared.through is None:
            raise InvalidArguments(
                f"{shown(handler)} is no method of a class that .NET knows: pass one of an object whose class has "
                f"@dotnet.type, or name a method that fits in dotnet.Delegate({str(self.clr)!r}, through=...)"
            )
        return self._declared.through

    def _callback(self, function: Callable[..., Any], cls: ClrName, method: str) -> Callback:
        """One for each function, so that a handler can be taken back."""
        is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
        made = _class_for(cls, method, self._takes, self._gives, is_async=is_async)
        key = _identity(function), made
        known = _CALLBACKS.get(key)
        if known is None:
            known = _CALLBACKS[key] = made(function)
        return known


def _identity(function: Any) -> object:  # any callable
    """What a function is known by; a built-in type's bound method, too, is a new object each time it is read."""
    if isinstance(function, types.BuiltinMethodType):
        return id(function.__self__), function.__name__
    return identity(function)


def _own_method(handler: object) -> tuple[ClrName, str] | None:
    """What .NET calls a bound method of a remote object, and its class; None: it is none, or not known there."""
    cls = type(getattr(handler, "__self__", None))
    contract, declared = contract_of(cls), type_of(cls)
    method = contract.methods.get(getattr(handler, "__name__", "")) if contract is not None else None
    return (declared.name, clr_name(method)) if declared is not None and method is not None else None


@functools.lru_cache(maxsize=1024)
def _class_for(
    cls: ClrName,
    method: str,
    takes: tuple[Any, ...] | None,
    gives: Any,  # annotations
    *,
    is_async: bool,
) -> type[Callback]:
    """The class of callbacks that .NET takes for instances of ``cls``."""

    def call(self: Callback, *args: object) -> object:
        return self._rpcx_function(*args)

    async def call_async(self: Callback, *args: object) -> Any:  # whatever the function returns
        return await self._rpcx_function(*args)

    function: Any = call_async if is_async else call  # Any: it gets attributes
    if takes is not None:
        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        others = [own.replace(name=f"arg{number}", annotation=hint) for number, hint in enumerate(takes)]
        function.__signature__ = inspect.Signature([own, *others], return_annotation=gives)
    function.__annotations__ = {"return": gives}
    made: type[Callback] = type("Callback", (Callback,), {"call": named(method)(function)})
    setattr(made, CLR_TYPE, ClrType.of_remote(made, cls))
    return remote(name=f"dotnet.callback.{cls}.{method}")(made)
