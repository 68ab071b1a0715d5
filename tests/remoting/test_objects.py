"""The object table: what may be offered, withdrawn and passed on, and what is said where it may not."""

import logging
import time
from abc import ABC, abstractmethod

import pytest

import rpcx
from rpcx.remoting.leases import HOST
from rpcx.remoting.proxy import make_proxy
from rpcx.remoting.references import Reference
from rpcx.testing import pair

CLOSED: list[str] = []


@rpcx.singleton("shelf")
class Shelf:
    def __init__(self) -> None:
        self.things: list[object] = []

    def put(self, thing) -> int:
        self.things.append(thing)
        return len(self.things)

    def take(self):
        return self.things.pop()

    def is_it(self, thing) -> bool:
        return thing is self

    def kind(self, thing) -> str:
        return type(thing).__name__


@rpcx.single_call("once")
class Once:
    def me(self) -> object:
        return self


@rpcx.client_activated(lease=rpcx.Lease(initial=300, renew_on_call=60))
class Thing:
    def __init__(self, name: str = "thing") -> None:
        self.name_ = name

    def name(self) -> str:
        return self.name_

    def close(self) -> None:
        CLOSED.append(self.name_)
        if self.name_ == "broken":
            raise OSError("it does not close")


@rpcx.remote
class Plain:
    def hi(self) -> str:
        return "hi"


@rpcx.singleton("leased", lease=rpcx.Lease(initial=300))
class Leased:
    def hi(self) -> str:
        return "hi"


@pytest.fixture(autouse=True)
def none_closed() -> None:
    CLOSED.clear()


@pytest.fixture
def both():
    with pair(Shelf, Once, Thing, Plain, Leased) as both:
        yield both


# --- what may be offered ------------------------------------------------------------------------------------


def test_what_cannot_be_offered_is_told_what_to_do():
    @rpcx.singleton("abstract")
    class Abstract(ABC):
        @abstractmethod
        def f(self) -> None: ...

    @rpcx.remote
    class Empty:
        """Nothing can be called on it."""

    host = rpcx.Host()
    for offered, said in ((Abstract, r"Abstract is abstract \(f\): register its implementation"), (Empty, "no remote")):
        with pytest.raises(TypeError, match=said):
            host.register(offered)
    host.register(Abstract, factory=lambda: None)
    with pytest.raises(TypeError, match="Plain is made by clients or by the application: it has no uri, so not 'x'"):
        host.register(Plain, uri="x")
    with pytest.raises(TypeError, match="go with one class at a time"):
        host.register(Shelf, Once, uri="x")
    with pytest.raises(TypeError, match="list is no remote class: decorate it with @rpcx.remote to publish"):
        host.publish([], "list")
    for uri in ("", 5):
        with pytest.raises(TypeError, match="the uri is a text that is not empty"):
            host.publish(Plain(), uri)
    with pytest.raises(rpcx.ObjectNotFound, match="nothing is registered as 'nothing'"):
        host.withdraw("nothing")
    host.close()


def _size(self) -> int:
    return len(self)


def test_a_class_without_a_signature_is_tried_as_it_is():
    """One whose constructor is written in C."""
    counter = rpcx.singleton("counter")(type("Counter", (dict,), {"size": _size}))
    with pair(counter) as both:
        assert both.server.get(counter).size() == 0


def test_a_closed_host_takes_nothing_more():
    host = rpcx.Host()
    host.close()
    for act in (host.start, lambda: host.listen("inproc://closed")):
        with pytest.raises(RuntimeError, match="make another"):
            act()
    assert repr(host) == "<Host closed, 0 connected>"


# --- what comes home ----------------------------------------------------------------------------------------


def test_a_singleton_that_comes_home_before_its_first_call_is_made(both):
    shelf = both.server.get(Shelf)
    assert both.server.get(Shelf).is_it(shelf)


def test_what_is_made_for_each_call_cannot_be_passed(both):
    with pytest.raises(rpcx.ObjectNotFound, match="'once' is made for each call; there is no object to pass"):
        both.server.get(Shelf).put(both.server.get(Once))


def test_an_object_that_is_handed_out_again_lives_as_long_as_a_new_one(both):
    shelf = both.server.get(Shelf)
    thing = both.server.create(Thing)
    shelf.put(thing)
    both.clock.advance(250)
    again = shelf.take()
    assert again == thing
    assert rpcx.lease(again).remaining == 300
    assert thing != "thing"


