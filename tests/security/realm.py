"""A real Kerberos realm for tests: an MIT KDC, as an ordinary process with all it has in a directory of its own.

It takes some 50 ms. A second realm trusts and is trusted, as a partner's.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.ports import free_port

REALM = "EXAMPLE.COM"
PARTNER = "PARTNER.ORG"
HOSTNAME = "files.example.com"  # nobody looks it up
SERVICE = f"rpcx/{HOSTNAME}"
SKEW = 3  # seconds that clocks may differ, and that an ended ticket is still taken for

PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))  # where Debian has them
ENCRYPTION = "aes256-cts-hmac-sha1-96"


class Realm:
    """Users, services, and their keys. Its tickets and keytabs are named as libkrb5 names them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            "KRB5_CONFIG": str(directory / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(directory / "kdc.conf"),
            "KRB5RCACHENAME": f"file2:{directory / 'replays'}",
            "KRB5CCNAME": f"FILE:{directory / 'nobody'}",
            "KRB5_KTNAME": f"FILE:{directory / 'nokeys'}",
        }
        self._made = 0
        self._principals: set[str] = set()
        self.service = ""  # the keytab of `SERVICE`
        self._kdc = self._started()

    # --- the KDC -----------------------------------------------------------------------------------------------

    def _started(self) -> subprocess.Popen[str]:
        for attempt in range(5):
            self._configure(free_port())
            if not attempt:
                self._fill()
            kdc = subprocess.Popen(
                ["krb5kdc", "-n", "-r", REALM, "-r", PARTNER],
                env=self._env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            assert kdc.stdout is not None
            if "starting" in kdc.stdout.readline():
                return kdc
            kdc.kill()  # somebody took the port meanwhile
            kdc.communicate()
        raise AssertionError(f"no KDC: {(self.directory / 'kdc.log').read_text()}")

    def _configure(self, port: int) -> None:
        self.write_config(f"127.0.0.1:{port}")
        places = "".join(
            f" {name} = {{\n  database_name = {self.directory / name}\n"
            f"  key_stash_file = {self.directory / name}.stash\n  acl_file = {self.directory / 'acl'}\n"
            f"  master_key_type = {ENCRYPTION}\n  supported_enctypes = {ENCRYPTION}:normal\n }}\n"
            for name in (REALM, PARTNER)
        )
        log = self.directory / "kdc.log"
        (self.directory / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n"
            f"[realms]\n{places}[logging]\n kdc = FILE:{log}\n admin_server = FILE:{log}\n default = FILE:{log}\n"
        )

    def write_config(self, kdc: str, file: str = "krb5.conf", **defaults: object) -> Path:
        """A krb5.conf whose KDC is at ``kdc``. DNS is not asked for anything, but for what hosts are called."""
        known = {
            "default_realm": REALM, "dns_lookup_kdc": "false", "dns_lookup_realm": "false", "clockskew": SKEW,
            "udp_preference_limit": 1, "dns_canonicalize_hostname": "true", "rdns": "false", **defaults,
        }  # fmt: skip
        path = self.directory / file
        path.write_text(
            "[libdefaults]\n"
            + "".join(f" {name} = {value}\n" for name, value in known.items())
            + "[realms]\n"
            + "".join(f" {name} = {{\n  kdc = {kdc}\n }}\n" for name in (REALM, PARTNER))
        )
        return path

    def _fill(self) -> None:
        for name in (REALM, PARTNER):
            self._run("kdb5_util", "-r", name, "create", "-s", "-P", "master")
            trusts = (f"krbtgt/{PARTNER}@{REALM}", f"krbtgt/{REALM}@{PARTNER}")
            self._administer(*(f"addprinc -pw trust {each}" for each in trusts), realm=name)
        self.service = self.keytab(SERVICE)

    def _administer(self, *commands: str, realm: str = REALM) -> None:
        done = self._run("kadmin.local", "-r", realm, text="".join(f"{command}\n" for command in commands))
        assert "while" not in done.stderr, done.stderr  # its exit status says nothing of single commands

    def _run(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, input=text, env=self._env(), capture_output=True, text=True, timeout=20, check=False
        )
        assert not done.returncode, f"{command}: {done.stderr}{done.stdout}"
        return done

    def _env(self) -> dict[str, str]:
        return {**os.environ, **self.environment, "PATH": PATH, "LC_ALL": "C"}

    def close(self) -> None:
        self._kdc.terminate()
        self._kdc.communicate(timeout=10)

    # --- who is in it ------------------------------------------------------------------------------------------

    def add(self, principal: str, realm: str = REALM) -> None:
        """Make a principal with a key that nobody knows yet; twice is fine."""
        if f"{principal}@{realm}" not in self._principals:
            self._principals.add(f"{principal}@{realm}")
            self._administer(f"addprinc -randkey {principal}@{realm}", realm=realm)

    def keytab(self, *principals: str, realm: str = REALM) -> str:
        """A file with new keys of theirs; the ones before are worth nothing then."""
        for principal in principals:
            self.add(principal, realm)
        file = self._new("keytab")
        self._administer(f"ktadd -k {file} {' '.join(f'{each}@{realm}' for each in principals)}", realm=realm)
        return file

    def tickets(self, principal: str, *options: str, realm: str = REALM) -> str:
        """A file with the ticket by which a principal has others, as kinit gets it."""
        keytab, file = self.keytab(principal, realm=realm), f"FILE:{self._new('tickets')}"
        self._run("kinit", *options, "-k", "-t", keytab, "-c", file, f"{principal}@{realm}")
        return file

    def _new(self, kind: str) -> str:
        self._made += 1
        return str(self.directory / f"{kind}{self._made}")


def why_not() -> str:
    """Why there can be no realm here; empty: there can."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    try:
        import gssapi  # noqa: F401
        import krb5  # noqa: F401
    except ImportError as error:
        lacking.append(str(error))
    return f"Kerberos is not here ({', '.join(lacking)}): make peers" if lacking else ""


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Realm]:
    if why := why_not():
        pytest.skip(why)
    realm = Realm(directory)
    try:
        yield realm
    finally:
        realm.close()
        shutil.rmtree(directory)
