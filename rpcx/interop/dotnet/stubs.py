"""Python contracts for the public types of a .NET assembly, as source to keep and to edit.

Remote classes and interfaces become contracts, serializable classes and structs dataclasses, enums enums. Where C# may
give null, add ``| None``: signatures there do not say.
"""

import keyword
import re
from collections.abc import Iterator, Sequence
from typing import Final

from rpcx.interop.dotnet.clrnames import ClrName, pascal
from rpcx.interop.dotnet.metadata import ENUM, FieldInfo, MethodInfo, TypeInfo
from rpcx.interop.dotnet.nodes import KINDS, OBJECT, STRING

HEADER: Final = '''"""Contracts of the .NET assembly {assembly}, made by `rpcx dotnet stubs`: edit freely."""

import decimal
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import rpcx
from rpcx import dotnet
'''

#: Types of .NET's own, as annotations.
KNOWN: Final = {
    "System.Void": "None",
    OBJECT: "Any",
    STRING: "str",
    "System.Boolean": "bool",
    "System.Double": "float",
    "System.Decimal": "decimal.Decimal",
    "System.Guid": "dotnet.Guid",
    "System.Collections.Hashtable": "dotnet.Hashtable",
    "System.Collections.ArrayList": "dotnet.ArrayList",
}
ARRAYS: Final = {1: "dotnet.Array", 2: "dotnet.Array2D", 3: "dotnet.Array3D"}
BACKING: Final = re.compile(r"<(\w+)>k__BackingField\Z")
EVENT_ARGS: Final = "System.EventArgs"
EVENT_HANDLERS: Final = ("System.EventHandler", "System.EventHandler`1")
DELEGATES: Final = ("System.MulticastDelegate", "System.Delegate")


