"""What .NET's channels have in common, and the TCP channel: ``dotnet+tcp://host:port/application``.

The others: `rpcx.interop.dotnet.ipc`, `rpcx.interop.dotnet.http`.

.NET's TCP channel neither encrypts nor knows who calls (its ``secure`` mode is Windows's own), so it is for this user's
processes on loopback; with ``insecure=True`` for all of them, or for the networks that a host names
(`rpcx.interop.plain`).

.NET calls back over a connection of its own, to an address that a client's references name. Both halves of that are
off unless a URL ends with ``?callbacks=yes``: a host then connects to clients, always to the machine or process they
called from, whatever their references say; a client then listens too, for the server to call.
"""

from typing import Any, Final

from rpcx.abc import Address, Listener, PeerFacts, Stream
from rpcx.channels.sockets import SocketListener
from rpcx.channels.urls import Url, host_port
from rpcx.errors import AccessDenied, NotSent
from rpcx.interop.dotnet.appdomain import AppDomain, domain_of
from rpcx.interop.dotnet.caller import ClientSession
from rpcx.interop.dotnet.framing import Frames, Wire
from rpcx.interop.dotnet.lines import Lines
from rpcx.interop.dotnet.objref import ObjRef
from rpcx.interop.dotnet.server import ServerSession
from rpcx.interop.dotnet.session import Session
from rpcx.interop.plain import PlainTcp
from rpcx.plugins import channel as find_channel

DIAL_SECONDS: Final = 5.0  # for one more connection to a server or client that is known
CALLBACKS: Final = "callbacks"  # in a URL: "yes" enables them


class RemotingChannel:
    """A channel that speaks .NET Remoting. One is made for each URL that is listened on or connected to."""

    name = ""  # the URL scheme

    def __init__(self) -> None:
        self._url = ""  # where it listens, in .NET's spelling; empty: it does not

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> Stream:
        raise NotImplementedError

    def listen(self, address: Address, *, insecure: bool = False) -> Listener:
        raise NotImplementedError

    def session(self, realm: Any, address: Address, facts: PeerFacts, role: str) -> Session:  # a Realm
        """One end of a new connection."""
        domain = domain_of(realm)
        callbacks = address.params.get(CALLBACKS) == "yes"
        if role == "server":
            self._known(domain, address.uri)
            return ServerSession(domain, facts, self.served(realm.limits.message), self._back if callbacks else None)
        if callbacks and not domain.urls:
            self._open_door(domain, insecure=not facts.private)
        lines = _lines(domain, self._server(address), insecure=not facts.private)
        line = self.client(domain, facts, address, lines)
        lines.add(line)
        lines.face = lines.face or line
        return line

    def _server(self, address: Address) -> Url:
        """What connections to a server are known by: what it is called, and how."""
        params = {name: value for name, value in address.params.items() if name in self.params}
        return Url(self.name, address.location, address.uri, params=params)

    # --- what each channel has -----------------------------------------------------------------------------------

    params: tuple[str, ...] = ()  # those of a URL that say how a server is called

    def served(self, most: int) -> Wire:
        """How a client's frames of ``most`` bytes are read, and answered."""
        return Frames(most)

    def client(self, domain: AppDomain, facts: PeerFacts, address: Address, lines: Lines) -> ClientSession:
        """A connection to a server, or back to a client."""
        wire = Frames(domain.realm.limits.message)
        return ClientSession(domain, facts, wire, self.spelled(address), address.uri, lines)

    def dial(self, address: Address, timeout: float, *, insecure: bool) -> Stream:
        """Reach a client that was let in and is called back."""
        return self.connect(address, timeout, insecure=insecure)

    def spelled(self, address: Address) -> str:
        """A server's URL as requests begin with it: ``tcp://127.0.0.1:1233``."""
        raise NotImplementedError

    def door(self) -> Url:
        """Where a client listens."""
        raise NotImplementedError

    def way_back(self, url: str, peer: PeerFacts) -> Url | None:
        """Where to reach an object of ``peer``'s whose reference has ``url``; None: not over this channel."""
        raise NotImplementedError

    # --- callbacks -------------------------------------------------------------------------------------------------

    def _known(self, domain: AppDomain, application: str) -> None:
        """References say from now on that objects are reached here."""
        if self._url and self._url not in domain.urls:
            domain.urls.append(self._url)
            domain.applications.add(application)

    def _open_door(self, domain: AppDomain, *, insecure: bool) -> None:
        """Listen for the server that this client calls."""
        listener = self.listen(self.door(), insecure=insecure)
        self._known(domain, "")
        domain.realm.admit(listener, lambda facts: self._visitor(domain, facts))

    def _visitor(self, domain: AppDomain, facts: PeerFacts) -> Session:
        visitor = ServerSession(domain, facts, self.served(domain.realm.limits.message), self._home)
        domain.realm.endpoints.add(visitor)
        return visitor

    def _back(self, domain: AppDomain, parts: ObjRef, peer: PeerFacts) -> ClientSession:
        """The way to a client's object."""
        ways = [way for url in parts.urls if (way := self.way_back(url, peer)) is not None]
        if not ways:
            raise AccessDenied(
                f"{peer}: a reference to {parts.uri[:200]!r} without a {self.name} channel: the client listens "
                "nowhere (RegisterChannel there, with a port)"
            )
        lines = _lines(domain, ways[0], insecure=not peer.private, back=True)
        if lines.face is None:  # connected at the first call, in the thread that makes it
            lines.face = self.client(domain, peer, ways[0], lines)
        face: ClientSession = lines.face
        return face

    def _home(self, domain: AppDomain, parts: ObjRef, peer: PeerFacts) -> ClientSession:
        """The way to an object of a server that this client is connected to already."""
        ways = [way.location for url in parts.urls if (way := self.way_back(url, peer)) is not None]
        for where, lines in domain.servers():
            if where.scheme == self.name and any(_same(where.location, way) for way in ways):
                face: ClientSession = lines.face
                return face
        raise AccessDenied(f"{peer}: a reference to {parts.uri[:200]!r} of a server that this client did not dial")


