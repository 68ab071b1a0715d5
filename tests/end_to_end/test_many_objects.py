"""Many leased objects in one host; what they cost by how many live.

30,000 here, a million with ``--long``.
"""

import time

import pytest

import rpcx

FEW = 100
MOST = rpcx.Quotas(per_holder=2_000_000, per_principal=2_000_000, per_host=2_000_000)
BATCH = 1000  # objects made, and ended, for each figure


@rpcx.client_activated(lease=rpcx.Lease(initial=100_000))
class Lasting:
    def hit(self) -> int:
        return 1


@rpcx.client_activated(lease=rpcx.Lease(initial=0.3, renew_on_call=0))
class Brief:
    def hit(self) -> int:
        return 1


@rpcx.singleton("maker")
class Maker:
    def make(self, count: int) -> list[Lasting]:
        return [Lasting() for _ in range(count)]


def figures(server, lasting) -> dict[str, float]:
    """Seconds to make `BATCH` objects, to call one as often, and from the last one's making until all have ended."""
    begun = time.perf_counter()
    brief = [server.create(Brief) for _ in range(BATCH)]
    made = time.perf_counter()
    for _ in range(BATCH):
        lasting.hit()
    called = time.perf_counter()
    deadline = time.monotonic() + 10
    while any(map(alive, (brief[0], brief[-1]))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return {"creating": made - begun, "calling": called - made, "ending": time.perf_counter() - made}


def alive(proxy) -> bool:
    try:
        proxy.hit()
    except rpcx.ObjectExpired:
        return False
    return True


def best(server, lasting) -> dict[str, float]:
    rounds = [figures(server, lasting) for _ in range(3)]
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


@pytest.mark.timeout(300)
def test_creating_calling_and_ending_do_not_slow_with_how_many_live(request):
    number = 1_000_000 if request.config.getoption("--long") else 30_000
    host = rpcx.Host(quotas=MOST)
    host.register(Lasting, Brief, Maker)
    url = host.listen("pipe://many")
    with host, rpcx.connect(url) as server:
        maker = server.get(Maker)
        kept = maker.make(FEW)
        few = best(server, kept[-1])
        while len(kept) < number:
            kept += maker.make(BATCH)
        assert host.stats()["leased"] >= number
        slower = {name: many / few[name] for name, many in best(server, kept[-1]).items()}
        for _ in range(4):  # a machine that has other things to do is slow for a while, and not by how many live
            if max(slower.values()) < 3:
                break
            slower = {name: min(slower[name], many / few[name]) for name, many in best(server, kept[-1]).items()}
        assert host.stats()["leased"] >= len(kept), "nothing but what was brief has ended"
        assert max(slower.values()) < 3, slower
        assert kept[0].hit() == 1
