"""The two sides of TCP: who a server lets in, and which server a client believes. "SSH on TLS".

What counts is a key, named by its fingerprint, and never a name in a certificate. TLS proves that the peer has the
private half of the key it shows; this module decides whether that key is somebody.

- A **server** knows its clients' keys beforehand: their certificates are OpenSSL's trust anchors, each good for
  itself only (`VERIFY_X509_PARTIAL_CHAIN`), so strangers are refused within TLS. Which principal a key belongs to
  says the trust store. When the store changes, the sessions of keys that are no longer in it are ended.
- A **client** may know no more than a fingerprint, from the URL, and OpenSSL cannot anchor on that. So OpenSSL
  checks the proof only, and `ClientSide.admit` compares the key before a byte of the client's part of the handshake
  leaves: a wrong server learns nothing, not even who called.

TLS 1.3 only, since everything else has modes to avoid. No session tickets: resuming would skip the certificate, and
with it revocation. ALPN must say ``rpcx/1``, so that no other protocol's bytes can be steered here.
"""

import datetime
import hashlib
import logging
import ssl
from typing import Final

from rpcx.abc import PeerFacts
from rpcx.errors import AuthenticationFailed, ConnectionLost, NotSent, ProtocolError, RpcxError
from rpcx.security import audit
from rpcx.security.files import read_private
from rpcx.security.guard import address_of
from rpcx.security.identity import Identity, certificate_of, fingerprint_of, own_identity
from rpcx.security.tls import TlsSession
from rpcx.security.trust import Principal, TrustStore, ends_by

log = logging.getLogger("rpcx.security")

ALPN: Final = "rpcx/1"
NO_END: Final = datetime.datetime.max.replace(tzinfo=datetime.UTC)
LOOK_SECONDS: Final = 0.4  # between two looks whether trust was withdrawn; the store itself looks twice a second

#: What a server's alert says about the client's key (RFC 8446, 6.2), in OpenSSL's words.
NOT_TRUSTED: Final = frozenset(
    {
        "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_REVOKED", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_ACCESS_DENIED",
    }
)  # fmt: skip


