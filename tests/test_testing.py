"""What users' tests are written with: pairs, virtual time, and that nothing is left."""

import asyncio
import threading
import time

import pytest

import rpcx
import rpcx.aio
from rpcx.remoting.objects import Leased
from rpcx.testing import PATIENCE, VirtualClock, nothing_left, pair

CLOSED: list[str] = []


@rpcx.client_activated(lease=rpcx.Lease(initial=300, renew_on_call=120, sponsorship_timeout=60))
class Bed:
    def __init__(self, plant: str) -> None:
        self.plant = plant

    def water(self, litres: float) -> str:
        return f"{self.plant} {litres:g}"

    def close(self) -> None:
        CLOSED.append(self.plant)


@rpcx.client_activated(lease=rpcx.Lease(initial=300))
class Gentle:
    async def aclose(self) -> None:
        await asyncio.sleep(0.01)
        CLOSED.append("gently")


@rpcx.singleton("greenhouse")
class Greenhouse:
    def degrees(self) -> float:
        return 21.5


class Sponsor:
    """Grants what it was told to, and notes when it was asked."""

    def __init__(self, clock: VirtualClock, *grants: float) -> None:
        self.clock = clock
        self.grants = list(grants)
        self.asked: list[float] = []

    def renewal(self, lease: rpcx.LeaseInfo) -> float:
        self.asked.append(self.clock())
        return self.grants.pop(0) if self.grants else 0.0


@pytest.fixture(autouse=True)
def none_closed() -> None:
    CLOSED.clear()


# --- pairs --------------------------------------------------------------------------------------------------


def test_a_pair_is_a_host_and_a_client():
    with pair(Bed, Greenhouse) as both:
        assert both.server.get(Greenhouse).degrees() == 21.5
        assert both.server.create(Bed, "beans").water(1) == "beans 1"
        assert both.host.stats()["connections"] == 1
        with both.connect() as other:
            assert other.get(Greenhouse).degrees() == 21.5
            assert both.host.stats()["connections"] == 2
    assert CLOSED == ["beans"]


def test_a_pair_in_a_loop_has_no_thread():
    async def main() -> None:
        async with pair(Bed, Greenhouse) as both:
            assert await both.server.get(Greenhouse).degrees() == 21.5
            async with await both.connect() as other:
                assert await (await other.create(Bed, "beans")).water(2) == "beans 2"
            ours = {thread.name for thread in threading.enumerate() if thread.name.startswith("rpcx")}
            assert ours <= {"rpcx-aside", "rpcx-async"}  # one dials and ends; one may be there since an earlier test
        assert CLOSED == ["beans"]

    asyncio.run(main())


def test_a_pair_takes_a_host_and_the_options_of_a_client():
    host = rpcx.Host(formatters=["json"], clock=VirtualClock())
    host.publish(Greenhouse(), "house")
    with pair(host=host, formatters=["json"]) as both:
        assert both.host is host
        assert both.server.get(Greenhouse, "house").degrees() == 21.5


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "loop"])
def test_a_pair_that_cannot_be_joined_leaves_nothing(asynchronous):
    async def main() -> None:
        async with pair(host=rpcx.Host(formatters=["json"]), formatters=["msgpack"]):
            raise AssertionError("joined")

    with nothing_left(), pytest.raises(rpcx.ProtocolError):
        if asynchronous:
            asyncio.run(main())
        else:
            pair(host=rpcx.Host(formatters=["json"]), formatters=["msgpack"]).__enter__()


def test_a_pair_that_was_not_entered_holds_nothing():
    with nothing_left():
        pair(Bed)


# --- time ---------------------------------------------------------------------------------------------------


def test_a_lease_runs_out_when_the_clock_is_moved_and_not_before():
    with pair(Bed) as both:
        bed = both.server.create(Bed, "beans")
        both.clock.advance(299.9)
        assert CLOSED == []
        assert bed.water(1) == "beans 1"
        both.clock.advance(119.9)
        assert bed.water(1) == "beans 1"  # each call renews
        both.clock.advance(120)
        assert CLOSED == ["beans"]  # it was closed when the clock had moved
        with pytest.raises(rpcx.ObjectExpired, match="its lease ran out"):
            bed.water(1)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "loop"])
