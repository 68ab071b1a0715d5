"""Whether the interpreter has the fixes that rpcx's promises stand on."""

import pytest

import rpcx
from rpcx.security import interpreter
from rpcx.security.interpreter import to_update, warn_once


@pytest.mark.parametrize(("python", "release"), [
    ((3, 11, 4), "3.11.5"), ((3, 11, 5), ""), ((3, 12, 1), "3.12.9"), ((3, 13, 0), "3.13.2"), ((3, 13, 2), ""),
    ((3, 14, 0), ""), ((4, 0, 0), ""),
])  # fmt: skip
def test_a_release_with_known_holes_is_to_be_updated(python, release):
    assert to_update(python) == release


def test_a_host_on_such_a_one_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(interpreter, "_warned", False)
    for _ in range(2):
        warn_once((3, 12, 1))
    assert [record.getMessage() for record in caplog.records] == [
        "Python 3.12.1 has known security holes: update it to 3.12.9 or later (rpcx doctor)"
    ]
    warn_once((3, 12, 9))


def test_it_is_looked_at_when_a_network_is_listened_to(monkeypatch):
    looked = []
    monkeypatch.setattr("rpcx.host.warn_once", lambda: looked.append(1))
    host = rpcx.Host()
    host.listen("pipe://no-network")
    assert looked == []
    host.listen("tcp://127.0.0.1:0", insecure=True)
    assert looked == [1]
    host.close()