class Stubs:
    """Writes the contracts of one assembly."""

    def __init__(self, assembly: str, types: Sequence[TypeInfo]) -> None:
        self._assembly = assembly
        self._types = {each.name: each for each in types}
        self._events: dict[str, ClrName] = {}  # .NET's own delegates that were named, by their names here

    def source(self) -> str:
        """All of it."""
        parts = [HEADER.format(assembly=self._assembly)]
        parts += ["\n".join(lines) for each in self._bases_first() if (lines := list(self._class(each)))]
        parts += ["\n".join(lines) for lines in self._delegates()]
        return "\n\n".join(part.rstrip("\n") + "\n" for part in parts)

    # --- types ---------------------------------------------------------------------------------------------------

    def _bases_first(self) -> list[TypeInfo]:
        ordered: dict[str, TypeInfo] = {}
        met: set[str] = set()

        def add(type_: TypeInfo) -> None:
            met.add(type_.name)
            for name in (type_.base, *type_.interfaces):
                if name in self._types and name not in met:
                    add(self._types[name])
            ordered[type_.name] = type_

        for each in self._types.values():
            if each.name not in met:
                add(each)
        return list(ordered.values())

    def _line(self, type_: TypeInfo) -> list[TypeInfo]:
        """A type and its base classes in this assembly."""
        line = [type_]
        while (base := self._types.get(line[-1].base)) is not None and base not in line:
            line.append(base)
        return line

    def _class(self, type_: TypeInfo) -> Iterator[str]:
        if not self._has_class(type_):
            return
        if type_.base == ENUM:
            yield from self._enum(type_)
        elif self._is_remote(type_):
            yield from self._remote(type_)
        else:
            yield from self._value(type_)

    def _has_class(self, type_: TypeInfo) -> bool:
        """Whether one is written. Generic types cannot be offered, and delegates are functions."""
        if "`" in type_.name or type_.base in DELEGATES:
            return False
        value = type_.base in (ENUM, "System.ValueType") or type_.serializable or self._is_exception(type_)
        return value or self._is_remote(type_)

    def _is_remote(self, type_: TypeInfo) -> bool:
        return type_.interface or self._derives(type_, "System.MarshalByRefObject")

    def _bases(self, type_: TypeInfo, without: str = "") -> str:
        """What is written behind a class's name."""
        extended = [self._types[name] for name in (type_.base, *type_.interfaces) if name in self._types]
        implied = {name for each in extended for name in each.interfaces}
        names = [
            short(each.name)
            for each in extended
            if each.name not in implied and self._has_class(each) and self._is_remote(each) == self._is_remote(type_)
        ] or [without]
        return f"({', '.join(names)})" if names != [""] else ""

    def _derives(self, type_: TypeInfo, base: str) -> bool:
        return any(each.base == base for each in self._line(type_))

    def _is_exception(self, type_: TypeInfo) -> bool:
        return any(each.base.endswith("Exception") for each in self._line(type_))

    def _decorator(self, type_: TypeInfo, *options: str) -> str:
        return f"@dotnet.type({', '.join((repr_(type_.name), f'assembly={repr_(self._assembly)}', *options))})"

    def _enum(self, type_: TypeInfo) -> Iterator[str]:
        kind = KINDS.get(type_.fields[0][1].name) if type_.fields else None
        options = [f"underlying=dotnet.Kind.{kind.name}"] if kind is not None and kind.name != "INT32" else []
        yield self._decorator(type_, *options)
        yield f"class {short(type_.name)}(enum.IntEnum):"
        for name, value in type_.values:
            yield f"    {name}{'_' if keyword.iskeyword(name) else ''} = {value}"
        if not type_.values:
            yield "    pass"

    def _value(self, type_: TypeInfo) -> Iterator[str]:
        exception = self._is_exception(type_)
        properties = bool(type_.fields) and all(BACKING.match(each.name) for each in type_.fields) and not exception
        options = ["struct=True"] if type_.base == "System.ValueType" else []
        yield self._decorator(type_, *options, *(['members="properties"'] if properties else []))
        if not exception:
            yield "@dataclass"
        yield f"class {short(type_.name)}{self._bases(type_, 'Exception' if exception else '')}:"
        taken = {_field_name(each) for base in self._line(type_)[1:] for each in base.fields}
        for each in type_.fields:
            yield f"    {self._field(each, taken, properties=properties)}"
        if not type_.fields:
            yield "    pass"

    def _field(self, field: FieldInfo, taken: set[str], *, properties: bool) -> str:
        clr_name, clr, private = field
        backing = BACKING.match(clr_name)
        name = _field_name(field)
        while name in taken:  # by a base class's
            name, properties = f"{name}_", False
        hint = self.hint(clr)
        if not self._is_struct(clr) and hint != "Any" and not hint.endswith("None"):
            hint = f"{hint} | None"
        private = private and backing is None  # it is known to be
        if private or not (properties or name == clr_name):
            hint = f"Annotated[{hint}, dotnet.Member({repr_(clr_name)}{', private=True' if private else ''})]"
        return f"{name}: {quoted(hint, self._types)}"

    def _is_struct(self, clr: ClrName) -> bool:
        if clr.ranks:
            return False
        known = self._types.get(clr.name)
        return clr.name in KINDS or clr.name == "System.Guid" or (
            known is not None and known.base in ("System.ValueType", ENUM)
        )  # fmt: skip

    # --- delegates -----------------------------------------------------------------------------------------------

    def _delegates(self) -> Iterator[list[str]]:
        """Names for functions of their signatures: those of this assembly, and .NET's own that it uses."""
        for each in self._types.values():
            invoke = self._invoke(each)
            if invoke is not None:
                types = [param.type for param in invoke.params]
                yield self._delegate(short(each.name), each.name, self._assembly, types, invoke.result)
        for name, clr in self._events.items():
            args = [arg._replace(assembly=self._assembly) if arg.name in self._types else arg for arg in clr.args]
            takes = [ClrName(OBJECT), *(clr.args or [ClrName(EVENT_ARGS)])]
            yield self._delegate(name, str(clr._replace(args=tuple(args))), "mscorlib", takes, ClrName("System.Void"))

    def _invoke(self, type_: TypeInfo) -> MethodInfo | None:
        """A delegate's signature; None: it is none, or none that a function can stand for."""
        if type_.base not in DELEGATES or "`" in type_.name:
            return None
        invoke = next((method for method in type_.methods if method.name == "Invoke"), None)
        return invoke if invoke is not None and not any(param.type.byref for param in invoke.params) else None

    def _delegate(self, name: str, clr: str, assembly: str, types: list[ClrName], result: ClrName) -> list[str]:
        options = [repr_(clr), f"assembly={repr_(assembly)}"]
        through = self._fitting(types, result)
        if through is not None:
            options.append(
                f"through={repr_(through if assembly == self._assembly else f'{through}, {self._assembly}')}"
            )
        return [
            f"{name} = Annotated[",
            f"    Callable[[{', '.join(map(self.hint, types))}], {self.hint(result)}],",
            f"    dotnet.Delegate({', '.join(options)}),",
            "]",
        ]

    def _fitting(self, types: list[ClrName], result: ClrName) -> str | None:
        """A method of this assembly's that a function may stand for; rather one that is called like a handler."""
        found = [
            f"{each.name}.{method.name}"
            for each in self._types.values()
            if not each.interface and self._derives(each, "System.MarshalByRefObject")
            for method in each.methods
            if [param.type for param in method.params] == types and method.result == result
        ]
        return min(found, key=lambda path: not path.rpartition(".")[2].startswith("On"), default=None)

    # --- contracts -----------------------------------------------------------------------------------------------

    def _remote(self, type_: TypeInfo) -> Iterator[str]:
        constructors = [method for method in type_.methods if method.name == ".ctor"]
        made = max(constructors, key=lambda method: len(method.params), default=None)
        activated = made is not None and bool(made.params)
        yield self._decorator(type_)
        yield "@rpcx.client_activated" if activated else "@rpcx.remote"
        yield f"class {short(type_.name)}{self._bases(type_)}:"
        body: list[str] = []
        if activated and made is not None:
            body += [f"    def __init__({self._parameters(made)}) -> None:", "        raise NotImplementedError", ""]
        taken: set[str] = set()
        for method in _paired(type_.methods):
            if method.name != ".ctor":
                body += [*self._method(method, taken, type_), "        raise NotImplementedError", ""]
        yield from body[:-1] or ["    pass"]

    def _method(self, method: MethodInfo, taken: set[str], type_: TypeInfo) -> Iterator[str]:
        property_ = re.match(r"(get|set)_(\w+)\Z", method.name)
        if property_ is not None and len(method.params) == (property_[1] == "set"):
            yield from self._property(method, property_[1], snake(property_[2]), type_)
            return
        base = name = snake(method.name)
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        overloaded = sum(other.name == method.name for other in type_.methods) > 1
        if overloaded or pascal(name) != method.name:
            yield f"    @dotnet.name({repr_(method.name)})"
        if method.oneway:
            yield "    @rpcx.oneway"
        yield f"    def {name}({self._parameters(method)}) -> {quoted(self._result(method), self._types)}:"

    def _property(self, method: MethodInfo, way: str, name: str, type_: TypeInfo) -> Iterator[str]:
        if way == "get":
            yield "    @property"
            yield f"    def {name}(self) -> {quoted(self.hint(method.result), self._types)}:"
            return
        if not any(other.name == f"get_{method.name[4:]}" for other in type_.methods):
            yield f"    @dotnet.name({repr_(method.name)})"
            yield f"    def set_{name}({self._parameters(method)}) -> None:"
            return
        yield f"    @{name}.setter"
        yield f"    def {name}({self._parameters(method)}) -> None:"

    def _parameters(self, method: MethodInfo) -> str:
        parts = ["self"]
        optional = True  # whether all that follow only come back, so that they may be left away
        for param in reversed(method.params):
            hint = self.hint(param.type)
            optional = optional and param.out
            if param.type.byref:
                hint = f"dotnet.{'Out' if param.out else 'Ref'}[{hint}]"
            text = f"{snake(param.name)}: {quoted(hint, self._types)}"
            parts.insert(1, f"{text} = None" if optional else text)
        return ", ".join(parts)

    def _result(self, method: MethodInfo) -> str:
        outs = [self.hint(param.type) for param in method.params if param.type.byref]
        result = self.hint(method.result)
        if not outs:
            return result
        parts = outs if result == "None" else [result, *outs]
        return parts[0] if len(parts) == 1 else f"tuple[{', '.join(parts)}]"

    # --- annotations ---------------------------------------------------------------------------------------------

    def hint(self, clr: ClrName) -> str:
        """A .NET type as an annotation; Any for what means nothing here."""
        if clr.ranks:
            item = clr._replace(ranks=clr.ranks[:-1], byref=False)
            if item.name == "System.Byte" and not item.ranks and clr.ranks[-1] == 1:
                return "bytes"
            array = ARRAYS.get(clr.ranks[-1])
            return f"{array}[{self.hint(item)}]" if array is not None else "Any"
        if clr.name in KNOWN:
            return KNOWN[clr.name]
        if clr.name in KINDS:
            return f"dotnet.{short(clr.name)}"
        args = [self.hint(arg) for arg in clr.args]
        if clr.name == "System.Nullable`1":
            return f"{args[0]} | None"
        if clr.name == "System.Collections.Generic.List`1":
            return f"list[{args[0]}]"
        if clr.name == "System.Collections.Generic.Dictionary`2":
            return f"dict[{args[0]}, {args[1]}]"
        if clr.name in EVENT_HANDLERS:
            name = "".join(["EventHandler", *(f"Of{short(arg.name)}" for arg in clr.args)])
            self._events[name] = clr
            return name
        known = self._types.get(clr.name)
        if known is not None and known.base in DELEGATES:
            return short(clr.name) if self._invoke(known) else "Callable[..., Any]"
        return short(clr.name) if known is not None and self._has_class(known) else "Any"