def test_a_call_that_was_answered_is_over_before_the_clock_moves(monkeypatch, asynchronous):
    """Its object is left a moment after its caller has the answer, and renewed then."""
    leave = Leased.leave

    def slowly(self, instance) -> None:
        time.sleep(0.05)
        leave(self, instance)

    monkeypatch.setattr(Leased, "leave", slowly)
    with pair(Bed) as both:
        bed = both.server.create(Bed, "beans")
        both.clock.advance(250)
        bed.water(1)
        if asynchronous:
            asyncio.run(both.clock.advance_async(120))
        else:
            both.clock.advance(120)
        assert CLOSED == ["beans"]


def test_a_sponsor_is_asked_each_time_it_would_have_been():
    with pair(Bed) as both:
        begun = both.clock()
        sponsor = Sponsor(both.clock, 60, 30, 10)
        rpcx.lease(both.server.create(Bed, "beans")).register(sponsor)
        both.clock.advance(1000)
        assert [when - begun for when in sponsor.asked] == [300, 360, 390, 400]
        assert CLOSED == ["beans"]
        assert both.clock() - begun == 1000


def test_a_client_that_keeps_its_word_keeps_its_object():
    with pair(Bed) as both:
        bed = both.server.create(Bed, "beans")
        rpcx.lease(bed).register(rpcx.ClientSponsor(renewal=60))
        both.clock.advance(24 * 3600)
        assert bed.water(1) == "beans 1"


def test_a_sponsor_that_is_silent_holds_the_clock_up_for_its_patience_and_no_longer():
    release = threading.Event()

    class Silent:
        def renewal(self, lease: rpcx.LeaseInfo) -> float:
            release.wait(10)
            return 60.0

    host, sponsor = rpcx.Host(clock=VirtualClock(patience=0.05)), Silent()
    with pair(Bed, host=host) as both:
        rpcx.lease(both.server.create(Bed, "beans")).register(sponsor)
        both.clock.advance(359)
        assert CLOSED == []  # its deadline has not come
        both.clock.advance(1)
        assert CLOSED == ["beans"]
        release.set()


def test_what_a_lost_client_held_ends_after_the_grace_time():
    with pair(Bed, Greenhouse) as both:
        other = both.connect()
        mine, theirs = both.server.create(Bed, "mine"), other.create(Bed, "theirs")
        both.cut(other)
        both.clock.advance(29)
        assert CLOSED == []
        both.clock.advance(1)
        assert CLOSED == ["theirs"]
        assert mine.water(1) == "mine 1"
        with pytest.raises(rpcx.ObjectExpired, match="was lost and not back within 30 s"):
            theirs.water(1)  # over a new connection


def test_a_client_that_comes_back_in_time_has_all_of_it_again():
    with pair(Bed) as both:
        bed = both.server.create(Bed, "beans")
        both.cut()
        assert both.host.stats()["connections"] == 0
        both.clock.advance(29)
        assert bed.water(1) == "beans 1"
        both.clock.advance(29)
        assert CLOSED == []


def test_what_is_due_at_once_happens_without_the_clock_being_moved():
    with pair(Bed) as both:
        with both.server.create(Bed, "beans"):
            pass  # given back: it ends now
        deadline = time.monotonic() + 5
        while not CLOSED and time.monotonic() < deadline:
            time.sleep(0.001)
        assert CLOSED == ["beans"]


def test_time_in_a_loop_is_moved_by_awaiting_it():
    async def main() -> None:
        async with pair(Bed, Gentle) as both:
            sponsor = Sponsor(both.clock, 60)
            await rpcx.lease(await both.server.create(Bed, "beans")).register(sponsor)
            gentle = await both.server.create(Gentle)
            with pytest.raises(RuntimeError, match="await clock.advance_async"):
                both.clock.advance(1)
            await both.clock.advance_async(359)
            assert len(sponsor.asked) == 1
            assert CLOSED == ["gently"]
            both.cut()
            await both.clock.advance_async(30)
            assert CLOSED == ["gently", "beans"]
            del gentle

    asyncio.run(main())


