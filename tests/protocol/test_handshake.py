"""The handshake: what is agreed, what is refused, and that both sides are told why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.errors import LimitExceeded, ProtocolError
from rpcx.protocol.connection import CLOSED, OPENED, Connection, Phase
from rpcx.protocol.frames import HEADER, Kind, frame
from rpcx.protocol.handshake import (
    HELLO_BYTES,
    LEAST_MESSAGE,
    MAGIC,
    Limits,
    Offer,
    agree,
    refusal,
    refused,
    welcome,
    welcomed,
)
from tests.protocol.pair import NOW, Pair, error_of, in_pieces, offer, plain, sent

HELLO = json.loads(Offer().to_bytes())


def server(limits: Limits = Limits(), **fields) -> Connection:
    return Connection("server", offer(limits, **fields), limits, NOW)


def client(limits: Limits = Limits(), **fields) -> Connection:
    connection = Connection("client", offer(limits, **fields), limits, NOW)
    sent(connection)
    return connection


def hello(body: bytes) -> bytes:
    return MAGIC + frame(Kind.HELLO, 0, body)[0]


def rejection(connection: Connection) -> tuple[str, str]:
    """(error, message) of the REJECT that ``connection`` sends, which must be all it sends."""
    said = sent(connection)
    assert said.startswith(MAGIC)
    length, kind, flags, segments, call_id = HEADER.unpack_from(said, len(MAGIC))
    assert (kind, flags, segments, call_id) == (Kind.REJECT, 0, 0, 0)
    assert len(said) == len(MAGIC) + HEADER.size + length
    return refused(said[len(MAGIC) + HEADER.size :])


# --- agreement ----------------------------------------------------------------------------------------------


def test_both_ends_agree_and_know_each_other():
    pair = Pair(opened=False)
    ((kind, theirs, _, _),) = pair.carry(pair.client)
    assert kind == OPENED
    ((kind, ours, _, _),) = pair.carry(pair.server)
    assert kind == OPENED
    assert (theirs.formatter, theirs.sinks, theirs.peer.name) == ("msgpack", (), "client")
    assert (ours.formatter, ours.sinks, ours.peer.name) == ("msgpack", (), "server")
    assert pair.client.phase == pair.server.phase == Phase.OPEN
    assert pair.client.agreement is ours


def test_the_clients_preference_decides_the_formatter():
    ours, theirs = Offer(formatters=("msgpack", "json")), Offer(formatters=("xml", "json", "msgpack"))
    agreement = agree(ours, theirs)
    assert agreement.formatter == "json"
    assert welcomed(welcome(agreement, ours), theirs).formatter == "json"


def test_the_server_repeats_the_clients_session():
    agreement = agree(Offer(session="server's own"), Offer(session="abc"))
    assert welcomed(welcome(agreement, Offer()), Offer()).peer.session == "abc"


NAMES = st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20), max_size=5).map(tuple)


@given(
    st.builds(
        Offer,
        formatters=NAMES,
        sinks=NAMES,
        name=st.text(max_size=100),
        session=st.text(max_size=40),
        message=st.integers(LEAST_MESSAGE, (1 << 40) - 1),
        in_flight=st.integers(1, (1 << 40) - 1),
        window=st.integers(1, (1 << 40) - 1),
        capabilities=NAMES,
    )
)
def test_an_offer_survives_the_wire(original):
    assert Offer.from_bytes(original.to_bytes()) == original


def test_what_a_later_version_says_more_is_ignored():
    more = {**HELLO, "colour": "blue", "limits": {**HELLO["limits"], "speed": -1}}
    assert Offer.from_bytes(json.dumps(more).encode()) == Offer()


def test_a_limit_that_is_not_said_is_the_least():
    for shorter in ({"version": 1}, {"version": 1, "limits": {}}):
        offered = Offer.from_bytes(json.dumps(shorter).encode())
        assert (offered.message, offered.in_flight, offered.window) == (LEAST_MESSAGE, 1, 1)
        assert (offered.formatters, offered.sinks, offered.name, offered.session) == ((), (), "", "")


def test_the_handshake_is_the_same_however_it_is_cut():
    whole = hello(Offer().to_bytes()) + frame(Kind.CALL, 1, b"first")[0]
    expected = server().receive(whole, NOW)
    assert [kind for kind, *_ in expected] == [OPENED, Kind.CALL]
    for cuts in [(cut,) for cut in range(len(whole))] + [tuple(range(len(whole)))]:
        end = server()
        events = [event for piece in in_pieces(whole, *cuts) for event in end.receive(piece, NOW)]
        assert plain(events) == plain(expected), cuts


def test_what_comes_in_the_same_read_as_the_welcome_may_be_larger_than_a_handshake():
    large = b"x" * (3 * HELLO_BYTES)
    agreement = agree(Offer(), Offer())
    said = MAGIC + frame(Kind.WELCOME, 0, welcome(agreement, Offer()))[0] + frame(Kind.CALL, 1, large)[0]
    assert plain(client().receive(said, NOW))[1:] == [(Kind.CALL, 1, large, [])]


# --- refusal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (Offer(), Offer(formatters=("xml", "json")), ["no common formatter", "xml, json", "msgpack"]),
        (Offer(), Offer(formatters=()), ["no common formatter", "the client offers none"]),
        (Offer(sinks=("zip",)), Offer(), ["differ at 'zip'", "the client has none", "the server zip"]),
        (Offer(), Offer(sinks=("zip",)), ["differ at 'zip'", "the client has zip", "the server none"]),
        (Offer(sinks=("a", "b")), Offer(sinks=("a", "c")), ["at 'c' (here 'b')", "has a, c", "server a, b"]),
        (Offer(sinks=("a", "b")), Offer(sinks=("b", "a")), ["at 'b' (here 'a')"]),
        (Offer(sinks=("a",)), Offer(sinks=("a", "b")), ["differ at 'b'"]),
    ],
)
def test_a_mismatch_names_both_sides_to_both_sides(ours, theirs, words):
    end = Connection("server", ours, Limits(), NOW)
    here = error_of(end.receive(hello(theirs.to_bytes()), NOW))
    assert isinstance(here, ProtocolError)
    there = error_of(Connection("client", theirs, Limits(), NOW).receive(sent(end), NOW))
    assert isinstance(there, ProtocolError)
    for word in words:
        assert word in str(here)
        assert word in str(there)
    assert "refused" in str(there)


NESTED = b'{"version":1,"x":' + b"[" * 4000 + b"]" * 4000 + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"\xff\xfe",
        b"\x00{",
        Offer().to_bytes().decode().encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"{}",
        NESTED,
        b'{"version":' + b"9" * 5000 + b"}",
    ],
)
def test_a_hello_that_is_no_json_object_is_refused(body):
    end = server()
    assert isinstance(error_of(end.receive(hello(body), NOW)), ProtocolError)
    assert rejection(end)[0] == "ProtocolError"


@pytest.mark.parametrize("version", [0, 2, -1, "1", 1.0, True, None, [1], {"a": "b" * 900}, "x" * 4000])
def test_another_version_is_refused_by_name(version):
    end = server()
    error = error_of(end.receive(hello(json.dumps({**HELLO, "version": version}).encode()), NOW))
    assert isinstance(error, ProtocolError)
    assert "version" in str(error)
    assert len(str(error)) < 200


@pytest.mark.parametrize("key", ["formatters", "sinks", "capabilities"])
@pytest.mark.parametrize(
    "value", [None, "msgpack", {"a": 1}, 5, [1], [None], [[]], ["a"] * 65, [""], ["a" * 65], ["a\nb"], ["\x1b[0m"]]
)
def test_a_list_of_names_of_another_shape_is_refused(key, value):
    with pytest.raises(ProtocolError, match=key):
        Offer.from_bytes(json.dumps({**HELLO, key: value}).encode())


@pytest.mark.parametrize("key", ["name", "session"])
@pytest.mark.parametrize("value", [None, 5, [], {}, "x" * 1025])
def test_a_text_of_another_shape_is_refused(key, value):
    with pytest.raises(ProtocolError, match=key):
        Offer.from_bytes(json.dumps({**HELLO, key: value}).encode())


@pytest.mark.parametrize("key", ["message", "in_flight", "window"])
@pytest.mark.parametrize("value", [None, 0, -1, 1.5, "9", True, [], 1 << 40])
def test_a_limit_of_another_shape_is_refused(key, value):
    with pytest.raises(ProtocolError, match=key):
        Offer.from_bytes(json.dumps({**HELLO, "limits": {key: value}}).encode())


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_limits_that_are_no_object_are_refused(value):
    with pytest.raises(ProtocolError, match="limits"):
        Offer.from_bytes(json.dumps({**HELLO, "limits": value}).encode())


def test_a_message_limit_below_the_least_is_refused():
    with pytest.raises(ProtocolError, match="at least 1024"):
        Offer.from_bytes(json.dumps({**HELLO, "limits": {"message": LEAST_MESSAGE - 1}}).encode())


def test_a_hello_of_the_full_size_is_read_and_a_larger_one_refused_before_it_came():
    padded = Offer().to_bytes().ljust(HELLO_BYTES)
    assert server().receive(hello(padded), NOW)[0][0] == OPENED
    end = server()
    error = error_of(end.receive(MAGIC + HEADER.pack(HELLO_BYTES + 1, Kind.HELLO, 0, 0, 0), NOW))
    assert isinstance(error, LimitExceeded)
    assert rejection(end)[0] == "LimitExceeded"


def test_a_hello_with_segments_is_refused():
    end = server()
    error = error_of(end.receive(MAGIC + HEADER.pack(100, Kind.HELLO, 0, 1, 0), NOW))
    assert isinstance(error, ProtocolError)
    assert rejection(end)[0] == "ProtocolError"


def test_a_refusal_is_short_and_read_back():
    name, message = refused(refusal("AccessDenied", "x" * 5000))
    assert name == "AccessDenied"
    assert message == "x" * 1024


@pytest.mark.parametrize("error", ["AccessDenied", "AuthenticationFailed", "LimitExceeded", "NoSuch", "ValueError"])
def test_the_client_raises_the_error_that_a_refusal_names_if_it_is_ours(error):
    said = MAGIC + frame(Kind.REJECT, 0, refusal(error, "go away"))[0]
    raised = error_of(client().receive(said, NOW))
    known = error not in ("NoSuch", "ValueError")
    assert type(raised).__name__ == (error if known else "ProtocolError")
    assert "go away" in str(raised)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error":5}', b'{"message":[]}', b"\xff"])
def test_a_refusal_of_the_wrong_shape_is_an_error_all_the_same(body):
    end = client()
    assert isinstance(error_of(end.receive(MAGIC + frame(Kind.REJECT, 0, body)[0], NOW)), ProtocolError)
    assert sent(end) == b""


@pytest.mark.parametrize(
    "changed",
    [
        {"formatters": []},
        {"formatters": ["xml"]},
        {"formatters": ["msgpack", "json"]},
        {"sinks": ["zip"]},
    ],
)
def test_a_server_that_agrees_to_what_was_not_offered_is_left(changed):
    end = client(formatters=("msgpack", "json"))
    said = json.dumps({**HELLO, "formatters": ["json"], **changed}).encode()
    error = error_of(end.receive(MAGIC + frame(Kind.WELCOME, 0, said)[0], NOW))
    assert "not offered" in str(error)
    assert sent(end) == b""


# --- strangers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02", b"\x00" * 20, MAGIC[:5] + b"\x02\r\n", MAGIC[:6] + b"\n"]
)
def test_a_stranger_who_does_not_speak_rpcx_gets_no_answer(words):
    end = server()
    error = error_of(end.receive(words, NOW))
    assert isinstance(error, ProtocolError)
    assert "does not speak rpcx" in str(error)
    assert sent(end) == b""
    assert end.receive(MAGIC, NOW) == []


def test_the_first_wrong_byte_is_enough():
    for known in range(len(MAGIC)):
        end = server()
        assert end.receive(MAGIC[:known], NOW) == []
        assert isinstance(error_of(end.receive(b"?", NOW)), ProtocolError)
        assert sent(end) == b""


def test_a_client_says_what_answered_instead_of_rpcx():
    assert "SSH-2.0" in str(error_of(client().receive(b"SSH-2.0-OpenSSH_9\r\n", NOW)))


@given(words=st.binary(max_size=200), magic=st.booleans())
def test_garbage_of_every_length_is_refused_or_waited_for(words, magic):
    for end in (server(), client()):
        events = end.receive((MAGIC if magic else b"") + words, NOW)
        assert [event[0] for event in events] in ([], [CLOSED])
        if not magic:
            assert sent(end) == b""


# --- time ---------------------------------------------------------------------------------------------------


def test_who_says_nothing_is_dropped_after_the_handshake_time():
    end = server(Limits(handshake=10.0))
    assert end.due() == NOW + 10.0
    assert end.tick(NOW + 9.99) == []
    error = error_of(end.tick(NOW + 10.0))
    assert "no handshake within 10 s" in str(error)
    assert sent(end) == b""
    assert end.due() is None
    assert end.tick(NOW + 99) == []


def test_half_a_hello_does_not_buy_more_time():
    end = server()
    end.receive(MAGIC + b"\0\0", NOW + 9)
    assert end.due() == NOW + 10.0
    error_of(end.tick(NOW + 10.0))
    assert rejection(end)[0] == "ProtocolError"


def test_the_stream_may_end_during_the_handshake():
    end = server()
    assert "during the handshake" in str(error_of(end.eof()))
    assert sent(end) == b""
    assert end.eof() == []


def test_goodbye_during_the_handshake_just_ends_it():
    end = server()
    end.goodbye()
    assert end.phase == Phase.CLOSED
    assert end.error is None
    assert sent(end) == b""


# --- limits of one's own ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"message": 1023}, {"in_flight": 0}, {"window": 0}, {"message": 2.5}, {"window": "9"}, {"write_cap": 0},
     {"write_stall": 0}, {"longest_call": float("inf")}, {"session": -1}, {"handshake": None}, {"ping_timeout": "1"}],
)  # fmt: skip
def test_limits_that_would_stop_everything_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)


def test_a_server_can_take_its_welcome_back():
    """What it says instead is all that leaves, so the client's `connect` fails and not its first call."""
    client, server = Connection("client", Offer(), Limits(), 0.0), Connection("server", Offer(), Limits(), 0.0)
    (opened,) = server.receive(b"".join(client.outgoing()), 0.0)
    assert opened[0] == OPENED
    (closed,) = server.reject(LimitExceeded("too many of you"))
    assert closed[0] == CLOSED
    with_reason = client.receive(b"".join(server.outgoing()), 0.0)
    assert with_reason[-1][0] == CLOSED
    assert "too many of you" in str(client.error)
    assert isinstance(client.error, LimitExceeded)
