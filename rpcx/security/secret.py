"""A shared secret instead of keys: ``tcp://host:port?secret=NAME``.

Whoever has the secret may call, and cannot be told from the others who have it: for machines that one person sets up
alike. It is a file of 256 random bits, ``secrets/NAME`` in the directory of keys, made by ``rpcx secret NAME`` on one
machine and copied to the others; the URL only names it. On the wire it is TLS 1.3's external pre-shared key with a
fresh Diffie-Hellman exchange (RFC 8446, 2.2), so a recording stays unreadable when the secret leaks later.

A host looks after its file: who has the old secret is closed within a second when there is a new one, or none.

There are no passwords here: what a person can remember, a machine can guess from one recorded handshake.
"""

import hmac
import logging
import secrets
import ssl
import time
from pathlib import Path
from typing import Any, Final

from rpcx.abc import PeerFacts
from rpcx.errors import AccessDenied, AuthenticationFailed, ConnectionLost, NotSent, ProtocolError, RpcxError
from rpcx.security import audit
from rpcx.security.files import create_private, private_directory, read_private
from rpcx.security.identity import home
from rpcx.security.records import checked_name
from rpcx.security.sides import ALPN, LOOK_SECONDS, check_alpn
from rpcx.security.tls import TlsSession
from rpcx.security.trust import OWNER, look

log = logging.getLogger("rpcx.security")

SECRET_BYTES: Final = 32  # 256 bits: as strong as the cipher, and never worth guessing


def secret_file(name: str) -> Path:
    """Where the secret of that name is. Raises ValueError: it is no name."""
    if checked_name(name, "secret") == OWNER:
        raise ValueError(f"{OWNER!r} is no name for a secret: who knows one is not the host's own user")
    return home() / "secrets" / name


def make_secret(name: str) -> Path:
    """Make a new secret; its file.

    Raises:
        FileExistsError: there is one of that name.
        AccessDenied: the directory of keys is open to others.
    """
    file = secret_file(name)
    private_directory(file.parent)
    if not create_private(file, f"{secrets.token_hex(SECRET_BYTES)}\n".encode()):
        raise FileExistsError(f"{file} is there already")
    return file


def read_secret(name: str) -> bytes:
    """The secret of that name.

    Raises:
        AccessDenied: there is none, others may read it, or it is none that `make_secret` made.
    """
    return _read(secret_file(name), name)


def _read(file: Path, name: str) -> bytes:
    try:
        secret = bytes.fromhex(read_private(file, secret=True).decode("ascii"))
    except FileNotFoundError:
        raise AccessDenied(
            f"there is no secret {name!r} here ({file}); make it by `rpcx secret {name}` on one machine and copy the "
            "file to the others"
        ) from None
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise AccessDenied(f"{file} is no secret: it holds {2 * SECRET_BYTES} hexadecimal digits, nothing else")
    return secret


class Secret:
    """The secret of a name, as its file says now. A file that changes is noticed within half a second.

    Raises:
        AccessDenied: see `read_secret`; only when it is made. Later a file that is no secret is as good as none.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = read_secret(name)  # empty: there is none any more
        self.generation = 0  # changes with it
        self._file = secret_file(name)
        self._seen = look(self._file)
        self._looked = time.monotonic()

    def refresh(self) -> None:
        """Look whether the file is another now."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        seen = look(self._file)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            value = _read(self._file, self.name)
        except (AccessDenied, OSError) as error:
            log.error("the secret %r lets nobody in: %s", self.name, error)  # noqa: TRY400  # the reason is enough
            value = b""
        if value != self.value:
            self.value = value
            self.generation += 1


