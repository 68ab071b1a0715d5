"""Keeps a host's names in the directory: enters them, renews them, enters them again when the directory is new."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import Final

import rpcx
from rpcx.abc import Announced
from rpcx.announcing import Teller, for_others
from rpcx.naming.directory import LEASE_SECONDS, URI, Directory, Entry
from rpcx.naming.place import machine, placed

log = logging.getLogger("rpcx")

CONNECT_SECONDS: Final = 5.0
HERE_ONLY: Final = ("inproc:", "stdio:")  # URLs that lead nowhere for others


class Announcer:
    """Announces what a host offers in one directory, until it is closed.

    Args:
        directory: its URL.
        offers: what is to be announced now; asked again before each renewal.
        insecure: plain TCP to the directory, on loopback only.
    """

    def __init__(self, directory: str, offers: Callable[[], Sequence[Announced]], *, insecure: bool = False) -> None:
        self._directory = directory
        self._offers = offers
        self._insecure = insecure
        self._server: rpcx.Server | None = None
        self._entries: dict[str, Entry] = {}
        self._lost: set[str] = set()  # names that somebody else has now
        self._teller = Teller(directory, self._announce, self._leave)

    def close(self) -> None:
        """Take the names out of the directory."""
        self._teller.close()

    def _leave(self) -> None:
        if self._server is not None:
            self._server.close()  # what is held by it ends, and with it the names

    def _announce(self) -> float:
        """Enter or renew all names; seconds until they are to be renewed."""
        if self._server is None:
            self._server = rpcx.connect(self._directory, timeout=CONNECT_SECONDS, insecure=self._insecure)
        lease = self._server.get(Directory, URI).lease
        complaint = ""
        for offer in self._offers():
            name, _ = placed(offer.name)
            urls = [for_others(url) for url in offer.urls if not url.startswith(HERE_ONLY)]
            if urls and name not in self._lost:
                complaint = self._keep(name, urls, dict(offer.tags)) or complaint
        self._teller.complain(complaint)
        return min(lease, LEASE_SECONDS) / 3

    def _keep(self, name: str, urls: list[str], tags: dict[str, str]) -> str:
        """Enter or renew a name; what is wrong with it, if anything."""
        assert self._server is not None
        entry = self._entries.get(name)
        try:
            renewed = entry.renew(urls) if entry is not None else None
        except (rpcx.ObjectExpired, rpcx.ObjectNotFound):
            renewed = None  # the directory was started anew, or did not hear of us for too long
        if renewed is False:
            self._lost.add(name)
            log.warning("the name %r was entered anew by another host of this user; it keeps it", name)
        if renewed is not None:
            return ""
        try:
            uid = os.getuid() if hasattr(os, "getuid") else None
            self._entries[name] = self._server.create(Entry, name, urls, tags, machine(), uid)
        except (rpcx.AccessDenied, ValueError) as error:
            return f"the name {name!r} is not in the directory {self._directory}: {error}"
        return ""
