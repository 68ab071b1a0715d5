"""Events: told to who keeps a log, in every place that has something to tell."""

import json
import os
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import rpcx
from rpcx.abc import PeerFacts
from rpcx.errors import AuthenticationFailed, ObjectNotFound
from rpcx.security import audit, sides
from rpcx.security import trust as trust_store
from rpcx.security.authority import found_authority, issue
from rpcx.security.identity import own_identity
from rpcx.security.keyring import install, revoke, trust, trust_authority
from rpcx.security.secret import make_secret
from tests.security.pair import user


class Notes:
    def __init__(self) -> None:
        self.written: list[tuple] = []

    def write(self, kind, peer, fields) -> None:
        self.written.append((kind, peer, {name: value for name, value in fields.items() if value is not None}))


@rpcx.client_activated(allow={"staff"}, lease=rpcx.Lease(initial=60))
class Audited:
    def __init__(self, secret: str = "") -> None:
        if secret == "fail":
            raise ValueError("no")

    def tell(self, secret: str) -> int:
        return len(secret)


def events(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_events_are_told_to_who_keeps_them_and_nobody_else():
    notes = Notes()
    peer = PeerFacts("tcp", "x:1")
    audit.event("auth-fail", peer=peer, result="before")
    audit.keep(notes)
    audit.event("auth-fail", peer=peer, result="it showed no key")
    audit.leave(notes)
    audit.event("auth-fail", peer=peer, result="after")
    assert notes.written == [("auth-fail", peer, {"result": "it showed no key"})]


def test_a_forked_child_does_not_write_its_parents_log():
    notes = Notes()
    audit.keep(notes)
    child = os.fork()
    if child == 0:
        audit.event("listen")
        os._exit(len(notes.written))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    audit.leave(notes)


def test_what_happens_at_a_host_is_in_its_log_and_arguments_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(trust_store, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(sides, "LOOK_SECONDS", 0.02)
    file = tmp_path / "audit.log"
    with user(tmp_path / "ann"):
        ann = own_identity()
    with user(tmp_path / "host"):
        host = rpcx.Host(audit=file)
        host.register(Audited)
        url = host.listen("tcp://127.0.0.1:0")
    with host:
        with user(tmp_path / "ann"), pytest.raises(AuthenticationFailed):
            rpcx.connect(url)
        trust(tmp_path / "host", ann.certificate_file.read_bytes(), "ann", frozenset({"staff"}))
        with user(tmp_path / "ann"), rpcx.connect(url) as server:
            thing = server.create(Audited, "top secret")
            assert thing.tell("top secret too") == 14
            with pytest.raises(ValueError, match="no"):
                server.create(Audited, "fail")
            with pytest.raises(ObjectNotFound):
                server.get(Audited, "not\n{there}").tell("x")
            revoke(tmp_path / "host", "ann")
            deadline = time.monotonic() + 10
            while "revoke" not in file.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.01)
    said = events(file)
    assert "secret" not in file.read_text()
    kinds = [each["event"] for each in said]
    for kind in ("listen", "auth-fail", "auth-ok", "create", "authz-deny", "key-change", "revoke"):
        assert kind in kinds, kind
    (listen,) = [each for each in said if each["event"] == "listen"]
    assert listen["peer"] == url
    (known,) = [each for each in said if each["event"] == "auth-ok"]
    assert (known["principal"], known["fpr"], known["result"]) == ("ann", ann.fingerprint, "staff")
    created = [each for each in said if each["event"] == "create"]
    assert [each["result"] for each in created] == ["ok", "ValueError"]
    assert created[0]["object_type"] == "Audited"
    assert created[0]["ms"] >= 0
    (deny,) = [each for each in said if each["event"] == "authz-deny"]
    assert (deny["object"], deny["method"], deny["result"]) == ("not\n{there}", "tell", "absent")
    assert deny["corr_id"] == known["corr_id"] == created[0]["corr_id"]
    assert all(each["ts"].endswith("+00:00") for each in said)


def test_the_end_of_a_lease_and_a_limit_are_in_it_too(tmp_path):
    @rpcx.client_activated(lease=rpcx.Lease(initial=0.05, renew_on_call=0.05))
    class Short:
        def live(self) -> None: ...

    file = tmp_path / "audit.log"
    with rpcx.Host(audit=file, quotas=rpcx.Quotas(per_holder=1)) as host:
        host.register(Short)
        with rpcx.connect(host.listen("inproc://audited")) as server:
            kept = server.create(Short)
            deadline = time.monotonic() + 10
            while "lease-expire" not in file.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            kept = server.create(Short)
            with pytest.raises(rpcx.LimitExceeded):
                server.create(Short)
            del kept
    said = events(file)
    expired, *_ = [each for each in said if each["event"] == "lease-expire"]
    assert expired["object_type"] == "Short"
    assert "lease" in expired["result"]
    (hit,) = [each for each in said if each["event"] == "limit-hit"]
    assert hit["limit"] == "quotas.per_holder"
    assert "per_holder=1" in hit["result"]


def test_a_stranger_on_a_pipe_is_an_event(tmp_path, monkeypatch):
    from rpcx.channels import pipe

    notes = Notes()
    audit.keep(notes)
    with rpcx.Host() as host:
        url = host.listen("pipe://audited")
        real = pipe.credentials
        monkeypatch.setattr(pipe, "credentials", lambda sock: (1, 4711, 4711))
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(pipe.runtime_directory() / "audited"))
            deadline = time.monotonic() + 10
            while "accept-reject" not in [kind for kind, *_ in notes.written]:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        monkeypatch.setattr(pipe, "credentials", real)
    audit.leave(notes)
    (_, _, fields) = next(each for each in notes.written if each[0] == "accept-reject")
    assert fields["peer"] == url
    assert "user 4711" in fields["result"]


