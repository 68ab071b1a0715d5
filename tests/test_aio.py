"""Clients in a loop: each way to call, awaited, and where it is not the usual course of things."""

import asyncio
import gc
import logging
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

import rpcx
import rpcx.aio
from rpcx.messages import Fault, Return
from rpcx.testing import AsyncPair, VirtualClock, pair

Main = Callable[[AsyncPair], Awaitable[None]]


class State:
    """What the desk of one test has seen."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.closed = threading.Event()


NOW = State()


@pytest.fixture(autouse=True)
def state() -> State:
    global NOW  # noqa: PLW0603  # the desk's class is made once
    NOW = State()
    return NOW


@rpcx.singleton("desk")
class Desk:
    def __init__(self) -> None:
        self.degrees: float | None = 20.0

    def add(self, a: int, b: int = 0) -> int:
        return a + b

    async def add_later(self, a: int, b: int = 0) -> int:
        await asyncio.sleep(0)
        return a + b

    def anything(self, value):
        return value

    def fails(self) -> None:
        raise ValueError("no")

    @rpcx.oneway
    def note(self, line: str) -> None:
        NOW.notes.append(line)

    @rpcx.oneway
    async def note_later(self, line: str) -> None:
        if line == "fail":
            raise ValueError("cannot be noted")
        NOW.notes.append(line)

    async def forever(self) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            NOW.closed.set()

    async def numbers(self, most: int, pause_at: int = -1) -> AsyncIterator[int]:
        try:
            for number in range(most):
                if number == pause_at:
                    await asyncio.sleep(60)
                yield number
        finally:
            NOW.closed.set()

    def sync_numbers(self, most: int) -> Iterator[int]:
        yield from range(most)

    @property
    def temperature(self) -> float | None:
        return self.degrees

    @temperature.setter
    def temperature(self, value: float) -> None:
        if value < 0:
            raise ValueError("too cold")
        self.degrees = value

    @temperature.deleter
    def temperature(self) -> None:
        self.degrees = None

    @property
    def size(self) -> int:
        return 3

    async def told(self, listener: Callable[..., Any], **more: Any) -> list[Any]:
        return [await listener(1), *[await each(2) for each in more.values()]]


@rpcx.client_activated
class Account:
    def __init__(self, owner: str) -> None:
        self.owner = owner

    def name(self) -> str:
        return self.owner


def run(main: Main, *classes: type, **options: Any) -> None:
    """``main(both)`` in a loop that has both ends."""

    async def whole() -> None:
        async with pair(*(classes or (Desk, Account)), **options) as both:
            await asyncio.wait_for(main(both), 20)

    asyncio.run(whole())


async def eventually(condition: Callable[[], object]) -> bool:
    for _ in range(5_000):
        if condition():
            return True
        await asyncio.sleep(0.001)
    return False


# --- calls --------------------------------------------------------------------------------------------------


def test_methods_of_either_kind_are_awaited():
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        assert await asyncio.gather(desk.add(1, b=2), desk.add_later(3)) == [3, 3]
        assert await rpcx.aio.call(desk.add, 1, 2) == 3
        assert await rpcx.aio.call(desk.add_later, 1, b=4) == 5
        with pytest.raises(ValueError, match="no"):
            await desk.fails()
        with pytest.raises(rpcx.InvalidArguments, match="'a'"):
            await desk.add("x")
        with pytest.raises(rpcx.InvalidArguments, match="cannot travel"):
            await desk.anything(object())

    run(main)


def test_coroutine_functions_by_position_and_by_name_are_called_by_async_methods():
    async def main(both: AsyncPair) -> None:
        async def twice(number: int) -> int:
            return number * 2

        assert await both.server.get(Desk).told(twice, other=twice, third=lambda number: number) == [2, 4, 2]

    run(main)


def test_a_deadline_ends_the_wait_and_cancels_the_coroutine(state):
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        with rpcx.options(timeout=0.05), pytest.raises(rpcx.CallTimeout, match="did not answer within 0.05 s"):
            await desk.forever()
        assert await eventually(state.closed.is_set)
        assert await desk.add(1) == 1

    run(main)


def test_a_task_that_is_cancelled_cancels_the_coroutine_there(state):
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        task = asyncio.ensure_future(desk.forever())
        await desk.add(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await eventually(state.closed.is_set)

    run(main)


def test_one_way_calls_run_in_order_and_what_fails_is_logged(state, caplog):
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        for line in ("one", "two"):
            assert await desk.note(line) is None
        with caplog.at_level(logging.WARNING, "rpcx"):
            await desk.note_later("fail")
            await desk.note_later("three")
            assert await eventually(lambda: len(state.notes) == 3)
        assert state.notes == ["one", "two", "three"]
        assert "one-way call desk.note_later failed" in caplog.text

    run(main)


# --- properties ---------------------------------------------------------------------------------------------


def test_a_property_is_awaited_and_its_assignment_is_sent_in_order():
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        assert await desk.temperature == 20
        desk.temperature = 25
        assert await desk.temperature == 25
        del desk.temperature
        assert await desk.temperature is None

    run(main)


def test_an_assignment_that_fails_is_raised_by_the_next_call_and_by_no_other():
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        desk.temperature = -1  # the first call of this proxy, too
        await both.server.get(Desk).size  # it is answered by now
        with pytest.raises(ValueError, match="too cold"):
            await desk.size
        assert await desk.size == 3
        desk.temperature = -1
        await both.server.get(Desk).size
        with pytest.raises(ValueError, match="too cold"):
            desk.temperature = 5
        assert await desk.temperature == 20

    run(main)


def test_an_assignment_may_be_awaited():
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        await rpcx.aio.assign(desk, "temperature", 30)
        with pytest.raises(ValueError, match="too cold"):
            await rpcx.aio.assign(desk, "temperature", -5)
        assert await desk.temperature == 30
        await rpcx.aio.delete(desk, "temperature")
        assert await desk.temperature is None
        with pytest.raises(AttributeError, match=r"no remote property that allows 'size\.set'"):
            await rpcx.aio.assign(desk, "size", 5)
        with pytest.raises(AttributeError, match=r"no remote property that allows 'size\.del'"):
            await rpcx.aio.delete(desk, "size")
        with pytest.raises(AttributeError, match="no remote property"):
            await rpcx.aio.assign(Desk(), "temperature", 5)

    run(main)


# --- streams ------------------------------------------------------------------------------------------------


def test_streams_of_either_kind_are_iterated():
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        assert [item async for item in desk.numbers(300)] == list(range(300))
        assert [item async for item in desk.sync_numbers(300)] == list(range(300))

    run(main)


@pytest.mark.parametrize("how", ["aclose", "with", "forget"])
def test_a_stream_that_is_left_ends_its_generator(state, how):
    async def main(both: AsyncPair) -> None:
        stream = both.server.get(Desk).numbers(1_000_000)
        if how == "with":
            async with stream:
                assert await anext(stream) == 0
        else:
            assert await anext(stream) == 0
            if how == "aclose":
                await stream.aclose()
        del stream
        gc.collect()
        assert await eventually(state.closed.is_set)

    run(main)


def test_an_item_has_a_deadline_of_its_own(state):
    async def main(both: AsyncPair) -> None:
        stream = both.server.get(Desk).numbers(3, pause_at=1)
        assert await anext(stream) == 0
        with rpcx.options(timeout=0.05), pytest.raises(rpcx.CallTimeout, match="no item within 0.05 s"):
            await anext(stream)
        assert await eventually(state.closed.is_set)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main)


# --- batches ------------------------------------------------------------------------------------------------


def test_a_batch_is_answered_call_by_call():
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        async with rpcx.aio.batch(desk) as many:
            futures = [many.add(1, 1), many.add_later("x"), many.fails(), many.add_later(2, b=3)]
        assert futures[0].result() == 2
        assert isinstance(futures[1].exception(), rpcx.InvalidArguments)
        assert isinstance(futures[2].exception(), ValueError)
        assert await asyncio.wrap_future(futures[3]) == 5
        async with rpcx.aio.batch(desk):
            pass  # nothing is sent
        with pytest.raises(TypeError, match="a remote object's proxy is needed"):
            async with rpcx.aio.batch(Desk()):
                pass

    run(main)


def test_a_batch_that_takes_too_long_is_given_up_as_a_whole(state):
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        with rpcx.options(timeout=0.05), pytest.raises(rpcx.CallTimeout):
            async with rpcx.aio.batch(desk) as many:
                waiting = many.forever()
        assert isinstance(waiting.exception(), rpcx.CallTimeout)
        assert await eventually(state.closed.is_set)

    run(main)


class Answering:
    """Answers what it is told to, and lets the rest pass."""

    name = "answering"

    def request(self, call):
        early = {"add": Return(42), "fails": Fault(rpcx.AccessDenied("not for you"))}
        return early.get(call.method, (call, None))

    def reply(self, reply, state):
        return reply


@pytest.mark.parametrize("end", ["client", "host"])
def test_sinks_see_each_call_of_a_batch(end):
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        assert await desk.add(1) == 42
        with pytest.raises(rpcx.AccessDenied):
            await desk.fails()
        async with rpcx.aio.batch(desk) as many:
            futures = [many.add(1), many.fails(), many.anything(7)]
        assert futures[0].result() == 42
        assert isinstance(futures[1].exception(), rpcx.AccessDenied)
        assert futures[2].result() == 7

    Answering.local = True
    if end == "client":
        run(main, sinks=[Answering()])
    else:
        run(main, host=rpcx.Host(sinks=[Answering()]))


# --- contracts that differ ----------------------------------------------------------------------------------


def evolving(**functions) -> type:
    return rpcx.singleton("evolving", name="Evolving")(type("Evolving", (), functions))


def f(self, a: int) -> int:
    NOW.notes.append(f"f {a}")
    return a


def f_longer(self, a: int, b: int = 0) -> int:
    return f(self, a)


def f_other(self, a: str) -> int:
    return 1


def test_contracts_that_still_fit_are_compared_once_whatever_comes_first(state):
    async def batch(proxy) -> None:
        async with rpcx.aio.batch(proxy) as many:
            future = many.f(1)
        assert future.result() == 1

    async def main(both: AsyncPair) -> None:
        for first in (lambda proxy: proxy.f(1), batch):
            proxy = both.server.get(evolving(f=f))
            await first(proxy)
            assert await proxy.f(2) == 2
        assert state.notes == ["f 1", "f 2"] * 2

    run(main, evolving(f=f_longer))


def test_contracts_that_do_not_fit_are_an_error_whatever_comes_first():
    async def main(both: AsyncPair) -> None:
        with pytest.raises(rpcx.ContractMismatch, match="type is 'str' here and 'int' there"):
            await both.server.get(evolving(f=f_other)).f("x")
        with pytest.raises(rpcx.ContractMismatch, match="type is 'str' here and 'int' there"):
            async with rpcx.aio.batch(both.server.get(evolving(f=f_other))) as many:
                many.f("x")

    run(main, evolving(f=f))


def test_a_property_that_is_assigned_first_compares_contracts_too(state):
    def get(self) -> int:
        return len(NOW.notes)

    def set_(self, value: int) -> None:
        NOW.notes.append(f"set {value}")

    async def main(both: AsyncPair) -> None:
        proxy = both.server.get(evolving(f=f, size=property(get, set_)))
        proxy.size = 5
        assert await eventually(lambda: state.notes == ["set 5"])
        assert await proxy.size == 1
        misfit = both.server.get(evolving(f=f_other, size=property(get, set_)))
        misfit.size = 6
        assert await eventually(lambda: misfit._rpcx_ref.deferred is not None)
        with pytest.raises(rpcx.ContractMismatch):
            await misfit.size

    run(main, evolving(f=f_longer, size=property(get, set_)))
    assert state.notes == ["set 5"]


# --- connections --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["call", "batch", "one-way", "stream"])
def test_whatever_the_way_the_next_call_goes_over_a_new_connection(state, way):
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        await desk.add(0)
        both.cut()
        assert await eventually(lambda: both.host.stats()["connections"] == 0)
        if way == "call":
            assert await asyncio.gather(*(desk.add(number) for number in range(5))) == list(range(5))
        elif way == "batch":
            async with rpcx.aio.batch(desk) as many:
                future = many.add(1)
            assert future.result() == 1
        elif way == "one-way":
            await desk.note("x")
            assert await eventually(lambda: state.notes == ["x"])
        else:
            await desk.add(1)  # a stream is begun without being awaited: nothing could connect for it
            assert [item async for item in desk.numbers(2)] == [0, 1]
        assert both.host.stats()["connections"] == 1

    run(main)


def test_what_was_under_way_may_have_run():
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        stream = desk.numbers(3, pause_at=1)
        assert await anext(stream) == 0
        call = asyncio.ensure_future(desk.forever())
        await desk.add(1)
        both.cut()
        for waiting in (call, anext(stream)):
            with pytest.raises(rpcx.MaybeExecuted):
                await waiting

    run(main)


@pytest.mark.parametrize("way", ["call", "batch", "one-way", "stream"])
def test_a_connection_that_was_closed_sends_nothing(way):
    async def main(both: AsyncPair) -> None:
        desk = both.server.get(Desk)
        await desk.add(0)
        await both.server.close()
        await both.server.close()
        with pytest.raises(rpcx.NotSent, match="connect again"):
            if way == "call":
                await desk.add(1)
            elif way == "batch":
                async with rpcx.aio.batch(desk) as many:
                    many.add(1)
            elif way == "one-way":
                await desk.note("x")
            else:
                desk.numbers(2)
        assert repr(both.server).endswith(" closed>")

    run(main)


def test_a_connection_that_is_not_open_yet_says_so():
    with pytest.raises(rpcx.NotSent, match="inproc://nowhere: not connected"):
        rpcx.aio.connect("inproc://nowhere").get(Desk)


def test_who_does_not_answer_is_given_up_in_time():
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(rpcx.NotSent, match=r"no handshake within 0\.05 s; is it an rpcx host\?"):
                await rpcx.aio.connect(url, insecure=True, timeout=0.05).open()

    asyncio.run(main())


def test_where_nobody_is_nothing_is_left():
    async def main() -> None:
        with pytest.raises(rpcx.NotSent, match="no host of this process listens there"):
            async with rpcx.aio.connect("inproc://nowhere"):
                raise AssertionError("connected")

    asyncio.run(main())


def test_what_a_host_offers_can_be_described():
    async def main(both: AsyncPair) -> None:
        kept = await both.server.create(Account, "ann")
        described = await both.server.describe()
        assert [entry["uri"] for entry in described["objects"]] == ["desk"]
        assert [entry["name"] for entry in described["classes"]] == ["Account"]
        assert described["lease_count"] == 1
        assert await kept.name() == "ann"
        assert both.server.peer.channel == "inproc"

    run(main)


# --- objects of the client ----------------------------------------------------------------------------------


class Listener:
    """Goes to the host, and ends there."""

    def __init__(self, ended: list[str]) -> None:
        self.ended = ended


@rpcx.client_activated(lease=rpcx.Lease(initial=300))
class Sync(Listener):
    def close(self) -> None:
        self.ended.append("sync")


@rpcx.client_activated(lease=rpcx.Lease(initial=300))
class Async(Listener):
    async def close(self) -> None:
        await asyncio.sleep(0)
        self.ended.append("async")


@rpcx.client_activated(lease=rpcx.Lease(initial=300))
class Broken(Listener):
    async def close(self) -> None:
        self.ended.append("broken")
        raise OSError("not now")


@rpcx.singleton("keeper")
class Keeper:
    def __init__(self) -> None:
        self.kept: list[Any] = []

    def keep(self, thing) -> None:
        self.kept.append(thing)


@pytest.mark.parametrize("when", ["given back", "closed"])
def test_what_a_client_passed_and_owns_ends_in_its_loop(when, caplog):
    ended: list[str] = []

    async def main(both: AsyncPair) -> None:
        keeper = both.server.get(Keeper)
        for kind in (Sync, Async, Broken):
            await keeper.keep(kind(ended))
        if when == "given back":
            both.host.withdraw("keeper")
            gc.collect()
            assert await eventually(lambda: len(ended) == 3)

    run(main, Keeper)
    assert sorted(ended) == ["async", "broken", "sync"]
    assert "OSError: not now" in caplog.text


def test_a_sponsor_in_a_loop_answers_for_an_object_of_a_host_in_another(state):
    clock = VirtualClock()
    host = rpcx.Host(clock=clock)
    host.register(Account)
    asked = []

    @rpcx.remote
    class Sponsor:
        async def renewal(self, lease: rpcx.LeaseInfo) -> float:
            asked.append(lease.remaining)
            return 60.0

    async def main(url: str) -> None:
        async with rpcx.aio.connect(url) as server:
            account = await server.create(Account, "ann")
            await rpcx.lease(account).register(Sponsor())
            await clock.advance_async(300)
            assert asked == [0.0]
            assert (await rpcx.lease(account).info()).remaining == 60
            assert await account.name() == "ann"

    with host:
        asyncio.run(main(host.listen("inproc://sponsored")))


def test_what_ends_in_the_turn_in_which_its_host_closes_is_disposed_of(monkeypatch):
    closed = []

    class Ended:
        def close(self) -> None:
            closed.append("here")

    class EndedLater:
        async def aclose(self) -> None:
            await asyncio.sleep(0.01)
            closed.append("later")

    async def main() -> None:
        async with rpcx.Host() as host:
            shut = host._realm.shut

            def ended_just_now():
                host._realm._dispose(Ended())
                host._realm._dispose(EndedLater())
                return shut()

            monkeypatch.setattr(host._realm, "shut", ended_just_now)
        assert closed == ["here", "later"]

    asyncio.run(main())
