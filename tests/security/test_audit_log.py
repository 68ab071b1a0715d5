"""The audit log's file: lines that nobody forges, a flood that is counted, a chain that shows what was done to it."""

import hashlib
import json
import os
import resource
import signal
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.abc import PeerFacts
from rpcx.errors import AccessDenied
from rpcx.security.audit_log import BEGINNING, LONGEST_LINE, AuditLog, verify
from rpcx.security.lines import SOURCES


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "audit.log"


FORGED = 'x"}\n{"event":"auth-ok"'
NOTHING = {"channel": None, "peer": None, "object_type": None, "object": None, "method": None, "result": None}


def fields(**said) -> dict[str, object]:
    return {**NOTHING, "ms": None, "count": None, **said}


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def written(file: Path, count: int, *, chain: bool = True) -> None:
    log = AuditLog(file, chain=chain)
    for number in range(count):
        log.write("listen", PeerFacts("tcp", f"10.0.{number}.1:1"), fields(result=str(number)))
    log.close()


def test_a_line_has_what_is_known_and_is_its_owners_alone(file):
    log = AuditLog(file)
    peer = PeerFacts("pipe", "pipe://bank", 12, 1001, 1001, principal="uid:1001", connection="ab12")
    log.write("authz-deny", peer, fields(object_type="Bank", method="open", result="no rule"))
    log.close()
    (line,) = lines(file)
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "event": "authz-deny", "channel": "pipe", "peer": "pipe://bank", "uid": 1001, "pid": 12,
        "principal": "uid:1001", "corr_id": "ab12", "object_type": "Bank", "method": "open", "result": "no rule",
    }  # fmt: skip
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@given(st.text(max_size=2000), st.text(max_size=400))
def test_nothing_that_a_peer_says_makes_a_line_or_a_field(tmp_path_factory, said, name):
    file = tmp_path_factory.mktemp("a") / "audit.log"
    log = AuditLog(file)
    log.write("authz-deny", PeerFacts("tcp", name, principal=name), fields(object=said, method=FORGED))
    log.close()
    data = file.read_bytes()
    assert data.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in data[:-1])
    (line,) = lines(file)
    assert line["event"] == "authz-deny"
    assert len(line["object"]) <= 256
    assert line["object"] == (said if len(said) <= 256 else said[:255] + "…")


@pytest.mark.parametrize("channel", ["tcp", "pyro"])
def test_a_source_gets_ten_lines_a_second_and_the_rest_is_counted(file, clock, channel):
    log = AuditLog(file, clock=clock)
    flooder, other = PeerFacts(channel, "10.0.0.1:1"), PeerFacts(channel, "10.0.0.2:1")
    for port in range(500):
        flooder.address = f"10.0.0.1:{port}"  # another port is the same source
        log.write("auth-fail", flooder, fields())
    log.write("auth-fail", other, fields())
    clock.now += 1.5
    log.write("auth-fail", other, fields())
    log.close()
    said = lines(file)
    assert sum(each.get("peer", "").startswith("10.0.0.1:") for each in said) == 10
    assert sum(each.get("peer") == "10.0.0.2:1" for each in said) == 2
    assert [(each["source"], each["count"]) for each in said if each["event"] == "suppressed"] == [("10.0.0.1", 490)]


def test_sources_without_number_cost_no_memory_without_number(file, clock):
    log = AuditLog(file, clock=clock)
    for number in range(SOURCES * 2):
        log.write("auth-fail", PeerFacts("tcp", f"10.{number >> 8}.{number & 255}.1:1"), fields())
    assert len(log._lines) <= SOURCES
    log.close()


