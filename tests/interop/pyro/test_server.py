"""Stock Pyro5 clients, in a process of their own, call an rpcx host."""

import socket

import pytest

import rpcx
from rpcx.interop.pyro import message
from rpcx.interop.pyro.message import Message, write
from tests.interop.pyro.peer import PyroError
from tests.interop.pyro.shop import Bank


@pytest.fixture
def bank(peer, location):
    """Runs lines at the peer, which has a proxy ``bank``."""
    peer.run(f"bank = Proxy('PYRO:bank@{location}')")
    yield peer
    peer.run("bank._pyroRelease()")


@pytest.mark.parametrize("name", ["serpent", "json", "msgpack"])
def test_calls_with_arguments_and_keywords(bank, name):
    bank.run(f"bank._pyroSerializer = {name!r}")
    assert bank.run("result = bank.greet('ann')") == "'hello ann'"
    assert bank.run("result = bank.greet('ann', loudly=True)") == "'HELLO ANN'"
    assert bank.run("result = bank.echo([1, 2.5, None, {'a': True}])") == "[1, 2.5, None, {'a': True}]"
    assert bank.run("result = bank.later(21)") == "42"


def test_marshal_is_refused(bank):
    with pytest.raises(PyroError, match="serializer marshal is not accepted"):
        bank.run("bank._pyroSerializer = 'marshal'; bank.greet('ann')")


def test_the_metadata_is_the_contract(bank):
    bank.run("bank._pyroBind()")
    assert bank.run("result = sorted(bank._pyroOneway)") == "['note']"
    assert "'balance_of'" in bank.run("result = sorted(bank._pyroMethods)")


def test_oneway_calls_run_and_are_not_awaited(bank):
    assert bank.run("result = bank.note('one')") == "None"
    assert bank.run("result = bank.notes()") == "['one']"


def test_objects_arrive_as_proxies_and_come_home(bank):
    bank.run("account = bank.open('bob', balance=5)")
    assert bank.run("result = type(account).__name__") == "'Proxy'"
    assert bank.run("result = account.deposit(10)") == "15"
    assert bank.run("result = bank.balance_of(account)") == "15"


def test_attributes_are_read_and_set(bank):
    bank.run("account = bank.open('bob')")
    assert bank.run("account.balance = 9; result = (account.owner, account.balance)") == "('bob', 9)"
    with pytest.raises(PyroError, match="AttributeError"):
        bank.run("account.owner = 'eve'")


def test_a_dict_becomes_what_the_annotation_says(bank):
    bank.run("account = bank.open('bob')")
    assert bank.run("result = account.give({'owner': 'x', 'amount': 1})") == "{'owner': 'X', 'amount': 2}"


def test_exceptions_arrive_with_the_remote_traceback(bank):
    bank.run("account = bank.open('bob')")
    with pytest.raises(PyroError, match=r"builtins\.ValueError: amount must be positive") as caught:
        bank.run("account.deposit(-1)")
    assert "in deposit" in caught.value.remote


def test_exceptions_that_pyro_does_not_know_arrive_all_the_same(bank):
    with pytest.raises(PyroError, match=r"Pyro5\.errors\.PyroError: Odd: really"):
        bank.run("bank.fail()")


def test_arguments_that_do_not_fit_are_a_type_error(bank):
    with pytest.raises(PyroError, match=r"builtins\.TypeError.*name"):
        bank.run("bank.greet(5)")


def test_results_that_cannot_travel_say_so(bank):
    assert bank.run("result = bank.imaginary()") == "1j"
    with pytest.raises(PyroError, match="ran, but its result cannot be sent: a complex has no form in JSON"):
        bank.run("bank._pyroSerializer = 'json'; bank.imaginary()")


def test_unknown_objects_are_refused_at_the_handshake(peer, location):
    with pytest.raises(PyroError, match=r"CommunicationError.*rejected"):
        peer.run(f"Proxy('PYRO:nobody@{location}')._pyroBind()")


def test_unknown_methods_are_attribute_errors(bank):
    with pytest.raises(PyroError, match=r"AttributeError: bank has no remote method or attribute 'secret'"):
        bank.run("bank._pyroInvoke('secret', (), {})")


