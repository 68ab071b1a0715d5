"""Bursts: independent calls that were begun one after another, and so travel together.

Whoever begins many calls without waiting (`rpcx.future` in a loop) has them leave in one frame, their arguments in
one flat list (see `runs`), and most of their answers come back in one. They are no batch: each has its own id, may be
cancelled, fails alone, and no call waits for another that takes long.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rpcx.context import serving
from rpcx.errors import RpcxError
from rpcx.protocol.connection import LARGE
from rpcx.remoting.contract import Method
from rpcx.remoting.dispatch import Answerer, IncomingCall, mark_as_run
from rpcx.remoting.objects import Entry
from rpcx.remoting.references import Reference
from rpcx.remoting.runs import rows
from rpcx.remoting.validation import NO_KEYWORDS
from rpcx.sinks.lowering import SCALARS

SMALL: Final = SCALARS - {str}  # types of results that are answered together, besides texts that are not LARGE
LONGEST_BURST: Final = 64  # calls that leave in one frame
LONG: Final = 0.001  # seconds after which a call that runs is to blame for the burst's being late

monotonic = time.monotonic


class Burst:
    """Calls of ours that have their ids and have not left. All arguments are scalars."""

    __slots__ = ("args", "count", "first", "method", "ref", "timeout", "width")

    def __init__(
        self, first: int, ref: Reference, method: Method, args: tuple[object, ...], timeout: float | None
    ) -> None:
        self.first = first  # id of the first; the others' follow
        self.ref = ref
        self.method = method
        self.args = list(args)  # of all calls, one after the other
        self.timeout = timeout  # seconds each may take
        self.width = len(args)  # arguments of each
        self.count = 1

    def takes(self, ref: Reference, method: Method, args: tuple[object, ...], timeout: float | None) -> bool:
        """Whether one more call goes with those before."""
        return (
            method is self.method
            and ref is self.ref
            and len(args) == self.width
            and timeout == self.timeout
            and self.count < LONGEST_BURST
        )

    def envelope(self) -> list[object]:
        """What is sent: a run of a batch, or a plain call if it is only one."""
        if self.count == 1:
            return [self.ref.uri, self.method.name, self.args, self.timeout]
        return [self.ref.uri, self.method.name, self.count, self.args, self.timeout]

    def single(self) -> "Iterator[Burst]":
        """Its calls, each by itself."""
        for call_id, args in enumerate(rows(self.args, self.count), self.first):
            yield Burst(call_id, self.ref, self.method, args, self.timeout)


class IncomingBurst(IncomingCall):
    """Calls of the peer's that came together, on one method of one object, which is entered and pinned once.

    They run one after the other while each is short. When one takes long, `overran` has what ended so far answered and
    gives the rest away: from then on each is a call by itself.
    """

    def __init__(self, endpoint: Answerer, call_id: int, entry: Entry, method: Method) -> None:
        super().__init__(endpoint, call_id, entry, method)
        self._todo: deque[tuple[int, Sequence[object]]] = deque()  # (id, arguments); who takes one out runs it
        self._done: deque[object] = deque()  # results not answered yet, of calls whose ids follow one another
        self._answered = call_id  # id of the first of them
        self._answering = threading.Lock()  # around the two
        self._since = 0.0  # when the call that runs began

    def begin(self, ids: range) -> None:
        """Take up the calls, whose arguments are all in `args`."""
        self._todo.extend(zip(ids, rows(self.args, len(ids)), strict=True))

    # --- what the driver asks ------------------------------------------------------------------------------

    def run(self) -> None:
        """Call the method for each, and answer; from where it stopped, if the brake is on meanwhile."""
        while not (self.halted and self.endpoint.holds(self)):
            self._run_entered()
            if not self._todo:
                return

    def _run_entered(self) -> None:
        token = serving.set(self)
        try:
            instance = self.entry.enter()
            try:
                self._run(instance)
            finally:
                self._answer()
                self.entry.leave(instance)
        except Exception as error:  # noqa: BLE001  # it cannot be entered: the callers' answer
            for call_id, _ in self._taken():
                self.call_id = call_id
                self.answer_fault(error)
        finally:
            serving.reset(token)

    def _run(self, instance: object) -> None:
        todo, done, function, kwargs = self._todo, self._done, self.method.function, NO_KEYWORDS
        fit = None if self.method.arguments.fit_all(self.args, len(todo)) else self.method.arguments.fit
        while todo:
            try:
                self.call_id, args = todo.popleft()
            except IndexError:
                return  # the rest was given away just now
            self._since = monotonic()
            try:
                if fit is not None:
                    args, kwargs = fit(args, None)
                try:
                    value = function(instance, *args, **kwargs)
                except RpcxError as error:
                    mark_as_run(error)
                    raise
            except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
                self._answer(alone=True)
                self.answer_fault(error)
                continue
            kind = type(value)
            if kind in SMALL or (kind is str and len(value) < LARGE):
                done.append(value)
            else:
                self._answer(alone=True)
                self.endpoint.answer(self, value)
                if self.halted:
                    return

    def overran(self, now: float) -> None:
        if now - self._since >= LONG:  # many short calls may take long together: then no method is to blame
            super().overran(now)
        rest = list(self._taken())
        self._answer()
        for call_id, args in rest:
            self.endpoint.call_apart(self, call_id, list(args))

    def cancel(self, call_id: int = 0) -> None:
        if not call_id:
            self.endpoint.ended_late(sum(1 for _ in self._taken()))
        if call_id in (0, self.call_id):
            super().cancel()

    # --- how they end --------------------------------------------------------------------------------------

    def dropped(self) -> None:
        """`cancel` has counted those that will not begin."""

    def _taken(self) -> Iterator[tuple[int, Sequence[object]]]:
        """The calls that have not begun, taken out."""
        while True:
            try:
                yield self._todo.popleft()
            except IndexError:
                return

    def _answer(self, *, alone: bool = False) -> None:
        """Answer what has ended. ``alone``: the next one is answered apart."""
        with self._answering:
            values: list[Any] = []
            while self._done:
                values.append(self._done.popleft())
            first = self._answered
            self._answered += len(values) + alone
        if values:
            self.endpoint.answer_burst(self, first, values)
