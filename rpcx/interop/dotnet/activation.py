"""Client-activated objects: `Activator.CreateInstance` on one side, a constructor on the other.

It is a call to an object at a fixed URI, ``Activate``, whose argument and result are messages themselves: a
ConstructionCall with the type's name and the constructor's arguments, a ConstructionResponse with the new reference.
"""

from collections.abc import Sequence
from typing import Any, Final

from rpcx.context import serving
from rpcx.errors import InvalidArguments, ObjectNotFound
from rpcx.interop.dotnet.binary import types_node
from rpcx.interop.dotnet.clrnames import parse
from rpcx.interop.dotnet.inward import Construction
from rpcx.interop.dotnet.lifetime import IActivator
from rpcx.interop.dotnet.nodes import OBJECT, ArrayNode, ClassNode, Node
from rpcx.interop.dotnet.outward import Outward
from rpcx.interop.dotnet.surface import Signature
from rpcx.interop.dotnet.types import ClrType, find, type_
from rpcx.remoting.contract import Contract, contract_of

URI: Final = "RemoteActivationService.rem"
MESSAGING: Final = "System.Runtime.Remoting.Messaging"


@type_("System.Runtime.Remoting.Activation.RemoteActivator", assembly="mscorlib")
class Activator(IActivator):
    """Makes objects here, of the classes that the host registered."""

    def __init__(self, domain: Any) -> None:  # an AppDomain
        self._domain = domain

    def activate(self, msg: Any) -> Any:  # a Construction; the response's node
        """Make an object of a client-activated class."""
        if not isinstance(msg, Construction):
            raise InvalidArguments("Activate needs a ConstructionCall")
        name = msg.members.get("__ActivationTypeName") or msg.members.get("__TypeName")
        if not isinstance(name, str):
            raise InvalidArguments("a ConstructionCall that names no type")
        declared = find(parse(name))
        contract = contract_of(declared.cls) if declared is not None else None
        if contract is None:
            raise ObjectNotFound(f"The type {parse(name)} is not allowed to be client activated", uri=str(parse(name)))
        call: Any = serving.get()  # an IncomingCall: it is being served
        instance = call.endpoint.gate.create(contract.name, list(msg.members.get("__Args") or ()), {})
        return _response(name, self._domain.export(instance, call.peer, as_value=True))


def _response(name: str, reference: ClassNode | None) -> ClassNode:
    members: dict[str, Node] = {
        "__Uri": None,
        "__TypeName": name,
        "__MethodName": ".ctor",
        "__MethodSignature": types_node(()),
        "__Return": reference,
        "__OutArgs": None,
        "__CallContext": None,
    }
    return ClassNode(f"{MESSAGING}.ConstructionResponse", members)


def construction(
    contract: Contract, declared: ClrType, args: Sequence[object], kwargs: dict[str, object], out: Outward
) -> ClassNode:
    """The message that asks for a new instance."""
    signature = Signature(contract.constructor(contract.cls))
    members: dict[str, Node] = {
        "__Uri": None,
        "__TypeName": declared.name.qualified,
        "__MethodName": ".ctor",
        "__MethodSignature": types_node(signature.types),
        "__Args": ArrayNode(OBJECT, signature.pack(args, kwargs, out)),
        "__CallContext": None,
        "__GenericArguments": None,
        "__Activator": ClassNode("System.Runtime.Remoting.Activation.ConstructionLevelActivator", {}),
        "__CallSiteActivationAttributes": None,
        "__ActivationType": None,
        "__ContextProperties": None,
        "__ActivationTypeName": declared.name.qualified,
    }
    return ClassNode(f"{MESSAGING}.ConstructionCall", members)
