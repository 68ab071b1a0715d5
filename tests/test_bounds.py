"""Every bound of a host: that it is there, that it counts, and that its owner is shown it."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgpack
import pytest

import rpcx
from rpcx.protocol.frames import HEADER, Kind, frame
from rpcx.protocol.handshake import MAGIC
from rpcx.security.identity import own_identity
from rpcx.security.keyring import trust
from tests.attacks.test_clients import hostile, is_closed
from tests.attacks.test_floods import door, eventually
from tests.security.pair import user

ROOT = Path(__file__).parent.parent


@rpcx.singleton("desk", allow=["*"])
class Desk:
    def __init__(self) -> None:
        self.kept: list[object] = []

    def add(self, a: int, b: int) -> int:
        return a + b

    def keep(self, things: list[object]) -> None:
        self.kept += things

    @rpcx.oneway
    def rest(self) -> None:
        time.sleep(0.2)

    @rpcx.method(blocking=True)
    def work(self) -> None:
        time.sleep(0.2)

    def data(self) -> bytes:
        return b"x" * 100_000

    @rpcx.method(blocking=True)
    def carry(self, data: bytes) -> int:
        time.sleep(0.2)
        return len(data)


@rpcx.client_activated(allow=["*"], lease=rpcx.Lease(initial=60))
class Note:
    def text(self) -> str:
        return "text"


@rpcx.remote
class Listener:
    def heard(self) -> None: ...


@contextmanager
def desk(**options) -> Iterator[tuple[rpcx.Host, str]]:
    host = rpcx.Host(**options)
    host.register(Desk, Note)
    url = host.listen("tcp://127.0.0.1:0", insecure=True)
    with host:
        yield host, url


def call(number: int, *args: object, method: str = "add", meta: object = None) -> bytes:
    envelope = ["desk", method, list(args), 30.0]
    return frame(Kind.CALL, number, msgpack.packb(envelope if meta is None else [*envelope, None, meta]))[0]


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


#: Two messages of 200 kB: the second comes while the call of the first runs.
LARGE = b"".join(call(number, b"x" * 200_000, method="carry") for number in (1, 2))

#: What one client sends that goes over a bound, and the host's options.
SENT = {
    "limits.message": (HEADER.pack(2_000_000, Kind.CALL, 0, 0, 1), {"limits": rpcx.Limits(message=1 << 20)}),
    "limits.in_flight": (
        b"".join(call(number, method="work") for number in range(1, 7)), {"limits": rpcx.Limits(in_flight=5)},
    ),
    "limits.in_flight_per_host": (
        b"".join(call(number, method="work") for number in range(1, 7)), {"limits": rpcx.Limits(in_flight_per_host=2)},
    ),
    "limits.large_per_host": (
        LARGE, {"limits": rpcx.Limits(message=250_000, large_per_host=1)},
    ),
    "limits.oneways": (
        frame(Kind.ONEWAY, 0, msgpack.packb(["desk", "rest", [], None]))[0] * 5, {"limits": rpcx.Limits(oneways=2)},
    ),
    "limits.min_ping": (frame(Kind.PING, 1, b"")[0] * 5, {}),
    "limits.frame_seconds": (HEADER.pack(100, Kind.CALL, 0, 0, 1), {"limits": rpcx.Limits(frame_seconds=0.1)}),
    "limits.ping_timeout": (b"", {"limits": rpcx.Limits(ping_idle=0.1, ping_timeout=0.1, min_ping=0, handshake=0.3)}),
    "fixed.depth": (call(1, nested(40)), {}),
    "fixed.containers": (call(1, [[]] * 100_001), {}),
    "fixed.key_length": (call(1, {"k" * 20_000: 1}), {}),
    "fixed.call_depth": (call(1, 1, 2, meta={"d": 33}), {}),
    "fixed.segments": (HEADER.pack(8000, Kind.CALL, 0, 1025, 1), {}),
    "fixed.vain_calls": (frame(Kind.ONEWAY, 0, b"\xc1")[0] * 300, {}),
    "fixed.batch_calls": (
        frame(Kind.BATCH, 1, msgpack.packb([["desk", "add", 1000, [], 30.0]] * 101))[0], {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SENT)
def test_a_bound_that_a_client_goes_over_is_counted(name):
    data, options = SENT[name]
    with desk(**options) as (host, url):
        assert host.bounds()[name].refused == 0
        with hostile(url) as sock:
            sock.sendall(data)
            assert eventually(lambda: host.bounds()[name].refused >= 1)
        with rpcx.connect(url, insecure=True) as good:
            assert good.get(Desk).add(1, 2) == 3


@pytest.mark.parametrize(("name", "said"), [
    ("fixed.handshake_bytes", MAGIC + HEADER.pack(9000, Kind.HELLO, 0, 0, 0)), ("limits.handshake", MAGIC[:3]),
])  # fmt: skip
def test_so_is_one_that_a_stranger_goes_over(name, said):
    with desk(limits=rpcx.Limits(handshake=0.1)) as (host, url), socket.create_connection(door(url)) as sock:
        sock.settimeout(5)
        sock.sendall(said)
        assert is_closed(sock)
        assert eventually(lambda: host.bounds()[name].refused == 1)


def test_who_takes_nothing_is_counted_when_it_is_read_no_further_and_when_it_is_closed():
    limits = rpcx.Limits(write_cap=100_000, write_stall=0.2)
    with desk(limits=limits) as (host, url), hostile(url) as sock:
        with suppress(OSError):
            sock.settimeout(0.5)
            for number in range(1, 200):
                sock.sendall(call(number, method="data"))
        assert eventually(lambda: host.bounds()["limits.write_stall"].refused == 1)
        waited = host.bounds()["limits.write_cap"]
        assert waited.refused == 1
        assert waited.high > 100_000


def test_objects_callbacks_sponsors_and_renewals_are_counted():
    quotas = rpcx.Quotas(per_holder=20, per_principal=20, callbacks=5, longest_renewal=60)
    with desk(quotas=quotas) as (host, url), rpcx.connect(url, insecure=True) as server:
        notes = [server.create(Note) for _ in range(20)]
        with pytest.raises(rpcx.LimitExceeded):
            server.create(Note)
        with pytest.raises(rpcx.LimitExceeded, match="60 s at a time"):
            rpcx.lease(notes[0]).renew(61)
        listeners = [Listener() for _ in range(6)]
        server.get(Desk).keep(listeners[:5])
        with pytest.raises(rpcx.LimitExceeded, match="callbacks=5"):
            server.get(Desk).keep(listeners[5:])
        bounds = host.bounds()
        assert bounds["quotas.per_principal"] == (20, 20, 20, 1)
        assert bounds["quotas.per_holder"] == (20, 20, 20, 0)
        assert bounds["quotas.per_host"][1:] == (20, 21, 0)
        assert bounds["quotas.longest_renewal"].refused == 1
        assert bounds["quotas.callbacks"] == (5, 5, 5, 1)


def test_callbacks_that_the_host_let_go_make_room():
    kept = Desk()

    def takes_five(server: rpcx.Server) -> bool:
        kept.kept.clear()
        with suppress(rpcx.LimitExceeded):  # the thread that ran the last call may have its arguments for a moment
            server.get(Desk, "kept").keep([Listener() for _ in range(5)])
        return len(kept.kept) == 5

    with desk(quotas=rpcx.Quotas(callbacks=5)) as (host, url), rpcx.connect(url, insecure=True) as server:
        host.publish(kept, "kept")
        for _ in range(10):
            assert eventually(lambda: takes_five(server))


def test_an_object_has_so_many_sponsors():
    with desk() as (host, url), rpcx.connect(url, insecure=True) as server:
        lease = rpcx.lease(server.create(Note))
        sponsors = [rpcx.ClientSponsor() for _ in range(17)]
        for sponsor in sponsors[:16]:
            lease.register(sponsor)
        with pytest.raises(rpcx.LimitExceeded, match="16 sponsors"):
            lease.register(sponsors[16])
        assert host.bounds()["fixed.sponsors"] == (16, 16, 16, 1)


def test_a_connection_that_is_old_is_counted_and_its_client_comes_back_by_itself(tmp_path):
    with user(tmp_path / "ann"):
        ann = own_identity()
    with user(tmp_path / "host"):
        own_identity()
        trust(tmp_path / "host", ann.certificate_file.read_bytes(), "ann", frozenset())
        host = rpcx.Host(limits=rpcx.Limits(session=0.3))
        host.register(Desk, Note)
        url = host.listen("tcp://127.0.0.1:0")
    with host, user(tmp_path / "ann"), rpcx.connect(url) as server:
        note = server.create(Note)
        assert eventually(lambda: host.bounds()["limits.session"].refused >= 1)

        def holds_it_still() -> bool:
            with suppress(rpcx.ConnectionLost):  # the next connection is old soon, too
                return server.get(Desk).add(1, 2) == 3 and note.text() == "text"
            return False

        assert eventually(holds_it_still)


def test_the_owner_has_no_such_end():
    with desk(limits=rpcx.Limits(session=0.1)) as (host, url), rpcx.connect(url, insecure=True):
        (endpoint,) = host._realm.endpoints
        assert endpoint._connection.term is None


def test_a_call_that_runs_for_too_long_is_cancelled():
    @rpcx.singleton("slow")
    class Slow:
        async def wait(self) -> None:
            import asyncio

            await asyncio.sleep(60)

    with desk(limits=rpcx.Limits(longest_call=0.3)) as (host, url):
        host.register(Slow)
        with rpcx.connect(url, insecure=True) as server, pytest.raises(rpcx.Cancelled), rpcx.options(timeout=None):
            server.get(Slow).wait()
        assert host.bounds()["limits.longest_call"].refused == 1


def test_the_owner_is_shown_them_and_nobody_else(tmp_path):
    with user(tmp_path / "ann"):
        ann = own_identity()
    with user(tmp_path / "host"):
        own_identity()
        trust(tmp_path / "host", ann.certificate_file.read_bytes(), "ann", frozenset())
        host = rpcx.Host()
        host.register(Desk, Note)
        url = host.listen("tcp://127.0.0.1:0")
    with host:
        with user(tmp_path / "host"), rpcx.connect(url) as server:
            shown = server.describe()["bounds"]
            assert shown.keys() == host.bounds().keys()
            assert shown["limits.in_flight"]["most"] == 1024
            json.dumps(shown, allow_nan=False)
        with user(tmp_path / "ann"), rpcx.connect(url) as server:
            assert server.describe()["bounds"] == {}


def test_they_are_there_before_a_host_runs_and_after():
    host = rpcx.Host(limits=rpcx.Limits(in_flight=7))
    assert host.bounds()["limits.in_flight"] == (7, 0, 0, 0)
    with host:
        pass
    assert host.bounds()["limits.in_flight"] == (7, 0, 0, 0)


def test_what_can_be_set_is_called_by_where_it_is_set():
    names = [name.partition(".") for name in rpcx.Host().bounds()]
    for part, options in (("limits", rpcx.Limits()), ("quotas", rpcx.Quotas()), ("admission", rpcx.Admission())):
        for scope, _, name in names:
            assert scope != part or hasattr(options, name) or name == "allow_from"
    assert {scope for scope, _, _ in names} == {"limits", "quotas", "admission", "fixed"}


def test_every_bound_that_an_error_names_is_one():
    named = {
        name
        for path in (ROOT / "rpcx").rglob("*.py")
        for name in re.findall(r'limit="((?:limits|quotas|admission|fixed)\.\w+)"', path.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert not named - rpcx.Host().bounds().keys()


def test_every_bound_is_explained():
    page = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`((?:limits|quotas|admission|fixed)\.\w+)`", page))
    assert told == rpcx.Host().bounds().keys()
