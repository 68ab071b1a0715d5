"""Authenticators over real sockets: every channel, both drivers."""

import asyncio
import contextlib
import json
import threading
import time

import pytest

import rpcx
import rpcx.aio
from rpcx import plugins
from rpcx.abc import PeerFacts
from rpcx.security.identity import own_identity
from tests.end_to_end.test_tls import LoopHost
from tests.protocol.pair import Digest
from tests.security.pair import trust, user


@rpcx.singleton("desk", allow={"teller"})
class Desk:
    def who(self) -> tuple[str | None, list[str], bool]:
        peer = rpcx.context.peer
        return peer.principal, sorted(peer.roles), peer.owner

    @rpcx.method(allow={"boss"})
    def close_day(self) -> None:
        """Nothing."""

    async def wait(self) -> None:
        await asyncio.sleep(30)


@pytest.fixture(params=["threads", "loop"])
def serve(request, tmp_path):
    """``serve(url, authenticator)`` → where it listens."""
    with contextlib.ExitStack() as stack:

        def start(url: str, *authenticators, **options) -> str:
            host = rpcx.Host(authenticators=authenticators, **options.pop("host", {}))
            host.register(Desk)
            where = host.listen(url, **options)
            stack.enter_context(host if request.param == "threads" else LoopHost(host))
            start.host = host
            return where

        yield start


@pytest.fixture(params=["pipe://digest", "inproc://digest", "tcp://127.0.0.1:0", "plain"])
def place(request) -> dict:
    return {"url": "tcp://127.0.0.1:0", "insecure": True} if request.param == "plain" else {"url": request.param}


def test_who_proves_it_is_known_by_it_on_every_channel_and_is_no_owner(serve, place):
    url = serve(place["url"], Digest(), insecure=place.get("insecure", False))
    insecure = place.get("insecure", False)
    with rpcx.connect(url, authenticators=[Digest()], insecure=insecure) as server:
        desk = server.get(Desk)
        assert desk.who() == ("ann", ["teller"], False)
        with pytest.raises(rpcx.ObjectNotFound, match="no such object or method"):
            desk.close_day()

    async def main() -> None:
        async with rpcx.aio.connect(url, authenticators=[Digest()], insecure=insecure) as server:
            assert await server.get(Desk).who() == ("ann", ["teller"], False)

    asyncio.run(main())


def test_nobody_gets_in_without_and_a_client_talks_to_nobody_without(serve, place):
    insecure = place.get("insecure", False)
    url = serve(place["url"], Digest(), insecure=insecure)
    with pytest.raises(rpcx.AuthenticationFailed, match="the client has none, the server digest"):
        rpcx.connect(url, insecure=insecure)
    with pytest.raises(rpcx.AuthenticationFailed, match="digest is another"):
        rpcx.connect(url, authenticators=[Digest("bob")], insecure=insecure)
    plain = serve(place["url"].replace("digest", "plain"), insecure=insecure)
    with pytest.raises(rpcx.AuthenticationFailed, match="the client has digest, the server none"):
        rpcx.connect(plain, authenticators=[Digest()], insecure=insecure)


def test_a_stranger_stays_one_until_the_proof_is_done(serve):
    url = serve("pipe://digest", Digest())
    with pytest.raises(rpcx.AuthenticationFailed):
        rpcx.connect(url, authenticators=[Digest("bob")])
    before = serve.host.stats()

    class Slow(Digest):
        def client(self, binding):
            end = super().client(binding)
            step = end.step

            def slow(message):
                assert serve.host.stats()["strangers"] == 1
                return step(message)

            end.step = slow
            return end

    with rpcx.connect(url, authenticators=[Slow()]):
        assert serve.host.stats()["strangers"] == 0
    assert before["strangers"] == 0


def test_an_end_of_what_was_proved_closes_the_session_and_the_next_call_proves_anew(serve):
    url = serve("pipe://digest", Digest(seconds=0.4))
    with rpcx.connect(url, authenticators=[Digest()]) as server:
        desk = server.get(Desk)
        begun = time.monotonic()
        with pytest.raises(rpcx.MaybeExecuted, match="has ended"):
            desk.wait()
        assert time.monotonic() - begun < 10
        assert desk.who()[0] == "ann"  # connected anew, by itself


def test_a_channel_that_knows_no_authenticators_is_refused_on_both_ends():
    class Foreign:
        """A `Speaker`'s channel."""

        name = "foreign"

        def session(self, *_):
            raise AssertionError("it must not come to that")

        def connect(self, *_, **__):
            raise AssertionError("nor to that")

        listen = connect

    plugins.register(plugins.CHANNELS, "foreign", Foreign)
    host = rpcx.Host(authenticators=[Digest()])
    with pytest.raises(rpcx.AccessDenied, match="foreign: its protocol cannot prove who a client is by digest"):
        host.listen("foreign://x")
    with pytest.raises(rpcx.AccessDenied, match="foreign"):
        rpcx.connect("foreign://x", authenticators=[Digest()])
    host.close()


def test_one_that_shows_a_secret_is_refused_on_plain_tcp(serve):
    class Password(Digest):
        shows_secret = True

    url = serve("tcp://127.0.0.1:0", Password(), insecure=True)
    with pytest.raises(rpcx.AccessDenied, match="leave out insecure=True"):
        rpcx.connect(url, insecure=True, authenticators=[Password()])
    with rpcx.connect(serve("tcp://127.0.0.1:0", Password()), authenticators=[Password()]) as server:
        assert server.get(Desk).who()[0] == "ann"


