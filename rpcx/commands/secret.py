"""``rpcx secret NAME``: make a shared secret for ``tcp://…?secret=NAME``."""

from typing import Annotated

import typer

from rpcx.terminal import AsJson, Unusable, Verbose, reported, tell

app = typer.Typer()


@app.command()
def secret(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What URLs call it: ?secret=NAME")],
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a shared secret, and say in which file; copy that file to each machine that is to have it."""
    from rpcx.security.secret import make_secret, secret_file

    with reported(verbose):
        try:
            file = make_secret(name)
        except FileExistsError:
            raise Unusable(f"{secret_file(name)} is there; remove it on all machines to make another") from None
        tell({"secret": str(file)}, str(file), as_json=as_json)
