"""Where pipes for other users are: ``pipe://name?user=ann``.

A host that listens with ``allow_uids`` or ``allow_gids`` must be reached by others, and its own runtime directory is
closed to them. So such pipes, and no others, live in ``rpcx-shared-UID`` within ``$RPCX_SHARED_DIR``, or ``/tmp``:

- The directory belongs to the host's user, who alone may write it; others may pass (0711), not list it. Both ends
  look: a client goes nowhere but to a directory and a socket of the very user its URL names, through no symbolic
  link. In a directory that all may write, as ``/tmp``, the sticky bit keeps others from putting theirs in its place.
- Modes are the outer fence. Whoever comes through is asked for by the kernel's word (``SO_PEERCRED``): a uid or a
  group that is allowed, or the door stays shut. Root is not implied.
"""

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rpcx.errors import AccessDenied, NotSent

DIRECTORY: Final = "RPCX_SHARED_DIR"  # environment: where the directories of all users are
DEFAULT: Final = "/tmp"  # noqa: S108  # not tempfile's: users may differ in TMPDIR, and must meet; its safety is checked


@dataclass(frozen=True, slots=True)
class Guests:
    """Who else may connect."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()

    def admit(self, uid: int | None, gids: Collection[int]) -> bool:
        return uid in self.uids or not self.gids.isdisjoint(gids)

    def open(self, path: Path) -> None:
        """Give a socket the narrowest mode that lets them connect: their group's if that says it all."""
        if not self.uids and len(self.gids) == 1:
            try:
                os.chown(path, -1, next(iter(self.gids)))
                path.chmod(0o660)
            except PermissionError:
                pass  # this user is not of that group
            else:
                return
        path.chmod(0o666)


def made_directory() -> Path:
    """This user's directory for shared pipes, made if need be.

    Raises:
        AccessDenied: it is not safe; the message says why.
    """
    uid = os.getuid()
    directory = _directory(uid)
    try:
        directory.mkdir(mode=0o711)
    except FileExistsError:
        pass  # made before; looked at below
    _check(directory, uid)
    if stat.S_IMODE(directory.lstat().st_mode) & 0o011 != 0o011:  # by the umask
        directory.chmod(0o711)
    return directory


def found_socket(name: str, uid: int) -> Path:
    """The socket of user ``uid``'s host.

    Raises:
        NotSent: there is none.
        AccessDenied: somebody else could have put it there.
    """
    directory = _directory(uid)
    path = directory / name
    try:
        _check(directory, uid)
        found = path.lstat()
    except FileNotFoundError:
        raise NotSent(
            f"pipe://{name}?user={uid}: no host listens there ({path}). Is it running, as this user, with allow_uids?"
        ) from None
    except AccessDenied:
        raise
    except PermissionError as error:
        raise NotSent(f"pipe://{name}?user={uid}: {path} cannot be reached: {error.strerror}") from error
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
        raise AccessDenied(f"{path} is no socket of user {uid}; somebody else put it there")
    return path


def _directory(uid: int) -> Path:
    base = Path(os.environ.get(DIRECTORY) or DEFAULT)
    found = base.lstat() if base.exists() else None
    if found is None or not stat.S_ISDIR(found.st_mode):
        raise AccessDenied(f"{base} is no directory; {DIRECTORY} says where shared pipes are")
    if found.st_uid not in (0, os.getuid(), uid):
        raise AccessDenied(f"{base} is not safe for shared pipes: it belongs to user {found.st_uid}; set {DIRECTORY}")
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise AccessDenied(f"{base} is not safe for shared pipes: others may rename what is in it; set {DIRECTORY}")
    return base / f"rpcx-shared-{uid}"


def _check(directory: Path, uid: int) -> None:
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise AccessDenied(f"{directory} is not safe for pipes: it is no directory, or a symbolic link")
    if found.st_uid != uid:
        raise AccessDenied(f"{directory} is not safe for pipes: it belongs to user {found.st_uid}, not to user {uid}")
    if found.st_mode & 0o022:
        raise AccessDenied(
            f"{directory} is not safe for pipes: others may write it (mode {stat.S_IMODE(found.st_mode):04o})"
        )
