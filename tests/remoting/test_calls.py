"""Whole calls between a host and a client: arguments, results, errors, callbacks, streams, batches."""

import asyncio
import concurrent.futures
import copy
import dataclasses
import enum
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pydantic
import pytest

import rpcx
from rpcx.protocol.frames import HEADER, Kind
from rpcx.protocol.handshake import MAGIC, WINDOW


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    tags: tuple[str, ...] = ()


class Order(pydantic.BaseModel):
    number: int


class OurError(Exception):
    pass


@rpcx.remote
class Node:
    def __init__(self, name: str = "") -> None:
        self.name_ = name

    def name(self) -> str:
        return self.name_


@rpcx.singleton("calc")
class Calc:
    def __init__(self) -> None:
        self.speed_: float | None = 1.0
        self.produced = 0
        self.closed = threading.Event()
        self.begun = threading.Event()
        self.node = Node("home")

    def add(self, a: int, b: int = 1, *, c: int = 0) -> int:
        return a + b + c

    def same(self, colour: Colour, point: Point, order: Order, path: Path) -> tuple[Colour, Point, Order, Path]:
        assert (type(colour), type(point), type(order)) == (Colour, Point, Order)
        return colour, point, order, path

    def anything(self, value):
        return value

    def lies(self) -> int:
        return "no number"

    def fails(self, kind: str) -> None:
        raise {"value": ValueError("bad value"), "ours": OurError("why")}[kind]

    def exits(self) -> None:
        raise SystemExit(3)

    @property
    def speed(self) -> float | None:
        return self.speed_

    @speed.setter
    def speed(self, value: float) -> None:
        if value < 0:
            raise ValueError("backwards")
        self.speed_ = value

    @speed.deleter
    def speed(self) -> None:
        self.speed_ = None

    def make(self, name: str) -> Node:
        return Node(name)

    def home(self) -> Node:
        return self.node

    def is_home(self, node: Node) -> bool:
        return node is self.node

    def names(self, nodes: dict[str, list[Node]]) -> list[str]:
        return [node.name() for node in nodes["all"]]

    def each(self, function: Callable[[int], int], n: int) -> list[int]:
        return [function(i) for i in range(n)]

    async def each_async(self, function: Callable[[int], object], n: int) -> list:
        return [await function(i) for i in range(n)]

    def repeat(self, value, n: int) -> Iterator:
        for _ in range(n):
            yield value

    def counted(self, n: int) -> Iterator[int]:
        try:
            for i in range(n):
                self.produced = i + 1
                yield i
        finally:
            self.closed.set()

    async def counted_async(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    def half(self) -> Iterator[int]:
        yield 1
        raise KeyError("in the middle")

    def state(self) -> tuple[int, bool]:
        return self.produced, self.closed.wait(5)

    def has_begun(self) -> bool:
        return self.begun.wait(5)

    def until_given_up(self) -> None:
        try:
            while True:
                rpcx.check()
                time.sleep(0.002)
        except rpcx.Cancelled:
            self.closed.set()
            raise

    async def forever(self) -> None:
        try:
            self.begun.set()
            await asyncio.sleep(60)
        finally:
            self.closed.set()

    def caller(self) -> tuple[str, str]:
        return rpcx.context.peer.channel, rpcx.context.method


@pytest.fixture
def server(serve):
    return serve(Calc)


@pytest.fixture
def calc(server) -> Calc:
    return server.get(Calc)


def test_arguments_by_position_by_name_and_by_default(calc):
    assert (calc.add(1), calc.add(1, 2), calc.add(a=1, b=3), calc.add(1, c=5)) == (2, 3, 4, 7)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda c: c.add("many"), "argument 'a'"),
        (lambda c: c.add(1, b="x"), "argument 'b'"),
        (lambda c: c.add(), "missing a required argument: 'a'"),
        (lambda c: c.add(1, 2, 3), "too many positional"),
        (lambda c: c.add(1, d=5), "unexpected keyword argument 'd'"),
        (lambda c: c.anything(object()), "cannot travel"),
        (lambda c: c.anything(np.array([object()])), "dtype object"),
    ],
)
def test_bad_arguments_are_named(calc, act, said):
    with pytest.raises(rpcx.InvalidArguments, match=said) as caught:
        act(calc)
    assert isinstance(caught.value, TypeError)
    assert caught.value.executed == "no"
    assert calc.add(1, 1) == 2


