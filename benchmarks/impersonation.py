"""What acting as the caller costs: the first use of a user, a warm call and a warm open.

"at once" is a use right after `Impersonation` was made, "first use" one later, when no helper is there.

python -m benchmarks.impersonation
"""

import os
import select
import time
from statistics import median

import rpcx
from rpcx.security.users import uid_of

ROUNDS = 1000
HELPERS = 20
IDLE = 0.05  # seconds: each helper ends soon, so that the next use is a first one


@rpcx.singleton("bench", allow={"*"})
class Bench:
    """Measures from within a served call, as uses are."""

    @rpcx.method(blocking=True)
    def run(self) -> dict[str, float]:
        with rpcx.Impersonation([uid_of, os.getpid], allow_root=True, idle=IDLE) as users:
            caller = users.caller()
            at_once = timed(lambda: caller.call(os.getpid))
            firsts = [first(caller) for _ in range(HELPERS)]
            calls = [timed(lambda: caller.call(uid_of, 1)) for _ in range(ROUNDS)]
            opens = [timed(lambda: caller.open("/etc/hostname").close()) for _ in range(ROUNDS)]
        return {
            "at once, ms": at_once * 1e3, "first use, ms": median(firsts) * 1e3, "... best, ms": min(firsts) * 1e3,
            "call, us": median(calls) * 1e6, "open, us": median(opens) * 1e6,
        }  # fmt: skip


def first(caller):
    """What a use takes after the helper that was there ended."""
    helper = os.pidfd_open(caller.call(os.getpid))
    ended = select.poll()
    ended.register(helper, select.POLLIN)
    ended.poll()
    os.close(helper)
    return timed(lambda: caller.call(os.getpid))


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
