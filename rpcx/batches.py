"""Many calls in one frame: recorded, sent together, answered together."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from rpcx.errors import ProtocolError
from rpcx.remoting.contract import Contract
from rpcx.remoting.outgoing import BatchCall
from rpcx.remoting.pending import LightFuture
from rpcx.remoting.proxy import Proxy
from rpcx.remoting.references import Reference


class Batch:
    """Records calls; see `batch`. What is its own begins with an underscore, as no remote method's name does."""

    def __init__(self, reference: Reference, contract: Contract | None) -> None:
        self._reference = reference
        self._calls: list[BatchCall] = []
        self._futures: list[LightFuture] = []
        self._contract = contract

    def __getattr__(self, name: str) -> Callable[..., "Future[Any]"]:
        method = self._contract.methods.get(name) if self._contract is not None else None
        if method is None or method.streams:
            kind = self._contract.name if self._contract is not None else "object"
            raise AttributeError(f"{kind} has no remote method {name!r} that can be part of a batch")

        def record(*args: object, **kwargs: object) -> Future[Any]:
            future = LightFuture()
            self._calls.append((method, args, kwargs))
            self._futures.append(future)
            return future

        self.__dict__[name] = record  # found at once from now on
        return record

    def _send(self) -> None:
        """Send what was recorded in one frame, and wait for the answers."""
        endpoint: Any = self._reference.endpoint  # an Endpoint, which also sends batches
        if endpoint.calls_pass_sinks:
            self._send_apart(endpoint)
            return
        try:
            answers = endpoint.batch(self._reference, self._calls)
        except BaseException as error:
            self._fail(error)
            raise
        self._settle(endpoint, *answers)

    def _send_apart(self, endpoint: Any) -> None:  # an Endpoint
        """Message sinks see calls one by one, so they leave as such; together all the same."""
        sent = [endpoint.future(self._reference, *call) for call in self._calls]
        for future, answer in zip(self._futures, sent, strict=True):
            error = answer.exception()
            future.settle(answer.result() if error is None else None, error)

    def _fail(self, error: BaseException) -> None:
        """None of its calls was answered."""
        for future in self._futures:
            future.settle(None, error)

    def _settle(self, endpoint: Any, values: list[Any], faults: list[Any]) -> None:  # an Endpoint
        """Hand the answers to the futures."""
        if len(values) != len(self._futures):
            raise ProtocolError(f"a batch of {len(self._futures)} calls was answered {len(values)} times")
        failed = dict(faults)
        for index, ((method, _, _), future, value) in enumerate(zip(self._calls, self._futures, values, strict=True)):
            try:
                if index in failed:
                    raise endpoint.fault_of(failed[index])
                checked = method.result(value)
            except Exception as error:  # noqa: BLE001  # it is the future's outcome
                future.settle(None, error)
            else:
                future.settle(checked, None)


@contextmanager
def batch(proxy: Any) -> Iterator[Any]:  # a proxy; a recorder with its methods
    """Record calls on ``proxy`` and send them in one frame at the end of the block.

    Each recorded call returns a future, done when the block has ended. The calls run one after the other; one
    that raises stops no other.
    """
    if not isinstance(proxy, Proxy):
        raise TypeError(f"rpcx.batch({proxy!r}): a remote object's proxy is needed")
    recorder = Batch(proxy._rpcx_ref, proxy._rpcx_contract)  # of our proxies
    yield recorder
    if recorder._calls:
        recorder._send()
