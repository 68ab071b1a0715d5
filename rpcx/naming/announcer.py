"""Keeps a host's names in the directory: enters them, renews them, enters them again when the directory is new."""

import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

import rpcx
from rpcx.abc import Announced
from rpcx.naming.directory import LEASE_SECONDS, URI, Directory, Entry
from rpcx.naming.place import machine, placed

log = logging.getLogger("rpcx")

CONNECT_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 2.0  # after the directory could not be told
EVERYWHERE: Final = re.compile(r"^([a-z0-9+.-]+://)(?:0\.0\.0\.0|\[::\]):")  # of what listens on all addresses
HERE_ONLY: Final = ("inproc:", "stdio:")  # URLs that lead nowhere for others


class Announcer:
    """Announces what a host offers in one directory, until it is closed. A thread of its own does so.

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
        self._complaint = ""  # the last that was logged
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rpcx-names", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the names out of the directory."""
        self._closing.set()
        self._thread.join(2 * CONNECT_SECONDS)

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            try:
                pause = self._announce() / 3
            except Exception as error:  # noqa: BLE001  # whatever it is, it is tried again
                pause = AGAIN_SECONDS
                self._complain(f"the directory {self._directory} cannot be told this host's names: {error}")
        if self._server is not None:
            self._server.close()  # what is held by it ends, and with it the names

    def _announce(self) -> float:
        """Enter or renew all names; seconds that they live then."""
        if self._server is None:
            self._server = rpcx.connect(self._directory, timeout=CONNECT_SECONDS, insecure=self._insecure)
        lease = self._server.get(Directory, URI).lease
        for offer in self._offers():
            name, _ = placed(offer.name)
            urls = [_for_others(url) for url in offer.urls if not url.startswith(HERE_ONLY)]
            if urls and name not in self._lost:
                self._keep(name, urls, dict(offer.tags))
        self._complaint = ""
        return min(lease, LEASE_SECONDS)

    def _keep(self, name: str, urls: list[str], tags: dict[str, str]) -> None:
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
            return
        try:
            uid = os.getuid() if hasattr(os, "getuid") else None
            self._entries[name] = self._server.create(Entry, name, urls, tags, machine(), uid)
        except (rpcx.AccessDenied, ValueError) as error:
            self._complain(f"the name {name!r} is not in the directory {self._directory}: {error}")

    def _complain(self, text: str) -> None:
        """Once for each reason."""
        if text != self._complaint:
            log.warning("%s", text)
        self._complaint = text


def _for_others(url: str) -> str:
    """A URL with "all addresses" in it, as others can dial it."""
    return EVERYWHERE.sub(lambda match: f"{match[1]}{socket.gethostname()}:", url, count=1)
