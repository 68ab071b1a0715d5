"""Runs of calls, and what a host makes of runs that no client of ours would send."""

import msgpack
import pytest

import rpcx
from rpcx.protocol.connection import BATCH, FAULT, RETURN
from rpcx.remoting.contract import contract_of
from rpcx.remoting.pending import Pending
from rpcx.remoting.runs import LONGEST_RUN, Run, rows


@rpcx.singleton("calc")
class Calc:
    """Has methods of every width."""

    made = 0

    def nothing(self) -> int:
        Calc.made += 1
        return Calc.made

    def add(self, a: int, b: int = 1) -> int:
        return a + b

    def listed(self, items: list[int]) -> int:
        return sum(items)


@pytest.fixture
def server():
    Calc.made = 0
    host = rpcx.Host()
    host.register(Calc)
    with host, rpcx.connect(host.listen("inproc://runs")) as server:
        yield server


@pytest.fixture
def calc(server):
    return server.get(Calc, "calc")


METHOD = contract_of(Calc).methods


def test_rows_are_the_arguments_of_each_call():
    assert list(rows([1, 2, 3, 4], 2)) == [(1, 2), (3, 4)]
    assert list(rows([1, 2], 2)) == [(1,), (2,)]
    assert list(rows([], 3)) == [(), (), ()]


def test_a_run_takes_calls_of_its_method_and_width_only():
    run = Run(METHOD["add"], (1, 2), {})
    assert run.takes(METHOD["add"], (3, 4), {})
    assert not run.takes(METHOD["add"], (5,), {})
    assert not run.takes(METHOD["add"], (5,), {"b": 6})
    assert not run.takes(METHOD["listed"], (5, 6), {})
    assert not Run(METHOD["add"], (1,), {"b": 2}).takes(METHOD["add"], (1,), {})
    assert list(run.calls()) == [(1, 2), (3, 4)]


def test_calls_of_different_widths_and_kinds_keep_their_order(calc):
    with rpcx.batch(calc) as many:
        futures = [
            many.add(1, 2), many.add(1, 3), many.add(1), many.add(2, b=5), many.nothing(), many.nothing(),
            many.listed([1, 2]), many.listed([3]), many.add("x", 1), many.add(4, 4), many.add("5", 1),
        ]  # fmt: skip
    results = [future.exception() or future.result() for future in futures]
    assert isinstance(results.pop(8), rpcx.InvalidArguments)
    assert results == [3, 4, 2, 7, 1, 2, 3, 3, 8, 6]


def test_more_calls_than_a_run_may_have(calc):
    with rpcx.batch(calc) as many:
        futures = [many.nothing() for _ in range(2 * LONGEST_RUN + 1)]
    assert [future.result() for future in futures] == list(range(1, 2 * LONGEST_RUN + 2))


@pytest.mark.parametrize(
    "run",
    [
        ["calc", "add", 0, [], None],
        ["calc", "add", -1, [1], None],
        ["calc", "add", True, [1, 2], None],
        ["calc", "add", 2, [1, 2, 3], None],
        ["calc", "nothing", LONGEST_RUN + 1, [], None],
        ["calc", "nothing", 2**40, [], None],
        ["calc", "add", 1, {"a": 1}, None],
        ["calc", "add", 1.0, [1, 2], None],
        ["calc", "add"],
        "calc",
        None,
    ],
)
def test_a_run_of_another_form_is_refused_before_any_call_is_made(server, calc, run):
    assert calc.nothing() == 1
    kind, answer = answered(server, [["calc", "nothing", 1, [], None], run])
    assert kind == FAULT
    assert "a run of a batch is [target, method, count" in str(answer)
    assert calc.nothing() == 2, "the run before it was not made either"


def test_a_run_as_written_by_hand_is_answered(server):
    kind, answer = answered(server, [["calc", "add", 3, [1, 2, 3, 4, 5, "6"], None]])
    assert (kind, answer) == (RETURN, [[[3, 7, 11], []]])


def answered(server, runs):
    """What the host says to a batch that no recorder wrote."""
    endpoint = server._connected()
    pending = Pending()
    endpoint._transmit(BATCH, pending, msgpack.packb(runs), ())
    endpoint._link.wait(pending, 5)
    return pending.kind, msgpack.unpackb(pending.body)
