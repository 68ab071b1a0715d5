"""By-value types: what travels as a copy, and how a value becomes plainer, level by level.

    exact      scalars, list, dict, bytes, and what `rpcx.sinks.tags`, `arrays` and `exceptions` have a tag for
    reference  functions, remote objects, proxies: whatever `refer` gives fields for
    as data    Enum, dataclass, pydantic model, NamedTuple, deque, subclasses of builtins: the receiver's
               annotation makes the type again, since types come from the receiver's code, never from the wire

`Values.reduce` takes one step, for one value, and `Values.lift` takes it back; `rpcx.sinks.lowering` walks the
whole. `Values.plain` and `restore` are the whole for text: all that a formatter of one's own needs.
"""

import base64
import collections
import dataclasses
import enum
import functools
import math
import re
from collections.abc import Callable, Iterator, MappingView
from typing import Any, Final

from rpcx.errors import RpcxError
from rpcx.sinks.arrays import ARRAY, NUMBER, array_tag
from rpcx.sinks.exceptions import decode_fault, encode_fault
from rpcx.sinks.lowering import ENVELOPE, MAX_CONTAINERS, MAX_DEPTH, Lowering, too_deep, too_many
from rpcx.sinks.tags import ADVICE, DICT, FLOAT, INT, SMALL_INT, TABLE, TEXT, Blob, CannotTravel, Tag, exactly

Refer = Callable[[object], "list[object] | None"]
Resolve = Callable[[list[Any]], object]  # Any: fields of the caller's own making
AsData = Callable[[Any], object]  # Any: a value of the type it was made for

REFERENCE: Final = Tag("ref", 1, list, list)  # lowered by `refer`, lifted by `resolve`
EXCEPTION: Final = Tag("exception", 20, lambda error: encode_fault(error, detail="type"), decode_fault)

BY_CODE: Final[dict[int, Tag]] = {tag.code: tag for tag in (*TABLE.values(), INT, ARRAY, NUMBER, EXCEPTION, REFERENCE)}
BY_NAME: Final[dict[str, Tag]] = {tag.name: tag for tag in (*BY_CODE.values(), FLOAT, DICT, TEXT)}
BASE64: Final = frozenset({"bytes", "bytearray", "memoryview"})  # tags whose content is a text of base64


# --- one value ----------------------------------------------------------------------------------------------

BASES: Final[dict[type, AsData]] = {  # of subclasses; the exact type again, whatever the subclass overrides
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: lambda value: bytes(memoryview(value)),
    list: list,
    tuple: tuple,
    dict: dict,
    set: set,
    frozenset: frozenset,
    bytearray: lambda value: bytearray(memoryview(value)),
    complex: lambda value: complex(value.real, value.imag),
    collections.deque: list,
}
MISSING: Final = object()
PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")


@functools.lru_cache(maxsize=1024)
def family(kind: type) -> tuple[Tag | None, AsData]:
    """How values of ``kind`` travel that have no tag of their own: under another's, or as plainer data.

    Raises:
        CannotTravel: not at all.
    """
    if issubclass(kind, enum.Enum):
        return None, lambda value: value.value
    if issubclass(kind, Exception):
        return EXCEPTION, EXCEPTION.lower
    model = _model_data(kind)
    if model is not None:
        return None, model
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind) if field.init]
        return None, lambda value: {name: getattr(value, name) for name in names}
    for base in kind.__mro__:
        if base in BASES:
            return None, BASES[base]
        if base in TABLE:
            return TABLE[base], TABLE[base].lower
    name = f"{kind.__module__}.{kind.__qualname__}"
    if issubclass(kind, Iterator | MappingView):
        raise CannotTravel(f"a {name} cannot travel: make it a list", kind)
    raise CannotTravel(f"a {name} cannot travel: {ADVICE}", kind)


def _model_data(kind: type) -> AsData | None:
    """What reads the fields of a pydantic model or dataclass; None if ``kind`` is neither."""
    if not hasattr(kind, "__pydantic_validator__"):
        return None
    if getattr(kind, "__pydantic_root_model__", False):
        return lambda value: value.root
    infos: Any = getattr(kind, "__pydantic_fields__", None) or getattr(kind, "model_fields", {})  # FieldInfos
    config: Any = getattr(kind, "model_config", None) or getattr(kind, "__pydantic_config__", None) or {}
    by_alias = config.get("validate_by_alias") is not False
    names = {name: _alias(name, info) if by_alias else name for name, info in infos.items() if info.init is not False}

    def data(value: Any) -> object:  # a model
        there = {alias: getattr(value, name, MISSING) for name, alias in names.items()}
        extra = getattr(value, "__pydantic_extra__", None) or {}
        return {alias: part for alias, part in there.items() if part is not MISSING} | extra

    return data


def _alias(name: str, info: Any) -> str:  # pydantic's FieldInfo
    """The name that validation takes: a plain alias, the first plain one of several, else the field's own."""
    alias = info.validation_alias if info.validation_alias is not None else info.alias
    choices = getattr(alias, "choices", (alias,))
    return next((choice for choice in choices if isinstance(choice, str)), name)


