"""The contracts and values of ``csharp/shared.cs``, and objects that fulfil them."""

import decimal
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import rpcx
from rpcx import dotnet

SHARED = "shared"


@dotnet.type("RemoteObjectDef", assembly=SHARED)
@rpcx.singleton("RemoteObjectURL")
class RemoteObjectDef:
    def __init__(self) -> None:
        self.value: str | None = None

    def set_value(self, value: str | None) -> None:
        self.value = value

    def get_value(self) -> str | None:
        return self.value


@dotnet.type("Shop.Color", assembly=SHARED)
class Color(enum.IntEnum):
    Red = 1
    Green = 2
    Blue = 40


@dotnet.type("Shop.Tiny", assembly=SHARED, underlying=dotnet.Kind.BYTE)
class Tiny(enum.Enum):
    Zero = 0
    One = 1


@dotnet.type("Shop.Point", assembly=SHARED, struct=True)
@dataclass(frozen=True)
class Point:
    x: Annotated[dotnet.Int32, dotnet.Member("X")] = 0
    y: Annotated[dotnet.Int32, dotnet.Member("Y")] = 0


@dotnet.type("Shop.Person", assembly=SHARED, members="properties")
@dataclass
class Person:
    name: str | None = None
    age: dotnet.Int32 = 0
    friend: "Person | None" = field(default=None, repr=False)
    children: "list[Person] | None" = field(default=None, repr=False)
    favourite: Color = Color.Red
    home: Point | None = None


@dotnet.type("Shop.Manager", assembly=SHARED, members="properties")
@dataclass
class Manager(Person):
    level: dotnet.Int32 = 0


@dotnet.type("Shop.Machine", assembly=SHARED)
@dataclass
class Machine:
    number: Annotated[dotnet.Int32, dotnet.Member("number", private=True)] = 0
    maker: str | None = None
    wheels: Annotated[dotnet.Int32, dotnet.Member("Wheels")] = 0


@dotnet.type("Shop.Robot", assembly=SHARED)
@dataclass
class Robot(Machine):
    own_number: Annotated[dotnet.Int32, dotnet.Member("number", private=True)] = 0


@dotnet.type("Shop.Node", assembly=SHARED)
@dataclass
class Node:
    value: dotnet.Int32
    next: "Node | None" = field(default=None, repr=False)


@dotnet.type("Shop.OutOfStock", assembly=SHARED)
class OutOfStock(Exception):
    left: Annotated[dotnet.Int32, dotnet.Member("Left")] = 0


def echo(hint: Any):
    """A method that returns what it is given, of one type."""

    def method(self, v):
        return v

    method.__annotations__ = {"v": hint, "return": hint}
    return method


ECHOES = {
    "bool": bool, "byte": dotnet.Byte, "sbyte": dotnet.SByte, "short": dotnet.Int16, "ushort": dotnet.UInt16,
    "int": int, "uint": dotnet.UInt32, "long": dotnet.Int64, "ulong": dotnet.UInt64, "float": dotnet.Single,
    "double": float, "char": dotnet.Char, "decimal": decimal.Decimal, "string": str | None, "time": dotnet.DateTime,
    "span": dotnet.TimeSpan, "guid": dotnet.Guid, "bytes": bytes, "ints": dotnet.Array[int],
    "strings": tuple[str | None, ...], "jagged": dotnet.Array[dotnet.Array[int] | None], "grid": dotnet.Array2D[int],
    "list": list[int], "texts": list[str], "dictionary": dict[str, int], "table": dotnet.Hashtable,
    "array_list": dotnet.ArrayList, "object": Any, "color": Color, "tiny": Tiny, "point": Point,
    "points": dotnet.Array[Point], "colors": dotnet.Array[Color], "person": Person, "people": list[Person],
    "maybe": dotnet.Int32 | None, "times": dotnet.Array[dotnet.DateTime], "decimals": dotnet.Array[dotnet.Decimal],
    "node": Node, "register": dict[dotnet.Guid, Person], "cube": dotnet.Array3D[int], "lists": dict[str, list[int]],
    "point_list": list[Point], "persons": dotnet.Array[Person | None], "words": dotnet.Array2D[str | None],
    "marks": dict[Color, Point],
}  # fmt: skip

Values = dotnet.type("Shop.IValues", assembly=SHARED)(
    rpcx.singleton("values")(type("Values", (), {f"echo_{name}": echo(hint) for name, hint in ECHOES.items()}))
)


@dotnet.type("Shop.ICounter", assembly=SHARED)
@rpcx.remote
class Counter:
    def __init__(self, start: int = 0) -> None:
        self._value = start

    def next(self) -> int:
        self._value += 1
        return self._value

    @property
    def value(self) -> int:
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        self._value = value


@dotnet.type("Shop.IResettable", assembly=SHARED)
@rpcx.remote
class Resettable(Counter):
    def reset(self, value: int) -> int:
        before, self._value = self._value, value
        return before


@dotnet.type("Shop.Basket", assembly=SHARED)
@rpcx.client_activated(lease=rpcx.Lease(initial=60))
class Basket:
    def __init__(self, owner: str = "nobody", size: int = 0) -> None:
        self._owner = owner
        self._size = size

    def describe(self) -> str:
        return f"{self._owner} {self._size}"

    def again(self, other: "Basket") -> "Basket":
        return other


