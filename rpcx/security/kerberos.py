"""Kerberos as an authenticator: tickets of a realm that is there already. Needs ``rpcx[kerberos]``.

    host    rpcx.Host(authenticators=[KerberosAuthenticator(keytab="/etc/rpcx.keytab")])
    client  rpcx.connect(url, authenticators=[KerberosAuthenticator()])

    client                                             server
      │ 01 part of AP-REQ … 00 its last part       ──▶ │  (01 is answered by nothing: go on)
      │ ◀── size of AP-REP u16 │ AP-REP │ MIC of `text("server")`
      │ MIC of `text("client")`                    ──▶ │  then it admits

The ticket is tied to its channel twice. To TLS by Kerberos' own channel bindings (RFC 5929: SHA-256 of the server's
certificate). And to this very connection by both MICs (`rpcx.abc.Binding.text`): who passes a ticket on, or repeats
one, has no key to sign with. The server signs first, so that who cannot read the ticket hears nothing more.

A principal keeps its realm: ``allow={"principal:ann@EXAMPLE.COM"}``. Other realms than that of the host's own key are
admitted where they are named, whomever the KDC trusts. A session ends with its ticket.
"""

import hashlib
import re
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rpcx.abc import Binding, Judging, Proved, Proving
from rpcx.errors import AuthenticationFailed
from rpcx.protocol.handshake import HELLO_BYTES
from rpcx.protocol.opening import MOST_MESSAGES, OWNER, PRINCIPAL, ROLE
from rpcx.security.keytab import keytab_file, keytab_problem

if TYPE_CHECKING:  # at run time where Kerberos is used: not everybody has the library
    from rpcx.security.gss import GssError

SERVICE: Final = "rpcx"  # first part of a host's principal, as HTTP is of a web server's
MORE, LAST = b"\1", b"\0"  # what a part of AP-REQ begins with
PART: Final = HELLO_BYTES - 1  # bytes of AP-REQ in one message
MOST_PARTS: Final = (MOST_MESSAGES - 1) // 2  # each is answered; then comes the client's MIC
SIZE: Final = 2  # bytes that say how large AP-REP is
UNKNOWN: Final = "the ticket is not believed here"  # the one answer to whoever has shown none of ours
WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")  # of services, hosts and realms: nothing to quote
LOOPBACK: Final = re.compile(r"(localhost|127\.[0-9.]+|::1|)\Z")
ANONYMOUS: Final = "WELLKNOWN/"  # principals that anybody can be (RFC 8062)

# Errors by their number in RFC 4120, 7.5.9, and then libkrb5's own; GSS-API's, by their major status.
NO_SERVICE, ENDED, REPEATED, SKEW, NO_REALM, NO_KDC = 7, 32, 34, 37, 154, 156
OTHER_CHANNEL, NO_TICKET, TICKET_ENDED = 4 << 16, 7 << 16, 11 << 16


