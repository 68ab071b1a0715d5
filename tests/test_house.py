"""The rules of the house that no linter can say."""

import ast
import importlib
import re
import subprocess
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = ("rpcx", "services", "schemas", "examples", "benchmarks")
GENERATED = {".git", ".venv", "build", "dist", "node_modules", "__pycache__"}  # not ours to judge

MODULE_LINES = 400  # more than that is seldom one idea
FUNCTION_LINES = 60  # more than that is no screen

# A module may be longer for a reason. The number is how long it may become with that reason.
LONGER_MODULES: dict[str, tuple[int, str]] = {
    "rpcx/protocol/connection.py": (800, "one state machine; its rules are checked by reading one file"),
    "rpcx/remoting/contract.py": (415, "a table, its entries, and how they are read off a class"),
    "rpcx/remoting/incoming.py": (450, "every kind of call that may come, beside the others"),
    "rpcx/remoting/dispatch.py": (575, "the kinds of incoming calls are told apart by reading them beside each other"),
    "rpcx/drivers/threads.py": (725, "one machine of who leads; its races are checked by reading one file"),
    "rpcx/drivers/aio.py": (420, "a connection in a loop and the pump of all: what each leaves to the other"),
    "rpcx/abc.py": (560, "all seams, beside each other"),
    "rpcx/host.py": (520, "one public class, much of it what its docstrings say"),
    "rpcx/realm.py": (435, "what hosts and clients have in common is put together in one place"),
    "rpcx/remoting/objects.py": (585, "the ways to live are told apart by reading them beside each other"),
}

# So may a function.
LONGER_FUNCTIONS: dict[str, str] = {}

# A module may have its tests elsewhere, for a reason.
TESTED_ELSEWHERE: dict[str, str] = {
    "rpcx/__init__.py": "only re-exports: test_house and test_imports",
    "rpcx/abc.py": "holds the seams and no code; each implementation is tested",
    "rpcx/remoting/differences.py": "with what it compares: tests/remoting/test_contract.py",
    "rpcx/remoting/dispatch.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/remoting/endpoint.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/remoting/incoming.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/remoting/proxy.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/remoting/requests.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/remoting/streams.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/remoting/wire.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/remoting/leases.py": "how objects live and end: tests/remoting/test_lifetimes.py",
    "rpcx/remoting/service.py": "how objects live and end: tests/remoting/test_lifetimes.py",
    "rpcx/remoting/decorators.py": "with what they make: tests/remoting/test_contract.py",
    "rpcx/conformance/lines.py": "the toy of all drivers' tests: tests/drivers",
    "rpcx/conformance/rules.py": "how a broken rule is told: each module of tests/conformance",
    "rpcx/realm.py": "how objects live and end: tests/remoting/test_lifetimes.py",
    "rpcx/host.py": "how objects live and end: tests/remoting/test_lifetimes.py",
    "rpcx/client.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/batches.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/helper.py": "real helpers: tests/test_impersonation.py",
    "rpcx/context.py": "whole calls: tests/remoting/test_calls.py",
    "rpcx/stubs/classes.py": "whole stubs: tests/stubs/test_writing.py",
    "rpcx/terminal.py": "what commands share: tests/test_cli.py",
    "rpcx/interop/dotnet/appdomain.py": "served C# clients: tests/interop/dotnet/test_server.py",
    "rpcx/interop/dotnet/channel.py": "served C# clients: tests/interop/dotnet/test_server.py",
    "rpcx/interop/dotnet/inward.py": "values of every kind: tests/interop/dotnet/test_values.py",
    "rpcx/interop/dotnet/objref.py": "objects by reference: tests/interop/dotnet/test_server.py",
    "rpcx/interop/dotnet/outward.py": "values of every kind: tests/interop/dotnet/test_values.py",
    "rpcx/interop/dotnet/references.py": "objects by reference: tests/interop/dotnet/test_server.py",
    "rpcx/interop/dotnet/shapes.py": "values of every kind: tests/interop/dotnet/test_values.py",
    "rpcx/interop/dotnet/systems.py": "values of every kind: tests/interop/dotnet/test_values.py",
    "rpcx/dotnet.py": "only re-exports: used by tests/interop/dotnet/shop.py",
    "rpcx/interop/dotnet/lines.py": "calls at the same time: tests/interop/dotnet/test_caller.py",
    "rpcx/interop/dotnet/calls.py": "calls of C# objects: tests/interop/dotnet/test_caller.py",
    "rpcx/interop/dotnet/lifetime.py": "contracts without code: tests/interop/dotnet/test_leases.py",
    "rpcx/interop/dotnet/plans.py": "what C# servers are asked: tests/interop/dotnet/test_leases.py",
    "rpcx/interop/dotnet/metadata.py": "with what is made of it: tests/interop/dotnet/test_stubs.py",
    "rpcx/interop/dotnet/commands.py": "one command: tests/interop/dotnet/test_stubs.py",
    "rpcx/interop/dotnet/messages.py": "plain data: with what reads and writes it, tests/interop/dotnet/test_binary.py",
    "rpcx/interop/dotnet/formatters.py": "both formatters: tests/interop/dotnet/test_http.py",
    "rpcx/interop/dotnet/members.py": "with what is read and written so: tests/interop/dotnet/test_declared.py",
    "rpcx/interop/dotnet/scalars.py": "with the records around them: tests/interop/dotnet/test_reader.py",
    "rpcx/interop/dotnet/records.py": "the format's numbers: tests/interop/dotnet/test_reader.py and test_writer.py",
    "rpcx/interop/pyro/calls.py": "real clients: tests/interop/pyro/test_server.py",
    "rpcx/interop/pyro/channel.py": "real clients: tests/interop/pyro/test_server.py",
    "rpcx/interop/pyro/daemon.py": "real clients: tests/interop/pyro/test_server.py",
    "rpcx/interop/pyro/faults.py": "with the values beside them: tests/interop/pyro/test_values.py",
    "rpcx/interop/pyro/requests.py": "real daemons: tests/interop/pyro/test_client.py",
    "rpcx/interop/pyro/streams.py": "real daemons: tests/interop/pyro/test_client.py",
    "rpcx/interop/pyro/uris.py": "real daemons: tests/interop/pyro/test_client.py",
    "rpcx/interop/pyro/session.py": "real clients: tests/interop/pyro/test_server.py",
    "rpcx/errors.py": "the tree and its docstrings: test_house; each error where it is raised",
}

FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "_pickle"}


def modules(*folders: str) -> list[str]:
    """Paths of Python files, relative to the root."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found if not GENERATED & set(path.parts))


def is_package(module: str) -> bool:
    """Whether it is a folder's ``__init__``; the library's own is the public API."""
    return module.endswith("/__init__.py") and module != "rpcx/__init__.py"


def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), module)


def texts() -> Iterator[tuple[str, str]]:
    """(path, content) of every text file of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,  # there may be no repository, nor git
    )
    names = listed.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in walk()]
    for name in names:
        path = ROOT / name
        if not path.is_file():
            continue  # deleted and not committed yet
        try:
            yield name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            pass  # a picture, a recorded frame


def walk() -> Iterator[Path]:
    """The files of a source archive, which has no repository around it."""
    return (path for path in ROOT.rglob("*") if path.is_file() and not GENERATED & set(path.parts))


def lines_with(pattern: str) -> list[str]:
    search = re.compile(pattern).search
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if search(line)
    ]


# --- shape --------------------------------------------------------------------------------------------------


def test_every_module_says_what_it_is():
    silent = [module for module in modules(*CODE) if not ast.get_docstring(tree(module))]
    assert not silent, f"no docstring: {silent}"


def test_a_module_has_400_lines_at_most_or_a_reason():
    lengths = {module: len((ROOT / module).read_text().splitlines()) for module in modules(*CODE)}
    allowed = {module: most for module, (most, _) in LONGER_MODULES.items()}
    over = {m: n for m, n in lengths.items() if n > allowed.get(m, MODULE_LINES)}
    assert not over, f"split them, or say in LONGER_MODULES why not: {over}"


def test_a_function_has_60_lines_at_most_or_a_reason():
    over = [
        f"{module}:{node.name} ({length} lines)"
        for module in modules(*CODE)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
        if f"{module}:{node.name}" not in LONGER_FUNCTIONS
    ]
    assert not over, f"split them, or say in LONGER_FUNCTIONS why not: {over}"


def test_packages_of_the_library_hold_a_docstring_and_nothing_else():
    """What is in an ``__init__`` escapes the import contracts."""
    busy = [module for module in modules("rpcx") if is_package(module) and len(tree(module).body) != 1]
    assert not busy, f"move the code into a module: {busy}"


def test_tests_mirror_the_library():
    lacking = []
    for module in modules("rpcx"):
        if module in TESTED_ELSEWHERE or is_package(module):
            continue
        path = Path(module).relative_to("rpcx")
        test = ROOT / "tests" / path.with_name(f"test_{path.name}")
        if not test.is_file():
            lacking.append(f"{module} (expected {test.relative_to(ROOT)})")
    assert not lacking, f"no test module, nor a reason in TESTED_ELSEWHERE: {lacking}"


