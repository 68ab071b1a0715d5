"""How many bytes of large messages there may be, for one principal and for all of a host."""

import pytest

from rpcx.errors import LimitExceeded
from rpcx.remoting.cargo import Port, ShipsCargo


@pytest.fixture
def port() -> Port:
    return Port(per_principal=100, per_host=150)


def ann(port: Port) -> ShipsCargo:
    return port.cargo("ann", "principal ann")


def bob(port: Port) -> ShipsCargo:
    return port.cargo("bob", "principal bob")


def now(port: Port) -> tuple[int, int]:
    return tuple(each for each, _ in port.peaks().values())


def test_a_message_counts_from_its_beginning_until_its_call_is_answered(port):
    cargo = ann(port)
    assert cargo.load(60) is None
    assert now(port) == (60, 60)
    cargo.arrived(7)
    assert cargo.aboard == {7: 60}
    cargo.unload(7)
    assert now(port) == (0, 0)
    assert port.peaks() == {"limits.large_per_principal": (0, 60), "limits.large_per_host": (0, 60)}


def test_a_message_that_is_no_call_counts_until_it_is_complete(port):
    cargo = ann(port)
    cargo.load(60)
    cargo.arrived(0)
    assert now(port) == (0, 0)


def test_what_does_not_fit_is_told_by_name_and_number_and_counts_for_nothing(port):
    one, two = ann(port), ann(port)
    assert one.load(60) is None
    error = two.load(50)
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.executed) == ("limits.large_per_principal", "no")
    assert "60 bytes of large messages of principal ann are held, and 100 is the most" in str(error)
    assert two.load(40) is None
    assert now(port) == (100, 100)


def test_principals_have_rooms_of_their_own_and_share_the_hosts(port):
    assert ann(port).load(100) is None
    error = bob(port).load(60)
    assert error.limit == "limits.large_per_host"
    assert "of this host's clients" in str(error)
    assert bob(port).load(50) is None
    owner = port.cargo("owner", None)
    assert owner.load(1).limit == "limits.large_per_host"


def test_leaving_is_no_way_to_get_more(port):
    gone = ann(port)
    for call_id in (1, 2):
        gone.load(40)
        gone.arrived(call_id)
    gone.load(20)
    gone.left({2})  # 1 never began, and the third was under way
    assert now(port) == (40, 40)
    assert ann(port).load(61) is not None
    gone.unload(2)
    assert now(port) == (0, 0)


def test_a_principal_is_forgotten_when_nothing_of_it_is_left(port):
    first, second = ann(port), ann(port)
    first.load(90)
    first.arrived(1)
    first.left({1})
    second.left(())
    second.left(())
    assert now(port) == (90, 90)
    first.unload(1)
    assert not port._principals
    assert port.peaks()["limits.large_per_principal"] == (0, 90), "what was most is remembered"


def test_one_way_calls_count_while_they_wait(port):
    cargo = ann(port)
    assert cargo.waits(60) is None
    assert cargo.waits(60).limit == "limits.large_per_principal"
    cargo.left(())
    assert now(port) == (60, 60), "they run, though their connection is over"
    cargo.waited(60)
    assert now(port) == (0, 0)
    assert not port._principals
