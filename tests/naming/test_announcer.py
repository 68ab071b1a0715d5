"""What a host says of itself to a directory, beyond what tests/naming/test_resolver.py shows by whole processes."""

import socket
import time

import rpcx
from rpcx.abc import Announced
from rpcx.naming.announcer import Announcer, _for_others
from rpcx.naming.directory import Names, serve


def test_all_addresses_are_those_of_the_machines_name():
    assert _for_others("tcp://0.0.0.0:4000/bank?key=x") == f"tcp://{socket.gethostname()}:4000/bank?key=x"
    assert _for_others("tcp://[::]:4000/bank") == f"tcp://{socket.gethostname()}:4000/bank"
    assert _for_others("tcp://10.0.0.0:4000/0.0.0.0:") == "tcp://10.0.0.0:4000/0.0.0.0:"


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
