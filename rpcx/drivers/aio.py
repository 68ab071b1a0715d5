"""The asyncio driver: sessions in somebody's running loop, with no thread of ours.

An `AioLink` is the protocol of an asyncio transport. Async jobs become tasks; a sync method runs in the loop,
between two reads, since that is what "no extra thread" means; one marked as blocking goes to the loop's
executor. A sync call made from within the loop's own thread could never get its answer, so it is refused.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from rpcx.abc import Buffer, Job, Listener, PeerFacts, Session, Stream, Timed, Waitable
from rpcx.drivers.links import IDLE, LINGER_SECONDS, NEVER, Backlog, failed_on
from rpcx.drivers.workers import aside
from rpcx.errors import ConnectionLost

log = logging.getLogger("rpcx")

JOIN_BYTES: Final = 65536  # buffers up to this size together are joined before they are written


class AioLink(asyncio.Protocol):
    """One connection in a loop."""

    def __init__(self, stream: Stream, session: Session, pump: "AioPump") -> None:
        self.facts: PeerFacts = stream.facts
        self.session = session
        self.gone = asyncio.Event()  # set when the transport has closed
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._pump = pump
        self._stream = stream  # kept, so that its socket is closed with it
        self._transport: asyncio.Transport | None = None  # set when connected
        self._aborted = False  # it is to be closed, also if it is not connected yet
        self._timer: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None  # while it closes, and its peer takes what is left
        self._batching = False  # running what one read brought; sends wait for the end
        self._flooded = False  # so much waits that nothing more is read
        self._full = False  # more waits to be sent than the transport likes: its peer is slow, or takes nothing
        self.waiting = 0  # while full: bytes that waited when we last looked or wrote
        self._flushing = False  # a flush is on its way from another thread, or due soon
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the transport's side ------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:  # asyncio's BaseTransport
        self._transport = transport
        if self._aborted:  # evicted before it was connected here
            transport.abort()
            return
        self.session.attach(self, self._loop.time())
        self._write()
        self.rearm()

    def data_received(self, data: bytes) -> None:
        try:
            jobs = self.session.receive(data, self._loop.time())
        except Exception as error:  # noqa: BLE001  # told there
            failed_on(self.session, self.facts, error)
            self.abort()
            return
        self._run(jobs)

    def eof_received(self) -> bool:
        self._run(self.session.eof(self._loop.time()))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._lingering):
            if timer is not None:
                timer.cancel()
        reason = f"the connection broke: {exc}" if exc is not None else "it was closed"
        self.session.lost(ConnectionLost(reason))
        self._stream.close()
        self.gone.set()
        self._pump.forget(self)

    def pause_writing(self) -> None:
        self._full = True
        self._note_backlog()
        self.rearm()

    def resume_writing(self) -> None:
        self._full, self.waiting = False, 0
        if self._flooded and self._transport is not None:
            self._flooded = False
            self._transport.resume_reading()
        self.session.held_back(0, took=True)  # what is left waits for the socket, not for a peer that is slow

    def _note_backlog(self) -> None:
        """Tell the session what waits, and whether the peer took any of it since we last looked."""
        if self._transport is not None:
            waiting = self._transport.get_write_buffer_size()
            self.session.held_back(waiting, took=waiting < self.waiting)
            self.waiting = waiting

    # --- the session's side --------------------------------------------------------------------------------

    def flush(self) -> None:
        if threading.get_ident() == self._thread:
            if not self._batching:
                self._write()
        elif not self._flushing:
            self._flushing = True
            self._from_outside(self._write)

    def flush_now(self) -> None:
        if threading.get_ident() == self._thread:
            self._write()
        else:
            self.flush()

    def flush_soon(self) -> None:
        if not self._flushing and not self._batching:
            self._flushing = True
            self._from_outside(self._write)

    def flush_later(self) -> None:
        self.flush_soon()  # which only asks the loop

    def wait(self, reply: Waitable, timeout: float | None) -> None:
        if threading.get_ident() == self._thread:
            raise RuntimeError(
                "a sync call from the event loop's own thread would wait for ever: await the call "
                "(make the method async), or mark the method @rpcx.method(blocking=True)"
            )
        self.flush()
        reply.park(timeout)
        deadline = None if timeout is None else self._loop.time() + timeout
        while not reply.arrived and (deadline is None or self._loop.time() < deadline):
            reply.park(None if deadline is None else deadline - self._loop.time())

    def wake(self) -> None:
        """Nobody leads here: who waits sleeps until it is unparked."""

    def in_loop(self, loop: Any, function: Callable[..., object], argument: object) -> None:  # an event loop
        if loop is self._loop and threading.get_ident() == self._thread:
            function(argument)
            return
        try:
            loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            pass  # the loop was closed; nobody waits there any more

    def spawn(self, job: Job) -> None:
        self._from_outside(self._start, job)

    def aside(self, work: Callable[[], None]) -> None:
        aside(work)

    def rearm(self) -> None:
        if threading.get_ident() != self._thread:
            self._from_outside(self.rearm)
            return
        due = self.session.due()
        if due is None:
            return
        if self._timer is None or due < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._tick)

    def abort(self) -> None:
        """Close without sending what waits; from the loop's thread."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if threading.get_ident() != self._thread:
            self._from_outside(self.close)
            return
        self._write()
        self._close()

    def _close(self) -> None:
        """Close when what waits has been sent; or without that after a while, if its peer does not take it."""
        transport = self._transport
        if transport is None:
            self._aborted = True  # when it is connected
            return
        if transport.is_closing():
            return
        transport.close()
        if transport.get_write_buffer_size():
            self._lingering = self._loop.call_later(LINGER_SECONDS, transport.abort)

    # --- within --------------------------------------------------------------------------------------------

    def _from_outside(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            pass  # the loop was closed, and the connection with it

    def _tick(self) -> None:
        self._timer = None
        if self._full:
            self._note_backlog()  # nothing else tells what a slow peer takes
        now = self._loop.time()
        due = self.session.due()
        if due is not None and due <= now:
            self._run(self.session.tick(now))
        self.rearm()

    def _run(self, jobs: Sequence[Job]) -> None:
        self._batching = True
        try:
            for job in jobs:
                self._start(job)
        finally:
            self._batching = False
        if self.session.ready:
            self._write()
        if self.session.finished:
            self._close()

    def _start(self, job: Job) -> None:
        if self._pump.over:
            return
        if job.is_async:
            task = self._loop.create_task(job.run_async())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif job.blocking:
            running = self._loop.run_in_executor(None, job.run)
            running.add_done_callback(_logged)
        else:
            job.run()

    def _write(self) -> None:
        self._flushing = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        buffers: Sequence[Buffer] = self.session.outgoing()
        if self._full and buffers:
            self._note_backlog()  # before more is added
        if len(buffers) == 1:
            transport.write(buffers[0])
        elif buffers:
            if sum(len(buffer) for buffer in buffers) <= JOIN_BYTES:
                transport.write(b"".join(buffers))
            else:
                for buffer in buffers:  # not writelines: it ignored back-pressure in 3.12.0-8 (CVE-2024-12254)
                    transport.write(buffer)
        if self._full:
            self.waiting = transport.get_write_buffer_size()
            self.session.held_back(self.waiting, took=False)  # with what was added just now
            if self._pump.waiting.floods_with(self.waiting) and not self._flooded:
                self._flooded = True
                self._pump.waiting.floods += 1
                transport.pause_reading()


def _logged(running: "asyncio.Future[None]") -> None:
    """A job answers for its own failures; what escapes all the same is a defect."""
    if not running.cancelled() and running.exception() is not None:
        log.error("a job failed outside of its call", exc_info=running.exception())


class AioPump:
    """The connections and listeners of one host in a loop."""

    def __init__(
        self, accept: Callable[[Listener, Stream], Session | None] | None = None, most_waiting: float = NEVER
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._accept = accept
        self._links: set[AioLink] = set()
        self.forget = self._links.discard  # one that is closed
        self.waiting = Backlog(most_waiting)  # a client that takes no answers is read no further
        self.over = False  # it has closed, and so may the loop: nothing begins any more
        self._listeners: set[Listener] = set()
        self._timed: list[Timed] = []
        self._timer: asyncio.TimerHandle | None = None
        self._welcomes: set[asyncio.Task[Any]] = set()

    async def dial(self, reach: Callable[[], tuple[Any, Stream]]) -> tuple[Any, Stream]:  # a channel
        """What ``reach`` returns, run `aside` while the loop goes on.

        Names are looked up and keys read on the way, neither of which a loop can wait for. Given up, it closes the
        stream that comes too late.
        """
        reached: asyncio.Future[tuple[Any, Stream]] = self._loop.create_future()

        def settle(outcome: tuple[Any, Stream] | BaseException) -> None:
            if isinstance(outcome, BaseException):
                if not reached.cancelled():
                    reached.set_exception(outcome)
            elif reached.cancelled():
                outcome[1].close()
            else:
                reached.set_result(outcome)

        def run() -> None:
            outcome: tuple[Any, Stream] | BaseException
            try:
                outcome = reach()
            except BaseException as error:  # noqa: BLE001  # it is for who waits
                outcome = error
            try:
                self._loop.call_soon_threadsafe(settle, outcome)
            except RuntimeError:  # the loop was closed
                if not isinstance(outcome, BaseException):
                    outcome[1].close()

        aside(run)
        return await reached

    async def add(self, stream: Any, session: Session, *, accepted: bool = False) -> AioLink:  # has a .socket
        """Serve a connection from now on."""
        link = self._linked(stream, session)
        if accepted:
            await self._take_up(link, stream)
        else:
            await self._loop.create_connection(lambda: link, sock=stream.socket)
        return link

    def _linked(self, stream: Any, session: Session) -> AioLink:
        link = AioLink(stream, session, self)
        self._links.add(link)
        return link

    async def _take_up(self, link: AioLink, stream: Any) -> None:
        await self._loop.connect_accepted_socket(lambda: link, stream.socket)
        self._arm()  # its listener may have a timer while somebody is connected

    def listen(self, listener: Listener) -> None:
        """Accept streams from now on."""
        self._listeners.add(listener)
        for fileno in listener.filenos():
            self._loop.add_reader(fileno, self._welcome, listener)
        if isinstance(listener, Timed):
            self._timed.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Accept no more."""
        self._listeners.discard(listener)
        for fileno in listener.filenos():
            self._loop.remove_reader(fileno)
        if isinstance(listener, Timed):
            self._timed.remove(listener)

    def time(self, timed: Timed) -> None:
        """Keep ``timed``'s timer too."""
        self._timed.append(timed)
        self._arm()

    def rearm(self) -> None:
        """A timer may be due earlier than known; from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._arm)
        except RuntimeError:
            pass  # the loop was closed

    def _arm(self) -> None:
        dues = [due for due in (timed.due() for timed in self._timed) if due is not None]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if dues:
            self._timer = self._loop.call_at(min(dues), self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        for timed in self._timed:
            due = timed.due()
            if due is not None and due <= now:
                timed.tick(now)
        self._arm()

    def _welcome(self, listener: Listener) -> None:
        for _ in range(64):  # then others get their turn
            stream = listener.accept()
            if stream is None or self._accept is None:
                return
            session = self._accept(listener, stream)
            if session is None:
                stream.close()
                continue
            link = self._linked(stream, session)  # at once: who has just come is the first to be evicted
            task = self._loop.create_task(self._take_up(link, stream))
            self._welcomes.add(task)
            task.add_done_callback(self._welcomes.discard)

    def evict(self, session: Session, error: Exception) -> None:
        """Close the connection of ``session`` without a word."""
        for link in list(self._links):
            if link.session is session:
                session.lost(error)
                link.abort()

    async def close(self) -> None:
        """Close all connections; nothing begins any more."""
        for listener in list(self._listeners):
            self.unlisten(listener)
        if self._timer is not None:
            self._timer.cancel()
        self._timed.clear()
        links = list(self._links)
        for link in links:
            link.close()
        for link in links:
            try:
                await asyncio.wait_for(link.gone.wait(), 2.0)
            except TimeoutError:
                log.warning("%s: the connection did not close in time", link.facts)
        self.over = True

    def stats(self) -> dict[str, int]:
        """Counters, for inspection."""
        return {
            **IDLE, "connections": len(self._links),
            "waiting": max((link.waiting for link in list(self._links)), default=0),
            "waiting_high": self.waiting.high, "floods": self.waiting.floods,
        }  # fmt: skip
