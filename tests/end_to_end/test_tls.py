"""TCP between users who do and do not know each other: real sockets, both drivers."""

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rpcx
import rpcx.aio
from rpcx.commands.keys import app as keys_app
from rpcx.security.identity import own_identity
from tests.security.pair import trust, user


@rpcx.singleton("desk")
class Desk:
    def who(self) -> tuple[str | None, str | None, bool]:
        peer = rpcx.context.peer
        return peer.principal, peer.fingerprint, peer.owner

    def roles(self) -> list[str]:
        return sorted(rpcx.context.peer.roles)

    def echo(self, data: bytes) -> bytes:
        return data

    async def wait(self) -> None:
        await asyncio.sleep(30)


class LoopHost:
    """A host in a loop of another thread."""

    def __init__(self, host: rpcx.Host) -> None:
        self._host = host
        self._running = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        async with self._host:
            self._running.set()
            await self._host.wait_async()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._running.wait(10)

    def __exit__(self, *_: object) -> None:
        self._host.stop()
        self._thread.join(10)


@pytest.fixture(params=["threads", "loop"])
def serving(request, tmp_path):
    """The URL of a host that another user runs."""
    host = rpcx.Host()
    host.register(Desk)
    with user(tmp_path / "server"):
        url = host.listen("tcp://127.0.0.1:0")
    with host if request.param == "threads" else LoopHost(host):
        yield url


@pytest.fixture
def client_keys(tmp_path):
    with user(tmp_path / "client"):
        yield tmp_path / "client"


def test_a_trusted_client_is_known_by_name_and_key(serving, tmp_path, client_keys):
    trust(tmp_path / "server", client_keys, "ann")
    time.sleep(0.5)  # the store looks twice a second
    with rpcx.connect(serving) as server:
        assert server.get(Desk).who() == ("ann", own_identity().fingerprint, False)
        assert server.peer.fingerprint in serving

    async def main() -> None:
        async with rpcx.aio.connect(serving) as server:
            assert await rpcx.aio.call(server.get(Desk).who) == ("ann", own_identity().fingerprint, False)

    asyncio.run(main())


def test_a_refused_client_is_always_told_what_to_do(serving, client_keys):
    """Also when the server's alert races with what the client still sends."""
    for _ in range(20):
        with pytest.raises(rpcx.AuthenticationFailed, match="rpcx keys trust") as caught:
            rpcx.connect(serving)
        assert own_identity().fingerprint in str(caught.value)

    async def main() -> None:
        with pytest.raises(rpcx.AuthenticationFailed, match="rpcx keys trust"):
            async with rpcx.aio.connect(serving):
                pass

    asyncio.run(main())


def test_an_unknown_server_is_refused_with_its_key(serving, client_keys):
    bare = serving.partition("?")[0]
    with pytest.raises(rpcx.AuthenticationFailed) as caught:
        rpcx.connect(bare)
    assert serving in str(caught.value)
    with pytest.raises(rpcx.AuthenticationFailed, match="not sha256:AAA"):
        rpcx.connect(f"{bare}?key=sha256:{'A' * 43}")


def test_a_plain_client_and_a_plain_host_are_told_so(serving, client_keys):
    with pytest.raises(rpcx.NotSent, match="leave out insecure=True"):
        rpcx.connect(serving.partition("?")[0], insecure=True)
    with rpcx.Host() as host:
        url = host.listen("tcp://127.0.0.1:0", insecure=True)
        with pytest.raises(rpcx.NotSent, match=r"listens with insecure=True"):
            rpcx.connect(url)


def test_who_is_trusted_no_more_is_cut_off_within_a_second(serving, tmp_path, client_keys):
    file = trust(tmp_path / "server", client_keys)
    time.sleep(0.5)
    with rpcx.connect(serving) as server:
        waiting = rpcx.future(server.get(Desk).wait)
        time.sleep(0.2)
        file.unlink()
        removed = time.monotonic()
        assert isinstance(waiting.exception(5), rpcx.MaybeExecuted)
        assert time.monotonic() - removed < 1.2
        with pytest.raises(rpcx.AuthenticationFailed):
            server.get(Desk).who()


