"""Keytabs: files with the keys of a machine's Kerberos services. Who reads one can be any of them, to everybody."""

import os
import stat
from pathlib import Path
from typing import Final

PLACE: Final = "KRB5_KTNAME"  # environment: libkrb5's
DEFAULT: Final = "/etc/krb5.keytab"  # libkrb5's, unless krb5.conf says otherwise
KINDS: Final = ("FILE:", "WRFILE:")  # of keytabs that are files


def default_keytab() -> str:
    """Where libkrb5 looks by itself."""
    return os.environ.get(PLACE) or DEFAULT


def keytab_file(keytab: str) -> Path | None:
    """The file that ``keytab`` is, as libkrb5 writes it; None: it is none, but in memory, say."""
    for kind in KINDS:
        if keytab.startswith(kind):
            return Path(keytab.removeprefix(kind))
    return None if ":" in keytab.partition("/")[0] else Path(keytab)


def keytab_problem(file: Path) -> tuple[str, str]:
    """What makes a keytab unsafe to use, and what to do; empty: nothing.

    It may be root's and this user's group's to read, as administrators hand them out; nobody else's.
    """
    try:
        found = file.stat()
    except OSError as error:
        return f"{error.strerror}", f"have it made where the KDC is: kadmin ktadd -k {file.name} rpcx/HOST"
    if not stat.S_ISREG(found.st_mode):
        return "it is no plain file", "name the keytab itself"
    if os.name == "posix" and found.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {found.st_uid}, who can change it", f"run chown {os.geteuid()} {file}"
    if os.name == "posix" and found.st_mode & 0o027:
        return f"others may read or change it (mode {stat.S_IMODE(found.st_mode):04o})", f"run chmod 600 {file}"
    return "", ""