@dotnet.type("Shop.IListener", assembly=SHARED)
@rpcx.remote
class Listener:
    def __init__(self) -> None:
        self._heard: list[str] = []

    def said(self, text: str) -> int:
        self._heard.append(text)
        return len(text)


@dotnet.type("Shop.Ear", assembly=SHARED)
@rpcx.remote
class Ear:
    def __init__(self) -> None:
        self._heard: list[str] = []

    def on_heard(self, text: str) -> None:
        self._heard.append(text)


@dotnet.type("System.EventArgs", assembly="mscorlib")
@dataclass
class EventArgs:
    pass


SaidHandler = Annotated[
    Callable[[str], None], dotnet.Delegate("Shop.SaidHandler", assembly=SHARED, through="Shop.Ear.OnHeard")
]
EventHandler = Annotated[
    Callable[[Any, Any], None],
    dotnet.Delegate("System.EventHandler", assembly="mscorlib", through="Shop.Ear.OnSwitched, shared"),
]


@dotnet.type("Shop.IRadio", assembly=SHARED)
@rpcx.singleton("radio")
class Radio:
    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._handlers: list[Callable[[str], None]] = []
        self._switched: list[Callable[[Any, Any], None]] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    @dotnet.name("add_Heard")
    def add_heard(self, handler: SaidHandler) -> None:
        self._handlers.append(handler)

    @dotnet.name("remove_Heard")
    def remove_heard(self, handler: SaidHandler) -> None:
        self._handlers.remove(handler)

    @dotnet.name("add_Switched")
    def add_switched(self, handler: EventHandler) -> None:
        self._switched.append(handler)

    def switch(self) -> None:
        for handler in self._switched:
            handler(self, EventArgs())

    def say(self, text: str) -> int:
        for handler in self._handlers:
            handler(text)
        return sum(listener.said(text) for listener in self._listeners)


@rpcx.single_call("once")
class Once(Counter):
    pass


class Own(Exception):
    pass


@dotnet.type("Shop.ITalk", assembly=SHARED)
@rpcx.singleton("talk")
class Talk:
    def __init__(self) -> None:
        self._notes: list[str] = []
        self._made: list[Counter] = []

    @dotnet.name("Join")
    def join_texts(self, a: str, b: str) -> str:
        return f"{a} and {b}"

    @dotnet.name("Join")
    def join_number(self, a: str, b: int) -> str:
        return a * b

    def divide(self, a: int, b: int, rest: dotnet.Out[int] = None) -> tuple[int, int]:
        return divmod(a, b)

    def swap(self, a: dotnet.Ref[str], b: dotnet.Ref[str]) -> tuple[str, str]:
        return b, a

    def find(self, name: str, person: dotnet.Out[Person] = None) -> Person:
        return Person(name, 33)

    @rpcx.oneway
    def note(self, text: str) -> None:
        self._notes.append(text)

    def notes(self) -> str:
        return ",".join(self._notes)

    def sell(self, count: int) -> None:
        error = OutOfStock("no more than 3")
        error.left = 3
        raise error

    def fail(self, kind: str) -> None:
        errors = {"KeyError": KeyError("k"), "OSError": OSError(5, "io"), "Own": Own("mine")}
        builtin = {e.__name__: e("text") for e in (ValueError, ZeroDivisionError, RuntimeError, TypeError)}
        raise {**errors, **builtin}[kind]

    def new_counter(self, start: int) -> Counter:
        self._made.append(Counter(start))
        return self._made[-1]

    def drive(self, counter: Counter) -> int:
        return counter.next() + counter.next()

    def is_mine(self, counter: Counter) -> bool:
        return any(counter is made for made in self._made)

    def unknown(self, anything: Any) -> str:
        return repr(anything)


#: What the C# client hears when it makes calls of every kind.
TALKED = {
    "join texts": "a and b",
    "join number": "aaaaa",
    "divide": "3 rest 2",
    "swap": "yx",
    "find": "Ann 33",
    "notes": "one,two",
    "sell": "OutOfStock no more than 3 3 True",
    "fail ValueError": "System.ArgumentException text",
    "fail KeyError": "System.Collections.Generic.KeyNotFoundException k",
    "fail ZeroDivisionError": "System.DivideByZeroException text",
    "fail RuntimeError": "System.InvalidOperationException text",
    "fail OSError": "System.IO.IOException [Errno 5] io",
    "fail Own": "System.Exception Own: mine",
    "fail TypeError": "System.InvalidCastException text",
    "counter": "11 12",
    "property": "100 101",
    "home": "True",
    "drive": "205",
    "unknown": "System.InvalidCastException System.Version means nothing here: map a class to it, with "
    "@dotnet.type('System.Version', assembly=...)",
    "nowhere": "System.Runtime.Remoting.RemotingException 'nowhere': no such object on this host; "
    "`rpcx inspect URL` lists what is there",
    "hidden": "System.Runtime.Remoting.RemotingException 'rpcx' is not offered to .NET: its class has no @dotnet.type",
}
