"""Whose process is at the other end of a TCP connection over loopback: the kernel's word, as `SO_PEERCRED` on a pipe.

Both ends of such a connection are sockets of this machine, and Linux tells of each socket whose it is, to anybody
(``NETLINK_SOCK_DIAG``, sock_diag(7)). So either end asks for the socket that has its own two addresses the other way
round, before it reads or says anything. Nobody but root reads along on loopback; so what passes is as private as on a
pipe. It costs some 30 µs, once for each connection, and cannot block: the kernel has answered when it has been asked.

Why the answer can be believed, and when there is none:

1. **It is of the peer, not of whoever has the peer's port now.** The kernel has one socket for each pair of addresses.
   A peer may send, break the connection off, and leave its port to a process of ours that happens to dial from there;
   what it sent is readable still. So this end's own state is looked at *after* the answer. While it is ESTABLISHED the
   pair is taken: a successor's first segment would have met this end, and been refused or ended it.
2. **An accepting process takes its time.** Until it has called ``accept``, its socket has no file and shows user 0.
   That is nobody's word: whoever connects asks again (``patience``); whoever accepts never has to.
3. **What is not an answer is none**: a socket in another state (the kernel falls back on one that listens), a peer that
   closed, an address that is no loopback address.
4. **Port forwarders are who they are.** Docker's proxy connects as root, ssh as whoever runs it: that user is told.
   What the kernel itself rewrites (DNAT, REDIRECT, ``route_localnet``), or sends into another network namespace, has no
   socket here with these addresses: no answer.
5. **Users of other namespaces** that this one has no number for all show as one, 65534: no answer. On Debian that is
   ``nobody``, who is shared by too many to be trusted with anything.
6. **Containers that share a network** (a pod, ``--net=host``) and have one user id, say 0, are one user here, whatever
   files each sees. A pipe would keep them apart by the directory that it is in.
7. **The user is the one who made the socket**, or accepted the connection. A process that inherited it or was given it
   speaks for that user, as on a pipe. With SO_REUSEPORT several processes share a port, all of one user's.
8. **A user's own programs may be others' tools**: a browser connects wherever a page says. So a protocol that is let in
   by this must begin with what no such tool can be made to say.
"""

import errno
import functools
import ipaddress
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
NLM_F_REQUEST: Final = 1
NLMSG_ERROR: Final = 2
ANY_STATE: Final = 0xFFFF_FFFF
ANY_COOKIE: Final = 0xFFFF_FFFF  # twice: whatever the kernel's own number for the socket is
SEQUENCE: Final = 1  # one question for each netlink socket

HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port (linux/netlink.h: nlmsghdr)
PLACES: Final = struct.Struct("!HH16s16s")  # ports, then addresses, its own first (linux/inet_diag.h: inet_diag_sockid)
ASKED: Final = struct.Struct("=BBBxI36sIII")  # family, protocol, extensions, states, places, interface, cookie
TOLD: Final = struct.Struct("=BBxx36s12x12xII")  # family, state, places, user, inode (inet_diag_msg)
MOST: Final = 8192  # bytes of an answer; it has 72, and what extensions the kernel adds unasked

ESTABLISHED, SYN_RECEIVED, LISTENING, NEW_SYN_RECEIVED = 1, 3, 10, 12  # linux/tcp_states.h
CLOSING: Final = (4, 5, 6, 7, 8, 9, 11)  # of one that is closed, though this end may not have heard of it yet
COMING: Final = (ESTABLISHED, SYN_RECEIVED, NEW_SYN_RECEIVED)  # of a socket that nobody has accepted yet
FIRST_PAUSE: Final = 0.000_1  # seconds until it is asked again whether somebody did; doubled each time
LONGEST_PAUSE: Final = 0.02
OVERFLOW: Final = Path("/proc/sys/kernel/overflowuid")


class Place(NamedTuple):
    """An address and a port. IPv4 within IPv6 is IPv4: a socket of either family may be at the other end."""

    packed: bytes  # 4 bytes, or 16
    port: int


class End(NamedTuple):
    """One end of a connection, as the kernel has it."""

    state: int
    uid: int  # whose it is, if it has an inode
    inode: int  # of its file; 0: no process has it


