"""Threads for jobs that take long, and the event loop for async ones.

`Workers` hands a job to a sleeping thread, or makes one; a thread that nobody needed for a while ends. A plain
executor keeps its threads for ever and queues behind them up to its limit, where a blocked callback can wait
for a job that waits behind it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rpcx.abc import Job

if TYPE_CHECKING:
    import asyncio  # at run time only when the first async method comes: importing it takes 46 ms

log = logging.getLogger("rpcx")

IDLE_SECONDS: Final = 5.0  # a worker without work ends after this
MOST_WORKERS: Final = 256  # threads at once; more jobs queue (in-flight limits bound the queue)


class _Worker:
    """A sleeping thread and the job it is woken for."""

    __slots__ = ("job", "wake")

    def __init__(self) -> None:
        self.wake = threading.Lock()  # held while the thread sleeps
        self.wake.acquire()
        self.job: Job | None = None


class Workers:
    """A pool that grows with what blocks, and shrinks when idle."""

    def __init__(self, name: str, most: int = MOST_WORKERS) -> None:
        self._name = name
        self._most = most
        self.high = 0  # the most threads there ever were
        self.queued = 0  # jobs that found all of them busy
        self._mutex = threading.Lock()
        self._idle: list[_Worker] = []  # the latest to fall asleep is woken first
        self._queue: deque[Job] = deque()  # only when all threads are busy
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def submit(self, job: Job) -> None:
        """Run ``job`` in a thread of its own."""
        with self._mutex:
            if self._closed:
                return  # whoever waits for it is being told that the connection is gone
            if self._idle:
                worker = self._idle.pop()
                worker.job = job
                worker.wake.release()
                return
            if len(self._threads) >= self._most:
                self._queue.append(job)
                self.queued += 1
                return
            worker = _Worker()
            worker.job = job
            thread = threading.Thread(target=self._work, args=(worker,), name=f"{self._name}-worker", daemon=True)
            self._threads.add(thread)
            self.high = max(self.high, len(self._threads))
            thread.start()  # in here, so that `close` finds none that it cannot join yet

    def _work(self, worker: _Worker) -> None:
        while (job := self._next(worker)) is not None:
            run_job(job)
        with self._mutex:
            self._threads.discard(threading.current_thread())

    def _next(self, worker: _Worker) -> Job | None:
        job, worker.job = worker.job, None
        if job is not None:
            return job
        with self._mutex:
            if self._queue:
                return self._queue.popleft()
            if self._closed:
                return None
            self._idle.append(worker)
        if worker.wake.acquire(timeout=IDLE_SECONDS):
            job, worker.job = worker.job, None
            return job
        with self._mutex:
            if worker in self._idle:
                self._idle.remove(worker)
                return None
        worker.wake.acquire()  # a job was given at the last moment
        job, worker.job = worker.job, None
        return job

    def close(self, timeout: float = 2.0) -> None:
        """Let the threads end; waits for those that are idle, and briefly for the busy ones."""
        with self._mutex:
            self._closed = True
            for worker in self._idle:
                worker.wake.release()
            self._idle.clear()
            threads = list(self._threads)
        deadline = time.monotonic() + timeout
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def __len__(self) -> int:
        return len(self._threads)


def aside(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread of its own, for which nobody waits, not even whoever closes or ends the program.

    For what waits for others outside of rpcx, and cannot be told to stop: names, KDCs. In a pool it would keep
    threads from those who need them, and a loop's executor is waited for at the end.
    """
    threading.Thread(target=work, name="rpcx-aside", daemon=True).start()


def run_job(job: Job) -> None:
    """A job answers for its own failures; what escapes all the same is a defect, and is logged."""
    try:
        job.run()
    except Exception:
        log.exception("a job failed outside of its call")


class LoopThread:
    """One event loop in a thread of its own, made at first use: async methods under the threads driver."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._tasks: set[object] = set()  # that run
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> "asyncio.AbstractEventLoop":
        """The loop, running."""
        with self._mutex:
            if self._loop is None or self._loop.is_closed():
                import asyncio

                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="rpcx-async", daemon=True).start()
            return self._loop

    def submit(self, job: Job) -> None:
        """Await ``job`` there."""
        loop = self.loop()
        loop.call_soon_threadsafe(self._start, loop, job)

    def _start(self, loop: "asyncio.AbstractEventLoop", job: Job) -> None:
        task = loop.create_task(job.run_async())
        self._tasks.add(task)  # a loop keeps only weak references
        task.add_done_callback(self._tasks.discard)

    def forked(self) -> None:
        """In a child process there is no such thread."""
        self._mutex = threading.Lock()
        self._loop = None


LOOP: Final = LoopThread()