def test_the_hosts_own_service_is_not_offered(bank, location):
    with pytest.raises(PyroError, match="rejected"):
        bank.run(f"Proxy('PYRO:rpcx@{location}')._pyroBind()")


@pytest.mark.parametrize("method", ["count", "acount"])
def test_generators_are_item_streams(bank, method):
    assert bank.run(f"result = list(bank.{method}(5))") == "[0, 1, 2, 3, 4]"


def test_a_stream_that_is_closed_ends_the_generator(bank):
    assert bank.run("items = bank.count(5); result = next(items); items.close()") == "0"
    assert bank.run("result = bank.was_closed()") == "True"


def test_batches_stop_at_the_first_error(bank):
    bank.run(
        "import Pyro5.api\nbatch = Pyro5.api.BatchProxy(bank)\nbatch.greet('a')\nbatch.later(2)\nbatch.fail()\n"
        "batch.greet('never')\nresults = batch()\nseen = [next(results), next(results)]"
    )
    assert bank.run("result = seen") == "['hello a', 4]"
    with pytest.raises(PyroError, match="Odd: really"):
        bank.run("next(results)")


def test_the_daemon_tells_what_it_has(peer, location):
    assert peer.run(f"result = Proxy('PYRO:Pyro.Daemon@{location}').registered()") == "['bank']"


def test_a_reference_to_elsewhere_arrives_as_text(bank):
    assert bank.run("result = bank.echo(Proxy('PYRO:x@10.9.8.7:1'))") == "'PYRO:x@10.9.8.7:1'"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n" + b"\r\n" * 40,
        write(Message(message.INVOKE, 1, 1, b"('bank', 'greet', ('a',), {})")),
        write(Message(message.RESULT, 1, 1, b"1")),
    ],
)
def test_strangers_are_turned_away(location, data):
    host, _, port = location.partition(":")
    with socket.create_connection((host, int(port)), 10) as stranger:
        stranger.settimeout(10)
        stranger.sendall(data)
        assert stranger.recv(1000) == b""


def test_a_loop_serves_as_well(peer):
    import asyncio

    async def serve():
        async with rpcx.Host() as host:
            host.register(Bank)
            url = host.listen("pyro://127.0.0.1:0")
            code = f"result = Proxy('PYRO:bank@{url.partition('://')[2]}').later(4)"
            return await asyncio.to_thread(peer.run, code)

    assert asyncio.run(serve()) == "8"


def test_from_a_client_that_never_reads_no_more_is_taken(location, bank):
    host, _, port = location.partition(":")
    hello = write(Message(message.CONNECT, 1, 0, b"{'handshake': 'x', 'object': 'bank'}"))
    body = b"('bank', 'echo', ('%s',), {})" % (b"x" * 4_000_000)
    with socket.create_connection((host, int(port)), 10) as stranger:
        stranger.sendall(hello)
        stranger.settimeout(2)
        with pytest.raises(TimeoutError):
            for seq in range(200):
                stranger.sendall(write(Message(message.INVOKE, 1, seq, body)))
        assert bank.run("result = bank.greet('ann')") == "'hello ann'"


def test_a_client_that_gives_up_waiting_leaves_the_host_well(bank, location):
    with pytest.raises(PyroError, match="TimeoutError"):
        bank.run("bank._pyroTimeout = 0.05; bank.slow(0.3)")
    assert bank.run("bank._pyroTimeout = 10; result = bank.greet('ann')") == "'hello ann'"


CALLBACK = """
import threading, Pyro5.api
@Pyro5.api.expose
class Callback:
    def told(self, text):
        self.text = text
        return text.upper()
back = Pyro5.api.Daemon(host='127.0.0.1')
callback = Callback()
back.register(callback)
threading.Thread(target=back.requestLoop, daemon=True).start()
result = bank.call_back(callback)
"""


def test_a_method_may_call_back_if_it_wants_to(bank):
    assert bank.run(CALLBACK) == "'DONE'"
    assert bank.run("back.shutdown(); result = callback.text") == "'done'"
