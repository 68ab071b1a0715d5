"""How many lines a source may cause in a log."""

import logging

import pytest

import rpcx
from rpcx.abc import PeerFacts
from rpcx.security.lines import LINES, QUIET, SOURCES, Lines, Quiet, source_of

ANN = PeerFacts("tcp", "192.0.2.1:4000", principal="ann")


def test_a_source_gets_so_many_a_second_and_the_rest_is_told_when_the_second_is_over():
    lines = Lines(0.0)
    taken = [lines.take("ann", 3, 0.1) for _ in range(5)]
    assert taken == [(True, [])] * 3 + [(False, [])] * 2
    assert lines.take("bob", 3, 0.2) == (True, [])
    assert lines.take("ann", 3, 1.1) == (True, [("ann", 2)])


def test_what_a_source_that_is_silent_now_did_not_get_is_told_too():
    lines = Lines(0.0)
    for _ in range(5):
        lines.take("ann", 3, 0.1)
    assert lines.take("bob", 3, 2.0) == (True, [("ann", 2)])
    assert lines.rest() == []


def test_what_was_not_told_is_told_at_the_end():
    lines = Lines(0.0)
    for _ in range(5):
        lines.take("ann", 3, 0.1)
    assert lines.rest() == [("ann", 2)]
    assert lines.rest() == []


def test_sources_without_number_cost_no_memory_without_number():
    lines = Lines(0.0)
    told = 0
    for number in range(SOURCES * 2):
        for _ in range(2):
            told += len(lines.take(f"10.0.{number}", 1, 0.1)[1])
    assert len(lines) <= SOURCES
    assert told == SOURCES, "who gives way is told of"


@pytest.mark.parametrize(("peer", "source"), [
    (ANN, "ann"),
    (PeerFacts("tcp", "192.0.2.1:4000"), "192.0.2.1"),
    (PeerFacts("tcp", "[2001:db8::1]:4000"), "[2001:db8::1]"),
    (PeerFacts("pipe", "pipe://bank", uid=1001), "pipe://bank uid 1001"),
])  # fmt: skip
def test_a_source_is_somebody_by_name_a_user_or_an_address_without_its_port(peer, source):
    assert source_of(peer) == source


def test_a_logger_lets_pass_what_a_source_has_left_and_what_is_about_nobody(caplog):
    now = [0.0]
    quiet = Quiet(lambda: now[0])
    logger = logging.getLogger("rpcx.tests.quiet")
    logger.addFilter(quiet)
    with caplog.at_level(logging.WARNING, logger.name):
        for number in range(100):
            logger.warning("%s: failed %d", ANN, number)
            logger.warning("the host: %d", number)
        now[0] = 1.5
        logger.warning("%s: failed again", ANN)
    said = [record.getMessage() for record in caplog.records]
    assert sum(each.startswith("the host") for each in said) == 100
    assert sum("failed" in each for each in said) == LINES + 1
    assert f"{100 - LINES} lines about ann were left out" in said
    assert quiet.left_out == 100 - LINES


@pytest.mark.parametrize("name", ["rpcx", "rpcx.security"])
def test_the_librarys_own_loggers_have_it_once(name):
    for _ in range(2):
        rpcx.Host().close()
    assert logging.getLogger(name).filters.count(QUIET) == 1
