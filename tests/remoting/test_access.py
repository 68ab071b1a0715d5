"""Who may call what: real connections of another user, known by its key."""

import contextlib
import itertools
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rpcx
from rpcx.abc import PeerFacts
from rpcx.errors import ConnectionLost, ObjectExpired, ObjectNotFound
from rpcx.remoting.access import DENIED, Access, GuardedGate, Said
from rpcx.remoting.proxy import dynamic_method
from rpcx.remoting.references import Reference
from rpcx.security import sides
from rpcx.security import trust as trust_store
from rpcx.security.keyring import set_roles, trust
from tests.security.pair import user


@rpcx.remote
class Item:
    def read(self) -> str:
        return "read"

    @rpcx.method(allow={"ops"})
    def wipe(self) -> str:
        return "wiped"


@rpcx.singleton("desk", allow={"staff"})
class Desk:
    def __init__(self) -> None:
        self.item = Item()
        self.total_ = 1
        self.seen: object = None

    def look(self) -> str:
        return "desk"

    @rpcx.method(allow={"ops"})
    def reset(self) -> str:
        return "reset"

    @rpcx.method(allow=())
    def own(self) -> str:
        return "own"

    def give(self) -> Item:
        return self.item

    def give_desk(self) -> "Desk":
        return self

    def whoami(self) -> list[object]:
        peer = rpcx.context.peer
        return [peer.principal, sorted(peer.roles), peer.owner, peer.fingerprint]

    def count(self) -> Iterator[int]:
        yield from range(3)

    @rpcx.method(allow={"ops"})
    def count_ops(self) -> Iterator[int]:
        yield from range(3)

    @rpcx.oneway
    @rpcx.method(allow={"ops"})
    def note(self) -> None:
        self.seen = "noted"

    def take(self, thing: object) -> str:
        self.seen = thing
        return type(thing).__name__

    @property
    @rpcx.method(allow={"ops"})
    def total(self) -> int:
        return self.total_

    @total.setter
    def total(self, value: int) -> None:
        self.total_ = value

    def run(self, callback: Callable[[int], int]) -> int:
        return callback(2)

    def fail(self) -> None:
        raise ValueError("it failed")


@rpcx.singleton("vault")
class Vault:
    """Nothing was said: the owner's."""

    def open(self) -> str:
        return "open"


@rpcx.client_activated(allow={"staff"}, lease=rpcx.Lease(initial=60))
class Order:
    def __init__(self, number: int = 0) -> None:
        self.number_ = number

    def number(self) -> int:
        return self.number_


@rpcx.client_activated
class Secret:
    def tell(self) -> str:
        return "secret"


