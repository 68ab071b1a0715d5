"""The way back: daemons of clients, whose objects came as arguments, called over connections that this side dials.

Pyro5 calls back by connecting to the address in a proxy. Unless a URL ends with ``?callbacks=yes`` no message has that
power (`rpcx.interop.pyro.values`), and then it has little: the machine is the one that the client called from,
whatever the proxy says, and only the port is taken from it. Who had to be this very user to be let in is called back
only if a process of this user's listens there.
"""

import ipaddress
import threading
from typing import Any, Final, Protocol

from rpcx.abc import PeerFacts, Stream
from rpcx.channels.urls import Url, host_port
from rpcx.errors import LimitExceeded, NotSent
from rpcx.interop.pyro.client import UNNAMED, ClientSession
from rpcx.interop.pyro.daemon import URI, Daemon
from rpcx.interop.pyro.lines import Lines, Reach, joined
from rpcx.remoting.proxy import make_proxy
from rpcx.remoting.references import Reference

MOST: Final = 1_000  # daemons that are called back


class Dial(Protocol):
    """Reaches a daemon."""

    def __call__(self, address: Url, timeout: float, /, *, insecure: bool) -> Stream: ...


class Way:
    """To one daemon. Its `face` is what references point to; it connects at the first call, and anew if it has to."""

    def __init__(self, daemon: Daemon, address: Url, facts: PeerFacts, reach: Reach) -> None:
        self.face = self._present = ClientSession(daemon, address, facts)
        self.face.error = NotSent(f"{address}: not connected yet")
        self.face.finished = True
        self._reach = reach
        self._lock = threading.Lock()  # one thread at a time connects
        self._adopt(self.face)

    @property
    def open(self) -> bool:
        """Whether it is connected."""
        return self._present.error is None

    def _adopt(self, session: ClientSession) -> None:
        session.revive, session.revive_async = self._connect, self._connect_async
        session.lines = Lines(session, self._reach)

    def _connect(self) -> None:
        with self._lock:
            if self.open:
                return  # another thread was first
            session: ClientSession = joined(self.face.beside(), self._reach)
            self._adopt(session)
            self._present.successor = self._present = session

    async def _connect_async(self) -> None:
        import asyncio

        await asyncio.get_running_loop().run_in_executor(None, self._connect)


def called_back(daemon: Daemon, dial: Dial, uri: str, peer: PeerFacts) -> Any:  # a proxy, or None
    """What stands here for a client's object; None: it is none of the machine that ``peer`` calls from.

    Raises:
        LimitExceeded: too many daemons are called back.
    """
    match = URI.match(uri)
    location = None if match is None else _location(match[2], peer)
    if match is None or location is None:
        return None
    insecure = not peer.private  # else the kernel's word let it in, and is asked for here too
    key = (location, insecure)
    way = daemon.ways.get(key)
    if way is None:
        if len(daemon.ways) >= MOST:
            daemon.ways = {key: known for key, known in daemon.ways.items() if known.open}
        if len(daemon.ways) >= MOST:
            raise LimitExceeded(f"{MOST} daemons of Pyro clients are called back already")
        address = Url("pyro", location)
        way = Way(daemon, address, peer, lambda seconds: dial(address, seconds, insecure=insecure))
        daemon.ways[key] = way
    return make_proxy(Reference(way.face, match[1], UNNAMED), way.face.flavour)


def at_home(daemon: Daemon, uri: str) -> Any:  # a proxy, or None
    """What stands here for an object of the server that this client has dialled; None: it is not there."""
    match, server = URI.match(uri), daemon.client
    if match is None or server is None or match[2] != server.location:
        return None
    return make_proxy(Reference(server, match[1], UNNAMED), server.flavour)


def _location(place: str, peer: PeerFacts) -> str | None:
    """Where an object is that is said to be at ``place``; None: on another machine than ``peer``."""
    machine = peer.address.rpartition(":")[0]
    try:
        host, port = host_port(place)
    except ValueError:
        return None  # a Unix socket
    try:
        said, called = ipaddress.ip_address(host), ipaddress.ip_address(machine.strip("[]").partition("%")[0])
    except ValueError:
        return f"{machine}:{port}"  # a name: of its own machine, we take it, and ask nobody
    elsewhere = said != called and not (said.is_loopback and called.is_loopback)
    return None if elsewhere else f"{machine}:{port}"
