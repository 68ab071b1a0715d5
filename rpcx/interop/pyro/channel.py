"""The channel of Pyro5: ``pyro://host:port``.

Pyro5 neither encrypts nor knows who calls, unless certificates are set up on its side, so it is admitted on loopback
only, and with ``insecure=True`` only, as plain TCP is.
"""

from typing import Any

from rpcx.abc import Address, Listener, PeerFacts, Stream
from rpcx.channels.tcp import TcpChannel
from rpcx.errors import AccessDenied
from rpcx.interop.pyro.daemon import daemon_of
from rpcx.interop.pyro.server import ServerSession
from rpcx.interop.pyro.session import Session


class PyroChannel:
    """Pyro5's sockets."""

    name = "pyro"

    def __init__(self) -> None:
        self._location = ""  # where it listens; empty: it does not

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> Stream:
        """Reach a daemon on this machine."""
        _insist(address, insecure=insecure)
        stream = TcpChannel().connect(address, timeout, insecure=True)
        stream.facts.channel = self.name
        return stream

    def listen(self, address: Address, *, insecure: bool = False) -> Listener:
        """Open a port for Pyro5 clients on this machine."""
        _insist(address, insecure=insecure)
        listener = TcpChannel().listen(address, insecure=True)
        self._location = listener.url.partition("://")[2]
        listener.url = f"pyro://{self._location}"
        return listener

    def session(self, realm: Any, address: Address, facts: PeerFacts, role: str) -> Session:  # a Realm
        """One end of a new connection."""
        daemon = daemon_of(realm)
        facts.channel = self.name
        if self._location and self._location not in daemon.locations:
            daemon.locations.append(self._location)
        if role == "client":
            from rpcx.interop.pyro.client import ClientSession

            return ClientSession(daemon, address, facts)
        return ServerSession(daemon, facts)


def _insist(address: Address, *, insecure: bool) -> None:
    if not insecure:
        raise AccessDenied(
            f"{address}: Pyro5 neither encrypts nor knows who calls, so it needs insecure=True, and is for loopback "
            "only"
        )