class ServerSide:
    """A listener's keys, and its live sessions."""

    is_server = True

    def __init__(self) -> None:
        self.identity = own_identity()
        self._trust = TrustStore(self.identity.certificate_file.parent)
        self._built = self._trust.generation  # of the store, when the context was built
        self._context = self._make_context()
        self._live: set[TlsSession] = set()
        self._judged = self._trust.generation  # the store's generation that live sessions were judged by
        self._next_look = 0.0  # when to ask the store whether it changed
        self._first_end = NO_END  # when the first certificate of a live session is over

    @property
    def context(self) -> ssl.SSLContext:
        """What to shake hands with, as the trust store is now."""
        if self._changed(self._built):
            self._built = self._trust.generation
            try:
                self._context = self._make_context()
            except Exception:  # whatever is wrong with the files: `admit` asks them again anyway
                log.exception("the trust store cannot be read; newly trusted keys are not let in")
        return self._context

    def _changed(self, generation: int) -> bool:
        """Whether the store is another than at ``generation``; one that cannot be looked at changes nothing."""
        try:
            return self._trust.generation != generation
        except Exception:
            log.exception("the trust store cannot be looked at; who is connected stays")
            return False

    def _make_context(self) -> ssl.SSLContext:
        context = _context(ssl.PROTOCOL_TLS_SERVER, self.identity)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=b"".join(self._trust.certificates()))
        context.num_tickets = 0
        return context

    def admit(self, tls: ssl.SSLObject, facts: PeerFacts) -> None:
        check_alpn(tls)
        certificate = tls.getpeercert(binary_form=True) or b""
        principal = self._trust.principal_of(certificate)
        if principal is None:
            fingerprint = fingerprint_of(certificate)
            known = "was revoked here" if fingerprint in self._trust.revoked() else "is not trusted here"
            raise AuthenticationFailed(f"its key {fingerprint} {known}")
        if principal.local and not _is_here(facts):
            raise AuthenticationFailed(f"{principal.name} is for trying out, and lets nobody in from another machine")
        self._first_end = min(self._first_end, principal.until)
        _note(facts, principal.fingerprint, principal, self.identity)
        _seal(facts, _shown(tls), certificate)

    def explain(self, error: ssl.SSLError | None, facts: PeerFacts, stage: str) -> RpcxError:
        if error is None:
            return ConnectionLost("it closed the connection during the TLS handshake")
        if isinstance(error, ssl.SSLCertVerificationError):
            return AuthenticationFailed(f"its key is not trusted here ({error.verify_message})")
        if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return AuthenticationFailed("it showed no key")
        if error.reason == "UNSUPPORTED_PROTOCOL":
            return ProtocolError("it does not speak TLS 1.3, and nothing older is spoken here")
        if "ALERT" in (error.reason or ""):  # perhaps it does not know this server's key
            return ConnectionLost(f"it gave up in the TLS handshake: {error.reason}")
        return ProtocolError(f"its TLS makes no sense: {error.reason}")

    # --- live sessions: a `Timed` of the pump ------------------------------------------------------------------

    def begun(self, session: TlsSession) -> None:
        self._live.add(session)

    def closed(self, session: TlsSession) -> None:
        self._live.discard(session)

    def due(self) -> float | None:
        """When `tick` wants to be called; None: nobody is connected."""
        return self._next_look if self._live else None

    def tick(self, now: float) -> None:
        """End the sessions of keys that are trusted no more, or otherwise, or whose certificate is over."""
        self._next_look = now + LOOK_SECONDS
        changed = self._changed(self._judged)
        if not changed and self._trust.now() < self._first_end:
            return
        try:
            if changed:
                audit.event("key-change", channel="tcp", result="whose keys are trusted may have changed")
            self._judge()
        except Exception:  # until the next look
            log.exception("the trust store cannot be read; who is connected stays")

    def _judge(self) -> None:
        generation = self._trust.generation  # before: what changes meanwhile is for the next look
        now = self._trust.now()
        self._first_end = NO_END
        for session in list(self._live):
            if not session.certificate:
                continue  # still shaking hands
            principal, facts = self._trust.principal_of(session.certificate), session.facts
            if principal is None or now >= principal.until:
                over = ends_by(session.certificate) <= now
                gone, ended = f"the key {facts.fingerprint} is trusted no more", "the certificate of its key is over"
                why = ended if over else gone
                log.warning("%s: %s (%s): closed", facts, why, facts.principal)
                session.end(AuthenticationFailed(why))
                continue
            self._first_end = min(self._first_end, principal.until)
            if (principal.name, principal.roles) != session.judged:
                # What it may do was decided when it connected; its client connects anew by itself.
                log.info("%s: %s has another name or other roles now: closed", facts, facts.principal)
                audit.event("revoke", peer=facts, result="it has another name or other roles now")
                session.end(ConnectionLost(f"the key {facts.fingerprint} has another name or other roles now"))
        self._judged = generation


