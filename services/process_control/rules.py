"""What an agent lets its clients do to processes."""

import os
import pwd
from dataclasses import dataclass, field

import psutil

from services.process_control.children import MOST_CHILDREN


@dataclass(frozen=True)
class Rules:
    """Whom clients may signal, and how much they may start.

    Attributes:
        users: numbers of the accounts whose processes may be signalled; default the agent's own only.
        most_children: that may run at once, of all clients together.
    """

    users: frozenset[int] = field(default_factory=lambda: frozenset({os.getuid()}))
    most_children: int = MOST_CHILDREN

    def permit(self, pid: int) -> None:
        """Return if this process may be signalled. To be asked while a handle of it is open.

        Raises:
            PermissionError: it may not; the message says why.
            ProcessLookupError: there is no such process.
        """
        if pid == 1:
            raise PermissionError("process 1 runs the system; no agent signals it")
        if pid == os.getpid():
            raise PermissionError(f"process {pid} is this agent itself; stop it from outside")
        try:
            uids = psutil.Process(pid).uids()
        except psutil.NoSuchProcess:
            raise ProcessLookupError(f"there is no process {pid}") from None
        for uid in (uids.real, uids.effective):
            if uid not in self.users:
                allowed = ", ".join(sorted(map(user_name, self.users))) or "nobody"
                raise PermissionError(
                    f"process {pid} runs as {user_name(uid)}; this agent signals only processes of {allowed}"
                )


def user_name(uid: int) -> str:
    """The account's name, or its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
