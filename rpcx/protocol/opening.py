"""The opening of one connection, without I/O: the handshake, and where it is asked for, the proof of who the client is.

    client                                             server
      │ MAGIC, HELLO {…, authenticators, nonce}    ──▶ │
      │ ◀── MAGIC, WELCOME {…, authenticators, nonce}  │  without authenticators both are done here
      │ PROOF                                      ──▶ │
      │ ◀── PROOF … as often as it takes, or ADMITTED  │  then both are done

1. A host that has authenticators admits nobody without one of them, and a client that has some talks to no host
   without: whoever leaves them out of an offer on its way ends the connection, and lowers nothing.
2. What is proved is tied to this connection (`rpcx.abc.Binding`): to every byte of both hellos, to both ends'
   certificates where there are any, and to a random number of each end. On another connection it is worth nothing.
3. An exchange has at most `MOST_MESSAGES` messages of at most `HELLO_BYTES` each, and the handshake's time.
4. Whatever goes wrong in an authenticator means no.
5. A client may have to ask somebody for what it proves by, which takes its time. So its next message is `work` for
   whoever may block; what came of it is handed to `answered`, and until then the server has nothing to say but no.
"""

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from rpcx.abc import Authenticator, Binding, Judging, PeerFacts, Proved, Proving
from rpcx.errors import BY_NAME, AccessDenied, AuthenticationFailed, LimitExceeded, ProtocolError, RpcxError
from rpcx.protocol.frames import Frame, Kind, first_frame, frame
from rpcx.protocol.handshake import (
    HELLO_BYTES,
    MAGIC,
    Agreement,
    Offer,
    Role,
    agree,
    refusal,
    refused,
    welcome,
    welcomed,
)

MOST_MESSAGES: Final = 8  # of an exchange, both ends' together
NONCE: Final = re.compile(r"[0-9a-f]{64}\Z")
ROLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")  # as in trust files
PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+/$-]{0,127}\Z")  # Kerberos has HTTP/web@REALM and PC$@REALM
OWNER: Final = "owner"  # the host's own user: no word that a proof may claim
NO_CERTIFICATES: Final = bytes(2 * 32)

T = TypeVar("T")


class Authentication:
    """What one end of one connection has to prove by, or to judge."""

    def __init__(self, authenticators: Sequence[Authenticator], facts: PeerFacts) -> None:
        self._known = {each.name: each for each in authenticators}
        self._facts = facts  # of the peer: told when it is known

    def chosen(self, name: str) -> Authenticator:
        """The one that was agreed on. Raises AccessDenied: it must not be used here."""
        found = self._known[name]
        if found.shows_secret and not self._facts.private:
            raise AccessDenied(
                f"{self._facts}: others could read what {name} shows, so it is for TLS and pipes; "
                "leave out insecure=True"
            )
        return found

    def binding(self, hello: bytes, welcome_: bytes, nonces: tuple[str, str]) -> Binding:
        """What ties an exchange to this connection: the two frames, the client's nonce and the server's."""
        client, server = map(_nonce, nonces)
        certificates = self._facts.certificates or NO_CERTIFICATES
        hellos = hashlib.sha256(hello + welcome_).digest()
        return Binding(hellos, certificates[:32], certificates[32:], client, server, self._facts)

    def admit(self, proved: Proved) -> None:
        """The client is who it proved to be, and nobody else: not the owner either, whose key or user it may have."""
        for word, pattern in ((proved.principal, PRINCIPAL), *((role, ROLE) for role in proved.roles)):
            if not isinstance(word, str) or not pattern.match(word) or word == OWNER:
                raise AuthenticationFailed("it proved to be somebody whose name cannot be one here")
        self._facts.principal, self._facts.roles = proved.principal, frozenset(proved.roles)
        self._facts.owner = False


class Prover:
    """A client's end of an exchange. One thread at a time: first those that do its work, then who reads."""

    def __init__(self, chosen: Authenticator, binding: Binding) -> None:
        self._chosen = chosen
        self._binding = binding
        self._proving: Proving | None = None  # made at the first step, since that may take its time too

    def step(self, message: bytes) -> bytes:
        if self._proving is None:
            self._proving = self._chosen.client(self._binding)
        return self._proving.step(message)

    def admitted(self, message: bytes) -> None:
        assert self._proving is not None  # ADMITTED comes after a step
        self._proving.admitted(message)


