"""How long a connection may last: until what its client proved ends, or as long as its host lets one last.

A proof that has ended is worth nothing, so the connection is closed that moment. One that is merely old is closed when
none of its calls runs, or a minute later at the latest; its client connects anew by itself with its next call.
"""

from dataclasses import dataclass
from typing import Final

from rpcx.errors import AuthenticationFailed, ConnectionLost, RpcxError

PATIENCE: Final = 60.0  # seconds that an old connection has for the calls that run
LOOK_SECONDS: Final = 1.0  # between two looks whether they have ended


@dataclass(slots=True)
class Term:
    """The end of one connection, in monotonic seconds."""

    when: float  # to look
    latest: float  # to end, whatever runs
    error: RpcxError  # why it ends

    def over(self, now: float, calls: int) -> bool:
        """Whether it ends now, while ``calls`` are not answered. If not, `when` says when to ask again."""
        if now < self.when:
            return False
        if calls and now < self.latest:
            self.when = min(now + LOOK_SECONDS, self.latest)
            return False
        return True


def proof_ends(now: float, seconds: float) -> Term:
    """What the client proved holds for so long."""
    until = now + seconds
    return Term(
        until, until, AuthenticationFailed("what the client proved has ended; connect anew, with a fresh proof")
    )


def grows_old(now: float, seconds: float) -> Term:
    """No connection lasts longer than this."""
    text = f"it is {seconds:g} s old, and no connection lasts longer here: connect anew"
    return Term(now + seconds, now + seconds + PATIENCE, ConnectionLost(text, limit="limits.session"))
