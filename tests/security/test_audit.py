"""Events: told to who keeps a log, in every place that has something to tell."""

import json
import os
import time
from pathlib import Path

import pytest

import rpcx
from rpcx.abc import PeerFacts
from rpcx.errors import AuthenticationFailed, ObjectNotFound
from rpcx.security import audit, sides
from rpcx.security import trust as trust_store
from rpcx.security.identity import own_identity
from rpcx.security.keyring import revoke, trust
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
        import socket

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
