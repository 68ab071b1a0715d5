"""Walks over whole values: their limits, on both sides and of every container."""

import dataclasses
import enum

import pytest

from rpcx.errors import LimitExceeded
from rpcx.sinks.formatters import JsonFormatter, MsgpackFormatter
from rpcx.sinks.lowering import ENVELOPE, MAX_DEPTH, check_depth, place_of
from tests.sinks.samples import FORMATTERS, connection, nested, same, there_and_back

formatters = pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: formatter.name)


@dataclasses.dataclass
class Node:
    next: object


def tuples(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = (value,)
    return value


def keys(depth: int) -> object:
    return {tuples(depth - 1): 1}


def dicts(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def frozensets(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = frozenset({value})
    return value


SHAPES = pytest.mark.parametrize("shape", [nested, tuples, keys, dicts, frozensets])


@formatters
@SHAPES
def test_values_of_32_levels_pass(formatter, shape):
    value = shape(MAX_DEPTH)
    for envelope in ([value], ["bank", "add", [value], None], [["bank", "add", [[value], [value]], None]]):
        body, segments = formatter.encode(envelope, connection())
        assert same(formatter.decode(body, segments, connection()), envelope)


@formatters
@SHAPES
def test_deeper_values_do_not_leave(formatter, shape):
    for depth in (MAX_DEPTH + ENVELOPE, 100, 900):
        with pytest.raises(LimitExceeded, match="deeper than 32"):
            formatter.encode([shape(depth)], connection())


@SHAPES
@pytest.mark.parametrize("depth", [MAX_DEPTH + ENVELOPE, 60, 150])
@pytest.mark.parametrize("padding", [0, 20_000])
def test_deeper_values_are_not_taken(shape, depth, padding):
    generous = connection(depth=1_000, containers=10**6)
    envelope = [shape(depth), "x" * padding]
    body, segments = MsgpackFormatter(depth=1_000).encode(envelope, generous)
    with pytest.raises(LimitExceeded, match="deeper than 32"):
        MsgpackFormatter().decode(body, segments, connection())
    body, segments = JsonFormatter().encode(envelope, generous)
    with pytest.raises(LimitExceeded, match="deeper than 32"):
        JsonFormatter().decode(body, segments, connection())


def cyclic_list():
    value: list = []
    value.append(value)
    return value


def cyclic_dict():
    value: dict = {}
    value["self"] = value
    return value


def cyclic_dataclass():
    node = Node(None)
    node.next = node
    return node


def cyclic_tuple():
    inner: list = []
    value = (inner,)
    inner.append(value)
    return value


@formatters
@pytest.mark.parametrize("make", [cyclic_list, cyclic_dict, cyclic_dataclass, cyclic_tuple])
def test_data_that_contain_themselves_are_said_to(formatter, make):
    with pytest.raises(LimitExceeded, match="contain themselves"):
        formatter.encode(["bank", "add", [make()], None], connection())


@formatters
def test_an_enum_that_answers_itself_is_an_error_and_not_a_crash(formatter):
    class Mirror(enum.Enum):
        IT = 1

        @property
        def value(self):
            return self

    with pytest.raises(LimitExceeded):
        formatter.encode([Mirror.IT], connection())


@formatters
def test_one_list_shared_a_billion_times_does_not_leave(formatter):
    value: object = ["lol"]
    for _ in range(9):
        value = [value] * 10
    with pytest.raises(LimitExceeded, match="than the 100000"):
        formatter.encode([value], connection())


@formatters
def test_a_list_shared_a_few_times_arrives_as_copies(formatter):
    shared = [1]
    arrived = there_and_back(formatter, [shared, (shared, {"a": shared})])
    assert arrived == [[1], ([1], {"a": [1]})]
    assert arrived[0] is not arrived[1][0]


@pytest.mark.parametrize("make", [list, tuple, dict, frozenset])
def test_containers_of_every_kind_are_counted_on_both_sides(make):
    many = [make() for _ in range(20_000)]
    taking = MsgpackFormatter(containers=19_000)
    with pytest.raises(LimitExceeded, match="than the 19000"):
        taking.encode([many], connection())
    body, segments = MsgpackFormatter().encode([many], connection())
    with pytest.raises(LimitExceeded, match="than the 19000"):
        taking.decode(body, segments, connection())
    assert MsgpackFormatter(containers=20_010 + 20_000).decode(body, segments, connection()) == [many]


def test_depth_is_looked_for_among_keys_and_in_what_is_no_container():
    check_depth(None, 1)
    check_depth("text" * 100, 1)
    check_depth({(1,): "x"}, 0)
    with pytest.raises(LimitExceeded):
        check_depth({((((1,),),),): "x"}, 0)


def test_a_place_that_is_not_found_is_left_out():
    assert place_of(["bank", "add", [], None], object()) == ""
    assert place_of(7, object()) == ""


def test_looking_for_a_place_ends_in_data_that_contain_themselves():
    value = cyclic_list()
    assert place_of([value], object()) == ""
    assert place_of([value], value) == "result"
