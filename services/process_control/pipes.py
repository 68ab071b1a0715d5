"""The pipes of a child: output that several may read, and input.

    child ──▶ kernel pipe (64 KiB) ──▶ kept (256 KiB) ──▶ reader at 700,000
                                                     └──▶ reader at 640,000

1. **Nobody reads ahead.** A byte leaves the pipe when a reader asks for it. Without readers the pipe fills up
   and the child waits in its write.
2. **Every reader sees every byte** from where it began. The one in front reads the pipe, the others what is
   kept; it waits for the slowest when that one is 256 KiB behind. So nothing is lost, and memory is bounded.
3. **What was read stays kept** up to the same bound, for readers that come late or come back.

A reader is an iterator: it takes its place when it is first asked, and gives it up when it is closed. Waits
are cut into slices, so that a reader whose caller is gone ends soon. No lock is held while it waits.
"""

import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Final

from services.process_control.processes import SLICE, Check

CHUNK: Final = 64 * 1024  # bytes read at once: what a pipe holds


class Output:
    """One output of a child, shared by its readers. Takes the descriptor over."""

    def __init__(self, fd: int, kept: int, name: str) -> None:
        os.set_blocking(fd, False)
        self._fd = fd  # -1: closed
        self._most = kept  # bytes kept at most, and between the first and the last reader
        self._name = name  # for messages
        self._turn = threading.Condition()  # around all below; notified when there is more, or room
        self._kept = bytearray()  # taking from its front costs nothing, CPython only moves a pointer
        self._oldest = 0  # position of the first byte kept
        self._end = 0  # position behind the last byte read
        self._ended = False  # the pipe has ended: no process has it open for writing
        self._closed = False
        self._readers: dict[object, int] = {}  # reader → its position

    def read(self, start: int | None, check: Check) -> Iterator[bytes]:
        """The output from ``start`` on; None: from the oldest byte that is kept.

        Raises:
            LookupError: the byte at ``start`` is not kept any more, or not there yet.
        """
        reader = object()
        with self._turn:
            self._readers[reader] = self._place(start)
        try:
            while True:
                chunk = self._next(reader)
                if chunk:
                    yield chunk
                elif chunk is None:
                    self._wait(reader)
                    check()
                else:
                    return
        finally:
            with self._turn:
                del self._readers[reader]
                self._turn.notify_all()
                self._release()

    def _place(self, start: int | None) -> int:
        if start is None:
            return self._oldest
        if not self._oldest <= start <= self._end:
            raise LookupError(
                f"{self._name}: byte {start} is not at hand; bytes {self._oldest} to {self._end} are kept. "
                "Read without start= for the oldest of them"
            )
        return start

    def _next(self, reader: object) -> bytes | None:
        """What follows for this reader: some bytes, ``b""`` at the end, None: nothing yet."""
        with self._turn:
            position = self._readers[reader]
            if position == self._end and not self._fetch():
                return b"" if self._ended or self._closed else None
            place = position - self._oldest
            chunk = bytes(memoryview(self._kept)[place : place + CHUNK])
            self._readers[reader] = position + len(chunk)
            self._forget()
            self._turn.notify_all()
            return chunk

    def _fetch(self) -> bool:
        """Read the pipe once, if there is something and the slowest reader is not too far behind."""
        if self._ended or self._closed or not self._room():
            return False
        try:
            chunk = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return False
        self._ended = not chunk
        self._kept += chunk
        self._end += len(chunk)
        return bool(chunk)

    def _room(self) -> bool:
        return self._end - min(self._readers.values()) < self._most

    def _forget(self) -> None:
        """Drop what is older than it has to be and has been read by all readers."""
        needed = min(self._end - self._most, *self._readers.values())
        if needed > self._oldest:
            del self._kept[: needed - self._oldest]
            self._oldest = needed

    def _wait(self, reader: object) -> None:
        """Until there may be more, at most a slice."""
        with self._turn:
            if self._readers[reader] < self._end or self._closed:
                return
            if not self._room():
                self._turn.wait(SLICE)
                return
            fd = self._fd  # stays open while there are readers
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll(SLICE * 1000)

    def close(self) -> None:
        """No more output; readers end with what is kept. Twice is fine."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()
            self._release()

    def _release(self) -> None:
        # Only without readers: another file may get the number while one of them polls it.
        if self._closed and not self._readers and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Input:
    """The stdin of a child, shared by its writers. Takes the descriptor over."""

    def __init__(self, fd: int, name: str) -> None:
        os.set_blocking(fd, False)
        self._fd = fd  # -1: closed
        self._name = name  # for messages
        self._turn = threading.Lock()  # held for one write: what two writers write is not mixed
        self._closing = False  # a writer that waits gives up

    def write(self, data: bytes, check: Check) -> int:
        """Write all of ``data``, as fast as the child takes it.

        Raises:
            BrokenPipeError: the child takes no more.
            ValueError: it was closed.
        """
        while not self._turn.acquire(timeout=SLICE):
            check()
        try:
            rest = memoryview(data)
            while rest:
                if self._closing:
                    raise ValueError(f"{self._name} was closed")
                rest = rest[self._some(rest, check) :]
            return len(data)
        finally:
            self._turn.release()
            if self._closing:
                self.close()

    def _some(self, data: memoryview, check: Check) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            pass
        except BrokenPipeError:
            raise BrokenPipeError(f"{self._name}: the process has closed it, or has ended") from None
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll(SLICE * 1000)
        check()
        return 0

    def close(self) -> None:
        """Let the child read the end. Twice is fine; a writer that waits gives up first."""
        self._closing = True
        deadline = time.monotonic() + 2 * SLICE
        if not self._turn.acquire(timeout=deadline - time.monotonic()):
            return  # that writer closes it
        try:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
        finally:
            self._turn.release()
