"""The directory: names, the URLs behind them, and whose they are.

An entry is a client-activated object of the directory's: the host that made it owns it through a lease, calls
`Entry.renew` while it lives, and releases it when it closes. A host that is killed calls no more: its entry ends with
its connection, or with its lease, whichever the directory sees first.

Entries are kept in one of Pyro5's name server storages, so that Pyro5's own tools read them and a directory that is
started anew knows them at once. What it finds there lives for one lease: until then its host has entered it again.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import rpcx
from rpcx.channels.urls import parse
from rpcx.naming.place import checked

LEASE_SECONDS: Final = 30.0  # an entry lives without a word of its host
MOST_URLS: Final = 16
MOST_TAGS: Final = 32
LONGEST: Final = 512  # characters of a URL or tag
MOST_NAMES: Final = 10_000
OURS: Final = "rpcx:"  # begins what is no tag among Pyro5's metadata
URI: Final = "directory"
PYRO_URI: Final = re.compile(r"PYRO:([^@\s]+)@([^@\s]+)\Z")

Storage = MutableMapping[str, tuple[str, Any]]  # name → (uri, metadata: texts), as Pyro5's are


@dataclass(frozen=True)
class Found:
    """What is known of a name."""

    name: str
    urls: list[str]  # with the object in them
    tags: dict[str, str] = field(default_factory=dict)
    owner: str = ""  # the principal whose entry it is; empty: entered by a Pyro5 program
    machine: str = ""  # where its pipes are
    uid: int | None = None  # the user that its pipes belong to


class Names:
    """What the directory knows. Its methods may be called from any thread.

    Args:
        storage: one of Pyro5's, or a dict.
        lease: seconds an entry that was found in it lives until its host enters it again.
        clock: monotonic seconds.
    """

    def __init__(
        self, storage: Storage, lease: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, object] = {}  # who keeps a name up
        end = clock() + lease
        self._left = {name: end for name in list(storage) if self._read(name).owner}  # by a directory before this one

    def enter(self, entry: object, found: Found) -> None:
        """Put ``found`` into the directory, kept up by ``entry``.

        Another entry of the same owner gives way: a host that is started anew does not wait for the end of the old one.

        Raises:
            AccessDenied: the name is another principal's.
            LimitExceeded: there are too many names.
        """
        with self._lock:
            self._drop_left()
            known = self._read(found.name) if found.name in self._storage else None
            if known is not None and known.owner != found.owner:
                raise rpcx.AccessDenied(
                    f"the name {found.name!r} is {known.owner or 'a Pyro5 program'}'s; choose another"
                )
            if known is None and len(self._storage) >= MOST_NAMES:
                raise rpcx.LimitExceeded(f"the directory has {MOST_NAMES} names already")
            self._write(found)
            self._entries[found.name] = entry
            self._left.pop(found.name, None)

    def renew(self, entry: object, found: Found) -> bool:
        """``entry`` lives. False: its name is another's now."""
        with self._lock:
            if self._entries.get(found.name) is not entry:
                return False
            if self._read(found.name) != found:
                self._write(found)
            return True

    def leave(self, entry: object, name: str) -> None:
        """``entry`` is over, and so is its name if it is its own still."""
        with self._lock:
            if self._entries.get(name) is entry:
                self._remove(name)

    def remove(self, name: str, owner: str | None) -> None:
        """Take a name out. ``owner``: whose it must be; None: anybody's. Raises ObjectNotFound, AccessDenied."""
        with self._lock:
            self._drop_left()
            known = self._get(name)
            if owner is not None and known.owner != owner:
                raise rpcx.AccessDenied(f"the name {name!r} is not {owner}'s")
            self._remove(name)

    def look_up(self, name: str) -> Found:
        """What is known of ``name``. Raises ObjectNotFound."""
        with self._lock:
            self._drop_left()
            return self._get(name)

    def find(self, prefix: str, tags: Mapping[str, str]) -> list[Found]:
        """All whose name begins so and who have all these tags, by name."""
        with self._lock:
            self._drop_left()
            known = [self._read(name) for name in sorted(self._storage) if name.startswith(prefix)]
        return [found for found in known if tags.items() <= found.tags.items()]

    def drop_left(self) -> None:
        """Take out what was found in the storage and nobody has entered again in time."""
        with self._lock:
            self._drop_left()

    # --- within: under the lock ------------------------------------------------------------------------------

    def _drop_left(self) -> None:
        now = self._clock()
        for name in [name for name, end in self._left.items() if now >= end]:
            self._remove(name)

    def _remove(self, name: str) -> None:
        self._entries.pop(name, None)
        self._left.pop(name, None)
        if name in self._storage:
            del self._storage[name]

    def _get(self, name: str) -> Found:
        if name not in self._storage:
            raise rpcx.ObjectNotFound(f"nobody has the name {name!r}; rpcx names list shows who is there", uri=name)
        return self._read(name)

    def _read(self, name: str) -> Found:
        uri, metadata = self._storage[name]
        pairs = [text.partition("=")[::2] for text in metadata or ()]
        own = {key.removeprefix(OURS): value for key, value in pairs if key.startswith(OURS)}
        urls = [value for key, value in sorted(own.items()) if key.startswith("url:")]
        tags = {key: value for key, value in pairs if not key.startswith(OURS)}
        uid = own.get("uid", "")
        return Found(
            name,
            urls or [_url(uri)],
            tags,
            own.get("owner", ""),
            own.get("machine", ""),
            int(uid) if uid.isdigit() else None,
        )

    def _write(self, found: Found) -> None:
        own = {f"url:{at:02}": url for at, url in enumerate(found.urls)}
        own |= {"owner": found.owner, "machine": found.machine, "uid": "" if found.uid is None else str(found.uid)}
        metadata = {f"{OURS}{key}={value}" for key, value in own.items()}
        metadata |= {f"{key}={value}" for key, value in found.tags.items()}
        self._storage[found.name] = (_pyro_uri(found.urls), metadata)


