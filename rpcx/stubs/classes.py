"""The stub of one remote class: its methods awaited, its streams asynchronous, its properties awaitable."""

import ast
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from rpcx.remoting.contract import CONTRACT, Contract, Marks, Method, MethodKind, Mode
from rpcx.stubs.annotations import Annotations, chain
from rpcx.stubs.names import Definition, Imports, Origin, Source, Unwritable, last, source_of
from rpcx.stubs.spelling import INDENT, docstring, expression, parameters, signature
from rpcx.stubs.variance import Sign, Variance

ACCESSORS: Final = {MethodKind.GET: "property", MethodKind.SET: "setter", MethodKind.DEL: "deleter"}


class ClassStub:
    """The stub of ``cls``.

    Attributes:
        bases: remote classes whose stubs it inherits, and which therefore come before it.
        variables: the type variables it needs, as statements by name; known when `text` is.
    """

    def __init__(self, cls: type, contract: Contract, imports: Imports, name: Callable[[type], str]) -> None:
        self._cls = cls
        self._contract = contract
        self._imports = imports
        self._name = name  # what the stub of a remote class is called
        self._source = source_of(cls.__module__)
        self._definition = self._source.class_at(cls.__qualname__)
        self._parameters: tuple[str, ...] = tuple(each.__name__ for each in getattr(cls, "__parameters__", ()))
        self._renamed: dict[str, str] = {}  # type variables that are others here
        self.bases = [base for base, theirs in _remote_bases(cls) if theirs.methods.keys() <= contract.methods.keys()]
        self.variables: dict[str, str] = {}
        self._own = [
            (method, *self._defined(method)) for method in _own_methods(contract, self.bases)
        ]  # with the definitions of each, and how annotations there are rewritten

    def text(self) -> str:
        """All of it, without a line end."""
        self._choose_variables()
        members = [self._member(method, made, definitions) for method, made, definitions in self._own]
        doc = docstring(ast.get_docstring(self._definition), INDENT)
        body = "\n".join(filter(None, [doc, *members])) or f"{INDENT}..."
        top, *inner = self._cls.__qualname__.split(".")
        of = chain(self._imports.name(Origin(self._cls.__module__, top), top), inner)
        head = f"class {self._name(self._cls)}({', '.join(self._base_texts())}):"
        return f"@rpcx.aio.stub_of({expression(of)})\n{head}\n{body.rstrip()}"

    def _annotations(self, source: Source, path: str) -> Annotations:
        return Annotations(source, path, self._imports, self._name, self._renamed)

    def _base_texts(self) -> Iterator[str]:
        annotations = self._annotations(self._source, self._cls.__qualname__)
        left = list(self.bases)
        for node in self._definition.bases:
            base = annotations.origin(node.value if isinstance(node, ast.Subscript) else node)
            if base in left:
                left.remove(base)
                yield expression(annotations.received(node))
        yield from map(self._name, left)  # reached through classes that are not remote
        if not self.bases:
            yield "rpcx.aio.Stub"
        own = [self._renamed.get(name) or expression(annotations.received(ast.Name(name))) for name in self._parameters]
        protocol = self._imports.name(Origin("typing", "Protocol"), "Protocol")
        yield f"{protocol}[{', '.join(own)}]" if own else protocol

    # --- type variables ------------------------------------------------------------------------------------------

    def _choose_variables(self) -> None:
        """A Protocol's type variable says whether it is only received, or only sent; a class's need not."""
        if not self._parameters:
            return
        variance = Variance(self._parameters)
        for method, annotations, definitions in self._own:
            for node in definitions if method.name != "__init__" else ():
                variance.use(node.returns, Sign.RECEIVED, annotations)
                for arg in _arguments(node):
                    variance.use(arg.annotation, Sign.SENT, annotations)
        for name in self._parameters:
            word = variance.of(name)
            if word:
                self._vary(name, word)

    def _vary(self, name: str, word: str) -> None:
        source, made = self._source.alias(name)
        varied = self._imports.define(f"{name}_{'co' if word == 'covariant' else 'contra'}")
        annotations = self._annotations(source, "")
        call = annotations.written(made)
        if not isinstance(call, ast.Call):
            raise Unwritable(f"{self._cls.__module__}.{self._cls.__qualname__}: {name} is not made by TypeVar(...)")
        call.args[0] = ast.Constant(varied)
        call.keywords = [*(k for k in call.keywords if k.arg != word), ast.keyword(word, ast.Constant(value=True))]
        self._renamed[name] = varied
        self.variables[varied] = f"{varied} = {expression(call)}"

    # --- members -------------------------------------------------------------------------------------------------

    def _defined(self, method: Method) -> tuple[Annotations, Sequence[Definition]]:
        """The definition of a method, before its overloads, and how its annotations are rewritten."""
        function: Any = inspect.unwrap(method.function)
        path = function.__qualname__.rpartition(".")[0]
        if "<locals>" in path or function.__module__ not in sys.modules:
            raise Unwritable(f"{method.where}: its source is not to be found; define it in a module")
        source = source_of(function.__module__)
        found: Sequence[Definition] = source.function(function, path)
        if not found:  # it was made by code: of a dataclass, the constructor
            path = self._cls.__qualname__
            found = [_synthesized(function, source, self._cls)]
        return self._annotations(source, path), found

    def _member(self, method: Method, annotations: Annotations, definitions: Sequence[Definition]) -> str:
        doc = docstring(ast.get_docstring(definitions[0]), INDENT * 2)
        texts: list[str] = []
        for node in definitions[1:] or definitions:  # a Protocol has no implementation beside overloads
            decorators, head, result = self._head(method, node, annotations)
            shown = parameters(_rewritten(node.args, annotations))
            line = signature(f"{INDENT}{head}", shown, result)
            body = f"\n{doc}{INDENT * 2}...\n" if doc and not texts else " ...\n"
            texts.append("".join(f"{INDENT}@{each}\n" for each in decorators) + line + body)
        return "\n".join(texts)

    def _head(self, method: Method, node: Definition, annotations: Annotations) -> tuple[list[str], str, str]:
        """Decorators, what is before the parameters, and the result."""
        name, dot, _ = method.name.partition(".")
        if dot and name not in self._contract.methods:
            raise Unwritable(f"{method.where} can be set and not read; no stub can say so")
        overload = [expression(annotations.written(each)) for each in node.decorator_list if last(each) == "overload"]
        if name == "__init__" or method.kind in (MethodKind.SET, MethodKind.DEL):
            accessor = [f"{name}.{ACCESSORS[method.kind]}"] if method.kind in ACCESSORS else overload
            return accessor, f"def {name}", "None"
        if method.kind is MethodKind.STREAM:
            iterator = self._imports.name(Origin("collections.abc", "AsyncIterator"), "AsyncIterator")
            return overload, f"def {name}", f"{iterator}[{expression(annotations.items(node.returns))}]"
        result = "None" if method.oneway else expression(annotations.received(node.returns))
        if method.kind is MethodKind.GET:
            awaitable = self._imports.name(Origin("collections.abc", "Awaitable"), "Awaitable")
            return ["property"], f"def {name}", f"{awaitable}[{result}]"
        return overload, f"async def {name}", result


