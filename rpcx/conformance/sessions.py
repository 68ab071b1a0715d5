"""What a session promises (`rpcx.abc.Session`): one end of one connection, as a driver pumps it."""

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from rpcx.abc import EventLoop, Job, PeerFacts, Session, Waitable
from rpcx.channels.sockets import SocketStream
from rpcx.conformance.formatters import mutated
from rpcx.conformance.rules import SECONDS, Rules
from rpcx.drivers.aio import AioPump
from rpcx.drivers.threads import Pump
from rpcx.errors import ConnectionLost

SEED: Final = 5  # of what is made by chance: the same each time
MUTANTS: Final = 200
NOW: Final = 1000.0  # monotonic seconds; where the clock stands unless a rule is about time


def check_session(make: Callable[[], Session], said: bytes, answered: bytes | None = None) -> None:
    """Whether a session keeps its rules: in whatever pieces bytes come, whatever bytes they are, under both drivers.

    Args:
        make: makes one end; called several times, so that each rule is looked at with a new one.
        said: what the other end says. It makes sense, all jobs are sync, and answers come in one order: none of them
            depends on chance or time.
        answered: what comes back, if that is known.

    Raises:
        AssertionError: names the rule that is broken.
    """
    check = _Check(make, said)
    whole = check.answers([said], "receive takes what the other end says")
    if answered is not None:
        check.holds(whole == answered, "it answers what it should", whole)
    check.pieces(whole)
    check.given_once()
    check.timer()
    check.ends()
    check.garbage()
    check.driven(whole)


