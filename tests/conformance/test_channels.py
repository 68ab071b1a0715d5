"""Channels that break one rule each: the check names it. Those that keep them pass in tests/channels."""

import secrets
import time
from typing import Any

import pytest

from rpcx.abc import PeerFacts
from rpcx.channels.inproc import InprocChannel
from rpcx.channels.urls import parse
from rpcx.conformance import channels
from rpcx.errors import NotSent
from rpcx.interop.dotnet.channel import DotnetTcpChannel
from rpcx.interop.dotnet.ipc import DotnetIpcChannel
from rpcx.interop.pyro.channel import PyroChannel
from rpcx.testing import check_channel


class Through:
    """Stands for a stream or a listener; a subclass does something else."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Door(Through):
    """A listener; what it accepts is ``wrapped``."""

    wrapped: type[Through]

    def accept(self):
        accepted = self.real.accept()
        return self.wrapped(accepted) if accepted is not None else None


class Around(InprocChannel):
    """An inproc channel whose streams and listeners are somebody's own."""

    stream: type[Through] = Through
    door: type[Door] = Door

    def connect(self, address, timeout, *, insecure=False):
        return self.stream(super().connect(address, timeout, insecure=insecure))

    def listen(self, address, *, insecure=False):
        door = self.door(super().listen(address, insecure=insecure))
        door.wrapped = self.stream
        return door


@pytest.mark.parametrize(
    ("channel", "url"),
    [
        (DotnetTcpChannel(), "dotnet+tcp://127.0.0.1:0"),
        (DotnetIpcChannel(), f"dotnet+ipc://check-{secrets.token_hex(6)}"),
        (PyroChannel(), "pyro://127.0.0.1:0"),
    ],
    ids=["dotnet+tcp", "dotnet+ipc", "pyro"],
)
def test_a_channel_of_another_protocol_keeps_those_of_its_streams(channel, url):
    check_channel(channel, url, insecure=True)


def test_what_only_stands_around_a_channel_is_one():
    check_channel(Around(), "inproc://through")


class Misnamed(Around):
    name = "inprog"


class Waiting(Door):
    def accept(self):
        time.sleep(0.2)


class AlwaysSomebody(Door):
    def accept(self):
        return self.real.accept() or self.real


class NoFiles(Door):
    def filenos(self):
        return []


class Silent(Door):
    """Its files tell of nobody."""

    def __init__(self, real):
        super().__init__(real)
        self.bell = InprocChannel().listen(parse(f"inproc://bell-{id(self)}"))

    def filenos(self):
        return self.bell.filenos()

    def close(self):
        self.bell.close()
        self.real.close()


class Deaf(Door):
    """It takes nobody."""

    def accept(self):
        return None


class ClosesOnce(Door):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True
        self.real.close()


class Stranger(Through):
    facts = PeerFacts("tcp", "")


class Empty(Through):
    """Says that the end has come when there is nothing yet."""

    def receive(self, size):
        try:
            return self.real.receive(size)
        except BlockingIOError:
            return b""


class Patient(Through):
    """Waits for bytes."""

    def receive(self, size):
        try:
            return self.real.receive(size)
        except BlockingIOError:
            time.sleep(0.2)
            raise


class Greedy(Through):
    def receive(self, size):
        return self.real.receive(65536)


class Boasting(Through):
    def send(self, buffers):
        return self.real.send(buffers) + 1


class Losing(Through):
    """What does not fit is gone."""

    def send(self, buffers):
        try:
            self.real.send(buffers)
        except BlockingIOError:
            pass
        return sum(map(len, buffers))


class Exaggerating(Through):
    """It says that all went."""

    def send(self, buffers):
        self.real.send(buffers)
        return sum(map(len, buffers))


class Shuffling(Through):
    def send(self, buffers):
        return self.real.send(sorted(buffers, key=len))


class BytesOnly(Through):
    def send(self, buffers):
        return self.real.send([b"".join([part if type(part) is bytes else part.encode() for part in buffers])])


class Garbling(Through):
    def receive(self, size):
        return self.real.receive(size).upper()


