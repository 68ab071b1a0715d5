"""Whose the other end of a loopback connection is: real sockets, real users, and answers that are none."""

import errno
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.channels import owners
from rpcx.channels.owners import HEADER, End, Place, answer, owner_of, place_of, question, told
from tests.others import ANN, Other, needs_root

ROOT = Path(__file__).parent.parent.parent
ME = os.geteuid()
V4 = Place(b"\x7f\0\0\1", 4000), Place(b"\x7f\0\0\1", 40_312)
V6 = Place(bytes(15) + b"\1", 4000), Place(bytes(15) + b"\1", 40_312)
FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close by a reset


class Door:
    """A listening socket, and what became of it."""

    def __init__(self, family: int = socket.AF_INET, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(family)
        self.socket.bind((host, 0))
        self.socket.listen()
        self.host, self.port = self.socket.getsockname()[:2]
        self.opened = [self.socket]

    def client(self, port: int = 0) -> socket.socket:
        """Connected from ``port``."""
        sock = socket.socket(self.socket.family)
        self.opened.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.host, port))
        sock.connect((self.host, self.port))
        return sock

    def accepted(self) -> socket.socket:
        sock, _ = self.socket.accept()
        self.opened.append(sock)
        return sock


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    for sock in made.opened:
        sock.close()


# --- real connections -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_both_ends_learn_whose_the_other_is(family, host):
    door = Door(family, host)
    near = door.client()
    far = door.accepted()
    assert (owner_of(near), owner_of(far)) == (ME, ME)
    assert told(door.socket)
    for sock in door.opened:
        sock.close()


def test_ipv4_within_ipv6_is_ipv4(door):
    with socket.socket(socket.AF_INET6) as near:
        near.connect(("::ffff:127.0.0.1", door.port))
        far = door.accepted()
        assert (owner_of(near), owner_of(far)) == (ME, ME)


CONNECT = """
sock = socket.socket(int(sys.argv[1]))
sock.connect((sys.argv[2], int(sys.argv[3])))
sock.sendall(b"x" * 1000)
print("connected", flush=True)
sys.stdin.readline()
"""


@needs_root
@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_another_user_is_told_apart(family, host):
    door = Door(family, host)
    with Other(CONNECT, int(family), host, door.port) as other:
        assert other.says() == "connected"
        assert owner_of(door.accepted()) == ANN
    for sock in door.opened:
        sock.close()


def test_a_connection_that_nobody_has_accepted_is_nobodys(door):
    """Not user 0's, as the kernel shows it; least of all to a client that is root."""
    near = door.client()
    assert owners._asked(place_of(near.getpeername()), place_of(near.getsockname())).inode == 0
    with pytest.raises(TimeoutError, match="nobody accepted"):
        owner_of(near)
    with pytest.raises(TimeoutError):
        owner_of(near, 0.01)