def test_a_log_that_was_rotated_away_is_begun_again(file, clock):
    log = AuditLog(file, clock=clock)
    log.write("listen", None, fields(result="first"))
    file.rename(file.with_suffix(".1"))
    clock.now += 2
    log.write("listen", None, fields(result="second"))
    file.unlink()
    clock.now += 2
    log.write("listen", None, fields(result="third"))
    log.close()
    assert [each["result"] for each in lines(file.with_suffix(".1"))] == ["first"]
    assert [each["result"] for each in lines(file)] == ["third"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_no_private_file_is_refused(file, tmp_path):
    file.touch(mode=0o600)
    file.chmod(0o640)
    with pytest.raises(AccessDenied, match="chmod 600"):
        AuditLog(file)
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(OSError, match="link"):
        AuditLog(link)
    with pytest.raises((AccessDenied, OSError)):
        AuditLog(tmp_path)


def test_lines_that_cannot_be_written_are_counted_and_told(file, clock, caplog):
    """The disk is full: here, the file may not grow."""
    log = AuditLog(file, clock=clock)
    log.write("listen", None, fields(result="before"))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, before[1]))
    try:
        log.write("listen", None, fields(result="lost"))
        log.write("listen", None, fields(result="lost too"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    log.write("listen", None, fields(result="after"))
    log.close()
    assert [each.get("result", each.get("count")) for each in lines(file)] == ["before", 2, "after"]
    assert caplog.text.count("cannot be written") == 1


def test_a_line_that_was_written_in_part_spoils_no_other(file, clock):
    log = AuditLog(file, clock=clock)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        log.write("listen", None, fields(result="torn"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    log.write("listen", None, fields(result="whole"))
    log.close()
    torn, *whole = file.read_text().splitlines()
    assert len(torn) == 20
    said = [json.loads(each) for each in whole]
    assert [each["event"] for each in said] == ["torn", "lost", "listen"]
    assert (said[0]["count"], said[0]["torn_sha256"]) == (20, hashlib.sha256(torn.encode()).hexdigest())
    assert said[2]["result"] == "whole"


# --- the chain ------------------------------------------------------------------------------------------------


def test_an_untouched_chain_holds_over_restarts_and_rotations(file, clock):
    written(file, 5)
    written(file, 5)
    log = AuditLog(file, chain=True, clock=clock)
    old = file.rename(file.with_suffix(".1"))
    clock.now += 2
    log.write("listen", None, fields(result="after rotation"))
    log.close()
    chain = verify([old, file])
    assert (chain.problem, chain.lines, chain.first) == (None, 11, BEGINNING)
    assert verify([old, file], noted=verify([old]).head).problem is None
    later = verify([file])
    assert (later.problem, later.first) == (None, verify([old]).head)


@pytest.mark.parametrize("line", range(9))
@pytest.mark.parametrize("deed", ["change", "remove", "repeat", "swap"])
def test_whatever_is_done_to_a_line_shows(file, line, deed):
    written(file, 10)
    kept = file.read_bytes().splitlines(keepends=True)
    if deed == "change":
        kept[line] = kept[line].replace(b'"listen"', b'"Listen"')
    elif deed == "remove":
        del kept[line]
    elif deed == "repeat":
        kept.insert(line, kept[line])
    else:
        kept[line], kept[line + 1] = kept[line + 1], kept[line]
    file.write_bytes(b"".join(kept))
    chain = verify([file])
    if deed == "remove" and line == 0:  # as after a rotation: that it does not begin at the beginning shows
        assert chain.first != BEGINNING
    else:
        assert chain.problem is not None
        assert "line" in chain.problem


def test_what_was_cut_off_shows_by_a_hash_noted_elsewhere(file):
    written(file, 10)
    noted = verify([file]).head
    kept = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(kept[:7]))
    assert verify([file]).problem is None
    assert "cut off" in verify([file], noted=noted).problem


@pytest.mark.parametrize("chain", [True, False])
def test_wherever_a_crash_cut_the_last_line_it_is_named_and_the_log_goes_on(file, chain):
    written(file, 3, chain=chain)
    whole = file.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    for cut in range(last, len(whole) + 1):
        file.write_bytes(whole[:cut])
        written(file, 2, chain=chain)
        kept = file.read_bytes().splitlines()
        assert whole.startswith(b"\n".join(kept[:2]))
        complete = cut >= len(whole) - 1 or cut == last  # but for its end; or nothing of it is there
        assert len(kept) == (3 if cut == last else 4) + 1 + (not complete)
        events = [json.loads(each)["event"] for each in kept if each.endswith(b"}")]
        assert events.count("torn") == (not complete)
        if chain:
            found = verify([file])
            assert found.problem is None
            assert len(found.notes) == (not complete)
            assert complete or f"line 3 was cut off after {cut - last} bytes" in found.notes[0]


def test_a_last_line_that_is_cut_off_is_named_though_nothing_follows_it_yet(file):
    written(file, 3)
    file.write_bytes(file.read_bytes()[:-10])
    found = verify([file])
    assert (found.problem, found.lines) == (None, 2)
    assert "line 3 is cut off after" in found.notes[0]


def test_a_piece_that_was_put_in_is_no_crash(file):
    written(file, 3)
    kept = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*kept[:2], b'{"ts": "2026-\n', kept[2]]))
    assert "line 3: it is no line of a chain" in verify([file]).problem
    file.write_bytes(b"".join([*kept, b'{"ts": "2026-\n']))
    assert "line 4: it is no line of a chain" in verify([file]).problem


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_longer_than_any_is_none(file, end):
    """Whatever is put in without an end is no last line that was cut off, since others follow."""
    written(file, 3)
    kept = file.read_bytes().splitlines(keepends=True)
    for size in (LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 2 * LONGEST_LINE):
        file.write_bytes(b"".join([*kept[:2], b"x" * (size - len(end)), end, kept[2]]))
        assert "line 3: it is no line of a chain" in verify([file]).problem


