"""Pyro5's own spelling of where an object is: ``PYRO:bank@host:port``."""

from urllib.parse import quote

from rpcx.interop.pyro.daemon import URI


class PyroUri:
    """``PYRO:bank@host:port``."""

    def resolve(self, name: str, timeout: float, *, insecure: bool = False) -> list[str]:
        """The same as a URL. Raises ValueError: it is none."""
        match = URI.match(name)
        if match is None:
            raise ValueError(f"{name!r} is no URI of Pyro5's; it looks like PYRO:bank@127.0.0.1:9091")
        if match[2].startswith("./u:"):
            raise ValueError(f"{name!r}: Pyro5's Unix sockets are not spoken here; let that daemon listen on a port")
        return [f"pyro://{match[2]}/{quote(match[1], safe='/')}"]
