"""One end of a connection: which frame means what, when, and what breaks the protocol."""

import pytest

from rpcx.errors import ConnectionLost, LimitExceeded, NotSent, ProtocolError, RpcxError
from rpcx.protocol import connection as states
from rpcx.protocol.conduct import JUDGED
from rpcx.protocol.connection import (
    BATCH,
    BURST,
    CALL,
    CANCEL,
    CLOSED,
    CREDIT,
    DROPPED,
    END,
    FAULT,
    GOODBYE,
    ITEM,
    ITEM_NOW,
    ONEWAY,
    OPENED,
    PING,
    PONG,
    RELEASE,
    RETURN,
    RETURN_NOW,
    RETURNS,
    Connection,
    Phase,
)
from rpcx.protocol.frames import HEADER, Kind, frame
from rpcx.protocol.handshake import MAGIC, Limits, Offer, refusal
from tests.protocol.pair import NOW, Pair, error_of, in_pieces, opened, plain, sent


def wire(kind: int, call_id: int = 0, body: bytes = b"", segments=()) -> bytes:
    return b"".join(bytes(buffer) for buffer in frame(kind, call_id, body, segments))


def credit(call_id: int, items: int) -> bytes:
    return wire(CREDIT, call_id, items.to_bytes(4, "big"))


# --- calls --------------------------------------------------------------------------------------------------


def both_ways(role: str, data: bytes, arrange=lambda _: None) -> None:
    """What a glance sees is what `receive` would have made of the same bytes, and leaves the same behind."""
    glancing, receiving = opened(role), opened(role)
    for end in (glancing, receiving):
        arrange(end)
    event = glancing.glance(data, NOW)
    seen = [event] if event is not None else glancing.receive(data, NOW)
    assert plain(seen) == plain(receiving.receive(data, NOW))
    assert glancing.in_flight == receiving.in_flight
    assert sent(glancing) == sent(receiving)
    assert glancing.due() == receiving.due()


def with_call(end: Connection) -> None:
    end.call(CALL, "t", b"")


@pytest.mark.parametrize(
    ("role", "data", "arrange"),
    [("server", wire(CALL, 5, b"x"), lambda _: None), ("client", wire(RETURN, 1, b"x"), with_call)],
)
def test_a_plain_call_and_a_plain_answer_are_told_by_a_glance(role, data, arrange):
    both_ways(role, data, arrange)
    end = opened(role)
    arrange(end)
    assert end.glance(data, NOW)[2] == b"x"
    for cut in range(len(data)):
        end = opened(role)
        arrange(end)
        assert end.glance(data[:cut], NOW) is None


def half_a_frame(end: Connection) -> None:
    end.receive(wire(CALL, 9, b"abc")[:-1], NOW)


def streaming(end: Connection) -> None:
    end.call(CALL, "t", b"")
    end.grant(1, 1)


@pytest.mark.parametrize(
    ("data", "arrange"),
    [
        (wire(CALL, 5) + wire(CALL, 6), None), (wire(CALL, 5, b"x", [b"y"]), None), (wire(PING), None),
        (wire(FAULT, 1), with_call),
        (wire(RETURN, 1), None), (wire(RETURN, 1), streaming),
        (wire(CALL, 5), lambda end: end.receive(wire(CALL, 5), NOW)),
        (wire(CALL, 5), lambda end: end.allow(0)), (wire(CALL, 5), half_a_frame), (wire(CALL, 5), Connection.goodbye),
    ],
)  # fmt: skip
def test_whatever_else_comes_is_not_glanced_at(data, arrange):
    for role in ("client", "server"):
        both_ways(role, data, arrange or (lambda _: None))
        end = opened(role)
        if arrange is not None:
            arrange(end)
        before = end.in_flight
        assert end.glance(data, NOW) is None
        assert end.in_flight == before


def test_a_message_over_the_limit_is_not_glanced_at():
    assert opened("server", Limits(message=4096)).glance(wire(CALL, 1, bytes(4097)), NOW) is None


class Interrupted(dict):
    """A table whose size is out of date when it is told: right behind the second look, something happens."""

    looks = 0

    def __len__(self) -> int:
        size = super().__len__()
        self.looks += 1
        if self.looks == 2:
            self.happens()
        return size


def test_a_call_that_was_held_back_leaves_when_a_glance_made_room_meanwhile():
    """One thread finds that too many calls are in flight; before it holds its own back, another reads an answer."""
    pair = Pair(server=Limits(in_flight=1))
    client = pair.client
    client.call(CALL, "a", b"")
    pair.carry(client)
    pair.server.reply(RETURN, 1, b"")
    answer = sent(pair.server)
    client._calls = calls = Interrupted(client._calls)
    calls.happens = lambda: client.glance(answer, NOW)
    client.call(CALL, "b", b"")
    assert calls.looks > 1
    assert not client.held
    assert [event[:2] for event in pair.carry(client)] == [(CALL, 2)]


def test_a_call_and_its_answer():
    pair = Pair()
    token = object()
    call_id = pair.client.call(CALL, token, b"question")
    assert plain(pair.carry(pair.client)) == [(CALL, call_id, b"question", [])]
    assert (pair.client.in_flight, pair.server.in_flight) == ((1, 0), (0, 1))
    pair.server.reply(RETURN, call_id, b"answer")
    assert plain(pair.carry(pair.server)) == [(RETURN, token, b"answer", [])]
    assert (pair.client.in_flight, pair.server.in_flight) == ((0, 0), (0, 0))


