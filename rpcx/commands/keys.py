"""``rpcx keys``: this user's key, and whose keys it trusts."""

import datetime
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rpcx.terminal import AsJson, Unusable, Verbose, as_json_text, out, print_line, reported, styled, tell

if TYPE_CHECKING:
    from rpcx.security.records import Record

# What works on keys is imported by the commands: `cryptography` takes 60 ms, which `rpcx call` need not wait for.

app = typer.Typer(help="This user's key, and whose keys it trusts.", no_args_is_help=True)
authority = typer.Typer(help="An authority of your own, for fleets.", no_args_is_help=True)
app.add_typer(authority, name="ca")

As = Annotated[str, typer.Option("--as", metavar="NAME", help="What to call it here.")]
Roles = Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help="May be repeated.")]
Certificate = Annotated[Path, typer.Argument(metavar="CERTIFICATE", help="A .crt or .pem file; - reads it.")]
AuthorityHome = Annotated[Path | None, typer.Option("--at", help="Its directory. Default: ca in the keys' directory.")]


def _home() -> Path:
    from rpcx.security.identity import home

    return home()


def _read(file: Path) -> bytes:
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


# --- this user's key --------------------------------------------------------------------------------------------


@app.command()
def init(as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Make this user's key, if there is none; the first use of tcp:// does the same."""
    show(as_json=as_json, verbose=verbose)


@app.command()
def show(
    certificate: Annotated[bool, typer.Option("--certificate", help="Print the certificate alone.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show this user's key: its fingerprint, the same in words, and the certificate to give to others."""
    from rpcx.security.identity import own_identity
    from rpcx.security.words import in_words

    with reported(verbose):
        own = own_identity(_home())
        if certificate:
            print_line(own.certificate_file.read_text().rstrip())
            return
        fields = {
            "fingerprint": own.fingerprint,
            "words": in_words(own.fingerprint),
            "certificate": str(own.certificate_file),
        }
        tell(fields, "\n".join(f"{name:12} {value}" for name, value in fields.items()), as_json=as_json)


@app.command()
def rotate(
    finish: Annotated[bool, typer.Option("--finish", help="Use the new key from now on.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Replace this user's key: first make the new one and a statement for others, then finish.

    Everybody who trusts this user runs `rpcx keys follow STATEMENT`, and takes both keys for two weeks.
    """
    from rpcx.security.files import write_private
    from rpcx.security.keyring import begin_rotation, finish_rotation

    with reported(verbose):
        if finish:
            fingerprint = finish_rotation(_home())
            tell({"fingerprint": fingerprint}, f"the key is now {fingerprint}; restart hosts", as_json=as_json)
            return
        statement = _home() / "new-key.json"
        write_private(statement, begin_rotation(_home()))
        text = (
            f"have everybody who trusts this key run: rpcx keys follow {statement.name}\n"
            f"(the file is {statement}), then here: rpcx keys rotate --finish"
        )
        tell({"statement": str(statement)}, text, as_json=as_json)


@app.command()
def install(certificate: Certificate, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Use a certificate that an authority issued for this user's key."""
    from rpcx.security import keyring

    with reported(verbose):
        name = keyring.install(_home(), _read(certificate))
        tell({"name": name}, f"this user is {name} now", as_json=as_json)


# --- whom it trusts ---------------------------------------------------------------------------------------------


@app.command()
def trust(
    certificate: Certificate, name: As, role: Roles = None, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Trust the key of a certificate, by a name and with roles. Compare its words with its owner first."""
    from rpcx.security import keyring
    from rpcx.security.words import in_words

    with reported(verbose):
        key = keyring.trust(_home(), _read(certificate), name, frozenset(role or ()))
        text = f"{name} is trusted by the key {key.fingerprint}\n({in_words(key.fingerprint)})"
        tell({"name": name, "fingerprint": key.fingerprint}, text, as_json=as_json)


@app.command()
def roles(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    role: Roles = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Give somebody these roles and no others."""
    from rpcx.security import keyring

    with reported(verbose):
        given = frozenset(role or ())
        keyring.set_roles(_home(), name, given)
        has = ", ".join(sorted(given)) or "no role"
        tell({"name": name, "roles": sorted(given)}, f"{name} has {has}", as_json=as_json)


@app.command()
def pin(
    server: Annotated[str, typer.Argument(metavar="HOST:PORT")],
    fingerprint: Annotated[str | None, typer.Argument(metavar="sha256:…", help="None: the server has no pin.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Say which key a server must have; or that it need not have a certain one any more."""
    from rpcx.security.trust import TrustStore

    with reported(verbose):
        if ":" not in server or "/" in server:
            raise Unusable(f"{server!r} is no HOST:PORT, as in bank.example:4444")
        if fingerprint is not None and not (fingerprint.startswith("sha256:") and len(fingerprint) == 50):
            raise Unusable(f"{fingerprint!r} is no fingerprint: sha256: and 43 characters")
        TrustStore(_home()).pin(server, fingerprint)
        tell({"server": server, "fingerprint": fingerprint}, "", as_json=as_json)


@app.command()
def follow(
    statement: Annotated[Path, typer.Argument(metavar="STATEMENT")], as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Take the new key of somebody who is trusted, on the word of the old one."""
    from rpcx.security import keyring

    with reported(verbose):
        name, fingerprint = keyring.follow_rotation(_home(), _read(statement))
        text = f"{name} is trusted by the key {fingerprint} too; by the old one for two weeks more"
        tell({"name": name, "fingerprint": fingerprint}, text, as_json=as_json)


@app.command()
def revoke(
    whom: Annotated[str, typer.Argument(metavar="NAME|sha256:…")], as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Trust somebody, or one key, no more. Sessions are closed within a second."""
    from rpcx.security import keyring

    with reported(verbose):
        fingerprints = keyring.revoke(_home(), whom)
        tell({"revoked": fingerprints}, "revoked: " + ", ".join(fingerprints), as_json=as_json)


@app.command()
def forgive(
    fingerprint: Annotated[str, typer.Argument(metavar="sha256:…")], as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Take a key off the list of revoked ones, so that it can be trusted again."""
    from rpcx.security import keyring

    with reported(verbose):
        keyring.forgive(_home(), fingerprint)
        tell({"fingerprint": fingerprint}, "", as_json=as_json)


@app.command("list")
def list_all(as_json: AsJson = False, verbose: Verbose = False) -> None:
    """List whose keys are trusted, servers' pins, authorities, revoked keys."""
    from rpcx.security.authority import DEVELOPMENT
    from rpcx.security.trust import TrustStore

    with reported(verbose):
        store = TrustStore(_home())
        records, pins, revoked = store.records(), store.pins(), store.revoked()
        realms = [each.realm for each in store.authorities()]
        if as_json:
            trusted = [row for name, record in records.items() for row in _rows(name, record)]
            fields = {"trusted": trusted, "pins": pins, "authorities": realms, "revoked": revoked}
            print_line(as_json_text(fields, indent=2))
            return
        table = Table("name", "roles", "key", "until")
        for name, record in records.items():
            for row in _rows(name, record):
                table.add_row(*map(styled, (name, ", ".join(row["roles"]), row["fingerprint"], row["until"] or "")))
        for title, pairs in (("server, pinned", pins.items()), ("revoked", revoked.items())):
            for first, second in pairs:
                table.add_row(*map(styled, (first, title, second, "")))
        for realm in realms:
            says = "DEV, for this machine" if realm == DEVELOPMENT else "as its authority says"
            table.add_row(*map(styled, (f"…@{realm}", says, "", "")))
        out.print(table)


def _rows(name: str, record: "Record") -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "roles": sorted(record.roles),
            "fingerprint": key.fingerprint,
            "until": key.until.isoformat() if key.until else None,
        }
        for key in record.keys
    ]


@app.command()
def doctor(as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Look at this user's keys: whose files, who may read them, whose time is over. `rpcx doctor` looks at more."""
    from rpcx.commands.doctor import report
    from rpcx.doctor import key_files, own_key, trusted

    with reported(verbose):
        report([*key_files(_home()), *own_key(_home()), *trusted(_home())], as_json=as_json)


@app.command()
def dev(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    role: Roles = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a principal for trying out on this machine: NAME@localhost, good for 30 days, and nowhere else."""
    from rpcx.security.development import try_out

    with reported(verbose):
        tried = try_out(_home(), name, frozenset(role or ()))
        fields = {"name": tried.name, "home": str(tried.home), "until": tried.until.isoformat()}
        text = (
            f"{tried.name} may connect to hosts of this user on this machine until {tried.until:%Y-%m-%d}; "
            f"run its programs with\n  RPCX_HOME={tried.home}"
        )
        tell(fields, text, as_json=as_json)


# --- by a code --------------------------------------------------------------------------------------------------


@app.command()
def invite(
    name: As,
    role: Roles = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to wait; port 0: any.")] = "127.0.0.1:0",
    ttl: Annotated[float, typer.Option(min=1.0, max=86_400.0, help="Seconds the code is good for.")] = 600.0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Exchange keys with somebody by a code that is good once; tell it in a way you trust."""
    from rpcx.security.invite import Invitation

    with reported(verbose), Invitation(_home(), name, frozenset(role or ()), _address(listen)) as invitation:
        host, port = invitation.address
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104  # compared, not bound
        command = f"rpcx keys accept {shown}:{port} {invitation.code} --as NAME"
        fields = {"address": f"{shown}:{port}", "code": invitation.code}
        tell(fields, f"within {datetime.timedelta(seconds=ttl)}, have {name} run:\n  {command}", as_json=as_json)
        met = invitation.wait(ttl)
        fields = {"name": met.name, "fingerprint": met.fingerprint}
        tell(fields, f"{met.name} is trusted by the key {met.fingerprint}", as_json=as_json)


@app.command()
def accept(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT")],
    code: Annotated[str, typer.Argument(metavar="CODE")],
    name: As,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Exchange keys with somebody who invites."""
    from rpcx.security import invite as meeting

    with reported(verbose):
        met = meeting.accept(_home(), _address(address), code, name)
        fields = {"name": met.name, "fingerprint": met.fingerprint, "known_as": met.known_as}
        text = f"{met.name} is trusted by the key {met.fingerprint}; this user is {met.known_as} there"
        tell(fields, text, as_json=as_json)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise Unusable(f"{text!r} is no HOST:PORT, as in 192.0.2.7:4455")
    return host.strip("[]"), int(port)


# --- an authority -----------------------------------------------------------------------------------------------


@authority.command("init")
def ca_init(
    realm: Annotated[str, typer.Argument(metavar="REALM", help="What its principals are of, as in NAME@REALM.")],
    at: AuthorityHome = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make an authority. Its key belongs on a machine that is otherwise off."""
    from rpcx.security.authority import found_authority
    from rpcx.security.keyring import check_realm

    with reported(verbose):
        check_realm(realm)
        certificate = found_authority(at or _home() / "ca", realm)
        text = f"everybody who is to trust {realm} takes {certificate} and runs: rpcx keys ca trust {certificate.name}"
        tell({"certificate": str(certificate)}, text, as_json=as_json)


@authority.command("issue")
def ca_issue(
    certificate: Certificate,
    name: As,
    role: Roles = None,
    days: Annotated[float, typer.Option(help="That it is good for; 30 at most.")] = 30.0,
    at: AuthorityHome = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Issue a certificate for the key of another one; printed, to be given to `rpcx keys install`."""
    from rpcx.security.authority import issue

    with reported(verbose):
        issued = issue(at or _home() / "ca", _read(certificate), name, frozenset(role or ()), days).decode()
        tell({"name": name, "certificate": issued}, issued.rstrip(), as_json=as_json)


@authority.command("trust")
def ca_trust(
    certificate: Certificate,
    realm: Annotated[str | None, typer.Option(help="Default: the file's name.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Trust whomever an authority issues certificates for, as NAME@REALM."""
    from rpcx.security import keyring

    with reported(verbose):
        name = realm or certificate.stem
        keyring.trust_authority(_home(), _read(certificate), name)
        tell({"realm": name}, "", as_json=as_json)
