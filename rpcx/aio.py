"""rpcx in asyncio: the same contracts, awaited, in the loop that runs.

async with rpcx.aio.connect("pipe://bank") as server:
    bank = server.get(Bank, "bank")
    account = await bank.open("bob")
    async for tick in bank.ticks(10): ...

To type checkers ``bank`` is what was asked for: of `Bank` its methods are called by `call`, of the stub that ``rpcx
stubs`` writes for it, ``server.get(AsyncBank)``, they are awaited as they stand.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, Self, TypeVar, overload

from rpcx.abc import Authenticator, Job, Listener, PeerFacts, Session, Stream
from rpcx.batches import Batch
from rpcx.client import CONNECT_SECONDS, Connector
from rpcx.drivers.aio import AioPump
from rpcx.protocol.handshake import Limits
from rpcx.realm import FORMATTERS, secured
from rpcx.remoting.leases import HOST
from rpcx.remoting.proxy import Flavour, Proxy, target_of
from rpcx.remoting.stubs import Stub, stub_of
from rpcx.sinks.chain import Sink

__all__ = ["AsyncServer", "Stub", "assign", "batch", "call", "connect", "delete", "stub_of"]

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


class AsyncServer(Connector):
    """A connection to a host, in a running loop. May be shared by tasks."""

    flavour: Flavour = "async"

    def __init__(self, url: str, **options: Any) -> None:  # of Connector
        super().__init__(url, **options)
        self._pump: AioPump | None = None  # set while connected
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opening: asyncio.Lock  # set by open: one task at a time connects anew
        self._loop: asyncio.AbstractEventLoop  # set by open

    async def open(self) -> Self:
        """Connect; ``async with`` does it."""
        self._opening = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._pump = AioPump(self._accept)
        self._pump.time(self._realm)
        try:
            await self._open(self._pump)
        except BaseException:
            await self.close()
            raise
        return self

    async def _open(self, pump: AioPump) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                endpoint = await self._dial(pump)
        except TimeoutError:
            raise self._late() from None
        if endpoint.opened.error is not None:
            raise self._unopened(endpoint.opened.error)
        self._endpoint = endpoint
        endpoint.revive_async = self._reopen

    async def _dial(self, pump: AioPump) -> Any:  # an Endpoint, or what a Speaker has for it
        """A new connection, its handshake over or failed."""
        channel, stream = await pump.dial(self._reach)
        endpoint = self._session(channel, stream)
        arrived = asyncio.Event()
        endpoint.opened.callback = lambda _: arrived.set()
        await pump.add(stream, secured(stream, endpoint))
        await arrived.wait()
        return endpoint

    async def _reopen(self) -> None:
        """Connect anew after the connection was lost; see `rpcx.client.Server`."""
        async with self._opening:
            if self._pump is not None and self._connected().error is not None:
                await self._open(self._pump)

    def get(self, cls: Callable[..., T], uri: str | None = None) -> T:
        """A proxy for the object at ``uri``; no traffic until its first call, so nothing to await."""
        return self._proxy(cls, uri)  # type: ignore[no-any-return]  # a proxy passes for a T

    async def create(self, cls: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a client-activated object there, and own it: it ends with its proxy, or its lease."""
        endpoint, call = self._creation(cls, args, kwargs)
        return self._own(await endpoint.call_async(*call), cls)  # type: ignore[no-any-return]  # a proxy passes for a T

    async def describe(self) -> dict[str, Any]:  # plain data
        """What the host offers: facts, objects, classes, live leases."""
        endpoint = self._connected()
        query = endpoint.call_async(endpoint.host_reference(), HOST.methods["describe"], (), {})
        return await query  # type: ignore[no-any-return]  # checked against the annotation

    async def close(self) -> None:
        """Say goodbye and close; what is held through this connection is released. Twice is fine."""
        pump, self._pump = self._pump, None
        if pump is None:
            return
        for listener in self._listeners:
            pump.unlisten(listener)
            listener.close()
        disposals = self._realm.shut()
        await pump.close()
        for job in disposals:
            self._run(job)
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncServer {self.address}{' closed' if self._pump is None else ''}>"

    def _admit(self, listener: Listener, make: Callable[[PeerFacts], Session]) -> None:
        self._listeners[listener] = make
        if self._pump is not None:
            self._pump.listen(listener)

    def _join(self, stream: Stream, session: Session) -> bool:
        if self._pump is not None:
            self._loop.call_soon_threadsafe(self._join_in_loop, stream, session)
        return self._pump is not None

    def _join_in_loop(self, stream: Stream, session: Session) -> None:
        if self._pump is None:
            stream.close()
        else:
            self._keep(self._loop.create_task(self._pump.add(stream, session)))

    def _run(self, job: Job) -> None:
        if not job.is_async:
            job.run()
            return
        self._keep(asyncio.get_running_loop().create_task(job.run_async()))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Until it is done; a loop itself does not."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _rearm(self) -> None:
        if self._pump is not None:
            self._pump.rearm()


