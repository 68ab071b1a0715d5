"""The example of a third party's formatter."""

import importlib.util
import tracemalloc
import zlib
from pathlib import Path

import pytest

import rpcx
from rpcx import plugins
from rpcx.sinks.values import Values
from rpcx.testing import check_formatter

SOURCE = Path(__file__).parents[2] / "examples" / "formatter" / "rpcx_zjson.py"


@rpcx.singleton("echo")
class Echo:
    def same(self, value):
        return value


def example():
    spec = importlib.util.spec_from_file_location("rpcx_zjson", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_a_formatter():
    check_formatter(example().CompressedJson())


def test_it_serves_a_host_and_a_client():
    module = example()
    plugins.register(plugins.FORMATTERS, "zjson", module.CompressedJson)
    host = rpcx.Host(formatters=["zjson"])
    host.register(Echo)
    url = host.listen("inproc://zjson")
    with host, rpcx.connect(url, formatters=["zjson"]) as server:
        value = {"k": [(1, {2}), b"bytes"]}
        assert server.get(Echo).same(value) == value


@pytest.fixture
def small(monkeypatch):
    """The formatter, with a bound that a test reaches at once."""
    module = example()
    monkeypatch.setattr(module, "MOST", 100)
    return module.CompressedJson()


VALUES = Values(lambda _: None, lambda fields: fields)


def test_a_text_that_just_fits_passes_and_one_byte_more_does_not(small):
    fits, over = (small.encode("x" * size, VALUES)[0] for size in (98, 99))  # and two quotes
    assert small.decode(fits, (), VALUES) == "x" * 98
    with pytest.raises(ValueError, match="at most 100 bytes"):
        small.decode(over, (), VALUES)


@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"x", lambda body: b""])
def test_bytes_that_are_no_whole_text_are_refused(small, change):
    body, _ = small.encode([1, 2], VALUES)
    with pytest.raises(ValueError, match="not one compressed text"):
        small.decode(change(body), (), VALUES)


def test_a_bomb_costs_no_more_than_the_bound(small):
    bomb = zlib.compress(b" " * (16 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="at most 100 bytes"):
        small.decode(bomb, (), VALUES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
