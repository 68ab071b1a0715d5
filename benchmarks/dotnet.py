"""The same call by .NET Remoting's protocol, each end by Mono and by rpcx: binary over TCP, and SOAP over HTTP.

Mono's programs are compiled once for a run, and take the place of the Python process that was to serve or to call: so
they have its core and its pipes.
"""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

MISSING = (
    "Mono is not installed: apt-get install mono-runtime mono-mcs libmono-system-runtime4.0-cil "
    "libmono-system-runtime-serialization-formatters-soap4.0-cil"
)
SOURCE = Path(__file__).with_suffix(".cs")


def version() -> str | None:
    """Mono's; None: it, or its compiler, is not installed."""
    if not (shutil.which("mono") and shutil.which("mcs")):
        return None
    said = subprocess.run(["mono", "--version"], capture_output=True, text=True, check=True).stdout
    return said.partition("version ")[2].split()[0]


@functools.cache
def program() -> str:
    """Where the compiled program is, until this process ends."""
    directory = tempfile.mkdtemp(prefix="rpcx-bench-")
    atexit.register(shutil.rmtree, directory)
    made = f"{directory}/bench.exe"
    subprocess.run(["mcs", "-nologo", "-optimize", "-r:System.Runtime.Remoting", f"-out:{made}", SOURCE], check=True)
    return made


def serve_mono(place: Any, scheme: str = "tcp") -> None:
    _, port, made = place
    os.execvp("mono", ["mono", made, "serve", str(port), scheme])


def client_mono(place: Any, scheme: str = "tcp") -> Any:
    host, port, made = place
    os.execvp("mono", ["mono", made, "call", f"{scheme}://{host}:{port}/bench"])


def _rpcx_class() -> type:
    import rpcx
    from rpcx import dotnet

    @dotnet.type("Bench", assembly="bench")
    @rpcx.singleton("bench")
    class Bench:
        def add(self, a: int, b: int) -> int:
            return a + b

    return Bench


def serve_rpcx(place: Any, scheme: str = "tcp") -> None:
    import rpcx
    from benchmarks.peers import ready

    host = rpcx.Host()
    host.register(_rpcx_class())
    host.listen(f"dotnet+{scheme}://{place[0]}:{place[1]}")
    with host:
        ready()
        host.wait()


def client_rpcx(place: Any, scheme: str = "tcp") -> Any:
    import rpcx
    from benchmarks.peers import Client

    bench: Any = rpcx.connect(f"dotnet+{scheme}://{place[0]}:{place[1]}").get(_rpcx_class(), "bench")
    return Client(lambda: bench.add(1, 2), None)


#: name → (what brings it, server, client), as in `benchmarks.peers`.
PEERS: dict[str, tuple[str, Any, Any]] = {
    f"{client} to {server}{suffix}": (
        "Mono" if "Mono" in (client, server) else "rpcx",
        functools.partial(serve, scheme=scheme),
        functools.partial(call, scheme=scheme),
    )
    for scheme, suffix in (("tcp", ""), ("http", ", SOAP"))
    for client, call in (("Mono", client_mono), ("rpcx", client_rpcx))
    for server, serve in (("Mono", serve_mono), ("rpcx", serve_rpcx))
}
