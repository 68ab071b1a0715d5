"""What happens that matters to security, told to whoever keeps a log of it (`rpcx.security.audit_log`).

    audit.event("auth-fail", peer=facts, result="its key is not trusted here")

One test and nothing else until a host keeps a log. Arguments and results of calls are never told.

    listen          a door was opened                    authz-deny     a call was refused, and why in truth
    accept-reject   a connection was turned away         limit-hit      a bound was reached
    auth-ok         a peer is known and connected        create         a client made an object, or failed to
    auth-fail       a peer did not prove who it is       lease-expire   an object ended, and why
    key-change      whose keys are trusted has changed   revoke         a live session lost its trust
    impersonate     a method acted as its caller
"""

import os
from collections.abc import Mapping
from typing import Protocol

from rpcx.abc import PeerFacts


class Keeper(Protocol):
    """Something that keeps events."""

    def write(self, kind: str, peer: PeerFacts | None, fields: Mapping[str, object], /) -> None:
        """Keep one. Never raises."""
        ...


_keepers: tuple[Keeper, ...] = ()


def event(  # noqa: PLR0913  # keyword-only: the fields of a line
    kind: str,
    *,
    peer: PeerFacts | None = None,
    channel: str | None = None,
    address: str | None = None,
    object_type: str | None = None,
    object: str | None = None,  # noqa: A002  # the field's word; nothing here needs the built-in one
    method: str | None = None,
    result: str | None = None,
    ms: float | None = None,
    count: int | None = None,
    limit: str | None = None,
) -> None:
    """Tell of one.

    Args:
        kind: one of the names above.
        peer: who did it, where somebody did.
        channel: of what has no peer: the kind of door.
        address: likewise: which door.
        object_type: the contract's name.
        object: the object's uri or id.
        method: its name.
        result: how it went, in words.
        ms: how long it took, in milliseconds.
        count: how often, where one event stands for several.
        limit: which bound was reached, as `rpcx.Host.bounds` calls it.
    """
    if not _keepers:
        return
    fields = {
        "channel": channel, "peer": address, "object_type": object_type, "object": object, "method": method,
        "limit": limit, "result": result, "ms": ms, "count": count,
    }  # fmt: skip
    for keeper in _keepers:
        keeper.write(kind, peer, fields)


def keep(keeper: Keeper) -> None:
    """Tell it from now on."""
    global _keepers  # noqa: PLW0603  # one process, one audit: channels and keys know no host
    _keepers = (*_keepers, keeper)


def leave(keeper: Keeper) -> None:
    """Tell it no more."""
    global _keepers  # noqa: PLW0603  # likewise
    _keepers = tuple(each for each in _keepers if each is not keeper)


def _forget() -> None:
    global _keepers  # noqa: PLW0603  # likewise; a forked child's events are not the parent's
    _keepers = ()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
