"""Further connections to a daemon: it serves one call at a time on each, so calls at the same time take several.

Otherwise a slow call would hold up those of other threads; and one that is made within a call back would wait for
ever, since the daemon is waiting for that on the first connection. Futures, batches and streams stay on the first:
whoever begins many calls at once wants them to leave together.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

from rpcx.abc import Stream
from rpcx.errors import NotSent

MOST: Final = 7  # besides the first; each takes a thread of the daemon's, of which stock Pyro5 has 80
DIAL_SECONDS: Final = 5.0  # to connect

Reach = Callable[[float], Stream]  # connects to the daemon, within so many seconds


class Lines:
    """To one daemon.

    Args:
        first: the connection that there is, a ClientSession.
        reach: connects once more.
    """

    def __init__(self, first: Any, reach: Reach) -> None:
        self._first = first
        self._reach = reach
        self._further: list[Any] = []
        self._lock = threading.Lock()  # around the list, and the claims
        self._connecting = threading.Lock()  # one thread at a time does

    def ready(self) -> Any:  # a ClientSession, or None
        """The connection for the next call, if none has to be made for it: an idle one, or there are enough.

        It is claimed until its call is `sent`: calls of two threads do not end up on one that looked idle to both.
        """
        with self._lock:
            best = self._first
            if _calls(best):
                best = min((best, *self._further), key=_calls)
                if _calls(best) and len(self._further) < MOST:
                    return None
            best.claims += 1
            return best

    def choose(self) -> Any:  # a ClientSession
        """The same, made if it has to be; blocks then. Raises NotSent or AccessDenied: it cannot be made."""
        line = self.ready()
        if line is not None:
            return line
        with self._connecting:
            line = self.ready()
            if line is None:
                line = joined(self._first.beside(), self._reach)
                line.lines, line.claims = self, 1
                with self._lock:
                    self._further.append(line)
            return line

    def sent(self, line: Any) -> None:  # a ClientSession
        """The call that it was claimed for was sent, or will not be."""
        with self._lock:
            line.claims -= 1

    def gone(self, line: Any) -> None:  # likewise
        """It ended; if it was the first, the others end too."""
        with self._lock:
            further = self._further
            self._further = [] if line is self._first else [each for each in further if each is not line]
        if line is self._first:
            for each in further:
                each.close()


def _calls(line: Any) -> int:  # a ClientSession
    """How many are under way on it, or are about to be."""
    return line.claims + line.under_way  # type: ignore[no-any-return]  # both are numbers


def joined(make: Callable[[Stream], Any], reach: Reach) -> Any:  # a ClientSession
    """A new connection, served by the driver of the realm that it is for."""
    stream = reach(DIAL_SECONDS)
    session = make(stream)
    realm = session.daemon.realm
    realm.endpoints.add(session)
    if not realm.join(stream, session):
        realm.endpoints.discard(session)
        stream.close()
        raise NotSent(f"pyro://{session.location}: this side was closed; connect again")
    return session
