"""What .NET calls the members of a class: fields, automatic properties, fields of exceptions."""

import typing
from typing import Any

from rpcx.interop.dotnet.clrnames import pascal
from rpcx.interop.dotnet.types import Member


def stripped(name: str) -> str:
    """A member's name without what .NET puts around it: the base class, a property's brackets."""
    name = name.rpartition("+")[2]
    return name.removeprefix("<").removesuffix(">k__BackingField") if name.endswith(">k__BackingField") else name


def given_name(hint: Any) -> str | None:  # any annotation
    """The name that an annotation gives; None: it gives none."""
    return next((str(mark.name) for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Member)), None)


def possible_names(name: str, hint: Any) -> tuple[str, ...]:  # any annotation
    """What a field may be called there, stripped."""
    given = given_name(hint)
    if given is not None:
        return (stripped(given),)
    camel = camel_name(name)
    capital = camel[:1].upper() + camel[1:]
    return tuple(dict.fromkeys((name, capital, camel, f"_{camel}", f"m_{camel}", f"_{name}", f"m_{name}")))


def camel_name(name: str) -> str:
    """``lease_time`` as .NET spells a parameter: ``leaseTime``."""
    capital = pascal(name)
    return capital[:1].lower() + capital[1:]


def exception_fields(cls: type) -> list[tuple[str, str, Any]]:
    """The attributes of an exception's class that are fields in .NET: (name, name there, annotation)."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return [(name, given_name(hint) or name, hint) for name, hint in hints.items()]
