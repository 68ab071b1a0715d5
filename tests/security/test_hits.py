"""How often each bound was reached."""

import threading

from rpcx.abc import PeerFacts
from rpcx.errors import LimitExceeded, ProtocolError
from rpcx.security import audit
from rpcx.security.hits import Hits

ANN = PeerFacts("tcp", "192.0.2.1:1", principal="ann")


class Notes:
    def __init__(self) -> None:
        self.written: list[tuple] = []

    def write(self, kind, peer, fields) -> None:
        self.written.append((kind, peer, {name: value for name, value in fields.items() if value is not None}))


def test_an_error_that_names_a_bound_is_counted_and_told():
    hits, notes = Hits(), Notes()
    audit.keep(notes)
    hits.reached(LimitExceeded("too large", limit="limits.message"), ANN)
    hits.reached(ProtocolError("too late", limit="limits.frame_seconds"), None)
    audit.leave(notes)
    assert hits["limits.message"] == hits["limits.frame_seconds"] == 1
    assert notes.written == [
        ("limit-hit", ANN, {"limit": "limits.message", "result": "too large"}),
        ("limit-hit", None, {"limit": "limits.frame_seconds", "result": "too late"}),
    ]


def test_what_names_none_is_somebody_elses():
    hits, notes = Hits(), Notes()
    audit.keep(notes)
    for error in (LimitExceeded("the peer says so"), ValueError("x"), None):
        hits.reached(error, ANN)
    audit.leave(notes)
    assert notes.written == []
    assert hits["limits.message"] == 0


def test_threads_lose_no_count():
    hits = Hits()

    def many() -> None:
        for _ in range(10_000):
            hits.count("x")

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hits["x"] == 40_000
