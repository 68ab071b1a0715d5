"""What the command line's commands share: how they print, how they fail, the options they have in common.

What a host says is a stranger's text: shown to people it has no control characters, since a terminal obeys those.
"""

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from rpcx.remoting.contract import contract_of
from rpcx.remoting.proxy import Proxy
from rpcx.remoting.references import Reference
from rpcx.sinks.values import Values

out = Console(soft_wrap=True, markup=False, emoji=False)  # a result may contain [bold] or :smile:
err = Console(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)

#: Errors name what to write in Python; here it is an option.
SPELLED: Final = {"insecure=True": "--insecure", "rpcx.options(timeout=...)": "--timeout SECONDS"}
CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}

Insecure = Annotated[bool, typer.Option("--insecure", help="Plain TCP, on loopback: trust every user of this machine.")]
Authenticators = Annotated[
    list[str] | None,
    typer.Option("--authenticator", metavar="NAME", help="Prove who you are: token, kerberos; repeated: best first."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to connect, and for each answer.")]


class Unusable(Exception):
    """What was asked for cannot be done; the message says all there is to say."""


@contextmanager
def reported(verbose: bool) -> Iterator[None]:  # the option of every command
    """One clear line for what goes wrong."""
    try:
        yield
    except (typer.Exit, typer.BadParameter):
        raise
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told in one line
        if verbose:
            err.print(visible("".join(traceback.format_exception(error))))
        kind = "" if isinstance(error, Unusable) else f"{type(error).__name__}: "
        text = str(error)
        for python, option in SPELLED.items():
            text = text.replace(python, option)
        err.print(one_line(f"rpcx: {kind}{text}"))
        raise typer.Exit(1) from None


@contextmanager
def interruptible() -> Iterator[None]:
    """A signal ends what is inside in good order; a second one ends it at once.

    It raises rather than calls `Host.stop`: the event that sets has a lock, which this thread may hold just then.
    """

    def interrupt(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def visible(text: str) -> str:
    r"""``text`` without what a terminal would obey: an escape becomes ``\x1b``. Tabs and line ends stay."""
    return text.translate(CONTROLS)


def one_line(text: str) -> str:
    """``text`` visible, and its white space as single blanks."""
    return visible(" ".join(text.split()))


def print_line(text: str) -> None:
    """Written at once, since somebody may wait for it; to a program as it is, to a terminal without controls."""
    with reader_may_leave():
        print(visible(text) if sys.stdout.isatty() else text, flush=True)


def tell(fields: dict[str, Any], text: str, *, as_json: bool) -> None:
    """What a command came to: as data for programs, or as ``text`` for people; nothing to say when it is empty."""
    if as_json:
        print_line(as_json_text(fields))
    elif text:
        print_line(text)


def deliver(text: str, output: Path | None, *, as_json: bool) -> None:
    """``text``, of whole lines, into a file; None: to standard output."""
    if output is None:
        tell({"text": text}, text.rstrip("\n"), as_json=as_json)
    else:
        output.write_text(text, encoding="utf-8")
        tell({"file": str(output)}, "", as_json=as_json)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """``rpcx call … | head -1`` is no error to tell about."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit
        raise typer.Exit(1) from None


def imported(name: str, command: str) -> Any:  # a module
    """A module by its name, of the current directory or installed; ``command`` is what takes it."""
    if name.endswith(".py") or "/" in name:
        raise Unusable(f"{name!r} is a file; give the module's name, as in: {command} {Path(name).stem}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):  # itself, or a package it is in
            raise Unusable(f"there is no module {name!r} here or installed") from None
        raise Unusable(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def named(module: Any, name: str) -> type:  # a module
    """The remote class ``name`` of a module."""
    found = getattr(module, name, None)
    if found is None:
        raise Unusable(f"{module.__name__} has no {name!r}")
    if contract_of(found) is None:
        raise Unusable(f"{module.__name__}.{name} is no remote class; decorate it with @rpcx.singleton or its kin")
    return found  # type: ignore[no-any-return]  # contract_of says it is a class


def as_json_text(value: object, indent: int | None = None) -> str:
    """``value`` as JSON; what JSON lacks as the ``json`` formatter writes it."""

    def fields(instance: object) -> list[object] | None:  # of what is shown in place of a remote object
        ref: Reference | None = instance._rpcx_ref if isinstance(instance, Proxy) else None
        return [ref.uri, list(ref.names)] if ref is not None else None

    return json.dumps(Values(fields, list).plain(value), ensure_ascii=False, indent=indent)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Of texts and (text, style), all of them a stranger's."""
    return Text.assemble(*(visible(p) if isinstance(p, str) else (visible(p[0]), p[1]) for p in parts))
