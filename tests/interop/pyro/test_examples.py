"""The shapes of Pyro5's own examples, in both directions: the same lines are run at each end, with the other's proxies.

Either a stock client runs them, against an rpcx host, or this process does, with rpcx proxies of a stock daemon.
"""

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rpcx
from tests.interop.pyro.peer import PyroError


@rpcx.singleton("example.greeting")
class Greeting:
    def get_fortune(self, name: str) -> str:
        return f"Hello, {name}. Tomorrow's lucky number is 12345678."


@rpcx.singleton("example.bank")
class Bank:
    def __init__(self) -> None:
        self._accounts: dict[str, float] = {}

    def create_account(self, name: str) -> None:
        if name in self._accounts:
            raise ValueError("account exists already")
        self._accounts[name] = 0.0

    def delete_account(self, name: str) -> None:
        self._found(name)
        del self._accounts[name]

    def deposit(self, name: str, amount: float) -> None:
        self._found(name)
        self._accounts[name] += amount

    def withdraw(self, name: str, amount: float) -> None:
        if amount > self._found(name):
            raise ValueError("insufficient balance")
        self._accounts[name] -= amount

    def balance(self, name: str) -> float:
        return self._found(name)

    def all_accounts(self) -> dict[str, float]:
        return self._accounts

    def _found(self, name: str) -> float:
        if name not in self._accounts:
            raise KeyError("unknown account")
        return self._accounts[name]


@rpcx.singleton("example.streamer")
class Streamer:
    def numbers(self) -> list[int]:
        return [1, 2, 3]

    def iterator(self) -> Iterator[int]:
        return iter([1, 2, 3])

    def generator(self) -> Iterator[int]:
        yield from (1, 2, 3)

    def fibonacci(self) -> Iterator[int]:
        a, b = 0, 1
        while True:
            yield a
            a, b = b, a + b

    def failing(self) -> Iterator[int]:
        yield 1
        raise ValueError("after the first")

    @property
    def prop_iterator(self) -> Iterator[int]:
        return iter([1, 2, 3])

    @property
    def prop_generator(self):  # nothing says that it streams
        return (number for number in (1, 2, 3))


@rpcx.remote
class Thing:
    def __init__(self, number: int) -> None:
        self._number = number

    def speak(self, message: str) -> str:
        return f"thing {self._number} says: {message}"


@rpcx.singleton("example.factory")
class Factory:
    def create(self, number: int) -> Thing:
        return Thing(number)


@rpcx.remote
class Callback:
    def done(self, number: int) -> None:
        raise NotImplementedError


@rpcx.remote
class Worker:
    def __init__(self, number: int, callback: Callback) -> None:
        self._number = number
        self._callback = callback

    @rpcx.oneway
    def work(self) -> None:
        self._callback.done(self._number)


@rpcx.singleton("example.workers")
class Workers:
    def add_worker(self, number: int, callback: Callback) -> Worker:
        return Worker(number, callback)


@rpcx.singleton("example.sleeper")
class Sleeper:
    def __init__(self) -> None:
        self._awake = threading.Event()

    @rpcx.method(blocking=True)
    def delay(self) -> bool:
        """Until `wake`, or ten seconds."""
        return self._awake.wait(10)

    def wake(self) -> None:
        self._awake.set()


SERVED = (Greeting, Bank, Streamer, Factory, Workers, Sleeper)
Run = Callable[[str], str]  # runs lines where the proxies are; the repr of `result`


def url_of(host: rpcx.Host) -> str:
    host.register(*SERVED, Thing, Worker)
    return host.listen("pyro://127.0.0.1:0?callbacks=yes").partition("://")[2]


@pytest.fixture
def stock_client(peer) -> Iterator[Run]:
    """Stock Pyro5, at an rpcx host."""
    with rpcx.Host() as host:
        location = url_of(host)
        names = [f"example.{cls.__name__.lower()}" for cls in SERVED]
        peer.run("\n".join(f"{name.partition('.')[2]} = Proxy('PYRO:{name}@{location}')" for name in names))
        peer.run("from contextlib import closing")
        yield peer.run
        peer.run("\n".join(f"{name.partition('.')[2]}._pyroRelease()" for name in names))


@pytest.fixture
def stock_daemon() -> Iterator[str]:
    """Where one is."""
    program = Path(__file__).with_name("examples.py")
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def rpcx_client(stock_daemon) -> Iterator[Run]:
    """rpcx, at a stock daemon."""
    from contextlib import closing

    with rpcx.connect(f"pyro://{stock_daemon}?callbacks=yes") as server:
        space: dict[str, Any] = {cls.__name__.lower(): server.get(cls) for cls in SERVED}
        space["closing"] = closing

        def run(code: str) -> str:
            space["result"] = None
            exec(code, space)
            return repr(space["result"])

        yield run


