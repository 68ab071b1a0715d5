"""rpcx: use objects that live in another process as if they were your own.

    @rpcx.singleton("bank")                                with rpcx.connect("pipe://bank") as server:
    class Bank: ...                                            bank = server.get(Bank, "bank")
    host = rpcx.Host(); host.register(Bank)                    bank.open("ann").deposit(5)
    host.listen("pipe://bank")

This module is the public API; ``rpcx.aio`` is the same for asyncio. Contracts: `remote`, `singleton`,
`single_call`, `client_activated`, `oneway`, `method`. Serving: `Host`. Calling: `connect`, `get`, `options`,
`future`, `batch`. Lifetime: `Lease`, `lease`, `ClientSponsor`. Inside a method: `context`, `check`.
"""

import typing as _typing

from rpcx import context
from rpcx.abc import Bound, LeaseInfo, PeerFacts
from rpcx.batches import batch
from rpcx.client import Server, connect, future, get, lease
from rpcx.context import check, options
from rpcx.errors import (
    AccessDenied,
    AuthenticationFailed,
    CallTimeout,
    Cancelled,
    ConnectionLost,
    ContractMismatch,
    ForkedConnection,
    InvalidArguments,
    LimitExceeded,
    MaybeExecuted,
    NotSent,
    ObjectExpired,
    ObjectNotFound,
    ProtocolError,
    RemoteError,
    RpcxError,
)
from rpcx.host import Host
from rpcx.lifetime.holders import Quotas
from rpcx.lifetime.lease import Lease
from rpcx.protocol.handshake import Limits
from rpcx.remoting.decorators import client_activated, method, oneway, remote, single_call, singleton
from rpcx.remoting.leases import ClientSponsor
from rpcx.security.guard import Admission
from rpcx.sinks.exceptions import register_exception

if _typing.TYPE_CHECKING:
    from rpcx import aio
    from rpcx.impersonation import Impersonation

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "Admission",
    "AuthenticationFailed",
    "Bound",
    "CallTimeout",
    "Cancelled",
    "ClientSponsor",
    "ConnectionLost",
    "ContractMismatch",
    "ForkedConnection",
    "Host",
    "Impersonation",
    "InvalidArguments",
    "Lease",
    "LeaseInfo",
    "LimitExceeded",
    "Limits",
    "MaybeExecuted",
    "NotSent",
    "ObjectExpired",
    "ObjectNotFound",
    "PeerFacts",
    "ProtocolError",
    "Quotas",
    "RemoteError",
    "RpcxError",
    "Server",
    "aio",
    "batch",
    "check",
    "client_activated",
    "connect",
    "context",
    "future",
    "get",
    "lease",
    "method",
    "oneway",
    "options",
    "register_exception",
    "remote",
    "single_call",
    "singleton",
]


def __getattr__(name: str) -> object:  # what is loaded when it is asked for
    if name == "aio":
        import importlib

        return importlib.import_module("rpcx.aio")
    if name == "Impersonation":
        from rpcx.impersonation import Impersonation

        return Impersonation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