def connect(
    url: str,
    *,
    insecure: bool = False,
    timeout: float = CONNECT_SECONDS,  # seconds for the dial and handshake, as in rpcx.connect
    formatters: Sequence[str] = FORMATTERS,
    sinks: Sequence[Sink | str] = (),
    limits: Limits | None = None,
    authenticators: Sequence[Authenticator | str] = (),
) -> AsyncServer:
    """A connection to a host, made by ``async with`` or ``await ….open()``. See `rpcx.connect`."""
    return AsyncServer(
        url, insecure=insecure, timeout=timeout, formatters=formatters, sinks=sinks, limits=limits,
        authenticators=authenticators,
    )  # fmt: skip


@overload
async def call(fn: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
async def call(fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...
async def call(fn: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:  # see the overloads
    """Await ``proxy.method(...)``, typed: ``await rpcx.aio.call(bank.open, "bob")`` is an ``Account``."""
    reference, method = target_of(fn)
    return await reference.endpoint.call_async(reference, method, args, kwargs)


async def assign(proxy: object, name: str, value: object) -> None:
    """Set a remote property and await that it was set; ``proxy.name = value`` only sends it."""
    await _property(proxy, f"{name}.set", value)


async def delete(proxy: object, name: str) -> None:
    """Delete a remote property and await that it was."""
    await _property(proxy, f"{name}.del")


def _property(proxy: Any, entry: str, *value: object) -> Awaitable[Any]:  # a proxy
    contract = proxy._rpcx_contract if isinstance(proxy, Proxy) else None  # of our proxies
    method = contract.methods.get(entry) if contract is not None else None
    if method is None:
        raise AttributeError(f"{proxy!r} has no remote property that allows {entry!r}")
    reference = proxy._rpcx_ref  # of our proxies
    return reference.endpoint.call_async(reference, method, value, {})  # type: ignore[no-any-return]  # a coroutine


@asynccontextmanager
async def batch(proxy: Any) -> AsyncIterator[Any]:  # a proxy; a recorder with its methods
    """Record calls on ``proxy`` and send them in one frame; see `rpcx.batch`. The futures are awaitable too."""
    if not isinstance(proxy, Proxy):
        raise TypeError(f"rpcx.aio.batch({proxy!r}): a remote object's proxy is needed")
    recorder = Batch(proxy._rpcx_ref, proxy._rpcx_contract)  # of our proxies
    yield recorder
    if recorder._runs:
        await _send(recorder)


async def _send(recorder: Batch) -> None:
    endpoint: Any = recorder._reference.endpoint  # an Endpoint, which also sends batches
    if endpoint.calls_pass_sinks:
        for (method, args, kwargs), future in zip(recorder._calls(), recorder._futures, strict=True):
            try:
                future.settle(await endpoint.call_async(recorder._reference, method, args, kwargs), None)
            except Exception as error:  # noqa: BLE001  # it is the future's outcome
                future.settle(None, error)
        return
    try:
        recorder._answered(*await endpoint.batch_async(recorder._reference, recorder._runs))
    except BaseException as error:
        recorder._answers.failed(error)
        raise