class KerberosAuthenticator:
    """Either end's.

    Args:
        service: the first part of the host's principal, ``rpcx/files.example.com``.
        hostname: its second. For a client: default the machine in the URL; this one, where it has none or a loopback
            address. For a host: default any.
        realm: a client's: the host's realm. Default: the KDC says.
        ccache: a client's: where its tickets are, as ``FILE:/run/ann``. Default: where libkrb5 looks (``KRB5CCNAME``).
        keytab: a host's: where its key is. Default: where libkrb5 looks (``KRB5_KTNAME``, ``/etc/krb5.keytab``).
        realms: a host's: whose principals it admits. Default: those of its own key's realm.
        without_realm: a host's: the one realm whose principals it knows by name only: ``ann``, not
            ``ann@EXAMPLE.COM``.
        roles: a host's: roles of principals, which are named as the host knows them.

    Raises:
        ImportError: pyspnego or the Kerberos library is missing.
        ValueError: a word is none, or the keytab has no such key, or is not safe to use.
    """

    name = "kerberos"
    shows_secret = False  # a ticket is worth nothing without its key, which is never shown

    def __init__(
        self,
        *,
        service: str = SERVICE,
        hostname: str | None = None,
        realm: str | None = None,
        ccache: str | None = None,
        keytab: str | Path | None = None,
        realms: Collection[str] | None = None,
        without_realm: str | None = None,
        roles: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        _library()
        for what in (service, hostname, realm, without_realm, *_words(realms or (), "realms")):
            if what is not None and not WORD.match(what):
                raise ValueError(f"{what!r} is no service, host or realm: letters, digits, '.', '_' and '-'")
        self._service = service
        self._hostname = _canonical(hostname) if hostname is not None else None
        self._realm = realm or ""
        self._ccache = ccache
        self._keytab = str(keytab) if keytab is not None else None
        self._realms = frozenset(realms) if realms is not None else None
        self._without_realm = without_realm
        self._roles = {who: _roles(who, each, without_realm) for who, each in (roles or {}).items()}
        if self._keytab is not None:
            self._check(self._keytab)

    def client(self, binding: Binding) -> Proving:
        """Show a ticket for the host."""
        return _Holder(f"{self._service}/{self._host(binding.peer.dialled)}@{self._realm}", self._ccache, binding)

    def server(self, binding: Binding) -> Judging:
        """Judge a ticket."""
        return _Judge(self._keytab, self._known, binding)

    def _host(self, dialled: str) -> str:
        """The second part of the host's principal. DNS is not asked: who answers for it would choose the host."""
        name = self._hostname or (socket.gethostname() if LOOPBACK.match(dialled) else dialled)
        if not WORD.match(name):
            raise AuthenticationFailed(f"Kerberos knows no machine as {name!r}; say as which: hostname=...")
        return _canonical(name)

    def _check(self, keytab: str) -> None:
        """Raises ValueError: no host can use it."""
        file = keytab_file(keytab)
        problem, remedy = keytab_problem(file) if file is not None else ("", "")
        if problem:
            raise ValueError(f"{keytab}: {problem}; {remedy}")
        gss = _library()
        try:
            found = gss.services(keytab)
        except gss.GssError as error:
            raise ValueError(f"{keytab}: it cannot be used: {error}") from error
        if not any(map(self._is_ours, found)):
            wanted = f"{self._service}/{self._hostname or 'HOST'}"
            raise ValueError(f"{keytab}: it has no key of {wanted}, but of {', '.join(found) or 'nobody'}")

    def _is_ours(self, service: str) -> bool:
        """Whether a key, or the ticket for it, is for this host."""
        name, _, host = service.rpartition("@")[0].partition("/")
        return name == self._service and bool(host) and self._hostname in (None, host.lower())

    def _known(self, principal: str, service: str, seconds: float) -> Proved:
        """Who a client is here that has a ticket for ``service``."""
        if not self._is_ours(service):
            raise AuthenticationFailed(f"the ticket is for {service}, and this is {self._service}")
        name, at, realm = principal.rpartition("@")
        if not at or "@" in name or not PRINCIPAL.match(principal) or name.startswith(ANONYMOUS):
            raise AuthenticationFailed(f"{principal!r} is no principal that can be known here")
        own = service.rpartition("@")[2]
        if realm not in (self._realms if self._realms is not None else {own}):
            raise AuthenticationFailed(f"{principal} is of a realm that is not admitted here")
        if seconds <= 0:
            raise AuthenticationFailed("the ticket has ended; get another: kinit")
        known = name if realm == self._without_realm else principal
        return Proved(known, self._roles.get(known, frozenset()), seconds)


class _Holder:
    """A client's end."""

    def __init__(self, service: str, ccache: str | None, binding: Binding) -> None:
        self._gss = _library()
        self._service = service.rstrip("@")  # for people
        self._binding = binding
        self._parts: list[bytes] | None = None  # of AP-REQ, still to be sent; None: there is no ticket yet
        self._believes = False  # set when the server has proved itself
        try:
            self._context = self._gss.initiator(service, ccache, _channel(binding))
        except self._gss.GssError as error:
            raise AuthenticationFailed(_remedy(error, self._service)) from error

    def step(self, message: bytes) -> bytes:
        try:
            if self._parts is None:
                self._parts = _in_parts(self._context.step(None))  # from the KDC, if the ticket is not here
            elif not self._parts:
                return self._answer(message)
        except self._gss.GssError as error:
            raise AuthenticationFailed(_remedy(error, self._service)) from error
        if message:
            raise AuthenticationFailed("the server speaks before it has heard the ticket")
        return self._parts.pop(0)

    def _answer(self, message: bytes) -> bytes:
        if self._believes:
            raise AuthenticationFailed("the server asks for more than a ticket")
        size = int.from_bytes(message[:SIZE], "big")
        self._context.step(message[SIZE : SIZE + size])
        if not self._context.complete:
            raise AuthenticationFailed(f"what proves {self._service} does not prove all that is demanded")
        self._context.verify(self._binding.text("server"), message[SIZE + size :])
        self._believes = True
        signed: bytes = self._context.sign(self._binding.text("client"))
        return signed

    def admitted(self, message: bytes) -> None:
        """It has proved itself before, or is not believed."""
        if message or not self._believes:
            raise AuthenticationFailed(f"the server has not proved that it is {self._service}")


class _Judge:
    """A server's end."""

    def __init__(self, keytab: str | None, known: Callable[[str, str, float], Proved], binding: Binding) -> None:
        self._gss = _library()
        self._known = (
            known  # who a client is by its principal, the service that its ticket is for, and the seconds left
        )
        self._binding = binding
        self._token = b""  # AP-REQ, as far as it came
        try:
            self._context = self._gss.acceptor(keytab, _channel(binding))
        except self._gss.GssError as error:
            raise AuthenticationFailed(UNKNOWN) from error

    def step(self, message: bytes) -> tuple[bytes, Proved | None]:
        try:
            if not self._context.complete:
                return self._hear(message), None
            self._context.verify(self._binding.text("client"), message)
            return b"", self._known(self._context.client, self._context.service, self._context.seconds)
        except self._gss.GssError as error:
            raise AuthenticationFailed(_told(error)) from error

    def _hear(self, message: bytes) -> bytes:
        """The ticket, or part of it; what is said to that."""
        self._token += message[1:]
        if message[:1] == MORE:
            return b""
        if message[:1] != LAST:
            raise AuthenticationFailed(UNKNOWN)
        answer = self._context.step(self._token)
        if not (self._context.complete and self._context.bound):
            raise AuthenticationFailed(
                "the client does not demand what is demanded here: mutual authentication, integrity, replay and "
                "sequence detection, channel bindings"
            )
        signed = self._context.sign(self._binding.text("server"))
        said: bytes = len(answer).to_bytes(SIZE, "big") + answer + signed
        return said


def _library() -> Any:  # the module `rpcx.security.gss`
    try:
        from rpcx.security import gss
    except ImportError as error:
        raise ImportError(
            f"Kerberos needs pyspnego, built with this machine's Kerberos library ({error}): on Debian apt-get install "
            "libkrb5-dev gcc, then pip install 'rpcx[kerberos]'"
        ) from error
    return gss


def _channel(binding: Binding) -> bytes:
    """What both ends know the channel by: the server's certificate (RFC 5929, 4), or all that is known without one."""
    if any(binding.server_certificate):
        return b"tls-server-end-point:" + binding.server_certificate
    return b"rpcx:" + hashlib.sha256(binding.text("channel")).digest()


def _in_parts(token: bytes) -> list[bytes]:
    parts = [token[at : at + PART] for at in range(0, len(token), PART)]
    if len(parts) > MOST_PARTS:
        raise AuthenticationFailed(
            f"the ticket has {len(token)} bytes, and at most {MOST_PARTS * PART} can be shown; its principal may be in "
            "too many groups"
        )
    return [*(MORE + part for part in parts[:-1]), LAST + parts[-1]]


def _remedy(error: "GssError", service: str) -> str:
    """What went wrong at a client, and what to do; for this user, so with the library's own words."""
    if error.major == NO_TICKET:
        what = "this user has no ticket; get one: kinit"
    elif error.major == TICKET_ENDED or error.code == ENDED:
        what = "this user's ticket has ended; get another: kinit"
    elif error.code == NO_SERVICE:
        what = (
            f"the KDC knows no {service}; if Kerberos has another name for the host, say it (hostname=, service=, "
            "realm=), else have it made: kadmin addprinc"
        )
    elif error.code == SKEW:
        what = "the clocks of client, host and KDC differ too much; set them"
    elif error.code in (NO_REALM, NO_KDC):
        what = "no KDC answers; look at krb5.conf and the network"
    else:
        what = f"Kerberos proves nothing between this user and {service}"
    return f"{what} ({error})"


def _told(error: "GssError") -> str:
    """What a client is told of what the host found wrong; more than `UNKNOWN` only where its ticket was ours."""
    if error.major == OTHER_CHANNEL:
        return "the ticket was shown on another connection than it was made for"
    known = {
        ENDED: "the ticket has ended, by the clock of the host; get another: kinit",
        REPEATED: "the ticket was shown before, as it is",
        SKEW: "the clocks of client and host differ too much; set them",
    }
    return known.get(error.code, UNKNOWN)


def _canonical(host: str) -> str:
    return host.lower().rstrip(".")


def _words(what: Iterable[str], where: str) -> list[str]:
    """Raises TypeError: it is no list of texts."""
    words = list(what)
    if isinstance(what, str) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{where}={what!r} is no list of texts")
    return words


def _roles(who: str, roles: Iterable[str], without_realm: str | None) -> frozenset[str]:
    if "@" not in who and without_realm is None:
        raise ValueError(f"roles: {who!r} has no realm, and nobody is known so here; write {who}@REALM")
    for role in _words(roles, f"roles[{who!r}]"):
        if not ROLE.match(role) or role == OWNER:
            raise ValueError(f"roles[{who!r}]: {role!r} is no role that a ticket may bring")
    return frozenset(roles)
