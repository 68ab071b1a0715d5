"""Waiting for the answer to a call in an event loop, and what is raised when it did not come: whatever the protocol.

Threads wait through their link (`rpcx.abc.Link.wait`), which may have them read the connection themselves.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rpcx.abc import PeerFacts
from rpcx.errors import CallTimeout
from rpcx.remoting.contract import Method
from rpcx.remoting.pending import Pending
from rpcx.remoting.references import Reference

if TYPE_CHECKING:
    import asyncio  # at run time only where something is awaited: importing it takes 46 ms


async def arrival(
    pending: Pending,
    timeout: float | None,  # noqa: ASYNC109  # checked by the caller
    in_loop: Callable[[Any, Callable[..., object], object], None],
    give_up: Callable[[Any], object],
) -> None:
    """Await that ``pending`` has arrived, at most ``timeout`` seconds; whoever calls looks whether it has.

    Args:
        pending: the answer; its call was sent.
        timeout: seconds; None waits for ever.
        in_loop: `rpcx.abc.Link.in_loop`.
        give_up: told ``pending`` when this is cancelled.
    """
    from asyncio import get_running_loop

    loop = get_running_loop()
    arrived = loop.create_future()
    pending.callback = lambda _: in_loop(loop, wake, arrived)
    if pending.arrived:
        return
    timer = loop.call_later(timeout, wake, arrived) if timeout is not None else None
    try:
        await arrived
    except BaseException:
        give_up(pending)
        raise
    finally:
        if timer is not None:
            timer.cancel()


def wake(future: "asyncio.Future[None]") -> None:
    """Wake whoever awaits ``future``; in its loop."""
    if not future.done():
        future.set_result(None)


def timed_out(ref: Reference, method: Method, timeout: float | None, peer: PeerFacts) -> CallTimeout:
    """What is raised when the answer did not come within ``timeout`` seconds."""
    return CallTimeout(
        f"{ref.uri}.{method.name} did not answer within {timeout or 0:g} s ({peer}); it may have run. "
        "Allow more with rpcx.options(timeout=...)",
        uri=ref.uri, method=method.name, peer=str(peer), executed="maybe",
    )  # fmt: skip


def tell(done: Callable[[Any, Exception | None], None], result: Callable[[], Any]) -> None:
    """Call ``done(value, error)`` with what ``result()`` returns, or raises."""
    try:
        value = result()
    except Exception as error:  # noqa: BLE001  # handed on
        done(None, error)
    else:
        done(value, None)
