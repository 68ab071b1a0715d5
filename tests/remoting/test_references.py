"""References: counted as they come, given back once."""

import gc
import threading

import rpcx
from rpcx.remoting.contract import contract_of
from rpcx.remoting.references import LetGo, Reference


class Ledger:
    """The end of a connection, as far as a reference gives itself back to it."""

    facts = "a ledger"

    def __init__(self):
        self.given = []

    def give_back(self, uri, count):
        self.given.append((uri, count))


class Door:
    closed = 0

    def close(self):
        self.closed += 1


def test_a_reference_gives_back_as_often_as_it_was_received_and_only_once():
    ledger = Ledger()
    reference = Reference(ledger, "account/1", ("Account",), count=3)
    reference.release()
    reference.release()
    del reference
    gc.collect()
    assert ledger.given == [("account/1", 3)]


def test_the_last_use_of_a_reference_gives_it_back():
    ledger = Ledger()
    reference = Reference(ledger, "account/1", (), count=1)
    other = reference
    del reference
    gc.collect()
    assert ledger.given == []
    del other
    gc.collect()
    assert ledger.given == [("account/1", 1)]


def test_a_well_known_object_has_nothing_to_give_back():
    ledger = Ledger()
    Reference(ledger, "bank", ("Bank",)).release()
    assert ledger.given == []


def test_releasing_closes_the_connection_that_was_made_for_it_alone():
    reference = Reference(Ledger(), "bank", ())
    reference.owner = door = Door()
    reference.release()
    reference.release()
    assert door.closed == 1


def test_a_reference_that_was_only_half_made_dies_quietly():
    half = Reference.__new__(Reference)
    del half
    gc.collect()  # an error in a finalizer would be a warning, and so fail


def test_the_contract_is_what_its_user_asked_for_else_the_first_that_is_known_here():
    @rpcx.remote
    class Known:
        pass

    known = contract_of(Known)
    reference = Reference(Ledger(), "x", ("Stranger", known.name))
    assert reference.contract() is known
    assert Reference(Ledger(), "x", ("Stranger",)).contract() is None
    reference.expected = expected = object()
    assert reference.contract() is expected


def test_what_is_given_back_while_others_take_is_taken_once():
    let_go, taken, size = LetGo(), ([], []), 2000

    def add(name):
        for number in range(size):
            let_go.append((f"{name}/{number}", 1))
            let_go.append(number)

    def take():
        for all_of_it, now in zip(taken, let_go.take(), strict=True):
            all_of_it.extend(now)

    adders = [threading.Thread(target=add, args=(name,)) for name in "abc"]
    for adder in adders:
        adder.start()
    while any(adder.is_alive() for adder in adders):
        take()
    for adder in adders:
        adder.join()
    take()
    calls, references = taken
    assert sorted(calls) == sorted([*range(size)] * 3)
    assert len(references) == len(set(references)) == 3 * size
    assert let_go == []
