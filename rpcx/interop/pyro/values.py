"""Values as Pyro5 writes them: plain ones, and dicts with ``__class__`` for the few classes that it knows.

What comes in never makes an object of a class that it names: a dict of an unknown class stays a dict, without the
name, and becomes what a method's annotation says (a dataclass, a pydantic model). A reference becomes a proxy only if
it leads back over the connection that it came by; any other arrives as its text, ``"PYRO:bank@host:port"``, so that
no message decides to whom this process connects: ``rpcx.get(text, Bank)`` does, if the method wants it (or, where a
URL enables it, `rpcx.interop.pyro.ways`).
"""

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rpcx.errors import InvalidArguments, LimitExceeded
from rpcx.interop.pyro import faults
from rpcx.interop.pyro.serializers import DEPTH

PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)
TEXTS: Final = (decimal.Decimal, uuid.UUID, pathlib.PurePath)
CLASS: Final = "__class__"
PROXY: Final = "Pyro5.client.Proxy"
URI: Final = "Pyro5.core.URI"
FAILED: Final = "Pyro5.core._ExceptionWrapper"

Refer = Callable[[object], "dict[str, object] | None"]  # an object of ours, as a proxy's state; None: it is none
Resolve = Callable[[str], object]  # what a reference means here


def outward(value: object, refer: Refer, depth: int = 0) -> object:
    """``value`` as Pyro5 reads it.

    Raises:
        InvalidArguments: it has no form there.
    """
    if type(value) in PLAIN:
        return value
    if depth > DEPTH:
        raise LimitExceeded(f"values are nested deeper than {DEPTH}", limit="fixed.depth")
    if isinstance(value, dict):
        return {outward(key, refer, depth + 1): outward(item, refer, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [outward(item, refer, depth + 1) for item in value]
        return items if isinstance(value, list) else tuple(items) if isinstance(value, tuple) else set(items)
    reference = refer(value)
    if reference is not None:
        return reference
    if isinstance(value, Exception):
        return faults.outward(value, detail=False)
    plainer = _plainer(value)
    if plainer is value:
        raise InvalidArguments(
            f"a {type(value).__name__} cannot travel to Pyro5: make it a dataclass to send a copy, or decorate it with "
            "@rpcx.remote to send a reference"
        )
    return outward(plainer, refer, depth + 1)


def _plainer(value: Any) -> Any:  # of any class
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, TEXTS):
        return str(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    dump = getattr(type(value), "model_dump", None)  # of a pydantic model
    if dump is not None:
        return dump(value)
    kinds: tuple[Any, ...] = (bool, int, float, str, bytes)
    for kind in kinds:  # of a subclass
        if isinstance(value, kind):
            return kind(value)
    return value


def proxy(uri: str, known: Mapping[str, Sequence[str]] | None = None) -> dict[str, object]:
    """A proxy as Pyro5 writes it; ``known`` is the metadata of what it stands for, which Pyro5 asks for otherwise."""
    named = known or {}
    state = (uri, *(named.get(kind, ()) for kind in ("oneway", "methods", "attrs")), "hello", None)
    return {CLASS: PROXY, "state": state}


def inward(value: Any, resolve: Resolve, depth: int = 0) -> Any:  # plain values; what they stand for
    """What Pyro5 meant.

    Raises:
        ValueError: a dict says that it is something, and is not.
        LimitExceeded: it is nested too deeply.
    """
    kind = type(value)
    if kind is dict:
        if depth > DEPTH:
            raise LimitExceeded(f"values are nested deeper than {DEPTH}", limit="fixed.depth")
        if CLASS in value:
            return _made(value, resolve, depth)
        return {key: inward(item, resolve, depth + 1) for key, item in value.items()}
    if kind is list or kind is tuple or kind is set:
        if depth > DEPTH:
            raise LimitExceeded(f"values are nested deeper than {DEPTH}", limit="fixed.depth")
        return kind(inward(item, resolve, depth + 1) for item in value)
    return value


def _made(value: Mapping[Any, Any], resolve: Resolve, depth: int) -> object:
    name = value[CLASS]
    if name == "float":  # serpent's not-a-number
        return float(value["value"]) if type(value.get("value")) is str else float("nan")
    if name == PROXY:
        return resolve(_uri_text(value))
    if name == URI:
        return _location(value)
    if name == FAILED:
        return faults.inward(value.get("exception"))
    if value.get("__exception__") is True:
        return faults.inward(value)
    return {key: inward(item, resolve, depth + 1) for key, item in value.items() if key != CLASS}


def _uri_text(value: Mapping[Any, Any]) -> str:
    match value.get("state"):
        case [str(uri), *_]:
            return uri
    raise ValueError("a proxy without its URI")


def _location(value: Mapping[Any, Any]) -> str:
    match value.get("state"):
        case [str(protocol), str(name), sockname, host, port]:
            place = f"./u:{sockname}" if sockname else f"{host}:{port}" if host else ""
            return f"{protocol}:{name}@{place}" if place else f"{protocol}:{name}"
    raise ValueError("a URI without its parts")
