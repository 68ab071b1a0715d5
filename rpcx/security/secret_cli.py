"""``rpcx secret NAME``: make a shared secret for ``tcp://…?secret=NAME``."""

from typing import Annotated

import typer

from rpcx.security.secret import make_secret, secret_file

app = typer.Typer()


@app.command()
def secret(name: Annotated[str, typer.Argument(metavar="NAME", help="What URLs call it: ?secret=NAME")]) -> None:
    """Make a shared secret, and say in which file; copy that file to each machine that is to have it."""
    try:
        print(make_secret(name))  # noqa: T201  # a result, for people and scripts
    except FileExistsError:
        typer.echo(f"rpcx: {secret_file(name)} is there already; remove it on all machines to make another", err=True)
        raise typer.Exit(1) from None
    except (OSError, ValueError) as error:
        typer.echo(f"rpcx: {error}", err=True)
        raise typer.Exit(1) from None
