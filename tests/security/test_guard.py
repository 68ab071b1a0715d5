"""Who is let in before anybody knows who it is, in virtual time."""

import dataclasses
import random
from types import SimpleNamespace

import pytest

from rpcx.abc import PeerFacts
from rpcx.errors import AuthenticationFailed, ConnectionLost, LimitExceeded, ProtocolError
from rpcx.security.guard import (
    CONNECTIONS,
    CROWD,
    FAILED,
    LATE,
    MUTE,
    NONSENSE,
    OUTSIDE,
    SILENT,
    SOURCES,
    Admission,
    Guard,
    Guest,
    address_of,
    is_from,
    networks,
)

NOW = 1000.0
RULES = Admission(strangers=8, per_source=3, rate=1.0, burst=5.0, connections=100)


def at(address: str, port: int = 4000) -> PeerFacts:
    return PeerFacts("tcp", f"[{address}]:{port}" if ":" in address else f"{address}:{port}")


def guard(**rules) -> Guard:
    return Guard(dataclasses.replace(RULES, **rules), random.Random(5).choice)


def let_in(doors: Guard, address: str, now: float = NOW, sent: int = 0):
    guest, evicted = doors.arrives(at(address), 0, now)
    if guest is not None:
        guest.session = SimpleNamespace(progress=sent)
    return guest, evicted


def test_a_source_has_few_strangers_at_a_time():
    doors = guard()
    guests = [let_in(doors, "192.0.2.1")[0] for _ in range(4)]
    assert [guest is not None for guest in guests] == [True, True, True, False]
    assert let_in(doors, "192.0.2.2")[0] is not None, "another is not concerned"
    doors.admitted(guests[0])
    assert let_in(doors, "192.0.2.1")[0] is not None
    assert doors.tally.counts == {CROWD: 1}


def test_a_source_has_few_arrivals_a_second():
    doors = guard(per_source=100, strangers=100)
    arrived = [let_in(doors, "192.0.2.1")[0] for _ in range(7)]
    assert sum(guest is not None for guest in arrived) == 5, "at once: the burst"
    for guest in filter(None, arrived):
        doors.admitted(guest)
    assert let_in(doors, "192.0.2.1", NOW + 0.5)[0] is None
    assert let_in(doors, "192.0.2.1", NOW + 1.1)[0] is not None, "one a second after that"
    assert let_in(doors, "192.0.2.1", NOW + 1.2)[0] is None


@pytest.mark.parametrize(("error", "seconds"), [
    (AuthenticationFailed("no"), FAILED), (ProtocolError("no"), NONSENSE), (LimitExceeded("no"), NONSENSE),
    (ProtocolError("no handshake within 10 s", limit="limits.handshake"), LATE), (ConnectionLost("left"), SILENT),
    (None, SILENT),
])  # fmt: skip
def test_a_source_whose_stranger_failed_stays_outside_for_a_while(error, seconds):
    doors = guard()
    guest, _ = let_in(doors, "192.0.2.1")
    doors.ended(guest, error, NOW)
    assert let_in(doors, "192.0.2.1", NOW + seconds - 0.1)[0] is None
    assert doors.tally.counts == {OUTSIDE: 1}
    assert let_in(doors, "192.0.2.1", NOW + seconds)[0] is not None


def test_who_goes_on_failing_stays_outside_longer_but_not_for_ever():
    doors = guard(burst=1000.0, per_source=100, strangers=100)
    guests = [let_in(doors, "192.0.2.1")[0] for _ in range(20)]
    for guest in guests:
        doors.ended(guest, ProtocolError("no"), NOW)
    longest = doors.rules.longest_penalty
    assert let_in(doors, "192.0.2.1", NOW + longest - 0.1)[0] is None
    assert let_in(doors, "192.0.2.1", NOW + longest)[0] is not None


def test_penalties_may_be_done_without():
    doors = guard(longest_penalty=0.0)
    guest, _ = let_in(doors, "192.0.2.1")
    doors.ended(guest, ProtocolError("no"), NOW)
    assert let_in(doors, "192.0.2.1", NOW)[0] is not None
    with pytest.raises(ValueError, match="longest_penalty"):
        Admission(longest_penalty=-1)


