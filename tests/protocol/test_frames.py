"""Frames: cut out of any pieces, bounded, and never taller in memory than what came."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.errors import LimitExceeded, ProtocolError
from rpcx.protocol.frames import (
    HEADER,
    LARGE_READ,
    MAX_SEGMENTS,
    READ_SIZE,
    SMALL_PIECE,
    FrameReader,
    Kind,
    Unkept,
    first_frame,
    frame,
)
from tests.protocol.pair import in_pieces

LIMIT = 1 << 20


def wire(*frames: tuple) -> bytes:
    return b"".join(bytes(buffer) for parts in frames for buffer in frame(*parts))


def read(pieces: list[bytes], limit: int = LIMIT) -> tuple[list[tuple], FrameReader]:
    reader = FrameReader(limit)
    frames = [read for piece in pieces for read in reader.read(piece)]
    return [(kind, call_id, body, list(segments)) for kind, call_id, body, segments in frames], reader


SIZES = st.one_of(st.integers(0, 40), st.sampled_from([SMALL_PIECE, READ_SIZE - 12, READ_SIZE + 1, 3 * READ_SIZE]))
FRAMES = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 0xFFFFFFFF), SIZES, st.lists(SIZES, max_size=3)), max_size=4
)


@given(described=FRAMES, data=st.data())
def test_frames_come_out_as_they_went_in_however_they_are_cut(described, data):
    frames = [
        (kind, call_id, bytes([n % 251]) * size, [bytes([k + 1]) * length for k, length in enumerate(sizes)])
        for n, (kind, call_id, size, sizes) in enumerate(described)
    ]
    stream = wire(*frames)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    got, reader = read(in_pieces(stream, *cuts))
    assert got == frames
    assert not reader.partial
    assert reader.error is None


def test_frames_come_out_the_same_byte_by_byte_and_split_in_two_at_every_offset():
    frames = [(16, 1, b"", []), (20, 2, b"body", [b"", b"one", b"\0" * 9]), (17, 0, b"x" * 30, [])]
    stream = wire(*frames)
    assert read([stream])[0] == frames
    assert read([bytes([byte]) for byte in stream])[0] == frames
    for cut in range(len(stream) + 1):
        assert read([stream[:cut], b"", stream[cut:]])[0] == frames, cut


def test_a_large_frame_comes_out_the_same_in_pieces_small_and_large():
    frames = [(16, 7, bytes(range(256)) * 600, [b"s" * 70_000])]
    stream = wire(*frames)
    for size in (1, 2, SMALL_PIECE - 1, SMALL_PIECE, 65_536):
        assert read([stream[at : at + size] for at in range(0, len(stream), size)])[0] == frames, size
    uneven = in_pieces(stream, 3, 20_000, 20_005, 20_009, 60_000, 60_001, 153_612, 153_700, 200_000)
    assert read(uneven)[0] == frames


class Scales:
    """A cargo that has room for so many bytes, and notes what it is told."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.notes: list[tuple] = []

    def load(self, size: int) -> LimitExceeded | None:
        self.notes.append(("load", size))
        return LimitExceeded("no room") if size > self.room else None

    def arrived(self, call_id: int) -> None:
        self.notes.append(("arrived", call_id))


def weighed(pieces: list[bytes], scales: Scales, begun: int = 0) -> list[tuple]:
    """The frames, read by a reader that weighs from the piece ``begun`` on."""
    reader, frames = FrameReader(LIMIT), []
    for number, piece in enumerate(pieces):
        if number == begun:
            reader.weigh(scales)
        frames += reader.read(piece)
    return frames


BODY = bytes(100_000)
CUTS = [[26], [30_000, 90_000], [99_000, 100_010], list(range(30, 100_000, 7_000))]


@pytest.mark.parametrize("cuts", CUTS, ids=len)
@pytest.mark.parametrize("segments", [[], [BODY[:60_000], BODY[:3]]], ids=len)
def test_a_large_frame_that_there_is_no_room_for_is_read_to_its_end_and_not_kept(cuts, segments):
    before, behind = (Kind.PING, 7, b"12"), (Kind.CALL, 9, b"after")
    data = wire(before, (Kind.CALL, 8, BODY, segments), behind)
    size = len(BODY) + sum(len(segment) + 4 for segment in segments)
    scales = Scales(size - 1)
    first, unkept, last = weighed(in_pieces(data, *cuts), scales)
    assert (first[:3], last[:3]) == (before, behind)
    assert unkept[:3] == (Kind.CALL, 8, b"")
    assert type(unkept[3]) is Unkept
    assert str(unkept[3][0]) == "no room"
    assert scales.notes == [("load", size)]


