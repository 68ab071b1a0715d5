"""Output that several read, nothing of it lost, nothing piled up; and input."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.process_control.pipes import CHUNK, Input, Output
from services.process_control.processes import look
from tests.services.process_control.conftest import eventually, never, python

KEPT = 1000  # bytes, in tests that need no real child


class Writer:
    """The end of a pipe that a child would have, and the output at the other."""

    def __init__(self, kept: int = KEPT) -> None:
        fd, self.fd = os.pipe()
        self.output = Output(fd, kept, "stdout of process 7")

    def write(self, data: bytes) -> None:
        os.write(self.fd, data)

    def end(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@pytest.fixture
def writer():
    writer = Writer()
    yield writer
    writer.end()
    writer.output.close()


def give_up() -> None:
    raise InterruptedError


def test_output_comes_as_it_is_written_and_byte_for_byte(writer):
    reader = writer.output.read(None, never)
    for data in (bytes(range(256)), b"\0", b"\xff\n\r\n"):
        writer.write(data)
        assert next(reader) == data
    writer.end()
    assert list(reader) == []


def test_output_is_not_read_before_somebody_asks(writer):
    writer.write(b"x")
    writer.output.read(None, never)  # not asked for its first chunk yet
    assert writer.output._end == 0


def test_several_readers_get_all_of_it(writer):
    one, two = writer.output.read(None, never), writer.output.read(None, never)
    writer.write(b"a")
    assert next(one) == b"a"
    writer.write(b"b")
    assert next(two) == b"a"
    assert next(two) == b"b"
    assert next(one) == b"b"
    writer.end()
    assert list(one) == list(two) == []


def test_the_slowest_reader_sets_the_pace_and_misses_nothing(writer):
    slow, fast = writer.output.read(None, never), writer.output.read(None, give_up)
    writer.write(b"0")
    assert next(slow) == b"0"
    assert next(fast) == b"0"
    got = 1
    with pytest.raises(InterruptedError):  # it has to wait for the slow one
        for _ in range(100):
            writer.write(b"x" * 100)
            got += len(next(fast))
    assert KEPT <= got <= KEPT + CHUNK
    writer.end()
    assert len(b"".join(slow)) == got - 1 + 100  # what the fast one had, and what it did not get any more


def test_a_late_reader_gets_what_is_kept(writer):
    first = writer.output.read(None, never)
    for i in range(30):
        writer.write(bytes([65 + i]) * 100)
        next(first)
    assert next(writer.output.read(None, never)) == b"".join(bytes([65 + i]) * 100 for i in range(20, 30))


def test_a_reader_may_begin_anywhere_in_what_is_kept(writer):
    first = writer.output.read(None, never)
    writer.write(b"0123456789")
    next(first)
    assert next(writer.output.read(4, never)) == b"456789"
    writer.end()
    assert list(writer.output.read(10, never)) == []
    assert list(writer.output.read(0, never)) == [b"0123456789"]


@pytest.mark.parametrize("start", [0, 99, 3001, 10**30])
def test_bytes_that_are_not_kept_are_an_error_that_says_which_are(writer, start):
    first = writer.output.read(None, never)
    for _ in range(30):
        writer.write(b"x" * 100)
        next(first)
    with pytest.raises(LookupError, match=rf"stdout of process 7: byte {start} .* bytes 2000 to 3000 are kept"):
        next(writer.output.read(start, never))


def test_many_small_pieces_cost_no_more_than_few_large_ones(writer):
    first = writer.output.read(None, never)
    for _ in range(KEPT):
        writer.write(b"x")
        next(first)
    assert next(writer.output.read(None, never)) == b"x" * KEPT


def test_a_reader_that_gave_up_holds_nobody_up(writer):
    gone, other = writer.output.read(None, never), writer.output.read(None, give_up)
    writer.write(b"x")
    next(gone)
    next(other)
    gone.close()
    for _ in range(50):
        writer.write(b"x" * 100)
        assert len(next(other)) == 100
    with pytest.raises(InterruptedError):  # nothing more is there
        next(other)
    assert writer.output._readers == {}


def test_closing_ends_readers_with_what_is_kept(writer):
    reader = writer.output.read(None, never)
    behind = writer.output.read(None, never)
    writer.write(b"a")
    assert next(reader) == next(behind) == b"a"
    writer.write(b"b")
    assert next(reader) == b"b"
    writer.output.close()
    writer.output.close()
    assert list(reader) == []
    assert list(behind) == [b"b"]
    assert list(writer.output.read(None, never)) == [b"ab"]


def test_closing_wakes_a_reader_that_waits(writer):
    got: list[list[bytes]] = []
    thread = threading.Thread(target=lambda: got.append(list(writer.output.read(None, never))))
    thread.start()
    time.sleep(0.05)
    writer.output.close()
    thread.join(5)
    assert got == [[]]


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 700)), max_size=60), kept=st.integers(1, 2000))
def test_whatever_the_order_every_reader_sees_every_byte_from_where_it_began(steps, kept):
    writer, sent = Writer(kept), b""
    output = writer.output
    readers: dict[int, Iterator[bytes]] = {}
    begun: dict[int, int] = {}  # where each began
    got: dict[int, bytes] = {}

    def has_something(who: int) -> bool:
        place = begun[who] + len(got[who])
        slowest = min(output._readers.values())
        return place < output._end or (output._end < len(sent) and output._end - slowest < kept)

    def advance(who: int) -> None:
        got[who] += next(readers[who])
        assert got[who] == sent[begun[who] : begun[who] + len(got[who])]
        assert len(output._kept) == output._end - output._oldest <= kept + CHUNK

    for who, size in steps:
        if who == 3 and len(sent) + size < 40_000:  # fits into the pipe, so that nobody has to wait
            data = os.urandom(size)
            writer.write(data)
            sent += data
        elif who in readers and has_something(who):
            advance(who)
        elif who not in readers and (output._oldest < output._end or (sent and not output._readers)):
            begun[who], got[who], readers[who] = output._oldest, b"", output.read(None, give_up)
            advance(who)
    writer.end()
    while waiting := [who for who in readers if has_something(who)]:
        advance(waiting[0])
    for who, reader in readers.items():
        assert got[who] == sent[begun[who] :]
        assert list(reader) == []
    output.close()


# --- with a child -------------------------------------------------------------------------------------------


def test_a_child_that_writes_faster_than_anybody_reads_is_slowed_and_loses_nothing(start):
    size = 8 * 2**20
    code = f"import sys; w = sys.stdout.buffer.write; [w(bytes([i % 251]) * 4096) for i in range({size // 4096})]"
    child = start(*python(code))
    assert not child.ended.wait(0.3)  # nobody reads: it waits in its write
    assert not look(child.pid).stopped
    digest, total = hashlib.sha256(), 0
    for chunk in child.stdout.read(None, never):
        digest.update(chunk)
        total += len(chunk)
        assert len(chunk) <= CHUNK
    assert total == size
    expected = hashlib.sha256(b"".join(bytes([i % 251]) * 4096 for i in range(size // 4096)))
    assert digest.digest() == expected.digest()
    assert child.wait(5, never).code == 0


def test_output_ends_when_the_last_that_could_write_has_ended(start):
    child = start("sh", "-c", "(sleep 0.2; echo late) & echo early")
    assert b"".join(child.stdout.read(None, never)) == b"early\nlate\n"


def test_what_goes_in_comes_out(start):
    child = start("cat", stdin="pipe")
    data = os.urandom(2**20)
    writing = threading.Thread(target=lambda: (child.stdin.write(data, never), child.stdin.close()))
    writing.start()
    assert b"".join(child.stdout.read(None, never)) == data
    writing.join()
    assert child.wait(5, never).code == 0


def test_a_writer_waits_for_a_child_that_does_not_read_until_its_caller_gives_up(start):
    child = start("sleep", "60", stdin="pipe")
    assert child.stdin.write(b"fits", give_up) == 4
    with pytest.raises(InterruptedError):
        child.stdin.write(b"x" * 2**20, give_up)


def test_writers_do_not_mix(start):
    child = start("cat", stdin="pipe")
    blocks = [bytes([65 + i]) * 200_000 for i in range(4)]
    threads = [threading.Thread(target=child.stdin.write, args=(block, never)) for block in blocks]
    for thread in threads:
        thread.start()
    got, reader = b"", child.stdout.read(None, never)
    while len(got) < 800_000:
        got += next(reader)
    for thread in threads:
        thread.join()
    assert sorted(got[i : i + 200_000] for i in range(0, 800_000, 200_000)) == blocks


def test_a_child_that_takes_no_more_breaks_the_pipe(start):
    child = start("true", stdin="pipe")
    assert child.ended.wait(5)
    with pytest.raises(BrokenPipeError, match=r"stdin of process .* has closed it, or has ended"):
        child.stdin.write(b"x", never)
    child.stdin.close()
    child.stdin.close()
    with pytest.raises(ValueError, match="was closed"):
        child.stdin.write(b"x", never)


def test_closing_input_ends_a_writer_that_waits():
    reading, writing = os.pipe()
    stdin = Input(writing, "stdin of process 7")
    errors: list[BaseException] = []

    def write() -> None:
        try:
            stdin.write(b"x" * 2**20, never)
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.05)
    stdin.close()
    thread.join(5)
    assert [str(error) for error in errors] == ["stdin of process 7 was closed"]
    assert eventually(lambda: stdin._fd == -1)
    os.close(reading)
