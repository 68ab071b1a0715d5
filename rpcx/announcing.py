"""The names of a host: what is announced in directories, by the resolver plug-ins that know them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from rpcx.abc import Announced, Closing
from rpcx.channels.urls import parse
from rpcx.plugins import RESOLVERS, names
from rpcx.plugins import resolver as find_resolver

SCHEME: Final = "name"  # of the resolver that knows names which do not say whose they are


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