class Values:
    """What a formatter may ask about values (`rpcx.abc.Values`), with this connection's references.

    Args:
        refer: an object that is not by-value → the fields of its reference; None: it has none.
        resolve: such fields → what stands for the object here.
        depth: of containers within containers, for `plain` and `restore`.
        containers: of one message, likewise.
    """

    __slots__ = ("_containers", "_depth", "_resolve", "refer", "seen_reference")

    def __init__(
        self, refer: Refer, resolve: Resolve, *, depth: int = MAX_DEPTH, containers: int = MAX_CONTAINERS
    ) -> None:
        self.refer = refer
        self.seen_reference = False  # set when a reference arrives; who cares resets it before it decodes
        self._resolve = resolve
        self._depth = depth
        self._containers = containers

    def reduce(self, value: Any) -> tuple[Tag | None, Any]:  # any value; data of any type
        """``value`` one step plainer, and the tag that tells what it was; no tag: the data stand for it.

        Raises:
            CannotTravel: there is no such step.
        """
        kind: Any = type(value)  # a type, which mypy does not take for hashable
        tag = TABLE.get(kind) or array_tag(kind)
        if tag is not None:
            return tag, tag.lower(value)
        fields = self.refer(value)
        if fields is not None:
            return REFERENCE, fields
        try:
            tag, lower = family(kind)
        except CannotTravel as error:
            raise CannotTravel(error.reason, value) from None
        return tag, lower(value)

    def lift(self, tag: Tag, data: Any) -> object:  # a stranger's
        """The inverse of a step with a tag. Raises ValueError."""
        try:
            return self.resolve(exactly(list, data)) if tag is REFERENCE else tag.lift(data)
        except (RpcxError, ValueError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever hostile data provoke, they are none of the tag's
            raise ValueError(f"a {tag.name} of unusable data: {error}") from None

    def resolve(self, fields: list[Any]) -> object:  # of the caller's own making
        """What stands here for the object of a reference that arrived."""
        self.seen_reference = True
        return self._resolve(fields)

    def plain(self, value: object) -> object:
        """``value`` as None, bool, int, float, str, list and dict with text keys only; `restore` inverts it."""
        return _Plain(self, self._depth, self._containers).message(value)

    def restore(self, plain: object) -> object:
        """The value that `plain` wrote. Raises ValueError on anything else."""
        return _Restoring(self, self._depth, self._containers).restore(plain, 0)


# --- plain data ---------------------------------------------------------------------------------------------


class _Plain(Lowering):
    """Text's own ways: tags as ``{"$tag": content}``, bytes as base64, keys that are texts."""

    native = frozenset({type(None), bool})
    own = frozenset({int, float, str, bytes, Blob})

    def say(self, value: Any) -> object:  # of a type in `own`
        kind = type(value)
        if kind is int:
            return value if value in SMALL_INT else self.tagged(INT, self.say(INT.lower(value)))
        if kind is float:
            return value if math.isfinite(value) else self.tagged(FLOAT, FLOAT.lower(value))
        if kind is str:
            return value if _escapable(value) else self.tagged(TEXT, self.say(TEXT.lower(value)))
        data = value.data if kind is Blob else value
        return {"$bytes": base64.b64encode(data).decode("ascii")}

    def mapping(self, value: dict[Any, Any], depth: int) -> object:  # keys of any type
        if _is_plain_map(value):
            return {key: self.lower(item, depth + 1) for key, item in value.items()}
        keys = [self.key(key, depth + 1) for key in value]
        self.check_distinct(keys, value)
        pairs = [[key, self.lower(item, depth + 1)] for key, item in zip(keys, value.values(), strict=True)]
        return self.tagged(DICT, pairs)

    def repeats(self, lowered: list[Any]) -> bool:  # keys, or the items of a set
        return len({(repr(each),) if type(each) is dict else each for each in lowered}) != len(lowered)

    def tagged(self, tag: Tag, content: Any) -> object:  # lowered
        if tag.name in BASE64 and "$bytes" in content:
            content = content["$bytes"]
        return {f"${tag.name}": content}


def _escapable(text: str) -> bool:
    """Whether escapes tell its surrogates, if it has any: two of a pair would come back as one character."""
    return text.isascii() or PAIR.search(text) is None


def _is_plain_map(value: dict[Any, Any]) -> bool:  # keys of any type
    """Texts only, and not what would be read as a tag."""
    if not all(type(key) is str and _escapable(key) for key in value):
        return False
    return len(value) != 1 or not next(iter(value)).startswith("$")


class _Restoring:
    """Plain data on their way in; one per message."""

    def __init__(self, values: Values, depth: int, containers: int) -> None:
        self._values = values
        self._depth = depth
        self._containers = containers
        self._left = containers  # that may still come

    def restore(self, plain: Any, depth: int) -> object:  # a stranger's
        if type(plain) is list:
            self._count(depth)
            return [self.restore(item, depth + 1) for item in plain]
        if type(plain) is not dict:
            return plain
        if len(plain) == 1:
            ((key, data),) = plain.items()
            if key.startswith("$"):
                return self._tagged(key[1:], data, depth)
        self._count(depth)
        return {key: self.restore(item, depth + 1) for key, item in plain.items()}

    def _tagged(self, name: str, data: object, depth: int) -> object:
        if name in BASE64 and (name == "bytes" or type(data) is str):
            data = base64.b64decode(exactly(str, data), validate=True)
            return data if name == "bytes" else self._values.lift(BY_NAME[name], data)
        tag = BY_NAME.get(name)
        if tag is None:
            raise ValueError(f"an unknown tag ${name:.40}")
        if tag is DICT:
            self._count(depth)
            pairs = [exactly(list, pair) for pair in exactly(list, data)]
            return self._values.lift(DICT, [[self.restore(part, depth + 1) for part in pair] for pair in pairs])
        return self._values.lift(tag, self.restore(data, depth))

    def _count(self, depth: int) -> None:
        self._left -= 1
        if depth >= self._depth + ENVELOPE:
            raise too_deep(self._depth)
        if self._left < 0:
            raise too_many(self._containers)
