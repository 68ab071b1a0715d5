"""Proxies: what a remote object looks like here.

For each contract two classes are made once, one whose methods return values and one whose methods return
awaitables. A method is a plain function that hands its arguments to the endpoint, so an attribute costs a
dictionary look-up, and what is not in the contract is an AttributeError here, without traffic.

A proxy passes for an instance of the remote class (``isinstance(proxy, Bank)``), since code that is written
for the class should not have to know.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from rpcx.errors import ContractMismatch
from rpcx.remoting.contract import Contract, Marks, Method, MethodKind
from rpcx.remoting.references import Reference

Flavour = Literal["sync", "async"]

ENTRY: Final = "_rpcx_entry"  # attribute of a proxy's function: the Method it calls


class Proxy:
    """Base of all proxies. Its own names begin with ``_rpcx``, so that a contract may use any other."""

    __slots__ = ("__weakref__", "_rpcx_ref")
    _rpcx_ref: Reference
    _rpcx_contract: Contract | None = None
    _rpcx_flavour: Flavour = "sync"

    def __init__(self, reference: Reference) -> None:
        object.__setattr__(self, "_rpcx_ref", reference)

    def _rpcx_cast(self, contract: Contract) -> "Proxy":
        """The same object seen through another contract that it fulfils, if it says so."""
        mine = self._rpcx_contract
        if mine is contract or contract.name not in self._rpcx_ref.names:
            return self
        self._rpcx_ref.expected = contract
        return proxy_class(contract, self._rpcx_flavour)(self._rpcx_ref)

    def _rpcx_as(self, flavour: Flavour) -> "Proxy":
        """The same object for sync or for async code."""
        return self if flavour == self._rpcx_flavour else make_proxy(self._rpcx_ref, flavour, self._rpcx_contract)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Proxy):
            return NotImplemented
        mine, yours = self._rpcx_ref, other._rpcx_ref
        return mine is yours or (mine.uri == yours.uri and mine.endpoint is yours.endpoint)

    def __hash__(self) -> int:
        return hash(self._rpcx_ref.uri)

    def __repr__(self) -> str:
        contract = self._rpcx_contract
        name = contract.name if contract is not None else "object"
        reference: Reference = self._rpcx_ref
        return f"<{name} {reference.uri} at {reference.endpoint.facts}>"

    def __reduce__(self) -> Any:
        raise TypeError("a proxy cannot be pickled; pass it as an argument of a remote call, or pass its URL")


class SyncProxy(Proxy):
    """For code that waits."""

    __slots__ = ()

    def __enter__(self) -> "SyncProxy":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._rpcx_ref.release()


class AsyncProxy(Proxy):
    """For code that awaits."""

    __slots__ = ()
    _rpcx_flavour: Flavour = "async"

    async def __aenter__(self) -> "AsyncProxy":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._rpcx_ref.release()


class _Dynamic:
    """Methods of an object whose class this process does not know: any name is a call."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        asynchronous = isinstance(self, AsyncProxy)
        return functools.partial(_caller(dynamic_method(name), asynchronous=asynchronous), self)


class DynamicSyncProxy(_Dynamic, SyncProxy):
    """An object of a class that is not known here."""

    __slots__ = ()


class DynamicAsyncProxy(_Dynamic, AsyncProxy):
    """An object of a class that is not known here, for code that awaits."""

    __slots__ = ()


def make_proxy(reference: Reference, flavour: Flavour, contract: Contract | None = None) -> Proxy:
    """A proxy for ``reference``: of ``contract`` if given, else of the best class known here."""
    contract = contract or reference.contract()
    if contract is not None:
        return proxy_class(contract, flavour)(reference)
    if not reference.names:
        return function_class(flavour)(reference)
    return (DynamicSyncProxy if flavour == "sync" else DynamicAsyncProxy)(reference)


def proxy_class(contract: Contract, flavour: Flavour) -> type[Proxy]:
    """The class of proxies for ``contract``, made once."""
    made: type[Proxy] | None = contract.proxies.get(flavour)
    if made is None:
        made = contract.proxies[flavour] = _make_class(contract, flavour)
    return made


@functools.cache
def function_class(flavour: Flavour) -> type[Proxy]:
    """The class of proxies for functions."""
    base = SyncProxy if flavour == "sync" else AsyncProxy
    call = _caller(dynamic_method("__call__"), asynchronous=flavour == "async")
    made: Any = type("RemoteFunction", (base,), {"__slots__": (), "__call__": call})
    return made  # type: ignore[no-any-return]  # a subclass of base


@functools.lru_cache(maxsize=1024)
def dynamic_method(name: str, *, streams: bool = False) -> Method:
    """An entry for a method whose contract is not known here: nothing is checked."""

    def function(self: object, *args: object, **kwargs: object) -> Any:  # a stand-in for what is not known
        raise NotImplementedError

    return Method(name, MethodKind.STREAM if streams else MethodKind.CALL, function, Marks(), name)


