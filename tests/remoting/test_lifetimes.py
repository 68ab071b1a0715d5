"""How objects live and end, through the public API."""

import gc
import threading
import time
from collections.abc import Callable

import pytest

import rpcx
from rpcx.testing import VirtualClock

ENDED: list[str] = []
WORK = threading.Event()  # may end
MADE: list[str] = []


def eventually(condition, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return False


@rpcx.client_activated(lease=rpcx.Lease(initial=300))
class Account:
    def __init__(self, owner: str, balance: int = 0) -> None:
        self.owner, self.balance = owner, balance

    def deposit(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    def __exit__(self, *exc_info) -> None:
        ENDED.append(self.owner)


@rpcx.client_activated(lease=rpcx.Lease(initial=20, renew_on_call=20, sponsorship_timeout=10))
class Short:
    def ping(self) -> int:
        return 1

    def work(self, begun: Callable[[], None]) -> str:
        begun()
        WORK.wait(10)
        return "done"


class Up:
    def __init__(self) -> None:
        MADE.append(type(self).__name__)
        self.n = 0

    @rpcx.method
    def up(self) -> int:
        self.n += 1
        return self.n


@rpcx.singleton("counter")
class Counter(Up):
    pass


@rpcx.singleton("forgetful", lease=rpcx.Lease(initial=50, renew_on_call=50))
class Forgetful(Up):
    pass


@rpcx.single_call("once")
class Once(Up):
    def __exit__(self, *exc_info) -> None:
        ENDED.append("once")


@rpcx.remote
class Plain:
    def hi(self) -> str:
        return "hi"


@rpcx.singleton("lender")
class Lender:
    def __init__(self) -> None:
        self.things = [Plain(), Plain()]

    def lend(self, number: int) -> Plain:
        return self.things[number]


def test_a_singleton_is_made_once_whoever_comes_first(serve):
    MADE.clear()
    server = serve(Counter)
    futures = [rpcx.future(server.get(Counter).up) for _ in range(20)]
    assert sorted(f.result() for f in futures) == list(range(1, 21))
    assert MADE == ["Counter"]


@pytest.fixture
def clock() -> VirtualClock:
    """Of the host, if it is given to it."""
    return VirtualClock()


def test_a_leased_singleton_that_ended_is_made_anew(serve, clock):
    forgetful = serve(Forgetful, clock=clock).get(Forgetful)
    assert (forgetful.up(), forgetful.up()) == (1, 2)
    clock.advance(49)
    assert forgetful.up() == 3
    clock.advance(50)
    assert forgetful.up() == 1


def test_a_single_call_object_lives_for_its_call(serve):
    ENDED.clear()
    once = serve(Once).get(Once)
    assert (once.up(), once.up()) == (1, 1)
    assert eventually(lambda: ENDED == ["once", "once"])
    with rpcx.batch(once) as calls:
        futures = [calls.up(), calls.up()]
    assert [f.result() for f in futures] == [1, 1]


def test_a_published_object_stays_until_it_is_withdrawn(serve):
    server = serve(published={"plain": Plain()})
    assert server.get(Plain, "plain").hi() == "hi"
    server.host.withdraw("plain")
    with pytest.raises(rpcx.ObjectNotFound):
        server.get(Plain, "plain").hi()


def test_registering_what_makes_no_sense_is_refused():
    host = rpcx.Host()
    with pytest.raises(TypeError, match="no remote class"):
        host.register(dict)
    host.register(Counter)
    with pytest.raises(ValueError, match="'counter' is taken"):
        host.register(Counter)

    @rpcx.singleton("needy")
    class Needy:
        def __init__(self, what: str) -> None: ...
        def f(self) -> None: ...

    with pytest.raises(TypeError, match="made without arguments"):
        host.register(Needy)
    host.register(Needy, factory=lambda: Needy("this"))
    host.close()


@pytest.mark.parametrize("how", ["with", "close", "forget"])
def test_a_client_activated_object_ends_with_its_proxy(serve, how):
    ENDED.clear()
    server = serve(Account)
    account = server.create(Account, "ann", balance=100)
    assert account.deposit(5) == 105
    assert server.host.stats()["leased"] == 1
    if how == "with":
        with account:
            pass
    elif how == "close":
        account.close()
    del account
    gc.collect()
    assert eventually(lambda: ENDED == ["ann"])
    assert eventually(lambda: server.host.stats()["leased"] == 0)


@pytest.mark.parametrize("quota", ["per_holder", "per_principal", "per_host"])
def test_an_object_over_quota_is_made_closed_and_forgotten(serve, quota):
    ENDED.clear()
    server = serve(Account, quotas=rpcx.Quotas(**{quota: 1}))
    kept = server.create(Account, "ann")
    with pytest.raises(rpcx.LimitExceeded, match=f"{quota}=1"):
        server.create(Account, "bob")
    assert eventually(lambda: ENDED == ["bob"])
    assert server.host.stats()["leased"] == server.host.stats()["objects"] == 1
    assert kept.deposit(5) == 5
    kept.close()
    assert eventually(lambda: ENDED == ["bob", "ann"])


def test_what_one_client_may_not_have_is_handed_to_another(serve):
    server = serve(Lender, quotas=rpcx.Quotas(per_holder=1))
    first, lender = server.get(Lender).lend(0), server.get(Lender)
    with pytest.raises(rpcx.LimitExceeded, match="per_holder=1"):
        lender.lend(1)
    with rpcx.connect(server.host.urls[0]) as other:
        assert other.get(Lender).lend(1).hi() == "hi"
    assert first.hi() == "hi"


def test_a_closed_proxy_says_so(serve):
    server = serve(Account)
    with server.create(Account, "x") as account:
        pass
    with pytest.raises(rpcx.ObjectExpired, match="this proxy was closed"):
        account.deposit(1)


def test_constructor_arguments_are_checked(serve):
    server = serve(Account)
    with pytest.raises(rpcx.InvalidArguments, match="'balance'"):
        server.create(Account, "ann", "lots")
    with pytest.raises(rpcx.ObjectNotFound, match="lets clients make no 'Short'"):
        server.create(Short)


def test_a_lease_that_runs_out_ends_the_object_and_the_error_says_when_and_why(serve, clock):
    short = serve(Short, clock=clock).create(Short)
    assert short.ping() == 1
    clock.advance(19.9)
    assert short.ping() == 1
    clock.advance(23.5)
    with pytest.raises(rpcx.ObjectExpired, match=r"ended 3\.5 s ago: its lease ran out"):
        short.ping()


def test_a_lease_runs_in_real_time_unless_told_otherwise(serve):
    @rpcx.client_activated(lease=rpcx.Lease(initial=0.05))
    class Brief:
        def __exit__(self, *exc_info) -> None:
            ENDED.append("brief")

    ENDED.clear()
    kept = serve(Brief).create(Brief)
    assert eventually(lambda: ENDED == ["brief"])
    with pytest.raises(rpcx.ObjectExpired, match="its lease ran out"):
        rpcx.lease(kept).info()


def test_calls_keep_an_object_alive_and_a_running_call_pins_it(serve, clock):
    WORK.clear()
    begun = threading.Event()
    short = serve(Short, clock=clock).create(Short)
    for _ in range(6):
        clock.advance(19)
        assert short.ping() == 1
    working = rpcx.future(short.work, begun.set)
    assert begun.wait(5)
    clock.advance(1000)
    WORK.set()
    assert working.result() == "done"
    assert short.ping() == 1


def test_renewing_never_shortens_and_outlives_the_release(serve, clock):
    server = serve(Short, clock=clock)
    short = server.create(Short)
    lease = rpcx.lease(short)
    assert lease.renew(60) == 60
    assert lease.renew(1) == 60
    assert lease.remaining == 60
    assert lease.state == "ACTIVE"
    with short:
        pass
    clock.advance(59)
    assert server.host.stats()["leased"] == 1
    clock.advance(1)
    assert server.host.stats()["leased"] == 0


def test_a_sponsor_keeps_an_object_alive_until_it_stops(serve, clock):
    short = serve(Short, clock=clock).create(Short)
    sponsor = rpcx.ClientSponsor(renewal=20)
    rpcx.lease(short).register(sponsor)
    clock.advance(70)
    assert short.ping() == 1
    sponsor.close()
    clock.advance(70)
    with pytest.raises(rpcx.ObjectExpired, match="1 sponsor asked, none renewed"):
        short.ping()


def test_a_sponsor_of_ones_own_is_asked(serve, clock):
    asked = []

    class Mine:
        def renewal(self, lease: rpcx.LeaseInfo) -> float:
            asked.append(lease.remaining)
            return 60.0

    short, mine = serve(Short, clock=clock).create(Short), Mine()
    rpcx.lease(short).register(mine)
    clock.advance(20)
    assert asked == [0.0]
    assert rpcx.lease(short).remaining == 60
    with pytest.raises(TypeError, match="is no sponsor"):
        rpcx.lease(short).register(object())
    with pytest.raises(TypeError, match="proxy is needed"):
        rpcx.lease(5)


def test_a_host_that_closes_disposes_of_what_clients_owned(serve):
    ENDED.clear()
    server = serve(Account)
    kept = server.create(Account, "last")
    server.host.close()
    assert eventually(lambda: ENDED == ["last"])
    with pytest.raises(rpcx.ConnectionLost):
        kept.deposit(1)


def test_get_in_one_line_closes_its_connection_with_the_proxy(serve):
    server = serve(Counter)
    with rpcx.get(f"{server.host.urls[0]}/counter", Counter) as counter:
        assert counter.up() >= 1
        assert eventually(lambda: len(server.host.peers) == 2)
    assert eventually(lambda: len(server.host.peers) == 1)


def test_a_factory_makes_what_clients_create():
    @rpcx.client_activated
    class Made:
        def __init__(self, name: str, by: str = "itself") -> None:
            self.text = f"{name} made by {by}"

        def say(self) -> str:
            return self.text

    host = rpcx.Host()
    host.register(Made, factory=lambda name, by="": Made(name, "the factory"))
    with host, rpcx.connect(host.listen("inproc://factory")) as server:
        assert server.create(Made, "this").say() == "this made by the factory"
        with pytest.raises(rpcx.InvalidArguments):
            server.create(Made, 5.5)
