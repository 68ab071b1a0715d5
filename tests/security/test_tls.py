"""TLS without I/O: what reaches the session within, and when."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.errors import AuthenticationFailed, LimitExceeded, NotSent, ProtocolError
from rpcx.security.tls import HANDSHAKE_BYTES, HANDSHAKE_SECONDS, LINGER_SECONDS, RECORD
from tests.security.pair import NOW, End, Pair, only_a_hello, trust


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def pair(home):
    return Pair(home)


@pytest.fixture(scope="module")
def flights(pair):
    """What each end of a good handshake said, the client's first word ``hello`` included."""
    pair.meet(b"hello")
    sent = pair.talk()
    assert pair.server.within.got == b"hello"
    return sent


def records(data: bytes) -> list[int]:
    """The sizes of TLS records."""
    sizes, position = [], 0
    while position < len(data):
        sizes.append(int.from_bytes(data[position + 3 : position + 5], "big"))
        position += 5 + sizes[-1]
    return sizes


# --- what is carried ----------------------------------------------------------------------------------------


def test_nothing_of_the_session_within_is_said_before_the_peer_is_known(pair):
    pair.meet(b"hello")
    first = pair.client.sends()
    assert b"hello" not in first
    assert pair.client.within.says == [b"hello"]
    pair.server.gets(first)
    answer = pair.server.sends()
    assert pair.client.session.outgoing() == []
    assert not pair.server.session.admitted
    pair.client.gets(answer)
    assert pair.client.session.ready
    flight = pair.client.session.outgoing()
    assert len(flight) == 1, "the proof and the first word leave in one write"
    pair.server.gets(flight[0])
    assert pair.server.within.got == b"hello"
    assert pair.server.session.admitted
    pair.server.within.admitted = False
    assert not pair.server.session.admitted


def test_both_ends_learn_who_the_other_is(pair):
    pair.meet(b"hello")
    pair.talk()
    for end in (pair.client, pair.server):
        assert end.facts.owner
        assert end.facts.fingerprint == pair.client_side.identity.fingerprint
        assert end.facts.principal == "owner"
        assert end.session.due() is None


@given(st.lists(st.integers(0, 3 * RECORD), max_size=6), st.integers(1, 40_000))
def test_buffers_of_any_size_arrive_whole_however_they_were_cut(pair, sizes, cut):
    pair.meet(b"hello")
    pair.talk()
    for sender, receiver in ((pair.client, pair.server), (pair.server, pair.client)):
        receiver.within.got = b""
        buffers = [bytes([65 + i]) * size for i, size in enumerate(sizes)]
        sender.within.says += [memoryview(bytearray(b)) if i % 2 else b for i, b in enumerate(buffers)]
        sealed = sender.sends()
        for start in range(0, len(sealed), cut):
            receiver.gets(sealed[start : start + cut])
        assert receiver.within.got == b"".join(buffers)


def test_small_buffers_share_a_record_and_large_ones_are_cut_into_full_ones(pair):
    pair.meet(b"hello")
    pair.talk()
    pair.client.within.says += [b"x" * 100] * 50
    assert len(records(pair.client.sends())) == 1
    pair.client.within.says += [b"head", b"y" * (4 * RECORD)]
    sizes = records(pair.client.sends())
    assert len(sizes) == 5
    assert sizes[0] < 50
    pair.client.within.says += [b""]
    assert len(pair.client.sends()) < 50


def test_the_driver_is_told_what_the_session_within_wants(pair):
    pair.meet(b"hello")
    pair.talk()
    session, within = pair.server.session, pair.server.within
    assert session.wanted() == 65536
    assert not session.ready
    within.says.append(b"x")
    assert session.ready
    session.held_back(7, took=True)
    assert within.held == (7, True)
    assert not session.finished
    within.finished = True
    assert session.finished
    session.eof(NOW)
    assert within.ended


# --- strangers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"\xabRPCX\x01\r\n", b"GET / HTTP/1.1\r\n", b"\0", b"\x16\x02\0", b"\x15\x03\x03"])
def test_who_does_not_begin_with_tls_gets_no_answer(pair, first):
    pair.meet()
    for byte in (first[i : i + 1] for i in range(len(first))):
        pair.server.gets(byte)
    assert pair.server.sends() == b""
    assert pair.server.session.finished
    assert isinstance(pair.server.within.error, ProtocolError)
    assert pair.server.within.got == b""


def test_every_wrong_first_byte_ends_it(pair):
    for byte in set(range(256)) - {0x16}:
        pair.meet()
        pair.server.gets(bytes([byte]))
        assert pair.server.session.finished
        assert pair.server.sends() == b""


def test_a_client_says_that_the_other_side_speaks_no_tls(pair):
    pair.meet()
    pair.client.sends()
    pair.client.gets(b"\xabRPCX\x01\r\n")
    assert "does not speak TLS" in str(pair.client.within.error)
    assert "insecure=True" in str(pair.client.within.error)


