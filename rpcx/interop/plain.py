"""Plain TCP for protocols of others, which neither encrypt nor know who calls.

On loopback ``insecure=True`` says that every user of this machine is trusted, as with rpcx's own protocol. Beyond it
there is no TLS to fall back on, so a host must also say which networks it is for, ``allow_from=``, and is asked for no
more than that: whoever calls from there has proved nothing, and may do what rules allow everybody (``"*"``).
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any, Final

from rpcx.abc import Address, PeerFacts
from rpcx.channels import tcp
from rpcx.channels.sockets import SocketListener, SocketStream
from rpcx.channels.urls import host_port
from rpcx.errors import AccessDenied

WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound
WARNING: Final = "neither encrypts nor knows who calls"


@dataclass(slots=True)
class PlainPeer(PeerFacts):
    """A client that came in plain."""

    reached: str = ""  # the address of this machine that it called


class PlainTcp:
    """One protocol's.

    Args:
        protocol: what people call it.
        scheme: of its URLs.
    """

    def __init__(self, protocol: str, scheme: str) -> None:
        self._protocol = protocol
        self._scheme = scheme

    def connect(self, address: Address, timeout: float, *, insecure: bool) -> SocketStream:
        """Reach a server on this machine.

        Raises:
            AccessDenied: it is elsewhere, or nobody said ``insecure=True``.
            NotSent: nobody listens there.
        """
        self._insist(address, insecure=insecure)
        self._check(address, "a tunnel to it may begin on loopback")
        return self.dial(address, timeout)

    def dial(self, address: Address, timeout: float) -> SocketStream:
        """Reach a server anywhere: the way back to a client that was let in."""
        stream = tcp.TcpChannel().connect_plain(address, timeout)
        stream.facts.channel = self._scheme
        return stream

    def listen(self, address: Address, *, insecure: bool) -> SocketListener:
        """Open a port for clients on this machine. Raises AccessDenied, and OSError when it is taken."""
        self._insist(address, insecure=insecure)
        self._check(address, 'say from where clients may come, listen(..., insecure=True, allow_from=["192.0.2.0/24"])')
        return tcp.TcpChannel().listen_plain(address, self._admit)

    def listen_from(self, address: Address) -> SocketListener:
        """The same for clients elsewhere, of whom the host looks at where they come from."""
        return tcp.TcpChannel().listen_plain(address, self._admit)

    def _admit(self, sock: socket.socket, where: Any) -> PeerFacts:  # a socket address
        facts = tcp.admit(sock, where)
        local = ipaddress.ip_address(where[0].partition("%")[0]).is_loopback
        return PlainPeer(self._scheme, facts.address, owner=local, reached=sock.getsockname()[0])

    def _insist(self, address: Address, *, insecure: bool) -> None:
        if not insecure:
            raise AccessDenied(f"{address}: {self._protocol} {WARNING}, so it needs insecure=True")

    def _check(self, address: Address, advice: str) -> None:
        beyond = tcp.beyond_loopback(address.location)
        if beyond is not None:
            raise AccessDenied(f"{address}: {beyond} is no loopback address, and {self._protocol} {WARNING}: {advice}")


def as_reached(location: str, peer: PeerFacts) -> str:
    """A listener's ``host:port`` for ``peer`` to be told: of all addresses of this machine, the one that it called."""
    host, port = host_port(location)
    if host not in WILDCARDS or not isinstance(peer, PlainPeer):
        return location
    return f"[{peer.reached}]:{port}" if ":" in peer.reached else f"{peer.reached}:{port}"
