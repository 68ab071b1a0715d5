"""What tests of channels share: `rpcx.testing.check_channel`, and both ends of a connection."""

from rpcx.abc import Listener, Stream
from rpcx.conformance import channels
from rpcx.conformance.channels import check_channel

__all__ = ["accepted", "check_channel", "received"]


def accepted(listener: Listener) -> Stream:
    """The next stream, waiting for the listener's files as a driver does."""
    stream = channels.accepted(listener)
    assert stream is not None, "nobody came"
    return stream


def received(stream: Stream, size: int) -> bytes:
    """Exactly ``size`` bytes, or fewer at the end."""
    return channels.received(stream, size)[0]
