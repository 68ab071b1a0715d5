"""What a caller waits on: the answer to one call.

The thread that reads the connection resolves it; whoever waits decodes it, in its own thread. A waiting thread
parks on a lock that is made only when it really has to sleep.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol

from rpcx.abc import Buffer
from rpcx.remoting.contract import Method
from rpcx.remoting.references import Reference

OPEN: Final = 0  # kind of an answer that has not come


class Settler(Protocol):
    """The end of a connection that carries a future's call."""

    def settle(self, future: "CallFuture", kind: int, body: bytes, segments: Sequence[Buffer], /) -> None: ...
    def wait_for(self, future: "CallFuture", timeout: float | None, /) -> None: ...
    def give_up(self, pending: Any, /) -> bool: ...


class Parking:
    """Where one thread sleeps until something has arrived."""

    arrived = False
    _bed: "threading.Lock | None" = None  # made by the first sleeper; held while one sleeps

    def park(self, timeout: float | None) -> None:
        """Sleep until unparked or ``timeout`` seconds passed; may wake for no reason."""
        bed = self._bed
        if bed is None:
            bed = threading.Lock()
            bed.acquire()
            self._bed = bed
        if not self.arrived:
            bed.acquire(timeout=-1 if timeout is None else max(timeout, 0))

    def unpark(self) -> None:
        """Wake the sleeper, or the next one that would sleep."""
        bed = self._bed
        if bed is not None:
            try:
                bed.release()
            except RuntimeError:
                pass  # nobody sleeps, or it was woken already


class Pending(Parking):
    """The raw answer to a call of ours."""

    # Defaults are the class's: one is made for each call, and most are never changed.
    kind = OPEN  # frame kind of the answer; OPEN with `error` set: there will be none
    body = b""
    segments: Sequence[Buffer] = ()
    error: Exception | None = None  # why no answer will come
    call_id = 0
    states: Any = None  # what message sinks want to remember; Any: theirs
    callback: Callable[["Pending"], None] | None = None  # told once, by the reading thread

    def resolve(self, kind: int, body: bytes, segments: Sequence[Buffer]) -> None:
        """The answer came."""
        self.kind = kind
        self.body = body
        if segments:
            self.segments = segments
        self.arrived = True
        if self._bed is not None or self.callback is not None:
            self._tell()

    def fail(self, error: Exception) -> None:
        """No answer will come."""
        if not self.arrived:
            self.error = error
            self.arrived = True
            self._tell()

    def _tell(self) -> None:
        self.unpark()
        if self.callback is not None:
            self.callback(self)


class LightFuture(Future[Any]):
    """A `concurrent.futures.Future` that costs a third of a stock one.

    A stock future makes a condition with its lock at birth, which costs as much as sending the call. Here it is
    made when somebody needs it: `_condition` is a property, and settling looks for it after the state was set,
    so whoever made it in between is told (each looks after it wrote, so one of them sees the other).
    """

    # The base class's own attributes, as they are at birth. Its lists are made with the condition, since it
    # touches them under that only.
    _state = "PENDING"
    _result: Any = None
    _exception: BaseException | None = None
    _waiters: list[Any]
    _done_callbacks: list[Callable[[Future[Any]], object]]

    def __init__(self) -> None:
        """Nothing: see the attributes above."""

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]  # an attribute in the base class
        own = self.__dict__
        if "condition" not in own:
            own.setdefault("_waiters", [])
            own.setdefault("_done_callbacks", [])
            own.setdefault("condition", threading.Condition())
        return own["condition"]  # type: ignore[no-any-return]  # set above, by whichever thread was first

    def settle(self, value: object, error: BaseException | None) -> None:
        """Set the outcome, and tell whoever waits."""
        if self._state != "PENDING" or self._claimed_by("settle") != "settle":
            return  # cancelled
        self._result = value
        if error is not None:
            self._exception = error
        self._state = "FINISHED"
        self._told()
        condition: threading.Condition | None = self.__dict__.get("condition")
        if condition is None:
            return
        with condition:
            for waiter in self._waiters:
                waiter.add_result(self) if error is None else waiter.add_exception(self)
            condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]  # the base class's

    def cancel(self) -> bool:
        """Give it up. False: there is an outcome, or it is being set just now."""
        return self._claimed_by("cancel") == "cancel" and super().cancel()

    def _claimed_by(self, who: str) -> str:
        """Who decides the outcome: whoever asks first. One step, so that two threads cannot both be first."""
        return self.__dict__.setdefault("claimed", who)  # type: ignore[no-any-return]  # a text

    def _told(self) -> None:
        """For whoever waits otherwise than by the condition."""

    def done(self) -> bool:
        """Whether there is an outcome."""
        return self._state != "PENDING"


