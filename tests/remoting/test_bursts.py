"""Calls begun one after another: they travel together, and are independent all the same."""

import asyncio
import concurrent.futures
import threading
import time

import msgpack
import pytest

import rpcx
from rpcx.protocol.connection import BURST, FAULT, RETURN, RETURNS
from rpcx.remoting.bursts import LONGEST_BURST
from rpcx.remoting.pending import Pending


@rpcx.singleton("mixed")
class Mixed:
    """Methods that end in every way."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def add(self, a: int, b: int = 1) -> int:
        return a + b

    def odd(self, a: int) -> int:
        if a % 2:
            raise ValueError(f"{a} is odd")
        return a

    def shaped(self, a: int) -> object:
        return [a, [1] * a, "x" * a, None, 2**70, b"x" * 9000][a % 6]

    def slow(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def wait(self, number: int) -> int:
        if number == 1 and not self.gate.wait(10):
            raise TimeoutError("nobody opened the gate")
        return number

    def open(self) -> None:
        self.gate.set()

    def until_given_up(self, number: int) -> str:
        while True:
            rpcx.check()
            time.sleep(0.001)

    async def later(self, a: int) -> int:
        await asyncio.sleep(0.001)
        return a

    def who(self, a: int) -> str:
        return f"{rpcx.context.uri}.{rpcx.context.method}({a}) until {rpcx.context.deadline is not None}"

    def back(self, function: object, a: int) -> int:
        futures = [rpcx.future(function, number, a) for number in range(20)]
        return sum(future.result() for future in futures)


@pytest.fixture(params=["inproc", "tcp"])
def server(request):
    host = rpcx.Host()
    host.register(Mixed)
    url = host.listen("inproc://bursts" if request.param == "inproc" else "tcp://127.0.0.1:0", insecure=True)
    with host, rpcx.connect(url, insecure=True) as server:
        yield server


@pytest.fixture
def mixed(server):
    mixed = server.get(Mixed, "mixed")
    mixed.add(1, 1)  # contracts are compared; from now on calls may join
    return mixed


def frames(server):
    """The kinds of frames that the host sends from now on."""
    kinds = []
    connection = server._connected()._connection
    take = connection._take
    connection._take = lambda kind, *rest: (kinds.append(kind), take(kind, *rest))[1]
    return kinds


def test_many_calls_leave_and_return_in_few_frames(server, mixed):
    kinds = frames(server)
    futures = [rpcx.future(mixed.add, a, 2) for a in range(500)]
    assert [future.result(5) for future in futures] == [a + 2 for a in range(500)]
    assert RETURNS in kinds
    assert len(kinds) < 250


def test_each_fails_alone(mixed):
    futures = [rpcx.future(mixed.odd, a) for a in range(40)]
    for a, future in enumerate(futures):
        if a % 2:
            assert isinstance(future.exception(5), ValueError)
        else:
            assert future.result(5) == a


def test_arguments_are_checked_and_shaped_one_by_one(mixed):
    futures = [rpcx.future(mixed.add, a, 1) for a in (1, "2", 3, "x", None, 4)]
    assert [future.exception(5) is None for future in futures] == [True, True, True, False, False, True]
    assert [future.result() for future in futures if future.exception() is None] == [2, 3, 4, 5]
    assert "argument 'a'" in str(futures[3].exception())


def test_results_of_every_kind_come_in_their_place(mixed):
    futures = [rpcx.future(mixed.shaped, a) for a in range(60)]
    assert [future.result(5) for future in futures] == [Mixed().shaped(a) for a in range(60)]


def test_calls_of_different_methods_and_widths_are_told_apart(mixed):
    futures = []
    for a in range(30):
        futures += [rpcx.future(mixed.add, a, 1), rpcx.future(mixed.add, a), rpcx.future(mixed.odd, 2 * a)]
        futures += [rpcx.future(mixed.add, a, b=7), rpcx.future(mixed.later, a)]
        assert mixed.add(a, 3) == a + 3, "a call that is waited for comes between"
    results = [future.result(5) for future in futures]
    assert results == [value for a in range(30) for value in (a + 1, a + 1, 2 * a, a + 7, a)]


def test_none_waits_for_another_that_takes_long(mixed):
    futures = [rpcx.future(mixed.wait, number) for number in range(40)]
    others = [*futures[:1], *futures[2:]]
    assert not concurrent.futures.wait(others, 5).not_done, "one that blocks holds the others up"
    assert not futures[1].done()
    mixed.open()
    assert [future.result(5) for future in futures] == list(range(40))


def test_slow_calls_run_side_by_side(mixed):
    begun = time.monotonic()
    futures = [rpcx.future(mixed.slow, 0.2) for _ in range(20)]
    assert [future.result(5) for future in futures] == [0.2] * 20
    assert time.monotonic() - begun < 2.0, "one after the other they take 4 s"


def test_one_is_cancelled_and_the_others_go_on(mixed):
    futures = [rpcx.future(mixed.until_given_up, number) for number in range(5)]
    after = [rpcx.future(mixed.add, number, 1) for number in range(20)]
    assert [future.result(5) for future in after] == list(range(1, 21))
    for future in futures:
        assert future.cancel()
    assert mixed.add(1, 1) == 2


def test_each_is_the_call_that_is_served(mixed):
    futures = [rpcx.future(mixed.who, a) for a in range(20)]
    assert [future.result(5) for future in futures] == [f"mixed.who({a}) until True" for a in range(20)]


def test_a_host_calls_back_in_bursts_too(mixed):
    assert mixed.back(lambda number, a: number + a, 1) == sum(range(20)) + 20


def test_a_long_text_does_not_keep_short_ones_back():
    host = rpcx.Host(limits=rpcx.Limits(message=20_000))
    host.register(Mixed)
    with host, rpcx.connect(host.listen("inproc://short")) as server:

        @rpcx.remote
        class Texts:
            def echo(self, text: str) -> str:
                return text

        host.publish(Texts(), "texts")
        texts = server.get(Texts, "texts")
        assert texts.echo("x") == "x"
        sizes = [1, 15_000, 1, 15_000, 30_000, 2]
        futures = [rpcx.future(texts.echo, "x" * size) for size in sizes]
        errors = [future.exception(5) for future in futures]
        assert [type(error) for error in errors if error] == [rpcx.LimitExceeded]
        assert errors[4].executed == "no"
        assert [len(future.result()) for future, error in zip(futures, errors, strict=True) if not error] == [
            1, 15_000, 1, 15_000, 2,
        ]  # fmt: skip


def test_single_call_objects_are_made_for_each():
    made = []

    @rpcx.single_call("each")
    class Each:
        def __init__(self) -> None:
            made.append(self)

        def number(self, a: int) -> int:
            return a

    host = rpcx.Host()
    host.register(Each)
    with host, rpcx.connect(host.listen("inproc://each")) as server:
        each = server.get(Each, "each")
        each.number(0)
        futures = [rpcx.future(each.number, a) for a in range(30)]
        assert [future.result(5) for future in futures] == list(range(30))
    assert len({id(one) for one in made}) == len(made) == 31


def test_calls_leave_when_nobody_waits(mixed):
    done = threading.Event()
    rpcx.future(mixed.add, 1, 1).result(5)
    left = [30]

    def count(_: object) -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    for a in range(30):
        rpcx.future(mixed.add, a, 1).add_done_callback(count)
    assert done.wait(5)


def test_threads_share_a_connection(mixed):
    def work(base: int) -> None:
        futures = [rpcx.future(mixed.add, base + a, 1) for a in range(200)]
        assert [future.result(10) for future in futures] == [base + a + 1 for a in range(200)]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, 1000 * number) for number in range(6)]:
            done.result(30)


@pytest.mark.parametrize(
    "body",
    [
        ["mixed", "add", 2, [1, 2, 3], None], ["mixed", "add", 3, [1, 2, 3], None], ["mixed", "add", 2, 5, None],
        ["mixed", "add", 2, [1, 2]], [1, "add", 2, [1, 2], None], ["mixed", "nothing", 2, [1, 2], None],
        ["nobody", "add", 2, [1, 2], None], [], None, ["mixed", "add", "2", [1, 2], None],
    ],
)  # fmt: skip
def test_a_burst_of_another_form_is_refused_call_by_call(server, mixed, body):
    assert answers(server, 2, body) == [FAULT, FAULT]
    assert mixed.add(1, 1) == 2, "the connection goes on"


def test_a_burst_written_by_hand_is_answered(server, mixed):
    assert answers(server, 2, ["mixed", "add", 2, [1, 2, 3, "4"], None]) == [RETURN, RETURN]
    assert answers(server, LONGEST_BURST * 2, ["mixed", "add", LONGEST_BURST * 2, [1] * LONGEST_BURST * 2, 5.0]) == [
        RETURN
    ] * (LONGEST_BURST * 2)


def answers(server, count, body):
    """Kinds of the answers to a burst that no client of ours wrote."""
    endpoint = server._connected()
    pendings = [Pending() for _ in range(count)]
    with endpoint._lock:
        ids = [endpoint._connection.join(pending) for pending in pendings]
        assert endpoint._connection.burst(ids[0], count, msgpack.packb(body))
    for pending in pendings:
        endpoint._link.wait(pending, 5)
    assert BURST not in [pending.kind for pending in pendings]
    return [pending.kind for pending in pendings]
