"""Calls of every kind through a relay that reads and changes what it can."""

import asyncio
import contextlib
import socket
import threading

import pytest

import rpcx
import rpcx.aio
from rpcx.errors import RpcxError
from rpcx.messages import Call, Fault, Return
from rpcx.protocol.frames import HEADER
from rpcx.security import keyring
from rpcx.security.cards import Cards
from rpcx.security.envelope_sink import EnvelopeSink
from rpcx.security.identity import own_identity
from rpcx.testing import check_sink

SECRET = b"the account is 4711-0815"


class Relay:
    """Passes bytes on, notes them, and changes those of one direction as told."""

    def __init__(self, to):
        self.to = to
        self.seen = bytearray()
        self.change = lambda data: data
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self._open = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                near, _ = self.door.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            self._open += [near, far]
            for source, target, change in ((near, far, True), (far, near, False)):
                thread = threading.Thread(target=self._pump, args=(source, target, change))
                self._threads.append(thread)
                thread.start()

    def _pump(self, source, target, change):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.seen += data
                target.sendall(self.change(data) if change else data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self):
        with contextlib.suppress(OSError):
            self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._open:
            each.close()


@rpcx.singleton("vault")
class Vault:
    def echo(self, value: object) -> object:
        return value

    def fail(self) -> None:
        raise ValueError(SECRET.decode())

    def count(self, most: int):
        yield from range(most)

    def back(self, callback):
        return callback(SECRET)

    @rpcx.oneway
    def note(self, event: bytes) -> None:
        NOTED.append(event)


NOTED: list[bytes] = []


@pytest.fixture
def homes(tmp_path):
    """Two users who trust each other and have each other's cards."""
    ann, bank = tmp_path / "ann", tmp_path / "bank"
    for one, other, name in ((ann, bank, "bank"), (bank, ann, "ann")):
        keyring.trust(one, own_identity(other).certificate_file.read_bytes(), name)
        Cards(one).take(Cards(other).own_card(), name)
    return ann, bank


@pytest.fixture
def relay(homes):
    host = rpcx.Host(sinks=[EnvelopeSink(directory=homes[1])])
    host.register(Vault)
    url = host.listen("tcp://127.0.0.1:0", insecure=True)
    between = Relay(int(str(url).rsplit(":", 1)[1].split("/")[0].split("?")[0]))
    host.start()
    try:
        yield between
    finally:
        between.close()
        host.close()


def connect(relay, homes, **changes):
    sinks = changes.pop("sinks", None) or [EnvelopeSink("bank", directory=homes[0])]
    return rpcx.connect(f"tcp://127.0.0.1:{relay.port}", insecure=True, sinks=sinks, **changes)


def test_every_kind_of_call_passes_and_the_relay_reads_none(relay, homes):
    NOTED.clear()
    with connect(relay, homes) as server:
        vault = server.get(Vault)
        assert vault.echo(SECRET) == SECRET
        large = SECRET * 50_000
        assert vault.echo(large) == large
        with pytest.raises(ValueError, match="4711"):
            vault.fail()
        assert list(vault.count(100)) == list(range(100))
        assert vault.back(lambda text: text + b"!") == SECRET + b"!"
        vault.note(SECRET)
        with rpcx.batch(vault) as batch:
            answers = [batch.echo(number) for number in range(5)]
        assert [answer.result() for answer in answers] == list(range(5))
        futures = [rpcx.future(vault.echo, number) for number in range(5)]
        assert [future.result() for future in futures] == list(range(5))
    assert len(relay.seen) > 2 * len(large)
    for word in (SECRET, b"4711", b"echo", b"back"):
        assert word not in relay.seen


def test_async_calls_pass_too(relay, homes):
    async def work():
        url = f"tcp://127.0.0.1:{relay.port}"
        async with rpcx.aio.connect(url, insecure=True, sinks=[EnvelopeSink("bank", directory=homes[0])]) as server:
            vault = server.get(Vault)
            assert await vault.echo(SECRET) == SECRET
            assert [number async for number in vault.count(5)] == list(range(5))

    asyncio.run(work())
    assert b"4711" not in relay.seen


def changed_call(relay, homes, change, match):
    with connect(relay, homes) as server:
        vault = server.get(Vault)
        assert vault.echo(1) == 1
        relay.change = change
        with pytest.raises(RpcxError, match=match):
            vault.echo(SECRET)


def test_a_changed_byte_is_told_to_the_caller(relay, homes):
    changed_call(relay, homes, lambda data: data[:-1] + bytes([data[-1] ^ 1]), "sink envelope: its signature is wrong")


def test_a_call_replayed_to_the_host_is_refused(relay, homes):
    calls = []
    with connect(relay, homes) as server:
        vault = server.get(Vault)
        vault.echo(1)
        relay.change = lambda data: calls.append(data) or data
        vault.echo(1)
        relay.change = lambda data: data[: HEADER.size] + calls[0][HEADER.size :]  # as another call
        with pytest.raises(RpcxError, match="sink envelope: it was opened before"):
            vault.echo(1)


def test_a_call_recorded_on_one_connection_is_refused_on_another(relay, homes):
    calls = []
    with connect(relay, homes) as server:
        relay.change = lambda data: calls.append(data) or data
        server.get(Vault).echo(1)
    relay.change = lambda data: (
        calls[0] if len(data) > 100 and not data.startswith(b"\x00rpcx") and b"sinks" not in data else data
    )
    with connect(relay, homes) as server, pytest.raises(RpcxError, match="sink envelope: it was opened before"):
        server.get(Vault).echo(1)


def test_an_end_without_the_sink_is_told_its_name(relay, homes):
    with pytest.raises(RpcxError, match="envelope"):
        connect(relay, homes, sinks=[Plain()]).close()


class Plain:
    """A sink that does nothing, for both ends to disagree."""

    name = "plain"

    def wrap(self, data):
        return data

    unwrap = wrap


def test_a_caller_that_the_host_does_not_know_is_refused(relay, homes, tmp_path):
    eve = tmp_path / "eve"
    keyring.trust(eve, own_identity(homes[1]).certificate_file.read_bytes(), "bank")
    Cards(eve).take(Cards(homes[1]).own_card(), "bank")
    with pytest.raises(RpcxError, match="not trusted here"), connect(relay, (eve, homes[1])) as server:
        server.get(Vault).echo(1)


def test_both_ends_are_a_sink(homes):
    check_sink(lambda: EnvelopeSink("bank", directory=homes[0]), peer=lambda: EnvelopeSink(directory=homes[1]))


def test_the_reply_to_another_call_is_an_error(homes):
    caller = EnvelopeSink("bank", directory=homes[0]).connected()
    host = EnvelopeSink(directory=homes[1]).connected()
    first, waiting = caller.request(Call("vault", "echo", [1], None))
    second, _ = caller.request(Call("vault", "echo", [2], None))
    answers = [host.reply(Return(number), host.request(call)[1]) for number, call in ((1, first), (2, second))]
    assert caller.reply(answers[0], waiting).value == 1
    swapped = caller.reply(answers[1], waiting)
    assert isinstance(swapped, Fault)
    assert "the reply is to another call" in str(swapped.error)


def test_a_client_must_say_for_whom(homes):
    with pytest.raises(ValueError, match="Name|names its host's key card"):
        EnvelopeSink(directory=homes[0]).connected().wrap(b"x")
    with pytest.raises(LookupError, match="no key card of shop"):
        EnvelopeSink("shop", directory=homes[0]).connected()