class Outcomes(Protocol):
    """Where the outcomes of many calls arrive together."""

    @property
    def answered(self) -> bool: ...
    def outcome(self, index: int, /) -> tuple[object, BaseException | None]: ...
    def watch(self, future: "LaterFuture", /) -> None: ...


class LaterFuture(LightFuture):
    """The future of one of many calls that are answered together: it fetches its outcome when somebody looks.

    Most are looked at once, by `result`; then it costs nothing to have them answered. Whoever looks otherwise (waits
    for several, adds a callback) needs the condition: from then on the outcome is brought.
    """

    def __init__(self, outcomes: Outcomes, index: int) -> None:
        self.outcomes = outcomes
        self.index = index

    def look(self) -> None:
        """Take the outcome if it is there."""
        if self._state == "PENDING" and self.outcomes.answered:
            self.settle(*self.outcomes.outcome(self.index))

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]  # an attribute in the base class
        condition = LightFuture._condition.__get__(self)
        if self._state == "PENDING":
            self.outcomes.watch(self)
        return condition  # type: ignore[no-any-return]  # the property's

    def result(self, timeout: float | None = None) -> Any:
        """The call's result; raises what the call raised, or TimeoutError after ``timeout`` seconds."""
        self.look()
        if self._state == "FINISHED" and self._exception is None:
            return self._result
        return super().result(timeout)

    def done(self) -> bool:
        """Whether there is an outcome."""
        self.look()
        return super().done()

    def cancel(self) -> bool:
        """Give it up. False: there is an outcome."""
        self.look()
        return super().cancel()


class CallFuture(Parking, LightFuture):
    """The future of one call: its `result` pumps the connection instead of only sleeping."""

    call_id = 0
    states: Any = None  # what message sinks want to remember; Any: theirs

    def __init__(
        self,
        endpoint: Settler,
        ref: Reference,
        method: Method,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> None:
        self.ref = ref
        self.method = method
        self.args = args  # kept for the case that contracts have to be compared and the call made again
        self.kwargs = kwargs
        self.endpoint = endpoint  # that carries the call

    # --- by the reading thread -----------------------------------------------------------------------------

    def resolve(self, kind: int, body: bytes, segments: Sequence[Buffer]) -> None:
        """The answer came."""
        self.endpoint.settle(self, kind, body, segments)

    def came(self, value: object) -> None:
        """The answer came and is decoded."""
        self.ref.unchecked = False
        try:
            value = self.method.result(value)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the future's outcome
            self.settle(None, error)
        else:
            self.settle(value, None)

    def fail(self, error: Exception) -> None:
        """No answer will come."""
        self.settle(None, error)

    def _told(self) -> None:
        self.arrived = True
        if self._bed is not None:
            self.unpark()

    # --- by its owner --------------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> Any:
        """The call's result; raises what the call raised, or TimeoutError after ``timeout`` seconds."""
        if self._state == "PENDING":
            self.endpoint.wait_for(self, timeout)
        if self._state == "FINISHED":
            if self._exception is not None:
                raise self._exception
            return self._result
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None."""
        if self._state == "PENDING":
            self.endpoint.wait_for(self, timeout)
        return super().exception(0)

    def cancel(self) -> bool:
        """Give the call up; the other side is told. False if its answer is here already."""
        if not super().cancel():
            return False
        self.arrived = True
        self.unpark()
        self.endpoint.give_up(self)
        self.set_running_or_notify_cancel()
        return True
