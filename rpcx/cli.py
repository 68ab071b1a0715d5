"""The command line: ``rpcx serve``, ``rpcx call``, ``rpcx inspect``.

- Results go to standard output, one clear line about what went wrong to standard error; with ``-v`` the traceback
  too, the remote one included. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
- ``--json`` makes a command's output one JSON document, or one a line where things come one by one. What JSON lacks
  is written as the ``json`` formatter writes it: ``{"$bytes": "AP8="}``.

Plug-ins add commands by entry point ``rpcx.commands``: each a `typer.Typer`; with several commands it is a group.
"""

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from typer.core import TyperCommand

import rpcx
from rpcx.channels.urls import parse
from rpcx.realm import FORMATTERS, GRACE
from rpcx.remoting.contract import Method, Mode, contract_of
from rpcx.remoting.proxy import Proxy, dynamic_method
from rpcx.remoting.references import Reference
from rpcx.terminal import (
    AsJson,
    Authenticators,
    Insecure,
    Timeout,
    Unusable,
    Verbose,
    as_json_text,
    err,
    imported,
    interruptible,
    named,
    one_line,
    out,
    print_line,
    reader_may_leave,
    reported,
    styled,
)

app = typer.Typer(
    name="rpcx", help="Use and serve remote objects.", no_args_is_help=True, pretty_exceptions_enable=False
)


def main() -> None:
    """The entry point of ``rpcx``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character shows its number
            stream.reconfigure(errors="backslashreplace")
    for point in entry_points(group="rpcx.commands"):
        try:
            added: typer.Typer = point.load()
            if (
                len(added.registered_commands) == 1 and added.registered_callback is None
            ):  # it is the command, as it would be when run by itself
                added.registered_commands[0].name = point.name
                app.registered_commands += added.registered_commands
            else:
                app.add_typer(added, name=point.name)
        except Exception as error:  # noqa: BLE001  # a plug-in that is broken must not take the others with it
            err.print(one_line(f"rpcx: the command {point.name} ({point.value}) is left out: {error!r}"))
    app()


def _version(wanted: bool) -> None:  # typer's callback
    if wanted:
        print(f"rpcx {rpcx.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell it.")] = False,
) -> None:
    """Use and serve remote objects."""


@app.command()
def serve(  # noqa: PLR0913, PLR0917  # one for each option
    target: Annotated[str | None, typer.Argument(metavar="MODULE[:NAME]", help="Where the remote classes are.")] = None,
    listen: Annotated[
        list[str] | None, typer.Option("--listen", "-l", metavar="URL", help="Where; may be repeated.")
    ] = None,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="More classes of the module.")] = None,
    insecure: Insecure = False,
    formatter: Annotated[list[str] | None, typer.Option(help="Offer this one; may be repeated, best first.")] = None,
    grace: Annotated[float, typer.Option(min=0.0, help="Seconds a lost client has to come back.")] = GRACE,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help='Who may call besides this user: a role, "*"; may be repeated.'),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Serve what a TOML file says, instead.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Serve the remote classes of a module until interrupted.

    All decorated classes that the module defines are registered, or those that are named. A module with a
    function ``rpcx_host(host)`` registers and publishes by itself.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    if config is not None and (target or listen or allow or formatter or insecure):
        raise typer.BadParameter("--config says what is served, where and to whom: give it by itself")
    if config is None and not (target and listen):
        raise typer.BadParameter("give MODULE and --listen URL, or --config FILE, which says both")
    with reported(verbose), interruptible():
        if config is not None:
            sys.path.insert(0, str(Path.cwd()))
            host = rpcx.Host.from_config(config)
        else:
            host = rpcx.Host(grace=grace, formatters=formatter or FORMATTERS, allow=allow)
        with closing(host):
            if target is not None:
                _register(host, target, names or [])
            for url in listen or []:
                host.listen(url, insecure=insecure)
            host.start()
            for url in host.urls:
                print_line(json.dumps({"url": url}) if as_json else f"listening on {url}")
            host.wait()


def _register(host: rpcx.Host, target: str, names: list[str]) -> None:
    name, _, first = target.partition(":")
    names = [*filter(None, first.split(",")), *names]
    module = imported(name, "rpcx serve")
    if names:
        host.register(*(named(module, each) for each in dict.fromkeys(names)))
    elif hasattr(module, "rpcx_host"):
        module.rpcx_host(host)
    else:
        found = dict.fromkeys(value for value in vars(module).values() if _is_offered(value, module.__name__))
        if not found:
            raise Unusable(f"{name} defines no remote class that can be registered; decorate one, or name it")
        host.register(*found)


def _is_offered(value: object, module: str) -> bool:
    contract = contract_of(value)
    own = getattr(value, "__module__", "") == module and not getattr(value, "__abstractmethods__", None)
    return contract is not None and own and contract.mode is not Mode.REMOTE


class _Words(TyperCommand):
    """``-5`` is an argument, but an option that is none is an error: a method must not be sent ``--timeuot``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # typer's context
        known = {option for parameter in self.get_params(ctx) for option in parameter.opts}
        for word in args[: args.index("--")] if "--" in args else args:
            unknown = word.startswith("-") and word.partition("=")[0] not in known
            if unknown and isinstance(_argument(word), str) and word != "-" and not ctx.resilient_parsing:
                raise typer.BadParameter(f"no option {word}; if it is an argument, put -- before the arguments", ctx)
        return super().parse_args(ctx, args)


