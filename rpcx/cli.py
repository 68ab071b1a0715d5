"""The command line: ``rpcx serve``, ``rpcx call``, ``rpcx inspect``.

Results go to standard output, one clear line about what went wrong to standard error (with ``-v`` the traceback
too, the remote one included). ``--json`` makes every command's output a JSON document, or one a line where things
come one by one. Exit status: 0 done, 1 failed, 2 wrong usage.

Annexes add commands by entry point ``rpcx.commands``: each a `typer.Typer`.
"""

import importlib
import json
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

import rpcx
from rpcx.channels.urls import parse
from rpcx.remoting.contract import Mode, contract_of
from rpcx.remoting.proxy import Proxy, dynamic_method
from rpcx.remoting.references import Reference
from rpcx.sinks.values import Values

app = typer.Typer(
    name="rpcx", help="Use and serve remote objects.", no_args_is_help=True, pretty_exceptions_enable=False
)
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

Insecure = Annotated[bool, typer.Option("--insecure", help="Admit plain TCP, on loopback only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to connect and to call.")]


def main() -> None:
    """The entry point of ``rpcx``."""
    for point in entry_points(group="rpcx.commands"):
        app.add_typer(point.load(), name=point.name)
    app()


@contextmanager
def _reported(verbose: bool) -> Iterator[None]:  # the option of every command
    """One clear line for what goes wrong."""
    try:
        yield
    except (typer.Exit, typer.BadParameter):
        raise
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told in one line
        if verbose:
            err.print("".join(traceback.format_exception(error)), markup=False, highlight=False)
        kind = type(error).__name__
        text = str(error).splitlines()[0] if str(error) else kind
        err.print(f"rpcx: {kind}: {text}", markup=False, highlight=False)
        raise typer.Exit(1) from None


