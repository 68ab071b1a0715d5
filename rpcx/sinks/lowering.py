"""Walks over whole values: on their way out to make them plainer, on their way in to measure them.

`Lowering` knows the limits and asks for one step at a time (`rpcx.sinks.values.Values.reduce`); a formatter
derives from it and says what its bytes hold by themselves. Both directions are bounded: data that contain
themselves, or hold one list a billion times by sharing it, would not end.

    the user's depth      32, and four levels of envelope around it: batch, run, calls, arguments
    containers            100,000 in one message, tuples and sets included

Nothing is paid for places: what cannot travel is looked for again, from the outside, once it has failed.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from rpcx.errors import LimitExceeded, RpcxError
from rpcx.sinks.tags import Blob, CannotTravel, Tag

P = ParamSpec("P")
R = TypeVar("R")

MAX_DEPTH: Final = 32  # containers within containers (Cap'n Proto 64; msgpack's C code stops at 1,024)
MAX_CONTAINERS: Final = 100_000  # lists, maps and tuples in one message; each costs 56 to 64 bytes for one
LONGEST_KEY: Final = 16_384  # characters of a map's key: more is a value in the wrong place
FEW_KEYS: Final = 64  # of a map, which are measured together
ENVELOPE: Final = 4  # levels around the user's data: batch, run of calls, its calls, their arguments
SEARCHED: Final = 100_000  # values that are looked at to find a place; a message has hardly more

#: Values of exactly these types need no look by anybody.
SCALARS: Final = frozenset({type(None), bool, int, float, str})
CONTAINERS: Final = frozenset({list, dict, tuple, set, frozenset})


class Reducing(Protocol):
    """One step at a time: `rpcx.sinks.values.Values`."""

    def reduce(self, value: Any, /) -> tuple[Tag | None, Any]: ...  # any value; data of any type


def too_deep(limit: int) -> LimitExceeded:
    """The error for containers within containers."""
    text = f"data are nested deeper than {limit} levels, or contain themselves; send them flatter"
    return LimitExceeded(text, limit="fixed.depth")


def too_many(limit: int) -> LimitExceeded:
    """The error for containers beside containers."""
    return LimitExceeded(
        f"a message has more lists and maps than the {limit} allowed, tuples and sets included; send a stream",
        limit="fixed.containers",
    )


def long_key() -> LimitExceeded:
    """The error for a key that is no key."""
    text = f"a map has a text of more than {LONGEST_KEY} characters as key; let it be a value"
    return LimitExceeded(text, limit="fixed.key_length")


def is_long(container: dict[Any, Any]) -> bool:  # of any type, both
    """Whether a map has a text as key that is too long. 0.2 µs for most, whose keys are short texts and few."""
    try:
        few = len(container) <= FEW_KEYS
        if (len("".join(container)) if few else max(map(len, container))) <= LONGEST_KEY:
            return False
    except TypeError:  # numbers, for one
        pass
    return any(isinstance(key, str) and len(key) > LONGEST_KEY for key in container)


def no_message(error: Exception) -> ValueError:
    """What ``error``, raised in reading what a stranger wrote, comes to."""
    return ValueError(f"{type(error).__name__}: {error}")


def refusing(decode: Callable[P, R]) -> Callable[P, R]:
    """``decode``, whose every error is a refusal: a library's own, zlib's for one, are no ValueErrors."""

    @functools.wraps(decode)
    def refuse(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return decode(*args, **kwargs)
        except (RpcxError, ValueError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever a hostile message provokes, it is no message
            raise no_message(error) from None

    return refuse


class Lowering:
    """Walks a value on its way out. A formatter derives from it; one per message.

    ``native`` values pass as they are, those in ``own`` go to `say`; dicts go to `mapping`, tagged ones to
    `tagged`. Depth and number are counted as the receiver counts them.
    """

    native: frozenset[type] = SCALARS
    own: frozenset[type] = frozenset({bytes, Blob})

    def __init__(self, values: Reducing, depth: int, containers: int) -> None:
        self._values = values
        self._depth = depth
        self._deepest = depth + ENVELOPE
        self._containers = containers
        self._left = containers  # that may still come
        self._hashed = False  # inside a set or a key: what would arrive as list or dict cannot be there
        self._plainer = False  # something travels as what it is not, and so may arrive equal to its neighbour

    def say(self, value: Any) -> Any:  # of a type in `own`; what the formatter writes
        """A value that the formatter writes in a way of its own."""
        raise NotImplementedError

    def mapping(self, value: dict[Any, Any], depth: int) -> Any:  # keys of any type; what the formatter writes
        """A dict, each of whose keys and items is to be lowered."""
        raise NotImplementedError

    def repeats(self, lowered: list[Any]) -> bool:  # what the formatter writes
        """Whether two of these keys, or items of a set, arrive as one."""
        raise NotImplementedError

    def tagged(self, tag: Tag, content: Any) -> Any:  # what the formatter writes, both
        """What says that ``content``, lowered already, is ``tag``'s."""
        raise NotImplementedError

    def message(self, envelope: object) -> Any:  # what the formatter writes
        """The whole. Errors name the place in the user's data."""
        try:
            return self.lower(envelope, 0)
        except CannotTravel as error:
            place = place_of(envelope, error.culprit)
            raise CannotTravel(f"{place}: {error.reason}" if place else error.reason, error.culprit) from None
        except RecursionError:  # only a property that answers itself, or a caller that is deep already
            raise too_deep(self._depth) from None

    def lower(self, value: Any, depth: int) -> Any:  # any value; what the formatter writes
        kind = type(value)
        if kind in self.native:
            return value
        if kind in self.own:
            return self.say(value)
        if kind is list:
            return self.items(value, depth)
        if kind is dict:
            self._enter(value, depth)
            return self.mapping(value, depth)
        tag, plainer = self._values.reduce(value)
        if tag is None:
            self._plainer = True
            return self.lower(plainer, depth)
        if tag.nested:
            hashed, self._hashed = self._hashed, tag.name != "tuple" or self._hashed
            content = self.nested(plainer, depth)
            if tag.name != "tuple":
                self.check_distinct(content, value)
        else:
            hashed, self._hashed = self._hashed, False
            content = self.lower(plainer, 0)  # its own, and flat: no depth of the user's
        self._hashed = hashed
        return self.tagged(tag, content)

    def items(self, value: list[Any], depth: int) -> Any:  # items of any type; what the formatter writes
        self._enter(value, depth)
        if self.native.issuperset(map(type, value)):
            return value
        return [self.lower(item, depth + 1) for item in value]

    def nested(self, items: list[Any], depth: int) -> list[Any]:  # items of any type, lowered or not
        """The items of a tuple or set."""
        self._count(depth)
        if self.native.issuperset(map(type, items)):
            return items
        return [self.lower(item, depth + 1) for item in items]

    def key(self, key: Any, depth: int) -> Any:  # any key; what the formatter writes
        """A dict's key: like the items of a set."""
        if type(key) in self.native:
            return key
        hashed, self._hashed = self._hashed, True
        lowered = self.lower(key, depth)
        self._hashed = hashed
        return lowered

    def check_distinct(self, lowered: list[Any], container: object) -> None:  # keys, or the items of a set
        """Raise `CannotTravel` where one would be lost: a dict with the keys ``Color.RED`` and ``"red"``."""
        if self._plainer and self.repeats(lowered):
            what = "keys" if isinstance(container, dict) else "items"
            raise CannotTravel(f"two of its {what} travel as the same value, so one would be lost", container)

    def _enter(self, container: object, depth: int) -> None:
        if self._hashed:
            raise CannotTravel(
                "it travels as a list or dict, which can be no key and in no set; use a tuple", container
            )
        self._count(depth)

    def _count(self, depth: int) -> None:
        self._left -= 1
        if depth >= self._deepest:
            raise too_deep(self._depth)
        if self._left < 0:
            raise too_many(self._containers)


