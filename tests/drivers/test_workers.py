"""The pool for jobs that take long, and the loop for async ones."""

import threading
import time

from rpcx.drivers import workers
from rpcx.drivers.workers import LOOP, Workers, aside


class Job:
    blocking = True
    is_async = False

    def __init__(self, work) -> None:
        self.work = work

    def run(self) -> None:
        self.work()

    async def run_async(self) -> None:
        self.work()

    def overran(self, now: float) -> None:
        pass


def test_jobs_run_side_by_side():
    pool, together = Workers("t"), threading.Barrier(5)
    done: list[int] = []
    for _ in range(5):
        pool.submit(Job(lambda: done.append(together.wait(5))))
    deadline = time.monotonic() + 5
    while len(done) < 5 and time.monotonic() < deadline:
        time.sleep(0.005)
    pool.close()
    assert sorted(done) == [0, 1, 2, 3, 4]


def test_a_sleeping_thread_is_used_again():
    pool, seen = Workers("t"), set()
    for _ in range(20):
        ran = threading.Event()
        pool.submit(Job(lambda ran=ran: (seen.add(threading.get_ident()), ran.set())))
        assert ran.wait(5)
        time.sleep(0.005)
    pool.close()
    assert len(seen) <= 2


def test_what_exceeds_the_bound_waits_its_turn():
    pool, release, done = Workers("t", most=2), threading.Event(), []
    for i in range(6):
        pool.submit(Job(lambda i=i: (release.wait(5), done.append(i))))
    assert len(pool) == 2
    release.set()
    deadline = time.monotonic() + 5
    while len(done) < 6 and time.monotonic() < deadline:
        time.sleep(0.005)
    pool.close()
    assert sorted(done) == list(range(6))


def test_an_idle_thread_ends(monkeypatch):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.02)
    pool = Workers("t")
    pool.submit(Job(lambda: None))
    deadline = time.monotonic() + 5
    while len(pool) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(pool) == 0
    pool.close()


def test_async_jobs_run_in_one_loop():
    names: list[str] = []
    done = threading.Event()
    LOOP.submit(Job(lambda: names.append(threading.current_thread().name)))
    LOOP.submit(Job(lambda: (names.append(threading.current_thread().name), done.set())))
    assert done.wait(5)
    assert names == ["rpcx-async", "rpcx-async"]


def test_what_is_done_aside_keeps_nobody_from_anything():
    go_on, ran = threading.Event(), threading.Event()
    for _ in range(300):  # more than any pool has
        aside(lambda: go_on.wait(5))
    aside(ran.set)
    assert ran.wait(5)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "rpcx-aside")
    go_on.set()
