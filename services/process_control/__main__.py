"""Serve the processes of this machine: ``python -m services.process_control --listen pipe://desktop``."""

import argparse
import os
import pwd
import signal
import sys
from collections.abc import Sequence

import rpcx
from services.process_control.agent import implementations
from services.process_control.children import MOST_CHILDREN
from services.process_control.rules import Rules


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, read."""
    parser = argparse.ArgumentParser(
        prog="python -m services.process_control",
        description="Let others look at the processes of this machine, control those of this user, and start new ones.",
    )
    add = parser.add_argument
    add("--listen", action="append", metavar="URL", help="where; again for more (default pipe://process-control)")
    add("--insecure", action="store_true", help="plain TCP instead of TLS, on loopback only")
    add("--lease", type=_seconds, metavar="S", help="seconds a Process lives, and after each call (default 60)")
    add("--grace", type=_seconds, default=30.0, metavar="S", help="for a lost client to come back (default 30)")
    add("--user", action="append", type=_uid, metavar="NAME",
        help="whose processes may be signalled; again for more (default the user who runs this)")  # fmt: skip
    add("--children", type=int, default=MOST_CHILDREN, metavar="N",
        help=f"how many started processes there may be at once (default {MOST_CHILDREN})")  # fmt: skip
    return parser.parse_args(words)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text}: a number of seconds above 0")
    return seconds


def _uid(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise argparse.ArgumentTypeError(f"{name}: this machine has no such user") from None


def main(words: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; then stop what was started."""
    given = arguments(words)
    rules = Rules(users=frozenset(given.user or [os.getuid()]), most_children=given.children)
    lease = None
    if given.lease is not None:
        lease = rpcx.Lease(initial=given.lease, renew_on_call=given.lease, sponsorship_timeout=min(given.lease, 10))
    agent, process, desk = implementations(rules, lease)
    host = rpcx.Host(grace=given.grace)
    host.register(agent, process)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: host.stop())
    try:
        for url in given.listen or ["pipe://process-control"]:
            print("listening on", host.listen(url, insecure=given.insecure), flush=True)  # noqa: T201  # scripts wait for it
        with host:
            host.wait()
    except (OSError, ValueError) as error:  # AccessDenied is an OSError, too
        print(error, file=sys.stderr)  # noqa: T201  # for whoever started it
        return 1
    finally:
        host.close()
        desk.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
