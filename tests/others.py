"""Programs that another user of this machine runs."""

import os
import subprocess
import sys
from typing import Self

import pytest

ANN = 54_321  # a user; the kernel needs no name for it
BECOME = """
import encodings.idna, os, socket, sys  # all that it needs, while it may still read it
os.setgroups([])
os.setresgid({uid}, {uid}, {uid})
os.setresuid({uid}, {uid}, {uid})
"""

SQUAT = """
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(server.getsockname()[1], flush=True)
sock, _ = server.accept()
print("heard", sock.recv(100), flush=True)
"""  # takes a port, and says what is said to it there

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not on Linux without root: only root can become other users")


class Other:
    """Lines of Python, run by another user, with ``args`` in ``sys.argv``; goes with the block."""

    def __init__(self, code: str, *args: object, uid: int = ANN) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", BECOME.format(uid=uid) + code, *map(str, args)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def says(self) -> str:
        """The next line that it prints; empty: it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def goes_on(self) -> None:
        """It waits for a line; here it is."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()