# --- who does not get in, in whatever way ------------------------------------------------------------------------


@rpcx.singleton("desk", allow=["*"])
class Desk:
    def who(self) -> str | None:
        return rpcx.context.peer.principal


def untrusted(home: Path) -> str:
    own_identity()
    return ""


def revoked(home: Path) -> str:
    """Known to an authority that is trusted, and revoked here."""
    ann = own_identity()
    ca = home / "ca"
    authority = found_authority(ca, "fleet")
    install(home / "ann", issue(ca, ann.certificate_file.read_bytes(), "ann", frozenset()))
    trust_authority(home / "host", authority.read_bytes(), "fleet")
    revoke(home / "host", ann.fingerprint)
    return ""


def plain(url: str) -> None:
    with socket.create_connection(url.removeprefix("tcp://").partition("?")[0].rsplit(":", 1)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        sock.recv(100)


def keyless(url: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["rpcx/1"])
    host, port = url.removeprefix("tcp://").partition("?")[0].rsplit(":", 1)
    with socket.create_connection((host, int(port))) as sock, context.wrap_socket(sock) as tls, suppress(OSError):
        tls.recv(100)


def another_pin(url: str) -> None:
    with pytest.raises(AuthenticationFailed, match="sits in between"):
        rpcx.connect(f"{url.partition('?')[0]}?key=sha256:{'A' * 43}")


def refused(url: str) -> None:
    with pytest.raises((AuthenticationFailed, rpcx.NotSent)):  # a server that judges late just closes
        rpcx.connect(url)


@pytest.mark.parametrize(("prepare", "tried", "why"), [
    (untrusted, refused, "its key is not trusted here"),
    (revoked, refused, "was revoked here"),
    (untrusted, plain, "does not speak TLS"),
    (untrusted, keyless, "it showed no key"),
    (untrusted, another_pin, "the server's key is"),
])  # fmt: skip
def test_whoever_does_not_get_in_is_an_event_and_told_once(tmp_path, prepare, tried, why):
    file = tmp_path / "audit.log"
    with user(tmp_path / "host"):
        own_identity()
    with user(tmp_path / "ann"):
        prepare(tmp_path)
    with user(tmp_path / "host"):
        host = rpcx.Host(audit=file)
        host.register(Desk)
        url = host.listen("tcp://127.0.0.1:0")
    with host:
        with user(tmp_path / "ann"):
            tried(url)
        deadline = time.monotonic() + 10
        while why not in file.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
    failed = [each for each in events(file) if each["event"] == "auth-fail" and why in each["result"]]
    assert len(failed) == 1
    assert failed[0]["channel"] == "tcp"
    assert "auth-ok" not in [each["event"] for each in events(file)]


@pytest.mark.skipif(not getattr(ssl, "HAS_PSK", False), reason="Python 3.13 or later only")
def test_another_secret_is_an_event_and_so_is_a_new_one(tmp_path, monkeypatch):
    monkeypatch.setattr("rpcx.security.secret.LOOK_SECONDS", 0.02)
    file = tmp_path / "audit.log"
    for name in ("host", "ann", "bob"):
        with user(tmp_path / name):
            made = make_secret("team")
            if name == "ann":
                made.write_bytes((tmp_path / "host" / "secrets" / "team").read_bytes())
    with user(tmp_path / "host"):
        host = rpcx.Host(audit=file)
        host.register(Desk)
        url = host.listen("tcp://127.0.0.1:0?secret=team")
    with host:
        with user(tmp_path / "bob"):
            refused(url)
        with user(tmp_path / "ann"), rpcx.connect(url) as server:
            assert server.get(Desk).who() == "team"
            (tmp_path / "host" / "secrets" / "team").unlink()
            deadline = time.monotonic() + 10
            while "revoke" not in file.read_text() and time.monotonic() < deadline:
                time.sleep(0.01)
    kinds = [each["event"] for each in events(file)]
    assert [kind for kind in kinds if kind != "listen"] == ["auth-fail", "auth-ok", "key-change", "revoke"]


def test_who_is_turned_away_at_the_door_is_one_event_however_many(tmp_path):
    file = tmp_path / "audit.log"
    rules = rpcx.Admission(per_source=2, exempt_local=False)
    with rpcx.Host(audit=file, admission=rules) as host:
        host.register(Desk)
        url = host.listen("tcp://127.0.0.1:0", insecure=True)
        where = url.removeprefix("tcp://").rsplit(":", 1)
        with ExitStack() as stack:
            for _ in range(30):
                stack.enter_context(socket.create_connection(where))
            deadline = time.monotonic() + 10
            while host.bounds()["admission.per_source"].refused < 28:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    told = [each["result"] for each in events(file) if each["event"] == "accept-reject"]
    assert told == ["1 (too many from one source)", "27 (too many from one source)"], (
        "the first at once, the rest at the end"
    )
