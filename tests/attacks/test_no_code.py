"""No code from the wire: whatever a stranger sends, nothing is imported, compiled, opened, started or dialled.

Python tells of all that by audit events (PEP 578). A process of its own listens to them while parsers and a host with
objects are fed with changed messages: 20,000 here, a million with ``--long``.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = '''
import ast
import linecache
import logging
import sys

logging.disable()
import numpy  # by its fixed name, when the first array comes; here it has come
from tests.fuzz.targets import TARGETS, mutants

FORBIDDEN = (
    "import", "exec", "compile", "open", "os.", "subprocess.", "socket.", "ctypes.", "pickle.", "marshal.", "shutil.",
    "sqlite3.", "ftplib.", "urllib.", "http.", "smtplib.", "tempfile.", "glob.", "code.", "cpython.run",
)
seen = []
listening = False


def underlines(frame):
    """Whether it is Python's traceback, which parses a line of our own source to underline a part of it."""
    by = frame.f_back.f_code.co_name if frame.f_back is not None else ""
    return by in ("_extract_caret_anchors_from_line_segment", "_should_show_carets")


def makes_a_tree(frame):
    """Whether it is `ast.parse`, for serpent's literals, whose every token was looked at: of a tree nothing runs."""
    return frame.f_code is ast.parse.__code__ and frame.f_locals["flags"] & ast.PyCF_ONLY_AST


def looks_for_its_line(event, args):
    """Whether it is Python, which cannot parse a text of serpent's and looks for the line in a file of its name."""
    return event == "open" and args[0] == "<unknown>"  # since 3.12, to quote it in the SyntaxError


def hook(event, args):
    if not listening or not event.startswith(FORBIDDEN) or looks_for_its_line(event, args):
        return
    if not (event == "compile" and (underlines(sys._getframe(1)) or makes_a_tree(sys._getframe(1)))):
        seen.append((event, repr(args)[:200]))


sys.addaudithook(hook)
number = int(sys.argv[1])
work = [(parser, mutants(name, number // len(TARGETS), 7)) for name, (parser, _) in TARGETS.items()]
for parser, seeds in TARGETS.values():
    for seed in seeds:
        parser(seed)  # what is imported when it is first needed is imported now, by good messages
for parser, made in work:
    for data in made[:200]:
        parser(data)  # likewise what bad ones need: the texts of errors
for module in list(sys.modules.values()):
    if getattr(module, "__file__", None):
        linecache.getlines(module.__file__)  # a traceback's: it quotes our own source

listening = True
done = 0
for parser, made in work:
    for data in made:
        parser(data)
        done += 1
listening = False

if "--prove" in sys.argv:
    listening = True
    import this  # the hook hears what it is there for
    listening = False
print(done, *seen[:10], sep="\\n")
'''


def told(number: int, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(number), *words],
        cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_no_message_makes_anything_happen_but_an_answer(request):
    number = 1_000_000 if request.config.getoption("--long") else 20_000
    lines = told(number)
    assert int(lines[0]) >= number * 0.9
    assert lines[1:] == [], "a message did this"


def test_the_hook_would_have_heard():
    lines = told(100, "--prove")
    assert any(line.startswith("('import'") for line in lines), lines


@pytest.mark.parametrize("name", ["pickle", "marshal", "dill", "yaml", "shelve"])
def test_no_module_of_the_library_uses_what_runs_code_of_the_bytes_it_reads(name):
    using = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "rpcx").rglob("*.py")
        if any(line.split()[:2] in (["import", name], ["from", name]) for line in path.read_text().splitlines())
    ]
    assert using == []
