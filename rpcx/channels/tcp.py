"""TCP: mutual TLS 1.3 with pinned keys (`rpcx.security.sides`), or plain on loopback.

Nothing protects plain TCP: whoever can reach the port could call, and whoever is on the way could read. So it is
admitted on loopback, and there only where ``insecure=True`` says that every user of this machine is trusted.
What counts is the address a name resolves to, not the name.
"""

import contextlib
import errno
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rpcx.abc import Address, PeerFacts, Session
from rpcx.channels.owners import owner_of
from rpcx.channels.sockets import BACKLOG, Admit, SocketListener, SocketStream
from rpcx.channels.urls import host_port
from rpcx.errors import AccessDenied, NotSent

if TYPE_CHECKING:  # at run time only where TLS is spoken: ssl takes 10 ms to import
    from rpcx.security.secret import SecretSide
    from rpcx.security.sides import ServerSide
    from rpcx.security.tls import Side

CONGESTION: Final = b"reno"  # on loopback, where there is none: it computes least. bbr costs a call 0.25 us

Resolved = tuple[socket.AddressFamily, Any]  # family and socket address


class TlsStream(SocketStream):
    """A connected socket on which TLS is to be spoken."""

    def __init__(self, sock: socket.socket, facts: PeerFacts, side: "Side") -> None:
        super().__init__(sock, facts)
        self._side = side

    def secure(self, session: Session) -> Session:
        """``session`` within TLS."""
        from rpcx.security.tls import TlsSession

        return TlsSession(session, self._side, self.facts)


class TlsListener(SocketListener):
    """Listening sockets on which TLS is to be spoken."""

    def __init__(self, sockets: Sequence[socket.socket], url: str, side: "ServerSide | SecretSide") -> None:
        super().__init__(sockets, url, admit, lambda sock, facts: TlsStream(sock, facts, side))

        self.due, self.tick = side.due, side.tick  # ends the sessions of those trusted no more (`rpcx.abc.Timed`)


class TcpChannel:
    """``tcp://host:port``; with a certain key ``…?key=sha256:…``, with a shared secret ``…?secret=NAME``."""

    name = "tcp"

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> SocketStream:
        """Try each address of the host in turn, within ``timeout`` seconds."""
        location = address.location
        resolved = _resolve(location)
        if not insecure:
            side = _client_side(address)
            return _connected(resolved, location, timeout, lambda sock, facts: TlsStream(sock, facts, side))
        _check(resolved, f"{self.name}://{location}", address)
        return _connected(resolved, location, timeout, _trusted)

    def listen(self, address: Address, *, insecure: bool = False) -> SocketListener:
        """Bind all of the host's addresses to one port."""
        url = f"{self.name}://{address.location}"
        resolved = _resolve(address.location)
        if insecure:
            _check(resolved, url, address)
            return SocketListener(*_listening(resolved, address.location, url), _admit_all)
        if "secret" in address.params:
            from rpcx.security.secret import SecretSide

            name = address.params["secret"]
            knowing = SecretSide(name)
            sockets, bound = _listening(resolved, address.location, url)
            return TlsListener(sockets, f"{bound}?secret={name}", knowing)
        from rpcx.security.sides import ServerSide

        proving = ServerSide()  # before the port is taken: it may find that there is no usable key
        sockets, bound = _listening(resolved, address.location, url)
        return TlsListener(sockets, f"{bound}?key={proving.identity.fingerprint}", proving)

    # --- for protocols of others, which look after themselves (`rpcx.interop.plain`) -------------------------------

    def connect_plain(self, address: Address, timeout: float) -> SocketStream:
        """Reach a server without TLS, wherever it is."""
        return _connected(_resolve(address.location), address.location, timeout, _trusted)

    def listen_plain(self, address: Address, admit: Admit) -> SocketListener:
        """Bind without TLS, wherever that is; ``admit`` says who a client is."""
        url = f"{self.name}://{address.location}"
        return SocketListener(*_listening(_resolve(address.location), address.location, url), admit)


def _client_side(address: Address) -> "Side":
    if "secret" not in address.params:
        from rpcx.security.sides import ClientSide

        return ClientSide(address.location, address.params.get("key"))
    if "key" in address.params:
        raise ValueError(f"{address}: a key or a secret, not both: a host that knows a secret proves no key")
    from rpcx.security.secret import SecretSide

    return SecretSide(address.params["secret"], address.location)


