"""``rpcx doctor``: what is wrong with this machine as a place for rpcx."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rpcx.terminal import AsJson, Verbose, as_json_text, out, print_line, reported, styled

if TYPE_CHECKING:
    from rpcx.doctor import Finding

app = typer.Typer()

MARKS: Final = {"ok": ("ok     ", "green"), "warning": ("warning", "yellow"), "error": ("error  ", "bold red")}


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Look at the addresses of this configuration too.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Look at interpreter, libraries, file modes, keys and listening addresses; fails when something is wrong.

    Nothing is changed. Warnings are told and are no failure.
    """
    from rpcx.doctor import examine
    from rpcx.security.identity import home

    with reported(verbose):
        report(examine(home(), config), as_json=as_json)


def report(findings: "Sequence[Finding]", *, as_json: bool) -> None:
    """Show what was found, and exit with 1 if something is wrong."""
    if as_json:
        print_line(as_json_text([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            out.print(styled(MARKS[finding.level], f" {finding.subject}: {finding.says}"), highlight=False)
            if finding.remedy:
                out.print(styled(f"        {finding.remedy}"), highlight=False)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
