"""The page about two machines is what runs: every command of it, by two users, with the output that it shows."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from examples.ports import free_port

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security" / "two-machines.md").read_text()
COMMAND = [sys.executable, "-m", "rpcx.cli"]
CODE = re.compile(r"[A-Z2-7]{5}(?:-[A-Z2-7]{1,5}){5}")
STAYING = ("rpcx keys invite", "rpcx serve")  # that run on while others do something


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def steps() -> Iterator[tuple[str, str, str]]:
    """(machine, command, what the page says that it prints)"""
    for block in blocks("console"):
        for step in re.split(r"^(?=\w+\$ )", block, flags=re.MULTILINE)[1:]:
            line, _, shown = step.partition("\n")
            machine, _, command = line.partition("$ ")
            yield machine, command, shown


def looks_like(shown: str, said: str) -> bool:
    """Whether it is what the page shows, which writes … for what differs each time."""
    return re.fullmatch(".*".join(map(re.escape, shown.strip().split("…"))), said.strip(), re.DOTALL) is not None


class Machines:
    """Two users of this machine, each with keys and a directory of its own."""

    def __init__(self, directory: Path, running: ExitStack) -> None:
        self._directory = directory
        self._running = running
        self._places: dict[str, str] = {}  # addresses of the page, and where that is here
        self._code = self._key = ""
        for name in ("server", "desk"):
            (directory / name).mkdir()
        for language in ("python", "toml"):
            for block in blocks(language):
                first, _, text = block.partition("\n")
                (directory / "server" / first.removeprefix("# ")).write_text(self._here(text))

    def _here(self, text: str) -> str:
        """``text`` with the addresses of this machine."""
        for port in re.findall(r"(?:0\.0\.0\.0|server):(\d+)", text):
            if port not in self._places:
                self._places[port] = f"127.0.0.1:{free_port()}"
            text = re.sub(rf"(?:0\.0\.0\.0|server):{port}", self._places[port], text)
        return text.replace("192.0.2.0/24", "127.0.0.0/8")

    def do(self, machine: str, command: str, shown: str) -> None:
        """One step, which has to print what the page shows."""
        command = CODE.sub(self._code, self._here(command)).replace("sha256:…", self._key)
        words = shlex.split(command)
        environment = {**os.environ, "RPCX_HOME": str(self._directory / f"{machine}-keys"), "NO_COLOR": "1"}
        options = {"env": environment, "cwd": self._directory / machine, "text": True}
        if words[0] == "rpcx":
            words[:1] = COMMAND
        if command.startswith(STAYING):
            process = self._running.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, **options))
            self._running.callback(process.terminate)
            said = "".join(process.stdout.readline() for _ in shown.splitlines())
            self._code = (CODE.findall(said) or [self._code])[0]
            self._key = (re.findall(r"sha256:[\w-]+", said) or [self._key])[0]
        else:
            fails = shown.startswith("rpcx: ")
            for _ in range(5):  # a host looks at its keys twice a second
                done = subprocess.run(words, capture_output=True, timeout=30, check=False, **options)
                if (done.returncode == 1) is fails:
                    break
            said = done.stdout + done.stderr
            assert done.returncode == int(fails), f"{command}: {said}"
        shown = CODE.sub(self._code, self._here(shown))
        assert looks_like(shown, said), f"{command}\n--- the page:\n{shown}\n--- here:\n{said}"


@pytest.mark.timeout(120)
def test_each_command_does_what_the_page_shows(tmp_path):
    done = []
    with ExitStack() as running:
        machines = Machines(tmp_path, running)
        for machine, command, shown in steps():
            machines.do(machine, command, shown)
            done.append(command.split()[:3])
    assert len(done) == 14
