"""Hosts that are hostile to their clients: a client may hear wrong values, and loses no more than that connection.

What a host says is scripted, frame by frame, behind a handshake that is in order.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import msgpack
import pytest

import rpcx
from rpcx.protocol.connection import Connection
from rpcx.protocol.frames import HEADER, FrameReader, Kind, frame
from rpcx.protocol.handshake import Limits, Offer
from tests.attacks.cost import growth
from tests.attacks.test_floods import eventually

MIB = 1 << 20
CALLS = (Kind.CALL, Kind.ONEWAY, Kind.BATCH, Kind.BURST)

Script = Callable[[int, int], bytes | None]  # of a frame's kind and id: what to say; None: nothing more for ever


@rpcx.singleton("bank")
class Bank:
    """What the client believes to be there."""

    def total(self) -> int: ...
    def anything(self): ...
    def ticks(self) -> Iterator[int]: ...


class HostileHost:
    """Takes connections and answers each call by its script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connections = 0
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._door.getsockname()[1]}"
        self._over = ExitStack()
        self._threads = [threading.Thread(target=self._welcome)]
        self._threads[0].start()

    def _welcome(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._door.accept()
                self._over.callback(sock.close)
                self._over.callback(lambda sock=sock: suppressed(lambda: sock.shutdown(socket.SHUT_RDWR)))
                self.connections += 1
                thread = threading.Thread(target=self._talk, args=(sock,))
                self._threads.append(thread)
                thread.start()

    def _talk(self, sock: socket.socket) -> None:
        with suppress(OSError):
            limits = Limits()
            polite = Connection("server", Offer(name="bank", message=limits.message), limits, 0.0)
            welcome: list = []
            while not welcome:
                polite.receive(sock.recv(65536), 0.0)
                welcome = list(polite.outgoing())
            sock.sendall(b"".join(welcome))
            reader = FrameReader(limits.message)
            while data := sock.recv(65536):
                for kind, number, _, _ in reader.read(data):
                    if kind in CALLS and (said := self.script(kind, number)) is not None:
                        sock.sendall(said)

    def close(self) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._threads[0].join(5)
        self._over.close()
        for thread in self._threads:
            thread.join(5)


def suppressed(work: Callable[[], object]) -> None:
    with suppress(OSError):
        work()


@contextmanager
def hostile(script: Script) -> Iterator[HostileHost]:
    host = HostileHost(script)
    try:
        yield host
    finally:
        host.close()


@contextmanager
def client(host: HostileHost, **limits: float) -> Iterator[Bank]:
    bounds = rpcx.Limits(**limits)
    with rpcx.connect(host.url, insecure=True, timeout=5, limits=bounds) as server, rpcx.options(timeout=5):
        yield server.get(Bank)


def returned(number: int, body: bytes) -> bytes:
    return frame(Kind.RETURN, number, body)[0]


def answering(body: bytes) -> Script:
    return lambda _, number: returned(number, body)


BOMBS = {
    "empty lists": b"\x91\xdd" + (1 << 20).to_bytes(4, "big") + b"\x90" * (1 << 20),
    "empty maps": b"\x91\xdd" + (1 << 20).to_bytes(4, "big") + b"\x80" * (1 << 20),
    "depth": b"\x91" * (1 << 20) + b"\xc0",
    "a length that lies": b"\x91\xdd\xff\xff\xff\xff\xc0",
    "a text that lies": b"\x91\xdb\xff\xff\xff\xffabc",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_result_that_is_a_bomb_is_an_error_and_takes_no_memory(bomb):
    said = (rpcx.LimitExceeded, rpcx.ProtocolError)
    with hostile(answering(bomb)) as host, client(host) as bank, growth(), pytest.raises(said):
        bank.anything()


def test_a_length_that_lies_takes_no_memory_and_ends_in_time():
    lie = HEADER.pack(64 * MIB - 64, Kind.RETURN, 0, 0, 1) + b"x" * 5000
    with hostile(lambda *_: lie) as host, client(host, frame_seconds=0.5) as bank, growth():
        begun = time.monotonic()
        with pytest.raises(rpcx.MaybeExecuted):
            bank.anything()
        assert time.monotonic() - begun < 3


def test_a_message_over_the_clients_limit_is_refused_before_it_comes():
    lie = HEADER.pack(1 << 30, Kind.RETURN, 0, 0, 1)
    with hostile(lambda *_: lie) as host, client(host) as bank, growth(), pytest.raises(rpcx.RpcxError):
        bank.anything()


@pytest.mark.parametrize(
    "name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException", "os.system", "builtins.eval", "Bank"]
)
def test_no_failure_makes_anything_but_an_exception(name):
    """Whatever the host calls it; nothing outside of `Exception` is raised, and nothing is looked up by its name."""
    fault = [name, "text", ["echo owned"], None, None, []]

    def script(kind: int, number: int) -> bytes:
        return frame(Kind.FAULT, number, msgpack.packb(fault))[0]

    with hostile(script) as host, client(host) as bank, pytest.raises(rpcx.RemoteError) as raised:
        bank.anything()
    assert (type(raised.value), raised.value.type_name) == (rpcx.RemoteError, name)
    fault[0] = "ValueError"
    with hostile(script) as host, client(host) as bank, pytest.raises(ValueError, match="echo owned"):
        bank.anything()  # the shape is right: what was refused was the name


def test_a_value_of_another_type_than_was_declared_is_an_error():
    wrong = msgpack.packb(["not a number"])
    with hostile(answering(wrong)) as host, client(host) as bank, pytest.raises(rpcx.RpcxError):
        bank.total()


NO_VALUES = {"5": 5, "a map": {}, "a map of one": {0: 1}, "nothing": [], "a text": "a", "two": [1, 2], "nil": None}


@pytest.mark.parametrize("body", NO_VALUES.values(), ids=NO_VALUES)
def test_an_answer_that_is_not_one_value_is_an_error_however_it_is_waited_for(body):
    said = msgpack.packb(body)

    def script(kind: int, number: int) -> bytes:
        return returned(number, said) if not script.streams else frame(Kind.ITEM, number, said)[0]

    script.streams = False
    with hostile(script) as host, client(host) as bank:
        with pytest.raises(rpcx.ProtocolError, match="a list of one value"):
            bank.anything()
        with pytest.raises(rpcx.ProtocolError, match="a list of one value"):
            rpcx.future(bank.anything).result()
        script.streams = True
        with pytest.raises(rpcx.ProtocolError, match="a list of one value"):
            next(iter(bank.ticks()))


UNASKED = {
    "an answer to no call": returned(77, b"\x91\xc0"),
    "an item of what is no stream": frame(Kind.ITEM, 1, b"\x91\xc0")[0],
    "a handshake": frame(Kind.WELCOME, 0, b"{}")[0],
    "an unknown kind": frame(99, 1, b"")[0],
    "pings without end": frame(Kind.PING, 7, b"")[0] * 50,
    "calls of what the client never handed out": frame(Kind.CALL, 5, msgpack.packb(["bank", "total", [], 5.0]))[0],
}


@pytest.mark.parametrize("said", UNASKED.values(), ids=UNASKED)
def test_what_nobody_asked_for_ends_that_connection_at_most(said):
    answers = iter([said])

    def script(kind: int, number: int) -> bytes:
        return next(answers, b"") + returned(number, b"\x91\x05")

    with hostile(script) as host, client(host) as bank, growth():
        with suppress(rpcx.RpcxError):
            bank.total()
        assert eventually(lambda: again(bank) == 5)
        assert host.connections <= 2


def again(bank: Bank) -> int:
    try:
        return bank.total()
    except rpcx.RpcxError:
        return 0


def test_items_beyond_what_was_asked_for_end_the_connection():
    flood = b"".join(frame(Kind.ITEM, 1, b"\x91\x01")[0] for _ in range(200))
    with hostile(lambda *_: flood) as host, client(host, window=8) as bank, growth(), pytest.raises(rpcx.RpcxError):
        for item in bank.ticks():
            assert item == 1


def test_a_host_that_says_nothing_costs_a_client_its_timeout():
    soon = rpcx.options(timeout=0.3)
    with hostile(lambda *_: None) as host, client(host) as bank, soon, pytest.raises(rpcx.CallTimeout):
        bank.total()