def test_lines_before_a_piece_are_as_safe_as_others(file):
    written(file, 3)
    file.write_bytes(file.read_bytes()[:-10])
    written(file, 2)
    kept = file.read_bytes().splitlines(keepends=True)
    assert verify([file]).problem is None
    for gone in range(1, len(kept) - 1):
        file.write_bytes(b"".join([*kept[:gone], *kept[gone + 1 :]]))
        assert verify([file]).problem is not None, gone


def test_a_chain_goes_on_in_the_next_file_when_the_last_line_of_this_one_was_cut_off(file, clock):
    log = AuditLog(file, chain=True, clock=clock)
    log.write("listen", None, fields(result="first"))
    log._torn = b'{"ts": "20'
    os.write(log._handle, log._torn)
    old = file.rename(file.with_suffix(".1"))
    clock.now += 2
    log.write("listen", None, fields(result="second"))
    log.close()
    found = verify([old, file])
    assert (found.problem, found.lines) == (None, 2)
    assert "is cut off after 10 bytes" in found.notes[0]


def test_a_chain_that_began_anew_in_the_next_file_is_named(file):
    """Its host was restarted just when the file had been rotated away."""
    written(file, 2)
    old = file.rename(file.with_suffix(".1"))
    written(file, 2)
    found = verify([old, file])
    assert (found.problem, found.lines) == (None, 4)
    assert "line 1 begins a chain anew" in found.notes[0]


def test_a_log_may_wait_for_the_disk_at_each_line(file, monkeypatch, clock):
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}") if os.path.isdir("/proc/self/fd") else str(file))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    log = AuditLog(file, sync="each", clock=clock)
    first = len(synced)
    for number in range(3):
        log.write("listen", PeerFacts("tcp", f"10.0.{number}.1:1"), fields())
        assert len(synced) == first + number + 1, "before whoever caused it goes on"
    for number in range(50):
        log.write("auth-fail", PeerFacts("tcp", f"10.1.{number}.1:1"), fields())
    assert len(synced) == first + 3, "strangers keep nobody waiting"
    clock.now += 1
    for number in range(50):
        log.write("auth-fail", PeerFacts("tcp", f"10.2.{number}.1:1"), fields())
    log.close()
    assert synced[first:] == [str(file)] * 4
    if first:
        assert synced[0] == str(file.parent), "the name of a new file is not lost either"
    lazy = len(synced)
    written(file, 2, chain=False)
    assert len(synced) == lazy
    with pytest.raises(ValueError, match="never, each"):
        AuditLog(file, sync="sometimes")


def test_two_writers_would_break_a_chain_and_are_refused(file):
    log = AuditLog(file, chain=True)
    with pytest.raises(BlockingIOError):
        AuditLog(file, chain=True)
    log.close()
    AuditLog(file, chain=True).close()


def test_a_log_without_a_chain_says_so(file):
    written(file, 1, chain=False)
    assert "without chain=True" in verify([file]).problem


def test_a_closed_log_keeps_nothing_and_does_not_come_back(file):
    log = AuditLog(file)
    log.close()
    log.close()
    os.unlink(file)
    log.write("listen", None, fields())
    assert not file.exists()
