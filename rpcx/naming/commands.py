"""``rpcx names``: the directory of services found by name."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rpcx.terminal import (
    AsJson,
    Insecure,
    Unusable,
    Verbose,
    as_json_text,
    interruptible,
    out,
    print_line,
    reported,
    styled,
    tell,
)

if TYPE_CHECKING:
    from rpcx.naming.directory import Directory, Found

app = typer.Typer(help="Services found by name.", no_args_is_help=True)

Place = Annotated[
    str | None, typer.Option("--at", metavar="URL", help="The directory. Default: $RPCX_NAMES, else pipe://names.")
]
Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.command()
def serve(  # the options of a command
    listen: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="May be repeated. Default: pipe://names.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep names in this SQLite file, so that a new start knows them."),
    ] = None,
    lease: Annotated[float, typer.Option(min=0.2, help="Seconds a name lives without a word of its host.")] = 30.0,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="ROLE", help="Who may find and enter names besides this user.")
    ] = None,
    pyro: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Be Pyro5's name server there too; on loopback only.")
    ] = None,
    insecure: Insecure = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Run a directory until it is interrupted. Hosts enter their names, and clients find them."""
    import rpcx
    from rpcx.naming.directory import Names
    from rpcx.naming.directory import serve as offer

    with reported(verbose):
        storage = _storage(file)
        names = Names(storage, lease)
        host = rpcx.Host(grace=min(lease / 3, 5.0))
        offer(names, host, lease=lease, allow=allow)
        for url in listen or ["pipe://names"]:
            at = host.listen(url, insecure=insecure)
            tell({"url": at}, f"listening on {at}", as_json=as_json)
        if pyro is not None:
            at = _serve_pyro(pyro, storage, insecure=insecure)
            tell({"pyro": at}, f"Pyro5 programs find it at {at}", as_json=as_json)
        with host, interruptible():
            while not host.wait(lease):
                names.drop_left()


def _storage(file: Path | None) -> Any:  # a mapping, Pyro5's or ours
    if file is None:
        return {}
    try:
        from Pyro5.nameserver import SqlStorage  # type: ignore[import-untyped]  # it ships no types
    except ImportError:
        raise Unusable("--file needs Pyro5's storage: pip install 'rpcx[pyro]'") from None
    return SqlStorage(str(file))


def _serve_pyro(place: str, storage: Any, *, insecure: bool) -> str:  # likewise
    """Pyro5's own name server over the same storage, in a thread."""
    from rpcx.channels.tcp import beyond_loopback
    from rpcx.channels.urls import host_port

    try:
        from rpcx.naming.pyro import NameServer
    except ImportError:
        raise Unusable("--pyro needs Pyro5: pip install 'rpcx[pyro]'") from None
    if beyond_loopback(place) is not None:
        raise Unusable(f"--pyro {place}: Pyro5's protocol asks nobody who it is, so it is served on loopback only")
    daemon = NameServer(*host_port(place), storage, insecure=insecure)
    threading.Thread(target=daemon.requestLoop, name="pyro-names", daemon=True).start()
    return str(daemon.locationStr)


@app.command("list")
def list_names(
    prefix: Annotated[str, typer.Argument(help="Names that begin so. Default: all.")] = "",
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated; all are needed.")] = None,
    at: Place = None,
    insecure: Insecure = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """List who is there."""
    with reported(verbose), _directory(at, insecure=insecure) as directory:
        found = directory.find(prefix, dict(_pair(text) for text in tag or ()))
        if as_json:
            print_line(as_json_text([_fields(each) for each in found], indent=2))
            return
        table = Table("name", "at", "tags", "whose")
        for each in found:
            tags = ", ".join(f"{key}={value}" for key, value in sorted(each.tags.items()))
            table.add_row(*map(styled, (each.name, "\n".join(each.urls), tags, each.owner or "Pyro5")))
        out.print(table)


@app.command()
def lookup(
    name: Name, at: Place = None, insecure: Insecure = False, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Print the URLs that a name has."""
    with reported(verbose), _directory(at, insecure=insecure) as directory:
        found = directory.look_up(name)
        tell(_fields(found), "\n".join(found.urls), as_json=as_json)


@app.command()
def remove(
    name: Name, at: Place = None, insecure: Insecure = False, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Take a name out. A host that lives does not enter it again."""
    with reported(verbose), _directory(at, insecure=insecure) as directory:
        directory.remove(name)
        tell({"name": name}, "", as_json=as_json)


class _directory:  # noqa: N801  # used as a context manager, like a function
    """The directory, connected for the time of a command."""

    def __init__(self, at: str | None, *, insecure: bool) -> None:
        from rpcx.naming.place import placed

        self._url = at or placed("x")[1]
        self._insecure = insecure

    def __enter__(self) -> "Directory":
        import rpcx
        from rpcx.naming.directory import URI, Directory

        self._server = rpcx.connect(self._url, insecure=self._insecure)
        return self._server.get(Directory, URI)

    def __exit__(self, *exc_info: object) -> None:
        self._server.close()


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Unusable(f"--tag {text}: it is KEY=VALUE, as in region=eu")
    return key, value


def _fields(found: "Found") -> dict[str, Any]:
    return {"name": found.name, "urls": found.urls, "tags": found.tags, "owner": found.owner}
