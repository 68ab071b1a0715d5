"""``name://bank``: looked up in the directory, and dialled where it is nearest."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import rpcx
from rpcx.abc import Announced
from rpcx.channels.urls import parse
from rpcx.naming.announcer import Announcer
from rpcx.naming.directory import URI, Directory, Found
from rpcx.naming.place import machine, placed

NEAREST: Final = ("pipe", "tcp")  # before whatever else there is


class NameResolver:
    """Finds and announces by the directory. Plug-in: entry point ``rpcx.resolvers``."""

    def resolve(self, name: str, timeout: float, *, insecure: bool = False) -> list[str]:
        """Where ``name`` is, the nearest first.

        Raises:
            ObjectNotFound: nobody has this name.
            NotSent: the directory is not there, or the name leads nowhere from this machine.
            ValueError: it is no name.
        """
        plain, directory = placed(name)
        try:
            server = rpcx.connect(directory, timeout=timeout, insecure=insecure)
        except rpcx.NotSent as error:
            hint = "start one with: rpcx names serve; or say by RPCX_NAMES where it is"
            raise rpcx.NotSent(f"{name}: the directory of names is not there: {error}; {hint}") from error
        with server:
            found = server.get(Directory, URI).look_up(plain)
        urls = reachable(found)
        if not urls:
            raise rpcx.NotSent(f"{name} is on another machine and listens to nothing but {', '.join(found.urls)} there")
        return urls

    def announce(self, place: str, offers: Callable[[], Sequence[Announced]]) -> Announcer:
        """Keep what is offered in the directory of ``place``, a name there, until what is returned is closed."""
        _, directory = placed(place)
        return Announcer(directory, offers)

    def place(self, name: str) -> str:
        """What names of one directory have in common. Raises ValueError: it is no name."""
        return placed(name)[1]


def reachable(found: Found) -> list[str]:
    """The URLs that lead there from here, the nearest first; a pipe of another user says whose it is."""
    here = found.machine == machine()
    parsed = [parse(url) for url in found.urls]
    usable = [url for url in parsed if here or url.scheme != "pipe"]
    for url in usable:
        if url.scheme == "pipe" and found.uid is not None and found.uid != _uid():
            url.params.setdefault("user", str(found.uid))
    order = {scheme: rank for rank, scheme in enumerate(NEAREST)}
    return [str(url) for url in sorted(usable, key=lambda url: order.get(url.scheme, len(order)))]


def _uid() -> Any:  # None where there are none
    return os.getuid() if hasattr(os, "getuid") else None