@pytest.mark.parametrize("cuts", CUTS, ids=len)
@pytest.mark.parametrize(("kind", "stays"), [(Kind.CALL, 8), (Kind.BATCH, 8), (Kind.RETURN, 0), (Kind.ONEWAY, 0)])
def test_one_that_there_is_room_for_is_weighed_and_kept(cuts, kind, stays):
    scales = Scales(len(BODY))
    (kept,) = weighed(in_pieces(wire((kind, 8, BODY)), *cuts), scales)
    assert (kept[2], list(kept[3])) == (BODY, [])
    assert scales.notes == [("load", len(BODY)), ("arrived", stays)]


@pytest.mark.parametrize("room", [0, LIMIT])
def test_one_that_is_under_way_already_is_weighed_too(room):
    scales = Scales(room)
    (frame,) = weighed(in_pieces(wire((Kind.CALL, 8, BODY, [b"123"])), 50_000, 80_000, 100_010), scales, begun=2)
    assert scales.notes[0] == ("load", len(BODY) + 7)
    assert (type(frame[3]) is Unkept) is (room == 0)
    assert frame[2] == (BODY if room else b"")


def test_small_frames_are_not_weighed():
    scales = Scales(0)
    assert len(weighed(in_pieces(wire((Kind.CALL, 8, bytes(60_000), [b"1"])), 100, 30_000), scales)) == 1
    assert scales.notes == []


def test_memory_does_not_follow_what_is_not_kept():
    reader = FrameReader(LIMIT)
    reader.weigh(Scales(0))
    reader.read(HEADER.pack(LIMIT, Kind.CALL, 0, 0, 8))
    piece = bytes(50_000)
    tracemalloc.start()
    try:
        for _ in range(20):
            reader.read(piece)
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_each_part_is_one_bytes_object():
    stream = wire((16, 1, b"b" * 100, [b"s" * 100, b"t" * 90_000]))
    ((_, _, body, segments),), _ = read([stream[at : at + 33] for at in range(0, len(stream), 33)])
    assert {type(part) for part in (body, *segments)} == {bytes}


def test_a_frame_of_any_buffers_is_written_with_their_sizes_in_bytes():
    import array

    numbers = array.array("I", [1, 2, 3])
    ((_, _, _, segments),), _ = read([wire((16, 1, b"", [memoryview(numbers), bytearray(b"xy")]))])
    assert segments == [numbers.tobytes(), b"xy"]


def test_a_segment_is_sent_as_it_is_without_a_copy():
    segment = bytearray(100_000)
    assert frame(16, 1, b"body", [segment])[1] is segment


def test_the_header_is_twelve_bytes_big_endian():
    assert frame(Kind.CALL, 0x01020304, b"hi") == [bytes.fromhex("00000002 10 00 0000 01020304") + b"hi"]
    assert frame(Kind.CALL, 5, b"hi", [b"abc"])[0] == bytes.fromhex("00000009 10 00 0001 00000005 00000003") + b"hi"


def test_flags_are_ignored():
    assert read([HEADER.pack(1, 16, 255, 0, 9) + b"b"])[0] == [(16, 9, b"b", [])]


# --- bounds -------------------------------------------------------------------------------------------------


def test_a_frame_of_exactly_the_limit_is_taken_and_one_byte_more_is_not():
    assert len(read([wire((16, 1, b"x" * 100, []))], limit=100)[0]) == 1
    frames, reader = read([wire((16, 1, b"x" * 101, []))], limit=100)
    assert frames == []
    assert isinstance(reader.error, LimitExceeded)
    assert "101 bytes" in str(reader.error)
    assert "100 bytes" in str(reader.error)


def test_segments_and_their_table_count_towards_the_limit():
    assert len(read([wire((16, 1, b"x" * 10, [b"y" * 86]))], limit=100)[0]) == 1
    assert isinstance(read([wire((16, 1, b"x" * 10, [b"y" * 87]))], limit=100)[1].error, LimitExceeded)