def test_who_was_admitted_and_leaves_pays_nothing():
    doors = guard()
    guest, _ = let_in(doors, "192.0.2.1")
    doors.admitted(guest)
    doors.ended(guest, ProtocolError("later"), NOW)
    assert let_in(doors, "192.0.2.1")[0] is not None


def test_a_customer_of_ipv6_is_one_source_whatever_address_it_takes():
    doors = guard()
    arrived = [let_in(doors, f"2001:db8::{number:x}")[0] for number in range(1, 6)]
    assert sum(guest is not None for guest in arrived) == 3
    assert let_in(doors, "2001:db8:0:1::1")[0] is not None, "its neighbour is another"


def test_an_ipv4_address_in_ipv6s_clothes_is_the_ipv4_address():
    doors = guard()
    for _ in range(3):
        let_in(doors, "192.0.2.1")
    assert let_in(doors, "::ffff:192.0.2.1")[0] is None


@pytest.mark.parametrize("facts", [
    at("127.0.0.1"), at("127.9.9.9"), at("::1"), PeerFacts("pipe", "pipe://bank", uid=0, owner=True),
    PeerFacts("inproc", "inproc://x"),
])  # fmt: skip
def test_this_machine_is_not_told_apart(facts):
    doors = guard(strangers=100)
    for _ in range(50):
        guest, _ = doors.arrives(facts, 0, NOW)
        assert guest is not None
        doors.ended(guest, ProtocolError("no"), NOW)


def test_another_user_on_a_pipe_is_a_source():
    doors = guard()
    other = PeerFacts("pipe", "pipe://bank", uid=54321)
    arrived = [doors.arrives(other, 0, NOW)[0] for _ in range(5)]
    assert sum(guest is not None for guest in arrived) == 3


def test_loopback_is_told_apart_when_it_is_to_be():
    doors = guard(exempt_local=False)
    arrived = [let_in(doors, "127.0.0.1")[0] for _ in range(5)]
    assert sum(guest is not None for guest in arrived) == 3


def test_whoever_has_an_internet_address_is_a_source_by_it_and_not_by_its_user():
    doors = guard(exempt_local=False)
    for number in range(1, 4):
        came = [doors.arrives(PeerFacts("tcp", f"127.0.0.{number}:5", uid=1000), 0, NOW)[0] for _ in range(5)]
        assert sum(guest is not None for guest in came) == 3


def test_when_the_table_is_full_who_sent_least_goes():
    doors = guard()
    guests = [let_in(doors, f"192.0.2.{number}", sent=number)[0] for number in range(1, 9)]
    newcomer, evicted = let_in(doors, "198.51.100.1")
    assert newcomer is not None
    assert evicted is guests[0]
    assert doors.strangers == 8
    assert doors.counters()["evicted"] == 1


def test_of_those_who_sent_the_same_goes_who_comes_from_the_crowd():
    doors = guard()
    lonely = [let_in(doors, f"192.0.2.{number}")[0] for number in range(1, 6)]
    crowd = [let_in(doors, "198.51.100.1")[0] for _ in range(3)]
    _, evicted = let_in(doors, "203.0.113.1")
    assert evicted in crowd
    assert all(guest in doors._inside for guest in lonely)


def test_a_flood_of_silent_strangers_does_not_keep_an_honest_one_out():
    """Two hundred newcomers while it shakes hands: it has sent its hello, and they have not."""
    doors = guard(strangers=16)
    honest, _ = let_in(doors, "192.0.2.1", sent=200)
    for number in range(200):
        _, evicted = let_in(doors, f"198.51.{number}.1")
        assert evicted is not honest
    assert honest in doors._inside
    assert doors.high == 16


def test_there_are_so_many_connections_and_no_more():
    doors = guard(connections=10)
    assert doors.arrives(at("192.0.2.1"), 9, NOW)[0] is not None
    assert doors.arrives(at("192.0.2.2"), 10, NOW)[0] is None
    assert doors.tally.counts == {CONNECTIONS: 1}


def test_the_default_leaves_half_of_the_files_to_others():
    assert 0 < Admission().most() <= 10_000
    assert Admission(connections=5).most() == 5


def test_the_memory_for_sources_is_bounded():
    doors = guard(strangers=SOURCES * 2)
    for number in range(SOURCES + 500):
        let_in(doors, f"10.{number >> 8 & 255}.{number & 255}.1")
    assert len(doors._sources) == SOURCES


