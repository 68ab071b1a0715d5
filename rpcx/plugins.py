"""Plug-ins by entry point: channels, formatters, sinks, resolvers and authenticators, the built-in ones included.

Reading an environment's metadata takes milliseconds, so a group is read at its first use only, and only the
plug-in that is asked for is loaded. `register` adds one made in code, for a program of one's own or a test.
"""

import functools
from collections.abc import Callable
from typing import Any, Final

CHANNELS: Final = "rpcx.channels"
FORMATTERS: Final = "rpcx.formatters"
SINKS: Final = "rpcx.sinks"
RESOLVERS: Final = "rpcx.resolvers"
AUTHENTICATORS: Final = "rpcx.authenticators"
GROUPS: Final = (CHANNELS, FORMATTERS, SINKS, RESOLVERS, AUTHENTICATORS)

Factory = Callable[..., Any]  # makes the plug-in; Any: what, is said by the group

_registered: Final[dict[tuple[str, str], Factory]] = {}


def channel(name: str) -> Factory:
    """What makes the channel for URLs that begin with ``name://``."""
    return _find(CHANNELS, name)


def formatter(name: str) -> Factory:
    """What makes the formatter ``name``."""
    return _find(FORMATTERS, name)


def sink(name: str) -> Factory:
    """What makes the sink ``name``."""
    return _find(SINKS, name)


def authenticator(name: str) -> Factory:
    """What makes the authenticator ``name``."""
    return _find(AUTHENTICATORS, name)


def resolver(text: str) -> Factory | None:
    """What makes the resolver for texts like this one, by the word before the colon; None: this is a URL already."""
    word = text.partition(":")[0] if isinstance(text, str) else ""
    return _find(RESOLVERS, word) if word in names(RESOLVERS) else None


def register(group: str, name: str, factory: Factory) -> None:
    """Add a plug-in without installing it; it comes before an installed one of the same name."""
    if group not in GROUPS:
        raise ValueError(f"{group!r} is no group of plug-ins: {', '.join(GROUPS)}")
    _registered[group, name] = factory
    _find.cache_clear()


def names(group: str) -> list[str]:
    """What is installed or registered in ``group``."""
    return sorted({*_installed(group), *(name for own, name in _registered if own == group)})


@functools.cache
def _installed(group: str) -> dict[str, Any]:  # importlib.metadata's entry points
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=group)}


@functools.cache
def _find(group: str, name: str) -> Factory:
    own = _registered.get((group, name))
    if own is not None:
        return own
    point = _installed(group).get(name)
    if point is not None:
        return point.load()  # type: ignore[no-any-return]  # checked when it is used
    kind = group.partition(".")[2].rstrip("s")
    if not names(group) and group != SINKS:
        raise ValueError(f"no {kind} is installed, not even rpcx's own: install rpcx (pip install -e .)")
    raise ValueError(f"no {kind} {name!r} is installed; there are: {', '.join(names(group)) or 'none'}")
