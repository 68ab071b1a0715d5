"""Pyro5's own name server over the directory's names, for Pyro5 programs: its code, its protocol, our storage.

Its protocol knows no users, and whoever registers a name there says where others connect. So the kernel is asked who
calls (`rpcx.channels.owners`), and only this very user is let in, or with ``insecure`` every user of the machine.
"""

import os
from typing import Any

from Pyro5.nameserver import NameServerDaemon  # type: ignore[import-untyped]  # it ships no types

from rpcx.channels.owners import owner_of, told
from rpcx.errors import AccessDenied


class NameServer(NameServerDaemon):  # type: ignore[misc]  # likewise
    """Pyro5's, with a doorkeeper.

    Args:
        host: of the address to listen on; loopback.
        port: 0 takes a free one.
        storage: a mapping, as Pyro5's own are.
        insecure: whether every user of this machine may use it.

    Raises:
        AccessDenied: the system does not tell who calls.
        OSError: the port is taken.
    """

    nameserver: Any  # Pyro5's object that programs call

    def __init__(self, host: str, port: int, storage: Any, *, insecure: bool) -> None:
        super().__init__(host, port)
        self._insecure = insecure
        listening: Any = self.sockets
        if not insecure and not all(map(told, listening)):
            self.close()
            raise AccessDenied(
                f"{self.locationStr}: the system does not tell who calls Pyro5's name server; where every user of this "
                "machine may be trusted, say insecure=True"
            )
        self.nameserver.storage = storage

    def close(self) -> None:
        """The names stay: they are not its own."""
        self.nameserver = None
        super().close()

    def validateHandshake(self, conn: Any, data: Any) -> Any:  # noqa: N802  # Pyro5's name and types
        """Pyro5's hook: the text of what is raised is the client's answer."""
        uid = None if self._insecure else owner_of(conn.sock)
        if self._insecure or uid == os.geteuid():
            return super().validateHandshake(conn, data)
        raise AccessDenied(f"this name server is for user {os.geteuid()}, and {_who(uid)} calls")


def _who(uid: int | None) -> str:
    return "nobody knows who" if uid is None else f"user {uid}"
