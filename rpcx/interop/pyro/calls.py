"""The jobs that a Pyro5 client's requests become, besides plain calls: streams item by item, and batches."""

import inspect
from typing import Any, Final

from rpcx.context import serving
from rpcx.errors import Cancelled
from rpcx.interop.pyro.message import Message
from rpcx.remoting.contract import Method
from rpcx.remoting.dispatch import IncomingCall
from rpcx.remoting.objects import Entry

ENDED: Final = object()  # what an exhausted iterator gives


class PyroCall(IncomingCall):
    """A call that is to be answered."""

    def __init__(self, endpoint: Any, request: Message, entry: Entry, method: Method) -> None:  # a ServerSession
        super().__init__(endpoint, request.seq, entry, method)
        self.request = request


class Opening(PyroCall):
    """A call of a generator: answered by the id of a stream, from which the client fetches items."""

    def run(self) -> None:
        self._open()

    async def run_async(self) -> None:
        self._open()

    def _open(self) -> None:
        token = serving.set(self)
        instance: Any = ENDED
        try:
            instance = self.entry.enter()
            args, kwargs = self.method.arguments.fit(self.args, self.kwargs)
            made = self.method.function(instance, *args, **kwargs)
            items = aiter(made) if hasattr(made, "__aiter__") else iter(made)
            endpoint: Any = self.endpoint
            endpoint.open_stream(self, ServedStream(endpoint, self.entry, self.method, instance, items))
        except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
            if instance is not ENDED:
                self.entry.leave(instance)
            self.answer_fault(error)
        finally:
            serving.reset(token)


class ServedStream:
    """An iterator of ours that a client reads. Its object stays pinned until the stream ends."""

    def __init__(self, endpoint: Any, entry: Entry, method: Method, instance: Any, items: Any) -> None:
        self.endpoint = endpoint  # that opened it
        self.is_async = hasattr(items, "__anext__")  # a plain function may return either
        self.entry = entry
        self.method = method
        self.items = items
        self._instance = instance
        self._left = False

    def leave(self) -> None:
        """It has ended."""
        if not self._left:
            self._left = True
            self.entry.leave(self._instance)


class NextItem(PyroCall):
    """Fetches one item."""

    def __init__(self, endpoint: Any, request: Message, stream: ServedStream, name: str) -> None:
        super().__init__(endpoint, request, stream.entry, stream.method)
        self.is_async = stream.is_async
        self._stream = stream
        self._name = name

    def run(self) -> None:
        token = serving.set(self)
        try:
            item = next(self._stream.items, ENDED)
            if item is ENDED:
                raise StopIteration
            self.endpoint.answer(self, item)
        except BaseException as error:  # noqa: BLE001  # whatever a generator raises is its consumer's answer
            self._over(error)
        finally:
            serving.reset(token)

    async def run_async(self) -> None:
        token = serving.set(self)
        try:
            self.endpoint.answer(self, await anext(self._stream.items))
        except StopAsyncIteration:
            self._over(StopIteration())
        except BaseException as error:  # noqa: BLE001  # whatever a generator raises is its consumer's answer
            self._over(error)
        finally:
            serving.reset(token)

    def _over(self, error: BaseException) -> None:
        endpoint: Any = self.endpoint
        endpoint.daemon.drop_stream(self._name)
        self._stream.leave()
        self.answer_fault(error)


class CloseStream(IncomingCall):
    """Ends a generator: its ``finally`` runs."""

    def __init__(self, endpoint: Any, stream: ServedStream) -> None:
        super().__init__(endpoint, 0, stream.entry, stream.method)
        self.is_async = stream.is_async
        self._stream = stream

    def run(self) -> None:
        token = serving.set(self)
        try:
            if inspect.isgenerator(self._stream.items):
                self._stream.items.close()
        except BaseException as error:  # noqa: BLE001  # nobody awaits an answer
            self.endpoint.oneway_failures += 1
            self.log(error)
        finally:
            self._stream.leave()
            serving.reset(token)

    async def run_async(self) -> None:
        token = serving.set(self)
        try:
            if inspect.isasyncgen(self._stream.items):
                await self._stream.items.aclose()
        except BaseException as error:  # noqa: BLE001  # nobody awaits an answer
            self.endpoint.oneway_failures += 1
            self.log(error)
        finally:
            self._stream.leave()
            serving.reset(token)

    def log(self, error: BaseException) -> None:
        """Say that it failed, since nobody else will know."""
        import logging

        logging.getLogger("rpcx").warning("closing the generator of %s failed: %r", self.method.where, error)


class Batch(PyroCall):
    """Many calls on one object, one after the other; as in Pyro5, the first that raises is the last."""

    def __init__(self, endpoint: Any, request: Message, entry: Entry, steps: list[tuple[Method, Any, Any]]) -> None:
        super().__init__(endpoint, request, entry, steps[0][0])
        self._steps = steps
        self._results: list[object] = []
        self.is_async = any(method.is_async for method, _, _ in steps)
        self.blocking = any(method.blocking for method, _, _ in steps)

    def run(self) -> None:
        token = serving.set(self)
        try:
            for method, args, kwargs in self._steps:
                instance = self.entry.enter()
                try:
                    given, named = method.arguments.fit(args, kwargs)
                    self._results.append(method.function(instance, *given, **named))
                finally:
                    self.entry.leave(instance)
        except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
            self._failed(error)
        finally:
            serving.reset(token)
        self._done()

    async def run_async(self) -> None:
        token = serving.set(self)
        try:
            for method, args, kwargs in self._steps:
                instance = self.entry.enter()
                try:
                    given, named = method.arguments.fit(args, kwargs)
                    value = method.function(instance, *given, **named)
                    self._results.append(await value if method.is_async else value)
                finally:
                    self.entry.leave(instance)
        except BaseException as error:  # noqa: BLE001  # whatever a method raises is its caller's answer
            self._failed(error)
        finally:
            serving.reset(token)
        self._done()

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, Exception) and self.cancelled:
            error = Cancelled("the caller is gone")
        self._results.append(Failed(error))

    def _done(self) -> None:
        endpoint: Any = self.endpoint
        endpoint.answer_batch(self, self._results)


class Failed:
    """Stands for the result of a call in a batch that raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