def owner_of(sock: socket.socket, patience: float = 0.0) -> int | None:
    """The user at the other end of a connected TCP socket; None: it cannot be told.

    Args:
        sock: connected, both ends on loopback; for others nothing can be told.
        patience: seconds to wait for the other side to accept the connection; blocks.

    Raises:
        ConnectionAbortedError: the other side has closed it already.
        TimeoutError: the other side did not accept it in that time.
    """
    try:
        theirs, ours = place_of(sock.getpeername()), place_of(sock.getsockname())
    except OSError:  # ENOTCONN
        raise _left() from None
    if not (_on_loopback(theirs) and _on_loopback(ours)):
        return None
    until, pause = time.monotonic() + patience, FIRST_PAUSE
    while True:
        try:
            end = _asked(theirs, ours)
        except OSError:
            return None  # no Linux, or not permitted
        if _state(sock) != ESTABLISHED or (end is not None and end.state in CLOSING):
            raise _left()
        if end is None or end.inode or end.state not in COMING:
            break
        if time.monotonic() >= until:
            raise TimeoutError(errno.ETIMEDOUT, "nobody accepted the connection in time")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return end.uid if end and end.state == ESTABLISHED and end.uid != _unmapped() else None


def told(listening: socket.socket) -> bool:
    """Whether the kernel tells owners at all: asked about one of our own sockets, that listens."""
    place = place_of(listening.getsockname())
    try:
        end = _asked(place, Place(bytes(len(place.packed)), 0))
    except OSError:
        return False
    return end is not None and (end.state, end.uid) == (LISTENING, os.geteuid()) and end.uid != _unmapped()


def place_of(address: Any) -> Place:  # a socket address
    """Where ``address``, as sockets give it, is."""
    host = ipaddress.ip_address(address[0].partition("%")[0])
    mapped = host.ipv4_mapped if host.version == 6 else None
    return Place((mapped or host).packed, address[1])


def _on_loopback(place: Place) -> bool:
    return ipaddress.ip_address(place.packed).is_loopback


# --- the question and the answer ----------------------------------------------------------------------------------


def question(local: Place, remote: Place) -> bytes:
    """The message that asks for the socket of these addresses."""
    family = socket.AF_INET if len(local.packed) == 4 else socket.AF_INET6
    places = PLACES.pack(local.port, remote.port, local.packed.ljust(16, b"\0"), remote.packed.ljust(16, b"\0"))
    body = ASKED.pack(family, socket.IPPROTO_TCP, 0, ANY_STATE, places, 0, ANY_COOKIE, ANY_COOKIE)
    return HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, SEQUENCE, 0) + body


def answer(data: bytes, local: Place, remote: Place) -> End | None:
    """The socket that the kernel found; None: there is none.

    Raises:
        OSError: it says why not, or what it says is no answer to this question.
    """
    try:
        length, kind, _, sequence, _ = HEADER.unpack_from(data)
        if sequence != SEQUENCE or length > len(data):
            raise _unreadable("it answers something else")
        if kind == NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", data[:length], HEADER.size)
            if code == -errno.ENOENT:
                return None
            raise OSError(-code, os.strerror(-code)) if code < 0 else _unreadable("an error without one")
        if kind != SOCK_DIAG_BY_FAMILY:
            raise _unreadable(f"a message of kind {kind}")
        family, state, places, uid, inode = TOLD.unpack_from(data[:length], HEADER.size)
    except struct.error as error:
        raise _unreadable(str(error)) from None
    local_port, remote_port, *packed = PLACES.unpack(places)
    size = {socket.AF_INET: 4, socket.AF_INET6: 16}.get(family)
    if size is None:
        raise _unreadable(f"family {family}")
    hosts = [place_of((str(ipaddress.ip_address(each[:size])), 0)).packed for each in packed]
    if (Place(hosts[0], local_port), Place(hosts[1], remote_port)) == (local, remote):
        return End(state, uid, inode)
    if state == LISTENING:
        return None  # what the kernel falls back on: somebody listens there, and nobody is connected
    raise _unreadable("another socket")


def _left() -> ConnectionAbortedError:
    return ConnectionAbortedError(errno.ECONNABORTED, "the other side closed it at once")


def _unreadable(why: str) -> OSError:
    return OSError(errno.EBADMSG, f"the kernel's answer cannot be read: {why}")


def _asked(local: Place, remote: Place) -> End | None:
    """The socket of these addresses, as the kernel has it now. Raises OSError: it does not tell."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "only Linux tells whose a socket is")
    with socket.socket(family, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.sendto(question(local, remote), (0, 0))
        data, (sender, _) = kernel.recvfrom(MOST, socket.MSG_DONTWAIT)  # the kernel answers within `sendto`
    if sender != 0:
        raise _unreadable(f"process {sender} sent it")
    return answer(data, local, remote)


def _state(sock: socket.socket) -> int:
    """A socket's own state: the first byte of tcp_info."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


@functools.cache
def _unmapped() -> int:
    """The number of users that this user namespace has no number for."""
    try:
        return int(OVERFLOW.read_text())
    except (OSError, ValueError):
        return 65_534  # the kernel's default
