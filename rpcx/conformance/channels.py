"""What a channel promises (`rpcx.abc.Channel`, `Listener`, `Stream`)."""

import asyncio
import contextlib
import queue
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from rpcx.abc import Address, Buffer, Channel, Listener, PeerFacts, Session, Stream
from rpcx.channels.urls import parse
from rpcx.conformance.lines import LineCaller, LineSession
from rpcx.conformance.rules import SECONDS, Rules
from rpcx.drivers.aio import AioPump
from rpcx.drivers.threads import Pump
from rpcx.errors import NotSent
from rpcx.realm import secured

BLOCK: Final = bytes(range(256)) * 1024  # 256 KiB
ENOUGH: Final = 1 << 28  # bytes that nothing may take from a sender while nobody reads
LINES: Final = (b"one\n", b"block\n", b"x" * (1 << 20) + b"\n", b"quit\n")  # the third does not fit into any buffer
ANSWERS: Final = [b"ONE", b"BLOCK", b"X" * (1 << 20), b"bye", None]  # and the end


def check_channel(channel: Channel, url: str, *, insecure: bool = False) -> None:
    """Whether a channel keeps its rules: at its seam, and under both drivers. Takes a second or so.

    Args:
        channel: yours.
        url: where to listen: ``tcp://127.0.0.1:0``. Nobody may listen there yet.
        insecure: as in `rpcx.Host.listen`.

    Raises:
        AssertionError: names the rule that is broken.
    """
    check = _Check(channel, insecure=insecure)
    try:
        listener = check.listening(parse(url))
        check.door(listener, url)
        check.strangers(listener)
        near, far = check.joined(listener)
        check.quiet(near)
        check.carries(near, far)
        check.full(far, near)
        check.end(near, far)
        check.closed(listener)
        if not hasattr(channel, "session"):  # a Speaker's streams carry its own protocol only
            check.driven("threads", _under_threads)
            check.driven("asyncio", _under_asyncio)
    finally:
        check.close()


class _Check(Rules):
    """The rules, each as a method."""

    def __init__(self, channel: Channel, *, insecure: bool) -> None:
        super().__init__(channel)
        self._channel = channel
        self._insecure = insecure
        self._address: Address  # where it listened
        self._opened: list[Listener | Stream] = []

    def close(self) -> None:
        """Close whatever is open still: a rule that is broken leaves nothing behind."""
        for end in self._opened:
            with contextlib.suppress(Exception):
                end.close()

    # --- opening -----------------------------------------------------------------------------------------------

    def listening(self, address: Address) -> Listener:
        with self.works("listen opens a door"):
            listener = self._channel.listen(address, insecure=self._insecure)
        self._opened.append(listener)
        with self.works("Listener.url is a URL"):
            self._address = parse(listener.url)
        return listener

    def door(self, listener: Listener, url: str) -> None:
        scheme = self._address.scheme
        self.holds(scheme == self._channel.name == parse(url).scheme, "the channel's name is the URL's scheme", scheme)
        begun = time.monotonic()
        accepted = listener.accept()
        self.holds(accepted is None, "accept returns None when nobody waits", accepted)
        self.holds(time.monotonic() - begun < SECONDS / 2, "accept does not wait")
        self.holds(listener.filenos(), "filenos names what to watch for strangers")
        with self.raises(OSError, "listen raises OSError where somebody listens"):
            self._opened.append(self._channel.listen(self._address, insecure=self._insecure))
        while (knocked := listener.accept()) is not None:  # to find out whether somebody listens
            knocked.close()

    def connected(self) -> Stream:
        with self.works("connect reaches the listener at its url"):
            stream = self._channel.connect(self._address, SECONDS, insecure=self._insecure)
        self._opened.append(stream)
        return stream

    def accepted(self, listener: Listener) -> Stream:
        stream = accepted(listener)
        if stream is None:
            raise self.broken("accept returns who has connected, when one of the listener's filenos is readable")
        self._opened.append(stream)
        return stream

    def joined(self, listener: Listener) -> tuple[Stream, Stream]:
        near = self.connected()
        far = self.accepted(listener)
        for end in (near, far):
            facts: Any = end.facts
            known = isinstance(facts, PeerFacts) and facts.channel == self._channel.name and facts.address
            self.holds(known, "facts say by which channel, and from where", facts)
            self.holds(isinstance(getattr(end, "socket", None), socket.socket), "a stream has a socket, for asyncio")
        return near, far

    def strangers(self, listener: Listener) -> None:
        """Several who came before one of them was accepted."""
        near = [self.connected() for _ in range(3)]
        far = [self.accepted(listener) for _ in near]
        for number, stream in enumerate(near):
            stream.send([b"%d" % number])
        said = sorted(received(stream, 1)[0] for stream in far)
        self.holds(said == [b"0", b"1", b"2"], "each connection is a stream of its own", said)
        for stream in (*near, *far):
            stream.close()

    # --- bytes -------------------------------------------------------------------------------------------------

    def quiet(self, stream: Stream) -> None:
        begun = time.monotonic()
        with self.raises(BlockingIOError, "receive raises BlockingIOError when there is nothing yet"):
            stream.receive(10)
        self.holds(time.monotonic() - begun < SECONDS / 2, "receive does not wait")
        self.holds(waits([stream.fileno()], selectors.EVENT_WRITE), "fileno can be written to when there is room")

    def carries(self, near: Stream, far: Stream) -> None:
        sent = near.send([b"one"])
        self.holds(sent == 3, "send returns how many bytes went", sent)
        self.holds(waits([far.fileno()], selectors.EVENT_READ), "fileno can be read when bytes have come")
        piece = far.receive(2)
        self.holds(len(piece) <= 2, "receive gives as many bytes as were asked for at most", piece)
        rest = self.received(far, 3 - len(piece))
        self.holds(piece + rest == b"one", "bytes arrive as they were sent", piece + rest)
        parts: list[Buffer] = [b"head", bytearray(b"x" * 100), memoryview(b"y" * 50_000), b"", b"tail"]
        whole = b"".join(parts)
        with self.works("send takes several buffers of any kind"):
            sent = far.send(parts)
        self.holds(0 < sent <= len(whole), "send returns how many bytes went", sent)
        self.holds(self.received(near, sent) == whole[:sent], "buffers arrive in order, gathered")

    def full(self, sender: Stream, reader: Stream) -> None:
        """More than fits: the sender is told, and exactly what it sent arrives."""
        sizes: list[int] = []
        with self.raises(BlockingIOError, "send raises BlockingIOError when nothing fits"):
            while sum(sizes) < ENOUGH:
                sizes.append(sender.send([BLOCK]))
        got = self.received(reader, sum(sizes))
        self.holds(got == b"".join(BLOCK[:size] for size in sizes), "what send said went arrives, and as it was sent")
        with self.raises(BlockingIOError, "nothing arrives that was not sent"):
            reader.receive(1)
        self.holds(waits([sender.fileno()], selectors.EVENT_WRITE), "a full stream has room when its bytes were read")

    def end(self, near: Stream, far: Stream) -> None:
        near.send([b"last words"])
        for _ in range(2):
            with self.works("closing a stream twice is fine"):
                near.close()
        said = self.received(far, 100)
        self.holds(said == b"last words", "what was sent before the end arrives, then b''", said)
        deadline = time.monotonic() + SECONDS
        with self.raises(OSError, "send raises OSError when the other end is closed"):
            while time.monotonic() < deadline:
                try:
                    far.send([b"is anybody there?"])
                except BlockingIOError:
                    time.sleep(0.001)

    def received(self, stream: Stream, size: int) -> bytes:
        data, ended = received(stream, size)
        self.holds(ended or len(data) == size, "bytes arrive", f"{len(data)} of {size} within {SECONDS:g} s")
        return data

    def closed(self, listener: Listener) -> None:
        for _ in range(2):
            with self.works("closing a listener twice is fine"):
                listener.close()
        begun = time.monotonic()
        with self.raises(NotSent, "connect raises NotSent where nobody listens"):
            self._opened.append(self._channel.connect(self._address, 1.0, insecure=self._insecure))
        self.holds(time.monotonic() - begun < 1.0 + SECONDS / 2, "connect takes no longer than its timeout")
        with self.works("a place is free again when its listener is closed"):
            self._channel.listen(self._address, insecure=self._insecure).close()

    # --- drivers -----------------------------------------------------------------------------------------------

    def driven(self, driver: str, converse: "Callable[[Listener, Callable[[], Stream]], list[bytes | None]]") -> None:
        """A session's lines there and back, a long one too, and the end."""
        rule = f"a session is carried under {driver}"
        listener = self.listening(self._address)
        with self.works(rule):
            heard = converse(listener, self.connected)
        listener.close()
        self.holds(heard == ANSWERS, rule, [len(line) if line is not None else "the end" for line in heard])


