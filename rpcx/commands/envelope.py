"""``rpcx envelope``: key cards, and files sealed for one reader."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from rpcx.terminal import AsJson, Verbose, reported, tell

app = typer.Typer(help="Key cards, and files sealed for one reader.", no_args_is_help=True)

Source = Annotated[Path, typer.Argument(metavar="FILE")]
Target = Annotated[Path, typer.Option("--to", metavar="FILE", help="Where to write; not there yet.")]
Context = Annotated[str, typer.Option("--context", help="What it belongs to; both sides say the same.")]


@app.command()
def card(as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Print this user's key card, for others to take."""
    from rpcx.security.cards import Cards
    from rpcx.security.identity import home

    with reported(verbose):
        own = Cards(home()).own_card().decode()
        tell({"card": own}, own.rstrip(), as_json=as_json)


@app.command()
def take(
    file: Source,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="What to call it here.")],
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Keep the key card of somebody whose identity is trusted (rpcx keys trust)."""
    from rpcx.security.cards import Cards
    from rpcx.security.identity import home

    with reported(verbose):
        taken = Cards(home()).take(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes(), name)
        fields = {"name": name, "fingerprint": taken.fingerprint, "key": taken.public.key_id.hex()}
        tell(fields, f"{name} is {taken.fingerprint}, key {fields['key']}", as_json=as_json)


@app.command()
def renew(
    pq: Annotated[bool, typer.Option("--pq", help="A hybrid key: X25519 and ML-KEM-768.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a new key for envelopes; older ones still open. Give others the new card."""
    from rpcx.security.cards import Cards
    from rpcx.security.identity import home

    with reported(verbose):
        key = Cards(home()).renew(pq=pq).public.key_id.hex()
        tell({"key": key}, key, as_json=as_json)


@app.command()
def seal(
    file: Source,
    reader: Annotated[str, typer.Option("--for", metavar="NAME", help="Whose key card.")],
    to: Target,
    context: Context = "",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Seal a file for one reader."""
    from rpcx.security import envelope
    from rpcx.security.cards import Cards
    from rpcx.security.files import create_private
    from rpcx.security.identity import home

    with reported(verbose):
        cards = Cards(home())
        recipient = cards.named(reader).public
        sealed = envelope.seal(file.read_bytes(), sender=cards.identity, recipient=recipient, context=context)
        _written(create_private(to, sealed), to, as_json=as_json)


@app.command(name="open")
def open_(file: Source, to: Target, context: Context = "", as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Open a file that was sealed for this user; a sender whose card is not here is refused."""
    from rpcx.security import envelope
    from rpcx.security.cards import Cards
    from rpcx.security.files import create_private
    from rpcx.security.identity import home

    with reported(verbose):
        cards = Cards(home())
        opened = envelope.open(file.read_bytes(), keys=cards.key, senders=cards.sender, context=context)
        _written(create_private(to, opened.data), to, as_json=as_json)


@app.command()
def show(file: Source, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Show what an envelope says openly. It is not checked: anybody may have written it."""
    from rpcx.security import envelope

    with reported(verbose):
        header = envelope.show(file.read_bytes())
        fields = {
            "context": header.context,
            "id": header.message_id.hex(),
            "sender": header.sender.hex(),
            "key": header.key_id.hex(),
            "milliseconds": header.milliseconds,
            "algorithm": header.algorithm,
        }
        lines = "\n".join(f"{name:12} {value!r}" for name, value in fields.items())
        tell(fields, lines, as_json=as_json)


def _written(done: bool, to: Path, *, as_json: bool) -> None:
    if not done:
        raise FileExistsError(f"{to} is there already")
    tell({"file": str(to)}, str(to), as_json=as_json)
