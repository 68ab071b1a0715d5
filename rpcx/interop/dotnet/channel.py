"""The channels of .NET Remoting: ``dotnet+tcp://host:port/application``.

.NET's TCP channel neither encrypts nor knows who calls (its ``secure`` mode is Windows's own), so it is admitted on
loopback only, and with ``insecure=True`` only.
"""

from typing import Any

from rpcx.abc import Address, Listener, PeerFacts, Stream
from rpcx.channels.tcp import TcpChannel
from rpcx.errors import AccessDenied
from rpcx.interop.dotnet.appdomain import domain_of
from rpcx.interop.dotnet.server import ServerSession
from rpcx.interop.dotnet.session import Session


class DotnetTcpChannel:
    """.NET's TcpChannel."""

    name = "dotnet+tcp"

    def __init__(self) -> None:
        self._url = ""  # where it listens, in .NET's spelling; empty: it does not

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> Stream:
        """Reach a .NET server on this machine."""
        _insist(address, insecure=insecure)
        stream = TcpChannel().connect(address, timeout, insecure=True)
        stream.facts.channel = self.name
        return stream

    def listen(self, address: Address, *, insecure: bool = False) -> Listener:
        """Open a port for .NET clients on this machine."""
        _insist(address, insecure=insecure)
        listener = TcpChannel().listen(address, insecure=True)
        self._url = listener.url
        application = f"/{address.uri}" if address.uri else ""
        listener.url = f"dotnet+{listener.url}{application}"
        return listener

    def session(self, realm: Any, address: Address, facts: PeerFacts, role: str) -> Session:  # a Realm
        """One end of a new connection."""
        domain = domain_of(realm)
        if self._url and self._url not in domain.urls:
            domain.urls.append(self._url)
            domain.applications.add(address.uri)
        return ServerSession(domain, facts)


def _insist(address: Address, *, insecure: bool) -> None:
    if not insecure:
        raise AccessDenied(
            f"{address}: .NET Remoting neither encrypts nor knows who calls, so it needs insecure=True, and is for "
            "loopback only"
        )
