"""A real .NET Remoting peer: Mono. Its programs are compiled once for all tests of a run."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent / "csharp"
PROGRAMS = {
    "shared.dll": ["shared.cs"],
    "client.exe": ["client.cs"],
    "server.exe": ["server.cs"],
    "classic.exe": ["classic.cs"],
}
SECONDS = 40  # for a program to end; Mono takes a third of one to begin
SOAP = "lib/mono/4.5/System.Runtime.Serialization.Formatters.Soap.dll"
WHY_NOT = (
    "Mono is not installed, or not all of it: apt-get install mono-runtime mono-mcs libmono-system-runtime4.0-cil "
    "libmono-system-runtime-serialization-formatters-soap4.0-cil (make peers)"
)


class Mono:
    """Runs compiled programs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @contextlib.contextmanager
    def started(self, program: str, *args: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A program that runs until the block ends."""
        process = subprocess.Popen(
            ["mono", str(self.directory / program), *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=self.directory, start_new_session=True, env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
        )  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            Path(tempfile.gettempdir(), f"client{process.pid}").unlink(missing_ok=True)  # Mono's own, of an IpcChannel

    @contextlib.contextmanager
    def serving(self, *args: str) -> Iterator[str]:
        """A server; its URL as rpcx spells it."""
        with self.started("server.exe", *args) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, process.communicate(timeout=SECONDS)
            yield f"dotnet+{url}"

    def run(self, program: str, *args: str, **environment: str) -> dict[str, str]:
        """The facts that a program prints, ``name: value`` each; it has to end well."""
        with self.started(program, *args, **environment) as process:
            out, err = process.communicate(timeout=SECONDS)
        facts = dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)
        said = f"{program} {args}: ended with {process.returncode}\n{out}\n{err}"
        assert process.returncode in (0, -signal.SIGKILL), said
        assert facts.pop("done") == "yes"
        return facts


@pytest.fixture(scope="session")
def mono(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Mono:
    """Mono with the programs of `SOURCES`, compiled by whichever worker comes first."""
    program = shutil.which("mono")
    if not (program and shutil.which("mcs") and (Path(program).parent.parent / SOAP).exists()):
        pytest.skip(WHY_NOT)
    base = tmp_path_factory.getbasetemp()
    directory = (base if worker_id == "master" else base.parent) / "csharp"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for target, sources in PROGRAMS.items():
            if not (directory / target).exists():
                compile_(directory, target, sources)
    return Mono(directory)


def compile_(directory: Path, target: str, sources: list[str]) -> None:
    kind = "library" if target.endswith(".dll") else "exe"
    references = ["-r:System.Runtime.Remoting"]
    if target != "shared.dll":
        references.append(f"-r:{directory / 'shared.dll'}")
    made = directory / "making" / target  # an assembly is called what its file is
    made.parent.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mcs", "-nologo", f"-target:{kind}", f"-out:{made}", *references, *(str(SOURCES / name) for name in sources)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    made.rename(directory / target)


@pytest.fixture
def serving() -> Iterator[Callable[..., str]]:
    """Start a host; returns its URL as .NET spells it."""
    with contextlib.ExitStack() as stack:

        def start(host, url: str = "dotnet+tcp://127.0.0.1:0/app", **options) -> str:
            listening = host.listen(url, **options)
            stack.enter_context(host)
            return listening.removeprefix("dotnet+")

        yield start
