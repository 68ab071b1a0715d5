"""When spinning is worth it."""

import pytest

from rpcx.drivers.waiting import LOSSES, PAUSE, SPIN_SECONDS, Spinner, give_way, look


def test_spinning_is_tried_until_it_has_failed_in_a_row():
    spinner = Spinner()
    for _ in range(LOSSES):
        assert spinner.bets()
        spinner.lost()
    assert not spinner.bets()


def test_one_success_counts_for_a_whole_row():
    spinner = Spinner()
    for _ in range(LOSSES - 1):
        spinner.lost()
    spinner.won()
    for _ in range(LOSSES - 1):
        assert spinner.bets()
        spinner.lost()
    assert spinner.bets()


def test_a_spinner_that_gave_up_tries_again_now_and_then():
    spinner = Spinner()
    for _ in range(LOSSES):
        spinner.lost()
    tried = sum(spinner.bets() for _ in range(PAUSE * 10))
    assert tried == 10


def test_spinning_can_be_switched_off():
    assert not Spinner(0).bets()


def test_giving_way_returns():
    give_way()
    assert 0 < SPIN_SECONDS < 0.001


def test_a_look_brings_what_comes_in_time():
    missing = iter([True, True, False])

    def receive(size: int) -> bytes:
        if next(missing):
            raise BlockingIOError
        return b"x" * size

    assert look(receive, 3, 10.0) == b"xxx"


def test_a_look_of_no_time_is_one_look():
    looks = []

    def receive(size: int) -> bytes:
        looks.append(size)
        raise BlockingIOError

    assert look(receive, 3, 0.0) is None
    assert looks == [3]


def test_a_look_tells_that_the_stream_broke():
    def receive(size: int) -> bytes:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        look(receive, 3, 1.0)
