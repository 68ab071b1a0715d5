"""Files that only their owner may read or change, as OpenSSH's StrictModes means it.

A key that others can read is no key, and a list of trusted keys that others can write is everybody's. So before such
a file is used it is checked: it is a plain file, no symbolic link, this user's, and closed to others. Files appear
whole or not at all: they are written beside their place and moved there.
"""

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from rpcx.errors import AccessDenied

MOST_BYTES: Final = 1 << 20  # of one file; a larger one is none of ours
POSIX: Final = os.name == "posix"  # elsewhere files have no modes; the user's profile is private by itself


def directory_problem(directory: Path) -> str:
    """What makes a directory unsafe for private files; empty: nothing. Raises FileNotFoundError."""
    found = directory.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is no directory"
    if not POSIX:
        return ""
    uid = os.geteuid()
    if found.st_uid != uid:
        return f"it belongs to user {found.st_uid}, not to user {uid}"
    if found.st_mode & 0o077:
        return f"others may use it (mode {stat.S_IMODE(found.st_mode):04o}, 0700 is needed)"
    return ""


def private_directory(directory: Path) -> Path:
    """``directory``, made if there is none.

    Raises:
        AccessDenied: others can look or write into it; the message names the command that repairs it.
    """
    _make(directory)
    problem = directory_problem(directory)
    if problem:
        raise AccessDenied(f"{directory} is not safe for keys: {problem}; repair it, as in: chmod 700 {directory}")
    return directory


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass  # made before; the caller looks at it
    except FileNotFoundError:
        _make(directory.parent)  # private too, which `parents=True` would not have it be
        _make(directory)


def file_problem(found: os.stat_result, *, secret: bool) -> str:
    """What makes a file unsafe to rely on; empty: nothing."""
    if not stat.S_ISREG(found.st_mode):
        return "it is no plain file"
    if not POSIX:
        return ""
    uid = os.geteuid()
    if found.st_uid != uid:
        return f"it belongs to user {found.st_uid}, not to user {uid}"
    if found.st_mode & (0o077 if secret else 0o022):
        able = "read or write" if secret else "write"
        return f"others may {able} it (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


def read_private(path: Path, *, secret: bool) -> bytes:
    """The content of a file that only its owner can change, and if ``secret`` read.

    Raises:
        FileNotFoundError: there is none.
        AccessDenied: it is a symbolic link, not this user's, or open to others; or larger than a megabyte.
    """
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise AccessDenied(f"{path} is a symbolic link; put the file itself there") from None
        raise
    with os.fdopen(file, "rb") as opened:
        problem = file_problem(os.fstat(file), secret=secret)
        if problem:
            raise AccessDenied(f"{path}: {problem}; repair it, as in: chmod {'600' if secret else '644'} {path}")
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise AccessDenied(f"{path} has more than {MOST_BYTES} bytes; it is no file of keys")
    return content


def write_private(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, in place of what is there: whole or not at all, mode 0600."""
    beside = _beside(path, content)
    try:
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def create_private(path: Path, content: bytes) -> bool:
    """The same where nothing is yet. False: somebody was faster, and theirs stands."""
    beside = _beside(path, content)
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    return True


def _beside(path: Path, content: bytes) -> Path:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    with os.fdopen(file, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(file)
    return beside
