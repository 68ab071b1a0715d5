"""Exceptions on the wire: ``[type name, message, args, facts, traceback, notes]``.

The receiver makes the exception from a closed table: builtins, rpcx's own errors, and what `register_exception`
added. The wire names a type, it never finds one. Any other arrives as `RemoteError` with the name as text.
Nothing outside `Exception` travels: a server cannot make a client exit.
"""

import builtins
import logging
import traceback
from typing import Any, Final, Literal, TypeVar

from rpcx.errors import BY_NAME, RemoteError, RpcxError

log = logging.getLogger("rpcx")

MESSAGE: Final = 4_096  # characters of a message that travel
TRACEBACK: Final = 16_384  # characters of a traceback, its end
NOTES: Final = 16  # at most
FACTS: Final = ("uri", "method", "peer", "executed")
BY_VALUE: Final = (type(None), bool, int, float, str, bytes)

E = TypeVar("E", bound=type[Exception])

BUILTINS: Final[dict[str, type[Exception]]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, BaseExceptionGroup)
}
_registered: Final[dict[str, type[Exception]]] = {}


def register_exception(cls: E, name: str | None = None) -> E:
    """Let exceptions of ``cls`` arrive here as themselves. Usable as a decorator; needed on both sides.

    Args:
        cls: it is made again from its ``args``, without calling ``__init__``.
        name: what it is called on the wire; default its ``__qualname__``.
    """
    if not (isinstance(cls, type) and issubclass(cls, Exception)):
        raise TypeError(f"register_exception({cls!r}): a subclass of Exception is needed")
    _registered[name or cls.__qualname__] = cls
    return cls


def encode_fault(error: Exception, *, detail: Literal["full", "type"] = "full") -> list[object]:
    """An exception as plain data; ``detail="type"`` leaves traceback and notes out."""
    facts = {name: getattr(error, name, None) for name in FACTS} if isinstance(error, RpcxError) else None
    name = next((key for key, kind in _registered.items() if kind is type(error)), type(error).__qualname__)
    if isinstance(error, RemoteError):
        facts = {**(facts or {}), "type_name": error.type_name}
    text = None
    if detail == "full" and error.__traceback__ is not None:
        text = "".join(traceback.format_exception(error))[-TRACEBACK:]
    notes = [str(note)[:MESSAGE] for note in getattr(error, "__notes__", ())][:NOTES] if detail == "full" else []
    given = list(error.args[:16])
    if isinstance(error, OSError) and error.filename is not None and len(given) == 2:
        given.append(error.filename)  # it takes three arguments and shows two
    args = [arg if type(arg) in BY_VALUE else str(arg)[:MESSAGE] for arg in given]
    return [name, str(error)[:MESSAGE], args, facts, text, notes]


def decode_fault(fault: object, peer: str = "") -> Exception:
    """The exception again, with the remote traceback as a note. Raises ValueError on what is no fault."""
    match fault:
        case [str(name), str(message), list(args), None | dict() as facts, None | str() as text, list(notes)]:
            error = _made(name, message, args, facts or {})
        case _:
            raise ValueError("a fault is [type, message, args, facts, traceback, notes]")
    for note in notes[:NOTES]:
        error.add_note(str(note)[:MESSAGE])
    if text:
        error.add_note(f"Remote traceback, from {peer}:\n{text[-TRACEBACK:].rstrip()}")
    return error


def _made(name: str, message: str, args: list[Any], facts: dict[Any, Any]) -> Exception:
    own = BY_NAME.get(name)
    if own is not None:
        return _own(own, message, facts)
    kind = _registered.get(name) or BUILTINS.get(name)
    if kind is not None:
        try:
            if kind is BUILTINS.get(name):
                error = kind(*args)  # some keep their arguments in fields of C code
            else:
                error = kind.__new__(kind, *args)
                error.args = tuple(args)
        except Exception as unfit:  # noqa: BLE001  # arguments that do not fit it: it stays a RemoteError
            log.debug("a remote %s cannot be made here: %s", name, unfit)
        else:
            return error
    return RemoteError(message, type_name=name)


def _own(kind: type[RpcxError], message: str, facts: dict[Any, Any]) -> RpcxError:
    said = {key: facts.get(key) for key in FACTS}
    known = {key: value for key, value in said.items() if isinstance(value, str)}
    if known.get("executed") not in (None, "no", "maybe", "yes"):
        del known["executed"]
    if kind is RemoteError:
        type_name = facts.get("type_name")
        return RemoteError(message, type_name=type_name if isinstance(type_name, str) else "Exception", **known)
    return kind(message, **known)  # type: ignore[arg-type]  # executed was checked above
