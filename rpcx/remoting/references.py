"""References: what stands for a remote object here, and how it is given back.

On the wire a reference is ``["ref", id, [contract names]]`` for an object of the sender's, ``["call", id]``
for a function of the sender's, and ``["home", id]`` for an object of the receiver's own, which comes home and
becomes the object itself. It resolves over the connection it came by: it holds no address.

Each side counts how often it received an id; when the last proxy dies, that count goes back in a RELEASE, so
that a reference on its way at that moment is not lost. Releases of a connection travel together.
"""

import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from rpcx.abc import PeerFacts
from rpcx.errors import ObjectExpired
from rpcx.remoting.contract import CLASSES, Contract, contract_of

REF: Final = "ref"
CALLABLE: Final = "call"
HOME: Final = "home"


class Caller(Protocol):
    """The end of a connection that a reference came by: calls on it go there."""

    @property
    def facts(self) -> PeerFacts: ...
    def host_reference(self) -> "Reference": ...
    def give_back(self, uri: str, count: int, /) -> None: ...
    def call(self, ref: "Reference", method: Any, args: tuple[object, ...], kwargs: dict[str, object], /) -> Any: ...
    def call_async(
        self, ref: "Reference", method: Any, args: tuple[object, ...], kwargs: dict[str, object], /
    ) -> Coroutine[Any, Any, Any]: ...
    def future(self, ref: "Reference", method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any: ...
    def oneway(self, ref: "Reference", method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> None: ...
    def assign(self, ref: "Reference", method: Any, value: tuple[object, ...], /) -> None: ...
    def begin(
        self, ref: "Reference", method: Any, args: tuple[object, ...], done: Callable[[Any, Exception | None], None], /
    ) -> None: ...
    def stream(
        self,
        ref: "Reference",
        method: Any,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        /,
        *,
        asynchronous: bool,
    ) -> Any: ...


class Closing(Protocol):
    """Something to close with a reference."""

    def close(self) -> None: ...


class Reference:
    """A remote object, as this process knows it. Dies with its last proxy."""

    __slots__ = (
        "__weakref__",
        "count",
        "deferred",
        "endpoint",
        "expected",
        "names",
        "owner",
        "released",
        "unchecked",
        "uri",
    )

    def __init__(self, endpoint: Caller, uri: str, names: tuple[str, ...], count: int = 0) -> None:
        self.endpoint = endpoint
        self.uri = uri
        self.names = names  # contracts it fulfils, most derived first; empty: not known, or a function
        self.count = count  # how often it was received; 0: well-known, nothing to give back
        self.expected: Contract | None = None  # the class its user asked for; None: whatever fits
        self.unchecked = bool(names)  # the contract's fingerprint was not confirmed by the other side yet
        self.owner: Closing | None = None  # the connection made for this one reference; None: others share it
        self.released = False  # its user closed it
        self.deferred: Exception | None = None  # what an assignment to an async proxy raised, not told yet

    def contract(self) -> Contract | None:
        """The class its user asked for, else the most derived that this process has."""
        if self.expected is not None:
            return self.expected
        for name in self.names:
            cls = CLASSES.get(name)
            if cls is not None:
                return contract_of(cls)
        return None

    def release(self) -> None:
        """Give it back now; further calls fail here."""
        if not self.released:
            self.released = True
            self.give_back()
            if self.owner is not None:
                self.owner.close()

    def give_back(self) -> None:
        count, self.count = self.count, 0
        if count:
            self.endpoint.give_back(self.uri, count)

    def __del__(self) -> None:
        try:
            self.give_back()
        except AttributeError:
            pass  # half made

    def raise_deferred(self) -> None:
        """Raise what an earlier assignment to an async proxy came to, once."""
        error, self.deferred = self.deferred, None
        if error is not None:
            error.add_note("raised by an earlier assignment to this proxy")
            raise error

    def closed_error(self) -> ObjectExpired:
        return ObjectExpired(f"{self.uri}: this proxy was closed; get or create a new one", uri=self.uri)

    def __repr__(self) -> str:
        return f"<Reference {self.uri} at {self.endpoint.facts}>"


class LetGo(list[tuple[str, int] | int]):
    """What finalizers let go: references (id, and how often it came) and calls (whose iterators were dropped).

    Finalizers may run anywhere, so `append` takes no lock.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()  # among those that empty it

    def take(self) -> tuple[list[int], list[tuple[str, int]]]:
        """All calls and all references that there are, once."""
        with self._lock:
            taken = self[:]
            del self[: len(taken)]
        return [each for each in taken if type(each) is int], [each for each in taken if type(each) is tuple]
