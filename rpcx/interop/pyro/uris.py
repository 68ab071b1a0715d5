"""Pyro5's own spellings of where an object is: ``PYRO:bank@host:port``, ``PYRONAME:bank@host:port``."""

import re
from typing import Final
from urllib.parse import quote

from rpcx.client import connect
from rpcx.errors import ObjectNotFound
from rpcx.interop.pyro.daemon import URI
from rpcx.remoting.contract import Marks, Method, MethodKind

NAME: Final = re.compile(r"PYRONAME:([^\s@]+)(?:@([^\s@]+))?\Z")
NAME_SERVER: Final = "Pyro.NameServer"
DEFAULT_LOCATION: Final = "127.0.0.1:9090"  # where a name server listens unless it is told otherwise


class PyroUri:
    """``PYRO:bank@host:port``."""

    def resolve(self, name: str, timeout: float, *, insecure: bool = False) -> list[str]:
        """The same as a URL. Raises ValueError: it is none."""
        match = URI.match(name)
        if match is None:
            raise ValueError(f"{name!r} is no URI of Pyro5's; it looks like PYRO:bank@127.0.0.1:9091")
        return [f"pyro://{match[2]}/{quote(match[1], safe='/')}"]


class PyroName:
    """``PYRONAME:bank``, looked up in Pyro5's name server, on this machine unless a place is given."""

    def resolve(self, name: str, timeout: float, *, insecure: bool = False) -> list[str]:
        """Ask the name server.

        Raises:
            ObjectNotFound: it knows no such name.
            NotSent: there is no name server.
        """
        match = NAME.match(name)
        if match is None:
            raise ValueError(f"{name!r} is no name of Pyro5's; it looks like PYRONAME:bank or PYRONAME:bank@host:port")
        location = match[2] or DEFAULT_LOCATION
        with connect(f"pyro://{location}", timeout=timeout, insecure=insecure) as names:
            try:
                uri = names.call(NAME_SERVER, LOOKUP, (match[1],), {})
            except Exception as error:
                if getattr(error, "type_name", "") != "Pyro5.errors.NamingError":
                    raise
                raise ObjectNotFound(f"the name server at {location} knows no {match[1]!r}", uri=match[1]) from None
        return PyroUri().resolve(str(uri), timeout)


def _lookup(self: object, name: str) -> str:
    raise NotImplementedError  # the signature of the name server's method


LOOKUP: Final = Method("lookup", MethodKind.CALL, _lookup, Marks(), "NameServer.lookup")