def test_either_end_calls_and_their_ids_are_their_own():
    pair = Pair()
    assert pair.client.call(CALL, "c", b"") == pair.server.call(CALL, "s", b"") == 1
    pair.carry(pair.client)
    pair.carry(pair.server)
    pair.client.reply(RETURN, 1, b"to the server")
    pair.server.reply(FAULT, 1, b"to the client")
    assert plain(pair.carry(pair.client)) == [(RETURN, "s", b"to the server", [])]
    assert plain(pair.carry(pair.server)) == [(FAULT, "c", b"to the client", [])]


def test_segments_travel_beside_calls_answers_items_and_one_way_calls():
    pair = Pair()
    client, server = pair.client, pair.server
    client.call(CALL, "t", b"b", [b"one", bytearray(b"two")])
    client.oneway(b"o", [b"three"])
    client.grant(1, 1)
    assert plain(pair.carry(client)) == [
        (CALL, 1, b"b", [b"one", b"two"]),
        (ONEWAY, 0, b"o", [b"three"]),
        (CREDIT, 1, b"", []),
    ]
    server.item(1, b"i", [b"four"])
    server.reply(RETURN, 1, b"r", [b"", b"five"])
    assert plain(pair.carry(server)) == [(ITEM, "t", b"i", [b"four"]), (RETURN, "t", b"r", [b"", b"five"])]


def test_a_batch_is_one_call_and_a_release_is_none():
    pair = Pair()
    pair.client.call(BATCH, "b", b"many")
    pair.client.release(b"ids")
    assert plain(pair.carry(pair.client)) == [(BATCH, 1, b"many", []), (RELEASE, 0, b"ids", [])]
    assert pair.server.in_flight == (0, 1)


def test_calls_that_join_leave_together_and_are_answered_together():
    pair = Pair()
    client, server = pair.client, pair.server
    assert [client.join(token) for token in "abc"] == [1, 2, 3]
    assert client.outgoing() == []
    assert client.burst(1, 3, b"many")
    assert plain(pair.carry(client)) == [(BURST, range(1, 4), b"many", [])]
    assert (client.in_flight, server.in_flight) == ((3, 0), (0, 3))
    assert server.reply_burst(1, 2, b"two")
    server.reply(FAULT, 3, b"no")
    assert plain(pair.carry(server)) == [(RETURNS, ["a", "b"], b"two", []), (FAULT, "c", b"no", [])]
    assert (client.in_flight, server.in_flight) == ((0, 0), (0, 0))


def test_one_call_that_joined_is_a_plain_call():
    pair = Pair()
    pair.client.burst(pair.client.join("a"), 1, b"one")
    assert plain(pair.carry(pair.client)) == [(CALL, 1, b"one", [])]


def test_none_joins_what_waits_or_cannot_be_told_apart():
    assert Connection("client", Offer(), Limits(), NOW).join("early") == 0
    client = opened("client", Limits(in_flight=2))
    assert [client.join(token) for token in "abc"] == [1, 2, 0]
    client = opened("client")
    client.call(CALL, "x", b"")
    client.cancel(1)
    assert client.join("y") == 0, "an answer may come that would look like an answer to it"
    client = opened("client")
    client.fail(ProtocolError("over"))
    assert client.join("late") == 0


def test_answers_to_a_burst_some_of_which_was_given_up():
    pair = Pair()
    client, server = pair.client, pair.server
    assert [client.join(token) for token in "abc"] == [1, 2, 3]
    client.burst(1, 3, b"many")
    client.cancel(2)
    assert plain(pair.carry(client)) == [(BURST, range(1, 4), b"many", []), (CANCEL, 2, b"", [])]
    server.reply_burst(1, 3, b"three")
    assert plain(pair.carry(server)) == [(RETURNS, ["a", None, "c"], b"three", [])]
    assert client.join("d") == 4


def test_what_is_too_long_together_is_not_sent():
    pair = Pair(Limits(message=2_000), Limits(message=2_000))
    client, server = pair.client, pair.server
    assert [client.join(token) for token in "ab"] == [1, 2]
    assert not client.burst(1, 2, b"x" * 1_999)
    assert client.burst(1, 2, b"x" * 1_998)
    pair.carry(client)
    assert not server.reply_burst(1, 2, b"x" * 1_999)
    assert server.in_flight == (0, 2)
    assert server.reply_burst(1, 2, b"x" * 1_998)
    assert client.withdraw(client.join("c")) == "c"
    assert client.in_flight == (2, 0)


@pytest.mark.parametrize(
    ("first", "body", "error"),
    [
        (1, b"", ProtocolError), (1, b"\0", ProtocolError), (1, b"\0\0many", ProtocolError),
        (0xFFFFFFFF, b"\0\2many", ProtocolError), (6, b"\0\2many", ProtocolError), (7, b"\0\2many", ProtocolError),
        (10, b"\xff\xffmany", LimitExceeded), (10, b"\0\4many", LimitExceeded),
    ],
)  # fmt: skip
def test_a_burst_that_is_none_breaks_the_protocol(first, body, error):
    server = opened("server", Limits(in_flight=4))
    server.receive(wire(CALL, 7), NOW)
    assert type(error_of(server.receive(wire(BURST, first, body), NOW))) is error
    assert server.in_flight == (0, 0)


