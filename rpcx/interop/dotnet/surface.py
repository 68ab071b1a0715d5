"""A contract as .NET sees it: names with capitals, properties as ``get_X`` and ``set_X``, types of parameters.

Methods here that .NET calls by one name are overloads there. A parameter that is `Out` or `Ref` comes back in the
result, behind the value: ``-> tuple[Int32, Int32]`` for a value and one out parameter; without a value (a void
method) the out parameters are the result.
"""

import functools
import inspect
import typing
from collections.abc import Sequence
from typing import Any

from rpcx.errors import InvalidArguments, ObjectNotFound
from rpcx.interop.dotnet.clrnames import ClrName, system
from rpcx.interop.dotnet.messages import MethodReturn
from rpcx.interop.dotnet.nodes import CLR_NAMES, OBJECT, STRING, ArrayNode, ClassNode, Node, Primitive
from rpcx.interop.dotnet.outward import Outward, Shape
from rpcx.interop.dotnet.shapes import ANYTHING, Plain, shape_of
from rpcx.interop.dotnet.types import Made, clr_name
from rpcx.remoting.contract import CLASSES, Contract, Method, MethodKind
from rpcx.remoting.validation import resolve


class Parameter(typing.NamedTuple):
    """One parameter of a method."""

    name: str
    shape: Shape
    way: Made | None  # OUT or REF; None: it only goes

    @property
    def clr(self) -> ClrName:
        """Its type in a signature."""
        return self.shape.clr if self.way is None else self.shape.clr._replace(byref=True)


class Signature:
    """A method as .NET sees it."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.name = clr_name(method)
        parameters = method.arguments.signature.parameters.values()
        self.parameters = [self._parameter(p) for p in parameters]
        self._positional = all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
        self.outs = [at for at, parameter in enumerate(self.parameters) if parameter.way is not None]
        self.types = tuple(parameter.clr.qualified for parameter in self.parameters)
        self.overloaded = False  # set by its surface
        self.void, self.result = self._result()

    def _parameter(self, parameter: inspect.Parameter) -> Parameter:
        hint = resolve(parameter.annotation, self.method.function, CLASSES)
        marks = getattr(hint, "__metadata__", ())
        way = next((mark for mark in marks if mark in (Made.OUT, Made.REF)), None)
        if way is Made.OUT:  # Out[T] is T | None: the None is ours
            hint = _without_none(typing.get_args(hint)[0])
        return Parameter(parameter.name, shape_of(hint), way)

    def _result(self) -> tuple[bool, Shape]:
        """Whether it has no value, and else the value's shape."""
        if self.method.kind is MethodKind.SET:
            return True, ANYTHING
        annotation = getattr(self.method.function, "__annotations__", {}).get("return", inspect.Parameter.empty)
        if annotation is None or annotation == "None":
            return True, ANYTHING
        hint = resolve(annotation, self.method.function, CLASSES)
        if not self.outs:
            return hint is type(None), shape_of(hint)
        parts = typing.get_args(hint) if typing.get_origin(hint) is tuple else (hint,)
        if len(parts) == len(self.outs):
            return True, ANYTHING
        return False, shape_of(parts[0])

    # --- calls ---------------------------------------------------------------------------------------------------

    def pack(self, args: Sequence[object], kwargs: dict[str, object], out: Outward) -> list[Node]:
        """The nodes of a call's arguments, one for each parameter."""
        simple = self._positional and not kwargs and len(args) == len(self.parameters)
        values = args if simple else self._bound(args, kwargs)
        nodes: list[Node] = []
        for parameter, value in zip(self.parameters, values, strict=True):
            try:
                nodes.append(out.node(value, parameter.shape))
            except InvalidArguments as error:
                raise InvalidArguments(f"{self.method.where}: argument {parameter.name!r}: {error}") from None
        return nodes

    def _bound(self, args: Sequence[object], kwargs: dict[str, object]) -> list[object]:
        """A value for each parameter: defaults where none was given."""
        try:
            bound = self.method.arguments.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(f"{self.method.where}{self.method.arguments.signature}: {error}") from None
        bound.apply_defaults()
        return [bound.arguments[parameter.name] for parameter in self.parameters]

    def pack_result(self, value: Any, out: Outward, given: int) -> MethodReturn:
        """The answer of a method that returned ``value``, to a call with ``given`` arguments."""
        answer = MethodReturn(void=self.void, out=[None] * given)
        if self.outs:
            values = list(value) if isinstance(value, tuple) else [value]
            if len(values) != len(self.outs) + (not self.void):
                raise InvalidArguments(f"it returned {len(values)} values, for {len(self.outs)} out parameters")
            value = None if self.void else values.pop(0)
            for at, item in zip(self.outs, values, strict=True):
                if at < given:
                    answer.out[at] = out.node(item, self.parameters[at].shape)
        if not self.void:
            answer.value = out.node(value, self.result)
        return answer

    def fits(self, nodes: Sequence[Node], types: Sequence[str] | None) -> bool:
        """Whether a call with these arguments, or this signature, can mean this method."""
        if types is not None:
            return [parameter.clr.bare for parameter in self.parameters] == list(types)
        if len(nodes) != len(self.parameters):
            return False
        return all(_fits(parameter.shape, node) for parameter, node in zip(self.parameters, nodes, strict=True))

    def __repr__(self) -> str:
        return f"<Signature {self.name}({', '.join(str(parameter.clr) for parameter in self.parameters)})>"


