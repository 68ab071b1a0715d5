"""The competitors: how each is served and called.

Each is a pair of functions: ``serve(place)`` runs a server until killed, after printing ``ready`` and, if the
place was chosen by itself, where; ``client(place)`` returns a `Client`. Every one does the same work: ``add`` of
two ints, ``echo`` of bytes, 64 calls in flight, a batch of 64 where there is one. Places are loopback ports.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import dotnet

Work = Callable[[], Any]
INFLIGHT = 64


@dataclass
class Client:
    """What a competitor's client can do; None: it cannot."""

    add: Work
    echo: Callable[[bytes], Any] | None
    inflight: Work | None = None  # INFLIGHT calls at once
    batch: Work | None = None  # INFLIGHT calls in one message


def ready(place: object = "") -> None:
    print("ready", place, flush=True)


# --- a raw blocking socket: the measure of all ------------------------------------------------------------------


def serve_raw(place: tuple[str, int] | str) -> None:
    family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen()
        ready()
        while True:
            peer, _ = listening.accept()
            if family == socket.AF_INET:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_echo_frames, args=(peer,), daemon=True).start()


def _echo_frames(peer: socket.socket) -> None:
    while head := peer.recv(65536):
        size = int.from_bytes(head[:4], "big") + 4
        if size <= len(head):
            peer.sendall(head)
            continue
        buffer = bytearray(size)
        buffer[: len(head)] = head
        view, got = memoryview(buffer), len(head)
        while got < size:
            got += peer.recv_into(view[got:])
        peer.sendall(buffer)


def client_raw(place: tuple[str, int] | str) -> Client:
    sock = socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET)
    sock.connect(place)
    if not isinstance(place, str):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    small = (32).to_bytes(4, "big") + b"x" * 32

    def add() -> None:
        sock.sendall(small)
        sock.recv(65536)

    def echo(data: bytes) -> None:
        message = len(data).to_bytes(4, "big") + data
        buffer = bytearray(len(message))
        view, got = memoryview(buffer), 0
        sender = threading.Thread(target=sock.sendall, args=(message,))
        sender.start()
        while got < len(message):
            got += sock.recv_into(view[got:])
        sender.join()

    return Client(add, echo)


# --- rpcx -------------------------------------------------------------------------------------------------------


def _rpcx_class() -> type:
    import rpcx

    @rpcx.client_activated(lease=rpcx.Lease())
    class Bench:
        def add(self, a: int, b: int) -> int:
            return a + b

        def echo(self, data: bytes) -> bytes:
            return data

    return Bench


def serve_rpcx(place: tuple[str, int] | str, *, insecure: bool = True) -> None:
    import rpcx

    host = rpcx.Host()
    host.register(_rpcx_class())
    url = f"pipe://{place}" if isinstance(place, str) else f"tcp://{place[0]}:{place[1]}"
    host.listen(url, insecure=insecure)
    with host:
        ready()
        host.wait()


def client_rpcx(place: tuple[str, int] | str, *, insecure: bool = True) -> Client:
    """The real path: a leased object, validation and a deadline on every call."""
    import rpcx

    url = f"pipe://{place}" if isinstance(place, str) else f"tcp://{place[0]}:{place[1]}"
    server = rpcx.connect(url, insecure=insecure)
    bench = server.create(_rpcx_class())

    def inflight() -> None:
        futures = [rpcx.future(bench.add, i, 2) for i in range(INFLIGHT)]
        assert [future.result() for future in futures][-1] == INFLIGHT + 1

    def batch() -> None:
        with rpcx.batch(bench) as calls:
            futures = [calls.add(i, 2) for i in range(INFLIGHT)]
        assert futures[-1].result() == INFLIGHT + 1

    return Client(lambda: bench.add(1, 2), bench.echo, inflight, batch)


# --- peers ------------------------------------------------------------------------------------------------------


class Plain:
    """What most peers serve."""

    def add(self, a, b):
        return a + b

    def echo(self, data):
        return data


