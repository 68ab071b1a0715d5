"""Calls back, as Pyro5 makes them: over a connection of their own, to where an object said that it is."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import rpcx
import rpcx.aio
from rpcx.abc import PeerFacts
from rpcx.interop.pyro import ways
from rpcx.interop.pyro.client import ClientSession
from rpcx.interop.pyro.daemon import daemon_of
from rpcx.interop.pyro.ways import _location
from tests.interop.pyro.peer import PyroError
from tests.others import ANN, SQUAT, Other, needs_root


@rpcx.remote
class Listener:
    """A client's object, as a server sees it."""

    def heard(self, text: str) -> str:
        raise NotImplementedError

    def fail(self) -> None:
        raise NotImplementedError

    def calls(self, other: "Room") -> int:
        raise NotImplementedError


@rpcx.remote
class Room:
    """One chat room."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    @rpcx.oneway
    def say(self, text: str) -> None:
        self._listener.heard(text)


@rpcx.singleton("chat")
class Chat:
    def tell(self, listener: Listener, text: str) -> str:
        return listener.heard(text)

    async def tell_later(self, listener: Listener, text: str) -> str:
        return await rpcx.aio.call(listener.heard, text)

    def tell_failing(self, listener: Listener) -> None:
        listener.fail()

    def room(self, listener: Listener) -> Room:
        return Room(listener)

    def same(self, listener: Listener) -> Listener:
        return listener

    def text(self, uri: str) -> str:
        return uri


EARS = """
import threading
import Pyro5.api
@Pyro5.api.expose
class Ear:
    def __init__(self):
        self.said, self.three = [], threading.Event()
    def heard(self, text):
        self.said.append(text)
        if len(self.said) == 3:
            self.three.set()
        return text.upper()
    def fail(self):
        raise ZeroDivisionError('at the client')