def check_depth(value: object, depth: int) -> None:
    """Raise LimitExceeded if containers in ``value`` nest too deep. Iterative: what it looks for cannot hurt it."""
    level: list[Any] = [value] if type(value) in CONTAINERS else []
    for _ in range(depth + ENVELOPE):
        below: list[Any] = []
        for container in level:
            if type(container) is dict:
                below += _inside(container.values())
                below += _inside(container)
            else:
                below += _inside(container)
        if not below:
            return
        level = below
    raise too_deep(depth)


def _inside(items: Any) -> Sequence[Any]:  # a container or a view of one
    if SCALARS.issuperset(map(type, items)):
        return ()
    return [item for item in items if type(item) in CONTAINERS]


# --- places -------------------------------------------------------------------------------------------------


def place_of(envelope: Any, culprit: object) -> str:  # what a formatter was given
    """Where in the user's data ``culprit`` is: ``args[0].items[3]``; empty if it is not found."""
    waiting = collections.deque(_roots(envelope))
    seen: set[int] = set()
    while waiting and len(seen) < SEARCHED:
        place, value = waiting.popleft()  # the nearest first: data that contain themselves have many places
        if value is culprit:
            return place
        if id(value) not in seen:
            seen.add(id(value))
            waiting.extend((place + step, part) for step, part in _parts(value))
    return ""


def _roots(envelope: Any) -> Iterator[tuple[str, object]]:  # what a formatter was given
    match envelope:
        case [str(), str(), list(args), _, *rest]:
            yield from ((f"args[{index}]", arg) for index, arg in enumerate(args))
            if rest and isinstance(rest[0], dict):
                yield from rest[0].items()
        case [value]:
            yield "result", value
        case [*calls] if all(isinstance(call, list) for call in calls):
            for index, call in enumerate(calls):
                yield from ((f"[{index}].{place}", value) for place, value in _roots(call))
        case _:
            yield "", envelope


def _parts(value: Any) -> Iterator[tuple[str, object]]:  # any value
    if isinstance(value, list | tuple | collections.deque):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, dict):
        yield from ((f"[{key!r:.40}]", item) for key, item in value.items())
        yield from ((f" key {key!r:.40}", key) for key in value)
    elif isinstance(value, set | frozenset):
        yield from ((f" item {item!r:.40}", item) for item in value)
    elif dataclasses.is_dataclass(type(value)):
        yield from ((f".{field.name}", getattr(value, field.name, None)) for field in dataclasses.fields(value))
    elif hasattr(type(value), "__pydantic_validator__"):
        known = {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}
        yield from ((f".{name}", part) for name, part in known.items())
