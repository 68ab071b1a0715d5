"""Exceptions on the wire: ``[type name, message, args, facts, traceback, notes]``.

The receiver makes the exception from a closed table: builtins, rpcx's own errors, and what `register_exception`
added. The wire names a type, it never finds one; any other arrives as `RemoteError` with the name as text. A class
that somebody happened to call ``ValueError`` leaves as `RemoteError` already: it must not arrive as the builtin.
Nothing outside `Exception` travels: a server cannot make a client exit.

    args        what makes the exception again; [message] where they are not plain values, or too many.
                Of an ExceptionGroup: its members, as faults
    facts       of rpcx's own errors: uri, method, peer, executed, and RemoteError's type_name
    traceback   text, its causes included; begins behind our own frames, since nobody's mistake is there

All of it is bounded on both sides: on the way out because a fault must fit where its call's result did not,
on the way in because a stranger wrote it.
"""

import builtins
import logging
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Literal, TypeVar

from rpcx.errors import BY_NAME, RemoteError, RpcxError

log = logging.getLogger("rpcx")

MESSAGE: Final = 4_096  # characters of a message
BRIEF: Final = 1_024  # … and all that is told besides the type, where no traceback is to be seen
TRACEBACK: Final = 16_384  # characters of a traceback: its end, where it happened
NOTES: Final = 16  # notes, of MESSAGE characters each but one remote traceback from a call further on
ARGS_BYTES: Final = 16_384  # of all texts and bytes among the args
ARGS: Final = 16  # at most
ARGS_VALUES: Final = 256  # values among the args, in lists and tuples too
ARGS_DEPTH: Final = 8  # of lists within lists among the args
MEMBERS: Final = 32  # of an exception group
GROUP_DEPTH: Final = 4  # of groups within groups
FACTS: Final = ("uri", "method", "peer", "executed")
EXECUTED: Final = ("no", "maybe", "yes")
REMOTE: Final = "Remote traceback, from "
HEADER: Final = "Traceback (most recent call last):\n"

E = TypeVar("E", bound=type[Exception])

BUILTINS: Final[dict[str, type[Exception]]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__name__ == name
    if not issubclass(kind, BaseExceptionGroup)
}
_registered: Final[dict[str, type[Exception]]] = {}  # by the name on the wire
_names: Final[dict[type[Exception], str]] = {
    **{kind: name for name, kind in BUILTINS.items()},
    **{kind: name for name, kind in BY_NAME.items()},
    ExceptionGroup: "ExceptionGroup",
}


def register_exception(cls: E, name: str | None = None) -> E:
    """Let exceptions of ``cls`` arrive here as themselves. Usable as a decorator; needed on both sides.

    Args:
        cls: it is made again from its ``args``, without calling its ``__init__``: what matters belongs there.
        name: what it is called on the wire; default its ``__qualname__``.

    Raises:
        TypeError: it is no subclass of `Exception`.
        ValueError: the name belongs to another class.
    """
    if not (isinstance(cls, type) and issubclass(cls, Exception)):
        raise TypeError(f"register_exception({cls!r}): a subclass of Exception is needed")
    name = name or cls.__qualname__
    taken = BUILTINS.get(name) or BY_NAME.get(name) or _registered.get(name)
    if name == "ExceptionGroup" or (taken is not None and _origin(taken) != _origin(cls)):
        raise ValueError(f"register_exception({cls.__qualname__}): {name!r} is taken by {taken!r}; give another name=")
    _registered[name] = cls
    _names[cls] = name
    return cls


