"""Sessions whose client's proof stands no more."""

import logging

import pytest

from rpcx.abc import PeerFacts, Proved
from rpcx.errors import AuthenticationFailed
from rpcx.remoting.standing import LOOK_SECONDS, Standing


class End:
    facts = PeerFacts("pipe", "app")

    def __init__(self, proof: Proved | None) -> None:
        self.proof = proof
        self.error: Exception | None = None

    def cut_off(self, error: Exception) -> None:
        self.error = error


@pytest.fixture
def truth():
    return {"ann": True, "bob": True}


@pytest.fixture
def standing(truth):
    standing = Standing()
    standing.made = [End(Proved(name, stands=lambda name=name: truth[name])) for name in truth]
    for end in standing.made:
        standing.begun(end)
    return standing


def test_whose_proof_stands_no_more_is_cut_off_within_a_second_and_nobody_else_is(standing, truth):
    standing.tick(1000.0)
    assert standing.due() == 1000.0 + LOOK_SECONDS
    truth["ann"] = False
    standing.tick(1001.0)
    ann, bob = standing.made
    assert isinstance(ann.error, AuthenticationFailed)
    assert "was revoked" in str(ann.error)
    assert bob.error is None


def test_with_nobody_to_ask_about_there_is_no_timer(standing):
    for end in standing.made:
        standing.ended(end)
    standing.begun(End(None))
    standing.begun(End(Proved("eve", seconds=5.0)))
    assert standing.due() is None


def test_who_cannot_be_asked_about_stays_and_that_is_said(standing, truth, caplog):
    del truth["ann"]
    truth["bob"] = False
    with caplog.at_level(logging.ERROR, "rpcx.security"):
        standing.tick(1000.0)
    ann, bob = standing.made
    assert ann.error is None
    assert "it cannot be told whether what it proved stands" in caplog.text
    assert bob.error is not None
