"""Whether the interpreter has the fixes that rpcx's promises stand on."""

import logging
import sys
from collections.abc import Sequence
from typing import Final

log = logging.getLogger("rpcx.security")

#: The first release of each line of Python without known holes in what rpcx stands on (ssl, ipaddress, sockets).
SAFE_PYTHON: Final = {(3, 11): 5, (3, 12): 9, (3, 13): 2}


def to_update(python: Sequence[int] = sys.version_info[:3]) -> str:
    """The release to update to; empty: it is well as it is."""
    least = SAFE_PYTHON.get((python[0], python[1]))
    return f"{python[0]}.{python[1]}.{least}" if least is not None and python[2] < least else ""


def warn_once(python: Sequence[int] = sys.version_info[:3]) -> None:
    """Tell in the log, the first time that this process listens to a network."""
    global _warned  # noqa: PLW0603  # one process, one interpreter
    release = to_update(python)
    if release and not _warned:
        version = ".".join(map(str, python))
        log.warning("Python %s has known security holes: update it to %s or later (rpcx doctor)", version, release)
        _warned = True


_warned = False