def test_reasons_belong_to_something_that_exists():
    named = {*LONGER_MODULES, *TESTED_ELSEWHERE, *(name.partition(":")[0] for name in LONGER_FUNCTIONS)}
    gone = sorted(name for name in named if not (ROOT / name).is_file())
    assert not gone, f"take them out of the tables: {gone}"


# --- what is said -------------------------------------------------------------------------------------------


def test_no_path_of_somebodys_machine_is_in_the_tree():
    found = lines_with(r"(?<![\w.\-/])/(work|root|Users|home/\w+)/")
    assert not found, "\n".join(found)


def test_no_merge_was_left_half_done():
    found = lines_with(r"^(<{7}|>{7}|\|{7})( |$)")
    assert not found, "\n".join(found)


def test_nothing_is_left_to_be_done_in_a_comment():
    words = "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3))
    found = lines_with(rf"\b({words})\b")
    assert not found, "do it, or open an issue:\n" + "\n".join(found)


def test_an_exception_to_a_checker_names_its_rule_and_its_reason():
    silencer = re.compile(r"#\s*(type:\s*ignore|noqa|pyright:\s*ignore)(.*)$")
    bare = []
    for module in modules(*CODE):
        for number, line in enumerate((ROOT / module).read_text().splitlines(), 1):
            for _, rest in silencer.findall(line):
                if not re.match(r"(\[[\w\-, ]+\]|: ?[A-Z]+\d+(, ?[A-Z]+\d+)*)\s*#\s*\S", rest):
                    bare.append(f"{module}:{number}: {line.strip()[:100]}")
    assert not bare, "write `# noqa: CODE  # why`:\n" + "\n".join(bare)


def test_links_between_pages_lead_somewhere():
    dead = []
    for name, text in texts():
        if name.endswith(".md"):
            targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
            here = [target for target in targets if not re.match(r"[a-z]+:", target)]
            dead += [f"{name}: {target}" for target in here if not ((ROOT / name).parent / target).exists()]
    assert not dead, "\n".join(dead)


# --- what is safe -------------------------------------------------------------------------------------------


def test_nothing_that_executes_what_it_reads_is_imported():
    found = []
    for module in modules("rpcx"):
        for node in ast.walk(tree(module)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{module}:{name}" for name in names if name.partition(".")[0] in FORBIDDEN_MODULES]
    assert not found, found


def test_the_import_contracts_are_part_of_every_check():
    makefile = (ROOT / "Makefile").read_text()
    (needs,) = re.findall(r"^check: (.*?)\s*##", makefile, re.MULTILINE)
    (recipe,) = re.findall(r"^imports:.*\n\t(.*)$", makefile, re.MULTILINE)
    assert "imports" in needs.split()
    assert recipe.endswith("lint-imports")
    assert "check\n" in (ROOT / ".ci" / "run").read_text()


def test_what_the_layers_own_tests_cover_is_held_before_a_change_is_taken():
    held = set(re.findall(r"call COVER,rpcx/(\w+)/", (ROOT / "Makefile").read_text()))
    assert held >= {"protocol", "lifetime", "sinks", "stubs", "remoting"}
    assert "cover\n" in (ROOT / ".ci" / "run").read_text()


# --- the public API -----------------------------------------------------------------------------------------


def test_every_error_says_what_it_means():
    errors = importlib.import_module("rpcx.errors")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, errors.RpcxError), f"{kind.__name__} is not under RpcxError"
        assert kind.__dict__.get("__doc__"), f"{kind.__name__} has no docstring"
        assert re.search(rf"\b{kind.__name__}\b", errors.__doc__), f"{kind.__name__} is not in the tree"


def test_what_is_public_is_listed_and_what_is_listed_exists():
    rpcx = importlib.import_module("rpcx")
    listed = rpcx.__all__
    assert len(listed) == len(set(listed))
    for name in listed:
        assert getattr(rpcx, name) is not None
    visible = {
        name
        for name, value in vars(rpcx).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert visible <= set(listed), f"public, but not in __all__: {sorted(visible - set(listed))}"


def test_every_public_name_is_in_the_reference_and_the_reference_names_no_other():
    rpcx = importlib.import_module("rpcx")
    reference = (ROOT / "docs" / "reference.md").read_text()
    documented = set(re.findall(r"^### `(?:@|async with )?rpcx\.(\w+)", reference, re.MULTILINE))
    documented |= set(re.findall(r"^\| `rpcx\.(\w+)", reference, re.MULTILINE))
    public = {name for name in rpcx.__all__ if not name.startswith("__")}
    assert public == documented, (
        f"not in docs/reference.md: {sorted(public - documented)}; only there: {sorted(documented - public)}"
    )


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_the_pages_a_newcomer_looks_for_are_there(name):
    assert len((ROOT / name).read_text()) > 500
