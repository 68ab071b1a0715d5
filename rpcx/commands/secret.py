"""``rpcx secret NAME``: make a shared secret for ``tcp://…?secret=NAME``."""

from typing import Annotated

import typer

from rpcx.security.secret import make_secret, secret_file
from rpcx.terminal import Unusable, Verbose, print_line, reported

app = typer.Typer()


@app.command()
def secret(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What URLs call it: ?secret=NAME")],
    verbose: Verbose = False,
) -> None:
    """Make a shared secret, and say in which file; copy that file to each machine that is to have it."""
    with reported(verbose):
        try:
            print_line(str(make_secret(name)))
        except FileExistsError:
            there = secret_file(name)
            raise Unusable(f"{there} is there already; remove it on all machines to make another") from None
