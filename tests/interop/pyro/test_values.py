"""What values and exceptions become on the way, and what a message cannot make of them."""

import dataclasses
import datetime
import decimal
import enum
import uuid

import pytest

from rpcx.errors import AccessDenied, InvalidArguments, LimitExceeded, ObjectNotFound, RemoteError
from rpcx.interop.pyro import faults
from rpcx.interop.pyro.values import inward, outward


@dataclasses.dataclass
class Point:
    x: int


class Color(enum.Enum):
    RED = "red"


def none(_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1), {"x": 1}),
        (Color.RED, "red"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.timedelta(seconds=90), 90.0),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        ([(1, {2}), bytearray(b"x")], [(1, {2}), b"x"]),
    ],
)
def test_values_become_plain_ones(value, plain):
    assert outward(value, none) == plain


def test_what_has_no_form_says_so():
    with pytest.raises(InvalidArguments, match="object cannot travel"):
        outward(object(), none)


def test_a_class_that_a_message_names_is_not_made():
    tree = {"__class__": "subprocess.Popen", "args": ["true"]}
    assert inward(tree, str) == {"args": ["true"]}


def test_references_are_resolved_by_who_knows_them():
    proxy = {"__class__": "Pyro5.client.Proxy", "state": ("PYRO:a@h:1", (), (), (), "hello", None)}
    uri = {"__class__": "Pyro5.core.URI", "state": ("PYRO", "a", None, "h", 1)}
    assert inward([proxy, uri], lambda text: ("resolved", text)) == [("resolved", "PYRO:a@h:1"), "PYRO:a@h:1"]


@pytest.mark.parametrize(
    "tree",
    [
        {"__class__": "Pyro5.client.Proxy"},
        {"__class__": "Pyro5.core.URI", "state": 1},
        {"__class__": 3, "__exception__": True},
    ],
)
def test_nonsense_is_a_value_error(tree):
    with pytest.raises(ValueError):
        inward(tree, str)


def test_depth_is_bounded_both_ways():
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(LimitExceeded):
        inward(deep, str)
    with pytest.raises(LimitExceeded):
        outward(deep, none)


def fault(name: str, *args: object) -> dict[str, object]:
    return {"__class__": name, "__exception__": True, "args": args, "attributes": {"_pyroTraceback": ["line\n"]}}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("builtins.KeyError", KeyError),
        ("Pyro5.errors.SecurityError", AccessDenied),
        ("bank.ValueError", RemoteError),
        ("builtins.SystemExit", RemoteError),
        ("os.system", RemoteError),
    ],
)
def test_exceptions_come_from_a_closed_table(name, kind):
    error = inward(fault(name, "text"), str)
    assert type(error) is kind
    assert "line" in error.__notes__[0]


def test_an_unknown_object_is_told_from_other_daemon_errors():
    assert type(faults.inward(fault("Pyro5.errors.DaemonError", "unknown object"))) is ObjectNotFound
    assert type(faults.inward(fault("Pyro5.errors.DaemonError", "other"))) is RemoteError