@pytest.mark.parametrize(("first", "body"), [(1, b"\0\0"), (1, b"\0\3abc"), (3, b"\0\1a"), (2, b"\0\2ab")])
def test_answers_to_calls_that_were_never_made_break_the_protocol(first, body):
    client = opened("client")
    client.call(CALL, "a", b"")
    client.call(CALL, "b", b"")
    error_of(client.receive(wire(RETURNS, first, body), NOW))


def test_a_burst_that_ends_with_the_connection_is_not_answered():
    server = opened("server")
    server.receive(wire(BURST, 1, b"\0\2many"), NOW)
    server.fail(ProtocolError("over"))
    sent(server)
    assert server.reply_burst(1, 2, b"late")
    assert server.outgoing() == []


def test_an_id_that_is_in_use_breaks_the_protocol():
    server = opened("server")
    events = server.receive(wire(CALL, 7) + wire(BATCH, 7), NOW)
    assert events[0][:2] == (CALL, 7)
    assert "call id 7 is in use" in str(error_of(events))


def test_an_id_is_free_again_when_its_answer_was_sent():
    server = opened("server")
    server.receive(wire(CALL, 7), NOW)
    server.reply(RETURN, 7, b"")
    assert plain(server.receive(wire(CALL, 7), NOW)) == [(CALL, 7, b"", [])]


def test_ids_come_round_after_32_bits_and_pass_over_those_in_use():
    client = opened("client")
    client._next_id = 0xFFFFFFFE
    assert [client.call(CALL, "t", b"") for _ in range(3)] == [0xFFFFFFFE, 0xFFFFFFFF, 1]
    client.cancel(1)
    client._next_id = 0xFFFFFFFE
    assert client.call(CALL, "t", b"") == 2


@pytest.mark.parametrize("kind", [RETURN, FAULT, END, ITEM])
def test_an_answer_to_a_call_that_was_never_made_breaks_the_protocol(kind):
    client = opened("client")
    assert isinstance(error_of(client.receive(wire(kind, 1), NOW)), ProtocolError)
    said = sent(client)
    assert HEADER.unpack_from(said)[1] == GOODBYE
    assert b"ProtocolError" in said


@pytest.mark.parametrize("kind", [RETURN, FAULT, END])
def test_a_second_answer_breaks_the_protocol(kind):
    client = opened("client")
    client.call(CALL, "t", b"")
    events = client.receive(wire(kind, 1, b"first") + wire(kind, 1, b"second"), NOW)
    assert plain(events)[:-1] == [(kind, "t", b"first", [])]
    assert isinstance(error_of(events), ProtocolError)


def test_answers_and_items_may_ask_to_be_read_in_order():
    pair = Pair()
    client, server = pair.client, pair.server
    client.call(CALL, "t", b"")
    client.grant(1, 1)
    pair.carry(client)
    server.item(1, b"i", [b"s"], ITEM_NOW)
    server.reply(RETURN_NOW, 1, b"r")
    server.release(b"x")
    assert plain(pair.carry(server)) == [
        (ITEM_NOW, "t", b"i", [b"s"]),
        (RETURN_NOW, "t", b"r", []),
        (RELEASE, 0, b"x", []),
    ]
    client.call(CALL, "given up", b"")
    client.cancel(2)
    pair.carry(client)
    server.reply(RETURN_NOW, 2, b"late")
    assert plain(pair.carry(server)) == [(DROPPED, None, b"late", [])]
    assert isinstance(error_of(client.receive(wire(RETURN_NOW, 9, b""), NOW)), ProtocolError)


def test_answering_a_call_that_is_not_open_sends_nothing():
    server = opened("server")
    server.reply(RETURN, 5, b"")
    assert not server.out
    assert server.item(5, b"") == 0
    assert not server.out


# --- how many -----------------------------------------------------------------------------------------------


def test_calls_over_the_peers_limit_wait_here_in_order():
    pair = Pair(server=Limits(in_flight=2))
    for n in range(4):
        pair.client.call(CALL, n, b"%d" % n)
    assert [event[2] for event in pair.carry(pair.client)] == [b"0", b"1"]
    pair.server.reply(RETURN, 2, b"")
    assert [event[1] for event in pair.carry(pair.server)] == [1]
    assert [event[2] for event in pair.carry(pair.client)] == [b"2"]
    assert pair.client.in_flight == (3, 0)


def test_more_calls_than_this_side_allows_break_the_protocol():
    server = opened("server", Limits(in_flight=2))
    events = server.receive(wire(CALL, 1) + wire(CALL, 2) + wire(CALL, 3), NOW)
    assert len(events) == 3
    error = error_of(events)
    assert isinstance(error, LimitExceeded)
    assert "more than 2" in str(error)