def _make_class(contract: Contract, flavour: Flavour) -> type[Proxy]:
    asynchronous = flavour == "async"
    namespace: dict[str, Any] = {"__slots__": (), "__doc__": contract.cls.__doc__}
    accessors: dict[str, dict[MethodKind, Method]] = {}
    for method in contract.methods.values():
        if method.kind in (MethodKind.CALL, MethodKind.STREAM):
            namespace[method.name] = _caller(method, asynchronous=asynchronous)
        else:
            accessors.setdefault(method.name.partition(".")[0], {})[method.kind] = method
    for name, kinds in accessors.items():
        namespace[name] = _remote_property(name, kinds, asynchronous=asynchronous)
    if "close" not in namespace:
        namespace["close"] = _close
    # What an annotation calls this object: isinstance() looks here when type() is something else.
    namespace["__class__"] = property(lambda _: contract.cls)
    namespace["_rpcx_contract"] = contract
    base = AsyncProxy if asynchronous else SyncProxy
    made: Any = type(f"{contract.name}Proxy", (base,), namespace)
    return made  # type: ignore[no-any-return]  # a subclass of base


def _close(self: Proxy) -> None:
    """Give the reference back."""
    self._rpcx_ref.release()


def _caller(method: Method, *, asynchronous: bool) -> Callable[..., Any]:
    """The function of a proxy that calls ``method``."""
    if method.streams:

        def call(self: Any, /, *args: object, **kwargs: object) -> Any:  # a Proxy
            ref = self._rpcx_ref
            return ref.endpoint.stream(ref, method, args, kwargs, asynchronous=asynchronous)

    elif asynchronous:

        def call(self: Any, /, *args: object, **kwargs: object) -> Any:
            ref = self._rpcx_ref
            return ref.endpoint.call_async(ref, method, args, kwargs)

    elif method.oneway:

        def call(self: Any, /, *args: object, **kwargs: object) -> Any:
            ref = self._rpcx_ref
            return ref.endpoint.oneway(ref, method, args, kwargs)

    else:

        def call(self: Any, /, *args: object, **kwargs: object) -> Any:
            ref = self._rpcx_ref
            return ref.endpoint.call(ref, method, args, kwargs)

    call.__name__ = method.name
    call.__qualname__ = method.where
    call.__doc__ = method.function.__doc__
    setattr(call, ENTRY, method)
    return call


def _remote_property(name: str, kinds: dict[MethodKind, Method], *, asynchronous: bool) -> property:
    getter, setter, deleter = (kinds.get(k) for k in (MethodKind.GET, MethodKind.SET, MethodKind.DEL))
    read = _caller(getter, asynchronous=asynchronous) if getter else None
    if asynchronous:
        return property(
            read,
            functools.partial(_assign, setter) if setter else None,
            functools.partial(_assign, deleter) if deleter else None,
            f"Await the remote property {name!r}; see rpcx.aio.assign for assignment.",
        )
    write = _caller(setter, asynchronous=False) if setter else None
    delete = _caller(deleter, asynchronous=False) if deleter else None
    return property(read, write, delete, getter.function.__doc__ if getter else None)


def _assign(method: Method, self: Any, *value: object) -> None:
    """``proxy.name = value`` in async code: sent at once and in order; an error is raised by the next call."""
    ref = self._rpcx_ref
    ref.endpoint.assign(ref, method, value)


def forwarding(proxy: Proxy) -> Mapping[str, Method]:
    """The table by which a proxy is itself called, when it was passed on to a third process.

    A reference belongs to the connection it came by, so this process stands in between and makes the call.
    """
    contract = proxy._rpcx_contract
    if contract is None:
        entry = dynamic_method("__call__")
        sources = {"__call__": entry} if callable(proxy) else {}
    else:
        sources = dict(contract.implemented_by(type(proxy)))
    return {name: _forwarding(method, asynchronous=isinstance(proxy, AsyncProxy)) for name, method in sources.items()}


def _forwarding(method: Method, *, asynchronous: bool) -> Method:
    function = method.function if method.name != "__call__" else _call_it
    marks = Marks(oneway=method.oneway, blocking=not asynchronous, idempotent=method.idempotent, allow=method.allow)
    made = Method(method.name, method.kind, function, marks, method.where)
    made.arguments, made.result = method.arguments, method.result
    made.is_async = asynchronous
    return made


def _call_it(self: Any, *args: object, **kwargs: object) -> Any:  # a remote function's proxy
    return self(*args, **kwargs)


def as_flavour(value: Any, flavour: Flavour) -> Any:  # plain data with proxies in it
    """The same data with proxies for sync or for async code."""
    if isinstance(value, Proxy):
        return value._rpcx_as(flavour)
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(as_flavour(item, flavour) for item in value)
    if type(value) is dict:
        return {key: as_flavour(item, flavour) for key, item in value.items()}
    return value


def target_of(function: Any) -> tuple[Reference, Method]:
    """The reference and method behind ``proxy.method``.

    Raises:
        TypeError: it is no method of a proxy.
    """
    proxy = getattr(function, "__self__", None)
    method = getattr(function, ENTRY, None)
    if method is None and isinstance(function, functools.partial):  # of a dynamic proxy
        proxy, method = function.args[0], getattr(function.func, ENTRY, None)
    if method is None and isinstance(function, Proxy):  # a remote function
        proxy, method = function, getattr(type(function).__call__, ENTRY, None)
    if not isinstance(proxy, Proxy) or not isinstance(method, Method):
        raise TypeError(f"{function!r} is no method of a remote object: pass proxy.method, without calling it")
    return proxy._rpcx_ref, method


def mismatch(reference: Reference, contract: Contract, reason: str) -> ContractMismatch:
    """The error for a proxy whose class differs from the object's."""
    return ContractMismatch(
        f"{reference.uri}: its class and {contract.name} here do not fit: {reason}", uri=reference.uri
    )
