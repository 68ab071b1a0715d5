"""Move a live system from .NET Remoting to rpcx, step by step, without touching its C# clients.

Needs Mono's compiler and runtime (`PACKAGES`, on Debian), and ``pip install 'rpcx[dotnet]'``.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rpcx
from examples.dotnet.contract import RemoteObject
from examples.ports import free_port

HERE = Path(__file__).parent
PACKAGES = (
    "mono-runtime mono-mcs libmono-system-runtime4.0-cil libmono-system-runtime-serialization-formatters-soap4.0-cil"
)


def main() -> None:
    """All steps, one after the other."""
    if not (shutil.which("mono") and shutil.which("mcs")):
        print(f"skipped: this example needs Mono: apt-get install {PACKAGES}")
        return
    with tempfile.TemporaryDirectory() as directory:
        built = Path(directory)
        compile_programs(built)
        port = free_port()
        new_programs_in_python(built, port)
        server_in_python(built, port)
        without_dotnet()


def new_programs_in_python(built: Path, port: int) -> None:
    """The old server stays; what is written from now on is written in Python."""
    with old_server(built, port):
        with rpcx.connect(f"dotnet+tcp://localhost:{port}") as server:
            remote = server.get(RemoteObject, "RemoteObjectURL")
            remote.set_value("from Python")
        print("C# client, C# server:", old_client(built, f"tcp://localhost:{port}"))


def server_in_python(built: Path, port: int) -> None:
    """The same port and the same name: old clients notice nothing. New ones speak rpcx's own protocol."""
    host = rpcx.Host()
    host.register(RemoteObject)
    host.listen(f"dotnet+tcp://localhost:{port}")
    web = host.listen("dotnet+http://localhost:0")
    host.listen("pipe://moving")
    with host:
        print("C# client, Python server:", old_client(built, f"tcp://localhost:{port}"))
        with rpcx.connect("pipe://moving") as server:
            remote = server.get(RemoteObject)
            print("Python client, Python server:", remote.get_value())
            remote.set_value("from a pipe")
        print("C# client, the same object:", old_client(built, f"tcp://localhost:{port}"))
        print("C# client, the same object over HTTP:", old_client(built, web.removeprefix("dotnet+")))


def without_dotnet() -> None:
    """The last C# client is gone: one line less, and its port is closed."""
    host = rpcx.Host()
    host.register(RemoteObject)
    host.listen("pipe://moving")
    with host, rpcx.connect("pipe://moving") as server:
        remote = server.get(RemoteObject)
        with rpcx.batch(remote) as calls:  # what .NET did not have
            calls.set_value("one message")
            found = calls.get_value()
        print("Python client, Python server, no .NET:", found.result())


# --- the old programs -----------------------------------------------------------------------------------------


def compile_programs(built: Path) -> None:
    """As they always were."""
    compiler = ["mcs", "-nologo", "-r:System.Runtime.Remoting"]
    subprocess.run([*compiler, "-target:library", f"-out:{built}/shared.dll", HERE / "shared.cs"], check=True)
    for program in ("server", "client"):
        shared = f"-r:{built}/shared.dll"
        subprocess.run([*compiler, shared, f"-out:{built}/{program}.exe", HERE / f"{program}.cs"], check=True)


@contextmanager
def old_server(built: Path, port: int) -> Iterator[None]:
    """The C# server, until the block ends."""
    command = ["mono", str(built / "server.exe"), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def old_client(built: Path, url: str) -> str:
    """What the C# client says: the value it found. It leaves 000."""
    command = ["mono", str(built / "client.exe"), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found, left = process.stdout.readline().strip(), process.stdout.readline().strip()
        process.kill()  # Mono's runtime does not always end by itself where HTTP was used
    if left != "left 000":
        raise RuntimeError(f"the C# client at {url} failed")
    return found


if __name__ == "__main__":
    main()
