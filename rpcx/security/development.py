"""Principals for trying out, on one machine: who may call what, without a second machine or user.

    dev/authority   an authority for the realm ``localhost``, made anew when it is over
    dev/as/NAME     the directory of keys of one principal, ``NAME@localhost``: for ``RPCX_HOME``

The authority's key lies beside keys in use, which no other's should. So what it signs is good for 30 days at most, for
this realm only (its name constraints say so), and between ends on this machine only: both ends look where the other is
(`rpcx.security.sides`). Nobody else trusts it: another authority of this realm is refused.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from rpcx.security.authority import DEVELOPMENT, LONGEST_DAYS, found_authority, issue, own_authority
from rpcx.security.files import private_directory, write_private
from rpcx.security.identity import own_identity
from rpcx.security.keyring import install, trust
from rpcx.security.records import checked_name

DIRECTORY = "dev"  # in the directory of keys
HOST = "host"  # what the host's own key is called, where its clients trust it


@dataclass(frozen=True, slots=True)
class Tried:
    """Somebody to be tried out."""

    name: str  # as rules name it, NAME@localhost
    home: Path  # its directory of keys
    until: datetime.datetime


def try_out(directory: Path, name: str, roles: frozenset[str] = frozenset()) -> Tried:
    """Make a principal, or give one that there is other roles and another 30 days.

    Args:
        directory: of this user's keys; hosts that use it let the principal in, from this machine.
        name: within the realm.
        roles: what it may be trusted with.

    Raises:
        ValueError: a name is none.
    """
    base = private_directory(directory / DIRECTORY)
    home = base / "as" / checked_name(name, "principal")
    authority = _authority(directory, base / "authority")
    own, theirs = own_identity(directory), own_identity(private_directory(home))
    end = authority.not_valid_after_utc
    days = min(LONGEST_DAYS, (end - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1))
    install(home, issue(base / "authority", theirs.certificate_file.read_bytes(), name, roles, days))
    trust(home, own.certificate_file.read_bytes(), HOST)
    return Tried(f"{name}@{DEVELOPMENT}", home, end)


def _authority(directory: Path, place: Path) -> x509.Certificate:
    """This user's, which it trusts; a new one when the last has less than a day left."""
    try:
        _, certificate = own_authority(place)
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
        if certificate.not_valid_after_utc > soon:
            return certificate
        for file in place.iterdir():
            file.unlink()
    except FileNotFoundError:
        pass  # the first time
    pem = found_authority(place, DEVELOPMENT, days=LONGEST_DAYS).read_bytes()
    write_private(private_directory(directory / "authorities") / f"{DEVELOPMENT}.pem", pem)
    return x509.load_pem_x509_certificate(pem)
