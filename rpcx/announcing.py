"""The names of a host: what is announced in directories, by the resolver plug-ins that know them."""

import logging
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from rpcx.abc import Announced, Closing
from rpcx.channels.urls import parse
from rpcx.plugins import RESOLVERS, names
from rpcx.plugins import resolver as find_resolver

log = logging.getLogger("rpcx")

SCHEME: Final = "name"  # of the resolver that knows names which do not say whose they are
AGAIN_SECONDS: Final = 2.0  # after a directory could not be told
LEAVE_SECONDS: Final = 10.0  # to take names back
EVERYWHERE: Final = re.compile(r"^([a-z0-9+.-]+://)(?:0\.0\.0\.0|\[::\]):")  # of what listens on all addresses


class Teller:
    """Tells a directory again and again what a host offers, in a thread of its own, until it is closed.

    Args:
        directory: what to call it in the log.
        tell: does so once; seconds until it is to be done again.
        leave: takes it all back.
    """

    def __init__(self, directory: str, tell: Callable[[], float], leave: Callable[[], None]) -> None:
        self._directory = directory
        self._tell = tell
        self._leave = leave
        self._complaint = ""  # the last that was logged
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rpcx-names", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the names out of the directory."""
        self._closing.set()
        self._thread.join(LEAVE_SECONDS)

    def complain(self, text: str) -> None:
        """Once for each reason; empty: all is well again."""
        if text and text != self._complaint:
            log.warning("%s", text)
        self._complaint = text

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            try:
                pause = self._tell()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is tried again
                pause = AGAIN_SECONDS
                self.complain(f"the directory {self._directory} cannot be told this host's names: {error}")
        self._leave()


def for_others(url: str) -> str:
    """A URL with "all addresses" in it, as others can dial it."""
    return EVERYWHERE.sub(lambda match: f"{match[1]}{socket.gethostname()}:", url, count=1)


class Announcements:
    """What a host announces while it runs.

    Args:
        urls: where the host listens now.
    """

    def __init__(self, urls: Callable[[], Sequence[str]]) -> None:
        self._urls = urls
        self._names: dict[str, tuple[str, dict[str, str]]] = {}  # name → (the object's uri, tags)
        self._running: list[Closing] | None = None

    def add(self, name: str, uri: str, tags: Mapping[str, str] | None) -> None:
        """Have the object at ``uri`` found by ``name``.

        Raises:
            ValueError: it is no name, or in use here; or the host runs already.
        """
        if self._running is not None:
            raise ValueError(f"name={name!r}: names are given before the host runs")
        if name in self._names:
            raise ValueError(f"name={name!r}: {self._names[name][0]} has it already")
        self._resolver(name).place(name)
        self._names[name] = (uri, dict(tags or {}))

    def start(self) -> None:
        """Announce from now on: by one connection for each directory."""
        places: dict[tuple[str, str], tuple[Any, list[str]]] = {}  # a resolver, and the names it is to announce
        for name in self._names:
            resolver = self._resolver(name)
            key = (type(resolver).__qualname__, resolver.place(name))
            places.setdefault(key, (resolver, []))[1].append(name)
        self._running = [resolver.announce(own[0], self._offers(own)) for resolver, own in places.values()]

    def close(self) -> None:
        """Announce no more."""
        running, self._running = self._running or [], []
        for each in running:
            each.close()

    def _offers(self, own: list[str]) -> Callable[[], list[Announced]]:
        return lambda: [Announced(name, self._with(self._names[name][0]), self._names[name][1]) for name in own]

    def _with(self, uri: str) -> list[str]:
        return [str(replace(parse(url), uri=uri)) for url in self._urls()]

    def _resolver(self, name: str) -> Any:  # one that announces too
        make = find_resolver(name) or find_resolver(f"{SCHEME}:")
        resolver = make() if make is not None else None
        if not hasattr(resolver, "announce"):
            raise ValueError(
                f"name={name!r}: no plug-in announces such names; there are: {', '.join(names(RESOLVERS))}"
            )
        return resolver
