"""Names: ``name://bank``, ``name://bank@directory.example:4444``, and where the directory is that knows them.

Without a place after the ``@`` it is the one that ``$RPCX_NAMES`` has the URL of, else ``pipe://names``: this user's.
"""

import os
import re
import socket
from pathlib import Path
from typing import Final

SCHEME: Final = "name://"
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,127}\Z")
DIRECTORY: Final = "RPCX_NAMES"  # environment: the URL of the directory
DEFAULT: Final = "pipe://names"
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def placed(text: str) -> tuple[str, str]:
    """The name and the directory's URL in ``name://bank@place`` or ``bank@place``. Raises ValueError: it is none."""
    name, _, place = text.removeprefix(SCHEME).partition("@")
    checked(name)
    if not place:
        return name, os.environ.get(DIRECTORY) or DEFAULT
    return name, place if "://" in place else f"tcp://{place}"


def checked(name: str) -> str:
    """``name``, if it is one. Raises ValueError."""
    if not NAME.match(name):
        raise ValueError(
            f"{name[:200]!r} is no name: 1 to 128 letters, digits, '_', '.', '+', '-' or '/', as in shop/bank"
        )
    return name


def machine() -> str:
    """What tells this machine, as it runs now, from others: pipes lead nowhere else."""
    try:
        return f"{socket.gethostname()} {BOOT.read_text().strip()}"
    except OSError:  # a system without it
        return socket.gethostname()
