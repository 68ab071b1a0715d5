"""What .NET calls the members of a class: fields, automatic properties, fields of exceptions.

A private field of a base class is written with that class's name before it, ``Person+m_age``, since a derived class may
have one of the same name. What stands behind an automatic property is private.
"""

import inspect
import typing
from collections.abc import Mapping
from typing import Any, Final

from rpcx.interop.dotnet.clrnames import pascal
from rpcx.interop.dotnet.types import ClrType, Member, type_of

BACKING: Final = ">k__BackingField"


def member_name(cls: type, name: str, hint: Any) -> str:  # any annotation
    """What a field of a dataclass that was mapped is called there."""
    declared, base = type_of(cls), base_of(cls, name)
    assert declared is not None
    properties = (base or declared).members == "properties"
    clr = given_name(hint) or (f"<{pascal(name)}{BACKING}" if properties else name)
    private = clr.endswith(BACKING) or any(mark.private for mark in _marks(hint))
    return f"{_short(base)}+{clr}" if base is not None and private else clr


def base_of(cls: type, name: str) -> ClrType | None:
    """The base class that declares a field, if .NET has it too; None: the field is the class's own."""
    owner = next(each for each in cls.__mro__ if name in inspect.get_annotations(each))
    declared = type_of(owner)
    return declared if owner is not cls and declared is not None and declared.cls is owner else None


def _short(declared: ClrType) -> str:
    return declared.name.name.rpartition(".")[2].rpartition("+")[2]


def by_name(members: Mapping[str, Any]) -> dict[str, Any]:
    """Members by what a class calls them; those of base classes also with the class's name: ``Person+Age``."""
    found: dict[str, Any] = {}
    for name, value in members.items():
        plain, (base, plus, _) = stripped(name), name.rpartition("+")
        if plus:
            found[f"{base}+{plain}"] = value
            found.setdefault(plain, value)
        else:
            found[plain] = value
    return found


def stripped(name: str) -> str:
    """A member's name without what .NET puts around it: the base class, a property's brackets."""
    name = name.rpartition("+")[2]
    return name.removeprefix("<").removesuffix(BACKING) if name.endswith(BACKING) else name


def given_name(hint: Any) -> str | None:  # any annotation
    """The name that an annotation gives; None: it gives none."""
    return next((mark.name for mark in _marks(hint)), None)


def _marks(hint: Any) -> list[Member]:  # any annotation
    return [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Member)]


def names_in(cls: type, name: str, hint: Any) -> tuple[str, ...]:  # any annotation
    """What a field of a dataclass may be called there, as `by_name` has it."""
    names, base = possible_names(name, hint), base_of(cls, name)
    return names if base is None else (*(f"{_short(base)}+{each}" for each in names), *names)


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
