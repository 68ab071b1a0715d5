"""rpcx calls objects in a stock Pyro5 daemon, in a process of its own."""

import asyncio
from collections.abc import Iterator

import pytest

import rpcx
import rpcx.aio
from tests.interop.pyro.peer import Daemon


@rpcx.remote
class Account:
    @property
    def balance(self) -> int:
        raise NotImplementedError

    @balance.setter
    def balance(self, value: int) -> None:
        raise NotImplementedError

    def deposit(self, amount: int) -> int:
        raise NotImplementedError


@rpcx.remote
class Bank:
    def greet(self, name: str, *, loudly: bool = False) -> str:
        raise NotImplementedError

    def open(self, owner: str) -> Account:
        raise NotImplementedError

    def balance_of(self, account: Account) -> int:
        raise NotImplementedError

    def echo(self, value: object) -> object:
        raise NotImplementedError

    @rpcx.oneway
    def note(self, text: str) -> None:
        raise NotImplementedError

    def notes(self) -> list[str]:
        raise NotImplementedError

    def explode(self) -> None:
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def count(self, upto: int) -> Iterator[int]:
        raise NotImplementedError

    def was_closed(self) -> bool:
        raise NotImplementedError

    def absent(self) -> None:
        raise NotImplementedError


@pytest.fixture(params=["serpent", "json", "msgpack"])
def bank(request, daemon):
    with rpcx.connect(f"pyro://{daemon.location}?serializer={request.param}") as server:
        yield server.get(Bank, "bank")


@pytest.fixture
def plain(daemon):
    with rpcx.connect(f"pyro://{daemon.location}") as server:
        yield server.get(Bank, "bank")


def test_calls_oneway_objects_attributes_streams(bank):
    assert bank.greet("ann") == "hello ann"
    assert bank.greet("ann", loudly=True) == "HELLO ann"
    bank.note("one")
    assert bank.notes() == ["one"]
    account = bank.open("bob")
    assert account.deposit(5) == 5
    account.balance = 7
    assert account.balance == 7
    assert list(bank.count(4)) == [0, 1, 2, 3]


def test_exceptions_arrive_as_themselves_with_the_remote_traceback(plain):
    with pytest.raises(ValueError, match="must be positive") as caught:
        plain.open("bob").deposit(-1)
    assert "in deposit" in "".join(caught.value.__notes__)


def test_exceptions_that_are_not_known_keep_their_name(plain):
    with pytest.raises(rpcx.RemoteError, match="really") as caught:
        plain.explode()
    assert "Odd" in caught.value.type_name


def test_objects_that_are_not_there(daemon, plain):
    nobody = rpcx.get(f"PYRO:nobody@{daemon.location}", Bank)
    with nobody, pytest.raises(rpcx.ObjectNotFound) as caught:
        nobody.greet("x")
    assert caught.value.uri == "nobody"
    with pytest.raises(AttributeError):
        plain.absent()


def test_proxies_go_back_as_proxies(plain):
    account = plain.open("bob")
    account.deposit(3)
    assert plain.balance_of(account) == 3


def test_a_stream_that_is_closed_ends_there(plain):
    items = plain.count(5)
    assert next(items) == 0
    items.close()
    assert plain.was_closed() is True


def test_a_stream_that_is_dropped_ends_there_too(plain):
    items = plain.count(5)
    assert next(items) == 0
    del items
    assert plain.was_closed() is True


def test_futures(plain):
    futures = [rpcx.future(plain.greet, str(n)) for n in range(50)]
    assert [each.result(10) for each in futures] == [f"hello {n}" for n in range(50)]


def test_batches_stop_at_the_first_error(plain):
    with rpcx.batch(plain) as batch:
        good, bad, never = batch.greet("a"), batch.explode(), batch.greet("b")
    assert good.result() == "hello a"
    assert isinstance(bad.exception(), rpcx.RemoteError)
    assert "earlier call" in str(never.exception())
    assert never.exception().executed == "no"


def test_timeouts(plain):
    with rpcx.options(timeout=0.05), pytest.raises(rpcx.CallTimeout):
        plain.sleep(0.3)
    assert plain.greet("x") == "hello x"


def test_what_cannot_travel_says_so(plain):
    with pytest.raises(rpcx.InvalidArguments, match="cannot travel"):
        plain.echo(object())


def test_a_daemon_that_dies_fails_its_calls(daemon, plain):
    future = rpcx.future(plain.sleep, 30)
    daemon.process.kill()
    assert isinstance(future.exception(10), rpcx.MaybeExecuted)
    with pytest.raises(rpcx.NotSent):
        plain.greet("x")


def test_a_daemon_that_comes_back_is_called_again(daemon, plain):
    future = rpcx.future(plain.sleep, 30)
    daemon.close()
    assert isinstance(future.exception(10), rpcx.MaybeExecuted)
    again = Daemon(daemon.location.partition(":")[2])
    try:
        assert plain.greet("y") == "hello y"
    finally:
        again.close()


def test_uris_and_names_of_pyro(daemon, monkeypatch):
    for place in (daemon.location, daemon.location.replace("127.0.0.1", "localhost")):
        with rpcx.get(f"PYRO:bank@{place}", Bank) as bank:
            assert bank.greet("uri") == "hello uri"
    monkeypatch.setattr("rpcx.interop.pyro.names.DEFAULT_LOCATION", daemon.names)
    with rpcx.get("PYRONAME:some.bank", Bank) as bank:
        assert bank.greet("name") == "hello name"
    with rpcx.get("PYRONAME:some.bank@localhost", Bank) as bank:  # at the usual port
        assert bank.greet("name") == "hello name"
    bank = rpcx.get(f"PYRONAME:some.bank@{daemon.names}", Bank)
    assert bank.greet("name") == "hello name"
    bank.close()
    with pytest.raises(rpcx.ObjectNotFound, match=r"knows no 'other\.bank'"):
        rpcx.get(f"PYRONAME:other.bank@{daemon.names}", Bank)
    with pytest.raises(ValueError, match="looks like PYRO:"):
        rpcx.connect("PYRO:bank")
    with pytest.raises(ValueError, match="Unix sockets are not spoken"):
        rpcx.connect("PYRO:bank@./u:/run/bank.sock")


def test_who_is_no_daemon_is_told():
    with rpcx.Host() as host:
        url = host.listen("tcp://127.0.0.1:0")
        with pytest.raises(rpcx.RpcxError):
            rpcx.connect(url.replace("tcp", "pyro"), timeout=5)


def test_in_a_loop(daemon):
    async def use():
        async with rpcx.aio.connect(f"PYRO:bank@{daemon.location}") as server:
            bank = server.get(Bank)
            assert await bank.greet("ann") == "hello ann"
            account = await bank.open("bob")
            assert await account.deposit(2) == 2
            await rpcx.aio.assign(account, "balance", 9)
            assert await account.balance == 9
            assert [each async for each in bank.count(3)] == [0, 1, 2]
            with pytest.raises(ValueError, match="positive"):
                await account.deposit(-1)
            async with rpcx.aio.batch(bank) as batch:
                first = batch.greet("b")
            assert first.result() == "hello b"
            with rpcx.options(timeout=0.05), pytest.raises(rpcx.CallTimeout):
                await bank.sleep(0.3)

    asyncio.run(use())
