"""``rpcx dotnet``: what helps with programs of .NET."""

from pathlib import Path
from typing import Annotated

import typer

from rpcx.terminal import AsJson, Unusable, Verbose, deliver, reported

app = typer.Typer(help="What helps with programs of .NET Remoting.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """What helps with programs of .NET Remoting."""


@app.command()
def stubs(
    assembly: Annotated[Path, typer.Argument(metavar="ASSEMBLY", help="A .dll or .exe.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: print it.")] = None,
    as_json: AsJson = False,  # noqa: FBT002  # typer spells options so
    verbose: Verbose = False,  # noqa: FBT002  # typer spells options so
) -> None:
    """Write Python contracts for the public types of a .NET assembly, to keep and to edit."""
    from rpcx.interop.dotnet.metadata import read_assembly
    from rpcx.interop.dotnet.stubs import Stubs

    with reported(verbose):
        try:
            source = Stubs(*read_assembly(assembly)).source()
        except ModuleNotFoundError:
            raise Unusable("this needs dnfile: pip install 'rpcx[dotnet]'") from None
        except ValueError as error:
            raise Unusable(str(error)) from None
        deliver(source, output, as_json=as_json)
