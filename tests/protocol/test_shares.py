"""A connection whose calls count together with others': what it asks of its share, and what becomes of the rest."""

import pytest

from rpcx.errors import AccessDenied, LimitExceeded
from rpcx.protocol.connection import BATCH, BURST, CALL, CLOSED, FAULT, OPENED, REFUSED, RETURN, Connection, Event
from rpcx.protocol.frames import NO_SEGMENTS, frame
from rpcx.protocol.handshake import Limits, Offer
from tests.protocol.pair import NOW, Pair, error_of, heard, in_pieces, offer, sent


class Share:
    """Grants so many calls, and notes what it is told."""

    def __init__(self, connection: Connection, most: int) -> None:
        self.connection = connection
        self.most = most
        self.notes: list[tuple[str, int]] = []
        connection.allow(1)

    def grow(self, calls: int, limit: int) -> None:
        self.notes.append(("grow", calls))
        if calls > self.most:
            raise LimitExceeded("others have them all")
        self.connection.allow(calls)

    def left(self, calls: int) -> None:
        self.notes.append(("left", calls))

    def ended(self, calls: int) -> None:
        self.notes.append(("ended", calls))


@pytest.fixture
def pair() -> Pair:
    return Pair(Limits(in_flight=8), Limits(in_flight=8))


def called(pair: Pair, number: int) -> list[Event]:
    """What the server hears of so many calls of a frame each."""
    for token in range(number):
        pair.client.call(CALL, f"call {token}", b"x", NO_SEGMENTS)
    return pair.carry(pair.client)


def test_a_share_is_asked_when_it_is_to_grow_and_not_before(pair):
    pair.server.share = share = Share(pair.server, 3)
    assert [event[0] for event in called(pair, 3)] == [CALL] * 3
    assert share.notes == [("grow", 2), ("grow", 3)]


def test_a_call_for_which_there_is_no_room_is_refused_and_the_others_go_on(pair):
    pair.server.share = Share(pair.server, 2)
    *good, (kind, (ids, error), *_) = called(pair, 3)
    assert [event[0] for event in good] == [CALL, CALL]
    assert kind == REFUSED
    assert isinstance(error, LimitExceeded)
    assert len(ids) == 1
    assert pair.server.serving == 3  # it is to be answered, by the refusal


def test_a_burst_for_which_there_is_no_room_is_refused_as_a_whole(pair):
    pair.server.share = Share(pair.server, 3)
    first = pair.client.join("a")
    rest = [pair.client.join(token) for token in "bcd"]
    assert rest == [first + 1, first + 2, first + 3]
    pair.client.burst(first, 4, b"body")
    ((kind, (ids, error), *_),) = pair.carry(pair.client)
    assert kind == REFUSED
    assert list(ids) == [first, *rest]
    assert isinstance(error, LimitExceeded)


def test_a_burst_grows_a_share_once(pair):
    pair.server.share = share = Share(pair.server, 8)
    first = pair.client.join("a")
    for token in "bcd":
        pair.client.join(token)
    pair.client.burst(first, 4, b"body")
    ((kind, *_),) = pair.carry(pair.client)
    assert kind == BURST
    assert share.notes == [("grow", 4)]


def test_what_is_under_way_when_a_connection_ends_is_told_to_its_share(pair):
    pair.server.share = share = Share(pair.server, 8)
    called(pair, 2)
    pair.server.fail(LimitExceeded("enough"))
    pair.server.ended_late(2)
    assert share.notes[-2:] == [("left", 2), ("ended", 2)]
    pair.client.ended_late(1)  # has no share


def test_a_share_does_not_lift_the_limit_that_was_agreed(pair):
    pair.server.share = Share(pair.server, 100)
    pair.client._allowed = 100  # a peer that does not keep to it
    assert isinstance(error_of(called(pair, 9)), LimitExceeded)


def test_without_a_share_only_what_was_agreed_counts(pair):
    pair.server.allow(1)
    assert [event[0] for event in called(pair, 8)] == [CALL] * 8


# --- before it is open --------------------------------------------------------------------------------------


def test_bytes_of_a_handshake_are_counted_while_it_is_not_complete():
    limits = Limits()
    client = Connection("client", offer(limits, name="client"), limits, NOW)
    server = Connection("server", offer(limits, name="server"), limits, NOW)
    hello = sent(client)
    server.receive(hello[:10], NOW)
    assert server.greeted == 10
    server.receive(hello[10:], NOW)
    assert server.greeted == 0


