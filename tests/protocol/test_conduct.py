"""What a peer may do now and then, and not all the time."""

import pytest

from rpcx.errors import LimitExceeded
from rpcx.protocol.conduct import JUDGED, STRIKES, WINDOW, Conduct

NOW = 1000.0


def test_half_of_all_calls_may_be_in_vain():
    conduct = Conduct(NOW)
    for number in range(1, JUDGED):
        conduct.in_vain(2 * number, NOW)
    with pytest.raises(LimitExceeded, match="200 of 399 calls were cancelled or made no sense within 10 s"):
        conduct.in_vain(2 * JUDGED - 1, NOW)


def test_few_calls_may_all_be():
    conduct = Conduct(NOW)
    for number in range(1, JUDGED):
        conduct.in_vain(number, NOW)


def test_what_is_in_vain_without_a_call_counts_by_itself():
    conduct = Conduct(NOW)
    for _ in range(JUDGED - 1):
        conduct.in_vain(0, NOW)
    with pytest.raises(LimitExceeded, match="200 of 200 calls"):
        conduct.in_vain(0, NOW)


def test_good_calls_of_long_ago_excuse_nothing():
    conduct = Conduct(NOW)
    came = 1_000_000
    later = NOW + WINDOW + 1
    with pytest.raises(LimitExceeded, match="200 of 200 calls"):
        for _ in range(JUDGED):
            came += 1
            conduct.in_vain(came, later)


def test_each_window_is_judged_alone():
    conduct = Conduct(NOW)
    for number in range(1, 10 * JUDGED):
        conduct.in_vain(number, NOW + number * WINDOW / (JUDGED - 10))


def test_pings_in_time_are_no_concern():
    conduct = Conduct(NOW)
    for number in range(100):
        conduct.pinged(5.0, NOW + 4.6 * number)  # a network may bunch them


def test_strikes_are_forgiven_by_one_in_time():
    conduct = Conduct(NOW)
    now = NOW
    for _ in range(10):
        now += 5.0
        conduct.pinged(5.0, now)
        for _ in range(STRIKES):
            conduct.pinged(5.0, now)
    with pytest.raises(LimitExceeded, match="sooner than every 5 s"):
        conduct.pinged(5.0, now)


def test_where_it_does_not_matter_anybody_pings():
    conduct = Conduct(NOW)
    for _ in range(100):
        conduct.pinged(0.0, NOW)
