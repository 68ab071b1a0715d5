"""How long a connection may last."""

from rpcx.errors import AuthenticationFailed, ConnectionLost
from rpcx.protocol.connection import CALL, CLOSED, RETURN
from rpcx.protocol.term import LOOK_SECONDS, PATIENCE, grows_old, proof_ends
from tests.protocol.pair import NOW, Pair


def test_a_proof_that_has_ended_ends_it_whatever_runs():
    term = proof_ends(NOW, 60)
    assert not term.over(NOW + 59.9, 0)
    assert term.over(NOW + 60, 5)
    assert isinstance(term.error, AuthenticationFailed)


def test_an_old_one_ends_between_two_calls_or_a_minute_later():
    term = grows_old(NOW, 60)
    assert not term.over(NOW + 60, 1)
    assert term.when == NOW + 60 + LOOK_SECONDS
    assert term.over(NOW + 62, 0)
    term = grows_old(NOW, 60)
    now = NOW + 60
    while not term.over(now, 1):
        now = term.when
    assert now == NOW + 60 + PATIENCE
    assert term.error.limit == "limits.session"


def test_both_ends_of_an_old_connection_know_why_it_ended():
    pair = Pair()
    pair.server.ends_by(grows_old(NOW, 60))
    assert pair.server.due() <= NOW + 60
    assert pair.server.tick(NOW + 50) == []
    ((kind, error, _, _),) = pair.server.tick(NOW + 60)
    assert kind == CLOSED
    assert isinstance(error, ConnectionLost)
    events = pair.carry(pair.server, NOW + 60)
    assert "60 s old" in str(events[-1][1])


def test_calls_of_either_side_have_time_to_end():
    pair = Pair()
    pair.server.ends_by(grows_old(NOW, 60))
    pair.client.call(CALL, "token", b"x")
    pair.carry(pair.client)
    assert pair.server.tick(NOW + 60) == []
    pair.server.reply(RETURN, 1, b"y")
    assert pair.server.tick(NOW + 61)[0][0] == CLOSED


def test_the_earlier_end_counts():
    pair = Pair()
    pair.server.ends_by(grows_old(NOW, 60))
    pair.server.ends_by(grows_old(NOW, 90))
    assert pair.server.term.when == NOW + 60
    pair.server.ends_by(proof_ends(NOW, 30))
    assert pair.server.term.when == NOW + 30