def test_1024_segments_are_taken_and_one_more_is_not():
    assert len(read([wire((16, 1, b"", [b"s"] * MAX_SEGMENTS))])[0][0][3]) == MAX_SEGMENTS
    _, reader = read([HEADER.pack(5000, 16, 0, MAX_SEGMENTS + 1, 1)])
    assert isinstance(reader.error, LimitExceeded)
    assert "1025 segments" in str(reader.error)


@pytest.mark.parametrize(
    ("length", "table"),
    [(0, [0]), (3, [0]), (7, [4]), (12, [4, 1]), (100, [0xFFFFFFFF]), (100, [0x80000000, 0x80000000])],
)
def test_a_segment_table_that_does_not_fit_its_frame_breaks_the_protocol(length, table):
    lie = HEADER.pack(length, 16, 0, len(table), 1) + b"".join(size.to_bytes(4, "big") for size in table)
    frames, reader = read([wire((16, 9, b"before", [])) + lie + b"\0" * 200])
    assert frames == [(16, 9, b"before", [])]
    assert isinstance(reader.error, ProtocolError)


def test_what_came_whole_before_a_bad_frame_is_returned():
    good = wire((16, 1, b"a", []), (16, 2, b"b", [b"s"]))
    bad = HEADER.pack(LIMIT + 1, 16, 0, 0, 3)
    for cut in range(len(good + bad) + 1):
        frames, reader = read([(good + bad)[:cut], (good + bad)[cut:]])
        assert [call_id for _, call_id, _, _ in frames] == [1, 2], cut
        assert isinstance(reader.error, LimitExceeded), cut


def large_frame_begun() -> FrameReader:
    """A reader that has the header of a frame of 60 MiB, and nothing of it."""
    reader = FrameReader(64 << 20)
    assert reader.read(HEADER.pack(60 << 20, 16, 0, 0, 1)) == []
    return reader


def test_memory_follows_the_bytes_that_came_not_the_length_that_was_claimed():
    large_frame_begun()  # what the first of a process costs once is not counted
    tracemalloc.start()
    try:
        reader = large_frame_begun()
        reader.read(b"start")
        with_segments = FrameReader(64 << 20)
        table = (59 << 20).to_bytes(4, "big")
        assert with_segments.read(HEADER.pack(60 << 20, 16, 0, 1, 1) + table) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert reader.partial
    assert with_segments.partial


def test_a_large_frame_in_tiny_pieces_takes_hardly_more_memory_than_its_bytes():
    reader = large_frame_begun()
    pieces = 100_000
    tracemalloc.start()
    try:
        for _ in range(pieces):
            reader.read(bytes(2))
        assert tracemalloc.get_traced_memory()[0] < 2 * pieces * 1.3
    finally:
        tracemalloc.stop()


# --- how much to read ---------------------------------------------------------------------------------------


def test_a_read_asks_for_the_rest_of_a_large_part_and_no_more_than_a_mebibyte():
    reader = FrameReader(64 << 20)
    assert reader.wanted() == READ_SIZE
    reader.read(wire((16, 1, b"x" * 300_000, []))[:1000])
    assert reader.wanted() == 300_000 - 988
    reader.read(b"x" * (300_000 - 988 - 10))
    assert reader.wanted() == READ_SIZE
    reader.read(b"x" * 10)
    reader.read(HEADER.pack(50 << 20, 16, 0, 0, 1))
    assert reader.wanted() == LARGE_READ


def test_a_reader_tells_whether_a_frame_has_begun():
    reader = FrameReader(LIMIT)
    assert not reader.partial
    reader.read(b"\0")
    assert reader.partial
    reader.read(HEADER.pack(1, 16, 0, 0, 1)[1:])
    assert reader.partial
    reader.read(b"x")
    assert not reader.partial


# --- the first frame of a stranger --------------------------------------------------------------------------


def test_the_first_frame_is_cut_off_with_what_is_behind_it():
    stream = b"magic" + wire((1, 0, b"hello", [])) + b"behind"
    for cut in range(len(stream) - len(b"behind")):
        assert first_frame(stream[:cut], 5, 100) is None, cut
    assert first_frame(stream, 5, 100) == ((1, 0, b"hello", ()), b"behind")


def test_the_first_frame_is_small_and_has_no_segments():
    with pytest.raises(LimitExceeded, match="a handshake of 101 bytes; at most 100"):
        first_frame(HEADER.pack(101, 1, 0, 0, 0), 0, 100)
    with pytest.raises(ProtocolError, match="2 segments"):
        first_frame(HEADER.pack(100, 1, 0, 2, 0), 0, 100)