@pytest.mark.parametrize("evil", [b"evil" * 5, b"\x17\x03\x03\0\x04evil"], ids=["bytes", "a record"])
def test_plaintext_never_counts_as_said_by_the_peer(pair, evil):
    """CVE-2023-40217: what lay in the buffer before the handshake was read as if it came after it."""
    pair.meet()
    pair.server.gets(evil + pair.client.sends())
    assert pair.server.session.finished
    pair.meet(b"hello")
    first = pair.client.sends()
    pair.server.gets(first + evil)  # behind the first flight
    assert pair.server.within.got == b""
    assert isinstance(pair.server.within.error, ProtocolError)
    pair.meet(b"hello")
    pair.server.gets(pair.client.sends())
    pair.client.gets(pair.server.sends())
    pair.server.gets(pair.client.sends() + evil)  # behind the proof
    assert pair.server.within.got == b"hello"
    assert isinstance(pair.server.within.error, ProtocolError)


def test_a_slow_handshake_ends_after_ten_seconds(pair):
    for end in ("client", "server"):
        pair.meet()
        session = getattr(pair, end).session
        assert session.due() == NOW + HANDSHAKE_SECONDS
        session.tick(NOW + HANDSHAKE_SECONDS - 0.1)
        assert not session.finished
        session.tick(NOW + HANDSHAKE_SECONDS)
        assert session.finished
        assert "within 10 s" in str(getattr(pair, end).within.error)


def test_a_stranger_cannot_talk_without_end(pair):
    pair.meet()
    record = b"\x16\x03\x01\x40\x00" + b"\x01\x00\xff\xff" + b"\0" * (RECORD - 4)
    for _ in range(4):
        pair.server.gets(record)
        if pair.server.session.finished:
            break
    assert isinstance(pair.server.within.error, LimitExceeded | ProtocolError)
    assert pair.server.within.got == b""
    assert 4 * len(record) > HANDSHAKE_BYTES


# --- cuts, changes and replays ------------------------------------------------------------------------------


def test_a_handshake_that_is_cut_anywhere_ends_cleanly(pair, flights):
    said_client, said_server = flights
    for sent, name in ((said_client, "server"), (said_server, "client")):
        for cut in range(len(sent)):
            pair.meet(b"hello")
            pair.client.sends()
            end: End = getattr(pair, name)
            end.gets(sent[:cut])
            end.sends()
            end.session.eof(NOW)
            assert end.session.finished
            assert end.within.error is not None
            assert end.within.got == b""


def test_a_changed_byte_anywhere_in_the_handshake_ends_it(pair):
    pair.meet(b"hello")
    length = len(pair.client.sends())
    for position in range(0, length, 7):
        pair.meet(b"hello")
        said = bytearray(pair.client.sends())
        said[position] ^= 0x55
        pair.server.gets(bytes(said))
        answer = pair.server.sends()
        if answer:
            pair.client.gets(answer)
            said_back = pair.client.sends()
            if said_back:
                pair.server.gets(said_back)
        assert pair.server.within.got == b""


def test_a_changed_byte_later_ends_it_and_tells_nobody_what_it_was(pair):
    pair.meet(b"hello")
    pair.talk()
    pair.client.within.says.append(b"transfer 100")
    sealed = bytearray(pair.client.sends())
    sealed[-1] ^= 1
    pair.server.gets(bytes(sealed))
    assert pair.server.within.got == b"hello"
    assert isinstance(pair.server.within.error, ProtocolError)
    pair.client.gets(pair.server.sends())  # the alert
    assert pair.client.within.error is not None


def test_a_recorded_client_cannot_be_replayed(pair, flights):
    said_client, _ = flights
    pair.meet()
    pair.server.gets(said_client)
    pair.server.sends()
    assert pair.server.within.got == b""
    assert isinstance(pair.server.within.error, ProtocolError)


def test_a_message_cannot_be_replayed_nor_left_out(pair):
    for deliver in ((0, 0), (1,), (1, 0)):
        pair.meet(b"hello")
        pair.talk()
        sealed = []
        for word in (b"one", b"two"):
            pair.client.within.says.append(word)
            sealed.append(pair.client.sends())
        pair.server.within.got = b""
        for index in deliver:
            pair.server.gets(sealed[index])
        assert pair.server.within.got == (b"one" if deliver[0] == 0 else b"")
        assert isinstance(pair.server.within.error, ProtocolError)


@given(st.binary(max_size=2000))
def test_no_bytes_of_a_stranger_reach_the_session_within(pair, data):
    for before in (b"", b"\x16\x03\x01"):
        for name in ("server", "client"):
            pair.meet(b"hello")
            end: End = getattr(pair, name)
            end.gets(before + data)
            end.sends()
            end.session.tick(NOW + HANDSHAKE_SECONDS + LINGER_SECONDS)
            end.session.tick(NOW + HANDSHAKE_SECONDS + LINGER_SECONDS)
            assert end.session.finished
            assert end.within.got == b""


