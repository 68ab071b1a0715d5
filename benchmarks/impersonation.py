"""What acting as the caller costs: the first use, a warm call and a warm open.

python -m benchmarks.impersonation
"""

import time
from statistics import median

import rpcx
from rpcx.security.users import uid_of

ROUNDS = 1000


@rpcx.singleton("bench", allow={"*"})
class Bench:
    """Measures from within a served call, as uses are."""

    @rpcx.method(blocking=True)
    def run(self) -> dict[str, float]:
        with rpcx.Impersonation([uid_of], allow_root=True) as users:
            caller = users.caller()
            begun = time.perf_counter()
            caller.call(uid_of, 1)
            first = time.perf_counter() - begun
            calls = [timed(lambda: caller.call(uid_of, 1)) for _ in range(ROUNDS)]
            opens = [timed(lambda: caller.open("/etc/hostname").close()) for _ in range(ROUNDS)]
        return {"first use, ms": first * 1e3, "call, us": median(calls) * 1e6, "open, us": median(opens) * 1e6}


def timed(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Print the figures."""
    host = rpcx.Host()
    host.publish(Bench(), "bench")
    url = host.listen("pipe://bench")
    with host, rpcx.connect(url) as server:
        for name, figure in server.get(Bench).run().items():
            print(f"{name:14} {figure:.1f}")


if __name__ == "__main__":
    main()
