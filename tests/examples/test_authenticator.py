"""The example of a third party's authenticator."""

import importlib.util
from pathlib import Path

import pytest

import rpcx

SOURCE = Path(__file__).parents[2] / "examples" / "authenticator" / "rpcx_badge.py"


@rpcx.singleton("door", allow={"principal:ann"})
class Door:
    def who(self) -> str | None:
        return rpcx.context.peer.principal


def test_who_has_a_badge_gets_in_and_nobody_else():
    spec = importlib.util.spec_from_file_location("rpcx_badge", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    host = rpcx.Host(authenticators=[module.Badge({"ann": b"a" * 32, "bob": b"b" * 32})])
    host.register(Door)
    url = host.listen("inproc://badge")
    with host:
        with rpcx.connect(url, authenticators=[module.Badge({"ann": b"a" * 32})]) as server:
            assert server.get(Door).who() == "ann"
        for holder, key in (("ann", b"b" * 32), ("carl", b"a" * 32)):
            with pytest.raises(rpcx.AuthenticationFailed, match="no such badge"):
                rpcx.connect(url, authenticators=[module.Badge({holder: key})])
