"""The channel of Pyro5: ``pyro://host:port``.

Pyro5 neither encrypts nor knows who calls, unless certificates are set up on its side, so it is for this user's
processes on loopback; with ``insecure=True`` for all of them, or for the networks that a host names
(`rpcx.interop.plain`).
"""

from typing import Any, Final

from rpcx.abc import Address, Listener, PeerFacts, Stream
from rpcx.channels.sockets import SocketListener
from rpcx.interop.plain import PlainTcp
from rpcx.interop.pyro.daemon import daemon_of
from rpcx.interop.pyro.server import ServerSession
from rpcx.interop.pyro.session import Session

PLAIN: Final = PlainTcp("Pyro5", "pyro")


class PyroChannel:
    """Pyro5's sockets."""

    name = "pyro"

    def __init__(self) -> None:
        self._location = ""  # where it listens; empty: it does not

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> Stream:
        """Reach a daemon on this machine."""
        return PLAIN.connect(address, timeout, insecure=insecure)

    def listen(self, address: Address, *, insecure: bool = False) -> Listener:
        """Open a port for Pyro5 clients on this machine."""
        return self._listening(PLAIN.listen(address, insecure=insecure))

    def listen_from(self, address: Address) -> Listener:
        """Open a port for Pyro5 clients elsewhere."""
        return self._listening(PLAIN.listen_from(address))

    def _listening(self, listener: SocketListener) -> SocketListener:
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
