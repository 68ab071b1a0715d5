"""Sessions whose client's proof stands no more: a key behind its token was revoked, say. They end within a second.

TLS sees to its own keys (`rpcx.security.sides`); this is for what authenticators accepted, over whichever channel.
"""

import logging
from typing import TYPE_CHECKING, Final

from rpcx.errors import AuthenticationFailed

if TYPE_CHECKING:
    from rpcx.remoting.endpoint import Endpoint

log = logging.getLogger("rpcx.security")

LOOK_SECONDS: Final = 1.0  # between two looks


class Standing:
    """A `Timed` of the pump; it knows the connections whose proof can fall."""

    def __init__(self) -> None:
        self._ends: set[Endpoint] = set()
        self._next = 0.0  # when to look

    def begun(self, end: "Endpoint") -> bool:
        """Its client is admitted. Whether it is to be asked about: `due` may be earlier then."""
        if end.proof is None or end.proof.stands is None:
            return False
        self._ends.add(end)
        return True

    def ended(self, end: "Endpoint") -> None:
        """It is over."""
        self._ends.discard(end)

    def due(self) -> float | None:
        """When `tick` wants to be called; None: there is nobody to ask about."""
        return self._next if self._ends else None

    def tick(self, now: float) -> None:
        """End the sessions of those whose proof stands no more."""
        self._next = now + LOOK_SECONDS
        for end in list(self._ends):
            if not self._stands(end):
                end.cut_off(AuthenticationFailed("what the client proved stands no more: a key behind it was revoked"))

    def _stands(self, end: "Endpoint") -> bool:
        stands = end.proof.stands if end.proof is not None else None
        try:
            return stands is None or stands()
        except Exception:  # until the next look
            log.exception("%s: it cannot be told whether what it proved stands; it stays", end.facts)
            return True