def test_a_client_that_is_turned_away_hears_why_and_nothing_else():
    limits = Limits()
    client = Connection("client", Offer(), limits, NOW)
    server = Connection("server", Offer(), limits, NOW)
    ((kind, *_),) = server.receive(sent(client), NOW)
    assert kind == OPENED
    server.call(CALL, "queued behind the welcome", b"x", NO_SEGMENTS)
    assert [event[0] for event in server.reject(AccessDenied("full"))] == [CLOSED]
    error = error_of(client.receive(sent(server), NOW))
    assert isinstance(error, AccessDenied)
    assert "full" in str(error)


# --- large messages ------------------------------------------------------------------------------------------


class Hold:
    """A cargo that notes what it is told, and has room or not."""

    def __init__(self) -> None:
        self.full = False
        self.aboard: dict[int, int] = {}
        self.notes: list[tuple] = []

    def load(self, size: int) -> LimitExceeded | None:
        return LimitExceeded("no room") if self.full else None

    def arrived(self, call_id: int) -> None:
        if call_id:
            self.aboard[call_id] = 1

    def unload(self, call_id: int) -> None:
        self.notes.append(("unload", call_id))
        self.aboard.pop(call_id, None)

    def left(self, running) -> None:
        self.notes.append(("left", set(running)))


LARGE = bytes(100_000)


@pytest.fixture
def laden() -> tuple[Pair, Hold]:
    pair, hold = Pair(), Hold()
    pair.server.carry(hold)
    return pair, hold


def carried(pair: Pair) -> list:
    """What the server hears of all that the client has ready, in two pieces."""
    data = sent(pair.client)
    return [event for piece in in_pieces(data, 50_000) for event in heard(pair.server, piece)]


def test_the_answer_to_a_call_unloads_what_it_brought(laden):
    pair, hold = laden
    pair.client.call(CALL, "small", b"1")
    pair.carry(pair.client)
    pair.server.reply(RETURN, 1, b"")
    assert hold.notes == []
    pair.client.call(CALL, "large", LARGE)
    assert [event[:2] for event in carried(pair)] == [(CALL, 2)]
    pair.server.reply(FAULT, 2, b"")
    assert hold.notes == [("unload", 2)]


@pytest.mark.parametrize("kind", [CALL, BATCH])
def test_a_call_that_there_is_no_room_for_is_refused_and_holds_its_place_until_it_is_answered(laden, kind):
    pair, hold = laden
    hold.full = True
    pair.client.call(kind, "large", LARGE)
    pair.client.call(CALL, "small", b"1")
    (refused, ids, *_), small = carried(pair)
    assert (refused, ids[0], str(ids[1])) == (REFUSED, (1,), "no room")
    assert small[:3] == (CALL, 2, b"1")
    assert pair.server.in_flight == (0, 2)
    pair.server.reply(FAULT, 1, b"no")
    assert [event[:2] for event in pair.carry(pair.server)] == [(FAULT, "large")]


def test_a_one_way_call_without_room_is_lost_and_said_so(laden):
    pair, hold = laden
    hold.full = True
    pair.client.oneway(LARGE)
    (event,) = carried(pair)
    assert (event[0], event[1][0]) == (REFUSED, ())


def test_an_answer_without_room_ends_the_connection_since_nobody_could_be_told(laden):
    pair, hold = laden
    pair.server.call(CALL, "theirs", b"")
    pair.carry(pair.server)
    hold.full = True
    pair.client.reply(RETURN, 1, LARGE)
    assert str(error_of(carried(pair))) == "no room"


def test_an_id_in_use_breaks_the_protocol_with_room_or_without(laden):
    pair, hold = laden
    pair.client.call(CALL, "small", b"1")
    pair.carry(pair.client)
    hold.full = True
    events = [event for piece in in_pieces(frame(CALL, 1, LARGE)[0], 50_000) for event in heard(pair.server, piece)]
    assert "in use" in str(error_of(events))


def test_who_leaves_says_which_of_its_calls_run_on(laden):
    pair, hold = laden
    pair.server.abandon({5: "a call"})
    assert hold.notes == [("left", {5})]
