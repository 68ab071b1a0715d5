"""What the directory knows, in virtual time and over Pyro5's own storages."""

import pytest
from Pyro5.nameserver import MemoryStorage, NameServer, SqlStorage

import rpcx
from rpcx.naming.directory import Entry, Found, Names, _checked

BANK = Found("shop/bank", ["pipe://bank/bank", "tcp://127.0.0.1:4000/bank"], {"region": "eu"}, "owner", "here", 1000)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


# Pyro5's storage leaves closing to the collector, of which Python 3.13 complains.
pytestmark = pytest.mark.filterwarnings("ignore:.*sqlite3.Connection")


@pytest.fixture(params=[dict, MemoryStorage, SqlStorage])
def storage(request, tmp_path):
    return request.param(str(tmp_path / "names.db")) if request.param is SqlStorage else request.param()


def test_what_was_entered_is_found_as_it_was(storage):
    names = Names(storage)
    names.enter(1, BANK)
    names.enter(2, Found("other", ["pipe://x/y"], {"a": "b=c", "region": "us"}, "ann", "there"))
    assert names.look_up("shop/bank") == BANK
    assert [found.name for found in names.find("", {})] == ["other", "shop/bank"]
    assert names.find("shop/", {}) == names.find("", {"region": "eu"}) == [BANK]
    assert names.find("", {"region": "eu", "x": "y"}) == []
    with pytest.raises(rpcx.ObjectNotFound, match="nobody has the name 'bank'"):
        names.look_up("bank")


def test_a_name_lives_as_long_as_its_entry(storage):
    names = Names(storage)
    names.enter(1, BANK)
    assert names.renew(1, BANK)
    names.leave(2, BANK.name)
    assert names.look_up(BANK.name)
    names.leave(1, BANK.name)
    assert names.find("", {}) == []
    assert not names.renew(1, BANK)
    names.leave(1, BANK.name)


def test_urls_that_changed_are_known_after_a_renewal(storage):
    names = Names(storage)
    names.enter(1, BANK)
    moved = Found(BANK.name, ["tcp://127.0.0.1:5000/bank"], BANK.tags, BANK.owner, BANK.machine, BANK.uid)
    assert names.renew(1, moved)
    assert names.look_up(BANK.name) == moved


def test_the_newest_entry_of_one_owner_counts_and_others_cannot_take_the_name(storage):
    names = Names(storage)
    names.enter(1, BANK)
    names.enter(2, BANK)
    assert not names.renew(1, BANK)
    assert names.renew(2, BANK)
    names.leave(1, BANK.name)
    assert names.look_up(BANK.name)
    with pytest.raises(rpcx.AccessDenied, match="is owner's; choose another"):
        names.enter(3, Found(BANK.name, ["pipe://evil/bank"], {}, "mallory"))
    with pytest.raises(rpcx.AccessDenied, match="is not mallory's"):
        names.remove(BANK.name, "mallory")
    names.remove(BANK.name, "owner")
    assert names.find("", {}) == []


def test_a_new_directory_keeps_what_it_finds_for_one_lease(storage):
    Names(storage).enter(1, BANK)
    Names(storage).enter(2, Found("late", ["pipe://x/y"], {}, "owner"))
    clock = Clock()
    names = Names(storage, lease=30, clock=clock)
    clock.now = 29.0
    names.enter(5, BANK)
    assert {found.name for found in names.find("", {})} == {"late", BANK.name}
    clock.now = 30.0
    names.drop_left()
    assert [found.name for found in names.find("", {})] == [BANK.name]


def test_names_of_pyro5_programs_are_found_and_stay(tmp_path):
    storage = SqlStorage(str(tmp_path / "names.db"))
    NameServer(storage).register("old", "PYRO:bank@127.0.0.1:9999", metadata={"class:Bank"})
    clock = Clock()
    names = Names(storage, clock=clock)
    clock.now = 1e6
    assert names.look_up("old").urls == ["pyro://127.0.0.1:9999/bank"]
    assert names.look_up("old").owner == ""
    with pytest.raises(rpcx.AccessDenied, match="a Pyro5 program"):
        names.enter(1, Found("old", ["pipe://x/y"], {}, "owner"))


def test_pyro5_finds_what_speaks_pyro5(storage):
    names = Names(storage)
    names.enter(1, Found("bank", ["pipe://x/bank", "pyro://127.0.0.1:4001/bank"], {"region": "eu"}, "owner"))
    assert storage["bank"][0] == "PYRO:bank@127.0.0.1:4001"
    assert str(NameServer(storage).lookup("bank")) == "PYRO:bank@127.0.0.1:4001"


@pytest.mark.parametrize(
    ("name", "urls", "tags"),
    [
        ("", ["pipe://x/y"], {}), ("a b", ["pipe://x/y"], {}), ("../x", ["pipe://x/y"], {}), ("x", [], {}),
        ("x", ["nonsense"], {}), ("x", ["pipe://x/y"] * 17, {}), ("x", ["pipe://x/y"], {"a=b": "c"}),
        ("x", ["pipe://x/y"], {"rpcx:owner": "root"}), ("x", ["pipe://x/y"], {"a": "b\x1b"}),
        ("x", ["pipe://x/" + "y" * 600], {}), ("x", ["pipe://x/y"], {str(n): "" for n in range(33)}),
    ],
)  # fmt: skip
def test_entries_that_make_no_sense_are_refused(name, urls, tags):
    with pytest.raises(ValueError, match="."):
        _checked(name, urls, tags)


def test_an_entry_is_made_in_a_directory_only():
    with pytest.raises(TypeError, match="in a directory"):
        Entry("x", ["pipe://x/y"], {}, "", None)
