"""What every channel promises (`rpcx.abc.Channel`), for ours and for those of others."""

import select
import time

import pytest

from rpcx.abc import Listener, Stream
from rpcx.channels.urls import parse
from rpcx.errors import NotSent


def accepted(listener: Listener, seconds: float = 5.0) -> Stream:
    """The next stream, waiting for the listener's files as a driver does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        select.select(list(listener.filenos()), [], [], 0.2)
        stream = listener.accept()
        if stream is not None:
            return stream
    raise AssertionError("nobody came")


def received(stream: Stream, size: int) -> bytes:
    """Exactly ``size`` bytes, or fewer at the end."""
    data = b""
    while len(data) < size:
        select.select([stream.fileno()], [], [], 5)
        try:
            piece = stream.receive(65536)
        except BlockingIOError:
            continue
        if not piece:
            break
        data += piece
    return data


def check_channel(channel, url: str) -> None:
    """Everything at once: a caller's own channel passes this in one test."""
    listener = channel.listen(parse(url), insecure=True)
    try:
        assert parse(listener.url).scheme == channel.name
        assert listener.accept() is None
        with pytest.raises(OSError):
            channel.listen(parse(listener.url), insecure=True)
        near = channel.connect(parse(listener.url), 5.0, insecure=True)
        far = accepted(listener)
        try:
            _check_streams(near, far)
        finally:
            near.close()
            far.close()
            near.close()
    finally:
        listener.close()
        listener.close()
    with pytest.raises(NotSent):
        channel.connect(parse(listener.url), 1.0, insecure=True)


def _check_streams(near: Stream, far: Stream) -> None:
    with pytest.raises(BlockingIOError):
        near.receive(10)
    assert near.send([b"one"]) == 3
    assert received(far, 3) == b"one"
    parts = [b"head", bytearray(b"x" * 100), memoryview(b"y" * 50_000)]
    left = b"".join(parts)
    sent = near.send(parts)
    assert received(far, sent) == left[:sent]
    _fill(far, near)
    assert near.facts.channel == far.facts.channel
    near.close()
    assert received(far, 1) == b""


def _fill(sender: Stream, reader: Stream) -> None:
    """More than fits: the sender is told, and all that it sent arrives."""
    block = bytes(range(256)) * 1024
    total = 0
    with pytest.raises(BlockingIOError):
        while total < 1 << 28:
            total += sender.send([block])
    assert len(received(reader, total)) == total