class Polite(Through):
    """Goes on as if the other end were there."""

    def send(self, buffers):
        try:
            return self.real.send(buffers)
        except BlockingIOError:
            raise
        except OSError:
            return sum(map(len, buffers))


class Hasty(Through):
    """It does not wait for what it says to leave."""

    def send(self, buffers):
        if b"last words" in buffers:
            return 10
        return self.real.send(buffers)


class NoSocket(Through):
    """As the seam says, and asyncio needs more."""

    def __getattr__(self, name):
        if name == "socket":
            raise AttributeError("no socket")
        return super().__getattr__(name)


class Refusing(Around):
    def connect(self, address, timeout, *, insecure=False):
        raise PermissionError("not you")


class Shared(Around):
    """Listens twice."""

    def listen(self, address, *, insecure=False):
        try:
            return super().listen(address, insecure=insecure)
        except OSError:
            return super().listen(parse("inproc://elsewhere"))


class Dying(Around):
    """Raises another error where nobody listens."""

    def connect(self, address, timeout, *, insecure=False):
        try:
            return super().connect(address, timeout)
        except NotSent as error:
            raise TimeoutError("nobody") from error


class Lingering(Around):
    """Keeps its place."""

    def __init__(self):
        self.places = set()

    def listen(self, address, *, insecure=False):
        if address.location in self.places:
            raise OSError("taken, once and for all")
        self.places.add(address.location)
        return super().listen(address)


class OneForAll(Around):
    """All connections are the first."""

    first: Any = None
    kept: list[Any] = []

    def connect(self, address, timeout, *, insecure=False):
        made, first = super().connect(address, timeout), self.first
        type(self).first = first or made
        self.kept.append(made)
        return self.first


def with_stream(kind: type[Through]) -> type[Around]:
    return type(kind.__name__, (Around,), {"stream": kind})


def with_door(kind: type[Door]) -> type[Around]:
    return type(kind.__name__, (Around,), {"door": kind})


BROKEN = {
    Misnamed: "the channel's name is the URL's scheme",
    Refusing: "connect reaches the listener at its url",
    Shared: "listen raises OSError where somebody listens",
    Dying: "connect raises NotSent where nobody listens; instead: TimeoutError: nobody",
    Lingering: "a place is free again when its listener is closed",
    OneForAll: "each connection is a stream of its own",
    with_door(Waiting): "accept does not wait",
    with_door(AlwaysSomebody): "accept returns None when nobody waits",
    with_door(NoFiles): "filenos names what to watch for strangers",
    with_door(Silent): "accept returns who has connected, when one of the listener's filenos is readable",
    with_door(Deaf): "accept returns who has connected",
    with_door(ClosesOnce): "closing a listener twice is fine",
    with_stream(ClosesOnce): "closing a stream twice is fine",
    with_stream(Stranger): "facts say by which channel, and from where",
    with_stream(Empty): "receive raises BlockingIOError when there is nothing yet; instead: nothing was raised",
    with_stream(Patient): "receive does not wait",
    with_stream(Greedy): "receive gives as many bytes as were asked for at most",
    with_stream(Boasting): "send returns how many bytes went; instead: 4",
    with_stream(Losing): "send raises BlockingIOError when nothing fits",
    with_stream(Exaggerating): "bytes arrive; instead: ",
    with_stream(Shuffling): "buffers arrive in order, gathered",
    with_stream(BytesOnly): "send takes several buffers of any kind",
    with_stream(Garbling): "bytes arrive as they were sent",
    with_stream(Polite): "send raises OSError when the other end is closed",
    with_stream(Hasty): "what was sent before the end arrives, then b''",
    with_stream(NoSocket): "a stream has a socket, for asyncio",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_rule_is_named(kind, monkeypatch):
    monkeypatch.setattr(channels, "SECONDS", 0.3)
    monkeypatch.setattr(channels, "ENOUGH", 1 << 22)
    with pytest.raises(AssertionError) as told:
        check_channel(kind(), "inproc://broken")
    assert str(told.value).startswith(f"{kind.__name__}: {BROKEN[kind]}")
    while OneForAll.kept:
        OneForAll.kept.pop().close()
