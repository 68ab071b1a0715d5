"""Plug-ins by entry point."""

import pytest

from rpcx import plugins
from rpcx.channels.inproc import InprocChannel
from rpcx.sinks.formatters import JsonFormatter


def test_the_built_in_ones_are_entry_points_like_any_other():
    assert plugins.channel("inproc") is InprocChannel
    assert plugins.formatter("json") is JsonFormatter
    assert {"tcp", "pipe", "inproc"} <= set(plugins.names(plugins.CHANNELS))
    assert {"msgpack", "json"} <= set(plugins.names(plugins.FORMATTERS))


def test_a_resolver_is_found_by_the_word_before_the_colon():
    assert plugins.resolver("pipe://bank") is None
    assert plugins.resolver("PYRO:bank@127.0.0.1:1") is plugins.resolver("PYRO:other") is not None


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match=r"no channel 'carrier-pigeon' is installed; there are: .*pipe.*tcp"):
        plugins.channel("carrier-pigeon")


def test_one_made_in_code_comes_first():
    class Mine:
        name = "mine-for-this-test"

    plugins.register(plugins.FORMATTERS, Mine.name, Mine)
    assert plugins.formatter(Mine.name) is Mine
    assert Mine.name in plugins.names(plugins.FORMATTERS)


def test_a_group_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="is no group"):
        plugins.register("rpcx.things", "x", object)


def test_without_any_installed_the_remedy_is_named():
    with pytest.raises(ValueError, match=r"install rpcx|there are"):
        plugins.sink("nothing-of-this-name")
