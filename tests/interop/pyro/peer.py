"""A stock Pyro5 in a process of its own: runs the lines that it is told, and says how each ended.

It is told ``[lines of Python, names]`` as JSON, and answers ``[repr of `result`, error]``.
"""

import json
import subprocess
import sys
from pathlib import Path

CLIENT = """
import json, sys, traceback
import Pyro5.api, Pyro5.errors
space = {"Pyro5": Pyro5, "Proxy": Pyro5.api.Proxy}
for line in sys.stdin:
    code, names = json.loads(line)
    space.update(names, result=None)
    try:
        exec(code, space)
        answer = [repr(space["result"]), None, None]
    except BaseException as error:
        remote = "".join(Pyro5.errors.get_pyro_traceback())
        answer = [None, f"{type(error).__module__}.{type(error).__name__}: {error}", remote]
    print(json.dumps(answer), flush=True)
"""


class PyroError(Exception):
    """What stock Pyro5 raised."""

    def __init__(self, text: str, remote: str) -> None:
        super().__init__(text)
        self.remote = remote  # its remote traceback


class Peer:
    """Somebody who uses Pyro5."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, code: str, **names: object) -> str:
        """Run ``code`` there; the repr of ``result``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([code, names]) + "\n")
        self._process.stdin.flush()
        value, error, remote = json.loads(self._process.stdout.readline())
        if error is not None:
            raise PyroError(error, remote)
        return value

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Daemon:
    """A stock daemon and its name server."""

    def __init__(self, port: str = "0") -> None:
        program = Path(__file__).with_name("daemon.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program), "names", port], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.location = self.process.stdout.readline().strip()
        self.names = self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
