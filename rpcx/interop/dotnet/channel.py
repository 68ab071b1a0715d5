"""The channels of .NET Remoting: ``dotnet+tcp://host:port/application``.

.NET's TCP channel neither encrypts nor knows who calls (its ``secure`` mode is Windows's own), so it is admitted on
loopback only, and with ``insecure=True`` only.

.NET calls back over a connection of its own, to an address that a client's references name. Both halves of that are
off unless a URL ends with ``?callbacks=yes``: a host then connects to clients, always to the machine they called from,
whatever their references say; a client then opens a port on loopback, for the server to call.
"""

from typing import Any, Final

from rpcx.abc import Address, Listener, PeerFacts, Stream
from rpcx.channels.tcp import TcpChannel
from rpcx.channels.urls import Url, host_port
from rpcx.errors import AccessDenied, NotSent
from rpcx.interop.dotnet.appdomain import AppDomain, domain_of
from rpcx.interop.dotnet.caller import ClientSession
from rpcx.interop.dotnet.lines import Lines
from rpcx.interop.dotnet.objref import ObjRef
from rpcx.interop.dotnet.server import ServerSession
from rpcx.interop.dotnet.session import Session

DIAL_SECONDS: Final = 5.0  # for one more connection to a server or client that is known
CALLBACKS: Final = "callbacks"  # in a URL: "yes" enables them


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
        callbacks = address.params.get(CALLBACKS) == "yes"
        if role == "server":
            self._known(domain, address.uri)
            return ServerSession(domain, facts, self._back if callbacks else None)
        if callbacks and not self._url and not domain.urls:
            self._open_door(domain)
        line = _line(domain, f"tcp://{address.location}", address.uri, facts)
        line.lines.add(line)
        return line

    def _known(self, domain: AppDomain, application: str) -> None:
        """References say from now on that objects are reached here."""
        if self._url and self._url not in domain.urls:
            domain.urls.append(self._url)
            domain.applications.add(application)

    def _open_door(self, domain: AppDomain) -> None:
        """A port for the server that a client calls, to call back."""
        listener = self.listen(Url(self.name, "127.0.0.1:0"), insecure=True)
        self._known(domain, "")
        domain.realm.admit(listener, lambda facts: self._visitor(domain, facts))

    def _visitor(self, domain: AppDomain, facts: PeerFacts) -> Session:
        visitor = ServerSession(domain, facts, self._home)
        domain.realm.endpoints.add(visitor)
        return visitor

    def _back(self, domain: AppDomain, parts: ObjRef, peer: PeerFacts) -> ClientSession:
        """The way to a client's object: the port that its reference names, on the machine that it called from."""
        ports = [port for url in parts.urls if (port := _port(url)) is not None]
        if not ports:
            raise AccessDenied(
                f"{peer}: a reference to {parts.uri[:200]!r} without a TCP channel: the client listens nowhere "
                "(RegisterChannel(new TcpChannel(0)) there)"
            )
        machine = peer.address.rpartition(":")[0]
        line: ClientSession = _lines(domain, f"tcp://{machine}:{ports[0]}", "").any()
        return line

    @staticmethod
    def _home(domain: AppDomain, parts: ObjRef, peer: PeerFacts) -> ClientSession:
        """The way to an object of a server that this client is connected to already."""
        ports = {_port(url) for url in parts.urls}
        lines = next((lines for url, lines in domain.servers() if _port(url) in ports), None)
        if lines is None:
            raise AccessDenied(f"{peer}: a reference to {parts.uri[:200]!r} of a server that this client did not dial")
        line: ClientSession = lines.any()
        return line


def _lines(domain: AppDomain, url: str, application: str) -> Lines:
    return domain.lines(url, application, lambda: Lines(lambda: _dialled(domain, url, application)))


def _line(domain: AppDomain, url: str, application: str, facts: PeerFacts) -> ClientSession:
    return ClientSession(domain, facts, url, application, _lines(domain, url, application))


def _dialled(domain: AppDomain, url: str, application: str) -> ClientSession:
    """One more connection to a server."""
    location = url.partition("://")[2]
    stream = DotnetTcpChannel().connect(Url(DotnetTcpChannel.name, location), DIAL_SECONDS, insecure=True)
    session = _line(domain, url, application, stream.facts)
    if not domain.realm.join(stream, session):
        stream.close()
        raise NotSent(f"{url}: this connection was closed; connect again")
    domain.realm.endpoints.add(session)
    return session


def _port(url: str) -> int | None:
    scheme, _, rest = url.partition("://")
    try:
        return host_port(rest.partition("/")[0])[1] if scheme == "tcp" else None
    except ValueError:
        return None


def _insist(address: Address, *, insecure: bool) -> None:
    if not insecure:
        raise AccessDenied(
            f"{address}: .NET Remoting neither encrypts nor knows who calls, so it needs insecure=True, and is for "
            "loopback only"
        )