def test_a_function_that_was_passed_on_is_called_through_the_one_between(both):
    shelf = both.server.get(Shelf)
    shelf.put(len)
    assert shelf.take() is len  # it came home
    both.connect().get(Shelf).put(seven)
    with pair(Shelf) as third:
        between = third.server.get(Shelf)
        between.put(shelf.take())
        assert between.take()() == 7


def seven() -> int:
    return 7


def test_an_object_of_an_unknown_class_has_any_method(both):
    """A client that does not know the class can call it all the same."""
    reference = Reference(both.server._endpoint, "shelf", ("a class of somebody else's",))
    unknown = make_proxy(reference, "sync")
    assert unknown.put(5) == 1
    assert rpcx.future(unknown.put, thing=6).result(5) == 2
    with pytest.raises(rpcx.ObjectNotFound, match="has no remote method 'nothing'"):
        unknown.nothing()
    with pytest.raises(AttributeError):
        _ = unknown._hidden
    assert repr(reference).startswith("<Reference shelf at inproc")


# --- what ends ----------------------------------------------------------------------------------------------


def test_an_object_that_ends_badly_is_logged_and_stops_nothing(both, caplog):
    broken, thing = both.server.create(Thing, "broken"), both.server.create(Thing, "thing")
    both.clock.advance(300)
    assert sorted(CLOSED) == ["broken", "thing"]
    assert "OSError: it does not close" in caplog.text
    for gone in (broken, thing):
        with pytest.raises(rpcx.ObjectExpired):
            gone.name()


def test_a_sponsor_that_answers_no_number_is_one_no_more(both):
    class Odd:
        def renewal(self, lease: rpcx.LeaseInfo) -> object:
            return "for ever"

    thing, odd = both.server.create(Thing), rpcx.remote(Odd)()
    rpcx.lease(thing).register(odd)
    both.clock.advance(300)
    with pytest.raises(rpcx.ObjectExpired, match="1 sponsor asked, none renewed"):
        thing.name()


def test_a_sponsor_that_is_unregistered_is_not_asked(both):
    sponsor = rpcx.ClientSponsor(renewal=60)
    kept, let_go = both.server.create(Thing, "kept"), both.server.create(Thing, "let go")
    for thing in (kept, let_go):
        rpcx.lease(thing).register(sponsor)
    rpcx.lease(let_go).unregister(sponsor)
    rpcx.lease(let_go).unregister(rpcx.ClientSponsor())  # nobody was going to
    both.clock.advance(310)
    assert CLOSED == ["let go"]
    assert kept.name() == "kept"
    with pytest.raises(ValueError, match="a number of seconds above 0"):
        rpcx.ClientSponsor(renewal=0)


def test_a_sponsor_is_a_remote_object(both):
    thing = both.server.create(Thing)
    endpoint = both.server._endpoint
    with pytest.raises(rpcx.ObjectNotFound, match="a sponsor is a remote object, not int"):
        endpoint.call(endpoint.host_reference(), HOST.methods["register_sponsor"], (thing._rpcx_ref.uri, 5), {})


def test_what_has_no_lease_says_so(both):
    shelf = both.server.get(Shelf)
    shelf.put(1)
    lease = rpcx.lease(shelf)
    assert lease.info() is None
    assert lease.remaining == float("inf")
    assert lease.state == "NULL"
    assert repr(lease).startswith("<lease of <Shelf shelf at inproc")


def test_the_lease_of_a_singleton_is_that_of_its_instance(both):
    leased = both.server.get(Leased)
    assert leased.hi() == "hi"
    lease = rpcx.lease(leased)
    assert lease.renew(1000) == 1000
    assert lease.remaining == 1000


def test_a_leased_object_that_the_host_withdraws_ends_at_once(both):
    thing = both.server.create(Thing)
    uri = thing._rpcx_ref.uri
    both.host.withdraw(uri)
    with pytest.raises(rpcx.ObjectExpired, match="the host withdrew it"):
        thing.name()


def test_a_method_is_told_when_its_deadline_has_passed_though_its_caller_did_not_say_so(caplog):
    """A caller that died gives nothing up."""

    @rpcx.singleton("late")
    class Late:
        def work(self) -> str:
            try:
                while True:
                    rpcx.check()
                    time.sleep(0.001)
            except rpcx.Cancelled as error:
                CLOSED.append(str(error))
                raise

    with pair(Late) as both, caplog.at_level(logging.ERROR):
        late = both.server.get(Late)
        with rpcx.options(timeout=0.05):
            future = rpcx.future(late.work)
        with pytest.raises(rpcx.Cancelled, match=r"the deadline of late\.work passed"):
            future.result(5)
    assert CLOSED == ["the deadline of late.work passed"]