def test_a_forgotten_source_is_met_as_a_new_one():
    doors = guard(strangers=SOURCES * 2)
    guest, _ = let_in(doors, "192.0.2.1")
    for number in range(SOURCES + 1):
        let_in(doors, f"10.{number >> 8 & 255}.{number & 255}.1")
    assert let_in(doors, "192.0.2.1")[0] is not None
    doors.ended(guest, None, NOW)
    doors.admitted(guest)
    assert doors._sources["192.0.2.1/32"].inside >= 0


def test_from_half_full_on_somebody_goes_early_who_has_said_nothing_for_a_second():
    doors = guard(strangers=10, per_source=10)
    doors.chance = lambda: 0.5
    mute = [let_in(doors, f"192.0.2.{number}")[0] for number in range(6)]
    for guest in mute[1:]:
        guest.session.progress = 1
    assert [let_in(doors, f"198.51.100.{number}", NOW + MUTE - 0.1)[1] for number in range(2)] == [None, None]
    _, early = let_in(doors, "198.51.100.7", NOW + MUTE)
    assert early is mute[0], "eight of ten, so probably somebody; not who spoke, nor who has just come"
    assert let_in(doors, "198.51.100.8", NOW + MUTE)[1] is None, "nobody is silent for so long any more"


def test_a_table_that_is_half_empty_has_room_for_who_is_silent():
    doors = guard(strangers=10, per_source=10)
    doors.chance = lambda: 0.0
    evicted = [let_in(doors, f"192.0.2.{number}", NOW + number)[1] for number in range(6)]
    assert evicted == [None] * 6


def test_the_fuller_it_is_the_more_probably_somebody_goes_early():
    gone = []
    for inside in (6, 9):
        doors = guard(strangers=10, per_source=10)
        doors.chance = random.Random(1).random
        for number in range(inside):
            doors._inside[Guest(None, NOW - 5)] = None
        gone.append(sum(doors._early(NOW) is not None for _ in range(1000)))
    assert 150 < gone[0] < 250
    assert 750 < gone[1] < 850


def test_counters_tell_how_it_stands():
    doors = guard(per_source=1)
    let_in(doors, "192.0.2.1")
    let_in(doors, "192.0.2.1")
    assert doors.counters() == {"strangers": 1, "strangers_high": 1, "evicted": 0, "refused": 1}


def test_each_bound_tells_how_it_stands():
    doors = guard(per_source=2, burst=2.0, connections=7)
    first, _ = let_in(doors, "192.0.2.1")
    second, _ = let_in(doors, "192.0.2.1")
    assert let_in(doors, "192.0.2.1")[0] is None
    doors.ended(second, AuthenticationFailed("no"), NOW)
    assert let_in(doors, "192.0.2.1")[0] is None
    assert let_in(doors, "192.0.2.1", NOW + FAILED)[0] is not None
    doors.admitted(first)
    assert let_in(doors, "192.0.2.2", NOW + FAILED)[0] is not None
    doors.arrives(at("192.0.2.3"), 7, NOW)
    assert doors.bounds(5, (2, 4), NOW) == {
        "strangers": (8, 2, 2, 0), "per_source": (2, 1, 2, 1), "rate": (1.0, None, None, 0),
        "longest_penalty": (600.0, 1, 1, 1), "connections": (7, 5, 7, 1), "per_principal": (64, 2, 4, 0),
        "allow_from": (None, None, None, 0),
    }  # fmt: skip


# --- the firewall -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "inside"), [
    ("192.0.2.7", True), ("192.0.3.7", False), ("2001:db8::7", True), ("2001:db9::7", False),
    ("::ffff:192.0.2.7", True), ("fe80::1%eth0", False), ("127.0.0.1", False),
])  # fmt: skip
def test_a_network_has_its_own_addresses(address, inside):
    assert is_from(at(address), networks(["192.0.2.0/24", "2001:db8::/32"])) is inside


def test_who_has_no_address_is_on_this_machine():
    assert address_of(PeerFacts("pipe", "pipe://bank")) is None
    assert is_from(PeerFacts("pipe", "pipe://bank"), networks(["192.0.2.0/24"]))


@pytest.mark.parametrize("text", ["192.0.2.1/24", "bank.example", "", "192.0.2.0/33"])
def test_what_is_no_network_is_told(text):
    with pytest.raises(ValueError, match="allow_from"):
        networks([text])