class Place:
    """A host on TLS, and users who connect to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stack = contextlib.ExitStack()
        self.numbers = itertools.count()
        self.host: rpcx.Host
        self.url = ""

    def serve(self, **options) -> rpcx.Host:
        with user(self.root / "host"):
            self.host = rpcx.Host(**options)
            self.host.register(Vault, Order, Secret, Item)
            if "allow" not in options:
                self.host.register(Desk)
            self.url = self.host.listen("tcp://127.0.0.1:0")
        self.stack.enter_context(self.host)
        return self.host

    def known(self, name: str, *roles: str) -> None:
        from rpcx.security.identity import own_identity

        with user(self.root / name):
            identity = own_identity()
        trust(self.root / "host", identity.certificate_file.read_bytes(), name, frozenset(roles))

    def connect(self, name: str, *roles: str) -> rpcx.Server:
        if name != "host":
            self.known(name, *roles)
        with user(self.root / name):
            return self.stack.enter_context(rpcx.connect(self.url))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Iterator[Place]:
    monkeypatch.setattr(trust_store, "LOOK_SECONDS", 0.0)  # who is trusted in a test is trusted at once
    made = Place(tmp_path)
    with made.stack:
        yield made


def denied(call: Callable[[], object]) -> ObjectNotFound:
    with pytest.raises(ObjectNotFound) as caught:
        call()
    assert str(caught.value).partition("\n")[0] == DENIED
    return caught.value


def raw(server: rpcx.Server, uri: str, method: str, *args: object) -> object:
    """A call that no proxy would make."""
    return server.call(uri, dynamic_method(method), args, {})


def test_the_owner_may_do_everything(place):
    place.serve()
    server = place.connect("host")
    desk = server.get(Desk)
    assert [desk.look(), desk.reset(), desk.own(), desk.total] == ["desk", "reset", "own", 1]
    assert server.get(Vault).open() == "open"
    assert server.create(Secret).tell() == "secret"
    assert desk.whoami()[:3] == ["owner", ["owner"], True]


def test_others_may_do_what_a_rule_says(place):
    place.serve()
    staff = place.connect("ann", "staff").get(Desk)
    assert staff.look() == "desk"
    denied(staff.reset)
    denied(staff.own)
    ops = place.connect("bob", "ops").get(Desk)
    assert ops.reset() == "reset"  # the method's rule stands in place of the class's
    denied(ops.look)
    both = place.connect("eve", "ops", "staff").get(Desk)
    assert [both.look(), both.reset()] == ["desk", "reset"]
    denied(both.own)


def test_what_nobody_spoke_of_is_the_owners(place):
    place.serve()
    server = place.connect("ann", "staff", "ops")
    denied(server.get(Vault).open)
    denied(lambda: server.create(Secret))


def test_absent_and_forbidden_objects_and_methods_are_answered_alike(place):
    place.serve()
    server = place.connect("ann", "staff")
    answers = set()
    for uri, method in (("vault", "open"), ("vault", "nothing"), ("nothing", "open"), ("desk", "reset"), ("desk", "x")):
        error = denied(lambda uri=uri, method=method: raw(server, uri, method))
        answers.add((str(error), type(error), tuple(getattr(error, "__notes__", ()))))
    assert len(answers) == 1
    assert str(denied(lambda: server.create(Secret))) == DENIED
    host = raw(server, "rpcx", "contract", "desk", "")
    assert {each["name"] for each in host["methods"]}.isdisjoint({"reset", "own", "total"})
    denied(lambda: server.contract("vault"))
    denied(lambda: server.contract("nothing"))


def test_who_calls_is_known_where_it_is_called(place):
    place.serve()
    principal, roles, owner, fingerprint = place.connect("ann", "staff").get(Desk).whoami()
    assert (principal, roles, owner) == ("ann", ["staff"], False)
    assert fingerprint.startswith("sha256:")


def test_streams_properties_one_way_calls_and_batches_go_through_the_same_gate(place):
    host = place.serve()
    staff = place.connect("ann", "staff").get(Desk)
    assert list(staff.count()) == [0, 1, 2]
    denied(lambda: list(staff.count_ops()))
    denied(lambda: staff.total)
    with pytest.raises(ObjectNotFound):
        staff.total = 5  # the setter said nothing, so the getter's rule holds
    staff.note()
    with rpcx.batch(staff) as batch:
        allowed, forbidden = batch.look(), batch.reset()
    assert allowed.result() == "desk"
    denied(forbidden.result)
    ops = place.connect("bob", "ops", "staff").get(Desk)
    ops.total = 7
    assert ops.total == 7
    assert ops.look() == "desk"
    assert host._realm.table.find("desk").instance.seen is None  # the one-way call did not arrive


def test_making_objects_needs_the_rule_of_their_class(place):
    place.serve()
    server = place.connect("ann", "staff")
    assert server.create(Order, 5).number() == 5
    denied(lambda: place.connect("bob", "ops").create(Order, 5))


def test_a_reference_is_good_for_the_session_that_received_it(place):
    place.serve()
    ann, bob = place.connect("ann", "staff"), place.connect("bob", "staff")
    item = ann.get(Desk).give()
    assert item.read() == "read"
    uri = item._rpcx_ref.uri
    denied(lambda: raw(bob, uri, "read"))  # the id alone is worth nothing
    order = ann.create(Order, 1)
    denied(lambda: raw(bob, order._rpcx_ref.uri, "number"))
    assert bob.get(Desk).give().read() == "read"  # the same object, handed to bob as well
    assert item._rpcx_ref.uri == uri


def test_a_rule_counts_besides_for_what_was_handed_out(place):
    place.serve()
    denied(place.connect("ann", "staff").get(Desk).give().wipe)
    assert place.connect("bob", "staff", "ops").get(Desk).give().wipe() == "wiped"


def test_what_has_a_name_stays_under_its_rule_when_it_is_handed_out(place):
    place.serve()
    desk = place.connect("ann", "staff").get(Desk).give_desk()
    assert desk.look() == "desk"
    denied(desk.reset)


def test_leases_of_what_one_may_not_call_are_nobodys_business(place):
    place.serve()
    ann, bob = place.connect("ann", "staff"), place.connect("bob", "staff")
    order = ann.create(Order, 1)
    assert rpcx.lease(order).renew(100) > 90
    uri = order._rpcx_ref.uri
    for method, *rest in (("renew", 5.0), ("lease",), ("register_sponsor", rpcx.ClientSponsor())):
        denied(lambda method=method, rest=rest: raw(bob, "rpcx", method, uri, *rest))
        denied(lambda method=method, rest=rest: raw(bob, "rpcx", method, "vault", *rest))
    order2 = ann.create(Order, 2)
    rpcx.lease(order2).register(rpcx.ClientSponsor())


def test_an_object_that_ended_is_told_only_to_who_knows_its_id(place):
    place.serve()
    ann, bob = place.connect("ann", "staff"), place.connect("bob", "staff")
    order = ann.create(Order, 1)
    uri = order._rpcx_ref.uri
    order._rpcx_ref.release()
    deadline = time.monotonic() + 5
    while place.host.stats()["leased"] > 0:
        assert time.monotonic() < deadline
        ann.describe()
    with pytest.raises(ObjectExpired):
        raw(ann, uri, "number")
    denied(lambda: raw(bob, "desk#1", "look"))  # an id that could be guessed


def test_one_looks_around_only_among_what_one_may_call(place):
    place.serve()
    server = place.connect("ann", "staff")
    item = server.get(Desk).give()
    other = place.connect("bob", "staff").create(Order, 1)
    seen = server.describe()
    assert [each["uri"] for each in seen["objects"]] == ["desk"]
    assert {each["name"] for each in seen["objects"][0]["methods"]} >= {"look", "give"}
    assert "reset" not in {each["name"] for each in seen["objects"][0]["methods"]}
    assert [each["name"] for each in seen["classes"]] == ["Order"]
    assert [each["uri"] for each in seen["leases"]] == [item._rpcx_ref.uri]
    assert seen["host"] == {}
    assert other.number() == 1
    everything = place.connect("host").describe()
    assert {each["uri"] for each in everything["objects"]} == {"desk", "vault"}
    assert everything["lease_count"] == 2


def test_a_reference_that_was_made_up_does_not_come_home(place):
    host = place.serve()
    server = place.connect("ann", "staff")
    desk = server.get(Desk)
    for uri in ("vault", "nothing", "rpcx/" + secrets.token_urlsafe(16)):
        forged = server.get(Item, uri)
        denied(lambda forged=forged: desk.take(forged))
    assert host._realm.table.find("vault").instance is None  # nor was it made
    assert desk.take(desk.give()) == "Item"
    assert desk.take(server.get(Item, "desk")) == "Desk"


def test_another_session_id_does_not_help(place):
    """What a client says its session is belongs to its key: another key with the same words holds nothing."""
    place.serve()
    ann, bob = place.connect("ann", "staff"), None
    item = ann.get(Desk).give()
    place.known("bob", "staff")
    with user(place.root / "bob"):
        from rpcx.client import Server

        class Thief(Server):
            def _open(self) -> None:
                self._session = ann._session
                super()._open()

        bob = place.stack.enter_context(
            Thief(place.url, insecure=False, timeout=10.0, formatters=("msgpack",), sinks=(), limits=None)
        )
    assert bob.get(Desk).look() == "desk"
    denied(lambda: raw(bob, item._rpcx_ref.uri, "read"))
    assert item.read() == "read"


def test_what_the_operator_says_counts_more_than_what_the_author_says(place):
    host = place.serve(allow={"staff"})
    host.register(Desk, allow={"guests"}, methods={"own": {"principal:ann"}})
    host.publish(Item(), "item")
    host.publish(Item(), "shut", allow=())
    server = place.connect("ann", "guests", "staff")
    desk = server.get(Desk)
    assert desk.look() == "desk"
    assert desk.own() == "own"
    denied(desk.reset)  # the author's word about the method is more specific than the operator's about the object
    assert server.get(Item, "item").read() == "read"  # the host's default
    denied(server.get(Item, "shut").read)
    staff = place.connect("bob", "staff")
    denied(staff.get(Desk).look)
    assert staff.get(Vault).open() == "open"


def test_a_rule_for_a_method_that_is_none_is_an_error():
    with rpcx.Host() as host, pytest.raises(ValueError, match="Desk has no remote method 'loook'"):
        host.register(Desk, methods={"loook": {"ops"}})


def test_a_hook_says_what_tables_cannot(place):
    asked = []

    def authorize(peer: PeerFacts, contract: str, method: str) -> bool:
        asked.append((peer.principal, contract, method))
        if method == "give":
            raise RuntimeError("the directory is down")
        return method != "look"

    place.serve(authorize=authorize)
    server = place.connect("ann", "staff")
    desk = server.get(Desk)
    denied(desk.look)
    denied(desk.look)
    denied(desk.give)
    assert desk.whoami()[0] == "ann"
    denied(desk.reset)  # forbidden by the rule, so not asked about
    assert server.create(Order, 1).number() == 1
    assert asked == [
        ("ann", "Desk", "look"), ("ann", "Desk", "give"), ("ann", "Desk", "whoami"),
        ("ann", "Order", "__init__"), ("ann", "Order", "number"),
    ]  # fmt: skip
    place.connect("host").get(Desk).look()
    assert len(asked) == 5  # the owner is not asked about


def test_a_role_that_is_taken_away_counts_no_more_for_live_sessions(place, monkeypatch):
    monkeypatch.setattr(sides, "LOOK_SECONDS", 0.02)
    place.serve()
    desk = place.connect("ann", "staff").get(Desk)
    assert desk.look() == "desk"
    set_roles(place.root / "host", "ann", frozenset({"ops"}))
    deadline = time.monotonic() + 10
    with user(place.root / "ann"):  # who connects anew when the session ends with the role
        while True:
            try:
                desk.look()
            except ObjectNotFound:
                break
            except ConnectionLost:
                pass
            assert time.monotonic() < deadline
        assert desk.reset() == "reset"


def test_a_host_may_call_only_what_a_client_handed_to_it(place):
    host = place.serve()
    server = place.connect("ann", "staff")
    assert server.get(Desk).run(lambda x: x + 1) == 3
    (endpoint,) = host._realm.endpoints
    for uri in ("desk", "function/" + secrets.token_urlsafe(16)):
        with pytest.raises(ObjectNotFound, match=DENIED):
            endpoint.call(Reference(endpoint, uri, ()), dynamic_method("look"), (), {})
    with pytest.raises(ObjectNotFound, match=DENIED):
        endpoint.call(endpoint.host_reference(), dynamic_method("create"), ("Order", [], {}), {})
    assert endpoint.call(endpoint.host_reference(), dynamic_method("describe"), (), {})["host"] == {}


def test_others_see_what_failed_and_not_where(place, caplog):
    caplog.set_level(logging.INFO, "rpcx")
    place.serve()
    with pytest.raises(ValueError, match="it failed") as caught:
        place.connect("ann", "staff").get(Desk).fail()
    (note,) = caught.value.__notes__
    corr_id = re.fullmatch(r"more is known to the host, as corr_id (\w{8})", note)[1]
    (record,) = [each for each in caplog.records if corr_id in each.getMessage()]  # where the traceback is
    assert "it failed" in str(record.exc_info[1])
    with pytest.raises(ValueError, match="it failed") as caught:
        place.connect("host").get(Desk).fail()
    assert any(__file__ in note for note in caught.value.__notes__)


def test_subclasses_inherit_the_rule_of_their_base():
    @rpcx.remote
    class Cheap(Item):
        def wipe(self) -> str:
            return "wiped otherwise"

        def more(self) -> str:
            return "more"

    @rpcx.singleton("desk2")
    class Desk2(Desk):
        def extra(self) -> str:
            return "extra"

    from rpcx.remoting.contract import contract_of

    assert contract_of(Cheap).methods["wipe"].allow == {"ops"}
    assert contract_of(Cheap).methods["more"].allow is None
    assert contract_of(Desk2).allow == {"staff"}

    class Implementation(Desk):
        def reset(self) -> str:
            return "mine"

    assert contract_of(Desk).implemented_by(Implementation)["reset"].allow == {"ops"}


def test_a_decision_costs_others_a_set_lookup():
    """No traffic, no composing for each call: the rules of an entry are made once, and the same for all peers."""
    host = rpcx.Host()
    host.register(Desk)
    table = host._realm.table
    ann = PeerFacts("tcp", "x:1", principal="ann", roles=frozenset({"staff"}))
    gate = GuardedGate(host._realm.access, table, ann, "session")
    entry = gate.find("desk", "look")
    rules = entry.rules
    assert gate.find("desk", "look") is entry
    assert entry.rules is rules
    host.close()


def test_plain_tcp_on_loopback_counts_every_user_as_owner():
    with rpcx.Host() as host:
        host.register(Vault)
        url = host.listen("tcp://127.0.0.1:0", insecure=True)
        with rpcx.connect(url, insecure=True) as server:
            assert server.get(Vault).open() == "open"
            assert server.peer.owner
        assert Access().gate(host._realm.table, PeerFacts("tcp", "x:1"), "x").is_open is False


def test_a_uri_goes_with_what_has_a_name():
    host = rpcx.Host()
    host.register(Vault, uri="vault-2")
    with pytest.raises(TypeError, match="it has no uri"):
        host.register(Order, uri="order")
    with pytest.raises(TypeError, match="one class at a time"):
        host.register(Vault, Desk, methods={"open": ()})
    with pytest.raises(TypeError, match="no set of words"):
        Said("ops", None, "x")
    host.close()
