"""What is known of objects that have ended."""

import pytest

from rpcx.errors import ObjectExpired
from rpcx.lifetime import endings
from rpcx.lifetime.endings import Endings


def test_an_ending_is_told_with_when_why_and_what_to_do():
    known = Endings()
    known.add("bank/7f3a", 100.0, "its lease ran out", "create a new object")
    error = known.error("bank/7f3a", 103.2)
    assert isinstance(error, ObjectExpired)
    assert str(error) == "bank/7f3a ended 3.2 s ago: its lease ran out; create a new object"
    assert (error.uri, error.executed) == ("bank/7f3a", "no")


def test_nothing_is_told_of_what_never_was():
    assert Endings().error("bank/7f3a", 1.0) is None
    assert "bank/7f3a" not in Endings()


def test_the_memory_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endings, "MEMORY", 3)
    known = Endings()
    for number in range(5):
        known.add(f"bank/{number}", float(number), "why", "what")
    assert [number for number in range(5) if f"bank/{number}" in known] == [2, 3, 4]
    assert known.total == 5


def test_it_remembers_a_hundred_thousand():
    known = Endings()
    for number in range(100_001):
        known.add(str(number), 0.0, "why", "what")
    assert "0" not in known
    assert "1" in known
