"""``rpcx audit``: read the log of what matters to security, and find out whether somebody changed it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rpcx.terminal import AsJson, Unusable, Verbose, print_line, reported, visible

app = typer.Typer(help="The log of what matters to security.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Rotated ones first, oldest first.")]


@app.command()
def verify(
    files: Files,
    noted: Annotated[str | None, typer.Option(metavar="HASH", help="A last hash that was noted elsewhere.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Follow the chain of hashes: is each line as it was written, and none missing?

    A line that a crash cut off is named.
    What was cut off at the end shows only with a hash that was noted elsewhere before.
    """
    from rpcx.security.audit_log import BEGINNING
    from rpcx.security.audit_log import verify as follow

    with reported(verbose):
        chain = follow(files, noted)
        if as_json:
            found = {"ok": chain.problem is None, "lines": chain.lines, "first": chain.first, "head": chain.head}
            print_line(json.dumps({**found, "notes": chain.notes, "problem": chain.problem}))
            if chain.problem is not None:
                raise typer.Exit(1)
            return
        for note in chain.notes:
            print_line(note)
        if chain.problem is not None:
            raise Unusable(chain.problem)
        begins = "from the beginning" if chain.first == BEGINNING else f"behind {chain.first}"
        print_line(f"{chain.lines} lines, whole, {begins}")
        print_line(f"last hash {chain.head}")


@app.command()
def show(
    files: Files,
    event: Annotated[str | None, typer.Option(help="Only events of this kind.")] = None,
    principal: Annotated[str | None, typer.Option(help="Only what this one did.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print events, one a line."""
    with reported(verbose):
        for file in files:
            with file.open(encoding="ascii", errors="replace") as lines:
                for line in lines:
                    fields = _fields(line)
                    wanted = event in (None, fields.get("event")) and principal in (None, fields.get("principal"))
                    if wanted:
                        print_line(json.dumps(fields) if as_json else visible(_told(fields)))


def _fields(line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        return {"event": "(no line of the log)", "result": line.strip()}
    return fields if isinstance(fields, dict) else {"result": line.strip()}


def _told(fields: dict[str, Any]) -> str:
    who = fields.get("principal") or fields.get("source") or ""
    where = [str(fields[name]) for name in ("peer", "object_type", "object", "method") if fields.get(name) is not None]
    how = [f"{name} {fields[name]}" for name in ("count", "ms") if fields.get(name) is not None]
    rest = " ".join([str(who), *where, *how, str(fields.get("result") or "")]).replace("\n", "\\n")
    return f"{fields.get('ts', '')} {fields.get('event', '')} {' '.join(rest.split())}"
