"""The chain a message passes between the remoting layer and the protocol, composed once per connection.

    caller:  message sinks, first to last ─▶ formatter ─▶ byte sinks, first to last ─▶ wire
    server:  message sinks, last to first ◀─ formatter ◀─ byte sinks, last to first ◀─ wire

A message sink is a pair of pure transforms (`rpcx.abc.MessageSink`): ``request`` hands a call on with what it
wants to remember, or answers it; ``reply`` sees the answer on its way back, in reverse order. A byte sink
sees the bytes a formatter made. What is absent costs nothing: without byte sinks `encode` *is* the formatter's.

Sinks are negotiated by name and order, since most need their counterpart; one that does not (a stopwatch)
says so with ``local = True``.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final

from rpcx.abc import Buffer, ByteSink, Formatter, MessageSink, Values
from rpcx.messages import Call, Fault, Reply, Return
from rpcx.plugins import sink as find_sink
from rpcx.sinks.lowering import refusing
from rpcx.sinks.values import Values as PlainValues

COUNT: Final = Struct("!I")
SCALARS_ONLY: Final = PlainValues(lambda _: None, lambda fields: fields)  # never asked for a reference

Sink = MessageSink[Any] | ByteSink  # Any: each remembers its own
States = list[tuple[Any, Any]]  # (sink, what it remembers), in the order the call met them
Encode = Callable[[object, Values], tuple[bytes, Sequence[Buffer]]]
Pack = Callable[[list[Any]], bytes]
Decode = Callable[[bytes, Sequence[Buffer], Values], object]


class Chain:
    """Formatter and sinks of one connection."""

    def __init__(self, formatter: Formatter, sinks: Sequence[Sink] = ()) -> None:
        self.message_sinks: list[MessageSink[Any]] = [s for s in sinks if hasattr(s, "request")]  # type: ignore[misc]  # told apart by what they have
        byte_sinks: list[ByteSink] = [s for s in sinks if hasattr(s, "wrap")]  # type: ignore[misc]  # likewise
        self.encode: Encode = formatter.encode
        self.decode: Decode = formatter.decode if getattr(formatter, "sound", False) else refusing(formatter.decode)
        #: The same for an envelope of scalars in lists, which needs neither segments nor `Values`.
        self.pack: Pack = getattr(formatter, "pack_plain", self._pack)
        self.has_sinks = bool(byte_sinks or self.message_sinks)
        if byte_sinks:
            encode, decode = _wrapping(formatter, byte_sinks)
            self.encode, self.decode = encode, refusing(decode)
            self.pack = self._pack

    def _pack(self, envelope: list[Any]) -> bytes:
        return self.encode(envelope, SCALARS_ONLY)[0]

    # --- the caller's side ---------------------------------------------------------------------------------

    def request(self, call: Call) -> "tuple[Call, States] | Return | Fault":
        """A call on its way out: as it leaves, or a sink's answer to it."""
        return _descend(self.message_sinks, call)

    def reply(self, reply: Reply, states: States) -> Reply:
        """Its answer, on its way to the caller."""
        return _ascend(reply, states)

    # --- the server's side ---------------------------------------------------------------------------------

    def inward(self, call: Call) -> "tuple[Call, States] | Return | Fault":
        """A call on its way in: mirrored, so that the sink next to the wire is the same on both sides."""
        return _descend(self.message_sinks[::-1], call)

    def outward(self, reply: Reply, states: States) -> Reply:
        """The answer to a call that came in."""
        return _ascend(reply, states)


def _descend(sinks: Sequence[MessageSink[Any]], call: Call) -> "tuple[Call, States] | Return | Fault":
    states: States = []
    for sink in sinks:
        passed = sink.request(call)
        if isinstance(passed, Return | Fault):
            return _ascend(passed, states)  # those it had passed see the answer too
        call, state = passed
        states.append((sink, state))
    return call, states


def _ascend(reply: Reply, states: States) -> Reply:
    for sink, state in reversed(states):
        reply = sink.reply(reply, state)
    return reply


def _wrapping(formatter: Formatter, sinks: Sequence[ByteSink]) -> tuple[Encode, Decode]:
    """Encode and decode through byte sinks. Segments join the body, so that nothing passes a sink by."""

    def encode(value: object, values: Values) -> tuple[bytes, Sequence[Buffer]]:
        body, segments = formatter.encode(value, values)
        data = b"".join(COUNT.pack(len(part)) + bytes(part) for part in (body, *segments))
        for sink in sinks:
            data = sink.wrap(data)
        return data, ()

    def decode(body: bytes, segments: Sequence[Buffer], values: Values) -> object:
        if segments:
            raise ValueError("segments beside a chain with byte sinks")
        for sink in reversed(sinks):
            body = sink.unwrap(body)
        parts = _split(body)
        return formatter.decode(parts[0], parts[1:], values)

    return encode, decode


def _split(data: bytes) -> list[bytes]:
    parts, position = [], 0
    while position < len(data):
        if len(data) - position < COUNT.size:
            raise ValueError("cut off in a part's length")
        (size,) = COUNT.unpack_from(data, position)
        position += COUNT.size
        if size > len(data) - position:
            raise ValueError(f"a part claims {size} bytes, {len(data) - position} are there")
        parts.append(data[position : position + size])
        position += size
    if not parts:
        raise ValueError("no body")
    return parts


def load_sinks(sinks: Sequence[Sink | str]) -> list[Sink]:
    """Sinks as given: objects, or names of entry points in ``rpcx.sinks``."""
    loaded: list[Any] = [find_sink(sink)() if isinstance(sink, str) else sink for sink in sinks]
    for sink in loaded:
        if not hasattr(sink, "name") or not (hasattr(sink, "request") or hasattr(sink, "wrap")):
            raise TypeError(f"{sink!r} is no sink: it needs a name and request/reply, or wrap/unwrap")
    return loaded


def for_connection(sinks: Sequence[Sink]) -> list[Sink]:
    """Sinks for one connection: one that has ``connected()`` gives an own one to each."""
    given: Sequence[Any] = sinks  # Any: told apart by what they have
    return [sink.connected() if hasattr(sink, "connected") else sink for sink in given]


def negotiated(sinks: Sequence[Sink]) -> tuple[str, ...]:
    """The names both ends must agree on."""
    return tuple(sink.name for sink in sinks if not getattr(sink, "local", False))