def listening(port=0):
    global daemon
    daemon = Pyro5.api.Daemon(host='127.0.0.1', port=port)
    daemon.register(ear, 'ear')
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
ear = Ear()
listening()
"""


@pytest.fixture
def ears(peer):
    """A stock client whose object ``ear`` may be called, with a proxy ``chat`` once `chat` was given its place."""
    peer.run(EARS)
    yield peer
    peer.run("daemon.shutdown()")


@contextmanager
def chatting(query: str = "?callbacks=yes") -> Iterator[str]:
    with rpcx.Host() as host:
        host.register(Chat, Room)
        yield host.listen(f"pyro://127.0.0.1:0{query}").partition("://")[2]


# --- a host calls its clients ---------------------------------------------------------------------------------


def test_an_object_of_a_stock_client_is_called_like_any_other(ears):
    with chatting() as location:
        ears.run(f"chat = Proxy('PYRO:chat@{location}')")
        assert ears.run("result = chat.tell(ear, 'one')") == "'ONE'"
        assert ears.run("result = chat.tell_later(ear, 'two')") == "'TWO'"
        ears.run("room = chat.room(ear)\nroom.say('three')")
        assert ears.run("result = ear.three.wait(10), ear.said") == "(True, ['one', 'two', 'three'])"
        with pytest.raises(PyroError, match="ZeroDivisionError: at the client"):
            ears.run("chat.tell_failing(ear)")
        ears.run("room._pyroRelease(); chat._pyroRelease()")


def test_its_own_object_comes_home_to_a_client(ears):
    with chatting() as location:
        ears.run(f"with Proxy('PYRO:chat@{location}') as chat: back = chat.same(ear)")
        assert ears.run("result = back._pyroUri == daemon.uriFor(ear)") == "True"


def test_a_host_in_a_loop_does_so_too(ears):
    async def serve() -> None:
        async with rpcx.Host() as host:
            host.register(Chat)
            location = host.listen("pyro://127.0.0.1:0?callbacks=yes").partition("://")[2]
            code = f"with Proxy('PYRO:chat@{location}') as chat: result = chat.tell_later(ear, 'one')"
            assert await asyncio.to_thread(ears.run, code) == "'ONE'"

    asyncio.run(serve())


def test_a_client_whose_daemon_was_started_anew_is_called_again(ears):
    with chatting() as location:
        ears.run(f"chat = Proxy('PYRO:chat@{location}')\nroom = chat.room(ear)")
        ears.run("chat.tell(ear, 'one')\nport = int(daemon.locationStr.rpartition(':')[2])\ndaemon.shutdown()")
        ears.run("daemon.close()\nlistening(port)")
        ears.run("chat.tell(ear, 'two')\nroom.say('three')")
        assert ears.run("result = ear.three.wait(10), ear.said") == "(True, ['one', 'two', 'three'])"
        ears.run("room._pyroRelease(); chat._pyroRelease()")


def test_a_client_that_listens_no_more_is_an_error_of_the_call(ears):
    with chatting() as location:
        ears.run("uri = daemon.uriFor(ear)\ndaemon.shutdown()\ndaemon.close()")
        with pytest.raises(PyroError, match="cannot be reached"):
            ears.run(f"with Proxy('PYRO:chat@{location}') as chat: chat.tell(Proxy(uri), 'one')")
        ears.run("listening()")


def test_without_the_switch_no_message_makes_a_host_connect(ears):
    with chatting("") as location:
        ears.run(f"chat = Proxy('PYRO:chat@{location}')")
        assert ears.run("result = chat.text(ear) == str(daemon.uriFor(ear))") == "True"
        with pytest.raises(PyroError, match="a remote Listener is needed, not str"):
            ears.run("chat.tell(ear, 'one')")
        ears.run("chat._pyroRelease()")


def test_with_it_objects_of_other_machines_stay_texts(ears):
    with chatting() as location:
        ears.run(f"chat = Proxy('PYRO:chat@{location}')")
        assert ears.run("result = chat.text(Proxy('PYRO:x@10.9.8.7:1'))") == "'PYRO:x@10.9.8.7:1'"
        ears.run("chat._pyroRelease()")


@needs_root
def test_a_port_of_another_users_is_not_called(peer):
    with chatting() as location, Other(SQUAT, 0) as other:
        uri = f"PYRO:ear@127.0.0.1:{other.says()}"
        with pytest.raises(PyroError, match=f"user {ANN} listens there"):
            peer.run(f"with Proxy('PYRO:chat@{location}') as chat: chat.tell(Proxy({uri!r}), 'one')")
        assert other.says() == "heard b''"


@pytest.mark.parametrize(
    ("caller", "said", "called"),
    [
        ("127.0.0.1:5", "127.0.0.1:9", "127.0.0.1:9"),
        ("127.0.0.1:5", "[::1]:9", "127.0.0.1:9"),
        ("[::1]:5", "127.0.0.1:9", "[::1]:9"),
        ("127.0.0.1:5", "localhost:9", "127.0.0.1:9"),
        ("192.0.2.1:5", "192.0.2.1:9", "192.0.2.1:9"),
        ("192.0.2.1:5", "its.own.name:9", "192.0.2.1:9"),
        ("192.0.2.1:5", "127.0.0.1:9", None),
        ("192.0.2.1:5", "192.0.2.2:9", None),
        ("127.0.0.1:5", "192.0.2.1:9", None),
        ("127.0.0.1:5", "./u:socket", None),
        ("127.0.0.1:5", "nowhere", None),
        ("127.0.0.1:5", "127.0.0.1:99999", None),
    ],
)
def test_a_call_back_goes_to_the_machine_that_called(caller, said, called):
    assert _location(said, PeerFacts("pyro", caller)) == called


def test_no_client_has_a_host_call_back_without_number(monkeypatch):
    monkeypatch.setattr(ways, "MOST", 2)
    host = rpcx.Host()
    daemon, peer = daemon_of(host._realm), PeerFacts("pyro", "127.0.0.1:5", private=True)

    def never(address, timeout, *, insecure):
        raise AssertionError("nobody was called")

    for port in (1, 2, 1):
        assert ways.called_back(daemon, never, f"PYRO:x@127.0.0.1:{port}", peer)
    assert len(daemon.ways) == 2
    for way in daemon.ways.values():
        way.face.error = None  # as if it were connected
    with pytest.raises(rpcx.LimitExceeded, match="2 daemons"):
        ways.called_back(daemon, never, "PYRO:x@127.0.0.1:3", peer)
    next(iter(daemon.ways.values())).face.error = rpcx.ConnectionLost("it left")
    assert ways.called_back(daemon, never, "PYRO:x@127.0.0.1:3", peer)
    host.close()


def test_a_connection_that_was_made_anew_a_thousand_times_has_a_short_way_to_the_latest():
    from rpcx.channels.urls import parse

    host = rpcx.Host()
    made = [
        ClientSession(daemon_of(host._realm), parse("pyro://127.0.0.1:1"), PeerFacts("pyro", "127.0.0.1:1"))
        for _ in range(3000)
    ]
    for before, after in itertools.pairwise(made):
        before.error, before.successor = rpcx.ConnectionLost("it left"), after
    assert made[0]._usable() is made[-1]
    assert made[0].successor is made[-1]
    host.close()


# --- a stock server calls a client ----------------------------------------------------------------------------


SERVER = """
import Pyro5.api
@Pyro5.api.expose
class Room:
    def members(self):
        return 3