class ClientSide:
    """A client's key, and what it knows of the server it dials.

    Args:
        server: ``host:port`` as the URL has it.
        pin: the fingerprint that the URL demands; None: the trust store and known servers decide.
    """

    is_server = False

    def __init__(self, server: str, pin: str | None) -> None:
        self.identity = own_identity()
        self._server = server
        self._url = f"tcp://{server}"
        self._trust = TrustStore(self.identity.certificate_file.parent)
        self._pin = pin
        self.context = _context(ssl.PROTOCOL_TLS_CLIENT, self.identity)
        # The certificate is judged by `admit`, by its key; OpenSSL has the key proved in any mode.
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def admit(self, tls: ssl.SSLObject, facts: PeerFacts) -> None:
        try:
            self._judge(tls, facts)
        except AuthenticationFailed as error:
            audit.event("auth-fail", peer=facts, result=str(error))
            raise

    def _judge(self, tls: ssl.SSLObject, facts: PeerFacts) -> None:
        check_alpn(tls)
        certificate = tls.getpeercert(binary_form=True) or b""
        shown = fingerprint_of(certificate)
        principal = self._trust.principal_of(certificate)
        known = self._pin or self._trust.pin_of(self._server)
        if shown in self._trust.revoked():
            raise AuthenticationFailed(f"{self._url}: the server's key {shown} was revoked here")
        if known is not None:
            if shown != known:  # both are public
                raise AuthenticationFailed(self._other_key(shown, known))
        elif principal is None or (principal.local and not _is_here(facts)):
            raise AuthenticationFailed(
                f"{self._url}: this side does not know the server's key {shown}; ask its owner whether that is it "
                f"(`rpcx keys show` there), then connect to {self._url}?key={shown}, or once and for all: "
                f"rpcx keys pin {self._server} {shown}"
            )
        _note(facts, shown, principal, self.identity)
        _seal(facts, certificate, _shown(tls))

    def _other_key(self, shown: str, known: str) -> str:
        source = "the URL demands" if self._pin is not None else "it had before (known_servers)"
        return (
            f"{self._url}: the server's key is {shown}, not {known}, which {source}; either it has a new key, which "
            "its owner can tell, or somebody sits in between: nothing was sent"
        )

    def explain(self, error: ssl.SSLError | None, facts: PeerFacts, stage: str) -> RpcxError:
        if error is not None and error.reason in NOT_TRUSTED:
            return AuthenticationFailed(f"{self._url} does not trust this side's key; {self._remedy()}")
        if stage == "open":
            return ProtocolError(f"bytes were changed on their way, or cut: {error.reason if error else 'end'}")
        if error is None and stage == "proved":
            return NotSent(
                f"{self._url}: the host closed the connection when it saw this side's key; if it does not trust it, "
                f"{self._remedy()}"
            )
        if error is None:
            return NotSent(
                f"{self._url}: the connection ended during the TLS handshake; if it is an rpcx host that listens "
                "with insecure=True, connect so too (on loopback only)"
            )
        if error.reason in ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"):
            return ProtocolError(f"{self._url} does not speak TLS 1.3, and nothing older is spoken here")
        why = error.reason or error.strerror  # older Pythons do not know all of OpenSSL's reasons
        return ProtocolError(f"{self._url}: TLS failed: {why}; is it an rpcx host?")

    def _remedy(self) -> str:
        mine = self.identity
        return (
            f"take {mine.certificate_file} (its key is {mine.fingerprint}) there and run, as the user the host runs "
            f"as: rpcx keys trust {mine.certificate_file.name} --as NAME"
        )

    def begun(self, session: TlsSession) -> None:
        """It has one session, which the client keeps."""

    def closed(self, session: TlsSession) -> None:
        """Nothing to forget."""


class _Context(ssl.SSLContext):
    """Remembers its certificate, which OpenSSL does not tell; the file may have another by now."""

    shown: bytes  # DER


def _context(protocol: int, identity: Identity) -> ssl.SSLContext:
    context = _Context(protocol)
    context.shown = certificate_of(read_private(identity.certificate_file, secret=False), identity.certificate_file)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(identity.certificate_file, identity.key_file)
    context.set_alpn_protocols([ALPN])
    return context


def check_alpn(tls: ssl.SSLObject) -> None:
    """Whether the peer wants to speak rpcx, and nothing else."""
    chosen = tls.selected_alpn_protocol()
    if chosen != ALPN:
        raise ProtocolError(f"the other side speaks {chosen or 'no protocol by name'}, not {ALPN}")


def _shown(tls: ssl.SSLObject) -> bytes:
    """The certificate that this end shows, DER."""
    context = tls.context
    assert isinstance(context, _Context)
    return context.shown


def _is_here(facts: PeerFacts) -> bool:
    """Whether the peer is on this machine."""
    address = address_of(facts)
    return address is not None and address.is_loopback


def _seal(facts: PeerFacts, server: bytes, client: bytes) -> None:
    facts.private = True
    facts.certificates = hashlib.sha256(server).digest() + hashlib.sha256(client).digest()


def _note(facts: PeerFacts, fingerprint: str, principal: Principal | None, own: Identity) -> None:
    facts.fingerprint = fingerprint
    facts.owner = fingerprint == own.fingerprint
    if principal is not None:
        facts.principal, facts.roles = principal.name, principal.roles
