"""Stubs: what a remote class looks like to async code, for type checkers.

No Python type says "`Bank`, every method awaitable". A stub does, for one class: a Protocol in a file that ``rpcx
stubs`` writes. At run time it only knows whose stub it is: the proxies are the class's own, and so is the contract.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, Self, TypeVar

from rpcx.errors import InvalidArguments
from rpcx.remoting.contract import Contract, contract_of
from rpcx.remoting.proxy import Flavour

C = TypeVar("C", bound=Callable[..., Any])  # a class; type[Any] would refuse Protocols

STUB: Final = "__rpcx_stub_of__"  # attribute of a stub: the contract
SCHEMA: Final = "__get_pydantic_core_schema__"  # how pydantic checks what is annotated with a class


class Stub(Protocol):
    """What the proxies of async code have besides: ``async with bank:`` gives the reference back at the end."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Give the reference back."""


def stub_of(cls: Callable[..., object]) -> Callable[[C], C]:
    """``@stub_of(Bank) class AsyncBank(Stub, Protocol)``: stands for `Bank` where async code says what it wants.

    Raises:
        TypeError: ``cls`` is no remote class.
    """
    contract = contract_of(cls)
    if contract is None:
        raise TypeError(f"stub_of({cls!r}): it is no remote class")

    def decorate(stub: C) -> C:
        setattr(stub, STUB, contract)
        # An async service may say so of what it is given: it is checked as the class itself would be.
        setattr(stub, SCHEMA, getattr(contract.cls, SCHEMA))
        return stub

    return decorate


def asked_for(cls: Any, what: str, flavour: Flavour) -> Contract:  # whatever was given as a class
    """The contract of what a client asks for: of a remote class; where it awaits, also of what is a stub of one.

    Raises:
        InvalidArguments: it is neither; ``what`` is what was to be done with it.
    """
    contract, name = contract_of(cls), getattr(cls, "__name__", cls)
    if contract is None and isinstance(cls, type):
        contract = vars(cls).get(STUB)
        if contract is not None and flavour == "sync":
            raise InvalidArguments(f"{what}({name}): that is for rpcx.aio; here it is {contract.cls.__name__}")
    if contract is None:
        raise InvalidArguments(
            f"{what}({name!r}): it is no remote class; decorate it with @rpcx.remote, "
            "@rpcx.singleton, @rpcx.single_call or @rpcx.client_activated"
        )
    return contract
