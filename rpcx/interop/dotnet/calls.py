"""A call of ours as a message, and what its answer means."""

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol

from rpcx.abc import PeerFacts
from rpcx.errors import InvalidArguments, ObjectNotFound, RemoteError
from rpcx.interop.dotnet import faults
from rpcx.interop.dotnet.clrnames import pascal
from rpcx.interop.dotnet.declared import settle
from rpcx.interop.dotnet.formatters import Formatter
from rpcx.interop.dotnet.framing import Frame, Operation
from rpcx.interop.dotnet.messages import MethodCall, MethodReturn
from rpcx.interop.dotnet.nodes import ClassNode, Node
from rpcx.interop.dotnet.outward import Outward
from rpcx.interop.dotnet.references import type_text
from rpcx.interop.dotnet.shapes import ANYTHING
from rpcx.interop.dotnet.surface import Signature, surface_of
from rpcx.interop.dotnet.types import CLR_NAME
from rpcx.remoting.contract import Method
from rpcx.remoting.proxy import Flavour
from rpcx.remoting.references import Reference

#: What servers say where the URI leads nowhere (Microsoft's, Mono's, and Microsoft's for what has ended).
NOWHERE: Final = re.compile(r"Requested [Ss]ervice not found|No receiver for uri|does not exist at the server")


class Calling(Protocol):
    """A client's session, as far as it matters here."""

    formatter: Formatter

    @property
    def facts(self) -> PeerFacts: ...
    def outward(self) -> Outward: ...
    def values(self, nodes: Sequence[Node], flavour: Flavour | None = None) -> list[Any]: ...
    def target(self, reference: Reference) -> str: ...


def encode(
    session: Calling, reference: Reference, method: Method, args: Sequence[object], kwargs: dict[str, object]
) -> Frame:
    """The message of a call.

    Raises:
        InvalidArguments: they do not fit the method, or cannot go to .NET.
    """
    contract = reference.contract()
    signature = _signature(reference, method)
    out = session.outward()
    if signature is None:
        if kwargs:
            raise InvalidArguments(f"{method.name}: .NET knows no arguments by name; map the class to a contract")
        call = MethodCall(_name(method), type_text(None, reference), [out.node(arg, ANYTHING) for arg in args])
    else:
        declared = signature.declared_by or type_text(contract, reference)
        call = MethodCall(signature.name, declared, signature.pack(args, kwargs, out))
        call.names = signature.names
        if signature.overloaded:
            call.signature = signature.types
    try:
        body = session.formatter.write_call(call)
    except ValueError as error:
        raise InvalidArguments(f"{method.where}: {error}") from None
    return Frame(
        Operation.ONEWAY if method.oneway else Operation.REQUEST, body, session.target(reference),
        session.formatter.content_type, custom=session.formatter.headers(call),
    )  # fmt: skip


def decode(
    session: Calling, body: bytes, reference: Reference, method: Method, flavour: Flavour | None = None
) -> Any:  # what the method returned
    """What an answer means; raises the exception that it carries."""
    answer = session.formatter.read_return(body)
    if isinstance(answer.exception, ClassNode):
        (error,) = session.values(settle([answer.exception], [None]), flavour)
        raise _told(error if isinstance(error, Exception) else RemoteError(str(error)), reference, session)
    signature = _signature(reference, method)
    if answer.names is not None:  # in XML: types may be missing, and places have names
        answer = signature.answered(answer) if signature is not None else _settled(answer)
    nodes: list[Node] = [] if answer.void else [answer.value]
    if signature is not None and signature.outs:
        if len(answer.out) < signature.outs[-1] + 1:
            raise InvalidArguments(f"{method.where}: the answer has {len(answer.out)} of its out parameters")
        nodes += [answer.out[at] for at in signature.outs]
    values = session.values(nodes, flavour)
    if signature is not None and signature.outs:
        return method.result(tuple(values) if len(values) > 1 else values[0])
    return method.result(values[0] if values else None)


def _settled(answer: MethodReturn) -> MethodReturn:
    """An answer in XML to a method whose contract is not known here."""
    return MethodReturn(settle([answer.value], [None])[0], void=answer.void)


def _signature(reference: Reference, method: Method) -> Signature | None:
    """How .NET sees the method; None: its contract is not known here."""
    contract = reference.contract()
    known = contract.methods.get(method.name) if contract is not None else None
    return surface_of(contract).of(method) if contract is not None and known is not None else None


def _name(method: Method) -> str:
    return str(getattr(method.function, CLR_NAME, None) or pascal(method.name))


def _told(error: Exception, reference: Reference, session: Calling) -> Exception:
    if isinstance(error, RemoteError):
        error.uri, error.peer = error.uri or reference.uri, error.peer or str(session.facts)
        if error.type_name == faults.REMOTING and NOWHERE.search(str(error)):
            text = f"{reference.uri}: {error} (it never was there, or its lease ended)"
            return ObjectNotFound(text, uri=reference.uri, peer=str(session.facts))
    return error
