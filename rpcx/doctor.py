"""What is wrong, or soon will be, with this machine as a place for rpcx: found before it stops a host or opens one.

It looks and changes nothing: no key is made, no file is repaired, nothing is dialled. Each finding says what to do.
"""

import datetime
import importlib.metadata
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rpcx.errors import RpcxError
from rpcx.security.interpreter import to_update

Level = Literal["ok", "warning", "error"]

SAFE_OPENSSL: Final = (3, 0, 0)
SOON: Final = datetime.timedelta(days=14)  # before its end a certificate is warned of
REQUIREMENT: Final = re.compile(r"([A-Za-z0-9_.-]+).*?>=\s*([0-9.]+)")
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104  # compared, not bound
LOOPBACK: Final = ("127.", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: str  # what was looked at
    says: str  # what it is like
    remedy: str = ""  # what to do; empty when all is well


Findings = Iterator[Finding]


def examine(keys: Path, config: Path | None = None) -> list[Finding]:
    """Look at the interpreter, the libraries, the keys in ``keys``, the pipes' directory and what is listened to.

    Args:
        keys: the directory of keys; see `rpcx.security.identity.home`.
        config: a host's configuration file, whose addresses are looked at too.
    """
    looks: list[Callable[[], Findings]] = [
        interpreter,
        libraries,
        lambda: key_files(keys),
        lambda: own_key(keys),
        lambda: trusted(keys),
        pipes,
        loopback,
        open_ports,
    ]
    if config is not None:
        looks.append(lambda: configured(config))
    return [finding for look in looks for finding in look()]


# --- programs ---------------------------------------------------------------------------------------------------


def interpreter(
    python: Sequence[int] = sys.version_info[:3], openssl: Sequence[int] = ssl.OPENSSL_VERSION_INFO[:3]
) -> Findings:
    """Python and the OpenSSL it is linked with."""
    version = ".".join(map(str, python))
    fixed = to_update(python)
    if fixed:
        yield Finding("error", f"Python {version}", "has known security holes", f"update it to {fixed} or later")
    else:
        yield Finding("ok", f"Python {version}", "has the known security fixes")
    number = ssl.OPENSSL_VERSION.split()[1]
    if tuple(openssl) < SAFE_OPENSSL or not ssl.HAS_TLSv1_3:
        remedy = "use a Python that is linked with OpenSSL 3"
        yield Finding("error", f"OpenSSL {number}", "is maintained no more, or has no TLS 1.3", remedy)
    else:
        yield Finding("ok", f"OpenSSL {number}", "has TLS 1.3")
    if not getattr(ssl, "HAS_PSK", False):
        yield Finding("ok", "secrets", "shared ones (?secret=) need Python 3.13; keys work everywhere")


def libraries(needs: Sequence[str] | None = None) -> Findings:
    """What rpcx needs, in the versions it needs."""
    if needs is None:
        try:
            needs = importlib.metadata.requires("rpcx") or []
        except importlib.metadata.PackageNotFoundError:
            text = "is not installed, only importable; its needs are not known"
            yield Finding("warning", "rpcx", text, "install it: pip install rpcx")
            return
    for need in needs:
        match = REQUIREMENT.match(need)
        if match is None:
            continue
        name, least = match.groups()
        optional = "extra ==" in need
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if not optional:
                yield Finding("error", name, "is missing", f"pip install '{name}>={least}'")
            continue
        if _numbers(version) < _numbers(least):
            yield Finding("error", f"{name} {version}", f"is older than {least}", f"pip install '{name}>={least}'")
        else:
            yield Finding("ok", f"{name} {version}", f"is {least} or later")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+", maxsplit=1)[0])[:4])


# --- keys -------------------------------------------------------------------------------------------------------


def key_files(keys: Path) -> Findings:
    """The directory of keys and what is in it: whose they are, and who may look."""
    from rpcx.security.files import directory_problem, file_problem

    if not keys.exists() and not keys.is_symlink():
        yield Finding("ok", str(keys), "is not there yet; the first use of tcp:// makes it")
        return
    well = True
    for directory in (keys, *sorted(path for path in keys.rglob("*") if path.is_dir() and not path.is_symlink())):
        problem = directory_problem(directory)
        if problem:
            well = False
            yield Finding("error", str(directory), problem, f"chmod 700 {directory}")
    for file in sorted(path for path in keys.rglob("*") if not path.is_dir()):
        secret = file.suffix == ".key" or file.parent.name == "secrets"
        problem = file_problem(file.lstat(), secret=secret)
        if problem:
            well = False
            yield Finding("error", str(file), problem, f"chmod {'600' if secret else '644'} {file}")
    if well:
        yield Finding("ok", str(keys), "is closed to others, and so is all in it")


def own_key(keys: Path, now: datetime.datetime | None = None) -> Findings:
    """This user's key."""
    from rpcx.security.identity import CERTIFICATE, KEY, own_identity
    from rpcx.security.trust import NEXT_KEY, TrustStore

    if not (keys / KEY).exists() or not (keys / CERTIFICATE).exists():
        return  # the first use makes what is missing
    try:
        own = own_identity(keys)
        revoked = TrustStore(keys).revoked()
    except (RpcxError, OSError) as error:
        yield Finding("error", str(keys / KEY), str(error), "repair it, or move it away to have another made")
        return
    if own.fingerprint in revoked:
        yield Finding("error", str(keys / KEY), "was revoked here", "replace it: rpcx keys rotate")
    yield from _ending(own.certificate_file, "rpcx keys rotate, or install the certificate your authority issues", now)
    if (keys / "ca" / "ca.key").exists():
        text = "an authority's key lies beside a key in use: who breaks in here is everybody"
        yield Finding("warning", str(keys / "ca" / "ca.key"), text, "keep it on a machine that is otherwise off")
    if (keys / NEXT_KEY).exists():
        text = "waits to be used"
        yield Finding("warning", str(keys / NEXT_KEY), text, "once everybody follows: rpcx keys rotate --finish")


def trusted(keys: Path, now: datetime.datetime | None = None) -> Findings:
    """Whose keys are trusted."""
    from rpcx.security.authority import DEVELOPMENT, read_authority
    from rpcx.security.files import read_private
    from rpcx.security.records import checked_name, read_record

    count = 0
    for file in sorted((keys / "authorized").glob("*.pem")):
        try:
            record = read_record(read_private(file, secret=False))
            checked_name(file.stem, "principal")
        except (ValueError, OSError) as error:
            yield Finding("error", str(file), f"trusts nobody: {error}", "trust the key anew: rpcx keys trust")
            continue
        count += 1
        if all(key.ended(now or datetime.datetime.now(datetime.UTC)) for key in record.keys):
            yield Finding("warning", str(file), "has keys only whose time is over", f"rpcx keys revoke {file.stem}")
    for file in sorted((keys / "authorities").glob("*.pem")):
        try:
            read_authority(checked_name(file.stem, "realm"), read_private(file, secret=False))
        except (ValueError, OSError) as error:
            yield Finding("error", str(file), f"trusts nobody: {error}", "trust it anew: rpcx keys ca trust")
            continue
        count += 1
        remedy = "rpcx keys dev NAME" if file.stem == DEVELOPMENT else "have its owner make another, and trust that"
        yield from _ending(file, remedy, now)
    if count:
        yield Finding("ok", "trust", f"{count} principals and authorities are trusted; rpcx keys list shows them")


def _ending(file: Path, remedy: str, now: datetime.datetime | None) -> Findings:
    from cryptography import x509

    end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    left = end - (now or datetime.datetime.now(datetime.UTC))
    if left <= datetime.timedelta(0):
        yield Finding("error", str(file), f"has been over since {end:%Y-%m-%d}", remedy)
    elif left <= SOON:
        yield Finding("warning", str(file), f"is good for {left.days} days more", remedy)
    else:
        yield Finding("ok", str(file), f"is good until {end:%Y-%m-%d}")


# --- where hosts listen -----------------------------------------------------------------------------------------


def pipes() -> Findings:
    """The directory of this user's pipes."""
    from rpcx.channels.pipe import runtime_path
    from rpcx.security.files import directory_problem

    if os.name != "posix":
        return
    directory = runtime_path()
    try:
        problem = directory_problem(directory)
    except FileNotFoundError:
        yield Finding("ok", str(directory), "is not there yet; the first pipe makes it")
        return
    if problem:
        yield Finding("error", str(directory), f"no pipe is made there: {problem}", f"repair or remove {directory}")
    else:
        yield Finding("ok", str(directory), "is closed to others: pipes may be made there")


def loopback() -> Findings:
    """Whether the system tells whose a connection over loopback is: asked about a port that is open for a moment."""
    from rpcx.channels.owners import told

    try:
        with socket.create_server(("127.0.0.1", 0)) as asked:
            known = told(asked)
    except OSError:
        known = False
    if known:
        yield Finding("ok", "loopback", "the system tells whose a connection is: pyro:// and dotnet+tcp:// may be used")
    else:
        text = "the system does not tell whose a connection is, so pyro:// and dotnet+tcp:// are for every user or none"
        yield Finding(
            "warning", "loopback", text, "use a pipe, or tcp:// with TLS; or where all may be trusted, insecure"
        )


def open_ports(listening: Sequence[tuple[str, int, int, str]] | None = None) -> Findings:
    """What this user's Python programs offer to the network: (address, port, pid, command) of each."""
    if listening is None:
        try:
            listening = _listening()
        except ImportError:
            text = "which ports are open cannot be told without psutil"
            yield Finding("warning", "ports", text, "pip install 'rpcx[services]'")
            return
    reachable = [each for each in listening if not each[0].startswith(LOOPBACK)]
    for address, port, pid, command in reachable:
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        text = f"process {pid} ({command}) is open to the network"
        yield Finding("warning", where, text, f"if that is meant, filter it too: rpcx firewall tcp://{where}")
    if not reachable:
        yield Finding("ok", "ports", "no Python program of this user is open to the network")


def _listening() -> list[tuple[str, int, int, str]]:
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "exe", "uids", "cmdline"]):
        uids = process.info["uids"]
        runs = Path(process.info["exe"] or "").name.lower()  # the process of a script is called `rpcx`, as the script
        if uids is None or uids.effective != os.geteuid() or not runs.startswith("python"):
            continue
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue  # it ended just now, or is not ours to look at
        command = " ".join((process.info["cmdline"] or [])[:3])[:60]
        ours = [each.laddr for each in connections if each.status == psutil.CONN_LISTEN]
        found += [(where.ip, where.port, process.info["pid"], command) for where in ours]
    return found


