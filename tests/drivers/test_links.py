"""A link's sends, and what may be asked of it from anywhere."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rpcx.drivers.links import ThreadLink
from rpcx.drivers.threads import Pump
from tests.drivers.toy import LineSession, SocketEnd


@contextmanager
def linked(session: LineSession, *, callers_lead: bool = True) -> Iterator[tuple[Pump, ThreadLink, socket.socket]]:
    """A running pump, its link with ``session``, and the peer's socket."""
    pump = Pump("toy", callers_lead=callers_lead)
    near, far = socket.socketpair()
    near.settimeout(5)
    link = pump.add(SocketEnd(far), session)
    pump.start()
    try:
        yield pump, link, near
    finally:
        pump.close()
        near.close()


def test_a_finalizer_may_ask_for_a_send_while_one_is_under_way():
    """A reference that dies inside `outgoing` asks its link to send: that thread holds the link's lock."""

    class Dying(LineSession):
        def outgoing(self):
            if self.out:
                link.flush_later()
            return super().outgoing()

    with linked(session := Dying()) as (_, link, near):
        session.out.append(b"first\n")
        link.send()
        assert near.recv(100) == b"first\n"
        session.out.append(b"second\n")
        link.flush_later()
        assert near.recv(100) == b"second\n"


def test_what_comes_within_a_millisecond_leaves_together():
    with linked(session := LineSession()) as (_, link, near):
        said = b""
        for i in range(100):
            session.out.append(b"%d\n" % i)
            link.flush_soon()
        while said.count(b"\n") < 100:
            said += near.recv(4096)
        assert said == b"".join(b"%d\n" % i for i in range(100))


def test_what_is_said_while_the_only_helper_sleeps_leaves_too():
    """The first message takes the lead from the helper, which sleeps on; the second must not wait for it."""
    with linked(session := LineSession()) as (pump, link, near):
        said = b""
        for i in range(20):
            asleep_within(pump, 5)
            for word in (b"first", b"second"):
                session.out.append(b"%s %d\n" % (word, i))
                link.flush_soon()
            while not said.endswith(b"second %d\n" % i):
                said += near.recv(4096)


class Twofold(LineSession):
    """Has a list of frames, and something besides that becomes one when it is asked."""

    def __init__(self):
        super().__init__()
        self.frames = []
        self.besides = []

    @property
    def ready(self):
        return bool(self.frames or self.besides)

    def outgoing(self):
        taken = [*self.frames, *self.besides]
        self.frames.clear()
        self.besides.clear()
        return taken


@pytest.mark.parametrize("send", ["flush_now", "flush_soon", "flush_later", "close"])
def test_what_is_no_frame_yet_leaves_behind_a_lone_one(send):
    with linked(session := Twofold()) as (_, link, near):
        session.frames.append(b"frame\n")
        session.besides.append(b"besides\n")
        getattr(link, send)()
        said = b""
        while said.count(b"\n") < 2:
            data = near.recv(100)
            assert data
            said += data
        assert said == b"frame\nbesides\n"


def test_a_lone_frame_of_which_half_is_taken_leaves_wholly_and_before_others():
    with linked(session := Twofold(), callers_lead=False) as (_, link, near):
        for letter in (b"a", b"b", b"c"):
            session.frames.append(letter * 1_000_000)
            link.flush()
        said = b""
        while len(said) < 3_000_000:
            said += near.recv(1 << 16)
        assert said == b"a" * 1_000_000 + b"b" * 1_000_000 + b"c" * 1_000_000


def asleep_within(pump: Pump, seconds: float) -> None:
    """Wait until the pump's helper leads and sleeps in the kernel."""
    until = time.monotonic() + seconds
    while not pump._asleep:
        assert time.monotonic() < until
        time.sleep(0.0005)