def test_too_many_waiting_calls_are_refused_here(monkeypatch):
    monkeypatch.setattr(states, "HELD_CALLS", 3)
    pair = Pair(server=Limits(in_flight=1))
    for n in range(4):
        pair.client.call(CALL, n, b"")
    with pytest.raises(LimitExceeded, match="3 calls wait for the peer, which lets 1 run"):
        pair.client.call(CALL, 5, b"")
    assert pair.client.in_flight == (4, 0)


def test_calls_made_before_the_handshake_wait_for_it():
    pair = Pair(opened=False)
    pair.client.call(CALL, "c", b"early")
    pair.server.call(CALL, "s", b"earlier")
    assert [event[0] for event in pair.carry(pair.client)] == [OPENED]
    assert plain(pair.carry(pair.server))[1:] == [(CALL, 1, b"earlier", [])]
    assert plain(pair.carry(pair.client)) == [(CALL, 1, b"early", [])]


@pytest.mark.parametrize("kind", [RETURN, FAULT, END, ITEM])
def test_an_answer_to_a_call_that_was_not_sent_yet_breaks_the_protocol(kind):
    pair = Pair(server=Limits(in_flight=1))
    pair.client.call(CALL, "sent", b"")
    held = pair.client.call(CALL, "held", b"")
    pair.client.grant(held, 5)
    events = pair.client.receive(wire(kind, held), NOW)
    assert len(events) == 1
    assert isinstance(error_of(events), ProtocolError)
    assert pair.client.abandon() == (["sent"], ["held"])


# --- cancelling ---------------------------------------------------------------------------------------------


def test_a_cancelled_call_frees_its_slot_only_when_it_is_answered():
    pair = Pair(server=Limits(in_flight=1))
    first = pair.client.call(CALL, "first", b"1")
    pair.client.call(CALL, "second", b"2")
    assert pair.client.cancel(first) is True
    assert plain(pair.carry(pair.client)) == [(CALL, first, b"1", []), (CANCEL, first, b"", [])]
    assert pair.server.in_flight == (0, 1)
    pair.server.reply(FAULT, first, b"stopped")
    assert pair.carry(pair.server) == []
    assert plain(pair.carry(pair.client)) == [(CALL, 2, b"2", [])]


def test_a_late_result_is_dropped_and_said_so_that_references_in_it_are_given_back():
    pair = Pair()
    call_id = pair.client.call(CALL, "t", b"")
    pair.client.grant(call_id, 1)
    pair.client.cancel(call_id)
    pair.carry(pair.client)
    pair.server.item(call_id, b"an item")
    pair.server.reply(RETURN, call_id, b"a result", [b"seg"])
    assert plain(pair.carry(pair.server)) == [(DROPPED, None, b"an item", []), (DROPPED, None, b"a result", [b"seg"])]
    assert isinstance(error_of(pair.client.receive(wire(RETURN, call_id), NOW)), ProtocolError)


@pytest.mark.parametrize("kind", [FAULT, END])
def test_a_late_end_is_dropped_in_silence(kind):
    client = opened("client")
    client.cancel(client.call(CALL, "t", b""))
    assert client.receive(wire(kind, 1), NOW) == []


def test_a_waiting_call_that_is_cancelled_never_leaves():
    pair = Pair(server=Limits(in_flight=1))
    pair.client.call(CALL, "a", b"a")
    held = pair.client.call(CALL, "b", b"b")
    pair.client.grant(held, 3)
    assert pair.client.cancel(held) is False
    pair.carry(pair.client)
    pair.server.reply(RETURN, 1, b"")
    pair.carry(pair.server)
    assert pair.carry(pair.client) == []
    assert pair.client.in_flight == (0, 0)


def test_cancelling_what_is_answered_or_closed_sends_nothing():
    pair = Pair()
    call_id = pair.client.call(CALL, "t", b"")
    pair.carry(pair.client)
    pair.server.reply(RETURN, call_id, b"")
    pair.carry(pair.server)
    assert pair.client.cancel(call_id) is True
    assert not pair.client.out
    second = pair.client.call(CALL, "t", b"")
    pair.client.goodbye()
    sent(pair.client)
    assert pair.client.cancel(second) is True
    assert not pair.client.out


def test_a_cancel_that_crosses_the_answer_is_nothing():
    server = opened("server")
    server.receive(wire(CALL, 1), NOW)
    server.reply(RETURN, 1, b"")
    assert server.receive(wire(CANCEL, 1), NOW) == []


def flood(server: Connection, calls: int, cancels: int, now: float) -> list:
    events = []
    for call_id in range(calls):
        data = wire(CALL, call_id + 1) + (wire(CANCEL, call_id + 1) if call_id < cancels else b"")
        events += server.receive(data, now)
        server.reply(FAULT, call_id + 1, b"")
    return events


def test_a_peer_that_cancels_most_of_many_calls_is_cut_off():
    events = flood(opened("server"), JUDGED, JUDGED, NOW)
    error = error_of([event for event in events if event[0] == CLOSED])
    assert isinstance(error, LimitExceeded)
    assert f"{JUDGED} of {JUDGED} calls" in str(error)


