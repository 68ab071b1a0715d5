"""Many calls in one frame: recorded, sent together, answered together."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from rpcx.errors import ProtocolError
from rpcx.remoting.contract import Contract, Method
from rpcx.remoting.pending import LaterFuture
from rpcx.remoting.proxy import Proxy
from rpcx.remoting.references import Reference
from rpcx.remoting.runs import Run


class Answers:
    """What became of a batch's calls: fetched by their futures, once it is there."""

    def __init__(self) -> None:
        self.answered = False
        self.methods: list[Method] = []  # of each call
        self.endpoint: Any = None  # an Endpoint, which also sends batches; the answers came by it
        self._values: list[Any] = []
        self._failed: dict[int, Any] = {}  # index → fault
        self._error: BaseException | None = None  # why there are none
        self._watched: list[LaterFuture] = []  # futures that want to be told

    def came(self, values: list[Any], faults: list[Any]) -> None:
        """All were answered, in this way."""
        if len(values) != len(self.methods):
            raise ProtocolError(f"a batch of {len(self.methods)} calls was answered {len(values)} times")
        self._values, self._failed = values, dict(faults)
        self._tell()

    def failed(self, error: BaseException) -> None:
        """None was answered."""
        self._error = error
        self._tell()

    def _tell(self) -> None:
        self.answered = True
        for future in self._watched:
            future.look()

    def watch(self, future: LaterFuture) -> None:
        """Have ``future`` told. It looks itself afterwards: either of us sees what the other did."""
        self._watched.append(future)
        future.look()

    def outcome(self, index: int) -> tuple[object, BaseException | None]:
        """What the call returned, or raised."""
        if self._error is not None:
            return None, self._error
        try:
            if index in self._failed:
                raise self.endpoint.fault_of(self._failed[index])
            return self.methods[index].result(self._values[index]), None
        except Exception as error:  # noqa: BLE001  # it is the future's outcome
            return None, error


class Batch:
    """Records calls; see `batch`. What is its own begins with an underscore, as no remote method's name does."""

    def __init__(self, reference: Reference, contract: Contract | None) -> None:
        self._reference = reference
        self._runs: list[Run] = []
        self._answers = Answers()
        self._futures: list[LaterFuture] = []
        self._contract = contract

    def __getattr__(self, name: str) -> Callable[..., "Future[Any]"]:
        method = self._contract.methods.get(name) if self._contract is not None else None
        if method is None or method.streams:
            kind = self._contract.name if self._contract is not None else "object"
            raise AttributeError(f"{kind} has no remote method {name!r} that can be part of a batch")
        record = self._recorder(method)
        self.__dict__[name] = record  # found at once from now on
        return record

    def _recorder(self, method: Method) -> Callable[..., "Future[Any]"]:
        runs, answers, methods, futures = self._runs, self._answers, self._answers.methods, self._futures

        def record(*args: object, **kwargs: object) -> Future[Any]:
            future = LaterFuture(answers, len(methods))
            futures.append(future)
            methods.append(method)
            if not runs or not runs[-1].takes(method, args, kwargs):
                runs.append(Run(method, args, kwargs))
            return future

        return record

    def _send(self) -> None:
        """Send what was recorded in one frame, and wait for the answers."""
        endpoint: Any = self._reference.endpoint  # an Endpoint, which also sends batches
        if endpoint.calls_pass_sinks:
            self._send_apart(endpoint)
            return
        try:
            self._answered(*endpoint.batch(self._reference, self._runs))
        except BaseException as error:
            self._answers.failed(error)
            raise

    def _answered(self, values: list[Any], faults: list[Any]) -> None:
        self._answers.endpoint = self._reference.endpoint
        self._answers.came(values, faults)

    def _calls(self) -> Iterator[tuple[Method, tuple[object, ...], dict[str, object]]]:
        return ((run.method, args, run.kwargs) for run in self._runs for args in run.calls())

    def _send_apart(self, endpoint: Any) -> None:  # an Endpoint
        """Message sinks see calls one by one, so they leave as such; together all the same."""
        sent = [endpoint.future(self._reference, *call) for call in self._calls()]
        for future, answer in zip(self._futures, sent, strict=True):
            error = answer.exception()
            future.settle(answer.result() if error is None else None, error)


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
    if recorder._runs:
        recorder._send()
