"""The channel of Pyro5: ``pyro://host:port``.

Pyro5 neither encrypts nor knows who calls, unless certificates are set up on its side, so it is for this user's
processes on loopback; with ``insecure=True`` for all of them, or for the networks that a host names
(`rpcx.interop.plain`).

Pyro5 calls back over a connection of its own. Both halves of that are off unless a URL ends with ``?callbacks=yes``: a
host then connects to clients (`rpcx.interop.pyro.ways`); a client then listens too, for the server to call.
"""

from typing import Any, Final

from rpcx.abc import Address, Listener, PeerFacts, Stream
from rpcx.channels.sockets import SocketListener
from rpcx.channels.urls import Url
from rpcx.interop.plain import PlainTcp
from rpcx.interop.pyro.daemon import Daemon, daemon_of
from rpcx.interop.pyro.server import Elsewhere, ServerSession
from rpcx.interop.pyro.session import Session

PLAIN: Final = PlainTcp("Pyro5", "pyro")
CALLBACKS: Final = "callbacks"  # in a URL: "yes" enables them


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
        callbacks = address.params.get(CALLBACKS) == "yes"
        if role == "client":
            from rpcx.interop.pyro.client import ClientSession
            from rpcx.interop.pyro.lines import Lines

            if callbacks and not daemon.locations:
                self._open_door(daemon, insecure=not facts.private)
            made = ClientSession(daemon, address, facts, main=True)
            made.lines = Lines(made, lambda seconds: self.connect(address, seconds, insecure=not facts.private))
            return made
        self._known(daemon)
        return ServerSession(daemon, facts, self._back(daemon) if callbacks else None)

    def _known(self, daemon: Daemon) -> None:
        """References say from now on that objects are reached here."""
        if self._location and self._location not in daemon.locations:
            daemon.locations.append(self._location)

    # --- calls back ------------------------------------------------------------------------------------------------

    def _open_door(self, daemon: Daemon, *, insecure: bool) -> None:
        """Listen for the server that this client calls."""
        listener = self.listen(Url(self.name, "127.0.0.1:0"), insecure=insecure)
        self._known(daemon)
        daemon.realm.admit(listener, lambda facts: self._visitor(daemon, facts))

    def _visitor(self, daemon: Daemon, facts: PeerFacts) -> Session:
        from rpcx.interop.pyro.ways import at_home

        visitor = ServerSession(daemon, facts, lambda uri, _: at_home(daemon, uri))
        daemon.realm.endpoints.add(visitor)
        return visitor

    def _back(self, daemon: Daemon) -> Elsewhere:
        from rpcx.interop.pyro.ways import called_back

        return lambda uri, peer: called_back(daemon, _dial, uri, peer)


def _dial(address: Address, timeout: float, *, insecure: bool) -> Stream:
    """Reach a client that was let in: wherever it called from, or as this user's."""
    return PLAIN.dial(address, timeout) if insecure else PLAIN.connect(address, timeout, insecure=False)
