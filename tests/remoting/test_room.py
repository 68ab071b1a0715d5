"""What the results of a batch may have together."""

import pytest

from rpcx.remoting.contract import Marks, Method, MethodKind
from rpcx.remoting.room import NoRoom, Room, returns_little


def method(returns: object) -> Method:
    def function(self): ...

    if returns is not ...:
        function.__annotations__["return"] = returns
    return Method("m", MethodKind.CALL, function, Marks(), "Bank.m")


@pytest.mark.parametrize(("returns", "little"), [
    (int, True), ("int", True), (None, True), ("None", True), (bool, True), (float, True),
    (str, False), (bytes, False), (list[int], False), (object, False), (..., False), ({}, False),
])  # fmt: skip
def test_a_method_that_says_so_returns_little(returns, little):
    assert returns_little(method(returns)) is little


@pytest.mark.parametrize(("value", "size"), [
    (b"x" * 60, 60), ("x" * 60, 60), (bytearray(60), 60), (memoryview(bytes(60)), 60), ([None] * 8, 64), (1, 8),
])  # fmt: skip
def test_results_are_weighed_from_outside(value, size):
    taken: list = []
    take = Room(size).taking(taken.append)
    take(value)
    assert taken == [value]
    with pytest.raises(NoRoom) as full:
        take(b"x")
    assert full.value.error.executed == "maybe"
    assert f"more than {size} bytes" in str(full.value.error)
    assert full.value.error.limit == "limits.message"
    assert taken == [value]
