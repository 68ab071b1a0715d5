"""Contracts made from an assembly: what is written, and that it works against the server it was made for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rpcx.interop.dotnet.clrnames import ClrName, parse
from rpcx.interop.dotnet.commands import app
from rpcx.interop.dotnet.metadata import MethodInfo, Param, TypeInfo, read_assembly
from rpcx.interop.dotnet.stubs import Stubs, snake

EXPECTED = [
    """@dotnet.type("RemoteObjectDef", assembly="shared")
@rpcx.remote
class RemoteObjectDef:
    def set_value(self, value: str) -> None:
        raise NotImplementedError
""",
    """@dotnet.type("Shop.Tiny", assembly="shared", underlying=dotnet.Kind.BYTE)
class Tiny(enum.IntEnum):
    Zero = 0
    One = 1
""",
    """class ICounter:
    def next(self) -> dotnet.Int32:
""",
    """class IResettable(ICounter):
    def reset(self, value: dotnet.Int32) -> dotnet.Int32:
""",
    """@dataclass
class Manager(Person):
    level: dotnet.Int32
""",
    """class Machine:
    number: Annotated[dotnet.Int32, dotnet.Member("number", private=True)]
    maker: str | None
    wheels: Annotated[dotnet.Int32, dotnet.Member("Wheels")]
""",
    """class Robot(Machine):
    number_: Annotated[dotnet.Int32, dotnet.Member("number", private=True)]
""",
    """    @dotnet.name("Join")
    def join_2(self, a: str, b: dotnet.Int32) -> str:
""",
    "rest: dotnet.Out[dotnet.Int32] = None) -> tuple[dotnet.Int32, dotnet.Int32]:",
    "def swap(self, a: dotnet.Ref[str], b: dotnet.Ref[str]) -> tuple[str, str]:",
    """    @rpcx.oneway
    def note(self, text: str) -> None:
""",
    """    @value.setter
    def value(self, value: dotnet.Int32) -> None:
""",
    """    @dotnet.name("add_Heard")
    def add_heard(self, value: "SaidHandler") -> None:
""",
    """SaidHandler = Annotated[
    Callable[[str], None],
    dotnet.Delegate("Shop.SaidHandler", assembly="shared", through="Shop.Ear.OnHeard"),
]
""",
    """EventHandler = Annotated[
    Callable[[Any, Any], None],
    dotnet.Delegate("System.EventHandler", assembly="mscorlib", through="Shop.Ear.OnSwitched, shared"),
]
""",
    """    Callable[[Any, Told], None],
    dotnet.Delegate("System.EventHandler`1[[Shop.Told, shared]]", assembly="mscorlib", through="Shop.Ear.OnTold, """,
    """@rpcx.client_activated
class Basket:
    def __init__(self, owner: str, size: dotnet.Int32) -> None:
""",
    """def echo_register(self, v: "dict[dotnet.Guid, Person]") -> "dict[dotnet.Guid, Person]":""",
    "def echo_maybe(self, v: dotnet.Int32 | None) -> dotnet.Int32 | None:",
    "def echo_grid(self, v: dotnet.Array2D[dotnet.Int32]) -> dotnet.Array2D[dotnet.Int32]:",
]

PROGRAM = """
import sys

import rpcx
import contract

url = sys.argv[1]
with rpcx.connect(url) as server:
    talk = server.get(contract.ITalk, "talk")
    assert talk.join("a", "b") == "a and b"
    assert talk.join_2("a", 3) == "aaa"
    assert talk.divide(17, 5) == (3, 2)
    assert talk.swap("x", "y") == ("y", "x")
    assert talk.find("Ann").age == 33
    counter = talk.new_counter(5)
    counter.value = 7
    assert (counter.next(), counter.value) == (8, 8)
    assert server.get(contract.IResettable, "published").next() == 6
    try:
        talk.sell(1)
    except contract.OutOfStock as error:
        assert error.left == 3
    values = server.get(contract.IValues, "values")
    assert values.echo_point(contract.Point(1, 2)) == contract.Point(1, 2)
    assert values.echo_tiny(contract.Tiny.One) is contract.Tiny.One
    ann = contract.Person("Ann", 41, None, [], contract.Color.Red, None)
    assert values.echo_person(ann) == ann
    robot = contract.Robot(1, "acme", 4, 2)
    assert values.echo_object(robot) == robot
with rpcx.connect(f"{url}?callbacks=yes") as server:
    radio = server.get(contract.IRadio, "radio")
    heard = []
    radio.add_heard(heard.append)
    radio.say("hello")
    radio.add_switched(lambda sender, _: heard.append(sender.say("")))
    radio.switch()
    radio.add_told(lambda _, told: heard.append(told))
    radio.tell("news")
    assert heard == ["hello", "", 0, contract.Told("news")], heard
print("well")
"""


