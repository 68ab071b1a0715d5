"""Runs: what a batch is made of.

A run is calls that follow one another on one method, each with as many arguments. Their arguments stand in one flat
list, so that neither end makes, writes or reads a list for each call: columns of a table rather than its rows.
"""

from collections.abc import Iterable
from itertools import repeat
from typing import Final

from rpcx.remoting.contract import Method

LONGEST_RUN: Final = 1_024  # calls; a few bytes can ask for as many calls without arguments, so it is bounded


class Run:
    """Recorded calls; the caller's side. One with keywords is a run by itself."""

    def __init__(self, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        self.method = method
        self.args = list(args)  # of all calls, one after the other
        self.kwargs = kwargs
        self.count = 1  # calls
        self.width = -1 if kwargs else len(args)  # arguments of a call that may follow; -1: none may

    def takes(self, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
        """Add one more call, if it goes with those before."""
        if method is not self.method or len(args) != self.width or kwargs or self.count == LONGEST_RUN:
            return False
        self.args += args
        self.count += 1
        return True

    def calls(self) -> Iterable[tuple[object, ...]]:
        """The arguments of each call."""
        return rows(self.args, self.count)


def rows(args: list[object], count: int) -> Iterable[tuple[object, ...]]:
    """The arguments of each of ``count`` calls, which have as many each."""
    width = len(args) // count
    return zip(*[iter(args)] * width, strict=True) if width else repeat((), count)