def _connected(
    resolved: list[Resolved], location: str, timeout: float, make: Callable[[socket.socket, PeerFacts], SocketStream]
) -> SocketStream:
    deadline = time.monotonic() + timeout
    failures = []
    for family, where in resolved:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            sock.connect(where)
        except OSError as error:
            sock.close()
            failures.append(f"{where[0]} port {where[1]}: {error.strerror or error}")
            continue
        _tune(sock, where)
        return make(sock, PeerFacts("tcp", _text(where), dialled=host_port(location)[0]))
    raise NotSent(f"tcp://{location} cannot be reached ({'; '.join(failures)}). Is the host running, and on this port?")


def _listening(resolved: list[Resolved], location: str, url: str) -> tuple[list[socket.socket], str]:
    """Sockets for all of the addresses, and the URL with the port that was bound."""
    sockets: list[socket.socket] = []
    host, port = host_port(location)
    try:
        for family, where in resolved:
            sock = _bound(family, (where[0], port, *where[2:]), required=not sockets)
            if sock is not None:
                sockets.append(sock)
                port = sock.getsockname()[1]  # the next family gets the same
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise _taken(error, url, port) from error
    shown = f"[{host}]" if ":" in host else host
    return sockets, f"tcp://{shown}:{port}"


def _trusted(sock: socket.socket, facts: PeerFacts) -> SocketStream:
    """The server, of whom nothing is known: ``insecure=True`` says that every user of this machine is trusted."""
    facts.owner = True
    return SocketStream(sock, facts)


def _admit_all(sock: socket.socket, where: Any) -> PeerFacts:  # a socket address
    """A client, likewise; whose it is, is worth a line in the audit log."""
    facts = admit(sock, where)
    facts.owner = True
    facts.uid = user_of(sock)
    return facts


def user_of(sock: socket.socket) -> int | None:
    """Whose process a client on loopback is; None: that is not known, or it has left already."""
    try:
        return owner_of(sock)
    except OSError:
        return None


def admit(sock: socket.socket, where: Any) -> PeerFacts:  # a socket address
    """A client, of whom nothing is known."""
    _tune(sock, where)
    return PeerFacts("tcp", _text(where))


def _bound(family: socket.AddressFamily, where: Any, *, required: bool) -> socket.socket | None:
    """A listening socket; None if this machine lacks the address family and another one serves."""
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        if required:
            raise
        return None
    try:
        # On Windows SO_REUSEADDR would steal the port of another program.
        option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if not required and error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return sock


def _tune(sock: socket.socket, where: Any) -> None:  # the peer's address
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_CONGESTION") and is_loopback(where):
        with contextlib.suppress(OSError):  # where this user may not choose
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION)


def is_loopback(where: Any) -> bool:  # a socket address
    """Whether it is of this machine alone."""
    return ipaddress.ip_address(where[0].partition("%")[0]).is_loopback


def _resolve(location: str) -> list[Resolved]:
    host, port = host_port(location)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotSent(f"tcp://{location}: the name {host!r} cannot be resolved: {error.strerror}") from error
    known = [(family, where) for family, _, _, _, where in found if family in (socket.AF_INET, socket.AF_INET6)]
    known.sort(key=lambda pair: pair[0] != socket.AF_INET)
    return list(dict.fromkeys(known))


def _check(resolved: list[Resolved], url: str, address: Address) -> None:
    """Plain TCP is for loopback, and proves nothing."""
    for name in ("key", "secret"):
        if name in address.params:
            raise AccessDenied(
                f"{url}?{name}={address.params[name]}: a {name} is proved by TLS only: leave out insecure=True, or "
                f"the {name}"
            )
    beyond = _beyond_loopback(resolved)
    if beyond is not None:
        raise AccessDenied(
            f"{url}: {beyond} is no loopback address, and plain TCP is admitted nowhere else, since anybody on "
            "the way could read and change calls; leave out insecure=True and TLS protects them"
        )


def beyond_loopback(location: str) -> str | None:
    """An address of ``host:port`` that others than this machine have part in; None: there is none."""
    return _beyond_loopback(_resolve(location))


def _beyond_loopback(resolved: list[Resolved]) -> str | None:
    for _, where in resolved:
        if not is_loopback(where):
            return str(where[0])
    return None


def _taken(error: OSError, url: str, port: int) -> OSError:
    if error.errno == errno.EADDRINUSE:
        text = f"{url}: port {port} is in use; end the program that has it, or listen on port 0 to get a free one"
    elif error.errno == errno.EACCES:
        text = f"{url}: this user may not open port {port}; choose one above 1023"
    else:
        text = f"{url}: cannot listen: {error.strerror}"
    return type(error)(error.errno, text)


def _text(where: Any) -> str:  # a socket address
    return f"[{where[0]}]:{where[1]}" if ":" in where[0] else f"{where[0]}:{where[1]}"