def keys(directory, *words: str) -> str:
    """What ``rpcx keys …`` prints to the user of ``directory``."""
    with user(directory):
        done = CliRunner().invoke(keys_app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def test_what_the_error_says_is_what_helps(serving, tmp_path, client_keys):
    with pytest.raises(rpcx.AuthenticationFailed) as caught:
        rpcx.connect(serving)
    file, name = re.search(r"take (\S+) .*rpcx keys trust (\S+) --as NAME", str(caught.value)).groups()
    assert Path(file).name == name
    keys(tmp_path / "server", "trust", file, "--as", "ann", "--role", "ops")
    time.sleep(0.5)
    with rpcx.connect(serving) as server:
        assert server.get(Desk).who()[0] == "ann"
        assert server.get(Desk).roles() == ["ops"]
        keys(tmp_path / "server", "revoke", "ann")
        deadline = time.monotonic() + 1.2
        (link,) = server._pump._links
        while not link.closed and time.monotonic() < deadline:
            time.sleep(0.01)
        assert link.closed
    bare = serving.partition("?")[0]
    with pytest.raises(rpcx.AuthenticationFailed) as caught:
        rpcx.connect(bare)
    keys(client_keys, *re.search(r"rpcx keys (pin \S+ \S+)", str(caught.value))[1].split())
    with pytest.raises(rpcx.AuthenticationFailed, match="does not trust this side's key"):
        rpcx.connect(bare)


def test_a_client_that_an_authority_signed_for_is_known_by_its_name_there(serving, tmp_path, client_keys):
    admin = tmp_path / "admin"
    ann, leaf = tmp_path / "ann.crt", tmp_path / "leaf.crt"
    ann.write_text(keys(client_keys, "show", "--certificate"))
    keys(admin, "ca", "init", "acme")
    leaf.write_text(keys(admin, "ca", "issue", str(ann), "--as", "ann", "--role", "teller"))
    keys(client_keys, "install", str(leaf))
    with pytest.raises(rpcx.AuthenticationFailed):
        rpcx.connect(serving)
    keys(tmp_path / "server", "ca", "trust", str(admin / "ca" / "acme.pem"))
    time.sleep(0.5)
    with rpcx.connect(serving) as server:
        assert server.get(Desk).who() == ("ann@acme", own_identity().fingerprint, False)
        assert server.get(Desk).roles() == ["teller"]


def test_a_revoked_server_is_not_believed_even_if_the_url_names_its_key(serving, client_keys):
    keys(client_keys, "revoke", serving.partition("=")[2])
    with pytest.raises(rpcx.AuthenticationFailed, match="was revoked here"):
        rpcx.connect(serving)


def test_a_stranger_is_not_answered(serving):
    host, port = serving.removeprefix("tcp://").partition("?")[0].split(":")
    with socket.create_connection((host, int(port)), timeout=5) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(100) == b""


@pytest.fixture
def own_host():
    host = rpcx.Host()
    host.register(Desk)
    url = host.listen("tcp://localhost:0")
    with host:
        yield url


def test_one_connection_carries_large_messages_of_many_threads_both_ways(own_host):
    with rpcx.connect(own_host) as server, ThreadPoolExecutor(8) as pool:
        desk = server.get(Desk)
        sizes = [1, 100, 16_384, 16_385, 300_000, 1 << 21] * 4
        assert [len(data) for data in pool.map(lambda size: desk.echo(b"x" * size), sizes)] == sizes


def test_a_connection_that_broke_is_made_anew(own_host):
    with rpcx.connect(own_host) as server:
        desk = server.get(Desk)
        first = desk.who()
        (link,) = server._pump._links
        link.stream.socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(rpcx.ConnectionLost):
            desk.who()
        assert desk.who() == first


@pytest.fixture
def busy_port():
    """A port whose queue is full, so that the system lets a client wait."""
    with socket.socket() as listening, contextlib.ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(2):
            sock = waiting.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def test_a_loop_is_never_blocked_by_a_dial(busy_port):
    async def main() -> None:
        dialling = asyncio.ensure_future(rpcx.aio.connect(f"tcp://127.0.0.1:{busy_port}", timeout=0.3).open())
        steps = 0
        while not dialling.done():
            steps += 1
            await asyncio.sleep(0.005)
        assert steps > 10
        with pytest.raises(rpcx.NotSent):
            await dialling

    asyncio.run(main())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="not on Linux with the openssl command")
def test_a_web_server_is_told_from_an_rpcx_host():
    """One that refuses what it does not speak; Python's own would go on without a protocol."""
    identity = own_identity()
    options = ["-alpn", "h2", "-cert", str(identity.certificate_file), "-key", str(identity.key_file)]
    words = ["openssl", "s_server", "-accept", "127.0.0.1:0", *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, **pipes, text=True) as server:
        try:
            port = next(line for line in server.stdout if "ACCEPT" in line).strip().rpartition(":")[2]
            with pytest.raises(rpcx.ProtocolError, match="is it an rpcx host"):
                rpcx.connect(f"tcp://127.0.0.1:{port}")
        finally:
            server.kill()
