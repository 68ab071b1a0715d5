"""How much the results of a batch may have together.

They are kept until all its calls have ended, and leave in one message. What no message can hold any more need not be
made: so there is room for as much as the receiver takes, and when it is used up no further call begins.
"""

from collections.abc import Callable
from typing import Final

from rpcx.errors import LimitExceeded
from rpcx.remoting.contract import Method

#: Annotations of methods whose results are not worth a look, as types and as texts.
LITTLE: Final = frozenset({None, bool, int, float, "None", "bool", "int", "float"})
FAULT_BYTES: Final = 1_000  # that an exception counts: a text or two, its traceback's last line
ITEM: Final = 8  # bytes that an item of a container counts: it is not looked into


class NoRoom(Exception):
    """It is used up."""

    def __init__(self, error: LimitExceeded) -> None:
        super().__init__(str(error))
        self.error = error  # the answer to the batch


class Room:
    """That of one batch. ``size``: bytes."""

    __slots__ = ("_left", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = size

    def take(self, size: int) -> None:
        """Use so many bytes of it. Raises NoRoom: there are not so many."""
        self._left -= size
        if self._left < 0:
            text = (
                f"the answers of this batch have more than {self._size} bytes, which is all that one message may have; "
                "those of its calls that were made had their effect, the others were not made: send smaller batches"
            )
            raise NoRoom(LimitExceeded(text, executed="maybe", limit="limits.message"))

    def taking(self, take: Callable[[object], object]) -> Callable[[object], None]:
        """``take`` for results that there is room for. It raises NoRoom when there is not."""

        def taken(value: object) -> None:
            self.take(_bytes(value))
            take(value)

        return taken


def returns_little(method: Method) -> bool:
    """Whether it says that its results are small."""
    says = getattr(method.function, "__annotations__", {}).get("return", "")
    try:
        return says in LITTLE
    except TypeError:  # an annotation that cannot be hashed
        return False


def _bytes(value: object) -> int:
    """About how many a value has, from outside."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    whole: object = getattr(value, "nbytes", None)  # a memoryview's, an array's
    if isinstance(whole, int):
        return whole
    return ITEM * len(value) if isinstance(value, list | tuple | dict | set | frozenset) else ITEM
