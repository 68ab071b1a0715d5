"""What a formatter promises (`rpcx.abc.Formatter`)."""

import datetime
import decimal
import math
import pathlib
import random
import struct
import threading
import uuid
import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from rpcx.abc import Buffer, Formatter
from rpcx.conformance.rules import SECONDS, Rules
from rpcx.errors import RpcxError
from rpcx.sinks.values import Values

SEED: Final = 5  # of what is made by chance: the same each time
MUTANTS: Final = 40  # of each message
LARGE: Final = bytes(range(256)) * 256  # bytes that a formatter may carry beside the message


class Reference:
    """Goes by reference: a formatter asks `Values` for its fields."""

    def __init__(self, fields: list[object]) -> None:
        self.fields = fields


#: Everything that travels by copy (`rpcx.sinks.tags`), and how it is told apart.
SAMPLES: Final[list[Any]] = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, -(10**40), 0.0, -0.0, 1.5, 1e300, math.inf,
    -math.inf, math.nan, "", "ann", "é\u20ac\U0001f600\0", "\ud800", "$ref", b"", b"\0\xff", LARGE, bytearray(b"x"),
    bytearray(LARGE), memoryview(b"view"), 2 - 3j, range(3, 9, 2), decimal.Decimal("1.10"), uuid.UUID(int=7),
    pathlib.PurePosixPath("/a b"), datetime.date(2026, 1, 2), datetime.timedelta(days=-1, microseconds=5),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),  # noqa: DTZ001  # so
    datetime.time(1, 2, fold=1), datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("UTC")), [], (), set(),
    frozenset(), {}, [1, [2, (3, "x")]], (1, (2,), [None]), {1, "a", (2, 3)}, frozenset({frozenset({1})}),
    {"a": {"b": [1, {"c": ()}]}}, {1: "a", (2, 3): b"b"}, {"$bytes": "no tag"}, {"$": 1}, [[[[[[["deep"]]]]]]],
    list(range(200)), {f"k{i}": i for i in range(50)}, ValueError("text", 5),
]  # fmt: skip


def check_formatter(formatter: Formatter) -> None:
    """Whether a formatter keeps its rules. Takes a second or so.

    Raises:
        AssertionError: names the rule that is broken.
    """
    check = _Check(formatter)
    check.named()
    for value in SAMPLES:
        check.round_trip(value)
    check.references()
    check.refuses()
    check.garbage()
    check.shared()
    check.plain()


class _Check(Rules):
    """The rules, each as a method."""

    def __init__(self, formatter: Formatter) -> None:
        super().__init__(formatter)
        self._formatter = formatter
        self._chance = random.Random(SEED)  # noqa: S311  # no secret

    def named(self) -> None:
        name: Any = self._formatter.name
        self.holds(isinstance(name, str) and name, "a formatter has a name", name)

    # --- values ------------------------------------------------------------------------------------------------

    def encoded(self, envelope: object, values: Values | None = None) -> tuple[bytes, Sequence[Buffer]]:
        made: Any = self._formatter.encode(envelope, values or plain_values())
        well = isinstance(made, tuple) and len(made) == 2 and type(made[0]) is bytes
        self.holds(well, "encode returns bytes, and the segments that travel beside them", made)
        body, segments = made
        kinds = all(isinstance(each, bytes | bytearray | memoryview) for each in segments)
        self.holds(kinds, "segments are buffers", segments)
        return body, segments

    def round_trip(self, value: object) -> None:
        envelope = ["bank", "open", [value], 30.0]
        with self.works(f"{_told(value)} can be encoded"):
            body, segments = self.encoded(envelope)
        with self.works(f"{_told(value)} can be decoded"):
            arrived: Any = self._formatter.decode(body, [bytes(each) for each in segments], plain_values())
            again = self._formatter.decode(body, [bytes(each) for each in segments], plain_values())
        self.holds(same(arrived, envelope), f"{_told(value)} arrives as it was", arrived)
        self.holds(same(again, envelope), "the same bytes are decoded to the same each time", again)

    def references(self) -> None:
        made: list[list[Any]] = []

        def resolve(fields: list[Any]) -> Reference:
            made.append(fields)
            return Reference(fields)

        sent = [Reference(["Bank/1", ["Bank"]]), {"in": (Reference(["x", []]), 5)}]
        with self.works("what goes by reference is told by Values"):
            body, segments = self.encoded(sent)
            arrived: Any = self._formatter.decode(body, segments, Values(_fields, resolve))
        expected = [["Bank/1", ["Bank"]], ["x", []]]
        self.holds(made == expected, "Values makes each reference again, once, of its fields", made)
        self.holds(isinstance(arrived[0], Reference), "what Values makes of a reference stands in its place", arrived)

    def refuses(self) -> None:
        with self.raises(TypeError, "encode raises TypeError for what cannot travel"):
            self.encoded([object()])
        itself: list[object] = []
        itself.append(itself)
        with self.raises((ValueError, TypeError, RpcxError), "encode refuses what contains itself"):
            self.encoded(itself)

    # --- bytes -------------------------------------------------------------------------------------------------

    def garbage(self) -> None:
        """Whatever bytes come, nothing but a refusal is raised; some of them are messages by chance."""
        sound = getattr(self._formatter, "sound", False)
        refusals = (ValueError, RpcxError) if sound else (Exception,)
        rule = f"decode raises {'ValueError' if sound else 'an Exception'} on bytes that are no message"
        with self.raises(refusals, rule):
            self._formatter.decode(b"", (), plain_values())
        for value in SAMPLES:
            body, segments = self.encoded(["bank", "open", [value], 30.0])
            for data in (*_cut(body), *(mutated(body, self._chance) for _ in range(MUTANTS))):
                try:
                    self._formatter.decode(data, segments, plain_values())
                except refusals:
                    pass
                except BaseException as error:
                    raise self.broken(rule, f"{type(error).__name__}: {error}; on {data[:40]!r}") from error

    # --- one formatter, many connections ---------------------------------------------------------------------------

    def shared(self) -> None:
        """Another thread's message in the middle of one: a formatter serves all connections of a host."""
        rule = "a formatter is used by several threads at once"
        other, body = ["other", {"x": (1, 2)}], self.encoded(["other", {"x": (1, 2)}])[0]

        def elsewhere() -> None:
            done: list[object] = []

            def work() -> None:
                data, segments = self._formatter.encode(other, plain_values())
                done.extend([self._formatter.decode(data, segments, plain_values())] * 2)
                done[1] = self._formatter.decode(body, (), plain_values())

            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            thread.join(SECONDS / 10)  # it may also wait for us
            self.holds(thread.is_alive() or same(done, [other, other]), rule, done)

        def refer(value: object) -> list[object] | None:
            elsewhere()
            return _fields(value)

        def resolve(fields: list[Any]) -> object:
            elsewhere()
            return tuple(fields)

        values = Values(refer, resolve)
        with self.works(rule):
            data, segments = self.encoded(["mine", Reference(["id", 1]), "behind"], values)
            arrived = self._formatter.decode(data, segments, values)
        self.holds(same(arrived, ["mine", ("id", 1), "behind"]), rule, arrived)

    def plain(self) -> None:
        pack: Callable[[object], bytes] | None = getattr(self._formatter, "pack_plain", None)
        if pack is None:
            return
        envelope = ["bank", "open", ["ann", 5, None, 1.5, True], 30.0]
        with self.works("decode reads what pack_plain writes"):
            arrived = self._formatter.decode(pack(envelope), (), plain_values())
        self.holds(same(arrived, envelope), "decode reads what pack_plain writes", arrived)