def test_the_receivers_annotation_makes_the_type(calc):
    values = (Colour.RED, Point(1, ("a",)), Order(number=1), Path("/tmp"))
    assert calc.same(*values) == values


def test_without_an_annotation_plain_data_arrives_exactly(calc):
    for value in ((1, (2,)), {1, 2}, b"x", bytearray(b"y"), {(1,): None}, 1 << 99):
        back = calc.anything(value)
        assert (type(back), back) == (type(value), value)
    assert calc.anything(Point(1)) == {"x": 1, "tags": ()}


def test_a_result_that_is_not_as_declared_is_an_error_here(calc):
    with pytest.raises(rpcx.InvalidArguments, match=r"Calc\.lies: its result"):
        calc.lies()


def test_exceptions_arrive_as_themselves_with_the_remote_traceback(calc):
    with pytest.raises(ValueError, match="bad value") as caught:
        calc.fails("value")
    assert any("Remote traceback" in note and "in fails" in note for note in caught.value.__notes__)
    with pytest.raises(rpcx.RemoteError, match="why") as other:
        calc.fails("ours")
    assert (other.value.type_name, other.value.executed) == ("OurError", "yes")


def test_a_method_cannot_make_its_caller_exit(calc):
    with pytest.raises(rpcx.RemoteError, match="SystemExit"):
        calc.exits()
    assert calc.add(1) == 2


def test_custom_errors_keep_tracebacks_at_home(serve):
    calc = serve(Calc, custom_errors=True).get(Calc)
    with pytest.raises(ValueError, match="bad value") as caught:
        calc.fails("value")
    (note,) = caught.value.__notes__
    assert note.startswith("more is known to the host, as corr_id ")


def test_unknown_objects_and_classes_are_told_apart(server):
    with pytest.raises(rpcx.ObjectNotFound) as caught:
        server.get(Calc, "nothing").add(1)
    assert not isinstance(caught.value, rpcx.ObjectExpired)
    with pytest.raises(rpcx.InvalidArguments, match="no remote class"):
        server.get(Path, "x")
    with pytest.raises(rpcx.InvalidArguments, match="only @rpcx.client_activated"):
        server.create(Calc)
    with pytest.raises(AttributeError):
        server.get(Calc).no_such_method()


def test_properties_are_read_set_and_deleted(calc):
    calc.speed = 2.5
    assert calc.speed == 2.5
    with pytest.raises(ValueError, match="backwards"):
        calc.speed = -1.0
    del calc.speed
    assert calc.speed is None


def test_remote_objects_go_by_reference_both_ways(calc):
    assert calc.names({"all": [Node("x"), calc.make("y"), Node("z")]}) == ["x", "y", "z"]
    assert isinstance(calc.make("b"), Node)


def test_what_comes_home_is_the_object_itself(calc):
    assert calc.is_home(calc.home())
    assert not calc.is_home(calc.make("other"))
    mine = Node("mine")
    assert calc.anything([mine])[0] is mine
    assert calc.home() == calc.home() != calc.make("home")


def test_what_comes_home_outruns_its_own_release(calc):
    # The host gives its reference back as soon as it has answered: that must not be acted upon before the answer
    # was read, by whichever thread it is for.
    def go() -> None:
        for _ in range(100):
            mine = Node()
            assert calc.anything([mine])[0] is mine
            assert [each[0] is mine for each in calc.repeat([mine], 3)] == [True] * 3

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(go) for _ in range(4)]:
            done.result()


def test_what_comes_home_with_proxies_suits_async_code(serve):
    url = serve(Calc).host.urls[0]

    async def main() -> None:
        async with rpcx.aio.connect(url) as server:
            calc = server.get(Calc)
            for _ in range(50):
                mine = Node()
                back, other = await calc.anything([mine, await calc.make("other")])
                assert back is mine
                assert await other.name() == "other"

    asyncio.run(main())


def test_functions_methods_and_coroutine_functions_are_callbacks(calc):
    async def later(i):
        await asyncio.sleep(0)
        return i * 3

    seen: list[int] = []
    assert calc.each(lambda i: i * 2, 3) == [0, 2, 4]
    calc.each(seen.append, 0)
    assert calc.each_async(later, 3) == [0, 3, 6]
    assert calc.each_async(lambda i: i, 3) == [0, 1, 2]


def test_an_error_in_a_callback_reaches_the_method_and_its_caller(calc):
    def bad(i: int) -> int:
        raise ZeroDivisionError("in the callback")

    with pytest.raises(ZeroDivisionError, match="in the callback"):
        calc.each(bad, 1)


