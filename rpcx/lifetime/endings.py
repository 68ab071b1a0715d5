"""What is known of objects that have ended, so that callers are told when and why.

The memory is bounded: of the oldest it can only be said that there is no such object.
"""

from collections import OrderedDict
from typing import Final

from rpcx.errors import ObjectExpired

MEMORY: Final = 100_000  # newest ended objects; some 30 MB

KEEP_PROXY: Final = "create a new object, and keep its proxy as long as you use it"
FIND_SPONSOR: Final = "create a new object, or register a sponsor before the next one ends"
CREATE_ANOTHER: Final = "create a new object"


class Endings:
    """The newest endings, by object id."""

    __slots__ = ("_gone", "total")

    def __init__(self) -> None:
        self.total = 0  # objects that ended so far
        self._gone: OrderedDict[str, tuple[float, str, str]] = OrderedDict()  # when, why, what to do

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._gone

    def add(self, object_id: str, when: float, why: str, advice: str) -> None:
        """An object ended at ``when``."""
        self.total += 1
        self._gone[object_id] = (when, why, advice)
        if len(self._gone) > MEMORY:
            self._gone.popitem(last=False)

    def error(self, object_id: str, now: float) -> ObjectExpired | None:
        """The error for whoever still calls it; None if none of this id ended, as far as is known."""
        gone = self._gone.get(object_id)
        if gone is None:
            return None
        when, why, advice = gone
        return ObjectExpired(f"{object_id} ended {now - when:.1f} s ago: {why}; {advice}", uri=object_id)