def _fields(value: object) -> list[object] | None:
    return value.fields if isinstance(value, Reference) else None


def plain_values() -> Values:
    """What a connection offers a formatter; references become what `_fields` reads."""
    return Values(_fields, Reference)


def same(left: Any, right: Any) -> bool:  # of any type
    """Whether two values are of one type and cannot be told apart."""
    if type(left) is not type(right):
        return False
    match left:
        case int():
            equal = left == right
        case float():
            equal = struct.pack("d", left) == struct.pack("d", right) or (math.isnan(left) and math.isnan(right))
        case complex():
            equal = same((left.real, left.imag), (right.real, right.imag))
        case list() | tuple():
            equal = len(left) == len(right) and all(map(same, left, right))
        case dict():
            equal = same(list(left.items()), list(right.items()))
        case set() | frozenset():
            equal = sorted(map(_written, left)) == sorted(map(_written, right))
        case memoryview():
            equal = left == right and left.readonly == right.readonly
        case datetime.datetime() | datetime.time():
            equal = repr(left) == repr(right) and left.fold == right.fold
        case BaseException():
            equal = same(left.args, right.args)
        case _ if type(left).__module__ == "numpy" and hasattr(left, "tobytes"):
            equal = _layout(left) == _layout(right) and left.tobytes() == right.tobytes()
        case _:
            equal = repr(left) == repr(right)
    return bool(equal)


def _layout(array: Any) -> tuple[object, ...]:  # numpy's, which need not be there
    return array.dtype, array.shape, array.flags.f_contiguous, array.flags.c_contiguous


def _written(value: object) -> str:
    """What is hashable, in words that do not depend on the order of sets."""
    if isinstance(value, tuple | frozenset):
        words = [_written(item) for item in value]
        return f"{type(value).__name__}({', '.join(words if isinstance(value, tuple) else sorted(words))})"
    return f"{type(value).__name__} {value!r}"


def _told(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _cut(data: bytes) -> Iterator[bytes]:
    """``data``, cut off at some places, and with something behind it."""
    yield from (data[:size] for size in {0, 1, len(data) // 2, len(data) - 1})
    yield data + b"\0"
    yield data + data


def mutated(data: bytes, chance: random.Random, head: int = 0) -> bytes:
    """``data`` with one to five bytes changed, lost, doubled or put in; every second behind the first ``head``."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(chance.choice((0, min(head, len(changed)))), len(changed) + 1)
        match chance.randrange(4):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[at : at + 1]
            case 2:
                changed[at:at] = changed[at : at + chance.randrange(9)]
            case _ if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
    return bytes(changed)
