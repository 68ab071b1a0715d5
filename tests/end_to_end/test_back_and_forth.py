"""Calls that cause calls the other way."""

import pytest

import rpcx


@rpcx.remote
class Player:
    """Hits the ball back until it has crossed the net often enough."""

    def hit(self, opponent: "Player", left: int) -> int:
        return 0 if left == 0 else 1 + opponent.hit(self, left - 1)

    async def hit_async(self, opponent: "Player", left: int) -> int:
        return 0 if left == 0 else 1 + await opponent.hit_async(self, left - 1)


@pytest.mark.parametrize("urls", [("inproc://one", "inproc://two"), ("pipe://one", "tcp://127.0.0.1:0")])
def test_two_hosts_call_each_other_back_and_forth(urls):
    here, there = rpcx.Host(), rpcx.Host()
    here.publish(Player(), "player")
    there.publish(Player(), "player")
    one, two = here.listen(urls[0]), there.listen(urls[1])
    with here, there, rpcx.connect(one) as first, rpcx.connect(two) as second:
        a, b = first.get(Player, "player"), second.get(Player, "player")
        for _ in range(5):
            assert a.hit(b, 12) == 12


@pytest.mark.parametrize("url", ["inproc://court", "pipe://court", "tcp://127.0.0.1:0"])
def test_a_client_and_a_host_call_each_other_back_and_forth(url):
    host = rpcx.Host()
    host.publish(Player(), "player")
    url = host.listen(url)
    with host, rpcx.connect(url) as server:
        remote, mine = server.get(Player, "player"), Player()
        for _ in range(20):
            assert remote.hit(mine, 20) == 20
            assert remote.hit_async(mine, 20) == 20


def test_an_endless_ping_pong_ends_with_an_error():
    host = rpcx.Host()
    host.publish(Player(), "player")
    url = host.listen("inproc://endless")
    with host, rpcx.connect(url) as server:
        try:
            server.get(Player, "player").hit(Player(), 1000)
        except rpcx.LimitExceeded as error:
            assert "nested deeper" in str(error)
        else:
            raise AssertionError("nothing ended it")
