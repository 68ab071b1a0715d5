"""Plain TCP for protocols of others, which neither encrypt nor know who calls.

On loopback the kernel knows (`rpcx.channels.owners`): a process of this very user is at the other end, as on a pipe,
or the connection is closed before a byte is read or sent. ``insecure=True`` says that every user of this machine is
trusted, as with rpcx's own protocol; it is needed where the kernel does not tell.

Beyond loopback there is no TLS to fall back on, so a host must say ``insecure=True`` and also which networks it is for,
``allow_from=``, and is asked for no more than that: whoever calls from there has proved nothing, and may do what rules
allow everybody (``"*"``). A client names the one host that it calls, and must say ``insecure=True``.
"""

import os
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

from rpcx.abc import Address, PeerFacts
from rpcx.channels import tcp
from rpcx.channels.owners import owner_of, told
from rpcx.channels.sockets import SocketListener, SocketStream
from rpcx.channels.urls import host_port
from rpcx.errors import AccessDenied, NotSent

WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound
WARNING: Final = "neither encrypts nor knows who calls"
ALL_TRUSTED: Final = "or, where every user of this machine may be trusted, say insecure=True"


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
        """Reach a server on this machine: this user's. With ``insecure``, anybody's, anywhere.

        Raises:
            AccessDenied: it is elsewhere, or another user's, or it cannot be told whose it is.
            NotSent: nobody listens there.
        """
        if insecure:
            stream = self.dial(address, timeout)
            stream.facts.owner = tcp.is_loopback(stream.socket.getpeername())
            return stream
        advice = "a tunnel to it may begin on loopback; or, where others may read and change all of it, insecure=True"
        self._check(address, advice)
        until = time.monotonic() + timeout
        stream = self.dial(address, timeout)
        try:
            self._owned(address, stream, until)
        except BaseException:
            stream.close()
            raise
        return stream

    def dial(self, address: Address, timeout: float) -> SocketStream:
        """Reach a server anywhere and whosever: the way back to a client that was let in so."""
        stream = tcp.TcpChannel().connect_plain(address, timeout)
        stream.facts.channel = self._scheme
        return stream

    def listen(self, address: Address, *, insecure: bool) -> SocketListener:
        """Open a port for clients on this machine: this user's, or with ``insecure`` anybody's.

        Raises:
            AccessDenied: the port would be open to others too, or the system does not tell who calls.
            OSError: it is taken.
        """
        advice = 'say from where clients may come, listen(..., insecure=True, allow_from=["192.0.2.0/24"])'
        self._check(address, advice)
        if insecure:
            return self.listen_from(address)
        listener = tcp.TcpChannel().listen_plain(address, lambda sock, where: self._admit_own(address, sock, where))
        if not all(map(told, listener.sockets)):
            listener.close()
            raise self._unknown(address, "who calls")
        return listener

    def listen_from(self, address: Address) -> SocketListener:
        """The same for clients elsewhere, of whom the host looks at where they come from."""
        return tcp.TcpChannel().listen_plain(address, self._admit)

    # --- who it is -------------------------------------------------------------------------------------------------

    def _admit(self, sock: socket.socket, where: Any) -> PlainPeer:  # a socket address
        """Anybody who comes in."""
        facts = tcp.admit(sock, where)
        local = tcp.is_loopback(where)
        uid = tcp.user_of(sock) if local else None
        return PlainPeer(self._scheme, facts.address, uid=uid, owner=local, reached=sock.getsockname()[0])

    def _admit_own(self, address: Address, sock: socket.socket, where: Any) -> PlainPeer:
        """A client of this user's."""
        uid = self._same(address, owner_of(sock), "who calls", "calls")
        facts = tcp.admit(sock, where)
        reached = sock.getsockname()[0]
        return PlainPeer(self._scheme, facts.address, uid=uid, owner=True, private=True, reached=reached)

    def _owned(self, address: Address, stream: SocketStream, until: float) -> None:
        """The server that was reached is this user's."""
        try:
            uid = owner_of(stream.socket, until - time.monotonic())
        except (ConnectionAbortedError, TimeoutError) as error:
            hint = f"is it this user's, and does it speak {self._protocol}?"
            raise NotSent(f"{address}: {error.strerror}; {hint}") from error
        stream.facts.uid, stream.facts.private = self._same(address, uid, "who listens there", "listens there"), True

    def _same(self, address: Address, uid: int | None, who: str, does: str) -> int:
        """``uid``, if it is this user's number."""
        if uid is None:
            raise self._unknown(address, who)
        if uid != os.geteuid():
            raise AccessDenied(f"{address}: user {uid} {does}, this side runs as user {os.geteuid()}; {ALL_TRUSTED}")
        return uid

    def _unknown(self, address: Address, who: str) -> AccessDenied:
        return AccessDenied(
            f"{address}: the system does not tell {who}, and {self._protocol} {WARNING}: use a pipe, or tcp:// with "
            f"TLS; {ALL_TRUSTED}"
        )

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