def _welcome(_: Listener, stream: Stream) -> Session:
    return secured(stream, LineSession())


def _under_threads(listener: Listener, connected: Callable[[], Stream]) -> list[bytes | None]:
    heard: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    host, client = Pump("check-host", callers_lead=False, accept=_welcome), Pump("check-client", callers_lead=False)
    try:
        host.listen(listener)
        stream, caller = connected(), LineCaller(heard.put)
        client.add(stream, secured(stream, caller))
        host.start()
        client.start()
        answers = []
        for line in LINES:
            caller.say(line)
            answers.append(heard.get(timeout=SECONDS))
        return [*answers, heard.get(timeout=SECONDS)]
    finally:
        client.close()
        host.close()


def _under_asyncio(listener: Listener, connected: Callable[[], Stream]) -> list[bytes | None]:
    async def converse() -> list[bytes | None]:
        heard: asyncio.Queue[bytes | None] = asyncio.Queue()
        host, client = AioPump(_welcome), AioPump()
        try:
            host.listen(listener)
            _, stream = await client.dial(lambda: (None, connected()))
            caller = LineCaller(heard.put_nowait)
            await client.add(stream, secured(stream, caller))
            async with asyncio.timeout(SECONDS):
                answers = []
                for line in LINES:
                    caller.say(line)
                    answers.append(await heard.get())
                return [*answers, await heard.get()]
        finally:
            await client.close()
            await host.close()

    return asyncio.run(converse())


def accepted(listener: Listener) -> Stream | None:
    """The next stranger, waiting for the listener's files as a driver does; None if nobody comes in time."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if waits(listener.filenos(), selectors.EVENT_READ, deadline - time.monotonic()):
            stream = listener.accept()
            if stream is not None:
                return stream
    return None


def received(stream: Stream, size: int) -> tuple[bytes, bool]:
    """``size`` bytes, or those that came in time or before the end; and whether that came."""
    data = bytearray()
    deadline = time.monotonic() + SECONDS
    while len(data) < size and time.monotonic() < deadline:
        waits([stream.fileno()], selectors.EVENT_READ, deadline - time.monotonic())
        try:
            piece = stream.receive(min(65536, size - len(data)))
        except BlockingIOError:
            continue
        if not piece:
            return bytes(data), True
        data += piece
    return bytes(data), False


def waits(filenos: Sequence[int], event: int, seconds: float = SECONDS) -> bool:
    """Whether one of ``filenos`` is ready for ``event`` in time."""
    with selectors.DefaultSelector() as selector:
        for fileno in filenos:
            selector.register(fileno, event)
        return bool(selector.select(max(seconds, 0.0)))
