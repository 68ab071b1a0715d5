"""Exceptions both ways: as themselves where both sides have the type, with their text and their stack always.

A class with `@dotnet.type` is its .NET counterpart; its annotated attributes are fields there. A few built-in ones
correspond by meaning (`TWINS`). An exception of .NET that means nothing here arrives as `RemoteError`, with its type's
name; one of ours that means nothing there, as ``System.Exception`` with the name in its text.
"""

import traceback
from collections.abc import Callable
from typing import Any, Final

from rpcx.errors import ObjectNotFound, ProtocolError, RemoteError, RpcxError
from rpcx.interop.dotnet.clrnames import parse
from rpcx.interop.dotnet.members import exception_fields
from rpcx.interop.dotnet.nodes import ClassNode, Kind, Node, Primitive
from rpcx.interop.dotnet.outward import Outward
from rpcx.interop.dotnet.shapes import outer_assembly, shape_of
from rpcx.interop.dotnet.types import ClrType, find, type_of

REMOTING: Final = "System.Runtime.Remoting.RemotingException"
UNKNOWN: Final = "System.Exception"
HRESULT: Final = -2146233088  # of an exception that says nothing more
STACK: Final = 16_384  # characters of a stack
INNER: Final = 8  # exceptions that caused one another

#: Exceptions of like meaning; the first line with a type counts in each direction.
TWINS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (ObjectNotFound, REMOTING),
    (ProtocolError, "System.Runtime.Serialization.SerializationException"),
    (KeyError, "System.Collections.Generic.KeyNotFoundException"),
    (IndexError, "System.IndexOutOfRangeException"),
    (ZeroDivisionError, "System.DivideByZeroException"),
    (OverflowError, "System.OverflowException"),
    (NotImplementedError, "System.NotImplementedException"),
    (TimeoutError, "System.TimeoutException"),
    (FileNotFoundError, "System.IO.FileNotFoundException"),
    (PermissionError, "System.UnauthorizedAccessException"),
    (MemoryError, "System.OutOfMemoryException"),
    (RuntimeError, "System.InvalidOperationException"),
    (ValueError, "System.ArgumentException"),
    (ValueError, "System.ArgumentNullException"),
    (ValueError, "System.ArgumentOutOfRangeException"),
    (ValueError, "System.FormatException"),
    (TypeError, "System.InvalidCastException"),
    (OSError, "System.IO.IOException"),
    (NotImplementedError, "System.NotSupportedException"),
    (ArithmeticError, "System.ArithmeticException"),
)
#: Fields that some types of .NET's read besides those of all exceptions.
EXTRAS: Final[dict[str, dict[str, Node]]] = {
    "System.ArgumentException": {"ParamName": None},
    "System.IO.FileNotFoundException": {"FileNotFound_FileName": None, "FileNotFound_FusionLog": None},
}
_HERE: Final = {clr: kind for kind, clr in reversed(TWINS) if not issubclass(kind, RpcxError)}
_THERE: Final = dict(reversed(TWINS))


# --- out --------------------------------------------------------------------------------------------------------


def to_node(error: BaseException, out: Outward, *, detail: bool = True, depth: int = 0) -> ClassNode:
    """An exception as .NET has it; without ``detail`` its stack and causes stay here."""
    declared = type_of(type(error)) if isinstance(error, Exception) else None
    cause = error.__cause__ if detail and depth < INNER else None
    name, assembly, message = UNKNOWN, None, _message(error)
    members: dict[str, Node] = {}
    if declared is not None:
        name, assembly = str(declared.name), outer_assembly(declared.name)
        members = _fields(error, declared, out)
    else:
        twin = next((_THERE[kind] for kind in type(error).__mro__ if kind in _THERE), None)
        if twin is not None:
            name = twin
        elif isinstance(error, RpcxError):
            name = REMOTING
        else:
            message = f"{type(error).__name__}: {message}"
    standard: dict[str, Node] = {
        "ClassName": name,
        "Message": message,
        "Data": None,
        "InnerException": to_node(cause, out, depth=depth + 1) if cause is not None else None,
        "HelpURL": None,
        "StackTraceString": _stack(error) if detail else None,
        "RemoteStackTraceString": None,
        "RemoteStackIndex": Primitive(Kind.INT32, 0),
        "ExceptionMethod": None,
        "HResult": Primitive(Kind.INT32, HRESULT),
        "Source": "rpcx",
    }
    return ClassNode(name, {**standard, **members, **EXTRAS.get(name, {})}, assembly)


def _message(error: BaseException) -> str:
    if isinstance(error, KeyError) and len(error.args) == 1:
        return str(error.args[0])  # its str() is the repr
    return str(error)


def _fields(error: object, declared: ClrType, out: Outward) -> dict[str, Node]:
    return {
        clr: out.node(getattr(error, name, None), shape_of(hint)) for name, clr, hint in exception_fields(declared.cls)
    }


def _stack(error: BaseException) -> str:
    """The frames, without the message, which stands elsewhere."""
    return "".join(traceback.format_tb(error.__traceback__))[-STACK:].rstrip()


# --- in ---------------------------------------------------------------------------------------------------------


def from_node(node: ClassNode, value: Callable[[Node], Any], depth: int = 0) -> Exception:
    """The exception that a node stands for."""
    message = _text(node, "Message")
    name = parse(node.name)
    declared = find(name)
    twin = _HERE.get(name.name)
    error: Exception
    if declared is not None and issubclass(declared.cls, Exception):
        error = declared.cls.__new__(declared.cls, message)
        error.args = (message,)
        for field, clr, _ in exception_fields(declared.cls):
            if clr in node.members:
                setattr(error, field, value(node.members[clr]))
    elif twin is not None:
        error = twin(message)
    else:
        error = RemoteError(message, type_name=str(name))
    inner = node.members.get("InnerException")
    if isinstance(inner, ClassNode) and depth < INNER:
        error.__cause__ = from_node(inner, value, depth + 1)
    stack = "\n".join(filter(None, (_text(node, "RemoteStackTraceString"), _text(node, "StackTraceString"))))
    if stack:
        error.add_note(f"Remote traceback, from .NET ({name}):\n{stack[:STACK]}")
    return error


def _text(node: ClassNode, member: str) -> str:
    text = node.members.get(member)
    return text if isinstance(text, str) else ""
