"""Strangers and bad clients: the one who errs pays, the others notice nothing."""

import socket
import time

import pytest

import rpcx
from rpcx.protocol.frames import HEADER, Kind, frame
from rpcx.protocol.handshake import MAGIC, Offer
from tests.end_to_end.served import Bank

LIMITS = rpcx.Limits(frame_seconds=0.3, handshake=0.3, message=1 << 20)


@pytest.fixture
def host():
    host = rpcx.Host(limits=LIMITS)
    host.register(Bank)
    host.listen("tcp://127.0.0.1:0", insecure=True)
    with host:
        yield host


@pytest.fixture
def stranger(host):
    address = host.urls[0].removeprefix("tcp://").split("?")[0]
    name, _, port = address.rpartition(":")
    with socket.create_connection((name, int(port)), timeout=5) as stranger:
        yield stranger


def everything(sock: socket.socket) -> bytes:
    """What the other side says until it closes."""
    said = b""
    try:
        while data := sock.recv(65536):
            said += data
    except ConnectionResetError:
        pass
    return said


def shake_hands(sock: socket.socket) -> None:
    sock.sendall(MAGIC + frame(Kind.HELLO, 0, Offer().to_bytes())[0])
    assert sock.recv(65536).startswith(MAGIC)


@pytest.fixture
def others(host):
    """A well-behaved client, which must be served before and after."""
    with rpcx.connect(host.urls[0], insecure=True) as server:
        bank = server.get(Bank)
        assert bank.add(1, 1) == 2
        yield
        assert bank.add(1, 1) == 2


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\0" * 64])
def test_who_does_not_speak_rpcx_gets_no_answer(host, others, stranger, words):
    stranger.sendall(words)
    assert everything(stranger) == b""


def test_who_says_nothing_is_dropped(host, others, stranger):
    assert everything(stranger) == b""


def test_who_sends_half_a_message_is_dropped(host, others, stranger):
    shake_hands(stranger)
    stranger.sendall(HEADER.pack(1000, Kind.CALL, 0, 0, 1) + b"x" * 10)
    assert b"not finished in time" in everything(stranger)


def test_a_message_over_the_limit_ends_the_connection_that_sent_it(host, others, stranger):
    shake_hands(stranger)
    stranger.sendall(HEADER.pack(1 << 30, Kind.CALL, 0, 0, 1))
    assert b"LimitExceeded" in everything(stranger)


def test_garbage_after_the_handshake_ends_the_connection(host, others, stranger):
    shake_hands(stranger)
    stranger.sendall(HEADER.pack(3, 99, 0, 0, 1) + b"abc")
    assert b"unknown kind" in everything(stranger)


def test_a_call_that_is_no_call_costs_its_sender_that_call(host, others, stranger):
    shake_hands(stranger)
    stranger.sendall(frame(Kind.CALL, 7, b"\xc1 this is no message")[0])
    length, kind, _, _, call_id = HEADER.unpack(stranger.recv(HEADER.size))
    assert (kind, call_id) == (Kind.FAULT, 7)
    stranger.recv(length)
    stranger.sendall(frame(Kind.PING, 3, b"")[0])
    assert HEADER.unpack(stranger.recv(HEADER.size))[1] == Kind.PONG


def test_an_argument_over_the_limit_is_an_error_here_and_nothing_is_lost(host):
    with rpcx.connect(host.urls[0], insecure=True) as server:
        bank = server.get(Bank)
        with pytest.raises(rpcx.LimitExceeded) as caught:
            bank.echo(b"x" * (2 << 20))
        assert str(1 << 20) in str(caught.value)
        assert bank.add(2, 2) == 4


def test_data_nested_too_deep_is_refused_and_nothing_is_lost(host):
    @rpcx.singleton("any")
    class Any_:
        def take(self, value):
            return "taken"

    host.register(Any_)
    deep: list = []
    for _ in range(200):
        deep = [deep]
    with rpcx.connect(host.urls[0], insecure=True) as server:
        thing = server.get(Any_)
        with pytest.raises((rpcx.LimitExceeded, rpcx.InvalidArguments)) as caught:
            thing.take(deep)
        assert "32" in str(caught.value)
        assert thing.take([[1]]) == "taken"


def test_a_client_learns_that_the_other_side_is_no_host():
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer() -> None:
            peer, _ = server.accept()
            peer.sendall(b"220 mail.example ESMTP\r\n")
            time.sleep(0.2)
            peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(rpcx.ProtocolError, match="does not speak rpcx"):
            rpcx.connect(f"tcp://127.0.0.1:{server.getsockname()[1]}", insecure=True)
        thread.join()
