"""``rpcx stubs MODULE``: types for async clients of a module's remote classes."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from rpcx.remoting.contract import contract_of
from rpcx.terminal import AsJson, Unusable, Verbose, deliver, imported, named, reported, tell

app = typer.Typer()


@app.command()
def stubs(
    target: Annotated[str, typer.Argument(metavar="MODULE[:NAME]", help="Where the remote classes are.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="More classes of the module.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: print it.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether FILE is as it would be written.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write stubs of remote classes for async clients: AsyncBank for Bank, its methods awaitable.

    All remote classes that the module defines, or those that are named, and what they mention. Exit status of --check:
    0 when FILE is current, else 1.
    """
    from rpcx.stubs.names import Unwritable
    from rpcx.stubs.writing import Stubs, same

    if check and output is None:
        raise typer.BadParameter("--check needs --output FILE: the file to look at")
    with reported(verbose):
        module_name, _, first = target.partition(":")
        given: list[str] = [*filter(None, first.split(",")), *(names or [])]
        wanted = list(dict.fromkeys(given))
        command = shlex.join(["rpcx", "stubs", ":".join(filter(None, [module_name, ",".join(wanted)]))])
        try:
            source = Stubs(_classes(imported(module_name, "rpcx stubs"), wanted), command).source()
        except Unwritable as error:
            raise Unusable(str(error)) from None
        if not check or output is None:
            deliver(source, output, as_json=as_json)
        elif not (output.exists() and same(source, output.read_text(encoding="utf-8"))):
            raise Unusable(f"{output} is not current; make it anew: {command} --output {shlex.quote(str(output))}")
        else:
            tell({"file": str(output), "current": True}, "", as_json=as_json)


def _classes(module: Any, names: list[str]) -> list[type]:
    """Those that are named, else all that the module defines, in its order."""
    if names:
        return [named(module, name) for name in names]
    found = dict.fromkeys(
        value
        for value in vars(module).values()
        if contract_of(value) is not None and value.__module__ == module.__name__
    )
    if not found:
        raise Unusable(f"{module.__name__} defines no remote class; decorate one, or name one that it imports")
    return list(found)
