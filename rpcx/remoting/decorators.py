"""The decorators.

`@remote`, `@singleton`, `@single_call` and `@client_activated` make a class remote; `@oneway` and `@method` say
more about one of its methods.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from rpcx.lifetime.lease import Lease
from rpcx.remoting.contract import DEFAULT_LEASE, MARK, Marks, Mode, build
from rpcx.remoting.rules import rule

C = TypeVar("C", bound=type[Any])  # Any: the instances' type does not matter to a class decorator
F = TypeVar("F", bound=Callable[..., Any])  # Any: decorators keep whatever signature they meet
T = TypeVar("T", bound=Callable[..., Any])  # a class or a function


@overload
def remote(cls: T, /) -> T: ...
@overload
def remote(
    *, name: str | None = None, blocking: bool = False, allow: Iterable[str] | None = None
) -> Callable[[T], T]: ...
def remote(
    cls: Any = None,  # see the overloads
    /,
    *,
    name: str | None = None,
    blocking: bool = False,
    allow: Iterable[str] | None = None,
) -> Any:
    """Instances travel by reference. On a method, the same as `method`.

    Args:
        cls: the class, when used without parentheses.
        name: the contract's name on the wire; default the class's.
        blocking: its methods take long: give each call a worker thread instead of trying it inline.
        allow: who may call besides the owner: roles, "principal:NAME", "*" (`rpcx.remoting.rules`); default nobody
            of what has a name, and who holds it of what was handed out.
    """

    def decorate(target: Any) -> Any:
        if not isinstance(target, type):
            return _mark(target, allow=allow, blocking=blocking)
        return build(target, Mode.REMOTE, name=name, blocking=blocking, allow=allow)

    return decorate if cls is None else decorate(cls)


def singleton(
    uri: str,
    /,
    *,
    lease: Lease | None = None,
    name: str | None = None,
    blocking: bool = False,
    allow: Iterable[str] | None = None,
) -> Callable[[C], C]:
    """One instance a host, made at the first call to ``uri`` and shared by all clients.

    Args:
        uri: where clients find it: ``tcp://host:port/uri``.
        lease: None lives as long as the host; with a lease it ends like any leased object, and the next
            call makes a new one.
        name: the contract's name on the wire; default the class's.
        blocking: its methods take long: give each call a worker thread.
        allow: who may call besides the owner: roles, "principal:NAME", "*" (`rpcx.remoting.rules`); default nobody
            of what has a name, and who holds it of what was handed out.
    """
    _check_uri(uri, "singleton")
    return lambda cls: build(cls, Mode.SINGLETON, uri=uri, lease=lease, name=name, blocking=blocking, allow=allow)  # type: ignore[return-value]  # the class itself


def single_call(
    uri: str, /, *, name: str | None = None, blocking: bool = False, allow: Iterable[str] | None = None
) -> Callable[[C], C]:
    """A new instance for each call to ``uri``, disposed (``close``, ``__exit__``, ``aclose``) after it.

    The arguments are `singleton`'s.
    """
    _check_uri(uri, "single_call")
    return lambda cls: build(cls, Mode.SINGLE_CALL, uri=uri, name=name, blocking=blocking, allow=allow)  # type: ignore[return-value]  # the class itself


@overload
def client_activated(cls: C, /) -> C: ...
@overload
def client_activated(
    *,
    lease: Lease | None = None,
    name: str | None = None,
    blocking: bool = False,
    allow: Iterable[str] | None = None,
) -> Callable[[C], C]: ...
def client_activated(
    cls: Any = None,  # see the overloads
    /,
    *,
    lease: Lease | None = None,
    name: str | None = None,
    blocking: bool = False,
    allow: Iterable[str] | None = None,
) -> Any:
    """Clients make instances with constructor arguments (`Server.create`) and own them through a lease.

    Args:
        cls: the class, when used without parentheses.
        lease: how long an instance lives; default `Lease()`: 300 s, renewed to 120 s by each call.
        name: the contract's name on the wire; default the class's.
        blocking: its methods take long: give each call a worker thread.
        allow: who may call besides the owner: roles, "principal:NAME", "*" (`rpcx.remoting.rules`); default nobody
            of what has a name, and who holds it of what was handed out.
    """

    def decorate(target: Any) -> Any:
        return build(
            target, Mode.CLIENT_ACTIVATED, lease=lease or DEFAULT_LEASE, name=name, blocking=blocking, allow=allow
        )

    return decorate if cls is None else decorate(cls)


def oneway(function: F, /) -> F:
    """No answer: the call returns when it was handed to the connection. Ordered per connection, best effort."""
    return _mark(function, oneway=True)


@overload
def method(function: F, /) -> F: ...
@overload
def method(
    *, oneway: bool = False, blocking: bool = False, idempotent: bool = False, allow: Iterable[str] | None = None
) -> Callable[[F], F]: ...
def method(
    function: Any = None,  # see the overloads
    /,
    *,
    oneway: bool = False,
    blocking: bool = False,
    idempotent: bool = False,
    allow: Iterable[str] | None = None,
) -> Any:
    """Say more about a remote method, or make one remote that is inherited from an undecorated class.

    Args:
        function: the method, when used without parentheses.
        oneway: no answer is awaited.
        blocking: it takes long: give it a worker thread at once.
        idempotent: running it twice does no harm, so a call whose fate is unknown may be sent again.
        allow: who may call it besides the owner, in place of what the class says. Of a property it stands below
            ``@property``, and holds for setting and deleting too unless those say their own.
    """

    def decorate(target: F) -> F:
        return _mark(target, allow=allow, oneway=oneway, blocking=blocking, idempotent=idempotent)

    return decorate if function is None else decorate(function)


def _mark(function: F, *, allow: Iterable[str] | None = None, **said: bool) -> F:
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"this decorator is for a method, not {function!r}; put it below @property")
    marks: Marks | None = getattr(function, MARK, None)
    if marks is None:
        marks = Marks()
        function.__dict__[MARK] = marks
    for name, value in said.items():
        setattr(marks, name, getattr(marks, name) or value)
    if allow is not None:
        marks.allow = rule(allow, getattr(function, "__qualname__", "a method"))
    return function


def _check_uri(uri: object, decorator: str) -> None:
    if not isinstance(uri, str) or not uri:
        raise TypeError(f'@rpcx.{decorator}("name") needs the uri under which clients find it')
