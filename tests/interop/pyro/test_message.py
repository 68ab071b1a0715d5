"""Messages as bytes, with Pyro5's own library as the judge, and hostile ones."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from Pyro5 import protocol

from rpcx.errors import LimitExceeded, ProtocolError, RpcxError
from rpcx.interop.pyro import message
from rpcx.interop.pyro.message import HEADER, Message, Messages, write

SAMPLE = Message(message.INVOKE, 1, 7, b"body", message.ONEWAY, {"STRM": b"abc"})


def test_pyro5_reads_what_we_write():
    data = write(SAMPLE)
    read = protocol.ReceivingMessage(data[: HEADER.size], data[HEADER.size :])
    assert (read.type, read.serializer_id, read.seq, read.flags) == (4, 1, 7, protocol.FLAGS_ONEWAY)
    assert bytes(read.data) == b"body"
    assert {name: bytes(value) for name, value in read.annotations.items()} == {"STRM": b"abc"}


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_what_pyro5_writes_is_read_in_any_pieces(step):
    sent = protocol.SendingMessage(4, 0, 9, 3, b"x" * 50, {"ABCD": b"12"}).data * 2
    reader = Messages()
    found = [m for at in range(0, len(sent), step) for m in reader.receive(sent[at : at + step])]
    assert [(m.kind, m.seq, m.serializer, m.body, m.annotations) for m in found] == [
        (4, 9, 3, b"x" * 50, {"ABCD": b"12"})
    ] * 2
    assert reader.between


def test_a_compressed_body_is_inflated():
    packed = zlib.compress(b"x" * 1000)
    (read,) = Messages().receive(write(Message(4, 1, 1, packed, message.COMPRESSED)))
    assert read.body == b"x" * 1000
    assert not read.flags & message.COMPRESSED


def test_a_body_may_not_grow_beyond_the_limit():
    bomb = zlib.compress(bytes(10_000_000))
    with pytest.raises(LimitExceeded, match="grows"):
        Messages(100_000).receive(write(Message(4, 1, 1, bomb, message.COMPRESSED)))


def test_a_long_message_is_refused_at_its_header():
    header = HEADER.pack(b"PYRO", 502, 4, 1, 0, 0, 0xFFFFFFFF, 0, bytes(16), 0, 0x4DC5)
    with pytest.raises(LimitExceeded, match="4294967295"):
        Messages().receive(header)


@pytest.mark.parametrize(
    ("at", "value", "text"),
    [(0, b"HTTP", "no message"), (4, b"\0\1", "version 1"), (6, b"\x63", "no message"), (38, b"xx", "no message")],
)
def test_what_is_not_pyro5_is_refused(at, value, text):
    data = bytearray(write(SAMPLE))
    data[at : at + len(value)] = value
    with pytest.raises(ProtocolError, match=text):
        Messages().receive(bytes(data))


@pytest.mark.parametrize("chunk", [b"STRM\0\0\0\xff", b"STR", b"\xff\xff\xff\xff\0\0\0\0"])
def test_annotations_stay_within_their_length(chunk):
    header = HEADER.pack(b"PYRO", 502, 4, 1, 0, 0, 0, len(chunk), bytes(16), 0, 0x4DC5)
    with pytest.raises(ProtocolError, match="annotation"):
        Messages().receive(header + chunk)


@given(st.data())
def test_mutants_are_read_or_refused(data):
    raw = bytearray(write(SAMPLE))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    reader = Messages(1000)
    try:
        reader.receive(bytes(raw))
    except RpcxError:
        return
    assert reader.wanted <= 1000 + HEADER.size
