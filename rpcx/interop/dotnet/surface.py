"""A contract as .NET sees it: names with capitals, properties as ``get_X`` and ``set_X``, types of parameters.

Methods here that .NET calls by one name are overloads there. A parameter that is `Out` or `Ref` comes back in the
result, behind the value: ``-> tuple[Int32, Int32]`` for a value and one out parameter; without a value (a void
method) the out parameters are the result.
"""

import functools
import inspect
import typing
from collections.abc import Sequence
from typing import Any, Final

from rpcx.errors import InvalidArguments, ObjectNotFound
from rpcx.interop.dotnet.clrnames import ClrName, parse, system
from rpcx.interop.dotnet.declared import settle
from rpcx.interop.dotnet.members import camel_name, given_name
from rpcx.interop.dotnet.messages import MethodCall, MethodReturn
from rpcx.interop.dotnet.nodes import CLR_NAMES, OBJECT, STRING, ArrayNode, ClassNode, Node, Primitive, Untyped
from rpcx.interop.dotnet.outward import Outward, Shape
from rpcx.interop.dotnet.shapes import ANYTHING, Plain, shape_of
from rpcx.interop.dotnet.types import Made, clr_name, type_of
from rpcx.remoting.contract import CLASSES, Contract, Method, MethodKind
from rpcx.remoting.validation import resolve

ARRAY: Final = "Array"  # what SOAP says of every array in a signature


class Parameter(typing.NamedTuple):
    """One parameter of a method."""

    name: str
    shape: Shape
    way: Made | None  # OUT or REF; None: it only goes
    clr_name: str  # what .NET calls it, as messages in XML do

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
        self.names = tuple(None if p.way is Made.OUT else p.clr_name for p in self.parameters)  # of what is sent
        self.types = tuple(parameter.clr.qualified for parameter in self.parameters)
        self.overloaded = False  # set by its surface
        self.declared_by: str | None = None  # the type of the class that has it, likewise; None: it is mapped to none
        self.void, self.result = self._result()

    def _parameter(self, parameter: inspect.Parameter) -> Parameter:
        hint = resolve(parameter.annotation, self.method.function, CLASSES)
        marks = getattr(hint, "__metadata__", ())
        way = next((mark for mark in marks if mark in (Made.OUT, Made.REF)), None)
        name = given_name(hint) or camel_name(parameter.name)
        if way is Made.OUT:  # Out[T] is T | None: the None is ours
            hint = _without_none(typing.get_args(hint)[0])
        return Parameter(parameter.name, shape_of(hint), way, name)

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
        names = [p.clr_name if p.way is not None else None for p in self.parameters[:given]]
        answer = MethodReturn(void=self.void, out=[None] * given, names=(*names, *[None] * (given - len(names))))
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

    def given(self, call: MethodCall) -> list[Node]:
        """The arguments of a call, one for each parameter; those of a message in XML with their types."""
        if call.names is None:
            return list(call.args)
        wanted = self._sent(call)
        if len(wanted) != len(call.args):
            names = ", ".join(parameter.clr_name for parameter in wanted)
            raise InvalidArguments(
                f"{self.method.where}: {len(call.args)} arguments came, and it has: {names or 'none'}"
            )
        nodes = iter(settle(call.args, [parameter.shape.clr for parameter in wanted]))
        return [next(nodes) if parameter in wanted else None for parameter in self.parameters]

    def _sent(self, call: MethodCall) -> list[Parameter]:
        """The parameters that a call in XML has arguments for: those that only come back may be left out."""
        if len(call.args) == len(self.parameters):
            return self.parameters
        return [parameter for parameter in self.parameters if parameter.way is not Made.OUT]

    def answered(self, answer: MethodReturn) -> MethodReturn:
        """An answer in XML as others are: with types, and a place for each parameter."""
        came = answer.out if answer.void else [answer.value, *answer.out]
        if self.void and not answer.void:
            came = answer.out  # a void method's null
        types = [] if self.void else [self.result.clr]
        types += [self.parameters[at].shape.clr for at in self.outs]
        if len(came) != len(types):
            raise InvalidArguments(
                f"{self.method.where}: the answer has {len(came)} values, and {len(types)} are expected"
            )
        nodes = settle(came, types)
        made = MethodReturn(void=self.void, out=[None] * len(self.parameters))
        if not self.void:
            made.value = nodes.pop(0)
        for at, node in zip(self.outs, nodes, strict=True):
            made.out[at] = node
        return made

    def fits(self, call: MethodCall, types: Sequence[ClrName] | None) -> bool:
        """Whether a call, which may name the types of its parameters, can mean this method."""
        if types is not None:
            if len(types) != len(self.parameters):
                return False
            same = _exactly if call.names is None else _roughly
            return all(same(parameter, name) for parameter, name in zip(self.parameters, types, strict=True))
        parameters = self.parameters if call.names is None else self._sent(call)
        if len(call.args) != len(parameters):
            return False
        return all(_fits(parameter.shape, node) for parameter, node in zip(parameters, call.args, strict=True))

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
            signature.declared_by = _declaring(contract.cls, method.name.partition(".")[0])
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

    def choose(self, call: MethodCall) -> Signature:
        """The method that a call means."""
        overloads = self._by_clr.get(call.method, [])
        if len(overloads) == 1:
            return overloads[0]
        types = None if call.signature is None else [parse(name) for name in call.signature]
        fitting = [signature for signature in overloads if signature.fits(call, types)]
        if len(fitting) == 1 or (fitting and types is None):
            return fitting[0]
        offered = ", ".join(sorted(self._by_clr)) if not overloads else ", ".join(map(repr, overloads))
        raise ObjectNotFound(
            f"{self._contract.name} has no remote method {call.method[:80]!r} for this call; it has: {offered}"
        )


def _declaring(cls: type, name: str) -> str | None:
    """The type of the class that has a method, as calls in .NET name it: IBase, also of what is used as IDerived."""
    owner = next((each for each in cls.__mro__ if name in vars(each)), cls)
    declared = type_of(owner)
    return declared.name.qualified if declared is not None else None


@functools.lru_cache(maxsize=1024)
def surface_of(contract: Contract) -> Surface:
    """What .NET sees of ``contract``."""
    return Surface(contract)


def _without_none(hint: Any) -> Any:  # an annotation
    rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    return rest[0] if len(rest) == 1 else hint


def _exactly(parameter: Parameter, said: ClrName) -> bool:
    """Whether a type of a call's signature is a parameter's."""
    return parameter.clr.bare == said.bare


def _roughly(parameter: Parameter, said: ClrName) -> bool:
    """The same in XML, where neither what an array is of is said, nor what is ref."""
    own = parameter.shape.clr
    return bool(own.ranks) if said.name == ARRAY else own.bare == said._replace(byref=False).bare


def _fits(shape: Shape, node: Node) -> bool:
    if shape is ANYTHING:
        return True
    if node is None:
        return not isinstance(shape, Plain)
    of = _type_of(node)
    return of is None or of.bare == shape.clr.bare


def _type_of(node: Node) -> ClrName | None:
    """What a node is; None: it does not say so."""
    if isinstance(node, Primitive):
        return system(CLR_NAMES[node.kind])
    if isinstance(node, ClassNode | ArrayNode):
        return parse(node.name if isinstance(node, ClassNode) else node.type_name)
    if isinstance(node, Untyped):
        return parse(node.name) if node.name is not None else None
    return system(STRING if isinstance(node, str) else OBJECT)