def _pyro_uri(urls: list[str]) -> str:
    """What a Pyro5 program is to be told: the object's URI where it speaks Pyro5; else a URL that is none of its."""
    for url in urls:
        parsed = parse(url)
        if parsed.scheme == "pyro":
            return f"PYRO:{parsed.uri}@{parsed.location}"
    return urls[0]


def _url(uri: str) -> str:
    """The URL of a Pyro5 program's object."""
    match = PYRO_URI.match(uri)
    return f"pyro://{match[2]}/{match[1]}" if match is not None else uri


def _checked(name: str, urls: list[str], tags: Mapping[str, str]) -> None:
    """Raise ValueError where an entry makes no sense."""
    checked(name)
    if not 0 < len(urls) <= MOST_URLS or len(tags) > MOST_TAGS:
        raise ValueError(f"an entry has 1 to {MOST_URLS} URLs and at most {MOST_TAGS} tags")
    for text in (*urls, *tags, *tags.values()):
        if len(text) > LONGEST or not text.isprintable():
            raise ValueError(f"{text[:80]!r}: at most {LONGEST} printable characters")
    for url in urls:
        parse(url)
    for key in tags:
        if "=" in key or key.startswith(OURS):
            raise ValueError(f"{key!r} is no tag: it has no '=' and does not begin with {OURS}")


def _caller() -> str:
    """Whose entry it is that is made now."""
    peer = rpcx.context.peer
    return "owner" if peer.owner else peer.principal or f"uid {peer.uid}"


@rpcx.remote(name="rpcx.Directory")
class Directory:
    """Who has which name."""

    def __init__(self, names: Names, lease: float = LEASE_SECONDS) -> None:
        self._names = names
        self._lease = lease

    @property
    def lease(self) -> float:
        """Seconds an entry lives without a word of its host."""
        return self._lease

    def look_up(self, name: str) -> Found:
        """What is known of a name. Raises ObjectNotFound."""
        return self._names.look_up(name)

    def find(self, prefix: str = "", tags: dict[str, str] = {}) -> list[Found]:  # noqa: B006  # never changed
        """All whose name begins so and who have all these tags, by name."""
        return self._names.find(prefix, tags)

    def remove(self, name: str) -> None:
        """Take out a name of the caller's own; the directory's owner may take out anybody's."""
        self._names.remove(name, None if rpcx.context.peer.owner else _caller())


@rpcx.client_activated(name="rpcx.DirectoryEntry", lease=rpcx.Lease(initial=LEASE_SECONDS, renew_on_call=LEASE_SECONDS))
class Entry:
    """A name in the directory, for as long as its host keeps it."""

    def __init__(
        self,
        name: str,
        urls: list[str],
        tags: dict[str, str],
        machine: str,
        uid: int | None,
        *,
        names: Names | None = None,
    ) -> None:
        if names is None:
            raise TypeError("an Entry is made in a directory, by Server.create")
        _checked(name, urls, tags)
        self._names = names
        self._found = Found(name, urls, tags, _caller(), machine, uid)
        names.enter(self, self._found)

    def renew(self, urls: list[str]) -> bool:
        """The host lives, and is to be found at ``urls``. False: the name is another's now."""
        _checked(self._found.name, urls, self._found.tags)
        known = self._found
        self._found = Found(known.name, urls, known.tags, known.owner, known.machine, known.uid)
        return self._names.renew(self, self._found)

    def close(self) -> None:
        """The host let go of it, or is gone."""
        self._names.leave(self, self._found.name)


def serve(names: Names, host: rpcx.Host, *, lease: float = LEASE_SECONDS, allow: list[str] | None = None) -> None:
    """Have ``host`` serve the directory.

    Args:
        names: what it knows.
        host: not listening yet, or listening already.
        lease: seconds an entry lives without a word of its host.
        allow: who may look up and enter names, besides the host's owner; as in ``Host(allow=)``.
    """
    terms = rpcx.Lease(initial=lease, renew_on_call=lease)

    def entered(name: str, urls: list[str], tags: dict[str, str], machine: str, uid: int | None) -> Entry:
        return Entry(name, urls, tags, machine, uid, names=names)

    host.register(Entry, factory=entered, allow=allow, lease=terms)
    host.publish(Directory(names, lease), URI, allow=allow)
