"""A contract with everything that is hard about writing stubs; `bank_async.py` is made of it."""

import collections.abc
import datetime as dt
import enum
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Optional, Self, TypeVar, Union, overload

from pydantic import Field

import rpcx
from tests.stubs import people
from tests.stubs.people import Handler, Listeners
from tests.stubs.people import Status as Elsewhere

if TYPE_CHECKING:
    from tests.stubs.people import Address

T = TypeVar("T")
A = TypeVar("A", bound="Account")
Accounts = list["Account"]
Ticks = Iterator[int]


class Status:
    """By value."""


class Color(enum.Enum):
    """By value."""

    RED = "r"
    BLUE = "b"


class Shared:
    """Not remote, but for what is marked."""

    @rpcx.method
    def inherited(self, of: "Account") -> Status:
        """From a base that is not remote."""
        return Status()

    def not_remote(self) -> None: ...


@rpcx.client_activated
class Account(Shared):
    """One's money. \\d is no escape, and it ends "quoted"."""

    LIMIT = 100

    class Entry:
        """By value, and only known within."""

    def __init__(self, owner: str, balance: int = 0, *, color: Color = Color.RED) -> None:
        """Open it."""
        self.owner, self.balance, self.color = owner, balance, color

    def deposit(
        self,
        amount: int = LIMIT,
        /,
        note: Literal["a", 'b"c', "it's"] = "it's",
        *more: int,
        by: Optional[str] = None,  # noqa: UP045  # as it is still written
        **rest: float,
    ) -> int:
        """Put money in; the new balance.

        Args:
            amount: how much.
        """
        self.balance += amount + sum(more)
        return self.balance

    @property
    def total(self) -> int:
        """All of it."""
        return self.balance

    @total.setter
    def total(self, value: float) -> None:
        self.balance = int(value)

    @total.deleter
    def total(self) -> None:
        self.balance = 0

    @functools.cached_property
    def twin(self) -> "Account":
        return Account(self.owner)

    def entries(self) -> "list[Entry]":
        return []

    def me(self) -> Self:
        return self

    async def slow(self) -> "dict[str, Account | None]":
        return {"me": self, "nobody": None}

    @rpcx.oneway
    def audit(self, line):
        """No annotation."""

    @overload
    def some(self, a: int) -> int: ...
    @overload
    def some(self, a: "Account") -> "Account": ...
    def some(self, a: Any) -> Any:
        """What it is given."""
        return a


@rpcx.remote
class Savings(Account):
    """Inherits a contract."""

    def rate(self, years: Union[int, None] = None) -> float:  # noqa: UP007  # as it is still written
        return 1.5 * (years or 1)

    def entries(self) -> "list[Account.Entry]":
        return []


@rpcx.singleton("bank")
class Bank:
    """Not all of it."""

    def open(self, owner: str) -> Account:
        return Account(owner)

    def all(self) -> "Accounts":
        return [Account("ann"), Savings("bob")]

    def total_of(
        self,
        one: Account,
        several: list[Account],
        any_of: Sequence["Account"] = (),
        by_name: Mapping[str, Account] | None = None,
    ) -> int:
        return one.balance + sum(each.balance for each in [*several, *any_of, *(by_name or {}).values()])

    def listen(
        self, listener: people.Listener, several: Listeners, *, handler: Handler | None = None
    ) -> Callable[[Account], Account]:
        """Tell them."""
        listener.told("once")
        return lambda account: account

    def apply(
        self,
        make: Callable[[str], Account],
        ask: Callable[..., Awaitable[int]],
        then: collections.abc.Callable[[int], None],
    ) -> Account:
        account = make("carl")
        then(account.deposit(1))
        return account

    def ticks(self, n: int) -> Iterator[int]:
        yield from range(n)

    def more(self) -> Ticks:
        yield 1

    def accounts(self) -> Generator[Account, None, None]:
        yield Account("dora")

    async def later(self) -> AsyncIterator[Annotated["Account", Field()]]:
        yield Account("emil")

    def bare(self):
        yield 1

    def when(self, day: dt.date, at: list["Address"], pair: tuple[int, ...] = (), none: tuple[()] = ()) -> "Address":
        return at[0]

    def status(self, other: Elsewhere) -> Status:
        return Status()

    def key(self, of=lambda x: x) -> None: ...

    def same(self, x: T) -> T:
        return x

    def among(self, x: A) -> Annotated[list[A], "two words"]:
        return [x]


@rpcx.remote
class Source(Generic[T]):
    """Only gives."""

    def get(self) -> Sequence[T]:
        raise NotImplementedError


@rpcx.remote
class Drain(Generic[T]):
    """Only takes."""

    def put(self, x: T | None, of: Callable[[], T] | None = None) -> None: ...


@rpcx.remote
class Box(Generic[T]):
    """Takes and gives."""

    def put(self, x: T) -> None: ...
    def get(self) -> T:
        raise NotImplementedError

    def boxes(self) -> "list[Box[T]]":
        return []


@rpcx.remote
class IntBox(Box[int]):
    """Of one kind."""

    def take(self, other: Box[int]) -> None: ...


@rpcx.client_activated
@dataclass
class Counter:
    """Its constructor is made by code."""

    name: str
    start: "int | None" = None
    steps: list[int] = field(default_factory=list)

    def up(self) -> int:
        return (self.start or 0) + 1


@rpcx.client_activated
@dataclass(kw_only=True)
class Timer(Counter):
    """Likewise, and some of it is said by its base."""

    seconds: float = 1.0


def outside(self: object, x: int) -> int:
    """Defined outside of its class."""
    return x


@rpcx.remote
class Patched:
    """Has a function that was defined elsewhere."""

    method = outside
