"""Arguments and results against their annotations.

Types come from the receiver's code: what arrives is plain data, and the annotation of the parameter it is
for makes the type (pydantic, its usual coercions: a dict becomes a dataclass or model, a text a Path).
Adapters are built at first use, since annotations may name classes that are defined later.

The common call has scalars only: then one tuple of types is compared (150 ns) and pydantic is not asked.
"""

import functools
import inspect
import logging
import types
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Final

from rpcx.errors import InvalidArguments

log = logging.getLogger("rpcx")

# Values of exactly these types need no validator where the annotation is the same type.
PLAIN: Final = frozenset({int, str, float, bool, bytes, type(None)})
ANYTHING: Final = (inspect.Parameter.empty, Any, object)
STREAMS: Final = frozenset({Iterator, Generator, AsyncIterator, AsyncGenerator})

Validator = Callable[[object], object]
Fit = Callable[[Sequence[object], dict[str, object] | None], tuple[Sequence[object], dict[str, object]]]


class Arguments:
    """Fits the arguments of a call to the parameters of a function.

    Raises `InvalidArguments` that name the parameter and say what is wrong with it.
    """

    def __init__(self, function: Callable[..., object], where: str, names: Mapping[str, type]) -> None:
        self._function = function
        self._where = where  # "Account.deposit", for messages
        self._names = names  # remote classes by name, for annotations that cannot be evaluated otherwise
        parameters = list(inspect.signature(function).parameters.values())[1:]  # without self
        self.signature = inspect.Signature(parameters)
        self._validators: dict[str, Validator | None] | None = None  # by parameter; None: not built yet
        self.plain: list[type] | None = None  # exact types of plain positionals alone; known after the first fit
        self._ordered: list[Validator | None] = []  # of the positional parameters, in order

    def fit(
        self, args: Sequence[object], kwargs: dict[str, object] | None
    ) -> tuple[Sequence[object], dict[str, object]]:
        """The arguments as the function takes them."""
        if not kwargs and self.plain is not None and [*map(type, args)] == self.plain:
            return args, NO_KEYWORDS
        if self._validators is None:
            self._build()
            return self.fit(args, kwargs)
        if not kwargs and self._ordered and len(args) == len(self._ordered):
            pairs = zip(self._ordered, args, strict=True)
            try:
                return [arg if check is None else check(arg) for check, arg in pairs], NO_KEYWORDS
            except ValueError:
                pass  # once more below, where the parameter's name is known
        return self._bind(args, kwargs or {})

    def fit_all(self, args: Sequence[object], count: int) -> bool:
        """Whether the arguments of ``count`` calls, one after the other, need no change: they are plain and right."""
        return self.plain is not None and [*map(type, args)] == self.plain * count

    def _build(self) -> None:
        parameters = self.signature.parameters.values()
        hints = {p.name: resolve(p.annotation, self._function, self._names) for p in parameters}
        self._validators = {name: validator(hint) for name, hint in hints.items()}
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if len(positional) == len(parameters):
            self._ordered = [self._validators[p.name] for p in positional]
            if all(hints[p.name] in PLAIN for p in positional):
                self.plain = [hints[p.name] for p in positional]

    def _bind(self, args: Sequence[object], kwargs: dict[str, object]) -> tuple[Sequence[object], dict[str, object]]:
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(f"{self._where}{self.signature}: {error}") from None
        values = bound.arguments
        for name, value in values.items():
            check = (self._validators or {})[name]
            if check is None:
                continue
            kind = self.signature.parameters[name].kind
            if kind == inspect.Parameter.VAR_POSITIONAL:
                values[name] = tuple(self._checked(name, check, item) for item in value)
            elif kind == inspect.Parameter.VAR_KEYWORD:
                values[name] = {key: self._checked(key, check, item) for key, item in value.items()}
            else:
                values[name] = self._checked(name, check, value)
        return bound.args, bound.kwargs

    def _checked(self, name: str, check: Validator, value: object) -> object:
        try:
            return check(value)
        except ValueError as error:
            raise InvalidArguments(f"{self._where}: argument {name!r}: {_reason(error)}") from None


NO_KEYWORDS: Final[dict[str, object]] = {}


class Result:
    """Checks what a method returned, or each item it streams, against its annotation."""

    def __init__(self, function: Callable[..., object], where: str, names: Mapping[str, type], *, stream: bool) -> None:
        self._function = function
        self._where = where
        self._names = names
        self._stream = stream
        self._plain: type | None = None  # values of exactly this type pass at once
        self._check: Validator | None = None
        self._built = False

    def fit(self, value: object) -> object:
        """The value as it is declared."""
        if type(value) is self._plain:
            return value
        if not self._built:
            self._build()
        if self._check is None:
            return value
        try:
            return self._check(value)
        except ValueError as error:
            kind = "item" if self._stream else "result"
            raise InvalidArguments(f"{self._where}: its {kind} is not as declared: {_reason(error)}") from None

    def _build(self) -> None:
        annotation = getattr(self._function, "__annotations__", {}).get("return", inspect.Parameter.empty)
        hint = resolve(annotation, self._function, self._names)
        if self._stream:
            origin = typing.get_origin(hint)
            hint = typing.get_args(hint)[0] if origin in STREAMS else Any
        self._plain = hint if hint in PLAIN else None
        self._check = validator(hint)
        self._built = True


def resolve(annotation: Any, function: Callable[..., object], names: Mapping[str, type]) -> Any:  # any annotation
    """What ``annotation`` means where ``function`` was written; Any (and a log line) if that is unknown."""
    if annotation in ANYTHING:
        return Any
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    inner = inspect.unwrap(function)
    scope = getattr(inner, "__globals__", {})
    known = dict(names.items())
    if inspect.isfunction(inner):
        known |= inspect.getclosurevars(inner).nonlocals
    local = {name: value for name, value in known.items() if name not in scope}
    try:
        return typing.get_type_hints(holder, scope, local, include_extras=True)["it"]
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        log.warning("%s: annotation %r is not checked: %s", function.__qualname__, annotation, error)
        return Any


@functools.lru_cache(maxsize=4096)
def _adapter(hint: Any) -> Validator:  # any annotation
    from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
    except PydanticSchemaGenerationError:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    return adapter.validator.validate_python


def validator(hint: Any) -> Validator | None:  # any annotation
    """What checks a value against ``hint``; None if anything goes."""
    if hint in ANYTHING or isinstance(hint, typing.TypeVar):
        return None
    return _adapter(hint)


def _reason(error: ValueError) -> str:
    """Pydantic's first complaint, in one line."""
    complaints = getattr(error, "errors", None)
    if complaints is None:
        return str(error)
    listed = complaints(include_url=False)
    first = listed[0]
    place = ".".join(str(step) for step in first["loc"])
    got = repr(first.get("input"))
    text = f"{first['msg']} (got {got if len(got) <= 80 else got[:77] + '...'})"
    more = f" and {len(listed) - 1} more" if len(listed) > 1 else ""
    return (f"at {place}: {text}" if place else text) + more
