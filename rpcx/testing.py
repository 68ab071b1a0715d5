"""What tests of services, and of plug-ins, are written with.

    with rpcx.testing.pair(Bed) as both:                 # a host and a client in this process
        bed = both.server.create(Bed, "beans")
        both.clock.advance(300)                          # its lease runs out, now
        with pytest.raises(rpcx.ObjectExpired):
            bed.water(1.0)

- `pair` joins a host and a client in memory; the rest is as between processes. In a loop: ``async with pair(…)``.
- `VirtualClock` is the time of a host's leases, sponsors and grace: it stands until a test moves it.
- `nothing_left` fails where a host or a connection was not closed.
- `check_channel`, `check_formatter`, `check_sink` and `check_session` say whether a plug-in keeps the rules of its
  seam in `rpcx.abc`. What rpcx brings along passes them too.

All raise AssertionError, and none needs a test framework. ``import rpcx`` does not import this.
"""

import asyncio
import contextlib
import gc
import itertools
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Final, Self

from rpcx import aio
from rpcx.abc import Timed
from rpcx.client import Connector, Server, connect
from rpcx.conformance.channels import check_channel
from rpcx.conformance.formatters import check_formatter
from rpcx.conformance.sessions import check_session
from rpcx.conformance.sinks import check_sink
from rpcx.errors import ConnectionLost
from rpcx.host import Host
from rpcx.realm import open_realms

__all__ = [
    "AsyncPair",
    "Pair",
    "VirtualClock",
    "check_channel",
    "check_formatter",
    "check_session",
    "check_sink",
    "nothing_left",
    "pair",
]

PATIENCE: Final = 5.0  # seconds of real time that a sponsor, or a close(), may take before the clock goes on
LEAVE: Final = 0.2  # seconds of real time for a call that was answered to leave its object
SETTLE: Final = 2.0  # seconds
NUMBERS: Final = itertools.count(1)


# --- time ---------------------------------------------------------------------------------------------------


class VirtualClock:
    """Time that stands until it is moved: ``rpcx.Host(clock=clock)``, ``clock.advance(300)``.

    It goes from one thing that is due to the next. What happens there is over before it goes on: sponsors have
    answered, objects that ended are closed. So a test sees what 300 seconds would have brought, in order, in no time.
    Calls, their deadlines and connections keep real time: they wait for something that really happens.

    Args:
        patience: seconds of real time that a sponsor or a ``close`` may take; then the clock goes on, and a sponsor
            that has not answered by its deadline counts as silent.
    """

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._now = 1000.0  # monotonic seconds; not 0, so that nobody takes it for one
        self._patience = patience
        self._timed: list[weakref.ref[Timed]] = []
        self._acting = threading.Lock()  # around asking what is due and doing it: drivers do so too
        self._under_way: set[object] = set()  # a token for each thing that began and is not over
        self._changed = threading.Condition()  # guards the above and the below
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass; what is due until then has happened when it returns.

        Raises:
            RuntimeError: this is a loop's thread, where what happens could not; await `advance_async`.
        """
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("this thread runs an event loop: await clock.advance_async(...)")
        for _ in self._steps(seconds):
            with self._changed:
                self._changed.wait_for(lambda: not self._under_way, self._patience)
                self._under_way.clear()
            deadline = time.monotonic() + LEAVE
            while self._leaves() and time.monotonic() < deadline:
                time.sleep(0.0005)

    async def advance_async(self, seconds: float) -> None:
        """The same in a loop."""
        loop = asyncio.get_running_loop()
        for _ in self._steps(seconds):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._over(loop)
            self._under_way.clear()
            deadline = time.monotonic() + LEAVE
            while self._leaves() and time.monotonic() < deadline:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.0005)

    def _leaves(self) -> bool:
        """Whether a call is over for its caller and not for its object: that takes a moment more, of a thread."""
        return any(getattr(each, "leaving", bool)() for ref in self._timed if (each := ref()) is not None)

    async def _over(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._changed:
                if not self._under_way:
                    return
                changed = loop.create_future()
                self._waiting.append((loop, changed))
            await changed

    def _steps(self, seconds: float) -> Iterator[None]:
        """Yields where what is under way has to end first."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f"advance({seconds!r}): a clock goes forward, and not for ever")
        target = self._now + seconds
        yield
        while self._act(target):
            yield
        self._now = target

    def _act(self, target: float) -> bool:
        """Go to what is due next, and do it. False: nothing is, until ``target``."""
        with self._acting:
            timed = [each for ref in self._timed if (each := ref()) is not None]
            due = min((when for each in timed if (when := each.due()) is not None), default=math.inf)
            if due > target:
                return False
            self._now = max(self._now, due)
            for each in timed:
                _tick(each, self._now)
            return True

    def timed(self, timed: Timed) -> "Timed":
        """For drivers: what to ask in place of ``timed``; see `rpcx.abc.Timekeeper`."""
        self._timed.append(weakref.ref(timed))
        return _Standing(self, timed)

    def begun(self) -> Callable[[], None]:
        """For hosts: something began that takes real time; see `rpcx.abc.Timekeeper`."""
        token = object()
        with self._changed:
            self._under_way.add(token)

        def over() -> None:
            with self._changed:
                self._under_way.discard(token)
                self._changed.notify_all()
                waiting, self._waiting = self._waiting, []
            for loop, changed in waiting:
                with contextlib.suppress(RuntimeError):  # the loop was closed
                    loop.call_soon_threadsafe(_wake, changed)

        return over

    def __repr__(self) -> str:
        return f"<VirtualClock {self._now:g} s, {len(self._under_way)} under way>"


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _tick(timed: Timed, now: float) -> None:
    due = timed.due()
    if due is not None and due <= now:
        timed.tick(now)