def test_who_has_patience_waits_until_it_is_accepted(door, monkeypatch):
    near, waited = door.client(), []

    def accepts_meanwhile(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            door.accepted()

    monkeypatch.setattr(owners.time, "sleep", accepts_meanwhile)
    assert owner_of(near, 60.0) == ME
    assert waited == [0.0001, 0.0002, 0.0004]


def test_whoever_left_has_no_owner_any_more(door):
    near = door.client()
    near.sendall(b"words")
    near.close()
    far = door.accepted()
    with pytest.raises(ConnectionAbortedError):
        owner_of(far)


def test_a_successor_on_the_same_port_does_not_answer_for_who_was_there_before(door):
    """What the first one said can be read still, and its pair of addresses is somebody else's, who is trusted."""
    first = door.client()
    first.sendall(b"words")
    port = first.getsockname()[1]
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    first.close()
    door.client(port)
    before, after = door.accepted(), door.accepted()
    assert owner_of(after) == ME
    with pytest.raises(ConnectionAbortedError):
        owner_of(before)
    assert before.recv(10) == b"words"


def test_nor_when_it_comes_while_the_kernel_is_asked(door, monkeypatch):
    first = door.client()
    far = door.accepted()
    asked = owners._asked

    def late(theirs: Place, ours: Place) -> End | None:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        first.close()
        door.client(theirs.port)
        door.accepted()
        end = asked(theirs, ours)
        assert end is not None
        assert (end.state, end.uid) == (owners.ESTABLISHED, ME)  # the successor's
        return end

    monkeypatch.setattr(owners, "_asked", late)
    with pytest.raises(ConnectionAbortedError):
        owner_of(far)


def test_one_that_listens_there_is_no_answer(door):
    place = place_of(door.socket.getsockname())
    assert owners._asked(place, Place(b"\x7f\0\0\1", 1)) is None  # the kernel falls back on it
    assert owners._asked(Place(b"\x7f\0\0\1", 1), place) is None


UNMAPPED = """
import ctypes, socket
from rpcx.channels.owners import owner_of, told
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
    far = server.accept()[0]
    before = owner_of(near)
    if ctypes.CDLL(None).unshare(0x10000000):  # CLONE_NEWUSER: then no user has a number here
        print("forbidden")
    else:
        print(before, owner_of(near), told(server))
    far.close()
"""


def test_whoever_has_no_number_in_this_user_namespace_is_not_taken_for_its_nobody():
    done = subprocess.run([sys.executable, "-c", UNMAPPED], capture_output=True, text=True, cwd=ROOT, check=False)
    if done.stdout == "forbidden\n":
        pytest.skip("not on Linux where user namespaces are for root")
    assert done.stdout.split() == [str(ME), "None", "False"], done.stderr


def test_without_linux_nothing_is_told(door, monkeypatch):
    door.client()
    far = door.accepted()
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert owner_of(far) is None
    assert not told(door.socket)


def test_where_the_kernel_may_not_be_asked_nothing_is_told(door, monkeypatch):
    door.client()
    far = door.accepted()
    real = socket.socket

    def forbidding(family: int, *args: int) -> socket.socket:
        if family == socket.AF_NETLINK:
            raise PermissionError(errno.EPERM, "not here")
        return real(family, *args)

    monkeypatch.setattr(socket, "socket", forbidding)
    assert owner_of(far) is None
    assert not told(door.socket)


def test_many_threads_ask_at_once(door):
    pairs = [(door.client(), door.accepted()) for _ in range(20)]
    found: list[int | None] = []
    threads = [threading.Thread(target=lambda pair=pair: found.extend(map(owner_of, pair * 10))) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ME] * 400


# --- questions and answers ------------------------------------------------------------------------------------


def told_by_the_kernel(local: Place, remote: Place, *, state: int = 1, uid: int = 1000, inode: int = 7) -> bytes:
    """An answer as Linux gives it."""
    family = socket.AF_INET if len(local.packed) == 4 else socket.AF_INET6
    body = bytes([family, state, 0, 0]) + struct.pack("!HH", local.port, remote.port)
    body += local.packed.ljust(16, b"\0") + remote.packed.ljust(16, b"\0")
    body += struct.pack("=IIIIIIII", 0, 0x2A, 0, 0, 0, 0, uid, inode)
    body += bytes.fromhex("0500080000000000")  # INET_DIAG_SHUTDOWN, which nobody asked for
    return HEADER.pack(HEADER.size + len(body), 20, 0, 1, 4711) + body


def failure(code: int) -> bytes:
    return HEADER.pack(HEADER.size + 4, 2, 0, 1, 4711) + struct.pack("=i", code)


@pytest.mark.parametrize(("local", "remote"), [V4, V6])
def test_an_answer_says_state_user_and_file(local, remote):
    assert answer(told_by_the_kernel(local, remote), local, remote) == End(1, 1000, 7)


def test_an_answer_about_ipv4_within_ipv6_is_about_ipv4():
    mapped = [Place(bytes(10) + b"\xff\xff" + place.packed, place.port) for place in V4]
    assert answer(told_by_the_kernel(*mapped), *V4) == End(1, 1000, 7)


@pytest.mark.parametrize(("local", "remote"), [V4, V6])
def test_a_question_is_as_long_as_it_says_and_names_both_places(local, remote):
    asked = question(local, remote)
    assert (len(asked), *HEADER.unpack_from(asked)[:4]) == (72, 72, 20, 1, 1)
    assert asked[HEADER.size] == (2 if len(local.packed) == 4 else 10)
    assert asked[24:28] == struct.pack("!HH", local.port, remote.port)
    assert (asked[28:44], asked[44:60]) == (local.packed.ljust(16, b"\0"), remote.packed.ljust(16, b"\0"))


def test_no_such_socket_is_no_error_and_every_other_failure_is():
    assert answer(failure(-errno.ENOENT), *V4) is None
    with pytest.raises(OSError, match="Operation not permitted") as caught:
        answer(failure(-errno.EPERM), *V4)
    assert caught.value.errno == errno.EPERM
    with pytest.raises(OSError, match="an error without one"):
        answer(failure(0), *V4)


@pytest.mark.parametrize(
    "other", [(V4[1], V4[0]), (V4[0], Place(V4[1].packed, 1)), (Place(b"\x7f\0\0\2", 4000), V4[1])]
)
def test_an_answer_about_other_addresses_is_none(other):
    with pytest.raises(OSError, match="another socket"):
        answer(told_by_the_kernel(*other), *V4)
    assert answer(told_by_the_kernel(*other, state=owners.LISTENING), *V4) is None


@pytest.mark.parametrize(("local", "remote"), [V4, V6])
def test_an_answer_that_is_cut_short_anywhere_is_unreadable(local, remote):
    whole = told_by_the_kernel(local, remote)
    for size in range(len(whole)):
        with pytest.raises(OSError, match="cannot be read"):
            answer(whole[:size], local, remote)
    with pytest.raises(OSError, match="cannot be read"):
        answer(failure(-errno.ENOENT)[:-1], local, remote)


def test_an_answer_that_says_it_is_shorter_is_believed_in_that():
    whole = bytearray(told_by_the_kernel(*V4))
    struct.pack_into("=I", whole, 0, 40)
    with pytest.raises(OSError, match="cannot be read"):
        answer(bytes(whole), *V4)


@pytest.mark.parametrize(("at", "value"), [(4, 3), (8, 2), (16, 1)], ids=["kind", "sequence", "family"])
def test_an_answer_to_something_else_is_none(at, value):
    whole = bytearray(told_by_the_kernel(*V4))
    whole[at] = value
    with pytest.raises(OSError, match="cannot be read"):
        answer(bytes(whole), *V4)


@given(st.binary(max_size=200))
def test_whatever_comes_is_an_answer_none_or_an_error_of_the_system(data):
    try:
        found = answer(data, *V4)
    except OSError:
        return
    assert found is None or isinstance(found, End)


@given(st.integers(0, 95), st.integers(0, 255))
def test_a_changed_byte_makes_no_other_kind_of_error(at, value):
    whole = bytearray(told_by_the_kernel(*V4))
    whole[at] = value
    try:
        found = answer(bytes(whole), *V4)
    except OSError:
        return
    assert found is None or (found.uid, found.inode) == (1000, 7) or at >= 80


def test_only_the_kernel_answers(door, monkeypatch):
    """Another process that may write to this socket says that the peer is ours."""
    door.client()
    far = door.accepted()
    real = socket.socket

    class Forged(real):
        def recvfrom(self, *args):
            data, _ = super().recvfrom(*args)
            return data, (4711, 0)

    monkeypatch.setattr(socket, "socket", Forged)
    assert owner_of(far) is None


@pytest.mark.parametrize("state", owners.CLOSING)
def test_a_peer_that_closes_has_left_though_this_end_has_not_heard_of_it(door, monkeypatch, state):
    door.client()
    far = door.accepted()
    monkeypatch.setattr(owners, "_asked", lambda *_: End(state, ME, 7))
    with pytest.raises(ConnectionAbortedError):
        owner_of(far)