def _version(wanted: bool) -> None:  # typer's callback
    if wanted:
        typer.echo(f"rpcx {rpcx.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # acts through its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Use and serve remote objects."""


# --- serve ------------------------------------------------------------------------------------------------------


@app.command()
def serve(
    target: Annotated[str, typer.Argument(metavar="MODULE[:NAME,…]", help="Where the remote classes are.")],
    listen: Annotated[list[str], typer.Option("--listen", "-l", help="A URL to listen on; may be repeated.")],
    insecure: Insecure = False,
    grace: Annotated[float, typer.Option(help="Seconds a lost client has to come back.")] = 30.0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Serve the remote classes of a module until interrupted.

    All decorated classes that the module defines are registered, or those that are named. A module with a
    function ``rpcx_host(host)`` registers by itself.
    """
    with _reported(verbose):
        host = rpcx.Host(grace=grace)
        _register(host, target)
        urls = [host.listen(url, insecure=insecure) for url in listen]
        signal.signal(signal.SIGTERM, lambda *_: host.stop())
        with host:
            for url in urls:
                typer.echo(json.dumps({"url": url}) if as_json else f"listening on {url}")
            sys.stdout.flush()
            host.wait()


def _register(host: rpcx.Host, target: str) -> None:
    name, _, chosen = target.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise  # something that the module needs
        raise ValueError(f"there is no module {name!r} here or installed") from None
    if chosen:
        found = [_named(module, part) for part in chosen.split(",")]
    elif hasattr(module, "rpcx_host"):
        module.rpcx_host(host)
        return
    else:
        found = [value for value in vars(module).values() if _is_offered(value, module.__name__)]
    if not found:
        raise ValueError(f"{name} defines no remote class that can be registered; decorate one, or name it")
    host.register(*found)


def _named(module: Any, name: str) -> type:  # a module
    found = getattr(module, name, None)
    if found is None:
        raise ValueError(f"{module.__name__} has no {name!r}")
    if contract_of(found) is None:
        raise ValueError(f"{module.__name__}.{name} is no remote class; decorate it with @rpcx.singleton or its kin")
    return found  # type: ignore[no-any-return]  # contract_of says it is a class


def _is_offered(value: object, module: str) -> bool:
    contract = contract_of(value)
    own = getattr(value, "__module__", "") == module and not getattr(value, "__abstractmethods__", None)
    return contract is not None and own and contract.mode is not Mode.REMOTE


# --- call -------------------------------------------------------------------------------------------------------


@app.command(context_settings={"ignore_unknown_options": True})
def call(
    url: Annotated[str, typer.Argument(metavar="URL/OBJECT")],
    method: Annotated[str, typer.Argument(help="A method or property; PROPERTY=VALUE sets it.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[ARGUMENT | NAME=ARGUMENT]…")] = None,
    insecure: Insecure = False,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Call a method of a remote object and print what it returns; a stream is printed as it comes.

    Arguments are JSON where they are JSON, else plain words.
    """
    with _reported(verbose):
        address = parse(url)
        if not address.uri:
            raise typer.BadParameter(f"{url}: which object? add its name, as in {url}/NAME")
        args, kwargs = _arguments(arguments or [])
        with rpcx.connect(url, insecure=insecure, timeout=timeout) as server, rpcx.options(timeout=timeout):
            entry, args = _entry(server, address.uri, method, args)
            result = server.call(address.uri, entry, args, kwargs)
            if entry.streams:
                for item in result:
                    _print(item, as_json=as_json, compact=True)
            else:
                _print(result, as_json=as_json)


def _entry(server: rpcx.Server, uri: str, name: str, args: list[Any]) -> tuple[Any, list[Any]]:
    """The method to call, from the contract that the host tells; a property's assignment is a call too."""
    known = {entry["name"]: entry for entry in server.contract(uri)["methods"]}
    prop, equals, value = name.partition("=")
    if equals and f"{prop}.set" in known:
        return dynamic_method(f"{prop}.set"), [_argument(value)]
    entry = dynamic_method(name)
    if name in known and known[name]["kind"] == "stream":
        entry = dynamic_method(name, streams=True)
    return entry, args


def _arguments(words: list[str]) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier():
            kwargs[name] = _argument(value)
        else:
            args.append(_argument(word))
    return args, kwargs


def _argument(word: str) -> Any:  # whatever the JSON says
    try:
        return json.loads(word)
    except ValueError:
        return word


def _described(instance: object) -> list[object] | None:
    """How a remote object is shown."""
    if not isinstance(instance, Proxy):
        return None
    reference: Reference = instance._rpcx_ref
    return [reference.uri, list(reference.names)]


def _print(value: object, *, as_json: bool, compact: bool = False) -> None:
    if as_json:
        plain = Values(_described, lambda fields: fields).plain(value)
        typer.echo(json.dumps(plain, ensure_ascii=False))
    elif isinstance(value, Proxy):
        out.print(repr(value), markup=False)
    elif isinstance(value, str) or compact:
        out.print(value, markup=False)
    elif value is not None:
        out.print(value)
    sys.stdout.flush()


# --- inspect ----------------------------------------------------------------------------------------------------


@app.command()
def inspect(
    url: Annotated[str, typer.Argument(metavar="URL")],
    insecure: Insecure = False,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show what a host offers: objects, classes, methods with signatures and docs, live leases."""
    with _reported(verbose):
        with rpcx.connect(url, insecure=insecure, timeout=timeout) as server, rpcx.options(timeout=timeout):
            described = server.describe()
            where = server.peer
        if as_json:
            typer.echo(json.dumps(described, ensure_ascii=False, indent=2))
            return
        out.print(f"[bold]{described['host']['name']}[/], {where}")
        for entry in described["objects"]:
            out.print(_tree(f"[bold green]{entry['uri']}[/] {entry.get('name', '')} [dim]{entry['mode']}[/]", entry))
        for entry in described["classes"]:
            out.print(_tree(f"[bold cyan]{entry['name']}[/] [dim]clients make instances[/]", entry))
        if described["lease_count"]:
            out.print(_leases(described))


def _tree(label: str, entry: dict[str, Any]) -> Tree:
    tree = Tree(label)
    if entry.get("doc"):
        tree.add(f"[italic]{_first_line(entry['doc'])}[/]")
    for method in entry.get("methods", ()):
        tree.add(_signature(method) + (f"  [dim]{_first_line(method['doc'])}[/]" if method["doc"] else ""))
    return tree


def _signature(method: dict[str, Any]) -> str:
    name, returns = method["name"], f" -> {method['returns']}" if method["returns"] else ""
    if method["kind"] in ("get", "set", "del"):
        return _escaped(f"{name}{returns}  ({ {'get': 'property', 'set': 'set', 'del': 'delete'}[method['kind']] })")
    marks = {"stream": "  (stream)"}.get(method["kind"], "") + ("  (one-way)" if method["oneway"] else "")
    return _escaped(f"{name}({', '.join(map(_parameter, method['parameters']))}){returns}{marks}")


def _parameter(parameter: dict[str, Any]) -> str:
    star = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter["kind"], "")
    text = f"{star}{parameter['name']}" + (f": {parameter['type']}" if parameter["type"] else "")
    return f"{text} = {parameter['default']}" if "default" in parameter else text


def _leases(described: dict[str, Any]) -> Table:
    table = Table("object", "state", "seconds left", "sponsors", "calls now", title=f"{described['lease_count']} live")
    for lease in described["leases"]:
        left = f"{lease['remaining']:.1f}" if lease["state"] != "NULL" else "while held"
        table.add_row(_escaped(lease["uri"]), lease["state"], left, str(lease["sponsors"]), str(lease["pins"]))
    return table


def _first_line(text: str) -> str:
    return _escaped(text.strip().splitlines()[0]) if text.strip() else ""


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


if __name__ == "__main__":
    main()
