"""A host's guard at work; floods of strangers are in tests/attacks."""

import logging

import pytest

import rpcx
from rpcx.abc import PeerFacts
from rpcx.errors import ProtocolError
from rpcx.security.doorkeeper import Doorkeeper
from rpcx.security.guard import Admission, networks
from tests.security.pair import trust, user

STRANGER = PeerFacts("tcp", "192.0.2.1:4000")


def ann(**more) -> PeerFacts:
    return PeerFacts("tcp", "192.0.2.1:4000", principal="ann", **more)


def test_who_is_admitted_is_a_stranger_no_more():
    keeper = Doorkeeper(Admission(per_source=1))
    end = object()
    guest, _ = keeper.lets_in(STRANGER, (), 0)
    keeper.awaits(end, guest)
    assert keeper.lets_in(STRANGER, (), 1) == (None, None)
    assert keeper.admitted(end, ann(), [ann()]) is None
    assert keeper.counters()["strangers"] == 0
    keeper.ended(end, ProtocolError("later, which costs its source nothing"))
    assert keeper.lets_in(STRANGER, (), 0)[0] is not None


def test_who_fails_costs_its_source():
    keeper = Doorkeeper(Admission())
    end = object()
    guest, _ = keeper.lets_in(STRANGER, (), 0)
    keeper.awaits(end, guest)
    keeper.ended(end, ProtocolError("nonsense"))
    assert keeper.lets_in(STRANGER, (), 0) == (None, None)


def test_the_session_that_has_to_go_is_named():
    keeper = Doorkeeper(Admission(strangers=1))
    first, _ = keeper.lets_in(STRANGER, (), 0)
    first.session = session = object()
    newcomer, evicted = keeper.lets_in(PeerFacts("tcp", "192.0.2.2:1"), (), 1)
    assert newcomer is not None
    assert evicted is session


def test_who_is_refused_is_told_in_the_log(caplog):
    keeper = Doorkeeper(Admission())
    with caplog.at_level(logging.WARNING, "rpcx.security"):
        assert keeper.lets_in(STRANGER, networks(["198.51.100.0/24"]), 0) == (None, None)
    assert "refused: 1 (not from an allowed network)" in caplog.text


def test_a_protocol_without_proof_makes_no_strangers():
    keeper = Doorkeeper(Admission(strangers=1))
    for _ in range(5):
        guest, evicted = keeper.lets_in(STRANGER, (), 0)
        keeper.knows(guest)
        assert evicted is None


@pytest.mark.parametrize(("facts", "fine"), [
    (ann(), False), (ann(owner=True), True), (PeerFacts("tcp", "192.0.2.1:1"), True),
])  # fmt: skip
def test_a_principal_has_so_many_connections_and_the_owner_as_many_as_it_likes(facts, fine):
    keeper = Doorkeeper(Admission(per_principal=2))
    objection = keeper.admitted(object(), facts, [facts] * 3)
    assert (objection is None) is fine
    assert fine or "ann has 2 connections here already" in str(objection)


@rpcx.singleton("bank", allow=["*"])
class Bank:
    def total(self) -> int:
        return 42


def test_the_connection_too_many_is_told_why_and_the_others_go_on(tmp_path):
    with user(tmp_path / "host"):
        trust(tmp_path / "host", tmp_path / "ann")
        host = rpcx.Host(admission=Admission(per_principal=2))
        host.register(Bank)
        url = host.listen("tcp://127.0.0.1:0")
    with host, user(tmp_path / "ann"), rpcx.connect(url) as first, rpcx.connect(url) as second:
        with pytest.raises(rpcx.LimitExceeded, match="ann has 2 connections here already"):
            rpcx.connect(url)
        assert first.get(Bank).total() == second.get(Bank).total() == 42