class Surface:
    """All methods of a contract, by what .NET calls them."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._by_clr: dict[str, list[Signature]] = {}
        self._by_name: dict[str, Signature] = {}
        for method in contract.methods.values():
            if method.streams or method.kind is MethodKind.DEL:
                continue  # .NET has neither
            signature = Signature(method)
            self._by_clr.setdefault(signature.name, []).append(signature)
            self._by_name[method.name] = signature
        for overloads in self._by_clr.values():
            for signature in overloads:
                signature.overloaded = len(overloads) > 1

    def of(self, method: Method) -> Signature:
        """The signature of a method of the contract."""
        signature = self._by_name.get(method.name)
        if signature is None:
            raise InvalidArguments(f"{method.where} is a stream, or deletes: .NET Remoting has nothing like it")
        return signature

    def choose(self, clr: str, nodes: Sequence[Node], types: Sequence[str] | None) -> Signature:
        """The method that a call means."""
        overloads = self._by_clr.get(clr, [])
        if len(overloads) == 1:
            return overloads[0]
        fitting = [signature for signature in overloads if signature.fits(nodes, types)]
        if len(fitting) == 1 or (fitting and types is None):
            return fitting[0]
        offered = ", ".join(sorted(self._by_clr)) if not overloads else ", ".join(map(repr, overloads))
        raise ObjectNotFound(
            f"{self._contract.name} has no remote method {clr[:80]!r} for this call; it has: {offered}"
        )


@functools.lru_cache(maxsize=1024)
def surface_of(contract: Contract) -> Surface:
    """What .NET sees of ``contract``."""
    return Surface(contract)


def _without_none(hint: Any) -> Any:  # an annotation
    rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    return rest[0] if len(rest) == 1 else hint


def _fits(shape: Shape, node: Node) -> bool:
    if shape is ANYTHING:
        return True
    if node is None:
        return not isinstance(shape, Plain)
    return _type_of(node).bare == shape.clr.bare


def _type_of(node: Node) -> ClrName:
    if isinstance(node, Primitive):
        return system(CLR_NAMES[node.kind])
    if isinstance(node, ClassNode | ArrayNode):
        from rpcx.interop.dotnet.clrnames import parse

        return parse(node.name if isinstance(node, ClassNode) else node.type_name)
    return system(STRING if isinstance(node, str) else OBJECT)
