"""A link's sends, and what may be asked of it from anywhere."""

import socket

from rpcx.drivers.threads import Pump
from tests.drivers.toy import LineSession, SocketEnd


def test_a_finalizer_may_ask_for_a_send_while_one_is_under_way():
    """A reference that dies inside `outgoing` asks its link to send: that thread holds the link's lock."""
    pump = Pump("toy", callers_lead=True)
    near, far = socket.socketpair()
    near.settimeout(5)

    class Dying(LineSession):
        def outgoing(self):
            if self.out:
                link.flush_later()
            return super().outgoing()

    session = Dying()
    link = pump.add(SocketEnd(far), session)
    pump.start()
    session.out.append(b"first\n")
    link.send()
    assert near.recv(100) == b"first\n"
    session.out.append(b"second\n")
    link.flush_later()
    assert near.recv(100) == b"second\n"
    pump.close()
    near.close()


def test_what_comes_within_a_millisecond_leaves_together():
    pump = Pump("toy", callers_lead=True)
    near, far = socket.socketpair()
    near.settimeout(5)
    session = LineSession()
    link = pump.add(SocketEnd(far), session)
    pump.start()
    said = b""
    for i in range(100):
        session.out.append(b"%d\n" % i)
        link.flush_soon()
    while said.count(b"\n") < 100:
        said += near.recv(4096)
    assert said == b"".join(b"%d\n" % i for i in range(100))
    pump.close()
    near.close()
