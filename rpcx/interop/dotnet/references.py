"""References to .NET objects, and which classes here they can be used as."""

from typing import Any

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.clrnames import parse
from rpcx.interop.dotnet.nodes import ClassNode
from rpcx.interop.dotnet.objref import AS_VALUE, ObjRef, compose
from rpcx.interop.dotnet.types import find, type_of
from rpcx.remoting.contract import Contract, contract_of
from rpcx.remoting.references import Reference


class DotnetReference(Reference):
    """A .NET object, as this process knows it. It is never given back: its lease decides."""

    __slots__ = ("node", "parts")

    def __init__(self, node: ClassNode, parts: ObjRef, names: tuple[str, ...]) -> None:
        nobody: Any = None  # set by whoever made this, once it knows the way there
        super().__init__(nobody, parts.uri, names)
        members = {name: value for name, value in node.members.items() if name != AS_VALUE}
        self.node = ClassNode(node.name, members)  # as it came: so it goes on to others, and home
        self.parts = parts
        self.unchecked = False  # .NET compares no contracts


def contracts_for(parts: ObjRef) -> list[Contract]:
    """The contracts here of all that a reference says its object is, the most derived first."""
    found = []
    for text in (parts.server_type, *parts.hierarchy, *parts.interfaces):
        try:
            declared = find(parse(text))
        except ProtocolError:
            continue  # a name that is none: it is nothing here
        contract = contract_of(declared.cls) if declared is not None else None
        if contract is not None:
            found.append(contract)
    return found


def contract_for(parts: ObjRef) -> Contract | None:
    """What a reference's object is used as here; None: nothing is known of its type."""
    return next(iter(contracts_for(parts)), None)


def names_for(parts: ObjRef) -> tuple[str, ...]:
    """All that it can be used as."""
    names = [name for contract in contracts_for(parts) for name in list(contract.lineage)[::-1]]
    return tuple(dict.fromkeys(names or [parts.server_type]))  # an object of an unknown class is no function


def type_text(contract: Contract | None, reference: Reference) -> str:
    """The type that a call to ``reference`` names: the contract's, else what the reference itself said."""
    declared = type_of(contract.cls) if contract is not None else None
    if declared is not None:
        return declared.name.qualified
    return reference.parts.server_type if isinstance(reference, DotnetReference) else ""


def node_of(reference: Reference) -> ClassNode | None:
    """The node of a reference that was made from a URL; None: it belongs to another protocol."""
    where: Any = reference.endpoint
    url: str | None = getattr(where, "url", None)  # of a `ClientSession`
    text = type_text(reference.contract(), reference)
    if url is None or not text:
        return None
    return compose(ObjRef(where.target(reference), server_type=text, urls=(url.rstrip("?"),)))
