"""Pyro5's name server over the directory's names: whom it lets in."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import Pyro5.api
import Pyro5.errors
import pytest

from rpcx.errors import AccessDenied
from rpcx.interop.pyro.message import CONNECT, Message, write
from rpcx.naming.pyro import NameServer
from tests.others import ANN, Other, needs_root

HELLO = write(Message(CONNECT, 1, 0, b"{'handshake': 'hello', 'object': 'Pyro.NameServer'}")).hex()
GREET = """
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.sendall(bytes.fromhex(sys.argv[2]))
print(sock.recv(4000), flush=True)
"""


@contextmanager
def serving(*, insecure: bool = False) -> Iterator[tuple[int, dict]]:
    """Its port, and the names."""
    names: dict = {}
    server = NameServer("127.0.0.1", 0, names, insecure=insecure)
    thread = threading.Thread(target=server.requestLoop)
    thread.start()
    yield int(server.locationStr.rpartition(":")[2]), names
    server.shutdown()
    thread.join()
    server.close()


def test_programs_of_this_user_register_and_find_names():
    with serving() as (port, names), Pyro5.api.locate_ns("127.0.0.1", port) as seen:
        seen.register("thing", "PYRO:thing@127.0.0.1:1", metadata={"new"})
        assert names["thing"] == ("PYRO:thing@127.0.0.1:1", {"new"})
        assert str(seen.lookup("thing")) == "PYRO:thing@127.0.0.1:1"


@needs_root
def test_those_of_others_are_told_that_it_is_not_for_them():
    with serving() as (port, names), Other(GREET, port, HELLO) as other:
        assert f"this name server is for user 0, and user {ANN} calls" in other.says()
        assert names == {}


@needs_root
def test_unless_every_user_of_the_machine_is_trusted():
    with serving(insecure=True) as (port, _), Other(GREET, port, HELLO) as other:
        assert "lookup" in other.says()


def test_where_the_system_does_not_tell_it_is_not_served(monkeypatch):
    monkeypatch.delattr(socket, "AF_NETLINK")
    with pytest.raises(AccessDenied, match="does not tell who calls.*insecure=True"):
        NameServer("127.0.0.1", 0, {}, insecure=False)
    with serving(insecure=True) as (port, _), Pyro5.api.locate_ns("127.0.0.1", port) as seen:
        assert seen.count() == 0


def test_whoever_cannot_be_told_is_not_let_in(monkeypatch):
    with serving() as (port, _):
        monkeypatch.setattr("rpcx.naming.pyro.owner_of", lambda _: None)
        with pytest.raises(Pyro5.errors.NamingError), Pyro5.api.locate_ns("127.0.0.1", port):
            pass