def test_a_peer_that_cancels_half_of_its_calls_is_not():
    server = opened("server")
    for call_id in range(1, JUDGED + 1):
        server.receive(wire(CALL, call_id) + (wire(CANCEL, call_id) if call_id % 2 == 0 else b""), NOW)
        server.reply(FAULT, call_id, b"")
    assert server.phase == Phase.OPEN
    server.receive(wire(CALL, 999) + wire(CANCEL, 999) * 2, NOW)
    assert server.phase == Phase.CLOSED


def test_cancels_are_judged_by_ten_seconds():
    server = opened("server")
    for window in range(4):
        flood(server, JUDGED // 2, JUDGED // 2, NOW + 11 * window)
    assert server.phase == Phase.OPEN


def test_calls_that_make_no_sense_count_like_cancelled_ones():
    server = opened("server")
    events = []
    for call_id in range(1, JUDGED + 2):
        server.receive(wire(CALL, call_id), NOW)
        server.reply(FAULT, call_id, b"")
        if call_id % 3 == 0:
            events += [each for each in server.receive(wire(CANCEL, call_id), NOW) if each[0] == CLOSED]
        elif call_id % 3 == 1:
            events += server.in_vain(NOW)
    assert isinstance(error_of(events), LimitExceeded)
    assert server.in_vain(NOW) == []


# --- streams ------------------------------------------------------------------------------------------------


def test_a_stream_sends_what_it_has_credit_for():
    pair = Pair()
    call_id = pair.client.call(CALL, "s", b"")
    pair.client.grant(call_id, 2)
    assert pair.carry(pair.client)[1][:2] == (CREDIT, call_id)
    assert pair.server.credit(call_id) == 2
    assert pair.server.item(call_id, b"1") == 1
    assert pair.server.item(call_id, b"2") == 0
    assert pair.server.item(call_id, b"3") == 0
    pair.server.reply(END, call_id, b"")
    assert plain(pair.carry(pair.server)) == [(ITEM, "s", b"1", []), (ITEM, "s", b"2", []), (END, "s", b"", [])]
    assert pair.server.credit(call_id) == 0


def test_an_item_without_credit_breaks_the_protocol():
    client = opened("client")
    call_id = client.call(CALL, "s", b"")
    client.grant(call_id, 1)
    client.grant(call_id, 1)
    events = client.receive(wire(ITEM, call_id) * 3, NOW)
    assert [event[0] for event in events] == [ITEM, ITEM, CLOSED]
    assert "gave no credit" in str(error_of(events))


def test_an_item_for_a_call_that_does_not_stream_breaks_the_protocol():
    client = opened("client")
    client.call(CALL, "plain", b"")
    assert isinstance(error_of(client.receive(wire(ITEM, 1), NOW)), ProtocolError)


def test_credit_for_a_call_that_waits_leaves_with_it():
    pair = Pair(server=Limits(in_flight=1))
    pair.client.call(CALL, "first", b"")
    held = pair.client.call(CALL, "stream", b"")
    pair.client.grant(held, 3)
    pair.client.grant(held, 4)
    assert [event[0] for event in pair.carry(pair.client)] == [CALL]
    pair.server.reply(RETURN, 1, b"")
    pair.carry(pair.server)
    assert [event[0] for event in pair.carry(pair.client)] == [CALL, CREDIT]
    assert pair.server.credit(held) == 7


def test_credit_for_what_ended_or_never_was_is_nothing():
    server = opened("server")
    assert server.receive(credit(9, 5), NOW) == []
    client = opened("client")
    client.grant(1, 5)
    assert not client.out


def test_credit_does_not_grow_without_bound():
    server = opened("server")
    server.receive(wire(CALL, 1) + credit(1, 0xFFFFFFFF) * 3, NOW)
    assert server.credit(1) == 1 << 30


@pytest.mark.parametrize("body", [b"", b"\0\0\1", b"\0\0\0\0\1"])
def test_credit_has_four_bytes(body):
    server = opened("server")
    server.receive(wire(CALL, 1), NOW)
    assert "4 bytes" in str(error_of(server.receive(wire(CREDIT, 1, body), NOW)))


# --- sizes --------------------------------------------------------------------------------------------------


def test_an_answer_has_the_room_of_the_peers_message_but_no_more_than_of_our_own():
    pair = Pair(client=Limits(message=2_000), server=Limits(message=3_000))
    assert (pair.client.room, pair.server.room) == (2_000, 2_000)


def test_the_largest_message_is_measured_if_it_came_in_several_reads():
    server = opened("server")
    for call_id, size in enumerate((200_000, 300_000, 250_000), 1):
        for piece in in_pieces(wire(CALL, call_id, bytes(size)), 65_536):
            server.receive(piece, NOW)
    assert server.largest == 300_000


def test_a_message_larger_than_the_peer_takes_is_refused_here_and_the_call_stays_open():
    pair = Pair(client=Limits(message=2000), server=Limits(message=1500))
    client, server = pair.client, pair.server
    with pytest.raises(LimitExceeded, match="1501 bytes exceeds the peer's limit of 1500"):
        client.call(CALL, "t", b"x" * 1501)
    with pytest.raises(LimitExceeded):
        client.call(CALL, "t", b"x", [b"y" * 1496])
    with pytest.raises(LimitExceeded):
        client.oneway(b"x" * 1501)
    assert not client.out
    assert client.in_flight == (0, 0)
    client.call(CALL, "t", b"x" * 1500)
    client.grant(1, 1)
    assert len(pair.carry(client)) == 2
    with pytest.raises(LimitExceeded):
        server.item(1, b"x" * 2001)
    with pytest.raises(LimitExceeded):
        server.reply(RETURN, 1, b"x" * 2001)
    assert server.in_flight == (0, 1)
    server.reply(RETURN, 1, b"x", [b"y" * 1995])
    assert plain(pair.carry(server)) == [(RETURN, "t", b"x", [b"y" * 1995])]


def test_a_message_larger_than_this_side_takes_breaks_the_protocol_before_it_came():
    server = opened("server", Limits(message=4096))
    events = server.receive(wire(CALL, 1) + HEADER.pack(4097, CALL, 0, 0, 2), NOW)
    assert events[0][:2] == (CALL, 1)
    error = error_of(events)
    assert isinstance(error, LimitExceeded)
    assert "4097 bytes" in str(error)


def test_a_read_asks_for_what_the_frame_under_way_needs():
    server = opened("server")
    assert server.wanted() == 65536
    server.receive(HEADER.pack(200_000, CALL, 0, 0, 2), NOW)
    assert server.wanted() == 200_000


# --- every frame in every phase -----------------------------------------------------------------------------


def in_phase(role: str, phase: Phase) -> Connection:
    """An end in ``phase``, with its call 1 in flight (but when OPENING) and the peer's call 2."""
    if phase == Phase.OPENING:
        end = Connection(role, Offer(), Limits(), NOW)
    else:
        end = opened(role)
        end.call(CALL, "ours", b"")
        end.grant(1, 5)
        end.receive(wire(CALL, 2), NOW)
        if phase == Phase.CLOSING:
            end.goodbye()
        elif phase == Phase.CLOSED:
            end.fail(ProtocolError("enough"))
    sent(end)
    assert end.phase == phase
    return end


ANSWERS = {RETURN: "ours", FAULT: "ours", ITEM: "ours", END: "ours", RETURNS: ["ours"]}
THEIRS = {CANCEL: 2, CREDIT: 2}
NEW = {CALL: 3, BATCH: 3, ONEWAY: 3, RELEASE: 3, BURST: range(3, 4)}
MANY = {BURST, RETURNS}  # their bodies begin with a count
SILENT = {PING, PONG}


@pytest.mark.parametrize("kind", [*range(41), 128, 255])
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("role", ["client", "server"])
def test_every_kind_of_frame_means_something_or_breaks_the_protocol_in_every_phase(role, phase, kind):
    end = in_phase(role, phase)
    call_id = 1 if kind in ANSWERS else 2 if kind in THEIRS else 3
    body = b"\0\0\0\1" if kind == CREDIT else b"" if kind == GOODBYE else b"\0\1body" if kind in MANY else b"body"
    data = wire(kind, call_id, body)
    events = plain(end.receive(MAGIC + data if phase == Phase.OPENING else data, NOW))
    if phase == Phase.CLOSED:
        assert events == []
    elif phase == Phase.OPENING:
        assert events == [(CLOSED, ProtocolError, b"", [])]
        assert bool(sent(end)) == (role == "server")
    elif kind == GOODBYE:
        assert events == [(CLOSED, type(None), b"", [])]
    elif kind in SILENT:
        assert events == []
        assert sent(end) == (wire(PONG, call_id) if kind == PING else b"")
    elif kind in ANSWERS or kind in THEIRS or kind in NEW:
        token = (ANSWERS | THEIRS | NEW)[kind]
        assert events == [(kind, token, b"" if kind in THEIRS else body[2:] if kind in MANY else body, [])]
    else:
        assert events == [(CLOSED, ProtocolError, b"", [])]
        assert bool(sent(end)) == (phase == Phase.OPEN)


def test_a_second_handshake_breaks_the_protocol():
    server = opened("server")
    error = error_of(server.receive(wire(Kind.HELLO, 0, Offer().to_bytes()), NOW))
    assert "unknown kind 1" in str(error)


# --- the same however it is cut -----------------------------------------------------------------------------


def a_busy_client() -> Connection:
    """A client with calls 1 (plain), 2 (a stream), 3 (given up), 4 (a batch) in flight."""
    client = opened("client")
    for number in range(1, 5):
        client.call(BATCH if number == 4 else CALL, f"call {number}", b"")
    client.grant(2, 2)
    client.cancel(3)
    sent(client)
    return client


STREAMS = {
    "to a server": (
        lambda: opened("server"),
        wire(CALL, 1, b"plain")
        + wire(CALL, 2, b"large", [b"seg" * 5, b""])
        + credit(1, 3)
        + wire(ONEWAY, 0, b"no answer")
        + wire(BATCH, 9, b"many")
        + wire(CANCEL, 2)
        + wire(RELEASE, 0, b"ids")
        + wire(PING, 77)
        + wire(GOODBYE),
    ),
    "to a client": (
        a_busy_client,
        wire(ITEM, 2, b"one")
        + wire(RETURN, 1, b"result", [b"buffer"])
        + wire(CALL, 1, b"call back")
        + wire(RETURN, 3, b"too late")
        + wire(ITEM, 2, b"two")
        + wire(END, 2)
        + wire(FAULT, 4, b"wrong")
        + wire(GOODBYE, 0, refusal("LimitExceeded", "enough")),
    ),
    "that breaks off with a bad frame": (
        a_busy_client,
        wire(RETURN, 1, b"good") + wire(PONG) + HEADER.pack(8, RETURN, 0, 1, 2) + b"\xff" * 4 + b"rest",
    ),
    "that breaks off with a bad answer": (a_busy_client, wire(RETURN, 1, b"good") + wire(RETURN, 99, b"bad")),
    "that breaks off with an unknown kind": (a_busy_client, wire(RETURN, 4, b"good") + wire(200) + wire(END, 2)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_same_bytes_give_the_same_events_however_they_are_cut(name):
    make, data = STREAMS[name]

    def heard(*cuts: int) -> tuple:
        end = make()
        events = [event for piece in in_pieces(data, *cuts) for event in end.receive(piece, NOW)]
        return plain(events), str(end.error), sent(end), end.abandon()

    whole = heard()
    assert whole[0][-1][0] == CLOSED
    assert heard(*range(len(data))) == whole
    for cut in range(len(data) + 1):
        assert heard(cut) == whole, cut


def test_a_call_answered_in_the_same_read_as_an_error_has_its_answer():
    client = a_busy_client()
    events = client.receive(wire(RETURN, 1, b"mine") + wire(255), NOW)
    assert plain(events)[0] == (RETURN, "call 1", b"mine", [])
    error_of(events)
    assert client.abandon() == (["call 2", "call 4"], [])


# --- time ---------------------------------------------------------------------------------------------------


def test_a_silent_peer_is_asked_whether_it_lives_and_given_up_when_it_does_not_say():
    client = opened("client", Limits(ping_idle=30, ping_timeout=20))
    assert client.due() == NOW + 30
    assert client.tick(NOW + 29) == []
    assert not client.out
    assert client.tick(NOW + 30) == []
    assert sent(client) == wire(PING)
    assert client.due() == NOW + 50
    assert client.tick(NOW + 49) == []
    error = error_of(client.tick(NOW + 50))
    assert isinstance(error, ConnectionLost)
    assert "did not answer a ping for 20 s" in str(error)
    assert not client.out
    assert client.due() is None


def test_any_byte_shows_that_the_peer_lives():
    client = opened("client", Limits(ping_idle=30, ping_timeout=20))
    client.tick(NOW + 30)
    client.receive(wire(PONG), NOW + 31)
    assert client.due() == NOW + 61
    assert client.tick(NOW + 60) == []


def test_the_server_asks_later_so_that_usually_one_of_the_two_does():
    assert opened("server", Limits(ping_idle=30)).due() == NOW + 45


def test_nobody_asks_more_often_than_the_other_end_allows():
    pair = Pair(server=Limits(min_ping=40), client=Limits(ping_idle=1))
    now = NOW
    for _ in range(5):
        now += 40
        assert pair.client.due() == now
        pair.client.tick(now)
        pair.carry(pair.client, now)
        assert pair.carry(pair.server, now) == []
    assert pair.server.phase == Phase.OPEN


def test_who_pings_all_the_time_is_cut_off():
    server = opened("server", Limits(min_ping=5))
    for second in (0, 1, 2):
        assert server.receive(wire(PING, 7), NOW + second) == []
    error = error_of(server.receive(wire(PING, 7), NOW + 3))
    assert isinstance(error, LimitExceeded)
    assert "sooner than every 5 s" in str(error)


def test_half_a_frame_and_then_silence_ends_the_connection():
    server = opened("server", Limits(frame_seconds=10))
    server.receive(wire(CALL, 1, b"body")[:9], NOW)
    assert server.due() == pytest.approx(NOW + 10, abs=0.01)
    assert server.tick(NOW + 9) == []
    error = error_of(server.tick(NOW + 10.01))
    assert "begun and not finished" in str(error)
    assert HEADER.unpack_from(sent(server))[1] == GOODBYE


def test_half_a_frame_behind_the_handshake_is_timed_too():
    server = Connection("server", Offer(), Limits(frame_seconds=10), NOW)
    hello = MAGIC + frame(Kind.HELLO, 0, Offer().to_bytes())[0]
    server.receive(hello + b"\0\0", NOW + 5)
    assert server.due() == pytest.approx(NOW + 15, abs=0.01)


def test_a_large_frame_has_a_second_more_for_each_64_kib_that_came():
    server = opened("server", Limits(frame_seconds=10))
    server.receive(HEADER.pack(1 << 20, CALL, 0, 0, 1), NOW)
    for second in range(1, 9):
        server.receive(b"x" * 65536, NOW + second)
    assert server.due() == pytest.approx(NOW + 18, abs=0.01)
    server.receive(b"x" * (8 * 65536), NOW + 9)
    assert server.due() == NOW + 9 + 45


def test_frames_that_complete_one_after_the_other_are_no_slow_frame():
    """Each read ends within a frame, and each frame is complete a second later."""
    server = opened("server", Limits(frame_seconds=10))
    one = wire(ONEWAY, 0, b"x" * 100)
    server.receive(one[:50], NOW)
    for second in range(1, 100):
        server.receive(one[50:] + one[:50], NOW + second)
        assert server.tick(NOW + second) == []
    assert server.due() == pytest.approx(NOW + 99 + 10, abs=0.01)


def test_a_peer_that_takes_nothing_is_given_up():
    client = opened("client", Limits(write_stall=30, ping_idle=1000))
    client.held_back(500, NOW, took=False)
    assert client.unsent == 500
    assert client.due() == NOW + 30
    client.held_back(600, NOW + 20, took=False)
    assert client.due() == NOW + 30
    assert client.tick(NOW + 29) == []
    error = error_of(client.tick(NOW + 30))
    assert isinstance(error, ConnectionLost)
    assert "took nothing of 600 bytes for 30 s" in str(error)


def test_a_peer_that_takes_little_is_not():
    client = opened("client", Limits(write_stall=30, ping_idle=1000))
    client.held_back(500, NOW, took=False)
    client.held_back(700, NOW + 29, took=True)  # and more came to wait meanwhile
    assert client.due() == NOW + 59
    client.held_back(0, NOW + 50, took=True)
    assert client.due() == NOW + 1000
    client.call(CALL, "t", b"xyz", [b"four"])
    assert client.unsent == len(wire(CALL, 1, b"xyz", [b"four"]))


# --- ends ---------------------------------------------------------------------------------------------------


def test_goodbye_ends_both_sides_in_order():
    pair = Pair()
    pair.client.call(CALL, "t", b"")
    pair.client.goodbye()
    assert pair.client.phase == Phase.CLOSING
    assert plain(pair.carry(pair.client)) == [(CALL, 1, b"", []), (CLOSED, type(None), b"", [])]
    assert pair.server.phase == Phase.CLOSED
    assert plain(pair.client.eof()) == [(CLOSED, type(None), b"", [])]
    assert pair.client.error is None
    assert pair.client.abandon() == (["t"], [])
    assert pair.client.abandon() == ([], [])


def test_nothing_new_is_sent_after_goodbye():
    pair = Pair(server=Limits(in_flight=1))
    client = pair.client
    client.call(CALL, "sent", b"")
    held = client.call(CALL, "held", b"")
    client.goodbye()
    pair.carry(client)
    client.call(CALL, "new", b"")
    client.release(b"ids")
    client.grant(1, 5)
    client.goodbye()
    with pytest.raises(NotSent):
        client.oneway(b"")
    client.receive(wire(RETURN, 1), NOW)
    assert client.cancel(held) is False
    assert not client.out
    assert client.abandon() == ([], ["new"])


def test_a_one_way_call_does_not_wait_for_the_handshake():
    with pytest.raises(NotSent, match="not open"):
        Pair(opened=False).client.oneway(b"")


def test_answers_still_arrive_after_our_goodbye():
    client = a_busy_client()
    client.goodbye()
    assert plain(client.receive(wire(RETURN, 1, b"yes"), NOW)) == [(RETURN, "call 1", b"yes", [])]


def test_a_peer_that_does_not_close_after_our_goodbye_is_left():
    client = opened("client", Limits(ping_idle=30))
    client.goodbye()
    assert client.due() == NOW + 30
    assert client.tick(NOW + 29) == []
    assert plain(client.tick(NOW + 30)) == [(CLOSED, type(None), b"", [])]
    assert client.due() is None


def test_a_goodbye_may_say_why():
    client = opened("client")
    error = error_of(client.receive(wire(GOODBYE, 0, refusal("AccessDenied", "not today")), NOW))
    assert type(error).__name__ == "AccessDenied"
    assert "not today" in str(error)
    assert not client.out


@pytest.mark.parametrize("body", [b"x", b"[]", b'{"error":1}', b"\xff\xff"])
def test_a_goodbye_of_the_wrong_shape_is_an_end_all_the_same(body):
    assert isinstance(error_of(opened("client").receive(wire(GOODBYE, 0, body), NOW)), ProtocolError)


def test_what_comes_behind_a_goodbye_is_not_read():
    server = opened("server")
    assert [event[0] for event in server.receive(wire(GOODBYE) + wire(CALL, 1) + b"\xff" * 40, NOW)] == [CLOSED]
    assert server.error is None


def test_the_end_of_the_stream_without_a_goodbye_is_a_loss():
    client = opened("client")
    client.call(CALL, "t", b"")
    assert isinstance(error_of(client.eof()), ConnectionLost)
    assert client.eof() == []
    assert client.receive(wire(RETURN, 1), NOW) == []
    assert client.abandon() == (["t"], [])


def test_what_is_found_wrong_above_is_told_to_the_peer():
    pair = Pair()
    assert isinstance(error_of(pair.server.fail(LimitExceeded("too much"))), LimitExceeded)
    there = error_of(pair.carry(pair.server))
    assert isinstance(there, LimitExceeded)
    assert "too much" in str(there)
    assert pair.server.fail(RpcxError("again")) == []


def test_after_the_end_nothing_is_answered():
    server = opened("server")
    server.receive(wire(CALL, 1) + credit(1, 5), NOW)
    server.fail(ProtocolError("x"))
    sent(server)
    server.reply(RETURN, 1, b"")
    assert server.item(1, b"") == 0
    assert not server.out
