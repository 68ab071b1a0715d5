"""Exceptions as Pyro5 writes them: a dict with the class's name, its arguments, and the traceback among its attributes.

A Pyro5 client makes an exception of a builtin class or one of Pyro5's own; for any other it raises a SerializeError,
which hides what happened. So others leave as ``Pyro5.errors.PyroError`` with the class in their text. What comes in is
made from the closed table of `rpcx.sinks.exceptions`, and only Pyro5's own names are translated here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rpcx.errors import (
    AccessDenied,
    CallTimeout,
    ConnectionLost,
    InvalidArguments,
    LimitExceeded,
    ObjectNotFound,
    ProtocolError,
    RpcxError,
)
from rpcx.sinks.exceptions import BUILTINS, REMOTE, are_simple, decode_fault, encode_fault

PYRO: Final = "Pyro5.errors."
TRACEBACK: Final = "_pyroTraceback"

OURS: Final[tuple[tuple[type[RpcxError], str], ...]] = (  # the most specific first
    (ObjectNotFound, f"{PYRO}DaemonError"),
    (InvalidArguments, "builtins.TypeError"),
    (CallTimeout, f"{PYRO}TimeoutError"),
    (AccessDenied, f"{PYRO}SecurityError"),
    (LimitExceeded, f"{PYRO}ProtocolError"),
    (ProtocolError, f"{PYRO}ProtocolError"),
    (ConnectionLost, f"{PYRO}CommunicationError"),
)
THEIRS: Final[dict[str, str]] = {
    f"{PYRO}DaemonError": "ObjectNotFound",
    f"{PYRO}SecurityError": "AccessDenied",
    f"{PYRO}TimeoutError": "CallTimeout",
    f"{PYRO}SerializeError": "InvalidArguments",
    f"{PYRO}ProtocolError": "ProtocolError",
    f"{PYRO}MessageTooLargeError": "LimitExceeded",
}


def outward(error: BaseException, *, detail: bool) -> dict[str, object]:
    """An exception as Pyro5 reads it; ``detail``: with its traceback."""
    if not isinstance(error, Exception):
        error = RpcxError(f"{type(error).__name__}: {error}")
    _, message, args, _, traceback, notes = encode_fault(error, detail="full" if detail else "type")
    name = _name(error)
    if name is None:
        name, args = f"{PYRO}PyroError", [f"{type(error).__qualname__}: {message}"]
    elif isinstance(error, RpcxError):
        args = [message]
    attributes: dict[str, object] = {}
    if detail:
        told = [str(traceback)] if traceback else []
        told += [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []
        attributes[TRACEBACK] = [f"{line}\n" for text in told for line in text.splitlines()]
    return {"__class__": name, "__exception__": True, "args": args, "attributes": attributes}


def _name(error: Exception) -> str | None:
    if isinstance(error, RpcxError):
        return next((name for kind, name in OURS if isinstance(error, kind)), None)
    name = type(error).__name__
    return f"builtins.{name}" if BUILTINS.get(name) is type(error) else None


def inward(fault: object, peer: str = "") -> Exception:
    """The exception that a Pyro5 daemon, or a client, meant."""
    if not isinstance(fault, Mapping) or not isinstance(fault.get("__class__"), str):
        raise ValueError("an exception that is none")  # noqa: TRY004  # one error for nonsense
    name: str = fault["__class__"]
    given: Any = fault.get("args", ())
    args = list(given) if isinstance(given, list | tuple) and are_simple(given) else []
    message = str(args[0]) if len(args) == 1 else ", ".join(map(str, args))
    attributes = fault.get("attributes")
    lines = attributes.get(TRACEBACK) if isinstance(attributes, Mapping) else None
    traceback = _text(lines)
    if name == f"{PYRO}DaemonError" and "unknown object" not in message and "no such object" not in message:
        known = name
    else:
        known = THEIRS.get(name) or _known(name)
    return decode_fault([known, message, args, None, traceback, []], peer)


def _known(name: str) -> str:
    """The name in our table. One of a class of the peer's must not arrive as a builtin of the same name."""
    module, _, short = name.rpartition(".")
    if short in BUILTINS:
        return short if module == "builtins" else name
    return name if module.startswith("Pyro5") else short


def _text(lines: object) -> str | None:
    if not isinstance(lines, Sequence) or isinstance(lines, str | bytes):
        return None
    kept = [line for line in lines if isinstance(line, str)]
    text = "".join(kept).removeprefix("Traceback (most recent call last):\n")
    return text.removeprefix(REMOTE) or None
