"""One end's context of GSS-API, through pyspnego: Kerberos 5 and nothing else.

pyspnego speaks NTLM too, and asked to *negotiate* it does so without a word where no Kerberos library is. So it is
never asked to: the mechanism is Kerberos under its own name, by the machine's library. No token that is framed
otherwise gets to that library or out of here, so none of SPNEGO's either, whatever it has within.

Both ends demand that the server proves itself too, integrity, and that what is repeated or out of order is noticed;
none delegates.

Contexts are made here and handed to pyspnego, for what it has no words for and python-gssapi below it has: the exact
name of a service (what a host is called libkrb5 would ask DNS, and whoever answers would choose the service), a
server's keytab, how long a ticket is good, and what went wrong where libkrb5 has a token to tell the peer by.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final, TypeVar

import gssapi  # type: ignore[import-not-found, unused-ignore]  # built where libkrb5 is
import krb5  # type: ignore[import-not-found, unused-ignore]  # likewise
import spnego
from gssapi.raw import ChannelBindings, GSSError  # type: ignore[import-not-found, unused-ignore]  # likewise
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

T = TypeVar("T")

MECHANISM: Final = bytes.fromhex("06092a864886f712010202")  # 1.2.840.113554.1.2.2 as DER has it (RFC 1964, 1.1)
ERRORS: Final = -1765328384  # where libkrb5 counts the errors of RFC 4120, 7.5.9, and then its own, from
BOUND: Final = 0x800  # GSS_C_CHANNEL_BOUND_FLAG: the initiator gave the same bindings (libkrb5 1.19, 2021)
DEMANDED: Final = (
    spnego.ContextReq.mutual_auth
    | spnego.ContextReq.replay_detect
    | spnego.ContextReq.sequence_detect
    | spnego.ContextReq.integrity
)


class GssError(Exception):
    """What the Kerberos library found wrong, in its words.

    Attributes:
        code: its number in RFC 4120, 7.5.9, or libkrb5's own above those; negative: it has none.
        major: GSS-API's number.
    """

    def __init__(self, text: str, code: int = -1, major: int = 0) -> None:
        super().__init__(text)
        self.code = code
        self.major = major


class GssContext:
    """One end. `step` until `complete`; then it knows who the other is, and signs."""

    def __init__(self, through: spnego.ContextProxy, native: Any) -> None:  # a gssapi.SecurityContext
        native.__DEFER_STEP_ERRORS__ = False  # else pyspnego loses what went wrong where there is a token to say it by
        through._context = native  # type: ignore[attr-defined, unused-ignore]  # as if it had made it at the first step
        self._through = through
        self._native = native

    def step(self, token: bytes | None) -> bytes:
        """The answer to the other end's token, None at first. Raises GssError."""
        if token is not None and not is_kerberos(token):
            raise GssError("it is no token of Kerberos")
        said = _asked(self._through.step, token) or b""
        if said and not is_kerberos(said):
            raise GssError("the library made no token of Kerberos")
        return said

    @property
    def complete(self) -> bool:
        """Whether both ends are done, with all that is demanded."""
        return self._through.complete and self._through.context_attr & DEMANDED == DEMANDED

    @property
    def bound(self) -> bool:
        """Whether the other end, a client, named the same channel."""
        return bool(int(self._native.actual_flags) & BOUND)

    def sign(self, said: bytes) -> bytes:
        """A MIC of ``said``."""
        return _asked(self._through.sign, said)

    def verify(self, said: bytes, mic: bytes) -> None:
        """Raises GssError: the other end did not sign ``said`` so, or did before."""
        _asked(self._through.verify, said, mic)

    @property
    def client(self) -> str:
        """The client's principal, as ``name@REALM``; a server's end only."""
        return self._through.client_principal or ""

    @property
    def service(self) -> str:
        """The service's principal that the ticket is for; likewise."""
        return str(self._native.target_name).rstrip("\0")

    @property
    def seconds(self) -> float:
        """How long the ticket is good, by the library, which lets clocks differ; 0: no more."""
        return float(_asked(lambda: self._native.lifetime) or 0)