@pytest.fixture(scope="module")
def assembly(mono):
    return mono.directory / "shared.dll"


def test_a_contract_works_as_it_was_written(mono, assembly, tmp_path):
    done = CliRunner().invoke(app, ["stubs", str(assembly), "-o", str(tmp_path / "contract.py")])
    assert done.exit_code == 0, done.output
    (tmp_path / "program.py").write_text(PROGRAM)
    with mono.serving() as url:
        run = subprocess.run(
            [sys.executable, "program.py", url], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
    assert (run.stdout, run.stderr) == ("well\n", "")


def test_what_is_written_reads_like_what_one_writes(assembly):
    source = Stubs(*read_assembly(assembly)).source()
    for text in EXPECTED:
        assert text in source, text


def test_what_is_no_assembly_is_told(tmp_path):
    (tmp_path / "text.dll").write_text("no program at all")
    done = CliRunner().invoke(app, ["stubs", str(tmp_path / "text.dll")])
    assert done.exit_code == 1
    assert "is no .NET assembly" in done.output


@pytest.mark.parametrize("name", ["System.Xml", "System.Runtime.Remoting"])
def test_assemblies_that_nobody_wrote_for_this_make_modules_that_can_be_imported(mono, name, tmp_path):
    library = Path(shutil.which("mono")).resolve().parents[1] / "lib" / "mono" / "4.5" / f"{name}.dll"
    made = tmp_path / "contract.py"
    done = CliRunner().invoke(app, ["stubs", str(library), "-o", str(made)])
    assert done.exit_code == 0, done.output
    run = subprocess.run([sys.executable, str(made)], capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_what_others_wrote_in_another_order_or_with_what_has_no_class_is_written_too():
    odd = TypeInfo("Ns.Odd", "System.MarshalByRefObject", methods=[
        MethodInfo("set_Name", [Param("value", ClrName("System.String"))], ClrName("System.Void")),
        MethodInfo("Pairs", [Param("of", ClrName("Ns.Pair`1"))], ClrName("Ns.Plain")),
        MethodInfo("get_Name", [], ClrName("System.String")),
    ])  # fmt: skip
    source = Stubs("a", [odd, TypeInfo("Ns.Pair`1", "System.Object", serializable=True), TypeInfo("Ns.Plain")]).source()
    exec(source, {"__name__": "contract"})  # it is a module
    assert "def pairs(self, of: Any) -> Any:" in source
    assert source.index("@property") < source.index("@name.setter")


def test_types_that_mean_nothing_here_are_any():
    stubs = Stubs("a", [TypeInfo("Ns.Callback", "System.MulticastDelegate")])
    assert stubs.hint(parse("System.Uri")) == "Any"
    assert stubs.hint(ClrName("System.Int32", ranks=(4,))) == "Any"
    assert stubs.hint(ClrName("Ns.Callback")) == "Callable[..., Any]"
    assert "class" not in stubs.source().partition("rpcx import dotnet")[2]


def test_names_lead_back():
    assert [snake(name) for name in ("SetValue", "X", "echoBool", "HTTPPort", "from", "add_Heard")] == [
        "set_value", "x", "echo_bool", "HTTPPort", "from_", "add_heard",
    ]  # fmt: skip
