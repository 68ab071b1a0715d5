"""Connections to one .NET server: it serves one call at a time on each, so calls at the same time take several.

A call goes over a connection that is idle; there is one more dialled when none is, up to `MOST`; then calls wait for
one another, here: a server reads no further while it serves, and Mono's loses what was sent ahead.

One-way calls have a connection of their own. A server whose method is not marked as one-way answers all the same (Mono
does), and on a connection with other calls that answer would be taken for theirs.
"""

import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

MOST: Final = 8  # connections; each takes a thread of the server's, which .NET makes at two a second


class Line(Protocol):
    """A connection."""

    claims: int  # calls that it was chosen for and that are not over
    unanswered: bool  # it carries one-way calls only


class Lines:
    """The connections to one server."""

    def __init__(self, dial: Callable[[], Any]) -> None:  # one more `Line`
        self._dial = dial
        self._open: list[Line] = []
        self._oneway: Line | None = None
        self.face: Any = None  # the ClientSession that references point to, connected or not: one for all of them
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._open)

    def add(self, line: Line) -> None:
        """One more, for calls that are answered."""
        with self._lock:
            self._open.append(line)

    def gone(self, line: Line) -> None:
        """It ended."""
        with self._lock:
            if line in self._open:
                self._open.remove(line)
            if line is self._oneway:
                self._oneway = None

    def ready(self) -> Any:  # a ClientSession, or None
        """The one for the next call, claimed, if none has to be dialled for it."""
        with self._lock:
            best = min(self._open, key=_claims, default=None)
            if best is not None and (best.claims == 0 or len(self._open) >= MOST):
                best.claims += 1
                return best
        return None

    def choose(self) -> Any:  # a ClientSession
        """The one for the next call, claimed; dialled if none is idle, which blocks.

        Raises:
            NotSent: the server cannot be reached, or this side was closed.
        """
        line = self.ready()
        if line is None:
            line = self._dial()
            line.claims += 1
            self.add(line)
        return line

    def over(self, line: Line) -> None:
        """A call that ``line`` was chosen for is."""
        with self._lock:
            line.claims -= 1

    def forked(self) -> None:
        """This is a child process's copy."""
        self._lock = threading.Lock()

    def ready_for_oneway(self) -> Any:  # a ClientSession, or None
        """The one for one-way calls, if there is one."""
        return self._oneway

    def for_oneway(self) -> Any:  # a ClientSession
        """The one for one-way calls; dialled if need be, as in `choose`."""
        line: Any = self._oneway
        if line is None:
            line = self._dial()
            line.unanswered = True
            self._oneway = line
        return line


def _claims(line: Line) -> int:
    return line.claims
