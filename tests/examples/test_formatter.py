"""The example of a third party's formatter."""

import importlib.util
from pathlib import Path

import rpcx
from rpcx import plugins

SOURCE = Path(__file__).parents[2] / "examples" / "formatter" / "rpcx_zjson.py"


@rpcx.singleton("echo")
class Echo:
    def same(self, value):
        return value


def test_it_serves_a_host_and_a_client():
    spec = importlib.util.spec_from_file_location("rpcx_zjson", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plugins.register(plugins.FORMATTERS, "zjson", module.CompressedJson)
    host = rpcx.Host(formatters=["zjson"])
    host.register(Echo)
    url = host.listen("inproc://zjson")
    with host, rpcx.connect(url, formatters=["zjson"]) as server:
        value = {"k": [(1, {2}), b"bytes"]}
        assert server.get(Echo).same(value) == value