class _Standing:
    """What a driver asks: it is only due when the clock has come so far, as after a release."""

    def __init__(self, clock: VirtualClock, timed: Timed) -> None:
        self._clock = clock
        self._timed = timed

    def due(self) -> float | None:
        due = self._timed.due()
        return 0.0 if due is not None and due <= self._clock() else None

    def tick(self, now: float) -> None:  # the driver's time, which is not this clock's
        with self._clock._acting:
            _tick(self._timed, self._clock())


# --- both ends ----------------------------------------------------------------------------------------------


class _Both:
    """What pairs under threads and in a loop have in common."""

    def __init__(self, host: Host, options: dict[str, Any]) -> None:
        self.host = host
        self.url = f"inproc://pair-{next(NUMBERS)}"  # for more clients
        self._options = options

    @property
    def clock(self) -> VirtualClock:
        """The host's.

        Raises:
            TypeError: the host was made with a clock that runs by itself.
        """
        clock = self.host._realm.clock
        if not isinstance(clock, VirtualClock):
            raise TypeError(
                "this host's clock runs by itself; make it with rpcx.Host(clock=rpcx.testing.VirtualClock())"
            )
        return clock

    def _cut(self, client: Connector) -> None:
        lost = ConnectionLost("the test cut it")
        for end, pump in ((self.host, self.host._pump or self.host._aio), (client, client._pump)):
            for endpoint in list(end._realm.endpoints):
                if endpoint.holder == client._holder and pump is not None:
                    pump.evict(endpoint, lost)


class Pair(_Both):
    """A host and a client, joined in memory. Made by `pair`.

    Attributes:
        host: the `rpcx.Host`.
        server: the client's `rpcx.Server`; within ``with``.
        url: for more clients.
        clock: the host's `VirtualClock`.
    """

    server: Server

    def __init__(self, host: Host, options: dict[str, Any]) -> None:
        super().__init__(host, options)
        self._opened = ExitStack()
        self._in_loop: AsyncPair | None = None  # set within `async with`

    def connect(self, **options: Any) -> Server:  # of rpcx.connect
        """One more client; it is closed with the others."""
        return self._opened.enter_context(connect(self.url, **{**self._options, **options}))

    def cut(self, server: Server | None = None) -> None:
        """Break the connection without a goodbye, as a network or a dying client does; both ends know it at once.

        What the client held is released when the grace time has passed. If it makes another call before, it connects
        anew and has all of it again.
        """
        self._cut(server or self.server)

    def __enter__(self) -> Self:
        self.host.listen(self.url)
        self._opened.enter_context(self.host)
        try:
            self.server = self.connect()
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._opened.close()

    async def __aenter__(self) -> "AsyncPair":
        self._in_loop = AsyncPair(self.host, self._options)
        return await self._in_loop._open()

    async def __aexit__(self, *exc_info: object) -> None:
        if self._in_loop is not None:
            await self._in_loop._opened.aclose()


class AsyncPair(_Both):
    """The same in a loop: ``async with pair(Bank) as both``."""

    server: aio.AsyncServer

    def __init__(self, host: Host, options: dict[str, Any]) -> None:
        super().__init__(host, options)
        self._opened = AsyncExitStack()

    async def connect(self, **options: Any) -> aio.AsyncServer:  # of rpcx.aio.connect
        """One more client; it is closed with the others."""
        return await self._opened.enter_async_context(aio.connect(self.url, **{**self._options, **options}))

    def cut(self, server: aio.AsyncServer | None = None) -> None:
        """See `Pair.cut`."""
        self._cut(server or self.server)

    async def _open(self) -> Self:
        self.host.listen(self.url)
        await self._opened.enter_async_context(self.host)
        try:
            self.server = await self.connect()
        except BaseException:
            await self._opened.aclose()
            raise
        return self


def pair(*classes: type, host: Host | None = None, **options: Any) -> Pair:  # of rpcx.connect
    """Join a host and a client in memory.

    ``with pair(Bank) as both`` has threads, ``async with pair(Bank) as both`` has both ends in the loop that runs.
    Values are copied, arguments checked, references counted and leases run as between processes.

    Args:
        classes: registered with the host.
        host: one that is not started yet, with what it needs; default: a new one, whose clock is a `VirtualClock`.
        options: of `rpcx.connect` or `rpcx.aio.connect`.
    """
    if host is None:
        host = Host(clock=VirtualClock())
    host.register(*classes)
    return Pair(host, options)


# --- nothing is left ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def nothing_left(*, settle: float = SETTLE) -> Iterator[None]:
    """Fails if a host or a connection that was opened within is still open: `close` it, or use ``with``.

    Args:
        settle: seconds of real time for what was dropped to be closed by others.

    Raises:
        AssertionError: names what was left.
    """
    before = open_ends()
    yield
    deadline = time.monotonic() + settle
    while left := [end for end in open_ends() if not any(end is known for known in before)]:
        if time.monotonic() > deadline:
            raise AssertionError(f"not closed: {', '.join(sorted(map(repr, left)))}")
        gc.collect()  # what nobody knows any more is closed by its finalizer, in a thread
        time.sleep(0.005)


def open_ends() -> list[object]:
    """The hosts that listen or run, and the connections, of this process."""
    owners = (realm.owner for realm in open_realms())
    return [end for end in owners if isinstance(end, Host | Connector) and end.is_open]
