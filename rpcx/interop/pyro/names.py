"""Pyro5's name server as a directory: ``PYRONAME:bank`` is looked up there, and hosts may enter their names.

It has no leases: a name stays until somebody takes it out. So a host looks from time to time whether its names are
still there, since the name server may have been started anew; takes them out when it closes; and leaves alone what
another program has entered since under the same name, as Pyro5 programs do when they are started anew.
"""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from rpcx.abc import Announced
from rpcx.announcing import Teller, for_others
from rpcx.channels.urls import parse
from rpcx.client import Server, connect
from rpcx.errors import ObjectNotFound, RemoteError, RpcxError
from rpcx.interop.pyro.uris import PyroUri
from rpcx.remoting.decorators import remote

log = logging.getLogger("rpcx")

NAME: Final = re.compile(r"PYRONAME:([^\s@]+)(?:@([^\s@]+))?\Z")
URI: Final = "Pyro.NameServer"
DEFAULT_LOCATION: Final = "127.0.0.1:9090"  # where a name server listens unless it is told otherwise
UNKNOWN: Final = "Pyro5.errors.NamingError"
CONNECT_SECONDS: Final = 5.0
RENEW_SECONDS: Final = 10.0  # between two looks whether a name is still there


@remote(name="Pyro.NameServer")
class NameServer:
    """Pyro5's, as far as it is used here."""

    def lookup(self, name: str) -> str:
        """The URI of a name."""
        raise NotImplementedError

    def register(self, name: str, uri: str, *, safe: bool = False, metadata: list[str] | None = None) -> None:
        """Enter it; ``safe``: unless it is there."""
        raise NotImplementedError

    def remove(self, name: str) -> int:
        """Take it out; how many there were."""
        raise NotImplementedError


class PyroName:
    """``PYRONAME:bank``, in Pyro5's name server on this machine unless a place is given."""

    def resolve(self, name: str, timeout: float, *, insecure: bool = False) -> list[str]:
        """Ask the name server.

        Raises:
            ObjectNotFound: it knows no such name.
            NotSent: there is no name server.
        """
        plain, location = _placed(name)
        with connect(f"pyro://{location}", timeout=timeout, insecure=insecure) as server:
            uri = _found(server.get(NameServer, URI), plain)
        if uri is None:
            raise ObjectNotFound(f"the name server at {location} knows no {plain!r}", uri=plain)
        return PyroUri().resolve(uri, timeout)

    def place(self, name: str) -> str:
        """Where the name server is. Raises ValueError: it is no name of Pyro5's."""
        return _placed(name)[1]

    def announce(self, name: str, offers: Callable[[], Sequence[Announced]]) -> "Announcer":
        """Keep what is offered in the name server of ``name`` until what is returned is closed."""
        return Announcer(_placed(name)[1], offers)


class Announcer:
    """Keeps a host's names in one name server, until it is closed.

    Args:
        location: its host:port.
        offers: what is to be entered now; asked again each time.
    """

    def __init__(self, location: str, offers: Callable[[], Sequence[Announced]]) -> None:
        self._location = location
        self._offers = offers
        self._server: Server | None = None
        self._entered: dict[str, str] = {}  # name -> URI, of ours
        self._teller = Teller(f"pyro://{location}", self._announce, self._leave)

    def close(self) -> None:
        """Take the names out of the name server."""
        self._teller.close()

    def _announce(self) -> float:
        if self._server is None:
            self._server = connect(f"pyro://{self._location}", timeout=CONNECT_SECONDS)
        names, complaint = self._server.get(NameServer, URI), ""
        for offer in self._offers():
            plain = _placed(offer.name)[0]
            uri = _uri(offer.urls)
            if uri is None:
                complaint = f"the name {plain!r} is not in the name server: this host does not listen on pyro://"
            else:
                self._keep(names, plain, uri, [f"{key}={value}" for key, value in offer.tags.items()])
        self._teller.complain(complaint)
        return RENEW_SECONDS

    def _keep(self, names: NameServer, name: str, uri: str, tags: list[str]) -> None:
        known, before = _found(names, name), self._entered.get(name)
        if known == uri and before == uri:
            return
        if before is not None and known not in (None, before, uri):
            if before:
                log.warning("the name %r was entered anew by another program, as %s; it keeps it", name, known)
            self._entered[name] = ""
            return
        names.register(name, uri, metadata=tags)
        self._entered[name] = uri

    def _leave(self) -> None:
        if self._server is None:
            return
        names = self._server.get(NameServer, URI)
        try:
            for name, uri in self._entered.items():
                if uri and _found(names, name) == uri:
                    names.remove(name)
        except (RpcxError, OSError) as error:
            log.warning("the names %s stay in the name server at %s: %s", list(self._entered), self._location, error)
        self._server.close()


def _placed(text: str) -> tuple[str, str]:
    match = NAME.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no name of Pyro5's; it looks like PYRONAME:bank or PYRONAME:bank@host:port")
    location = match[2] or DEFAULT_LOCATION
    if ":" not in location.rpartition("]")[2]:  # a host alone: the usual port
        location = f"{location}:{DEFAULT_LOCATION.rpartition(':')[2]}"
    return match[1], location


def _found(names: NameServer, name: str) -> str | None:
    try:
        return names.lookup(name)
    except RemoteError as error:
        if error.type_name != UNKNOWN:
            raise
        return None


def _uri(urls: Sequence[str]) -> str | None:
    """Of the first channel that speaks Pyro5."""
    for url in urls:
        if url.startswith("pyro://"):
            found: Any = parse(for_others(url))
            return f"PYRO:{found.uri}@{found.location}"
    return None
