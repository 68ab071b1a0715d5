"""What the manager asks its host to do."""

from rpcx.lifetime import manager
from rpcx.lifetime.actions import Action, AskSponsor, Ended


def test_a_host_finds_the_actions_beside_the_manager():
    assert (manager.AskSponsor, manager.Ended, manager.Action) == (AskSponsor, Ended, Action)


def test_an_action_is_plain_data_that_names_its_object_first():
    assert tuple(Ended("bank/1", "it was time", 5.0)) == ("bank/1", "it was time", 5.0, ())
    assert AskSponsor._fields == ("object_id", "sponsor", "info", "deadline")
