"""Users and groups of this machine, by number."""

import os
import socket
import struct


def uid_of(user: str | int) -> int:
    """A user's number. Raises ValueError: this machine knows none of this name."""
    if isinstance(user, int) or user.isdecimal():
        return int(user)
    try:
        import pwd

        return pwd.getpwnam(user).pw_uid
    except (ImportError, KeyError):
        raise ValueError(f"this machine knows no user {user!r}") from None


def gid_of(group: str | int) -> int:
    """A group's number. Raises ValueError: this machine knows none of this name."""
    if isinstance(group, int) or group.isdecimal():
        return int(group)
    try:
        import grp

        return grp.getgrnam(group).gr_gid
    except (ImportError, KeyError):
        raise ValueError(f"this machine knows no group {group!r}") from None


def groups_of(sock: socket.socket) -> frozenset[int]:
    """Further groups of the process at the other end of a Unix socket; none where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED") or os.uname().sysname != "Linux":
        return frozenset()
    peer_groups = 59  # SO_PEERGROUPS: Linux 4.13; not in the socket module
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, peer_groups, 1024)
    except OSError:
        return frozenset()  # an older kernel, or more than 256 groups: its own group counts in any case
    return frozenset(struct.unpack(f"{len(data) // 4}I", data))