def configured(config: Path) -> Findings:
    """The addresses in a host's configuration file, and where it has its keys for Kerberos."""
    from rpcx.channels.urls import parse
    from rpcx.config import load

    try:
        host = load(config)
    except (ValueError, OSError) as error:
        for line in str(error).splitlines():
            yield Finding("error", str(config), line, f"rpcx config check {config}")
        return
    for part in host.authenticators:
        if part.name == "kerberos":
            yield from _keytab((part.model_extra or {}).get("keytab"))
    for channel in host.channels:
        address = parse(channel.url).location.rpartition(":")[0].strip("[]")
        networked = "tcp" in parse(channel.url).scheme and not address.startswith(LOOPBACK)
        allowed = channel.allow_from or host.allow_from
        if channel.insecure:
            text = "is not encrypted, and admits every user of this machine as the owner"
            yield Finding("warning", channel.url, text, "leave out insecure, or use a pipe")
        elif networked and not allowed:
            everywhere = "on every address" if address in EVERYWHERE else f"on {address}"
            text = f"listens {everywhere} and is asked for keys by whoever finds it"
            yield Finding("warning", channel.url, text, 'say from where clients come: allow_from = ["192.0.2.0/24"]')
        else:
            yield Finding("ok", channel.url, "is for those only that were named" if networked else "is local")
    if host.audit is None and any("tcp" in channel.url.partition(":")[0] for channel in host.channels):
        text = "keeps no audit log"
        yield Finding("warning", str(config), text, 'add one: [audit] file = "audit.jsonl"')


def _keytab(keytab: object) -> Findings:
    from rpcx.security.keytab import default_keytab, keytab_file, keytab_problem

    file = keytab_file(str(keytab or default_keytab()))
    if file is None:
        return  # in memory, say: others cannot get at it
    problem, remedy = keytab_problem(file)
    if problem:
        yield Finding("error", str(file), problem, remedy)
    else:
        yield Finding("ok", str(file), "is a keytab that others cannot read")