def initiator(service: str, ccache: str | None, channel: bytes) -> GssContext:
    """A client's end.

    Args:
        service: the exact principal, as ``rpcx/host.example.com@REALM``; with nothing behind the @ the KDC says which.
        ccache: where this user's tickets are, as libkrb5 writes it; None: where it looks by itself.
        channel: what both ends know the channel by.

    Raises:
        GssError: there are no tickets.
    """
    return _asked(_initiator, service, ccache, channel)


def _initiator(service: str, ccache: str | None, channel: bytes) -> GssContext:
    mechanism = gssapi.MechType.kerberos
    tickets = None
    if ccache is not None:
        tickets = gssapi.Credentials(usage="initiate", mechs=[mechanism], store={"ccache": ccache})
    through = spnego.client(
        protocol="kerberos",
        options=spnego.NegotiateOptions.use_gssapi,
        context_req=DEMANDED,
        channel_bindings=GssChannelBindings(application_data=channel),
    )
    native = gssapi.SecurityContext(
        usage="initiate",
        name=gssapi.Name(service, gssapi.NameType.kerberos_principal),
        mech=mechanism,
        creds=tickets,
        flags=int(DEMANDED),  # the numbers are GSS-API's
        channel_bindings=_bindings(through),
    )
    return GssContext(through, native)


def acceptor(keytab: str | None, channel: bytes) -> GssContext:
    """A server's end; for whichever of its services a ticket is, says `GssContext.service`.

    Args:
        keytab: where the services' keys are, as libkrb5 writes it; None: where it looks by itself.
        channel: what both ends know the channel by.

    Raises:
        GssError: there are no keys.
    """
    return _asked(_acceptor, keytab, channel)


def _acceptor(keytab: str | None, channel: bytes) -> GssContext:
    store: dict[bytes | str, bytes | str] | None = {"keytab": keytab} if keytab is not None else None
    # For any service: given a name, libkrb5 would ask DNS what this host is called, at each connection.
    keys = gssapi.Credentials(usage="accept", mechs=[gssapi.MechType.kerberos], store=store)
    through = spnego.server(
        protocol="kerberos",
        options=spnego.NegotiateOptions.use_gssapi,
        context_req=DEMANDED,
        channel_bindings=GssChannelBindings(application_data=channel),
        _gssapi_credential=keys,
    )
    return GssContext(through, gssapi.SecurityContext(usage="accept", creds=keys, channel_bindings=_bindings(through)))


def services(keytab: str) -> list[str]:
    """The principals whose keys are in ``keytab``. Raises GssError: it cannot be read."""
    context = krb5.init_context()
    found: set[str] = set()
    try:
        for entry in krb5.kt_resolve(context, keytab.encode()):  # the entry owns its principal
            found.add((entry.principal.name or b"").decode("utf-8", "replace"))
    except krb5.Krb5Error as error:
        raise GssError(str(error), error.err_code - ERRORS) from error
    return sorted(found)


def _bindings(through: spnego.ContextProxy) -> ChannelBindings:
    """Those of pyspnego in python-gssapi's words."""
    assert through.channel_bindings is not None  # given above
    return ChannelBindings(application_data=through.channel_bindings.application_data)


def is_kerberos(token: bytes) -> bool:
    """Whether ``token`` is framed as one of Kerberos (RFC 2743, 3.1): its mechanism, and a length that is right."""
    if len(token) < 2 or token[0] != 0x60:
        return False
    more = token[1] & 0x7F if token[1] & 0x80 else 0  # bytes of a length that does not fit into one
    size = int.from_bytes(token[2 : 2 + more], "big") if more else token[1]
    return more <= 4 and len(token) == 2 + more + size and token[2 + more :].startswith(MECHANISM)


def _asked(ask: Callable[..., T], *what: object) -> T:
    """What the library answers. Raises GssError."""
    try:
        return ask(*what)
    except (SpnegoError, GSSError) as error:
        raise _explained(getattr(error, "base_error", None) or error) from error


def _explained(error: Any) -> GssError:  # python-gssapi's, or pyspnego's own
    major, minor = getattr(error, "maj_code", 0), getattr(error, "min_code", 0)
    if not minor:
        return GssError(str(error), major=major)
    text = " ".join(error.get_all_statuses(minor, False))
    return GssError(text, ctypes.c_int32(minor).value - ERRORS, major)