@pytest.fixture(params=["stock_client", "rpcx_client"])
def run(request) -> Run:
    return request.getfixturevalue(request.param)


def test_greeting(run):
    assert run("result = greeting.get_fortune('ann')") == repr("Hello, ann. Tomorrow's lucky number is 12345678.")


BUSINESS = """
failed = []
def trying(call, *args):
    try:
        call(*args)
    except (ValueError, KeyError) as error:
        failed.append((type(error).__name__, error.args))
bank.create_account('irmen')
trying(bank.create_account, 'irmen')
bank.deposit('irmen', 200.0)
bank.deposit('irmen', 500.75)
bank.withdraw('irmen', 400.0)
trying(bank.withdraw, 'irmen', 400.0)
trying(bank.withdraw, 'nobody', 2222.22)
trying(bank.delete_account, 'nobody')
bank.create_account('suzy')
result = bank.balance('irmen'), bank.all_accounts(), failed
"""


def test_banks(run):
    assert run(BUSINESS) == repr(
        (
            300.75,
            {"irmen": 300.75, "suzy": 0.0},
            [
                ("ValueError", ("account exists already",)),
                ("ValueError", ("insufficient balance",)),
                ("KeyError", ("unknown account",)),
                ("KeyError", ("unknown account",)),
            ],
        )
    )


@pytest.mark.parametrize(
    "items",
    ["numbers()", "iterator()", "generator()", "prop_iterator", "prop_generator"],
)
def test_streaming(run, items):
    assert run(f"result = list(streamer.{items})") == "[1, 2, 3]"


def test_streaming_without_end(run):
    code = "with closing(streamer.fibonacci()) as numbers: result = [next(numbers) for _ in range(10)]"
    assert run(code) == "[0, 1, 1, 2, 3, 5, 8, 13, 21, 34]"


FAILING = """
result = []
try:
    for each in streamer.failing():
        result.append(each)
except ValueError as error:
    result.append(str(error))
"""


def test_streaming_that_fails(run):
    assert run(FAILING) == "[1, 'after the first']"


def test_autoproxy(run):
    code = "things = [factory.create(number) for number in (1, 2)]\nresult = [thing.speak('hi') for thing in things]"
    assert run(code) == "['thing 1 says: hi', 'thing 2 says: hi']"


def test_callbacks_of_a_stock_client(stock_client):
    stock_client("""
import queue, threading
class Handler:
    def __init__(self):
        self.numbers = queue.Queue()
    @Pyro5.api.expose
    def done(self, number):
        self.numbers.put(number)
import Pyro5.api
daemon = Pyro5.api.Daemon(host='127.0.0.1')
handler = Handler()
daemon.register(handler)
threading.Thread(target=daemon.requestLoop, daemon=True).start()
for number in range(5):
    with workers.add_worker(number, handler) as worker:
        worker.work()
""")
    assert stock_client("result = sorted(handler.numbers.get(timeout=10) for _ in range(5))") == "[0, 1, 2, 3, 4]"
    stock_client("daemon.shutdown()")


def test_callbacks_of_an_rpcx_client(stock_daemon):
    numbers: queue.Queue[int] = queue.Queue()

    class Handler(Callback):
        def done(self, number: int) -> None:
            numbers.put(number)

    with rpcx.connect(f"pyro://{stock_daemon}?callbacks=yes") as server:
        handler = Handler()
        for number in range(5):
            server.get(Workers).add_worker(number, handler).work()
        assert sorted(numbers.get(timeout=10) for _ in range(5)) == [0, 1, 2, 3, 4]


def test_timeouts_of_a_stock_client(stock_client):
    with pytest.raises(PyroError, match="TimeoutError"):
        stock_client("sleeper._pyroTimeout = 0.1\nsleeper.delay()")
    stock_client("sleeper._pyroTimeout = None\nsleeper.wake()")
    assert stock_client("result = sleeper.delay()") == "True"


def test_timeouts_of_an_rpcx_client(stock_daemon):
    with rpcx.connect(f"pyro://{stock_daemon}") as server:
        sleeper = server.get(Sleeper)
        with rpcx.options(timeout=0.1), pytest.raises(rpcx.CallTimeout):
            sleeper.delay()
        sleeper.wake()
        assert sleeper.delay() is True