class SecretSide:
    """One end's knowledge of a secret; a server's also ends the sessions of who knows it no more."""

    def __init__(self, name: str, server: str | None = None) -> None:
        """``server``: the ``host:port`` that is dialled; None: this is the server's end."""
        self.is_server = server is None
        self._name = name
        self._url = f"tcp://{server}?secret={name}"
        self._secret = Secret(name)
        self._live: dict[TlsSession, int] = {}  # → the secret's generation when it began
        self._judged = 0  # the generation that they were judged by
        self._next_look = 0.0
        self.context = self._context()

    def _context(self) -> ssl.SSLContext:
        context: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if self.is_server else ssl.PROTOCOL_TLS_CLIENT)
        if not hasattr(context, "set_psk_server_callback") or not getattr(ssl, "HAS_PSK", False):
            raise AccessDenied(
                "a shared secret needs Python 3.13 or later, with pre-shared keys in its OpenSSL; here use keys: "
                "leave out ?secret=, and have the host trust the client's certificate (rpcx keys trust)"
            )
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols([ALPN])
        if self.is_server:
            context.num_tickets = 0
            context.set_psk_server_callback(self._known)  # and there is no certificate to fall back on
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED  # and no anchor: a server with a certificate is refused
            context.set_psk_client_callback(lambda _: (self._name, self._secret.value))
        return context  # type: ignore[no-any-return]  # Any, since the methods are 3.13's

    def _known(self, name: str | None) -> bytes:
        """The secret; for another name a random one, so that nobody finds out which names there are."""
        self._secret.refresh()
        same = hmac.compare_digest((name or "").encode(), self._name.encode())
        unknown = secrets.token_bytes(SECRET_BYTES)
        return self._secret.value or unknown if same else unknown

    def admit(self, tls: ssl.SSLObject, facts: PeerFacts) -> None:
        check_alpn(tls)
        if not tls.session_reused or tls.getpeercert(binary_form=True):
            raise AuthenticationFailed("the other side did not prove that it knows the secret")
        facts.principal, facts.roles, facts.private = self._name, frozenset({self._name}), True

    def explain(self, error: ssl.SSLError | None, facts: PeerFacts, stage: str) -> RpcxError:
        if self.is_server:
            if error is None:
                return ConnectionLost("it closed the connection during the TLS handshake")
            return AuthenticationFailed(f"it does not know the secret {self._name!r} ({error.reason})")
        if error is None:
            return NotSent(f"{self._url}: the connection ended during the TLS handshake")
        if stage == "open":
            return ProtocolError(f"bytes were changed on their way: {error.reason}")
        if error.reason in (
            "SSLV3_ALERT_ILLEGAL_PARAMETER",
            "SSLV3_ALERT_HANDSHAKE_FAILURE",
            "TLSV1_ALERT_DECRYPT_ERROR",  # since OpenSSL 3.2: the binder does not verify
            "CERTIFICATE_VERIFY_FAILED",
        ):
            return AuthenticationFailed(
                f"{self._url}: the host does not have this secret, or another one of that name; compare "
                f"{secret_file(self._name)} on both machines, and that the host listens with ?secret={self._name}"
            )
        return ProtocolError(f"{self._url}: TLS failed: {error.reason}")

    # --- live sessions: a server's is a `Timed` of the pump ----------------------------------------------------

    def begun(self, session: TlsSession) -> None:
        if self.is_server:
            self._live[session] = self._secret.generation

    def closed(self, session: TlsSession) -> None:
        self._live.pop(session, None)

    def due(self) -> float | None:
        """When `tick` wants to be called; None: nobody is connected."""
        return self._next_look if self._live else None

    def tick(self, now: float) -> None:
        """End the sessions that another secret began."""
        self._next_look = now + LOOK_SECONDS
        self._secret.refresh()
        if self._secret.generation == self._judged:
            return
        self._judged = self._secret.generation
        audit.event("key-change", channel="tcp", result=f"the secret {self._name} is another, or gone")
        for session, generation in list(self._live.items()):
            if generation != self._secret.generation:
                log.warning("%s: the secret %r is another now: closed", session.facts, self._name)
                session.end(AuthenticationFailed(f"the secret {self._name} is another now, or gone"))