def serve_pyro5(place: Any) -> None:
    import Pyro5.api

    Pyro5.config.SERIALIZER = "msgpack"
    daemon = Pyro5.api.Daemon(host=place[0], port=place[1])
    daemon.register(Pyro5.api.expose(Plain)(), "bench")
    ready()
    daemon.requestLoop()


def client_pyro5(place: Any) -> Client:
    import Pyro5.api

    Pyro5.config.SERIALIZER = "msgpack"
    proxy = Pyro5.api.Proxy(f"PYRO:bench@{place[0]}:{place[1]}")

    def batch() -> None:
        calls = Pyro5.api.BatchProxy(proxy)
        for i in range(INFLIGHT):
            calls.add(i, 2)
        assert list(calls())[-1] == INFLIGHT + 1

    return Client(lambda: proxy.add(1, 2), proxy.echo, None, batch)


def serve_rpyc(place: Any) -> None:
    import rpyc
    from rpyc.utils.server import ThreadedServer

    class Service(rpyc.Service):
        def exposed_add(self, a, b):
            return a + b

        def exposed_echo(self, data):
            return data

    server = ThreadedServer(Service(), hostname=place[0], port=place[1])
    ready()
    server.start()


def client_rpyc(place: Any) -> Client:
    import rpyc

    root = rpyc.connect(*place).root
    add, echo = root.add, root.echo
    later = rpyc.async_(add)

    def inflight() -> None:
        assert [result.value for result in [later(i, 2) for i in range(INFLIGHT)]][-1] == INFLIGHT + 1

    return Client(lambda: add(1, 2), echo, inflight)


def serve_managers(place: Any) -> None:
    from multiprocessing.managers import BaseManager

    shared = Plain()
    BaseManager.register("bench", callable=lambda: shared, exposed=("add", "echo"))
    server = BaseManager(address=tuple(place), authkey=b"bench").get_server()
    ready()
    server.serve_forever()


def client_managers(place: Any) -> Client:
    from multiprocessing.managers import BaseManager

    BaseManager.register("bench", exposed=("add", "echo"))
    manager = BaseManager(address=tuple(place), authkey=b"bench")
    manager.connect()
    proxy = manager.bench()
    return Client(lambda: proxy.add(1, 2), proxy.echo)


THRIFT = "service Bench { i64 add(1: i64 a, 2: i64 b)  binary echo(1: binary data) }"


def _thrift() -> Any:
    import thriftpy2

    source = Path(tempfile.gettempdir()) / "rpcx_bench.thrift"
    source.write_text(THRIFT)
    return thriftpy2.load(str(source), module_name="rpcx_bench_thrift").Bench


def serve_thriftpy2(place: Any) -> None:
    from thriftpy2.rpc import make_server

    server = make_server(_thrift(), Plain(), host=place[0], port=place[1], client_timeout=None)
    ready()
    server.serve()


def client_thriftpy2(place: Any) -> Client:
    from thriftpy2.rpc import make_client

    client = make_client(_thrift(), host=place[0], port=place[1], timeout=None)
    return Client(lambda: client.add(1, 2), client.echo)


UNBOUNDED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def serve_grpc(place: Any) -> None:
    from concurrent import futures

    import grpc
    import msgpack

    handlers = {
        "add": grpc.unary_unary_rpc_method_handler(lambda r, _: r[0] + r[1], msgpack.unpackb, msgpack.packb),
        "echo": grpc.unary_unary_rpc_method_handler(lambda r, _: r),
    }
    server = grpc.server(futures.ThreadPoolExecutor(8), options=UNBOUNDED)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bench", handlers),))
    server.add_insecure_port(f"{place[0]}:{place[1]}")
    server.start()
    ready()
    server.wait_for_termination()


def client_grpc(place: Any) -> Client:
    import grpc
    import msgpack

    channel = grpc.insecure_channel(f"{place[0]}:{place[1]}", options=UNBOUNDED)
    add = channel.unary_unary("/Bench/add", msgpack.packb, msgpack.unpackb)
    echo = channel.unary_unary("/Bench/echo")

    def inflight() -> None:
        assert [r.result() for r in [add.future((i, 2)) for i in range(INFLIGHT)]][-1] == INFLIGHT + 1

    return Client(lambda: add((1, 2)), echo, inflight)


