"""Rules: what may be said, and whom it means."""

import os
import pwd

import pytest

from rpcx.abc import PeerFacts
from rpcx.remoting.rules import EVERYBODY, resolved, resolved_here, rule, words_of

ME = pwd.getpwuid(os.getuid()).pw_name


def test_a_rule_is_a_set_of_words():
    kerberos = ("principal:HTTP/web.example.com@EXAMPLE.COM", "principal:PC1$@EXAMPLE.COM")
    assert rule(["ops", "*", "principal:ann@realm", "user:ann", "group:50", *kerberos], "x") == {
        "ops", "*", "principal:ann@realm", "user:ann", "group:50", *kerberos,
    }  # fmt: skip
    assert rule((), "x") == frozenset()
    assert rule(None, "x") is None


@pytest.mark.parametrize("wrong", ["ops", 5, b"ops"])
def test_a_word_by_itself_is_no_rule(wrong):
    with pytest.raises((TypeError, ValueError), match="Bank.open"):
        rule(wrong, "Bank.open")


@pytest.mark.parametrize("word", ["", "principal:", "role:ops", "a b", "ops\n", "öps", 5, "principal:a b", "uid:0"])
def test_what_is_no_word_is_named(word):
    with pytest.raises(ValueError, match=r"Bank\.open: .* is no word of a rule"):
        rule([word], "Bank.open")


def test_users_and_groups_of_the_machine_are_known_by_number():
    mine = resolved(frozenset({f"user:{ME}", "user:77", "group:77", "ops"}))
    assert mine == {f"principal:uid:{os.getuid()}", "principal:uid:77", "gid:77", "ops"}


def test_an_unknown_user_is_an_error_to_the_operator_and_nobody_to_a_program():
    with pytest.raises(ValueError, match="no user 'nobody-of-this-name'"):
        resolved(frozenset({"user:nobody-of-this-name"}))
    with pytest.raises(ValueError, match="no group 'none-of-this-name'"):
        resolved(frozenset({"group:none-of-this-name"}))
    assert resolved_here(frozenset({"user:nobody-of-this-name", "ops"})) == {"ops"}


def test_a_peer_has_the_words_that_are_known_of_it():
    assert words_of(PeerFacts("tcp", "x:1")) == EVERYBODY
    ann = PeerFacts("tcp", "x:1", principal="ann", roles=frozenset({"ops"}))
    assert words_of(ann) == {"*", "principal:ann", "ops"}


def test_a_name_in_a_trust_store_cannot_be_taken_for_a_user_of_the_machine():
    """Its names have no colon (`rpcx.security.records.checked_name`)."""
    from rpcx.security.records import checked_name

    for name in ("uid:0", "gid:0", "*"):
        with pytest.raises(ValueError, match="no name"):
            checked_name(name, "principal")