class Opening:
    """One end's part. `read` until it returns the agreement; what it has to say goes to ``say``."""

    def __init__(
        self, role: Role, offer: Offer, authentication: Authentication | None, say: Callable[[bytes], None]
    ) -> None:
        self.greeted = 0  # bytes that the peer sent, while it is not done
        self.proved: Proved | None = None  # who the client is; a server's, when it is done
        self.last_word = b""  # a server's: that admitted the client
        self.work: Callable[[], bytes] | None = None  # a client's: to be taken by whoever may block, and done
        self.answer: bytes | RpcxError | None = None  # what came of it, until `speak`
        self._role: Role = role
        self._offer = offer
        self._authentication = authentication
        self._say = say
        self._came = b""  # of the peer's next frame, as far as it came
        self._known = False  # whether it began with the magic, all of it
        self._said = MAGIC  # what our first frame begins with; then nothing
        self._agreement: Agreement | None = None  # set when an exchange is on
        self._proving: Prover | None = None  # then a client's
        self._busy = False  # while its work is done
        self._judging: Judging | None = None  # or a server's
        self._messages = 0  # of the exchange
        self._hello = _framed(Kind.HELLO, offer.to_bytes()) if role == "client" else b""
        if self._hello:
            self._tell(self._hello)

    def read(self, data: bytes) -> tuple[Agreement, bytes] | None:
        """Take what came. What both ends agree on, and the bytes behind it; None: not yet.

        Raises:
            RpcxError: there will be no agreement.
        """
        self.greeted += len(data)
        self._came += data
        while (first := self._first()) is not None:
            (kind, _, body, _), behind = first
            whole = self._came[: len(self._came) - len(behind)]
            self._came = behind
            if kind == Kind.REJECT and self._role == "client":
                name, message = refused(body)
                raise BY_NAME.get(name, ProtocolError)(f"the server refused the connection: {message}")
            done = self._exchange(kind, body) if self._agreement else self._greet(kind, whole.removeprefix(MAGIC), body)
            if done is not None:
                self.greeted, self._came = 0, b""
                return done, behind
        return None

    def _first(self) -> tuple[Frame, bytes] | None:
        """The peer's next frame and what is behind it; None: it is not complete."""
        if self._agreement is not None:
            return first_frame(self._came, 0, HELLO_BYTES)
        if not MAGIC.startswith(self._came[: len(MAGIC)]):
            raise ProtocolError(self._no_magic(self._came[: len(MAGIC)]))
        self._known = len(self._came) >= len(MAGIC)
        return first_frame(self._came, len(MAGIC), HELLO_BYTES)

    @property
    def proving(self) -> str:
        """The authenticator whose `work` goes on; empty: none does."""
        return self._agreement.authenticator if self._busy and self._agreement is not None else ""

    def speak(self) -> None:
        """Say what came of the `work`, which is in ``answer``. Raises RpcxError: nothing did."""
        answer, self.answer, self._busy = self.answer, None, False
        if isinstance(answer, RpcxError):
            raise answer
        self._tell_proof(answer or b"")

    def rejection(self, kind: str, message: str) -> bytes:
        """What a server says when it refuses; empty: the stranger does not speak rpcx and gets no answer."""
        if not self._known:
            return b""
        return self._said + _framed(Kind.REJECT, refusal(kind, message))

    def retraction(self, kind: str, message: str) -> bytes:
        """What it says instead of its last word."""
        magic = MAGIC if self.last_word.startswith(MAGIC) else b""
        return magic + _framed(Kind.REJECT, refusal(kind, message))

    # --- the handshake -----------------------------------------------------------------------------------------

    def _greet(self, kind: int, whole: bytes, body: bytes) -> Agreement | None:
        expected = Kind.HELLO if self._role == "server" else Kind.WELCOME
        if kind != expected:
            raise ProtocolError(f"the handshake begins with a frame of kind {kind}, not {expected.name}")
        if self._role == "client":
            agreement = welcomed(body, self._offer)
            if agreement.authenticator:
                self._prove(agreement, whole)
        else:
            agreement = agree(self._offer, Offer.from_bytes(body))
            answer = _framed(Kind.WELCOME, welcome(agreement, self._offer))
            if agreement.authenticator:
                self._judge(agreement, whole, answer)
            self.last_word = self._tell(answer)
        return None if agreement.authenticator else agreement

    def _no_magic(self, came: bytes) -> str:
        if self._role == "client":
            return f"the other side does not speak rpcx: it answered {came!r}"
        return f"the other side does not speak rpcx: it began with {came!r}"

    # --- the proof ---------------------------------------------------------------------------------------------

    def _prove(self, agreement: Agreement, welcome_: bytes) -> None:
        chosen, authentication = self._chosen(agreement)
        nonces = self._offer.nonce, agreement.peer.nonce
        self._proving = Prover(chosen, authentication.binding(self._hello, welcome_, nonces))
        self._agreement = agreement
        self._ask(self._proving, b"")

    def _ask(self, proving: Prover, message: bytes) -> None:
        self._busy = True
        self.work = functools.partial(self._asked, proving.step, message)

    def _judge(self, agreement: Agreement, hello: bytes, welcome_: bytes) -> None:
        chosen, authentication = self._chosen(agreement)
        binding = authentication.binding(hello, welcome_, (agreement.peer.nonce, self._offer.nonce))
        self._judging = self._asked(chosen.server, binding)
        self._agreement = agreement

    def _chosen(self, agreement: Agreement) -> tuple[Authenticator, Authentication]:
        assert self._authentication is not None  # who offers authenticators has them
        return self._authentication.chosen(agreement.authenticator), self._authentication

    def _exchange(self, kind: int, body: bytes) -> Agreement | None:
        if self._busy:
            raise ProtocolError(f"a frame of kind {kind} while it is the client's turn to speak")
        if kind == Kind.ADMITTED and self._proving is not None:
            self._asked(self._proving.admitted, body)
            return self._agreement
        if kind != Kind.PROOF:
            raise ProtocolError(f"a frame of kind {kind} while it was to be proved who the client is")
        self._count()
        if self._proving is not None:
            self._ask(self._proving, body)
            return None
        assert self._judging is not None
        message, proved = self._asked(self._judging.step, body)
        if proved is None:
            self._tell_proof(message)
            return None
        assert self._authentication is not None
        self._authentication.admit(proved)
        self.proved = proved
        self.last_word = self._tell(_framed(Kind.ADMITTED, self._sized(message)))
        return self._agreement

    def _asked(self, step: Callable[..., T], *what: object) -> T:
        """Ask the authenticator. What goes wrong in it means no; the peer is not told what that was."""
        try:
            return step(*what)
        except AccessDenied:  # AuthenticationFailed among others
            raise
        except Exception as error:
            name = self._agreement.authenticator if self._agreement is not None else "the authenticator"
            told = f"{name}: {error}" if self._role == "client" else "the proof makes no sense"
            raise AuthenticationFailed(told) from error

    def _tell_proof(self, message: bytes) -> None:
        self._count()
        self._tell(_framed(Kind.PROOF, self._sized(message)))

    def _sized(self, message: bytes) -> bytes:
        if len(message) > HELLO_BYTES:
            raise AuthenticationFailed(f"the proof has {len(message)} bytes; at most {HELLO_BYTES} are allowed")
        return message

    def _count(self) -> None:
        self._messages += 1
        if self._messages > MOST_MESSAGES:
            raise LimitExceeded(f"a proof of more than {MOST_MESSAGES} messages", limit="fixed.handshake_bytes")

    def _tell(self, framed: bytes) -> bytes:
        word = self._said + framed
        self._said = b""
        self._say(word)
        return word


def _framed(kind: int, body: bytes) -> bytes:
    return b"".join(frame(kind, 0, body))


def _nonce(text: str) -> bytes:
    if not NONCE.match(text):
        raise ProtocolError("the handshake's nonce is not 64 hexadecimal digits")
    return bytes.fromhex(text)
