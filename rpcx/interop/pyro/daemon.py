"""What one host is to Pyro5: a daemon, with its address and the streams that clients read from.

There is one for each realm, made at the first use of a Pyro URL.
"""

import re
import secrets
import threading
from collections.abc import Iterable
from typing import Any, Final

from rpcx.abc import PeerFacts
from rpcx.errors import LimitExceeded, ObjectNotFound
from rpcx.interop.plain import as_reached
from rpcx.interop.pyro.values import proxy
from rpcx.lifetime.lease import Lease
from rpcx.remoting.access import Gate
from rpcx.remoting.contract import Method, MethodKind
from rpcx.remoting.objects import Entry

DAEMON: Final = "Pyro.Daemon"  # the object by which a daemon speaks of itself
DEFAULT_LEASE: Final = Lease()  # of what has none: a Pyro client cannot give a reference back
STREAMS: Final = 1_000  # open at once
URI: Final = re.compile(r"PYRO:([^\s@]+)@([^\s@]+)\Z")


class Daemon:
    """One realm, as Pyro5 sees it."""

    def __init__(self, realm: Any) -> None:  # a Realm
        self.realm = realm
        self.locations: list[str] = []  # host:port of its listeners
        self.client: Any = None  # a client's present ClientSession
        self.ways: dict[tuple[str, bool], Any] = {}  # back to clients' daemons (`rpcx.interop.pyro.ways`)
        self._streams: dict[str, Any] = {}  # ServedStream by id
        self._lock = threading.Lock()  # around the streams

    @staticmethod
    def holder(peer: PeerFacts) -> str:
        """For whom objects are kept: each proxy of a client has a connection of its own, so all of a machine's."""
        return f"pyro {peer.address.rpartition(':')[0]}"

    def export(self, instance: object, peer: PeerFacts) -> dict[str, object] | None:
        """A proxy of ``instance``, as Pyro5 writes it, for ``peer``; None: it does not travel by reference."""
        terms = DEFAULT_LEASE if self.client is None else None  # a client's are there until it closes
        entry: Entry | None = self.realm.table.export(instance, self.holder(peer), terms)
        if entry is None:
            return None
        location = as_reached(self.locations[0], peer)
        if location not in self.locations:
            self.locations.append(location)  # it is ours when it comes back
        return proxy(f"PYRO:{entry.uri}@{location}", metadata(entry.methods.values()))

    def connected(self, session: Any) -> None:  # a ClientSession
        """A client's connection stands; proxies that came by the one before go on over it."""
        before, self.client = self.client, session
        if before is not None and before.error is not None:
            before.successor = session

    def resolve(self, uri: str, gate: Gate) -> object:
        """What a reference in a message stands for: an object of ours, or else only its text."""
        match = URI.match(uri)
        if match is not None and match[2] in self.locations:
            return gate.home(match[1])
        return uri

    # --- streams -----------------------------------------------------------------------------------------------

    def add_stream(self, stream: Any) -> str:  # a ServedStream
        """Remember a stream; its id, which nobody guesses.

        Raises:
            LimitExceeded: too many are open.
        """
        name = secrets.token_urlsafe(16)
        with self._lock:
            if len(self._streams) >= STREAMS:
                raise LimitExceeded(f"{STREAMS} streams to Pyro clients are open; close or exhaust some")
            self._streams[name] = stream
        return name

    def stream(self, name: object) -> Any:  # a ServedStream
        """The stream of this id.

        Raises:
            ObjectNotFound: it was closed, or never was.
        """
        found = self._streams.get(name) if isinstance(name, str) else None
        if found is None:
            raise ObjectNotFound("this stream has ended, or its connection has")
        return found

    def drop_stream(self, name: object) -> Any:  # a ServedStream, or None
        """Forget a stream."""
        with self._lock:
            return self._streams.pop(name, None) if isinstance(name, str) else None

    def streams_of(self, session: object) -> list[str]:
        """The ids of those that a connection opened."""
        with self._lock:
            return [name for name, stream in self._streams.items() if stream.endpoint is session]


def metadata(methods: Iterable[Method]) -> dict[str, list[str]]:
    """What Pyro5 asks of each object: the names of its methods, one-way methods and attributes."""
    known: dict[str, set[str]] = {"methods": set(), "oneway": set(), "attrs": set()}
    for method in methods:
        if method.kind in (MethodKind.CALL, MethodKind.STREAM):
            known["methods"].add(method.name)
            if method.oneway:
                known["oneway"].add(method.name)
        else:
            known["attrs"].add(method.name.partition(".")[0])
    return {kind: sorted(names) for kind, names in known.items()}


def daemon_of(realm: Any) -> Daemon:  # a Realm
    """The daemon that ``realm`` is."""
    found: Daemon | None = realm.annexes.get("pyro")
    if found is None:
        found = realm.annexes["pyro"] = Daemon(realm)
    return found
