"""The ways to make a call, each where it is not the usual course of things: sync here, awaited in tests/test_aio.py."""

import _thread
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rpcx
from rpcx.messages import Fault, Return
from rpcx.testing import pair


def eventually(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


class State:
    """What the desk of one test has seen."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.begun = threading.Event()
        self.closed = threading.Event()
        self.go = threading.Event()


NOW = State()


@pytest.fixture(autouse=True)
def state() -> Iterator[State]:
    global NOW  # noqa: PLW0603  # the desk's class is made once
    NOW = State()
    yield NOW
    NOW.go.set()


@rpcx.singleton("desk")
class Desk:
    def add(self, a: int, b: int = 0) -> int:
        NOW.notes.append(f"add {a}")
        return a + b

    def anything(self, value):
        return value

    def odd(self, number: int):
        return object() if number == 3 else number

    def fails(self) -> None:
        raise ValueError("no")

    @rpcx.oneway
    def note(self, line: str) -> None:
        if line == "wait":
            NOW.go.wait(5)
        if line == "fail":
            raise ValueError("cannot be noted")
        NOW.notes.append(line)

    def until_given_up(self, begun: Callable[[], None] | None = None) -> None:
        if begun is not None:
            begun()
        NOW.begun.set()
        try:
            while not NOW.go.wait(0.001):
                rpcx.check()
        except rpcx.Cancelled:
            NOW.closed.set()
            raise

    def numbers(self, most: int, pause_at: int = -1) -> Iterator[int]:
        try:
            for number in range(most):
                if number == pause_at:
                    NOW.begun.set()
                    while not NOW.go.wait(0.001):
                        rpcx.check()
                yield number
        finally:
            NOW.closed.set()

    def bounce(self, back: Callable[[int], int], depth: int) -> int:
        return back(depth)


@pytest.fixture
def both():
    with pair(Desk) as both:
        yield both


@pytest.fixture
def desk(both) -> Desk:
    return both.server.get(Desk)


# --- who gives up -------------------------------------------------------------------------------------------


def test_an_interrupt_ends_the_wait_and_the_method_is_told(desk, state):
    with pytest.raises(KeyboardInterrupt):
        desk.until_given_up(_thread.interrupt_main)
    assert state.closed.wait(5)
    state.go.set()
    assert desk.add(1) == 1


def test_a_batch_that_takes_too_long_is_given_up_as_a_whole(desk, state):
    with (
        rpcx.options(timeout=0.05),
        pytest.raises(rpcx.CallTimeout, match="did not answer within 0.05 s"),
        rpcx.batch(desk) as many,
    ):
        waiting, never = many.until_given_up(), many.add(1)
    assert state.closed.wait(5)
    for future in (waiting, never):
        assert isinstance(future.exception(), rpcx.CallTimeout)


def test_a_future_that_is_cancelled_while_others_wait_is_told_to_its_method(desk, state):
    future = rpcx.future(desk.until_given_up)
    assert state.begun.wait(5)
    assert future.cancel()
    assert state.closed.wait(5)
    assert not rpcx.future(desk.add, 1).cancel() or True  # its answer may be here


# --- one-way ------------------------------------------------------------------------------------------------


def test_one_way_calls_run_in_order_and_the_caller_does_not_wait(desk, state):
    for line in ("wait", "second", "third"):
        desk.note(line)
    assert desk.add(1) == 1  # an ordinary call does not wait for them either
    assert state.notes == ["add 1"]
    state.go.set()
    assert eventually(lambda: state.notes == ["add 1", "wait", "second", "third"])


def test_a_one_way_call_that_fails_is_logged_and_counted_at_the_host(both, desk, state, caplog):
    with caplog.at_level(logging.WARNING, "rpcx"):
        desk.note("fail")
        desk.note("next")
        assert eventually(lambda: state.notes == ["next"])
    assert "one-way call desk.note failed: ValueError('cannot be noted')" in caplog.text
    (endpoint,) = both.host._realm.endpoints
    assert endpoint.stats()["oneway_failures"] == 1


def test_a_one_way_call_that_cannot_even_begin_is_logged_and_counted(both, state, caplog):
    with caplog.at_level(logging.WARNING, "rpcx"):
        both.server.get(Desk, "elsewhere").note("x")
        assert both.server.get(Desk).add(1) == 1
    assert "a one-way call from inproc pair" in caplog.text
    assert "'elsewhere': no such object" in caplog.text
    (endpoint,) = both.host._realm.endpoints
    assert endpoint.stats()["oneway_failures"] == 1


# --- a connection that was lost -----------------------------------------------------------------------------


def batched(desk: Desk) -> int:
    with rpcx.batch(desk) as many:
        future = many.add(1)
    return future.result()


@pytest.mark.parametrize(
    "way",
    [
        lambda desk: desk.add(1),
        lambda desk: rpcx.future(desk.add, 1).result(5),
        lambda desk: list(desk.numbers(2)),
        batched,
        lambda desk: desk.note("x"),
    ],
    ids=["call", "future", "stream", "batch", "one-way"],
)
def test_whatever_the_way_the_next_call_goes_over_a_new_connection(both, desk, state, way):
    desk.add(0)
    both.cut()
    way(desk)
    assert eventually(lambda: state.notes[1:] or state.closed.is_set())
    assert both.host.stats()["connections"] == 1


def test_what_was_under_way_may_have_run(both, desk, state):
    stream = desk.numbers(3, pause_at=1)
    assert next(stream) == 0
    future = rpcx.future(desk.until_given_up)
    assert state.begun.wait(5)
    both.cut()
    for wait in (future.result, lambda: next(stream)):
        with pytest.raises(rpcx.MaybeExecuted) as caught:
            wait()
        assert caught.value.executed == "maybe"


@pytest.mark.parametrize(
    "way",
    [
        lambda desk: desk.add(1),
        lambda desk: desk.anything({1: (2,)}),
        lambda desk: rpcx.future(desk.add, 1).result(5),
        lambda desk: list(desk.numbers(2)),
        batched,
        lambda desk: desk.note("x"),
    ],
    ids=["call", "with values", "future", "stream", "batch", "one-way"],
)
def test_a_connection_that_was_closed_sends_nothing(both, desk, way):
    desk.add(0)
    both.server.close()
    with pytest.raises(rpcx.NotSent, match="connect again") as caught:
        way(desk)
    assert caught.value.executed == "no"


def test_a_host_that_is_gone_is_looked_for_at_each_call(both, desk):
    desk.add(0)
    both.host.close()
    with pytest.raises(rpcx.ConnectionLost):
        desk.add(1)  # it may find the connection open still
    for _ in range(2):
        with pytest.raises(rpcx.NotSent, match="no host of this process listens there"):
            desk.add(1)


# --- values that do not travel ------------------------------------------------------------------------------


def test_an_argument_that_cannot_travel_is_named_whatever_the_way(desk):
    desk.add(0)
    for way in (
        lambda: desk.anything(object()),
        lambda: desk.anything(value=object()),
        lambda: rpcx.future(desk.anything, object()),
        lambda: desk.note(object()),
    ):
        with pytest.raises(rpcx.InvalidArguments, match=r"Desk\.\w+: .*object cannot travel"):
            way()
    with pytest.raises(rpcx.InvalidArguments, match="cannot travel"), rpcx.batch(desk) as many:
        futures = [many.anything(1), many.anything(object())]
    assert all(isinstance(future.exception(), rpcx.InvalidArguments) for future in futures)
    assert desk.add(1) == 1


def test_of_many_results_one_that_cannot_travel_fails_alone(desk):
    desk.odd(0)
    futures = [rpcx.future(desk.odd, number) for number in range(6)]
    for number, future in enumerate(futures):
        if number == 3:
            assert isinstance(future.exception(5), rpcx.InvalidArguments)
            assert future.exception().executed == "yes"
        else:
            assert future.result(5) == number


# --- batches ------------------------------------------------------------------------------------------------


def test_a_batch_takes_methods_of_a_proxy_and_nothing_else(desk):
    with rpcx.batch(desk) as many:
        for name in ("numbers", "nothing"):
            with pytest.raises(AttributeError, match=f"Desk has no remote method '{name}' that can be part of a batch"):
                getattr(many, name)
    with pytest.raises(TypeError, match="a remote object's proxy is needed"), rpcx.batch(Desk()):
        pass


def test_a_batch_of_nothing_sends_nothing(both, desk):
    both.server.close()
    with rpcx.batch(desk):
        pass


def test_a_batch_of_an_object_that_is_not_there_fails_call_by_call(both):
    with rpcx.batch(both.server.get(Desk, "elsewhere")) as many:
        futures = [many.add(1), many.fails(), many.add("x")]
    assert [type(future.exception()) for future in futures] == [rpcx.ObjectNotFound] * 3


def test_a_batch_of_an_object_that_cannot_be_made_fails_call_by_call():
    @rpcx.singleton("unmade")
    class Unmade:
        def __init__(self) -> None:
            raise OSError("no database")

        def one(self) -> int:
            return 1

        async def later(self) -> int:
            return 1

    with pair(Unmade) as both, rpcx.batch(both.server.get(Unmade)) as many:
        futures = [many.one(), many.one(), many.later(), many.later()]
    assert [str(future.exception()) for future in futures] == ["no database"] * 4


def test_who_waits_for_several_of_a_batch_is_told_when_it_is_answered(desk):
    told = []
    with rpcx.batch(desk) as many:
        first, second = many.add(1), many.fails()
        for future in (first, second):
            future.add_done_callback(lambda done: told.append(done.exception()))
        assert told == []
    assert [type(error) for error in told] == [type(None), ValueError]


# --- streams ------------------------------------------------------------------------------------------------


def test_an_item_has_a_deadline_of_its_own(desk, state):
    stream = desk.numbers(3, pause_at=1)
    assert next(stream) == 0
    with rpcx.options(timeout=0.05), pytest.raises(rpcx.CallTimeout, match="no item within 0.05 s") as caught:
        next(stream)
    assert caught.value.executed == "yes"  # it streams
    assert state.closed.wait(5)
    with pytest.raises(StopIteration):
        next(stream)


def test_leaving_a_with_block_ends_the_generator(desk, state):
    with desk.numbers(1_000_000) as stream:
        assert next(stream) == 0
    assert state.closed.wait(5)


def test_a_stream_that_nobody_knows_any_more_ends_its_generator(desk, state):
    stream = desk.numbers(1_000_000)
    assert next(stream) == 0
    del stream
    gc.collect()
    assert state.closed.wait(5)
    assert desk.add(1) == 1


# --- callbacks ----------------------------------------------------------------------------------------------


def test_calls_that_call_back_within_one_another_end_somewhere(both, desk):
    reached = []

    def back(depth: int) -> int:
        reached.append(depth)
        return desk.bounce(back, depth + 1)

    with pytest.raises(rpcx.LimitExceeded, match="nested deeper than 32; is this an endless loop"):
        back(0)
    assert len(reached) == 17  # each of them is a call there and one back
    assert desk.add(1) == 1


# --- futures ------------------------------------------------------------------------------------------------


def test_whoever_waits_for_a_future_is_told_whichever_thread_settles_it(both, state):
    """The first fault of a proxy is looked into by a worker, since contracts may have to be compared."""
    for _ in range(50):
        begun = time.monotonic()
        with pytest.raises(ValueError, match="no"):
            rpcx.future(both.server.get(Desk).fails).result(5)
        assert time.monotonic() - begun < 2.5
    failed = []

    def wait() -> None:
        try:
            both.server.get(Desk).until_given_up()
        except rpcx.MaybeExecuted as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert state.begun.wait(5)
    both.cut()
    waiting.join(5)
    assert len(failed) == 1


# --- contracts that differ ----------------------------------------------------------------------------------


def evolving(**functions) -> type:
    return rpcx.singleton("evolving", name="Evolving")(type("Evolving", (), functions))


def f(self, a: int) -> int:
    NOW.notes.append(f"f {a}")
    return a


def f_longer(self, a: int, b: int = 0) -> int:
    return f(self, a)


def test_the_first_of_many_calls_under_way_compares_contracts_and_none_runs_twice(state):
    with pair(evolving(f=f_longer)) as both:
        proxy = both.server.get(evolving(f=f))
        futures = [rpcx.future(proxy.f, number) for number in range(5)]
        assert [future.result(5) for future in futures] == list(range(5))
        assert sorted(state.notes) == [f"f {number}" for number in range(5)]


# --- sinks that answer --------------------------------------------------------------------------------------


class Answering:
    """Answers some calls before they leave, or arrive, and changes some replies."""

    name = "answering"
    local = True

    def __init__(self, early: dict[str, Any] | None = None, late: dict[str, Any] | None = None) -> None:
        self.early = early or {}
        self.late = late or {}

    def request(self, call):
        return self.early.get(call.method, (call, call.method))

    def reply(self, reply, method):
        return self.late.get(method, reply)


ENDS = ["client", "host"]


def desk_behind(end: str, **changes: Any):
    sinks = [Answering(**changes)]
    return pair(Desk, host=rpcx.Host(sinks=sinks)) if end == "host" else pair(Desk, sinks=sinks)


@pytest.mark.parametrize("end", ENDS)
def test_a_sink_may_answer_a_call_with_a_value(end, state):
    with desk_behind(end, early={"add": Return(42)}) as both:
        desk = both.server.get(Desk)
        assert desk.add(1) == 42
        assert rpcx.future(desk.add, 1).result(5) == 42
        with rpcx.batch(desk) as many:
            futures = [many.add(1), many.add(2), many.odd(5)]
        assert [future.result() for future in futures] == [42, 42, 5]
    assert state.notes == []


@pytest.mark.parametrize("end", ENDS)
def test_a_sink_may_answer_any_call_with_an_error(end, state):
    denied = Fault(rpcx.AccessDenied("not for you"))
    with desk_behind(end, early=dict.fromkeys(["add", "numbers", "note"], denied)) as both:
        desk = both.server.get(Desk)
        for call in (lambda: desk.add(1), lambda: rpcx.future(desk.add, 1).result(5), lambda: list(desk.numbers(2))):
            with pytest.raises(rpcx.AccessDenied, match="not for you"):
                call()
        with rpcx.batch(desk) as many:
            futures = [many.add(1), many.odd(5), many.add(2)]
        assert [type(future.exception()) for future in futures] == [rpcx.AccessDenied, type(None), rpcx.AccessDenied]
        if end == "client":
            with pytest.raises(rpcx.AccessDenied, match="not for you"):
                desk.note("x")
        else:
            desk.note("x")  # nobody awaits what became of it
        assert desk.odd(1) == 1
        (endpoint,) = both.host._realm.endpoints
        assert endpoint.stats()["oneway_failures"] == (end == "host")
    assert state.notes == []


@pytest.mark.parametrize("end", ENDS)
def test_a_sink_may_answer_a_one_way_call_and_a_stream(end, state):
    with desk_behind(end, early={"note": Return(None), "numbers": Return(7)}) as both:
        desk = both.server.get(Desk)
        desk.note("x")
        assert list(desk.numbers(3)) == [7]
        (endpoint,) = both.host._realm.endpoints
        assert endpoint.stats()["oneway_failures"] == 0
    assert state.notes == []


def test_an_error_of_a_sink_is_no_misconduct_of_the_peer():
    """Whatever its type: bytes that make no sense are a ValueError too."""
    with desk_behind("host", early={"add": Fault(ValueError("too often"))}) as both:
        desk = both.server.get(Desk)
        for _ in range(200):
            with pytest.raises(ValueError, match="too often"):
                desk.add(1)
        assert desk.odd(1) == 1


@pytest.mark.parametrize("end", ENDS)
def test_a_sink_may_make_an_error_of_a_result(end):
    with desk_behind(end, late={"add": Fault(rpcx.AccessDenied("not any more"))}) as both:
        desk = both.server.get(Desk)
        for call in (lambda: desk.add(1), lambda: rpcx.future(desk.add, 1).result(5)):
            with pytest.raises(rpcx.AccessDenied, match="not any more"):
                call()
        with rpcx.batch(desk) as many:
            futures = [many.add(1), many.odd(5)]
        assert isinstance(futures[0].exception(), rpcx.AccessDenied)
        assert futures[1].result() == 5


@pytest.mark.parametrize("end", ENDS)
def test_a_sink_may_make_a_result_of_an_error(end):
    with desk_behind(end, late={"fails": Return(None)}) as both:
        desk = both.server.get(Desk)
        assert desk.fails() is None
        assert rpcx.future(desk.fails).result(5) is None
        with rpcx.batch(desk) as many:
            futures = [many.fails(), many.odd(5)]
        assert [future.result() for future in futures] == [None, 5]
