"""The threads driver: whoever waits, pumps.

A `Pump` serves the connections of one host, or the one connection of a client. At any moment at most one thread
**leads**: it alone reads streams and hands bytes to sessions. The others sleep, or run calls.

- A client's thread that waits for a reply leads until it has it: send, look, return, without a thread switch.
  It runs no foreign call meanwhile, since it would be late for its own reply: those go to workers.
- Otherwise a helper thread of the pump leads. It runs short sync methods itself: no queue, no switch. All that
  one read brought is run, then all replies leave in one send.
- A second helper **stands by**. It looks every millisecond, more seldom while all calls are short, whether the leader
  is still in the same call; then it takes over, and the slow call ends on its own thread and answers itself (the
  idea is Go's sysmon, which hands the processor of a blocked thread to another). The method is remembered as
  slow: a worker next time.
- What is looked at anyway is not in the selector, whose waking would be paid with each message; who is about to sleep
  puts it back.
- A caller takes the lead from a helper that sleeps in the kernel; the helper notices when it wakes.

The stand-by sleeps for good when nothing has happened for a while (`_deep`), so an idle pump costs nothing;
whoever gives it something to watch wakes it. ``_leader`` changes only under ``_mutex``.
"""

import logging
import os
import select
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from rpcx.abc import NOTHING, Job, Listener, Session, Stream, Timed, Waitable
from rpcx.drivers.links import LINGER_SECONDS, NEVER, Backlog, ThreadLink, failed_on
from rpcx.drivers.timers import Timers
from rpcx.drivers.waiting import SPIN_SECONDS, Spinner, look
from rpcx.drivers.workers import LOOP, Workers
from rpcx.errors import ConnectionLost

log = logging.getLogger("rpcx")

TICK: Final = 0.001  # seconds between two looks of the stand-by; a call this long has overrun
CALM_TICK: Final = 0.016  # at most, while all calls are short: a look costs the leader 50 µs of the interpreter
QUIET_TICKS: Final = 20  # looks without anything new, before the stand-by sleeps for good
LOOK_AROUND: Final = 63  # every 64 reads of a busy connection the others, and timers, get their turn
ROW: Final = 16  # reads of one connection in a row, after which …
ALONE_SECONDS: Final = 10e-6  # … it is looked at for so long before the others: asking after them costs a look each
NOTICES: Final = hasattr(select, "epoll") or hasattr(select, "kqueue")  # a sleeping selector sees changes

monotonic = time.monotonic
get_ident = threading.get_ident