def _origin(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__  # a module that is loaded again registers its classes again


# --- out ----------------------------------------------------------------------------------------------------


def encode_fault(error: Exception, *, detail: Literal["full", "type"] = "full", corr_id: str = "") -> list[object]:
    """An exception as plain data; ``detail="type"`` leaves traceback and notes out, and keeps the message brief.

    ``corr_id``: what its host's logs know the connection by, told instead of them.
    """
    fault = _encode(error, full=detail == "full", depth=0)
    if corr_id:
        fault[-1] = [f"more is known to the host, as corr_id {corr_id}"]
    return fault


def _encode(error: Exception, *, full: bool, depth: int) -> list[object]:
    message = error.message if isinstance(error, ExceptionGroup) else _text(error)
    message = message[: MESSAGE if full else BRIEF]
    name = _names.get(type(error))
    facts: dict[str, object] | None = None
    if isinstance(error, RpcxError):
        facts = {key: getattr(error, key, None) for key in FACTS}
    if isinstance(error, RemoteError):
        facts = {**(facts or {}), "type_name": error.type_name}
    if name is None:
        name = type(error).__qualname__
        if name == "ExceptionGroup" or name in BUILTINS or name in BY_NAME or name in _registered:
            name, facts = "RemoteError", {**(facts or {}), "type_name": name}
    if isinstance(error, ExceptionGroup):
        args = _members(error, full=full, depth=depth)
    else:
        args = _args(error, message, ARGS_BYTES if full else BRIEF)
    return [name, message, args, facts, _traceback(error) if full else None, _notes(error) if full else []]


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # its class is somebody's, and a fault must leave all the same
        text = f"<a {type(error).__qualname__} that cannot be shown>"
    return text


def _args(error: Exception, message: str, most: int) -> list[object]:
    args: Sequence[object] = error.args
    if isinstance(error, OSError) and type(error) in _names:
        args = error.__reduce__()[1]  # BaseException's: (class, args, …); `args` alone lacks the file
    return list(args) if len(args) <= ARGS and are_simple(args, most) else [message]


def _members(group: "ExceptionGroup[Any]", *, full: bool, depth: int) -> list[object]:
    if depth >= GROUP_DEPTH or len(group.exceptions) > MEMBERS or type(group) is not ExceptionGroup:
        return []  # no group is made of nothing: it arrives as RemoteError
    return [_encode(member, full=full, depth=depth + 1) for member in group.exceptions]


SIMPLE: Final = (type(None), bool, int, float, complex)


def are_simple(args: Sequence[object], most: int = ARGS_BYTES) -> bool:
    """Whether ``args`` are plain values, few and of ``most`` bytes together: those of nearly every exception are."""
    values, left, level = 0, most, [*args]
    for _ in range(ARGS_DEPTH):
        values += len(level)
        if values > ARGS_VALUES:
            return False
        below: list[object] = []
        for value in level:
            kind = type(value)
            if kind is str or kind is bytes:
                left -= len(value)  # type: ignore[arg-type]  # its kind was compared
            elif kind is int:
                left -= value.bit_length() // 8  # type: ignore[attr-defined]  # likewise
            elif kind is tuple or kind is list:
                below += value  # type: ignore[arg-type]  # likewise
            elif kind not in SIMPLE:
                return False
        if left < 0:
            return False
        if not below:
            return True
        level = below
    return False


def _notes(error: Exception) -> list[str]:
    notes = getattr(error, "__notes__", ())
    if not isinstance(notes, Sequence):
        return []
    kept = [note for note in notes if isinstance(note, str)][-NOTES:]
    return [note[: TRACEBACK if note.startswith(REMOTE) else MESSAGE] for note in kept]


def _traceback(error: Exception) -> str | None:
    frames = _without_ours(error.__traceback__)
    if frames is None:
        if error.__traceback__ is None or isinstance(error, RpcxError):
            return None  # we refused it ourselves: the message says all there is
        frames = error.__traceback__
    try:
        told = traceback.TracebackException(type(error), error, frames, compact=True)
        told.__notes__ = None  # they travel beside it
        text = "".join(told.format())
    except Exception as broken:  # noqa: BLE001  # sources, reprs: anything may be broken there
        return f"(it cannot be shown: {type(broken).__name__})"
    text = text.removeprefix(HEADER)
    if len(text) <= TRACEBACK:
        return text
    return f"(its beginning is left out)\n{text[64 - TRACEBACK :]}"


def _without_ours(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and str(frames.tb_frame.f_globals.get("__name__")).startswith("rpcx."):
        frames = frames.tb_next
    return frames


# --- in -----------------------------------------------------------------------------------------------------


def decode_fault(fault: object, peer: str = "") -> Exception:
    """The exception again, with the remote traceback as a note. Raises ValueError on what is no fault."""
    return _decode(fault, peer, 0)


def _decode(fault: object, peer: str, depth: int) -> Exception:
    match fault:
        case [str(name), str(message), list(args), None | dict() as facts, None | str() as text, list(notes)]:
            error = _made(name, message[:MESSAGE], args, facts or {}, peer, depth)
        case _:
            raise ValueError("a fault is [type, message, args, facts, traceback, notes]")
    for note in notes[:NOTES]:
        if isinstance(note, str):
            error.add_note(note[: TRACEBACK if note.startswith(REMOTE) else MESSAGE])
    if text:
        error.add_note(f"{REMOTE}{peer or 'the other side'}:\n{text[-TRACEBACK:].rstrip()}")
    return error


def _made(name: str, message: str, args: list[Any], facts: dict[Any, Any], peer: str, depth: int) -> Exception:
    own = BY_NAME.get(name)
    if own is not None:
        return _own(own, message, facts)
    if name == "ExceptionGroup":
        if args and len(args) <= MEMBERS and depth < GROUP_DEPTH:
            return ExceptionGroup(message, [_decode(member, peer, depth + 1) for member in args])
    elif are_simple(args):
        try:
            if name in BUILTINS:
                return BUILTINS[name](*args)
            if name in _registered:
                return _unpacked(_registered[name], args, facts)
        except Exception as unfit:  # noqa: BLE001  # arguments that do not fit it: it stays a RemoteError
            log.debug("a remote %s cannot be made here: %s", name[:80], unfit)
    return RemoteError(message, type_name=name[:MESSAGE])


def _unpacked(kind: type[Exception], args: list[Any], facts: dict[Any, Any]) -> Exception:
    """A registered exception, without a call of its ``__init__``; the builtin one below it is initialised."""
    error = kind.__new__(kind, *args)
    if isinstance(error, RpcxError):
        RpcxError.__init__(error, *args[:1], **_known(facts))  # type: ignore[arg-type]  # executed was checked
    else:
        base = next(base for base in kind.__mro__ if _names.get(base) in BUILTINS)
        base.__init__(error, *args)  # type: ignore[misc]  # unsound for classes unknown, and this one is builtin
    error.args = tuple(args)
    return error


def _known(facts: dict[Any, Any]) -> dict[str, str]:
    said = {key: facts.get(key) for key in FACTS}
    known = {key: value[:MESSAGE] for key, value in said.items() if isinstance(value, str)}
    if known.get("executed") not in EXECUTED:
        known.pop("executed", None)
    return known


def _own(kind: type[RpcxError], message: str, facts: dict[Any, Any]) -> RpcxError:
    known = _known(facts)
    if kind is RemoteError:
        type_name = facts.get("type_name")
        return RemoteError(
            message, type_name=type_name[:MESSAGE] if isinstance(type_name, str) else "Exception", **known
        )
    return kind(message, **known)  # type: ignore[arg-type]  # executed was checked
