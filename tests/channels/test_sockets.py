"""What channels on sockets share."""

import os
import subprocess
import sys

from rpcx.abc import PeerFacts
from rpcx.channels.sockets import MOST_BUFFERS, SocketStream, credentials
from tests.channels.conformance import received

EXHAUSTED = """
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
from rpcx.channels.tcp import TcpChannel
from rpcx.channels.urls import parse
listener = TcpChannel().listen(parse("tcp://127.0.0.1:0"), insecure=True)
port = int(listener.url.rpartition(":")[2])
child_ends, streams = [], []
import os
hogs = []
try:
    while True:
        hogs.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    os.close(hogs.pop())
client = socket.socket()
client.connect(("127.0.0.1", port))
assert listener.accept() is None
assert listener.refused == 1
client.settimeout(5)
assert client.recv(1) == b"", "it was dropped"
client.close()
for hog in hogs:
    os.close(hog)
client = socket.socket()
client.connect(("127.0.0.1", port))
stream = None
while stream is None:
    stream = listener.accept()
print("served again")
"""


def pair():
    import socket

    near, far = socket.socketpair()
    facts = PeerFacts("test", "pair")
    return SocketStream(near, facts), SocketStream(far, facts)


def test_more_buffers_than_the_system_takes_at_once_are_sent_in_part():
    near, far = pair()
    sent = near.send([b"x" * 20] * (MOST_BUFFERS + 500))
    assert sent == MOST_BUFFERS * 20
    assert received(far, sent) == b"x" * sent
    near.close()
    far.close()


def test_the_kernel_tells_who_is_at_the_other_end():
    near, far = pair()
    assert credentials(near.socket) == (os.getpid(), os.getuid(), os.getgid())
    near.close()
    far.close()


def test_without_descriptors_a_listener_drops_who_comes_and_serves_again_later():
    done = subprocess.run([sys.executable, "-c", EXHAUSTED], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "served again", done.stderr


def refusing(url: str = "tcp://127.0.0.1:0"):
    import socket

    from rpcx.channels.sockets import SocketListener
    from rpcx.errors import AccessDenied

    def refuse(sock, where):
        raise AccessDenied("not you")

    listening = socket.create_server(("127.0.0.1", 0), backlog=200)
    return SocketListener([listening], url, refuse), listening.getsockname()


def test_a_crowd_that_is_refused_leaves_others_their_turn():
    """Whoever serves other connections too is back after so many, and comes again for the rest."""
    import socket

    from rpcx.channels.sockets import REFUSALS

    listener, where = refusing()
    crowd = [socket.create_connection(where) for _ in range(REFUSALS + 6)]
    assert listener.accept() is None
    assert listener.refused == REFUSALS
    assert listener.accept() is None
    assert listener.refused == REFUSALS + 6
    for each in crowd:
        each.close()
    listener.close()


def test_who_comes_again_and_again_to_be_refused_does_not_fill_the_log(caplog, monkeypatch):
    import socket

    from rpcx.channels import sockets
    from rpcx.security.tally import REPORT_SECONDS

    now = [100.0]
    monkeypatch.setattr(sockets.time, "monotonic", lambda: now[0])
    listener, where = refusing()

    def come(times: int) -> None:
        for _ in range(times):
            with socket.create_connection(where):
                assert listener.accept() is None

    come(5)
    now[0] += REPORT_SECONDS
    come(2)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "tcp://127.0.0.1:0: refused: 1 (not you)",
        "tcp://127.0.0.1:0: refused: 5 (not you)",
    ]
    listener.close()
    assert caplog.records[-1].getMessage() == "tcp://127.0.0.1:0: refused: 1 (not you)", "what is left, at the end"