def test_a_sponsor_that_is_silent_holds_a_loop_up_no_longer_either():
    async def main() -> None:
        class Silent:
            async def renewal(self, lease: rpcx.LeaseInfo) -> float:
                await asyncio.sleep(10)
                return 60.0

        host, sponsor = rpcx.Host(clock=VirtualClock(patience=0.05)), rpcx.remote(Silent)()
        async with pair(Bed, host=host) as both:
            await rpcx.lease(await both.server.create(Bed, "beans")).register(sponsor)
            await both.clock.advance_async(360)
            assert CLOSED == ["beans"]

    asyncio.run(main())


def test_an_asynchronous_end_is_awaited_by_a_clock_under_threads():
    with pair(Gentle) as both:
        proxy = both.server.create(Gentle)
        both.clock.advance(300)
        assert CLOSED == ["gently"]
        del proxy


def test_hosts_may_share_a_clock():
    clock = VirtualClock()
    with pair(Bed, host=rpcx.Host(clock=clock)) as one, pair(Bed, host=rpcx.Host(clock=clock)) as two:
        beds = [one.server.create(Bed, "first")]
        clock.advance(100)
        beds.append(two.server.create(Bed, "second"))
        clock.advance(1000)
        assert CLOSED == ["first", "second"]
        del beds
    clock.advance(1000)  # of hosts that are gone


def test_a_clock_goes_forward_only():
    for wrong in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="a clock goes forward"):
            VirtualClock().advance(wrong)


def test_a_clock_says_what_it_shows():
    clock = VirtualClock()
    over = clock.begun()
    assert repr(clock) == "<VirtualClock 1000 s, 1 under way>"
    over()
    over()
    assert repr(clock) == "<VirtualClock 1000 s, 0 under way>"


def test_a_host_with_a_clock_of_its_own_has_none_that_can_be_moved():
    with pair(host=rpcx.Host()) as both, pytest.raises(TypeError, match=r"rpcx\.Host\(clock=rpcx\.testing\.VirtualCl"):
        _ = both.clock


def test_real_time_does_not_count():
    """The pump's own timers go on; leases do not see them."""
    with pair(Bed) as both:
        bed = both.server.create(Bed, "beans")
        for _ in range(50):
            time.sleep(0.001)
            bed.water(1)
        assert rpcx.lease(bed).remaining == 300
    assert PATIENCE > 1


# --- nothing is left ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["host", "listener", "client", "in a loop"])
def test_what_was_not_closed_is_named(what):
    host = rpcx.Host()
    kept: list = []

    def leave() -> None:
        if what == "host":
            kept.append(host.start())
        elif what == "listener":
            host.listen("inproc://left")
        else:
            kept.append(rpcx.connect(url))

    async def left_in_a_loop() -> None:
        with pytest.raises(AssertionError, match="not closed: <AsyncServer inproc://left>"), nothing_left(settle=0.05):
            server = await rpcx.aio.connect(url).open()
            kept.append(server)
        await server.close()

    url = host.listen("inproc://left") if what in ("client", "in a loop") else ""
    if url:
        host.start()
    if what == "in a loop":
        asyncio.run(left_in_a_loop())
    else:
        with pytest.raises(AssertionError, match=r"not closed: <(Host|Server) ") as told, nothing_left(settle=0.05):
            leave()
        assert "left" in str(told.value) or what == "host"
        for end in kept:
            end.close()
    host.close()


def test_what_was_open_before_or_is_closed_within_is_fine():
    host = rpcx.Host()
    host.register(Greenhouse)
    url = host.listen("inproc://fine")
    with host, nothing_left():
        with rpcx.connect(url) as server:
            server.get(Greenhouse).degrees()
        rpcx.Host()  # does not listen
        house = rpcx.get(url + "/greenhouse", Greenhouse)
        house.degrees()
        del house  # its connection closes with it


def test_a_failure_within_is_not_hidden_by_what_it_left():
    host = rpcx.Host()
    with pytest.raises(ZeroDivisionError), nothing_left():
        host.listen("inproc://hidden")
        _ = 1 / 0
    host.close()
