"""Where names are looked up."""

import pytest

from rpcx.naming.place import machine, placed


def test_a_name_says_where_or_the_environment_does(monkeypatch):
    monkeypatch.delenv("RPCX_NAMES", raising=False)
    assert placed("name://shop/bank") == placed("shop/bank") == ("shop/bank", "pipe://names")
    monkeypatch.setenv("RPCX_NAMES", "tcp://dir:4444")
    assert placed("name://bank") == ("bank", "tcp://dir:4444")
    assert placed("name://bank@other:1") == ("bank", "tcp://other:1")
    assert placed("bank@pipe://mine") == ("bank", "pipe://mine")


@pytest.mark.parametrize("text", ["name://", "name:// x", "name://@dir:1", "name://a\nb", "name://" + "x" * 129])
def test_what_is_no_name(text):
    with pytest.raises(ValueError, match="is no name"):
        placed(text)


def test_a_machine_is_known_by_more_than_its_name():
    assert machine() == machine() != ""
