"""Frames in whatever portions they come."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.framing import Frames, Operation, refusal, reply, request
from tests.interop.dotnet.vectors import SET_VALUE, SET_VALUE_REPLY

URL = "tcp://127.0.0.1:19010/app/RemoteObjectURL"
RECORDED_REQUEST = (
    bytes.fromhex("2e4e4554 0100 0000 0000 7a000000")
    + bytes.fromhex("0400 01 01 29000000") + URL.encode()
    + bytes.fromhex("0600 01 01 18000000") + b"application/octet-stream" + bytes.fromhex("0000")
    + SET_VALUE
)  # fmt: skip
RECORDED_REPLY = bytes.fromhex("2e4e4554 0100 0200 0000 1c000000 0000") + SET_VALUE_REPLY


def frames(*portions):
    reader = Frames()
    return [frame for portion in portions for frame in reader.receive(portion)]


def test_a_request_is_written_as_mono_writes_it():
    assert request(SET_VALUE, URL) == RECORDED_REQUEST
    assert len(RECORDED_REQUEST) == 219
    (frame,) = frames(RECORDED_REQUEST)
    assert (frame.operation, frame.uri, frame.body) == (Operation.REQUEST, URL, SET_VALUE)
    assert frame.content_type == "application/octet-stream"


def test_a_reply_is_written_as_mono_writes_it():
    assert reply(SET_VALUE_REPLY) == RECORDED_REPLY
    assert len(RECORDED_REPLY) == 44
    (frame,) = frames(RECORDED_REPLY)
    assert (frame.operation, frame.failure, frame.body) == (Operation.REPLY, None, SET_VALUE_REPLY)


def test_a_oneway_request_is_told_apart_by_its_operation():
    data = request(b"x", "u", oneway=True)
    assert data[6:8] == b"\x01\x00"
    assert frames(data)[0].operation is Operation.ONEWAY


@given(st.lists(st.integers(1, 60), max_size=12))
def test_portions_of_any_size_make_the_same_messages(sizes):
    stream = RECORDED_REQUEST + request(b"", "é", oneway=True) + chunked(b"ab", b"c") + RECORDED_REPLY
    portions, at = [], 0
    for size in [*sizes, len(stream)]:
        portions.append(stream[at : at + size])
        at += size
    found = frames(*portions)
    assert [frame.body for frame in found] == [SET_VALUE, b"", b"abc", SET_VALUE_REPLY]
    assert found[1].uri == "é"


def chunked(*chunks):
    body = b"".join(struct.pack("<i", len(chunk)) + chunk + b"\r\n" for chunk in (*chunks, b""))
    return bytes.fromhex("2e4e4554 0100 0200 0100 0000") + body


def test_a_refusal_says_why_and_closes():
    (frame,) = frames(refusal("too busy"))
    assert (frame.failure, frame.closes, frame.body) == ("too busy", True, b"")


def test_headers_that_are_not_known_are_skipped_by_their_form():
    headers = bytes.fromhex("0100 01 01000000 6b 00 02000000 7600  0900 02 07  0a00 03 0100  0b00 04 01000000  0c00 00")
    (frame,) = frames(bytes.fromhex("2e4e4554 0100 0200 0000 00000000") + headers + b"\0\0")
    assert frame.custom == {"k": "v"}  # the one in UTF-8, the other in UTF-16
    assert frame.failure is None


def test_a_status_without_a_phrase_is_a_failure_all_the_same():
    (frame,) = frames(bytes.fromhex("2e4e4554 0100 0200 0000 00000000 0200 03 0100 0000"))
    assert frame.failure


def test_it_is_known_how_much_is_missing():
    reader = Frames()
    assert reader.between
    assert not list(reader.receive(RECORDED_REQUEST[:100]))
    assert reader.wanted == len(RECORDED_REQUEST) - 100
    assert not reader.between


START = "2e4e4554 0100"


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("no .NET Remoting", b"GET / HTTP/1.1\r\n"),
        ("no .NET Remoting", b".X"),
        ("no .NET Remoting", bytes.fromhex("2e4e4554 0200")),
        ("operation 9", bytes.fromhex(START + "0900 0000 00000000")),
        ("in way 2", bytes.fromhex(START + "0000 0200 00000000")),
        ("of -1 bytes", bytes.fromhex(START + "0000 0000 ffffffff")),
        ("of 2147483647 bytes", bytes.fromhex(START + "0000 0000 ffffff7f")),
        ("form 9", bytes.fromhex(START + "0000 0000 00000000 0400 09")),
        ("encoding 7", bytes.fromhex(START + "0000 0000 00000000 0400 01 07 00000000")),
        ("of 65536 bytes", bytes.fromhex(START + "0000 0000 00000000 0400 01 01 00000100")),
        ("cannot be decoded", bytes.fromhex(START + "0000 0000 00000000 0400 01 01 01000000 ff")),
        ("headers", bytes.fromhex(START + "0000 0000 00000000" + "0c0000" * 70)),
        ("CR LF", bytes.fromhex(START + "0200 0100 0000 01000000 61 0000")),
        ("of 67108865 bytes", bytes.fromhex(START + "0200 0100 0000 01000004")),
    ],
)
def test_what_is_wrong_is_told(what, data):
    with pytest.raises(ProtocolError, match=what):
        frames(data)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_protocol_error_or_messages(data):
    for start in (b"", bytes.fromhex(START), RECORDED_REQUEST[:20]):
        try:
            frames(start + data)
        except ProtocolError:
            pass
