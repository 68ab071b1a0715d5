"""The call that runs now, and how further calls are made from here.

Inside a remote method `peer`, `deadline`, `uri`, `method` and `cancelled` tell about the call being served
(``rpcx.context.peer``); outside of one they raise LookupError. ``peer`` is who calls, as its channel found out:
``principal``, ``roles``, ``owner`` and the rest of `rpcx.abc.PeerFacts`. `check` and `options` are part of the
public API as ``rpcx.check`` and ``rpcx.options``.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

from rpcx.abc import PeerFacts
from rpcx.errors import Cancelled
from rpcx.messages import DEFAULT_TIMEOUT

LATE: Final = 0.25  # seconds past a deadline before it counts here: the caller's clock decides, and it tells
DEEPEST: Final = 32  # calls that may call back within one another (security: confused ping-pong)


class CurrentCall(Protocol):
    """What is known about the call a method serves."""

    @property
    def peer(self) -> PeerFacts: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def uri(self) -> str: ...
    @property
    def method_name(self) -> str: ...
    @property
    def cancelled(self) -> bool: ...
    @property
    def depth(self) -> int: ...


serving: Final[ContextVar[CurrentCall | None]] = ContextVar("rpcx.serving", default=None)
timeouts: Final[ContextVar[float | None]] = ContextVar("rpcx.timeout", default=DEFAULT_TIMEOUT)

peer: PeerFacts  # who calls, and what it may be trusted with
deadline: float | None  # monotonic seconds at which the caller gives up; None: never
uri: str  # the object's
method: str  # the method's name on the wire
cancelled: bool  # whether the caller gave up


def __getattr__(name: str) -> object:
    if name not in ("peer", "deadline", "uri", "method", "cancelled"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    call = serving.get()
    if call is None:
        raise LookupError(f"rpcx.context.{name} exists only inside a remote method, while it serves a call")
    return getattr(call, "method_name" if name == "method" else name)


def check() -> None:
    """Raise `Cancelled` once the caller gave up or its deadline passed; for long sync methods, in their loops.

    Outside of a remote method it does nothing, so that code can be shared.
    """
    call = serving.get()
    if call is None:
        return
    if call.cancelled:
        raise Cancelled(f"the caller gave up {call.uri}.{call.method_name}", executed="maybe")
    if call.deadline is not None and time.monotonic() > call.deadline + LATE:
        raise Cancelled(f"the deadline of {call.uri}.{call.method_name} passed", executed="maybe")


@contextmanager
def options(*, timeout: float | None) -> Iterator[None]:
    """Calls made inside take at most ``timeout`` seconds each (None: no limit).

    For a stream it is the longest wait for one item. A call made from within a remote method never outlives
    the deadline of the call being served.
    """
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout={timeout!r}: a number of seconds above 0, or None for no limit")
    token = timeouts.set(timeout)
    try:
        yield
    finally:
        timeouts.reset(token)


def remaining() -> float | None:
    """Seconds the next call may take: from `options`, cut by the deadline of the call being served."""
    timeout = timeouts.get()
    call = serving.get()
    if call is None or call.deadline is None:
        return timeout
    left = max(call.deadline - time.monotonic(), 0.001)
    return left if timeout is None else min(timeout, left)