class OverTcp(RemotingChannel):
    """Those that a port of the machine is for."""

    scheme = ""  # of URLs in .NET's spelling
    plain: PlainTcp  # whom it lets in

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> Stream:
        """Reach a .NET server on this machine."""
        return self.plain.connect(address, timeout, insecure=insecure)

    def dial(self, address: Address, timeout: float, *, insecure: bool) -> Stream:
        return self.plain.dial(address, timeout) if insecure else self.connect(address, timeout)

    def listen(self, address: Address, *, insecure: bool = False) -> Listener:
        """Open a port for .NET clients on this machine."""
        return self._listening(self.plain.listen(address, insecure=insecure), address)

    def listen_from(self, address: Address) -> Listener:
        """Open a port for .NET clients elsewhere."""
        return self._listening(self.plain.listen_from(address), address)

    def _listening(self, listener: SocketListener, address: Address) -> SocketListener:
        location = listener.url.partition("://")[2]
        self._url = f"{self.scheme}://{location}"
        listener.url = f"{self.name}://{location}{f'/{address.uri}' if address.uri else ''}"
        return listener

    def spelled(self, address: Address) -> str:
        return f"{self.scheme}://{address.location}"

    def door(self) -> Url:
        return Url(self.name, "127.0.0.1:0")

    def way_back(self, url: str, peer: PeerFacts) -> Url | None:
        scheme, _, rest = url.partition("://")
        try:
            port = host_port(rest.partition("/")[0])[1]
        except ValueError:
            return None
        machine = peer.address.rpartition(":")[0]  # whatever the URL says
        return Url(self.name, f"{machine}:{port}") if scheme == self.scheme else None


class DotnetTcpChannel(OverTcp):
    """.NET's TcpChannel."""

    name = "dotnet+tcp"
    scheme = "tcp"
    plain = PlainTcp(".NET Remoting", name)


def _same(one: str, other: str) -> bool:
    """Whether two locations on loopback are one: 127.0.0.1 and localhost are."""
    return one.rpartition(":")[2] == other.rpartition(":")[2]


# --- further connections -----------------------------------------------------------------------------------------
#
# A server may be reached over several, and a client called back over others than its own. Where the kernel's word let
# the first one in (then it is private), each further one needs it too: a port may be another user's by then.


def _lines(domain: AppDomain, where: Url, *, insecure: bool, back: bool = False) -> Lines:
    return domain.lines(where, lambda: Lines(lambda: _dialled(domain, where, insecure=insecure, back=back)))


def _dialled(domain: AppDomain, where: Url, *, insecure: bool, back: bool) -> ClientSession:
    """One more connection to a server; ``back``: it is a client that was let in."""
    channel: RemotingChannel = find_channel(where.scheme)()
    dial = channel.dial if back else channel.connect
    stream = dial(where, DIAL_SECONDS, insecure=insecure)
    session = channel.client(domain, stream.facts, where, _lines(domain, where, insecure=insecure, back=back))
    if not domain.realm.join(stream, session):
        stream.close()
        raise NotSent(f"{where}: this connection was closed; connect again")
    domain.realm.endpoints.add(session)
    return session