def _remote_bases(cls: type) -> Iterator[tuple[type, Contract]]:
    """The nearest remote classes above ``cls``, on each way up."""
    for base in cls.__bases__:
        contract = vars(base).get(CONTRACT)
        if contract is not None:
            yield base, contract
        else:
            yield from _remote_bases(base)


def _own_methods(contract: Contract, bases: Sequence[type]) -> Iterator[Method]:
    """What the stub has that the stubs of its bases have not: first the constructor, if clients may call it."""
    inherited = {function for base in bases for function in _functions(vars(base)[CONTRACT])}
    for method in (*_constructor(contract), *contract.methods.values()):
        if inspect.unwrap(method.function) not in inherited:
            yield method


def _functions(contract: Contract) -> Iterator[Callable[..., object]]:
    for method in (*_constructor(contract), *contract.methods.values()):
        yield inspect.unwrap(method.function)


def _constructor(contract: Contract) -> Iterator[Method]:
    made: Any = contract.cls.__init__  # type: ignore[misc]  # of this very class
    if contract.mode is Mode.CLIENT_ACTIVATED and isinstance(made, types.FunctionType):
        yield Method("__init__", MethodKind.CALL, made, Marks(), f"{contract.cls.__name__}.__init__")


def _arguments(node: Definition) -> Iterator[ast.arg]:
    """The parameters of a method, but its first."""
    arguments = node.args
    yield from [*arguments.posonlyargs, *arguments.args][1:]
    yield from filter(None, [arguments.vararg, *arguments.kwonlyargs, arguments.kwarg])


def _rewritten(arguments: ast.arguments, annotations: Annotations) -> ast.arguments:
    own = [*arguments.posonlyargs, *arguments.args][0]

    def rewritten(node: ast.arg) -> ast.arg:
        return node if node is own else ast.arg(node.arg, annotations.sent(node.annotation))

    return ast.arguments(
        posonlyargs=[rewritten(each) for each in arguments.posonlyargs],
        args=[rewritten(each) for each in arguments.args],
        vararg=rewritten(arguments.vararg) if arguments.vararg is not None else None,
        kwonlyargs=[rewritten(each) for each in arguments.kwonlyargs],
        kw_defaults=[annotations.written(each) if each is not None else None for each in arguments.kw_defaults],
        kwarg=rewritten(arguments.kwarg) if arguments.kwarg is not None else None,
        defaults=[annotations.written(each) for each in arguments.defaults],
    )


def _synthesized(function: Callable[..., object], source: Source, cls: type) -> ast.FunctionDef:
    """A definition for a function that code made; what is not annotated in the class is Any."""
    fields = {
        name: node.annotation
        for base in reversed(cls.__mro__)
        if base.__module__ == source.module.__name__
        for node in source.class_at(base.__qualname__).body
        if isinstance(node, ast.AnnAssign) and (name := last(node.target))
    }
    texts, star = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            texts.append("*")
        star = star or parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY)
        mark = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
        default = "" if parameter.default is parameter.empty else "=..."
        texts.append(f"{mark}{parameter.name}{default}")
    (made,) = ast.parse(f"def {function.__name__}({', '.join(texts)}): ...").body
    assert isinstance(made, ast.FunctionDef)
    for arg in _arguments(made):
        arg.annotation = fields.get(arg.arg)
    return made