def test_a_proxy_passed_to_a_third_process_works_through_the_one_between(serve):
    first, second = serve(Calc), serve(Calc)
    node = first.get(Calc).make("far")
    assert second.get(Calc).names({"all": [node]}) == ["far"]


def test_a_stream_is_not_run_ahead_of_its_consumer(calc):
    stream = calc.counted(10_000)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    time.sleep(0.05)
    stream.close()
    produced, closed = calc.state()
    assert closed
    assert 3 <= produced <= 3 + 2 * WINDOW


def test_streams_end_with_their_error_and_run_side_by_side(calc):
    stream = calc.half()
    assert next(stream) == 1
    with pytest.raises(KeyError, match="in the middle"):
        next(stream)
    assert all(a == b for a, b in zip(calc.counted(300), calc.counted_async(300), strict=True))


def test_a_batch_is_answered_call_by_call(calc):
    with rpcx.batch(calc) as calls:
        futures = [calls.add(1, 1), calls.add("x"), calls.fails("value"), calls.add(2, b=3)]
    assert futures[0].result() == 2
    assert isinstance(futures[1].exception(), rpcx.InvalidArguments)
    assert isinstance(futures[2].exception(), ValueError)
    assert futures[3].result() == 5


def test_thousands_of_calls_in_flight(calc):
    futures = [rpcx.future(calc.add, i, 1) for i in range(3_000)]
    assert [f.result() for f in futures] == [i + 1 for i in range(3_000)]


def test_futures_are_those_of_the_standard_library(calc):
    done, pending = concurrent.futures.wait([rpcx.future(calc.add, i) for i in range(20)], timeout=5)
    assert (len(done), len(pending)) == (20, 0)
    told: list[int] = []
    event = threading.Event()
    rpcx.future(calc.add, 1).add_done_callback(lambda f: (told.append(f.result()), event.set()))
    assert event.wait(5)
    assert told == [2]
    assert isinstance(rpcx.future(calc.fails, "value").exception(5), ValueError)
    with pytest.raises(TypeError, match="no method of a remote object"):
        rpcx.future(print)


def test_a_deadline_ends_the_wait_and_tells_the_method(calc):
    with rpcx.options(timeout=0.05), pytest.raises(rpcx.CallTimeout) as caught:
        calc.until_given_up()
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.uri, caught.value.method, caught.value.executed) == ("calc", "until_given_up", "maybe")
    assert calc.state()[1]


def test_cancelling_a_future_cancels_the_coroutine(calc):
    future = rpcx.future(calc.forever)
    assert calc.has_begun(), "a coroutine that is cancelled before never runs at all"
    assert future.cancel()
    assert calc.state()[1]


def test_the_context_is_the_calls(calc):
    assert calc.caller()[1] == "caller"
    assert calc.caller()[0] in ("inproc", "tcp")
    with pytest.raises(LookupError):
        _ = rpcx.context.peer
    rpcx.check()
    with pytest.raises(ValueError, match="above 0"), rpcx.options(timeout=0):
        pass


def test_a_proxy_cannot_be_pickled_and_shows_what_it_is(calc):
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(calc)
    assert repr(calc).startswith(("<Calc calc at inproc", "<Calc calc at tcp"))


def test_json_serves_as_well(serve):
    calc = serve(Calc, client={"formatters": ["json"]}).get(Calc)
    assert calc.anything((1, b"x")) == (1, b"x")
    assert calc.names({"all": [Node("x")]}) == ["x"]
    with pytest.raises(rpcx.ProtocolError, match="the client offers json, the server msgpack"):
        serve(Calc, formatters=["msgpack"], client={"formatters": ["json"]})


def test_json_is_read_and_written_with_a_plain_socket():
    host = rpcx.Host(formatters=["json"])
    host.register(Calc)
    where = host.listen("tcp://127.0.0.1:0", insecure=True).rpartition(":")[2]
    with host, socket.create_connection(("127.0.0.1", int(where)), timeout=10) as sock, sock.makefile("rb") as said:
        hello = b'{"version": 1, "formatters": ["json"], "limits": {"message": 65536}}'
        call = b'["calc", "add", [1, 2], null]'
        sock.sendall(MAGIC + HEADER.pack(len(hello), Kind.HELLO, 0, 0, 0) + hello)
        assert said.read(len(MAGIC)) == MAGIC
        welcome = json.loads(said.read(HEADER.unpack(said.read(HEADER.size))[0]))
        assert welcome["formatters"] == ["json"], welcome
        sock.sendall(HEADER.pack(len(call), Kind.CALL, 0, 0, 1) + call)
        length, kind, _, _, number = HEADER.unpack(said.read(HEADER.size))
        assert (kind, number, said.read(length)) == (Kind.RETURN, 1, b"[3]")