ICE = "module RpcxBench { sequence<byte> Blob; interface Bench { int add(int a, int b); Blob echo(Blob data); } }"
ICE_OPTIONS = ["--Ice.MessageSizeMax=65536"]


def _ice() -> Any:
    import Ice

    folder = Path(tempfile.gettempdir()) / "rpcx_bench_ice"
    if not (folder / "RpcxBench").exists():
        folder.mkdir(exist_ok=True)
        (folder / "RpcxBench.ice").write_text(ICE)
        compiler = Path(sys.executable).parent / "slice2py"
        subprocess.run([compiler, "--output-dir", folder, folder / "RpcxBench.ice"], check=True)
    sys.path.insert(0, str(folder))
    import RpcxBench

    return Ice, RpcxBench


def serve_ice(place: Any) -> None:
    ice, made = _ice()

    class Servant(made.Bench):
        def add(self, a, b, current):
            return a + b

        def echo(self, data, current):
            return data

    with ice.initialize(ICE_OPTIONS) as communicator:
        adapter = communicator.createObjectAdapterWithEndpoints("A", f"tcp -h {place[0]} -p {place[1]}")
        adapter.add(Servant(), ice.stringToIdentity("bench"))
        adapter.activate()
        ready()
        communicator.waitForShutdown()


def client_ice(place: Any) -> Client:
    ice, made = _ice()
    communicator = ice.initialize(ICE_OPTIONS)
    text = f"bench:tcp -h {place[0]} -p {place[1]}"
    proxy = made.BenchPrx.uncheckedCast(communicator.stringToProxy(text))

    def inflight() -> None:
        assert [r.result() for r in [proxy.addAsync(i, 2) for i in range(INFLIGHT)]][-1] == INFLIGHT + 1

    return Client(lambda: proxy.add(1, 2), proxy.echo, inflight)


#: Measured in rows of their own: over a Unix socket or pipe; over TLS, with both keys proved; by .NET's protocol.
VARIANTS = ("-unix", "-tls", " to Mono", " to rpcx", ", SOAP")

#: name → (distribution that brings it, server, client); see VARIANTS.
PEERS: dict[str, tuple[str, Callable[[Any], None], Callable[[Any], Client]]] = {
    "raw socket": ("", serve_raw, client_raw),
    "raw socket-unix": ("", serve_raw, client_raw),
    "rpcx": ("rpcx", serve_rpcx, client_rpcx),
    "rpcx-unix": ("rpcx", serve_rpcx, client_rpcx),
    "rpcx-tls": ("rpcx", partial(serve_rpcx, insecure=False), partial(client_rpcx, insecure=False)),
    "Pyro5": ("Pyro5", serve_pyro5, client_pyro5),
    "RPyC": ("rpyc", serve_rpyc, client_rpyc),
    "grpcio": ("grpcio", serve_grpc, client_grpc),
    "zeroc-ice": ("zeroc-ice", serve_ice, client_ice),
    "thriftpy2": ("thriftpy2", serve_thriftpy2, client_thriftpy2),
    "managers": ("", serve_managers, client_managers),
    **dotnet.PEERS,
}


def version(name: str) -> str | None:
    """The installed version of what brings a peer; None: it is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    distribution = PEERS[name][0]
    if distribution == "Mono":
        return dotnet.version()
    if not distribution:
        return f"Python {sys.version.split()[0]}"
    try:
        return installed(distribution)
    except PackageNotFoundError:
        return None


def place_for(name: str) -> tuple[Any, ...] | str:
    """Where a competitor is served: a free loopback port, or a name or path of its own; then Mono's program."""
    if name == "rpcx-unix":
        return f"bench-{os.getpid()}"
    if name.endswith("-unix"):
        return str(Path(tempfile.mkdtemp(prefix="rpcx-bench-")) / "socket")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        place = ("127.0.0.1", probe.getsockname()[1])
    return (*place, dotnet.program()) if PEERS[name][0] == "Mono" else place
