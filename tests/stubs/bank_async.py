"""Remote classes of tests.stubs.bank as async code sees them, made by `rpcx stubs tests.stubs.bank`.

Do not edit: what is changed here is lost when it is made anew.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Protocol,
    Self,
    TypeVar,
    overload,
)

from pydantic import Field

import rpcx.aio
from tests.stubs import people
from tests.stubs.bank import (
    A,
    Account,
    Bank,
    Box,
    Color,
    Counter,
    Drain,
    IntBox,
    Patched,
    Savings,
    Source,
    Status,
    T,
    Timer,
)
from tests.stubs.people import Listener
from tests.stubs.people import Status as Elsewhere

if TYPE_CHECKING:
    from tests.stubs.people import Address

T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


@rpcx.aio.stub_of(Account)
class AsyncAccount(rpcx.aio.Stub, Protocol):
    r"""One's money. \d is no escape, and it ends "quoted"."""

    def __init__(
        self,
        owner: str,
        balance: int = 0,
        *,
        color: Color = Color.RED,
    ) -> None:
        """Open it."""
        ...

    async def inherited(self, of: Account | AsyncAccount) -> Status:
        """From a base that is not remote."""
        ...

    async def deposit(
        self,
        amount: int = Account.LIMIT,
        /,
        note: Literal["a", 'b"c', "it's"] = "it's",
        *more: int,
        by: str | None = None,
        **rest: float,
    ) -> int:
        """Put money in; the new balance.

        Args:
            amount: how much.
        """
        ...

    @property
    def total(self) -> Awaitable[int]:
        """All of it."""
        ...

    @total.setter
    def total(self, value: float) -> None: ...

    @total.deleter
    def total(self) -> None: ...

    @property
    def twin(self) -> Awaitable[AsyncAccount]: ...

    async def entries(self) -> list[Account.Entry]: ...

    async def me(self) -> Self: ...

    async def slow(self) -> dict[str, AsyncAccount | None]: ...

    async def audit(self, line: Any) -> None:
        """No annotation."""
        ...

    @overload
    async def some(self, a: int) -> int:
        """What it is given."""
        ...

    @overload
    async def some(self, a: Account | AsyncAccount) -> AsyncAccount: ...


@rpcx.aio.stub_of(Savings)
class AsyncSavings(AsyncAccount, Protocol):
    """Inherits a contract."""

    async def entries(self) -> list[Account.Entry]: ...

    async def rate(self, years: int | None = None) -> float: ...


@rpcx.aio.stub_of(Bank)
class AsyncBank(rpcx.aio.Stub, Protocol):
    """Not all of it."""

    async def open(self, owner: str) -> AsyncAccount: ...

    async def all(self) -> list[AsyncAccount]: ...

    async def total_of(
        self,
        one: Account | AsyncAccount,
        several: list[Account] | list[AsyncAccount],
        any_of: Sequence[Account | AsyncAccount] = (),
        by_name: Mapping[str, Account] | Mapping[str, AsyncAccount] | None = None,
    ) -> int: ...

    async def listen(
        self,
        listener: people.Listener | AsyncListener,
        several: dict[str, Listener] | dict[str, AsyncListener],
        *,
        handler: Callable[[int], str] | Callable[[int], Awaitable[str]] | None = None,
    ) -> Callable[[Account | AsyncAccount], Awaitable[AsyncAccount]]:
        """Tell them."""
        ...

    async def apply(
        self,
        make: Callable[[str], Account | AsyncAccount] | Callable[[str], Awaitable[Account | AsyncAccount]],
        ask: Callable[..., int] | Callable[..., Awaitable[int]],
        then: collections.abc.Callable[[int], None] | collections.abc.Callable[[int], Awaitable[None]],
    ) -> AsyncAccount: ...

    def ticks(self, n: int) -> AsyncIterator[int]: ...

    def more(self) -> AsyncIterator[int]: ...

    def accounts(self) -> AsyncIterator[AsyncAccount]: ...

    def later(self) -> AsyncIterator[Annotated[AsyncAccount, Field()]]: ...

    def bare(self) -> AsyncIterator[Any]: ...

    async def when(
        self,
        day: dt.date,
        at: list[Address],
        pair: tuple[int, ...] = (),
        none: tuple[()] = (),
    ) -> Address: ...

    async def status(self, other: Elsewhere) -> Status: ...

    async def key(self, of: Any = lambda x: x) -> None: ...

    async def same(self, x: T) -> T: ...

    async def among(self, x: A) -> Annotated[list[A], "two words"]: ...


@rpcx.aio.stub_of(Source)
class AsyncSource(rpcx.aio.Stub, Protocol[T_co]):
    """Only gives."""

    async def get(self) -> Sequence[T_co]: ...


@rpcx.aio.stub_of(Drain)
class AsyncDrain(rpcx.aio.Stub, Protocol[T_contra]):
    """Only takes."""

    async def put(
        self,
        x: T_contra | None,
        of: Callable[[], T_contra] | Callable[[], Awaitable[T_contra]] | None = None,
    ) -> None: ...


@rpcx.aio.stub_of(Box)
class AsyncBox(rpcx.aio.Stub, Protocol[T]):
    """Takes and gives."""

    async def put(self, x: T) -> None: ...

    async def get(self) -> T: ...

    async def boxes(self) -> list[AsyncBox[T]]: ...


@rpcx.aio.stub_of(IntBox)
class AsyncIntBox(AsyncBox[int], Protocol):
    """Of one kind."""

    async def take(self, other: Box[int] | AsyncBox[int]) -> None: ...


@rpcx.aio.stub_of(Counter)
class AsyncCounter(rpcx.aio.Stub, Protocol):
    """Its constructor is made by code."""

    def __init__(
        self,
        name: str,
        start: int | None = ...,
        steps: list[int] = ...,
    ) -> None: ...

    async def up(self) -> int: ...


@rpcx.aio.stub_of(Timer)
class AsyncTimer(AsyncCounter, Protocol):
    """Likewise, and some of it is said by its base."""

    def __init__(
        self,
        name: str,
        start: int | None = ...,
        steps: list[int] = ...,
        *,
        seconds: float = ...,
    ) -> None: ...


@rpcx.aio.stub_of(Patched)
class AsyncPatched(rpcx.aio.Stub, Protocol):
    """Has a function that was defined elsewhere."""

    async def method(self: object, x: int) -> int:
        """Defined outside of its class."""
        ...


@rpcx.aio.stub_of(Listener)
class AsyncListener(rpcx.aio.Stub, Protocol):
    """Is told."""

    async def told(self, what: str) -> None: ...
