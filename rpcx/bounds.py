"""Every bound of a host in one place: what it admits, how much is used, how much was at most, how often it was reached.

A bound is called by where it is set: ``limits.message`` is `rpcx.Limits`'s, and ``message`` of ``[limits]`` in a
configuration file. What is ``fixed`` cannot be set. What would have to be counted in every call is not counted; `now`
and `high` are None then. Who went over a bound was told; `refused` counts that (`rpcx.security.hits`).
"""

from typing import Any, Final

from rpcx.abc import Bound
from rpcx.context import DEEPEST
from rpcx.drivers.workers import MOST_WORKERS
from rpcx.lifetime.sponsors import MAX_SPONSORS
from rpcx.protocol.conduct import JUDGED, SENT_AHEAD
from rpcx.protocol.frames import MAX_SEGMENTS
from rpcx.protocol.handshake import HELLO_BYTES
from rpcx.remoting.incoming import MOST_BATCHED
from rpcx.security.doorkeeper import Doorkeeper
from rpcx.security.lines import LINES, QUIET
from rpcx.sinks.lowering import LONGEST_KEY, MAX_CONTAINERS, MAX_DEPTH

#: Those of `rpcx.Limits` that are reached or not, and no more can be said of them.
PLAIN: Final = ("window", "write_stall", "ping_timeout", "min_ping", "frame_seconds", "handshake", "longest_call")
FIXED: Final = {
    "handshake_bytes": HELLO_BYTES, "segments": MAX_SEGMENTS, "depth": MAX_DEPTH, "containers": MAX_CONTAINERS,
    "key_length": LONGEST_KEY, "call_depth": DEEPEST, "batch_calls": MOST_BATCHED, "vain_calls": JUDGED,
    "sent_ahead": SENT_AHEAD,
}  # fmt: skip


def collected(realm: Any, doorkeeper: Doorkeeper, driver: dict[str, int]) -> dict[str, Bound]:  # a Realm
    """A host's.

    Args:
        realm: its objects and connections.
        doorkeeper: its guard.
        driver: what its driver counts.
    """
    peers = [end.known for end in list(realm.endpoints)]
    door = doorkeeper.bounds([peer for peer in peers if peer is not None])
    return {
        **{f"admission.{name}": bound for name, bound in door.items()},
        **_limits(realm, driver),
        **_quotas(realm),
        **_fixed(realm, driver),
    }


def _limits(realm: Any, driver: dict[str, int]) -> dict[str, Bound]:
    limits, hits = realm.limits, realm.table.hits
    found: dict[str, Bound] = {}
    for name, (now, high) in {**_each_connection(realm), **realm.slots.peaks(), **realm.port.peaks()}.items():
        scope, _, short = name.partition(".")
        if scope == "limits":
            found[name] = Bound(getattr(limits, short), now, max(now, high), hits[name])
    found["limits.message"] = found["limits.message"]._replace(now=None)
    found["limits.write_cap"] = Bound(limits.write_cap, driver["waiting"], driver["waiting_high"], driver["floods"])
    for name in (*PLAIN, "session"):
        found[f"limits.{name}"] = Bound(getattr(limits, name), None, None, hits[f"limits.{name}"])
    return found


def _quotas(realm: Any) -> dict[str, Bound]:
    quotas, hits = realm.table.manager.quotas, realm.table.hits
    with realm.table.lock:
        peaks = {**realm.table.manager.peaks(), **_each_connection(realm)}
    found = {
        name: Bound(getattr(quotas, name.partition(".")[2]), now, high, hits[name])
        for name, (now, high) in peaks.items()
        if name.startswith("quotas.")
    }
    longest = "quotas.longest_renewal"
    return {**found, longest: Bound(quotas.longest_renewal, None, None, hits[longest])}


def _fixed(realm: Any, driver: dict[str, int]) -> dict[str, Bound]:
    hits = realm.table.hits
    found = {f"fixed.{name}": Bound(most, None, None, hits[f"fixed.{name}"]) for name, most in FIXED.items()}
    with realm.table.lock:
        now, high = realm.table.manager.peaks()["fixed.sponsors"]
    found["fixed.sponsors"] = Bound(MAX_SPONSORS, now, high, hits["fixed.sponsors"])
    found["fixed.workers"] = Bound(MOST_WORKERS, driver["workers"], driver["workers_high"], driver["queued"])
    found["fixed.log_lines"] = Bound(LINES, None, None, QUIET.left_out)
    return found


def _each_connection(realm: Any) -> dict[str, tuple[int, int]]:
    """(now, at most) of what is bounded for each connection: of the one that has most, and that ever had."""
    found: dict[str, tuple[int, int]] = dict.fromkeys(("limits.message", "limits.oneways", "quotas.callbacks"), (0, 0))
    for end in list(realm.endpoints):
        for name, (now, high) in getattr(end, "peaks", dict)().items():  # ends of other protocols have none
            found[name] = (max(now, found[name][0]), max(high, found[name][1]))
    return {name: (now, max(high, realm.table.hits.high(name))) for name, (now, high) in found.items()}
