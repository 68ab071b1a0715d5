"""``rpcx config``: what may be in a host's configuration file, and whether one is right."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from rpcx.terminal import Verbose, print_line, reported

app = typer.Typer(help="Configuration files of hosts.", no_args_is_help=True)


@app.command()
def schema() -> None:
    """Print the form of a configuration file as JSON Schema, for editors and checkers."""
    from rpcx.config import schema as form

    print_line(json.dumps(form(), indent=2))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file.")],
    verbose: Verbose = False,
) -> None:
    """Say whether a file is right: its keys, its values, the classes it names. Opens nothing; imports its modules."""
    from rpcx.config import checked

    with reported(verbose):
        sys.path.insert(0, str(Path.cwd()))
        config = checked(file)
        print_line(f"{file}: {len(config.objects)} objects, {len(config.channels)} channels")