class _Check(Rules):
    """The rules, each as a method."""

    def __init__(self, make: Callable[[], Session], said: bytes) -> None:
        self._first: Session | None = make()
        super().__init__(self._first)
        self._make = make
        self._said = said
        self._chance = random.Random(SEED)  # noqa: S311  # no secret

    def opened(self) -> "tuple[Session, _Link]":
        """A new session, and the link that it was attached to."""
        session, self._first = self._first or self._make(), None
        link = _Link(self, session)
        with self.works("attach raises nothing"):
            session.attach(link, NOW)
        return session, link

    def answers(self, pieces: Iterable[bytes], rule: str) -> bytes:
        """All that a new session sends when these bytes come."""
        session, link = self.opened()
        link.flush()
        for piece in pieces:
            wanted: Any = session.wanted()
            self.holds(isinstance(wanted, int) and wanted > 0, "wanted says how many bytes to ask for", wanted)
            with self.works(rule):
                jobs = session.receive(piece, NOW)
            link.run(jobs)
            if session.finished:
                break
        with self.works("lost raises nothing"):
            session.lost(ConnectionLost("the check is over"))
        return bytes(link.sent)

    # --- bytes -------------------------------------------------------------------------------------------------

    def pieces(self, whole: bytes) -> None:
        said = self._said
        rule = "it answers the same in whatever pieces bytes come"
        found = self.answers((said[at : at + 1] for at in range(len(said))), rule)
        self.holds(found == whole, rule, f"{found!r} to single bytes")
        for cut in sorted({self._chance.randrange(1, len(said)) for _ in range(100)} if len(said) > 1 else ()):
            found = self.answers([said[:cut], said[cut:]], rule)
            self.holds(found == whole, rule, f"{found!r} when cut at {cut}")

    def given_once(self) -> None:
        session, link = self.opened()
        link.paused = True
        link.run(session.receive(self._said, NOW))
        ready, buffers = session.ready, session.outgoing()
        self.holds(ready == bool(buffers), "ready says whether outgoing has something", f"{ready} before {buffers}")
        kinds = all(isinstance(each, bytes | bytearray | memoryview) for each in buffers)
        self.holds(kinds, "outgoing returns buffers", buffers)
        again = session.outgoing()
        self.holds(not again and not session.ready, "outgoing gives each buffer once", again)
        session.lost(ConnectionLost("the check is over"))

    def garbage(self) -> None:
        """A stranger's bytes end a session, or are answered; they make nothing raise."""
        for _ in range(MUTANTS):
            data = mutated(self._said, self._chance)
            self.answers([data], f"receive raises nothing, whatever comes: here {data[:40]!r}")

    # --- time and end ------------------------------------------------------------------------------------------

    def timer(self) -> None:
        session, link = self.opened()
        now = NOW
        for _ in range(100):
            due: Any = session.due()
            self.holds(due is None or isinstance(due, int | float), "due is a time, or None", due)
            if due is None or session.finished:
                break
            now = max(now, due)
            with self.works("tick raises nothing"):
                link.run(session.tick(now))
            later = session.due()
            moved = later is None or later > now or session.finished
            self.holds(moved, "tick moves due: what is due for ever keeps a driver busy for ever", f"still {later}")
        session.lost(ConnectionLost("the check is over"))

    def ends(self) -> None:
        rule = "eof, held_back and lost raise nothing, whenever they come, and lost may come twice"
        for said in (b"", self._said[: len(self._said) // 2], self._said):
            session, link = self.opened()
            with self.works(rule):
                link.run(session.receive(said, NOW) if said else ())
                session.held_back(10, took=False)
                session.held_back(0, took=True)
                link.run(session.eof(NOW))
                for reason in ("once", "twice"):
                    session.lost(ConnectionLost(reason))
                session.outgoing()
                session.due()
            self.holds(isinstance(session.finished, bool), "finished says whether the connection is over")

    # --- drivers -----------------------------------------------------------------------------------------------

    def driven(self, whole: bytes) -> None:
        for driver, converse in (("threads", self._under_threads), ("asyncio", self._under_asyncio)):
            near, far = socket.socketpair()
            with near, self.works(f"it answers the same under {driver}"):
                near.settimeout(SECONDS)
                found = converse(near, SocketStream(far, PeerFacts("check", "a socket pair", owner=True)), len(whole))
            self.holds(found == whole, f"it answers the same under {driver}", found)

    def _under_threads(self, near: socket.socket, far: SocketStream, size: int) -> bytes:
        pump = Pump("check", callers_lead=False)
        try:
            pump.add(far, self._make())
            pump.start()
            near.sendall(self._said)
            return _read(near, size)
        finally:
            pump.close()

    def _under_asyncio(self, near: socket.socket, far: SocketStream, size: int) -> bytes:
        async def converse() -> bytes:
            pump = AioPump()
            try:
                await pump.add(far, self._make(), accepted=True)
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, near.sendall, self._said)
                return await loop.run_in_executor(None, _read, near, size)
            finally:
                await pump.close()

        return asyncio.run(converse())


class _Link:
    """A driver's side that carries nothing: what the session sends is kept, and jobs run where they come."""

    facts = PeerFacts("check", "nowhere", owner=True)

    def __init__(self, check: _Check, session: Session) -> None:
        self.sent = bytearray()
        self.paused = False  # what is ready waits
        self._check = check
        self._session = session
        self._lock = threading.Lock()

    def run(self, jobs: Sequence[Job]) -> None:
        """Run what came in, then send what is ready."""
        for job in jobs:
            self._check.holds(job.is_async in (True, False), "a job says whether it is to be awaited", job)
            self._check.holds(not job.is_async, "check_session runs no async jobs: say something else", job)
            with self._check.works("a job never raises"):
                job.run()
        self.flush()

    def flush(self) -> None:
        if self.paused:
            return
        with self._lock, self._check.works("outgoing raises nothing"):
            self.sent += b"".join(self._session.outgoing())

    flush_now = flush_soon = flush_later = close = flush

    def rearm(self) -> None:
        """Nobody sleeps."""

    def wake(self) -> None:
        """Likewise."""

    def wait(self, reply: Waitable, timeout: float | None) -> None:
        """Nobody answers."""

    def in_loop(self, loop: EventLoop, function: Callable[..., object], argument: object) -> None:
        """There is no loop."""

    def spawn(self, job: Job) -> None:
        self.run([job])

    def aside(self, work: Callable[[], None]) -> None:
        """Here and now: no check depends on a thread."""
        work()


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            break
        data += piece
    return data