def test_an_installed_one_is_found_by_its_name(serve):
    plugins.register(plugins.AUTHENTICATORS, "digest", Digest)
    url = serve("pipe://digest", "digest")
    with rpcx.connect(url, authenticators=["digest"]) as server:
        assert server.get(Desk).who()[0] == "ann"
    with pytest.raises(ValueError, match="no authenticator 'none' is installed"):
        rpcx.Host(authenticators=["none"])


def test_who_was_refused_is_in_the_audit_log(serve, tmp_path):
    url = serve("pipe://digest", Digest(), host={"audit": tmp_path / "audit.log"})
    with pytest.raises(rpcx.AuthenticationFailed):
        rpcx.connect(url, authenticators=[Digest("bob")])
    with rpcx.connect(url, authenticators=[Digest()]):
        pass
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        events = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
        found = [(each["event"], each.get("principal")) for each in events if each["event"].startswith("auth")]
        if len(found) == 2:
            break
        time.sleep(0.01)
    assert found == [("auth-fail", None), ("auth-ok", "ann")]


def test_both_ends_are_tied_to_the_same_certificates(serve, tmp_path):
    """And to those that TLS was spoken with, whatever is in the files by now."""
    seen = []

    class Watching(Digest):
        def client(self, binding):
            seen.append(binding)
            return super().client(binding)

        def server(self, binding):
            seen.append(binding)
            return super().server(binding)

    with user(tmp_path / "client"):
        own_identity()
    trust(tmp_path / "server", tmp_path / "client", "bob")
    with user(tmp_path / "server"):
        url = serve("tcp://127.0.0.1:0", Watching())
    with user(tmp_path / "client"), rpcx.connect(url, authenticators=[Watching()]) as server:
        assert server.get(Desk).who() == ("ann", ["teller"], False)
    judged, proved = sorted(seen, key=lambda binding: binding.peer.fingerprint != own(tmp_path / "client"))
    assert judged.text("x") == proved.text("x")
    assert judged.server_certificate != judged.client_certificate
    assert bytes(32) not in (judged.server_certificate, judged.client_certificate)


def own(directory) -> str:
    with user(directory):
        return own_identity().fingerprint


def test_a_change_of_the_trust_store_does_not_end_who_proved_to_be_somebody_else(serve, tmp_path):
    """TLS knows it as bob, the authenticator as ann: neither has changed."""
    with user(tmp_path / "client"):
        own_identity()
    trust(tmp_path / "server", tmp_path / "client", "bob")
    with user(tmp_path / "server"):
        url = serve("tcp://127.0.0.1:0", Digest())
    with user(tmp_path / "client"), rpcx.connect(url, authenticators=[Digest()]) as server:
        desk = server.get(Desk)
        trust(tmp_path / "server", tmp_path / "another", "carl")
        time.sleep(1.2)  # two looks of the store, and one of the listener
        endpoint = server._endpoint
        assert desk.who()[0] == "ann"
        assert server._endpoint is endpoint
        file = tmp_path / "server" / "authorized" / "bob.pem"
        file.unlink()
        deadline = time.monotonic() + 10
        while endpoint.error is None:  # but a key that is trusted no more ends it
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_facts_tell_whether_others_can_read_what_is_said(serve):
    for where, insecure, private in (
        ("pipe://private", False, True), ("inproc://private", False, True), ("tcp://127.0.0.1:0", False, True),
        ("tcp://127.0.0.1:0", True, False),
    ):  # fmt: skip
        with rpcx.connect(serve(where, insecure=insecure), insecure=insecure) as server:
            (peer,) = serve.host.peers
            assert peer.private is server.peer.private is private
    assert not PeerFacts("somebody else's channel", "x").private


def test_an_authenticator_that_waits_holds_up_neither_the_loop_nor_who_would_not_wait(serve):
    go_on, begun = threading.Event(), threading.Event()

    class Waiting(Digest):
        """For a server of its own, say."""

        def client(self, binding):
            begun.set()
            go_on.wait(20)
            return super().client(binding)

    url = serve("tcp://127.0.0.1:0", Digest())

    async def main() -> None:
        waiting = asyncio.create_task(rpcx.aio.connect(url, authenticators=[Waiting()]).open())
        while not begun.is_set():
            await asyncio.sleep(0.001)
        async with rpcx.aio.connect(url, authenticators=[Digest()]) as server:
            assert (await server.get(Desk).who())[0] == "ann"
        assert not waiting.done()
        with pytest.raises(rpcx.NotSent, match="no handshake within 0.1 s; digest is still at work"):
            await rpcx.aio.connect(url, authenticators=[Waiting()], timeout=0.1).open()
        go_on.set()
        async with await waiting as server:
            assert (await server.get(Desk).who())[0] == "ann"

    asyncio.run(main())
    go_on.clear()
    with pytest.raises(rpcx.NotSent, match="no handshake within 0.1 s; digest is still at work"):
        rpcx.connect(url, authenticators=[Waiting()], timeout=0.1)
    go_on.set()
    with rpcx.connect(url, authenticators=[Waiting()]) as server:
        assert server.get(Desk).who()[0] == "ann"


def test_an_authenticator_that_has_nothing_to_prove_by_says_so_at_once(serve):
    class Empty(Digest):
        def client(self, binding):
            raise rpcx.AuthenticationFailed("there is no badge")

    url = serve("pipe://digest", Digest())
    begun = time.monotonic()
    with pytest.raises(rpcx.AuthenticationFailed, match="there is no badge"):
        rpcx.connect(url, authenticators=[Empty()], timeout=30)

    async def main() -> None:
        with pytest.raises(rpcx.AuthenticationFailed, match="there is no badge"):
            await rpcx.aio.connect(url, authenticators=[Empty()], timeout=30).open()

    asyncio.run(main())
    assert time.monotonic() - begun < 9