@Pyro5.api.expose
class Chat:
    def tell(self, listener, text):
        with listener:
            return listener.heard(text)
    def tell_failing(self, listener):
        with listener:
            try:
                listener.fail()
            except ZeroDivisionError as error:
                return str(error), ''.join(Pyro5.errors.get_pyro_traceback())
    def introduce(self, listener):
        room = Room()
        self._pyroDaemon.register(room)
        with listener:
            return listener.calls(room)
    def balance(self, listener):
        with listener:
            listener.volume += 5
            return listener.volume, list(listener.counted(3))
    def keep(self, listener):
        self.kept = listener
    def say(self, text):
        self.kept._pyroClaimOwnership()
        return self.kept.heard(text)
import Pyro5.errors
daemon = Pyro5.api.Daemon(host='127.0.0.1')
daemon.register(Chat(), 'chat')
print(daemon.locationStr, flush=True)
daemon.requestLoop()
"""


@rpcx.remote
class ServersRoom:
    def members(self) -> int:
        raise NotImplementedError


@rpcx.remote
class ServersChat:
    def tell(self, listener: object, text: str) -> str:
        raise NotImplementedError

    def tell_failing(self, listener: object) -> tuple[str, str]:
        raise NotImplementedError

    def introduce(self, listener: object) -> int:
        raise NotImplementedError

    def balance(self, listener: object) -> tuple[int, list[int]]:
        raise NotImplementedError

    def keep(self, listener: object) -> None:
        raise NotImplementedError

    def say(self, text: str) -> str:
        raise NotImplementedError


@rpcx.remote
class Ear:
    def __init__(self) -> None:
        self._volume = 1

    def heard(self, text: str) -> str:
        return text.upper()

    def fail(self) -> None:
        raise ZeroDivisionError("at the client")

    def calls(self, room: ServersRoom) -> int:
        return room.members()

    @property
    def volume(self) -> int:
        return self._volume

    @volume.setter
    def volume(self, value: int) -> None:
        self._volume = value

    def counted(self, upto: int) -> Iterator[int]:
        yield from range(upto)


@pytest.fixture
def chat():
    """Where a stock server is."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.mark.parametrize("name", ["serpent", "json", "msgpack"])
def test_a_stock_server_calls_objects_of_a_client(chat, name):
    with rpcx.connect(f"pyro://{chat}?callbacks=yes&serializer={name}") as server:
        remote, ear = server.get(ServersChat, "chat"), Ear()
        assert remote.tell(ear, "one") == "ONE"
        text, traceback = remote.tell_failing(ear)
        assert (text, "in fail" in traceback) == ("at the client", True)
        assert remote.balance(ear) == (6, [0, 1, 2])
        assert remote.introduce(ear) == 3  # and is itself called, over the connection that stands


def test_an_object_that_a_server_keeps_is_there_until_the_client_closes(chat):
    with rpcx.connect(f"pyro://{chat}?callbacks=yes") as server:
        server.get(ServersChat, "chat").keep(Ear())
        assert server.get(ServersChat, "chat").say("one") == "ONE"
        (entry,) = [entry for entry in server._realm.table.entries() if "Ear" in repr(entry.contract)]
        assert server._realm.table.peek(entry.uri) is entry
    with rpcx.connect(f"pyro://{chat}") as server, pytest.raises(rpcx.MaybeExecuted):
        server.get(ServersChat, "chat").say("two")  # stock Pyro5 hangs up when a call back fails


def test_a_client_in_a_loop_is_called_too(chat):
    async def use() -> None:
        async with rpcx.aio.connect(f"pyro://{chat}?callbacks=yes") as server:
            assert await server.get(ServersChat, "chat").tell(Ear(), "one") == "ONE"

    asyncio.run(use())


def test_without_the_switch_a_client_listens_nowhere_and_says_so(chat):
    with rpcx.connect(f"pyro://{chat}") as server:
        with pytest.raises(rpcx.AccessDenied, match=r"cannot call Ear objects.*\?callbacks=yes"):
            server.get(ServersChat, "chat").tell(Ear(), "one")
        assert not server._listeners


@needs_root
def test_another_user_does_not_call_a_clients_objects(chat):
    with rpcx.connect(f"pyro://{chat}?callbacks=yes") as server:
        (door,) = server._listeners
        code = "sock = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\ntry: print('heard', sock.recv(9))\n"
        with Other(code + "except ConnectionError: print('heard nothing')", door.url.rpartition(":")[2]) as other:
            assert other.says() in ("heard b''", "heard nothing")
