"""The errors, each with the facts a program needs as attributes.

    RpcxError
     ├─ ConnectionLost (ConnectionError)      the other process is gone, or was never reached
     │   ├─ NotSent                           nothing left this process: safe to try again
     │   ├─ MaybeExecuted                     the call left, its answer did not come
     │   └─ ForkedConnection                  used in a child process that inherited it
     ├─ CallTimeout (TimeoutError)            the deadline passed first
     ├─ Cancelled                             the caller gave up, or its connection went away
     ├─ ObjectNotFound (LookupError)          nothing has this name here
     │   └─ ObjectExpired                     it was here; its lease or its last reference ended
     ├─ InvalidArguments (TypeError)          the call does not fit the method
     ├─ ContractMismatch (TypeError)          the two ends disagree about a class
     ├─ AccessDenied (PermissionError)        known, but not allowed
     │   └─ AuthenticationFailed              not known
     ├─ LimitExceeded                         a bound was hit: size, depth, number, rate
     ├─ ProtocolError                         the bytes make no sense
     └─ RemoteError                           the method raised something this side has no class for

``executed`` says what is known about the method behind a failed call: ``"no"`` (never began; safe to
repeat), ``"maybe"``, or ``"yes"`` (it ran and this is its outcome).
"""

from typing import Final, Literal

Executed = Literal["no", "maybe", "yes"]


class RpcxError(Exception):
    """Root of everything rpcx raises.

    Attributes:
        uri: the object the call was for, if it was for one.
        method: the method's name, if there was one.
        peer: who is at the other end, as text for people.
        executed: whether the method ran: "no", "maybe" or "yes".
        limit: the bound of this side's that was reached, as `rpcx.Host.bounds` calls it; empty: none was.
    """

    default_executed: Executed = "no"

    def __init__(
        self,
        message: str = "",
        *,
        uri: str | None = None,
        method: str | None = None,
        peer: str | None = None,
        executed: Executed | None = None,
        limit: str = "",
    ) -> None:
        super().__init__(message)
        self.uri = uri
        self.method = method
        self.peer = peer
        self.executed: Executed = executed or self.default_executed
        self.limit = limit


class ConnectionLost(RpcxError, ConnectionError):
    """The connection ended, or could not be made."""


class NotSent(ConnectionLost):
    """The call never left this process; trying again is safe."""


class MaybeExecuted(ConnectionLost):
    """The connection ended after the call was sent and before its answer came."""

    default_executed: Executed = "maybe"


class ForkedConnection(ConnectionLost):
    """This process inherited the connection by fork; only the parent may use it. Connect anew."""


class CallTimeout(RpcxError, TimeoutError):
    """The deadline passed before the answer came. The other side was told to stop."""

    default_executed: Executed = "maybe"


class Cancelled(RpcxError):
    """The caller gave up, so the call was stopped (raised in the method by `rpcx.check`)."""

    default_executed: Executed = "maybe"


class ObjectNotFound(RpcxError, LookupError):
    """The host knows no object of that name, and never did."""


class ObjectExpired(ObjectNotFound):
    """The object was here and has ended; the message says when and why."""


class InvalidArguments(RpcxError, TypeError):
    """An argument is missing, unknown, or not of the declared type; the message names it."""


class ContractMismatch(RpcxError, TypeError):
    """The class of this name differs between the two ends; the message names the first difference."""


class AccessDenied(RpcxError, PermissionError):
    """This peer may not do that."""


class AuthenticationFailed(AccessDenied):
    """The peer did not prove who it is."""


class LimitExceeded(RpcxError):
    """A bound was hit; the message names it and its value."""


class ProtocolError(RpcxError):
    """The peer sent bytes that break the protocol, or does not speak it."""


class RemoteError(RpcxError):
    """The method raised an exception of a class this side does not know.

    Attributes:
        type_name: the class's name at the other end, as text only.
    """

    default_executed: Executed = "yes"

    def __init__(self, message: str = "", *, type_name: str = "Exception", **facts: str | None) -> None:
        super().__init__(message, **facts)  # type: ignore[arg-type]  # executed is a Literal among the strs
        self.type_name = type_name


#: Errors of ours that may travel, by name. The receiver makes its own; nothing is imported by name.
BY_NAME: Final[dict[str, type[RpcxError]]] = {
    kind.__name__: kind
    for kind in (
        ConnectionLost,
        NotSent,
        MaybeExecuted,
        CallTimeout,
        Cancelled,
        ObjectNotFound,
        ObjectExpired,
        InvalidArguments,
        ContractMismatch,
        AccessDenied,
        AuthenticationFailed,
        LimitExceeded,
        ProtocolError,
        RemoteError,
    )
}
