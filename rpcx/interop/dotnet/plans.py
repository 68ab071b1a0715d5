"""What rpcx asks its host for, asked of a .NET server: new objects, leases, sponsors.

A plan is a generator of calls: it yields (reference, method, arguments) and is sent each result, so that one text
serves threads and event loops. The session in here is a `ClientSession`.
"""

from collections.abc import Callable, Generator
from typing import Any, Final

from rpcx.abc import LeaseInfo
from rpcx.errors import InvalidArguments, ObjectNotFound
from rpcx.interop.dotnet.activation import URI, construction
from rpcx.interop.dotnet.inward import Construction
from rpcx.interop.dotnet.leases import as_sponsor
from rpcx.interop.dotnet.lifetime import IActivator, ILease, MarshalByRefObject, seconds, span
from rpcx.interop.dotnet.types import type_of
from rpcx.remoting.contract import CLASSES, Contract, Method, contract_of
from rpcx.remoting.proxy import Proxy
from rpcx.remoting.references import Reference

Call = tuple[Reference, Method, tuple[object, ...]]
Plan = Generator[Call, Any, Any]


def run(session: Any, plan: Plan) -> Any:  # what the plan returns
    """Make a plan's calls, waiting."""
    try:
        step = next(plan)
        while True:
            step = plan.send(session.call(*step, {}))
    except StopIteration as done:
        return done.value


async def run_async(session: Any, plan: Plan) -> Any:  # what the plan returns
    """Make a plan's calls, awaiting."""
    try:
        step = next(plan)
        while True:
            step = plan.send(await session.call_async(*step, {}))
    except StopIteration as done:
        return done.value


def plan_for(session: Any, method: Method, args: tuple[Any, ...]) -> Plan:
    """The plan for a call to rpcx's host service."""
    plan: Callable[..., Plan] | None = _PLANS.get(method.name)
    if plan is None:
        raise InvalidArguments(f"a .NET server cannot be asked for {method.name!r}")
    return plan(session, *args)


def _create(session: Any, name: str, args: list[object], kwargs: dict[str, object]) -> Plan:
    cls = CLASSES[name]
    contract, declared = contract_of(cls), type_of(cls)
    if contract is None or declared is None:
        raise InvalidArguments(f"{name} has no @dotnet.type, so a .NET server cannot be asked for one")
    message = construction(contract, declared, args, kwargs, session.outward())
    answer = yield _ask(session, URI, IActivator, "activate", message)
    made = answer.members.get("__Return") if isinstance(answer, Construction) else None
    if not isinstance(made, Proxy):
        raise ObjectNotFound(f"the server made no {name}", uri=name)
    return made


def _renew(session: Any, uri: str, amount: float) -> Plan:
    lease = yield from _lease_of(session, uri)
    return seconds((yield _of(lease, "renew", span(amount))))


def _lease(session: Any, uri: str) -> Plan:
    lease = yield _ask(session, uri, MarshalByRefObject, "get_lifetime_service")
    if lease is None:
        return None
    state = yield _of(lease, "current_state")
    left = seconds((yield _of(lease, "current_lease_time")))
    initial = seconds((yield _of(lease, "initial_lease_time")))
    on_call = seconds((yield _of(lease, "renew_on_call_time")))
    patience = seconds((yield _of(lease, "sponsorship_timeout")))
    return LeaseInfo(uri, state.name, left, initial, on_call, patience, sponsors=0, pins=0)  # .NET does not count them


def _register(session: Any, uri: str, sponsor: object, renewal: float = 0.0) -> Plan:
    lease = yield from _lease_of(session, uri)
    yield _of(lease, "register", as_sponsor(sponsor), span(renewal))


def _unregister(session: Any, uri: str, sponsor: object) -> Plan:
    lease = yield from _lease_of(session, uri)
    yield _of(lease, "unregister", as_sponsor(sponsor))


def _lease_of(session: Any, uri: str) -> Plan:
    lease = yield _ask(session, uri, MarshalByRefObject, "get_lifetime_service")
    if lease is None:
        raise InvalidArguments(f"{uri} has no lease: it lives as long as its server")
    return lease


def _ask(session: Any, uri: str, cls: type, name: str, *args: object) -> Call:
    """A call to the object at ``uri``, used as ``cls``."""
    contract = contract_of(cls)
    assert contract is not None  # ours
    reference = Reference(session, uri, (contract.name,))
    reference.expected = contract
    return reference, contract.methods[name], args


def _of(proxy: Any, name: str, *args: object) -> Call:  # of an ILease
    contract: Contract | None = contract_of(ILease)
    assert contract is not None  # ours
    reference: Reference = proxy._rpcx_ref
    reference.expected = contract
    return reference, contract.methods[name], args


_PLANS: Final[dict[str, Any]] = {
    "create": _create,
    "renew": _renew,
    "lease": _lease,
    "register_sponsor": _register,
    "unregister_sponsor": _unregister,
}