def _paired(methods: Sequence[MethodInfo]) -> list[MethodInfo]:
    """Each property's ``get`` with its ``set`` behind it, whatever their order was."""

    def plain(method: MethodInfo) -> str:
        return method.name.removeprefix("get_").removeprefix("set_")

    first: dict[str, int] = {}
    for number, method in enumerate(methods):
        first.setdefault(plain(method), number)
    return sorted(methods, key=lambda method: (first[plain(method)], method.name.startswith("set_")))


def _field_name(field: FieldInfo) -> str:
    backing = BACKING.match(field.name)
    return snake(backing[1]) if backing is not None else snake(field.name.lstrip("_") or field.name)


def short(name: str) -> str:
    """A type's name without its namespace."""
    return name.rpartition(".")[2].replace("+", "")


def snake(name: str) -> str:
    """``SetValue`` as Python spells it: ``set_value``; what would not lead back is left as it is."""
    made = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    made = made if pascal(made) == name or name[:1].islower() else name
    return f"{made}_" if keyword.iskeyword(made) else made


def quoted(hint: str, types: dict[str, TypeInfo]) -> str:
    """An annotation that names a class of this file is a text: the class may come later."""
    names = {short(name) for name in types}
    words = re.findall(r"\w+", hint)
    later = names.intersection(words) or any(word.startswith("EventHandler") for word in words)
    return f'"{hint.replace(chr(34), chr(39))}"' if later else hint


def repr_(text: str) -> str:
    """A text as source, in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