@app.command(cls=_Words, context_settings={"ignore_unknown_options": True})
def call(
    url: Annotated[str, typer.Argument(metavar="URL/OBJECT")],
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method or property; PROPERTY=VALUE sets it.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGUMENT|NAME=ARGUMENT")] = None,
    insecure: Insecure = False,
    authenticator: Authenticators = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Call a method of a remote object and print what it returns; a stream is printed as it comes.

    Arguments are JSON where they are JSON, else plain words: 5, true, ann, '[1, 2]'. JSON's quotes make anything
    a text: '"5"', '"a=b"'. Ctrl-C ends a stream.
    """
    with reported(verbose):
        uri = parse(url).uri
        if not uri:
            raise typer.BadParameter(f"{url}: which object? add its name, as in {url}/NAME")
        with _connected(url, insecure, authenticator, timeout) as server:
            entry, args, kwargs = _entry(server, uri, method, arguments or [])
            show = _print_items if entry.streams else _print
            show(server.call(uri, entry, args, kwargs), as_json=as_json)


@contextmanager
def _connected(url: str, insecure: bool, authenticators: list[str] | None, timeout: float) -> Iterator[rpcx.Server]:
    """A connection as the options say; calls within take ``timeout`` seconds too."""
    by = authenticators or ()
    with (
        rpcx.connect(url, insecure=insecure, authenticators=by, timeout=timeout) as server,
        rpcx.options(timeout=timeout),
    ):
        yield server


def _entry(server: rpcx.Server, uri: str, name: str, words: list[str]) -> tuple[Method, list[Any], dict[str, Any]]:
    """What to call and with what, from the contract that the host tells; an assignment is a call too."""
    kinds = {entry["name"]: entry["kind"] for entry in server.contract(uri)["methods"]}
    prop, assigned, value = name.partition("=")
    if kinds.get(prop) in ("get", "set", "del") and words:
        raise Unusable(f"{uri}.{prop} is a property: {prop} reads it, {prop}=VALUE sets it, nothing follows")
    if assigned:
        if f"{prop}.set" not in kinds:
            raise Unusable(f"{uri}.{prop} is no property that can be set")
        return dynamic_method(f"{prop}.set"), [_argument(value)], {}
    return dynamic_method(name, streams=kinds.get(name) == "stream"), *_arguments(words)


def _arguments(words: list[str]) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (equals and name.isidentifier()):
            args.append(_argument(word))
        elif name in kwargs:
            raise typer.BadParameter(f"{name}= is given twice")
        else:
            kwargs[name] = _argument(value)
    return args, kwargs


def _argument(word: str) -> Any:  # whatever the JSON says
    try:
        return json.loads(word, parse_constant=str)  # NaN is a word: JSON has none
    except (ValueError, RecursionError):
        return word


def _print_items(items: Any, *, as_json: bool) -> None:  # a remote stream
    """One a line, as they come. A person ends an endless one by Ctrl-C: that is no failure."""
    with items, suppress(KeyboardInterrupt):
        for item in items:
            _print(item if as_json or isinstance(item, str | Proxy) else repr(item), as_json=as_json)


def _print(value: object, *, as_json: bool) -> None:
    if as_json:
        print_line(as_json_text(value))
    elif isinstance(value, Proxy):
        reference: Reference = value._rpcx_ref
        print_line(f"{reference.names[0] if reference.names else 'function'}, id {reference.uri}")
    elif isinstance(value, str):
        print_line(value)
    elif value is not None:
        with reader_may_leave():
            out.print(value)


@app.command()
def inspect(
    url: Annotated[str, typer.Argument(metavar="URL")],
    insecure: Insecure = False,
    authenticator: Authenticators = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show what a host offers: objects, classes, methods with signatures and docs, live leases; to its owner bounds."""
    with reported(verbose):
        with _connected(url, insecure, authenticator, timeout) as server:
            described = server.describe()
            where = str(server.peer)
        if as_json:
            print_line(as_json_text(described, indent=2))
            return
        with reader_may_leave():
            for part in _parts(described, where):
                out.print(part, highlight=False)


def _parts(described: dict[str, Any], where: str) -> Iterator[Text | Tree | Table]:
    yield styled((described["host"].get("name", "a host"), "bold"), f", {where}")  # facts are for its owner
    for entry in described["objects"]:
        yield _tree(styled((entry["uri"], "bold green"), f" {entry.get('name', '')} ", (entry["mode"], "dim")), entry)
    for entry in described["classes"]:
        yield _tree(styled((entry["name"], "bold cyan"), (" clients make instances", "dim")), entry)
    if described["lease_count"]:
        yield _leases(described)
    if described.get("bounds"):
        yield _bounds(described["bounds"])


def _tree(label: Text, entry: dict[str, Any]) -> Tree:
    tree = Tree(label)
    if entry.get("doc"):
        tree.add(styled((entry["doc"].partition("\n")[0], "italic")))
    methods = {method["name"]: method for method in entry.get("methods", ())}
    for name, method in methods.items():
        if method["kind"] != "set" or name.removesuffix(".set") not in methods:  # else it is told with the getter
            signature = _signature(method, settable=f"{name}.set" in methods)
            tree.add(styled(signature, (("  " + method["doc"].partition("\n")[0]).rstrip(), "dim")))
    return tree


def _signature(method: dict[str, Any], *, settable: bool) -> str:
    name, kind, returns = method["name"], method["kind"], f" -> {method['returns']}" if method["returns"] else ""
    if kind in ("get", "set", "del"):
        said = {"get": "property, settable" if settable else "property", "set": "set", "del": "delete"}[kind]
        return f"{name}{returns}  ({said})"
    marks = ("  (stream)" if kind == "stream" else "") + ("  (one-way)" if method["oneway"] else "")
    return f"{name}({', '.join(map(_parameter, method['parameters']))}){returns}{marks}"


def _parameter(parameter: dict[str, Any]) -> str:
    star = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter["kind"], "")
    text = f"{star}{parameter['name']}" + (f": {parameter['type']}" if parameter["type"] else "")
    return f"{text} = {parameter['default']}" if "default" in parameter else text


def _leases(described: dict[str, Any]) -> Table:
    table = Table("object", "state", "seconds left", "sponsors", "calls now", title=f"{described['lease_count']} live")
    for lease in described["leases"]:
        left = f"{lease['remaining']:.1f}" if lease["state"] != "NULL" else "while held"
        table.add_row(*map(styled, (lease["uri"], lease["state"], left, str(lease["sponsors"]), str(lease["pins"]))))
    return table


def _bounds(bounds: dict[str, dict[str, Any]]) -> Table:
    table = Table("bound", title="bounds, and how often each was reached")
    for name in ("most", "now", "high", "refused"):
        table.add_column(name, justify="right")
    for name, bound in bounds.items():
        style = "bold red" if bound["refused"] else "dim" if not bound["high"] else ""
        table.add_row(*(styled((text, style)) for text in (name, *map(_number, bound.values()))))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
    main()
