"""Python clients and a C# server that knows nothing of them."""

import datetime
import decimal
import threading
import uuid
from typing import Any

import pytest

import rpcx
from rpcx import aio
from rpcx.errors import (
    CallTimeout,
    ConnectionLost,
    InvalidArguments,
    MaybeExecuted,
    NotSent,
    ObjectNotFound,
    RemoteError,
)
from tests.interop.dotnet.shop import (
    Color,
    Counter,
    Machine,
    Manager,
    Node,
    OutOfStock,
    Person,
    Point,
    RemoteObjectDef,
    Resettable,
    Robot,
    Talk,
    Tiny,
    Values,
)

UTC = datetime.datetime(2024, 2, 29, 1, 2, 3, 456789, tzinfo=datetime.UTC)
ANN = Person("Ann", 41, home=Point(5, 6), favourite=Color.Green)
MANAGER = Manager("Cy", 50, favourite=Color.Green, level=3)
SAMPLES: dict[str, list[Any]] = {
    "bool": [True, False], "byte": [255], "sbyte": [-128], "short": [-32768], "ushort": [65535], "int": [-(2**31)],
    "uint": [2**32 - 1], "long": [-(2**63)], "ulong": [2**64 - 1], "float": [1.5], "double": [3.14159, float("inf")],
    "char": ["é"], "decimal": [decimal.Decimal("-1.50"), decimal.Decimal(2**96 - 1)], "string": ["a\0b ✓", "", None],
    "time": [UTC, UTC.replace(tzinfo=None)], "span": [datetime.timedelta(days=-3, microseconds=7)],
    "guid": [uuid.uuid4()], "bytes": [b"", b"\0\xff"], "ints": [[], [1, -2]], "jagged": [[[1], None, [2, 3]]],
    "grid": [[[1, 2, 3], [4, 5, 6]], []], "list": [[], [1, 2, 3, 4, 5]], "texts": [["a", "b"]],
    "dictionary": [{"a": 1, "b": 2}, {}], "table": [{"a": 1, 2: "b", "n": None}, {}],
    "array_list": [[1, "b", 2.5, None]], "color": [Color.Blue], "tiny": [Tiny.One], "point": [Point(1, -2)],
    "points": [[Point(1, 2), Point(3, 4)]], "colors": [[Color.Red, Color.Blue]], "maybe": [5, None],
    "times": [[datetime.datetime(2001, 2, 3)]], "decimals": [[decimal.Decimal("1.5")]], "node": [Node(1, Node(2))],
    "person": [ANN, MANAGER], "people": [[ANN, Person("Bob")]], "register": [{uuid.uuid4(): ANN}, {}],
    "cube": [[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]], "lists": [{"a": [1, 2], "b": []}], "persons": [[ANN, None]],
    "point_list": [[Point(1, 2)], []], "words": [[["a", "b"], [None, "a"]]], "marks": [{Color.Blue: Point(7, 8)}],
    "object": [
        Robot(1, "acme", 4, 2), Machine(1, "acme", 4), 5, 2**40, "five", True, 1.5, UTC, Color.Blue, Point(1, 2),
        [1, "b", None], None,
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def url(mono):
    with mono.serving() as url:
        yield url


@pytest.fixture
def server(url):
    with rpcx.connect(url) as server:
        yield server


@pytest.fixture
def talk(server):
    return server.get(Talk, "talk")


def test_the_published_classic_from_the_other_side(server):
    remote = server.get(RemoteObjectDef, "RemoteObjectURL")
    remote.set_value("000")
    assert remote.get_value() == "000"


def test_values_of_every_kind_come_back_as_they_went(server):
    values: Any = server.get(Values, "values")
    for name, samples in SAMPLES.items():
        for sample in samples:
            again = getattr(values, f"echo_{name}")(sample)
            assert again == sample, name
            assert type(again) is type(sample), name


def test_texts_in_arrays_may_be_missing(server):
    assert server.get(Values, "values").echo_strings(("a", None, "a")) == ("a", None, "a")


def test_a_cycle_stays_one(server):
    ann = Person("Ann", favourite=Color.Green)
    ann.friend = Person("Bob", friend=ann, children=[ann])
    again = server.get(Values, "values").echo_person(ann)
    assert again.friend.friend is again
    assert again.friend.children[0] is again


def test_a_long_chain(server):
    node = None
    for number in range(2000):
        node = Node(number, node)
    assert server.get(Values, "values").echo_node(node).next.value == 1998


def test_a_value_too_large_for_its_width_is_told_before_anything_is_sent(server):
    with pytest.raises(InvalidArguments, match=r"2147483648 is no System\.Int32"):
        server.get(Values, "values").echo_int(2**31)


def test_calls_of_every_kind(talk):
    assert talk.join_texts("a", "b") == "a and b"
    assert talk.join_number("a", 5) == "aaaaa"
    assert talk.divide(17, 5) == (3, 2)
    assert talk.swap("x", "y") == ("y", "x")
    assert talk.find("Ann").age == 33


def test_what_the_server_throws_arrives_with_type_fields_cause_and_stack(talk):
    with pytest.raises(OutOfStock, match="no more than 3") as caught:
        talk.sell(7)
    assert caught.value.left == 3
    assert "at Talk.Sell" in caught.value.__notes__[0]
    with pytest.raises(KeyError) as caught:
        talk.fail("KeyNotFound")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(ValueError, match="bad"):
        talk.fail("Argument")
    with pytest.raises(RemoteError, match="other") as caught:
        talk.fail("other")
    assert caught.value.type_name == "System.ApplicationException"


def test_objects_of_the_server_are_proxies_and_come_home(talk):
    counter = talk.new_counter(10)
    assert (counter.next(), counter.value) == (11, 11)
    counter.value = 100
    assert talk.drive(counter) == 203
    assert talk.is_mine(counter)


@pytest.mark.parametrize("channel", [(), ("http",)])
def test_methods_of_an_interface_that_another_extends_are_called_too(mono, channel):
    with mono.serving(*channel) as url, rpcx.connect(url) as server:
        counter = server.get(Resettable, "published")
        assert counter.reset(40) == 5
        assert counter.next() == 41
        counter.value = 7
        assert counter.value == 7


def test_a_proxy_made_from_a_url_can_be_passed_on(server, talk):
    once = server.get(Counter, "once")
    assert talk.drive(once) == 2  # a new instance for each call
    assert not talk.is_mine(once)


def test_what_is_not_there_is_told(server):
    with pytest.raises(ObjectNotFound, match="nowhere"):
        server.get(Talk, "nowhere").notes()


def test_calls_at_the_same_time_take_a_connection_each(server, talk):
    started = threading.Barrier(3)
    results = []

    def ask():
        started.wait()
        results.extend(talk.join_number("a", n) for n in range(20))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(["a" * n for n in range(20)] * 2)
    futures = [rpcx.future(talk.join_number, "b", n) for n in range(12)]
    assert [future.result(10) for future in futures] == ["b" * n for n in range(12)]


def test_a_batch_is_many_calls(talk):
    with rpcx.batch(talk) as batch:
        first, second = batch.join_texts("a", "b"), batch.join_number("c", 2)
    assert (first.result(), second.result()) == ("a and b", "cc")


def test_a_call_that_takes_too_long_is_given_up_and_the_next_one_works(talk):
    with rpcx.options(timeout=0.3), pytest.raises(CallTimeout):
        talk.fail("Sleep")
    assert talk.join_texts("still", "here") == "still and here"


def test_an_object_whose_class_is_not_known_here_is_called_by_name(server, monkeypatch):
    from rpcx.interop.dotnet import references

    known = server.get(Talk, "talk").new_counter(5)
    with monkeypatch.context() as patched:
        patched.setattr(references, "contracts_for", lambda parts: [])
        counter: Any = server.get(Values, "values").echo_object(known)
    assert counter.Next() == 6
    assert counter.get_Value() == 6


def test_oneway_calls_arrive(talk):
    before = talk.notes()
    talk.note("one-way")
    for _ in range(500):
        if talk.notes() != before:
            break
    assert talk.notes().removeprefix(before).strip(",") == "one-way"


def test_after_the_server_ended_calls_say_so_and_a_new_one_is_found(mono):
    with mono.serving() as url, rpcx.connect(url) as server:
        talk = server.get(Talk, "talk")
        assert talk.join_texts("a", "b") == "a and b"
    with pytest.raises(NotSent):
        talk.notes()


def test_a_server_that_dies_under_a_call_leaves_it_unknown(mono):
    with mono.started("server.exe") as process:
        url = f"dotnet+{process.stdout.readline().strip()}"
        with rpcx.connect(url) as server:
            future = rpcx.future(server.get(Talk, "talk").fail, "Sleep")
            server.get(Talk, "talk").notes()
            process.kill()
            with pytest.raises(MaybeExecuted):
                future.result(10)
            with pytest.raises(ConnectionLost):  # MaybeExecuted, if its own connection's end is noticed only now
                server.get(Talk, "talk").notes()
            with pytest.raises(NotSent):
                server.get(Talk, "talk").notes()


async def in_a_loop(url):
    async with aio.connect(url) as server:
        talk: Any = server.get(Talk, "talk")
        assert await talk.join_texts("a", "b") == "a and b"
        assert await talk.divide(17, 5) == (3, 2)
        counter = await talk.new_counter(1)
        assert await counter.next() == 2
        await aio.assign(counter, "value", 40)
        assert await counter.value == 40
        assert await talk.drive(counter) == 83
        with pytest.raises(OutOfStock):
            await talk.sell(1)
        import asyncio

        answers = await asyncio.gather(*(talk.join_number("a", n) for n in range(6)))
        assert answers == ["a" * n for n in range(6)]
        with rpcx.options(timeout=0.3), pytest.raises(CallTimeout):
            await talk.fail("Sleep")
        assert await talk.join_texts("still", "here") == "still and here"


def test_the_same_in_a_loop(url):
    import asyncio

    asyncio.run(in_a_loop(url))