@given(st.data())
def test_no_flight_that_was_tampered_with_is_taken_for_good(pair, flights, data):
    said = bytearray(flights[0])
    for _ in range(data.draw(st.integers(1, 4))):
        said[data.draw(st.integers(0, len(said) - 1))] = data.draw(st.integers(0, 255))
    pair.meet()
    pair.server.gets(bytes(said))
    assert pair.server.within.got == b""


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_client_is_not_connected_before_the_server_has_judged_it(tmp_path):
    """In TLS 1.3 the client's handshake succeeds before the server has looked at its key."""
    strangers = Pair(tmp_path / "server", tmp_path / "client")
    strangers.meet(b"hello")
    strangers.server.gets(strangers.client.sends())
    strangers.client.gets(strangers.server.sends())
    flight = strangers.client.sends()
    assert strangers.client.within.error is None, "TLS is done for the client"
    strangers.server.gets(flight)
    assert isinstance(strangers.server.within.error, AuthenticationFailed)
    assert strangers.server.within.got == b""
    strangers.client.gets(strangers.server.sends())
    error = strangers.client.within.error
    assert isinstance(error, AuthenticationFailed)
    assert strangers.client_side.identity.fingerprint in str(error)
    assert "rpcx keys trust" in str(error)


def test_a_server_lets_a_refused_client_read_why(tmp_path):
    strangers = Pair(tmp_path / "server", tmp_path / "client")
    for leave in (lambda session: session.eof(NOW), lambda session: session.tick(NOW + LINGER_SECONDS)):
        strangers.meet(b"hello")
        strangers.talk()
        session = strangers.server.session
        assert not session.finished
        assert session.due() == NOW + LINGER_SECONDS
        assert strangers.server.link.rearmed
        session.receive(b"whatever", NOW)
        session.tick(NOW + LINGER_SECONDS / 2)
        assert not session.finished
        leave(session)
        assert session.finished
        assert session.due() is None
        assert session.outgoing() == []


def test_a_client_that_hears_nothing_after_its_proof_is_told_what_that_may_mean(pair):
    pair.meet(b"hello")
    pair.server.gets(pair.client.sends())
    pair.client.gets(pair.server.sends())
    pair.client.sends()
    pair.client.session.eof(NOW)
    assert isinstance(pair.client.within.error, NotSent)
    assert "rpcx keys trust" in str(pair.client.within.error)


def test_a_broken_connection_during_the_handshake_says_so(pair):
    pair.meet(b"hello")
    pair.client.session.lost(ConnectionResetError("reset"))
    assert "during the TLS handshake" in str(pair.client.within.error)
    assert isinstance(pair.client.within.error.__cause__, ConnectionResetError)


def test_a_key_that_cannot_be_judged_is_nobodys(pair, monkeypatch):
    def judge(*_):
        raise ValueError("a certificate of version 7")

    monkeypatch.setattr(pair.client_side, "admit", judge)
    pair.meet(b"hello")
    said, _ = pair.talk()
    assert isinstance(pair.client.within.error, AuthenticationFailed)
    assert "version 7" in str(pair.client.within.error)
    assert only_a_hello(said)


def test_a_long_message_leaves_no_large_buffer_behind(pair):
    pair.meet(b"hello")
    pair.talk()
    pair.client.within.says.append(b"x" * (1 << 20))
    sealed = pair.client.session.outgoing()
    assert max(map(len, sealed)) < 70_000
    pair.server.gets(b"".join(sealed))
    assert pair.server.within.got == b"hello" + b"x" * (1 << 20)


def test_nothing_behind_a_changed_piece_is_read(pair):
    pair.meet(b"hello")
    pair.talk()
    pair.client.within.says.append(b"x" * 500_000)
    sealed = bytearray(pair.client.sends())
    sealed[100_000] ^= 1
    pair.server.gets(bytes(sealed))
    assert len(pair.server.within.got) < 100_000
    assert isinstance(pair.server.within.error, ProtocolError)


def test_the_end_of_tls_is_the_end_for_the_session_within(pair):
    trusting = pair.client_side.context
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting.wrap_bio(incoming, outgoing)
    pair.meet()
    for _ in range(2):
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        pair.server.gets(outgoing.read())
        incoming.write(pair.server.sends())
    tls.write(b"bye")
    with pytest.raises(ssl.SSLWantReadError):
        tls.unwrap()
    pair.server.gets(outgoing.read())
    assert pair.server.within.got == b"bye"
    assert pair.server.within.ended


def test_who_may_call_is_known_by_name(tmp_path):
    trust(tmp_path / "server", tmp_path / "client", "ann")
    strangers = Pair(tmp_path / "server", tmp_path / "client")
    strangers.meet(b"hello")
    strangers.talk()
    assert strangers.server.within.got == b"hello"
    assert strangers.server.facts.principal == "ann"
    assert not strangers.server.facts.owner
    assert strangers.server.facts.fingerprint == strangers.client_side.identity.fingerprint
    assert strangers.client.facts.fingerprint == strangers.server_side.identity.fingerprint
    assert strangers.client.facts.principal is None