def same_name(**functions) -> type:
    return rpcx.singleton("evolving", name="Evolving")(type("Evolving", (), functions))


def test_contracts_that_still_fit_go_and_are_logged(serve, caplog):
    def f(self, a: int) -> int:
        return a

    def f_longer(self, a: int, b: int = 0) -> int:
        return a

    server = serve(same_name(f=f_longer, g=f))
    with caplog.at_level(logging.WARNING, "rpcx"):
        proxy = server.get(same_name(f=f))
        assert (proxy.f(5), proxy.f(6)) == (5, 6)
    assert caplog.text.count("still fits") == 1


def test_contracts_that_do_not_fit_are_an_error_that_names_the_difference(serve):
    def f(self, a: int) -> int:
        return a

    def g(self, a: str) -> int:
        return 1

    server = serve(same_name(f=f))
    with pytest.raises(rpcx.ContractMismatch, match="type is 'str' here and 'int' there"):
        server.get(same_name(f=g)).f("x")
    with pytest.raises(rpcx.ContractMismatch):
        rpcx.future(server.get(Calc, "evolving").add, 1).result(5)
    misfit = rpcx.batch(server.get(same_name(f=g)))
    with pytest.raises(rpcx.ContractMismatch, match="type is 'str' here and 'int' there"), misfit as many:
        future = many.f("x")
    assert isinstance(future.exception(), rpcx.ContractMismatch)


def test_a_batch_is_made_once_when_contracts_still_fit(serve):
    seen = []

    def f(self, a: int) -> int:
        seen.append(a)
        return a

    def f_longer(self, a: int, b: int = 0) -> int:
        return f(self, a)

    with rpcx.batch(serve(same_name(f=f_longer)).get(same_name(f=f))) as many:
        futures = [many.f(5), many.f(6)]
    assert [future.result() for future in futures] == seen == [5, 6]


def test_a_mismatch_inside_a_method_is_no_reason_to_call_it_again(serve):
    """Whose contracts differ says the error: another object's is the method's own affair."""
    ran = []

    def f(self, a: int) -> int:
        ran.append(a)
        raise rpcx.ContractMismatch("elsewhere", uri="another")

    def f_longer(self, a: int, b: int = 0) -> int:
        return f(self, a)

    server = serve(same_name(f=f))
    with pytest.raises(rpcx.ContractMismatch, match="elsewhere"):
        server.get(same_name(f=f)).f(1)
    with rpcx.batch(server.get(same_name(f=f))) as many:
        future = many.f(2)
    assert "elsewhere" in str(future.exception())
    assert ran == [1, 2]


def test_an_error_of_a_call_that_a_method_made_says_that_the_method_ran(serve):
    """Else its caller would take NotSent for leave to try again."""

    def fails(self) -> int:
        raise rpcx.NotSent("the next host is not there")

    def streams(self) -> Iterator[int]:
        yield 1
        raise rpcx.NotSent("the next host is not there")

    async def fails_async(self) -> int:
        raise rpcx.NotSent("the next host is not there")

    proxy = serve(same_name(fails=fails, streams=streams, fails_async=fails_async)).get(
        same_name(fails=fails, streams=streams, fails_async=fails_async)
    )
    for call in (proxy.fails, proxy.fails_async, lambda: list(proxy.streams())):
        with pytest.raises(rpcx.NotSent) as caught:
            call()
        assert caught.value.executed == "yes"
    with rpcx.batch(proxy) as many:
        futures = [many.fails(), many.fails_async()]
    assert [future.exception().executed for future in futures] == ["yes", "yes"]


def test_a_batch_records_methods_of_any_name(serve):
    """Nothing of the recorder's own hides a method of the contract."""

    def same(self, a: int) -> int:
        return a

    names = ("send", "fail", "settle", "calls", "futures", "reference", "contract", "record")
    server = serve(same_name(**dict.fromkeys(names, same)))
    with rpcx.batch(server.get(same_name(**dict.fromkeys(names, same)))) as many:
        futures = [getattr(many, name)(number) for number, name in enumerate(names)]
    assert [future.result() for future in futures] == list(range(len(names)))