class Pump:
    """Leads the connections it was given. See the module's theory."""

    def __init__(
        self,
        name: str,
        *,
        callers_lead: bool,
        accept: Callable[[Listener, Stream], Session | None] | None = None,
        spin: float = SPIN_SECONDS,
        most_waiting: float = NEVER,
    ) -> None:
        self.name = name
        self.workers = Workers(name)
        self.batching = 0  # ident of the thread that runs what one read brought; its sends wait for the end
        self.dirty: list[ThreadLink] = []  # links with something to send at that end
        self._accept = accept
        self._callers_lead = callers_lead
        # A host stops reading from a client that takes no answers. A client always reads: two ends that both
        # waited for the other to read would wait for ever.
        self.waiting = Backlog(most_waiting)
        self._spinner = Spinner(spin)
        self._selector = selectors.DefaultSelector()
        self._links: set[ThreadLink] = set()
        self._hot: ThreadLink | None = None  # the link that spoke last
        self._hot_since = 0  # the read with which it became that
        self._unwatched: ThreadLink | None = None  # that the selector does not have, while it is looked at
        self._jobs: deque[Job] = deque()  # came in and not begun
        self._timers = Timers()
        self._mutex = threading.Lock()  # around changes of the lead
        self._leader: object | None = None  # who leads: a helper's token, or the reply a caller waits for
        self._asleep = False  # the leader is a helper that sleeps in the kernel: callers may take the lead
        self._sleeps_until = NEVER  # when the leader wakes by itself
        self._working: Job | None = None  # the call that the leading helper runs
        self._followers: dict[int, Waitable] = {}  # callers that wait while another leads
        self._served = 0  # counts reads, so that the stand-by sees whether anything happens
        self._threads: set[threading.Thread] = set()  # all of the pump's own
        self._helpers: set[threading.Thread] = set()  # those free to help: a slow call's thread is not
        self._reader: threading.Thread | None = None  # the helper that leads, or led last
        self._standby = False  # one stands by
        self._deep = False  # … and sleeps for good
        self._dozes = False  # … or for more than a tick
        self._bell = threading.Lock()  # held while the stand-by sleeps
        self._bell.acquire()
        self._corked: set[ThreadLink] = set()
        self._closed = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        self._pid = os.getpid()

    # --- what it is given ----------------------------------------------------------------------------------

    def add(self, stream: Stream, session: Session) -> ThreadLink:
        """Serve a connection from now on."""
        link = ThreadLink(self, stream, session)
        session.attach(link, monotonic())
        self._links.add(link)
        self._selector.register(stream, selectors.EVENT_READ, link)
        self.arm(link)
        self._hot = self._hot or link
        return link

    def listen(self, listener: Listener) -> None:
        """Accept streams from now on."""
        for fileno in listener.filenos():
            self._selector.register(fileno, selectors.EVENT_READ, listener)
        if isinstance(listener, Timed):
            self.time(listener)
        self.wake()

    def unlisten(self, listener: Listener) -> None:
        """Accept no more."""
        for fileno in listener.filenos():
            self._forget_file(fileno)
        if isinstance(listener, Timed):
            self._timers.remove(listener)

    def time(self, timed: Timed) -> None:
        """Keep ``timed``'s timer too."""
        self._timers.add(timed)

    def start(self) -> None:
        """Have a helper lead when no caller does."""
        if not self._helpers:
            self._help()

    def arm(self, link: ThreadLink) -> None:
        """The link's timer may be due earlier than known."""
        due = link.session.due()
        if link.lingers_until != NEVER:
            due = link.lingers_until
        if due is not None and due < link.armed:
            self._timers.arm(link, due)
            if due < self._sleeps_until:
                self.wake()

    def linger(self, link: ThreadLink) -> None:
        """Its session is over: what waits to be sent has a while to leave, then it is dropped."""
        if link.lingers_until == NEVER:
            link.lingers_until = monotonic() + LINGER_SECONDS
        self.arm(link)

    def rearm(self) -> None:
        """A `Timed` may be due earlier than known."""
        if self._sleeps_until > monotonic() + TICK:
            self.wake()

    def wake(self) -> None:
        """Have the leader look again, if it sleeps in the kernel."""
        try:
            self._wake_out.send(b"\0")
        except OSError:
            pass  # it is full of wakes, or closed

    # --- waiting for a reply -------------------------------------------------------------------------------

    def wait(self, goal: Waitable, timeout: float | None) -> None:
        """Pump, or sleep while another thread does, until ``goal`` is done or ``timeout`` seconds passed."""
        deadline = None if timeout is None else monotonic() + timeout
        if self._working is not None and self._reader is threading.current_thread():
            self._abdicate()
        if not (self._callers_lead and self._lead_until(goal, deadline)):
            self._follow(goal, deadline)

    def _follow(self, goal: Waitable, deadline: float | None) -> None:
        """Sleep while another leads; lead when nobody does any more."""
        key = id(goal)
        self._followers[key] = goal
        try:
            while not goal.arrived and (deadline is None or monotonic() < deadline):
                if not (self._callers_lead and self._lead_until(goal, deadline)):
                    goal.park(None if deadline is None else deadline - monotonic())
        finally:
            del self._followers[key]
            if self._followers and self._leader is None:
                self._pass_on()

    def _lead_until(self, goal: Waitable, deadline: float | None) -> bool:
        """Lead until ``goal`` is done or ``deadline`` passes. False: another leads, or the lead was lost."""
        mutex = self._mutex
        mutex.acquire()  # not `with`, which costs 60 ns more: every call passes here
        taken = self._leader is None or self._asleep
        if taken:
            self._leader = goal
            self._asleep = False
        mutex.release()
        if not taken:
            return False
        try:
            # Mostly the first look brings the answer, and there is nothing else to do.
            if not (self._served & LOOK_AROUND and self._spinner.bets() and self._spin(goal, goal) and goal.arrived):
                self._lead(goal, goal, deadline)
            elif self._jobs:
                self._hand_on()
        finally:
            if self._leader is goal:  # else the pump was closed: nobody takes the lead from a caller
                self._leader = None  # which needs no lock therefore
                if self._followers:
                    self._pass_on()
                if self._deep or not self._helpers:
                    self._ring()
        return goal.arrived or (deadline is not None and monotonic() >= deadline)

    def touch(self) -> None:
        """A call was begun that nobody waits for yet.

        The lead is taken from a sleeping helper: the reply may as well be read by whoever comes to wait; the
        stand-by reads it if nobody does, a millisecond later.
        """
        if self._callers_lead:
            self._served += 1
            if self._asleep:
                with self._mutex:
                    if self._asleep:
                        self._leader, self._asleep = None, False
            if self._dozes:
                self._ring()

    def _abdicate(self) -> None:
        """This thread leads and runs a call that now waits for another: let somebody else read."""
        with self._mutex:
            job, me = self._working, threading.current_thread()
            if job is None or self._reader is not me:
                return  # the stand-by took over
            self._leader = self._working = None
            self.batching = 0
        self._helpers.discard(me)
        job.overran(monotonic())  # it will wait again the next time
        self._send_dirty()
        self._ring()

    def _pass_on(self) -> None:
        """Wake a caller that waits still, so that it leads."""
        for follower in list(self._followers.values()):
            if not follower.arrived:
                follower.unpark()
                return

    # --- leading -------------------------------------------------------------------------------------------

    def _lead(self, token: object, goal: Waitable | None, deadline: float | None) -> None:
        """Read and run until ``goal`` is done, ``deadline`` passes, or the lead is lost."""
        outstanding = goal is not None  # something is expected soon: worth spinning for
        spinner = self._spinner
        while self._leader is token and not self._closed:
            if self._jobs:
                if goal is not None:
                    self._hand_on()
                elif not self._run_jobs(token):
                    return
            if goal is not None and goal.arrived:
                return
            if not self._served & LOOK_AROUND:
                self._run_timers()  # a busy connection keeps no other from being heard
                if self._poll(0):
                    continue
                self._unwatch()
            if outstanding and spinner.bets() and self._spin(token, goal):
                continue
            # A client's helper expects nothing: only callers spin there.
            outstanding = self._sleep(token, goal, deadline) and (goal is not None or not self._callers_lead)
            if deadline is not None and monotonic() >= deadline:
                return

    def _spin(self, token: object, goal: Waitable | None) -> bool:
        """Look for bytes without sleeping. True: some came, or there is something else to do."""
        link, spinner = self._hot, self._spinner
        if link is None or link.closed or link.flooded:
            return False
        if len(self._links) > 1 or link.backlog:
            return self._spin_around(link, token, goal)
        now = monotonic()  # while others work, not once there is something to do
        try:
            data = look(link.stream.receive, link.session.wanted(), spinner.seconds)
        except OSError as error:
            self.broken(link, error)
            return True
        if data is None:
            spinner.lost()
            return False
        spinner.losses = 0  # `won`, written out: every call passes here
        if spinner.seconds > TICK:
            now = monotonic()  # it would be too early by more than matters
        self._feed(link, data, now, token if goal is None else None)
        return True

    def _spin_around(self, link: ThreadLink, token: object, goal: Waitable | None) -> bool:
        """The same where others, or bytes that wait to be sent, have to be looked after in between."""
        until = monotonic() + self._spinner.seconds
        longer = ALONE_SECONDS if self._served - self._hot_since > ROW and not link.backlog else 0.0
        while True:
            try:
                data = look(link.stream.receive, link.session.wanted(), longer)
            except OSError as error:
                self.broken(link, error)
                return True
            if data is not None:
                self._spinner.won()
                self._feed(link, data, monotonic(), token if goal is None else None)
                return True
            if link.backlog:
                link.send()
            if self._poll(0) or (goal is not None and goal.arrived):
                return True
            if monotonic() > until:
                self._spinner.lost()
                return False

    def _sleep(self, token: object, goal: Waitable | None, deadline: float | None) -> bool:
        """Sleep in the kernel until something comes. Whether bytes did."""
        if self._jobs:
            return True  # a timer brought them
        now = monotonic()
        until = self._timers.next_due()
        if deadline is not None and deadline < until:
            until = deadline
        with self._mutex:
            if self._leader is not token:
                return False
            if self._unwatched is not None:
                self._rewatch(self._unwatched)
            self._asleep = goal is None
            self._sleeps_until = until
            if self._callers_lead and goal is None and self._followers:
                self._leader = None  # a caller came while this helper was awake: the lead is its own
        if self._corked:
            self._uncork()  # only now: what is corked from here on wakes the sleeper
        if self._leader is None:
            self._pass_on()
            return False
        served = self._served
        # A caller that took the lead meanwhile reads the same streams; then what woke us is not ours.
        try:
            events = self._selector.select(None if until == NEVER else max(0.0, until - now))
        except (OSError, ValueError):
            return False  # the pump was closed
        with self._mutex:
            if self._leader is not token:
                return False
            self._asleep = False
            self._sleeps_until = NEVER
        self._handle(events)
        self._run_timers()
        return self._served != served

    def _poll(self, timeout: float) -> bool:
        events = self._selector.select(timeout)
        self._handle(events)
        return bool(events)

    def _handle(self, events: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, mask in events:
            target = key.data
            if type(target) is ThreadLink:
                if mask & selectors.EVENT_WRITE:
                    target.send()
                    if target.drained:
                        self.drop(target)
                        continue
                if mask & selectors.EVENT_READ:
                    self._read(target)
            elif target is None:
                try:
                    self._wake_in.recv(4096)
                except OSError:
                    pass
            else:
                self._welcome(target)

    def _read(self, link: ThreadLink) -> None:
        try:
            data = link.stream.receive(link.session.wanted())
        except BlockingIOError:
            return
        except OSError as error:
            self.broken(link, error)
            return
        self._feed(link, data, monotonic())

    def _feed(self, link: ThreadLink, data: bytes, now: float, helper: object | None = None) -> None:
        """Hand bytes to their session. A job that comes of them alone is run right here, if a helper leads."""
        session = link.session
        if not data:
            self._queue(link, session.eof(now))
            self.drop(link)
            return
        self._served += 1
        if link is not self._hot:
            self._hot, self._hot_since = link, self._served
        try:
            jobs = session.receive(data, now)
        except Exception as error:  # noqa: BLE001  # told there
            failed_on(session, link.facts, error)
            self.drop(link)
            return
        if jobs is NOTHING:
            return
        if session.finished:
            self._queue(link, jobs)
        elif not jobs:
            if session.ready:
                link.send()
        elif helper is not None and len(jobs) == 1 and not (self._jobs or jobs[0].is_async or jobs[0].blocking):
            self._run(jobs[0], helper)
        else:
            self._jobs += jobs

    def _queue(self, link: ThreadLink, jobs: Sequence[Job]) -> None:
        self._jobs.extend(jobs)
        if link.session.finished:
            self._finish(link)

    def _finish(self, link: ThreadLink) -> None:
        link.send()
        if link.drained:
            self.drop(link)
        elif not link.closed:
            self.linger(link)

    def _welcome(self, listener: Listener) -> None:
        for _ in range(64):  # then others get their turn
            stream = listener.accept()
            if stream is None or self._accept is None:
                return
            session = self._accept(listener, stream)
            if session is None:
                stream.close()
                continue
            link = self.add(stream, session)
            link.send()

    def evict(self, session: Session, error: Exception) -> None:
        """Close the connection of ``session`` without a word."""
        for link in list(self._links):
            if link.session is session:
                session.lost(error)
                self.drop(link)
        self.wake()

    # --- running what came in ------------------------------------------------------------------------------

    def _hand_on(self) -> None:
        """Have others run what came in: this caller would be late for its own reply."""
        jobs = self._jobs
        while jobs:
            job = jobs.popleft()
            if job.is_async:
                LOOP.submit(job)
            else:
                self.workers.submit(job)

    def _run_jobs(self, token: object) -> bool:
        """Run or hand on all jobs. False: the lead was lost meanwhile.

        The reply of one job leaves as soon as there is one; those of several leave together at the end.
        """
        jobs = self._jobs
        if len(jobs) == 1 and not (jobs[0].is_async or jobs[0].blocking):
            return self._run(jobs.popleft(), token)
        gathers = len(jobs) > 1
        if gathers:
            self.batching = get_ident()
        while jobs:
            job = jobs.popleft()
            if job.is_async:
                LOOP.submit(job)
            elif job.blocking:
                self.workers.submit(job)
            elif not self._run(job, token):
                if gathers:
                    self._send_dirty()  # what it noted before the lead was lost
                return False
        if gathers:
            self.batching = 0
            self._send_dirty()
        return True

    def _run(self, job: Job, token: object) -> bool:
        """Run a job on this thread, under the eyes of the stand-by. False: it took over."""
        if self._deep or not self._standby:
            self._watch()
        self._working = job
        try:
            job.run()
        except Exception:
            log.exception("a job failed outside of its call")
        mutex = self._mutex
        mutex.acquire()
        leads = self._leader is token
        if leads:
            self._working = None
        mutex.release()
        return leads

    def _send_dirty(self) -> None:
        dirty, self.dirty = self.dirty, []
        for link in dict.fromkeys(dirty):
            link.send()

    def _run_timers(self) -> None:
        now = monotonic()
        for link in self._timers.run(now):
            due = link.session.due()
            if due is not None and due <= now:
                self._queue(link, link.session.tick(now))
                if not link.closed:
                    link.send()
            if now >= link.lingers_until:
                self.drop(link)  # its peer takes nothing, or too little
            if not link.closed:
                self.arm(link)

    # --- helpers -------------------------------------------------------------------------------------------

    def _help(self) -> None:
        thread = threading.Thread(target=self._helper, name=f"{self.name}-pump", daemon=True)
        self._threads.add(thread)
        self._helpers.add(thread)
        thread.start()

    def _helper(self) -> None:
        token, me = object(), threading.current_thread()
        leads = False
        while not self._closed:
            if leads or (not self._callers_lead and self._vacant(token)):
                self._reader = me
                try:
                    self._lead(token, None, None)
                except Exception:
                    log.exception("%s: the pump failed; it goes on", self.name)
                leads = False
                self._helpers.add(me)  # a slow call had taken it away
            else:
                with self._mutex:
                    if self._standby:
                        break  # one is enough
                    self._standby = True
                leads = self._stand_by(token)
                self._standby = False
        self._helpers.discard(me)
        self._threads.discard(me)

    def _vacant(self, token: object) -> bool:
        with self._mutex:
            if self._leader is None:
                self._leader = token
            return self._leader is token

    def _watch(self) -> None:
        """Have somebody look after the leader, which begins a call."""
        if self._standby:
            self._ring()
        elif len(self._helpers) < 2:
            self._help()

    def _ring(self) -> None:
        """Wake the stand-by, or make one if nobody is free to help."""
        if not self._helpers and not self._closed:
            self._help()
            return
        self._deep = False
        try:
            self._bell.release()
        except RuntimeError:
            pass  # it is awake

    def _stand_by(self, token: object) -> bool:
        """Look after the leader until it is needed. True: it took the lead over."""
        quiet, pause = 0, TICK
        seen: Job | None = None
        served = self._served
        while not self._closed:
            if quiet >= QUIET_TICKS and self._leader is not None and not self._corked:
                self._deep = True
                if self._working is None and self._leader is not None and not self._corked:
                    self._bell.acquire()
                self._deep = False
                quiet = 0
            else:
                self._dozes = pause > TICK
                self._bell.acquire(timeout=pause)
                self._dozes = False
            job = self._working
            calm = job is None and not self._corked and self._leader is not None and self._served != served
            pause = min(2 * pause, CALM_TICK) if calm else TICK
            if self._corked:
                self._uncork()
            if job is not None and job is seen:
                with self._mutex:
                    if self._working is job:
                        self._leader, self._working, self._asleep = token, None, False
                        self.batching = 0
                if self._leader is token:
                    if self._reader is not None:
                        self._helpers.discard(self._reader)
                    job.overran(monotonic())
                    self._send_dirty()
                    return True
            if self._leader is None and self._served == served and self._vacant(token):
                return True
            quiet = quiet + 1 if self._served == served and job is None else 0
            seen, served = job, self._served
        return False

    # --- links coming and going ----------------------------------------------------------------------------

    def cork(self, link: ThreadLink) -> None:
        """``link`` has something to send within a millisecond."""
        self._corked.add(link)
        if not self._standby:
            self.wake()  # the helper leads, or lost the lead and sleeps still: it sends before it sleeps again
        if self._deep or self._dozes or not self._helpers:
            self._ring()

    def cork_quietly(self, link: ThreadLink) -> None:
        """The same for a finalizer, which may interrupt any thread anywhere: no lock is taken, no thread made."""
        self._corked.add(link)
        if not self._standby:
            self.wake()
        if self._deep or self._dozes:
            try:
                self._bell.release()
            except RuntimeError:
                pass  # it was woken already

    def _uncork(self) -> None:
        for link in list(self._corked):  # one round: what is corked meanwhile gets the next
            self._corked.discard(link)
            link.send_all()

    def watch_room(self, link: ThreadLink) -> None:
        """Watch for room to send, or stop to."""
        mask = (selectors.EVENT_WRITE if link.backlog else 0) | (0 if link.flooded else selectors.EVENT_READ)
        try:
            self._selector.modify(link.stream, mask, link)
        except (KeyError, ValueError, OSError):
            return  # it was closed meanwhile
        self.arm(link)
        if not NOTICES:
            self.wake()

    def _unwatch(self) -> None:
        """Have the kernel not wake anybody for the connection that is looked at anyway: each message costs 0.15 us."""
        link = self._hot
        if link is not None and self._unwatched is None and self._served - self._hot_since > LOOK_AROUND:
            self._forget_file(link.stream)
            self._unwatched = link

    def _rewatch(self, link: ThreadLink) -> None:
        """Somebody is about to sleep. Called under the mutex: a link that closes is not watched again."""
        self._unwatched = None
        if not link.closed:
            self._selector.register(link.stream, selectors.EVENT_READ, link)
            self.watch_room(link)

    def broken(self, link: ThreadLink, error: OSError) -> None:
        """The stream failed."""
        lost = ConnectionLost(f"the connection broke: {error.strerror or error}")
        lost.__cause__ = error
        link.session.lost(lost)
        self.drop(link)

    def drop(self, link: ThreadLink) -> None:
        """Close a connection; calls that wait on it fail."""
        with self._mutex:
            if link.closed:
                return
            link.closed = True
            self._links.discard(link)
        self._forget_file(link.stream)
        if self._hot is link:
            self._hot = next(iter(self._links), None)
        link.stream.close()
        link.session.lost(ConnectionLost("it was closed"))

    def _forget_file(self, file: Any) -> None:  # a stream or a file number
        try:
            self._selector.unregister(file)
        except (KeyError, ValueError, OSError):
            pass  # it is not watched, or closed

    def close(self) -> None:
        """Drop all connections and end the helpers."""
        for link in list(self._links):
            self.drop(link)
        self._closed = True
        self.wake()
        self._ring()
        for thread in list(self._threads):
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(2.0)  # one that is just being started ends by itself: the pump is closed
        for link in list(self._links):  # that the last leader welcomed meanwhile
            self.drop(link)
        self.workers.close()
        for follower in list(self._followers.values()):
            follower.unpark()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def stats(self) -> dict[str, int]:
        """Counters, for inspection."""
        return {
            "connections": len(self._links), "reads": self._served,
            "workers": len(self.workers), "workers_high": self.workers.high, "queued": self.workers.queued,
            "waiting": max((link.waiting for link in list(self._links)), default=0),
            "waiting_high": self.waiting.high, "floods": self.waiting.floods,
        }  # fmt: skip
