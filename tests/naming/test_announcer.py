"""What a host says of itself to a directory, beyond what tests/naming/test_resolver.py shows by whole processes."""

import time

import rpcx
from rpcx.abc import Announced
from rpcx.naming.announcer import Announcer
from rpcx.naming.directory import Names, serve


def test_it_tells_of_channels_that_come_and_leaves_when_closed():
    names = Names({})
    host = rpcx.Host(grace=0.1)
    serve(names, host, lease=0.3)
    urls = ["pipe://a/x", "inproc://b/x"]
    with host:
        announcer = Announcer(host.listen("inproc://directory"), lambda: [Announced("x", list(urls), {"a": "b"})])
        end = time.monotonic() + 10
        while not (found := names.find("", {})):
            assert time.monotonic() < end
        assert found[0].urls == ["pipe://a/x"]
        urls.append("tcp://c:1/x")
        while names.look_up("x").urls != ["pipe://a/x", "tcp://c:1/x"]:
            assert time.monotonic() < end
        announcer.close()
        while names.find("", {}):
            assert time.monotonic() < end
