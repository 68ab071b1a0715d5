"""``rpcx config``: what may be in a host's configuration file, and whether one is right."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from rpcx.terminal import AsJson, Verbose, print_line, reported, tell

app = typer.Typer(help="Configuration files of hosts.", no_args_is_help=True)


@app.command()
def schema(as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Print the form of a configuration file as JSON Schema, for editors and checkers; --json: in one line."""
    from rpcx.config import schema as form

    with reported(verbose):
        print_line(json.dumps(form(), indent=None if as_json else 2))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file.")],
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Say whether a file is right: its keys, its values, the classes it names. Opens nothing; imports its modules."""
    from rpcx.config import checked

    with reported(verbose):
        sys.path.insert(0, str(Path.cwd()))
        config = checked(file)
        objects, channels = len(config.objects), len(config.channels)
        fields = {"file": str(file), "objects": objects, "channels": channels}
        tell(fields, f"{file}: {objects} objects, {channels} channels", as_json=as_json)
