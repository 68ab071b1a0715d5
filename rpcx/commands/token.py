"""``rpcx token``: issue and look at tokens."""

import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rpcx.terminal import AsJson, Unusable, Verbose, reported, tell

if TYPE_CHECKING:
    from rpcx.security.compact import Claims

app = typer.Typer(help="Tokens: an issuer's word on somebody, for an hour at most.", no_args_is_help=True)

Audience = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="What the host calls itself; default this user's own key: a host of this user."),
]
Holder = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="KEY", help="The holder's fingerprint, or certificate file. Default: this user's key."
    ),
]


@app.command()
def issue(
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Who its holder is then.")],
    role: Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help="May be repeated.")] = None,
    audience: Audience = None,
    to: Holder = None,
    bearer: Annotated[bool, typer.Option("--bearer", help="Bind it to no key: whoever has it can use it.")] = False,
    minutes: Annotated[float, typer.Option(min=0.02, max=60.0, help="How long it is good.")] = 15.0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Issue a token, signed by this user's key, and print it."""
    from rpcx.security.identity import own_identity
    from rpcx.security.tokens import issue as made

    with reported(verbose):
        if bearer and to is not None:
            raise Unusable("--bearer binds it to no key, --to to one: which?")
        own = own_identity()
        holder = None if bearer else _holder(to) or own.fingerprint
        token = made(name, audience or own.fingerprint, round(minutes * 60), roles=frozenset(role or ()), holder=holder)
        tell({"token": token}, token, as_json=as_json)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="It holds the token; - reads it.")],
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show what a token claims, who is said to have signed it, and whether it is believed here."""
    from rpcx.security.compact import MOST_BYTES, claims_of, parse
    from rpcx.security.identity import home
    from rpcx.security.trust import TrustStore

    with reported(verbose):
        text = sys.stdin.read(MOST_BYTES + 2) if str(file) == "-" else file.read_text("ascii", "replace")
        try:
            signed = parse(text.strip())
            claims = claims_of(signed.body)
        except ValueError as error:
            raise Unusable(f"{file} holds no token: {error}") from None
        issuer = TrustStore(home()).issuer(signed.issuer)
        believed = issuer is not None and signed.signed_by(issuer.key)
        realm = f"@{issuer.realm}" if issuer is not None and issuer.realm else ""
        fields = {
            "principal": claims.principal + realm,
            "roles": " ".join(sorted(claims.roles)),
            "audience": claims.audience,
            "expires": f"{claims.expires.isoformat()} ({_left(claims)})",
            "holder": claims.holder or "whoever has it",
            "issuer": signed.issuer,
            "believed here": "yes" if believed else "no: its issuer is not known, or did not sign it",
        }
        tell(fields, "\n".join(f"{field:14} {value}" for field, value in fields.items()), as_json=as_json)


def _left(claims: "Claims") -> str:
    seconds = (claims.expires - datetime.datetime.now(datetime.UTC)).total_seconds()
    return f"in {seconds / 60:.0f} min" if seconds > 0 else "over"


def _holder(to: str | None) -> str | None:
    """A fingerprint, as it is or of a certificate in a file."""
    from rpcx.security.compact import FINGERPRINT
    from rpcx.security.records import trusted_key

    if to is None or FINGERPRINT.match(to):
        return to
    try:
        return trusted_key(Path(to).read_bytes()).fingerprint
    except FileNotFoundError:
        raise Unusable(f"{to} is no fingerprint (sha256:…), and there is no such file") from None
