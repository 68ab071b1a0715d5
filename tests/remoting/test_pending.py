"""What a caller waits on."""

import threading
from concurrent.futures import CancelledError, wait

import pytest

from rpcx.remoting.pending import LaterFuture, LightFuture, Pending


def test_an_answer_is_kept_until_somebody_asks():
    pending = Pending()
    assert not pending.arrived
    pending.resolve(20, b"body", ())
    assert pending.arrived
    assert (pending.kind, pending.body, pending.error) == (20, b"body", None)


def test_what_came_first_counts():
    pending = Pending()
    pending.resolve(20, b"body", ())
    pending.fail(ValueError("too late"))
    assert pending.error is None


def test_a_sleeper_is_woken_by_the_answer():
    pending = Pending()
    woken = threading.Event()

    def sleep() -> None:
        while not pending.arrived:
            pending.park(5)
        woken.set()

    thread = threading.Thread(target=sleep)
    thread.start()
    pending.resolve(20, b"", ())
    assert woken.wait(5)
    thread.join()


def test_the_callback_is_told_once_of_either():
    told = []
    for end in (lambda p: p.resolve(20, b"", ()), lambda p: p.fail(ValueError())):
        pending = Pending()
        pending.callback = told.append
        end(pending)
        assert told.pop() is pending
        assert told == []


def test_a_future_is_one_of_the_librarys():
    future = LightFuture()
    told = []
    future.add_done_callback(told.append)
    assert not future.done()
    future.settle(5, None)
    assert future.done()
    assert future.result(0) == 5
    assert told == [future]
    assert wait([future], 0).done == {future}


def test_a_future_holds_an_error_too():
    future = LightFuture()
    future.settle(None, KeyError("x"))
    assert isinstance(future.exception(0), KeyError)
    with pytest.raises(KeyError):
        future.result(0)


def test_a_cancelled_future_stays_cancelled():
    future = LightFuture()
    assert future.cancel()
    future.settle(5, None)
    assert future.cancelled()
    assert future.cancel(), "again is fine"
    with pytest.raises(CancelledError):
        future.result(0)


def test_a_settled_future_is_not_cancelled():
    future = LightFuture()
    future.settle(5, None)
    assert not future.cancel()
    assert future.result(0) == 5


def test_cancelling_while_the_outcome_is_being_set_is_too_late():
    """The thread that reads has begun to settle it, and another cancels just then."""
    cancelled = []

    class Slow(LightFuture):
        @property
        def _result(self) -> object:
            return self.__dict__.get("slow")

        @_result.setter
        def _result(self, value: object) -> None:
            cancelled.append(self.cancel())
            self.__dict__["slow"] = value

    future = Slow()
    future.settle(5, None)
    assert cancelled == [False]
    assert future.result(0) == 5


class Outcomes:
    """Three calls that are answered when told to: 5, an error, 6."""

    def __init__(self) -> None:
        self.answered = False
        self.watched: list[LaterFuture] = []
        self.asked: list[int] = []

    def outcome(self, index: int) -> tuple[object, BaseException | None]:
        self.asked.append(index)
        return [(5, None), (None, KeyError("x")), (6, None)][index]

    def watch(self, future: LaterFuture) -> None:
        self.watched.append(future)
        future.look()

    def come(self) -> None:
        self.answered = True
        for future in self.watched:
            future.look()


def test_a_later_future_fetches_its_outcome_once_and_when_asked():
    outcomes = Outcomes()
    futures = [LaterFuture(outcomes, index) for index in range(3)]
    assert not any(future.done() for future in futures)
    outcomes.come()
    assert outcomes.asked == []
    assert futures[0].result() == futures[0].result() == 5
    with pytest.raises(KeyError):
        futures[1].result()
    assert isinstance(futures[1].exception(), KeyError)
    assert futures[2].done()
    assert outcomes.asked == [0, 1, 2]


def test_a_later_future_is_told_when_somebody_waits_otherwise():
    outcomes = Outcomes()
    futures = [LaterFuture(outcomes, index) for index in range(3)]
    told = []
    futures[0].add_done_callback(told.append)
    with pytest.raises(TimeoutError):
        futures[2].result(0)
    assert not futures[2].running()
    outcomes.come()
    assert told == [futures[0]]
    assert wait(futures, 0).done == set(futures)
    assert repr(futures[1]).endswith("raised KeyError>")


def test_a_later_future_may_be_cancelled_before_its_outcome_comes():
    outcomes = Outcomes()
    future = LaterFuture(outcomes, 0)
    assert future.cancel()
    outcomes.come()
    assert future.cancelled()
    with pytest.raises(CancelledError):
        future.result()


def test_a_later_future_whose_outcome_is_there_is_not_cancelled():
    outcomes = Outcomes()
    future = LaterFuture(outcomes, 0)
    outcomes.come()
    assert not future.cancel()
    assert future.result() == 5
