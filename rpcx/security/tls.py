"""TLS without I/O: a session that seals what another session says.

    driver ──bytes──▶ TlsSession ──plaintext──▶ the session within (rpcx's own, or another protocol's)
           ◀─bytes───     │     ◀─plaintext───
                        `Side`: the keys of this end, and who may be at the other

A `TlsSession` is an `rpcx.abc.Session` and wraps one, so both drivers carry it as they carry any, and what they do
to wait well is untouched. OpenSSL works between two memory buffers and sees no socket.

1. Before the peer has proved its key, the session within gets no byte and sends none. Proof replaces the two
   methods that handle bytes: there is no state in which plaintext is read and the peer is not known. What came
   before TLS was there can therefore never count as said by the peer (CVE-2023-40217).
2. A stranger whose first bytes are no TLS gets no answer, nor does one that is slow or talks too much.
3. In TLS 1.3 a client is done before the server has judged it. So a client counts as refused, not as
   disconnected, until it has heard the first word of the server; and a server that refuses waits a moment for the
   client to leave, since closing at once may destroy the alert on its way (TCP resets when data is unread).
4. The end is said within: rpcx's GOODBYE is sealed like all else, so a stream that was cut is told from one that
   ended, and TLS's own close_notify is understood but not needed.
5. The lock is for OpenSSL alone, which does not stand two threads in one connection: one may read while another
   sends. A peer is judged under it too, so that nothing leaves before the verdict.

The cost of one small message, on a machine that takes 20 µs for a plain call: seal 0.9 µs, unseal 0.8 µs, and as
much again in Python for the two ends together; of a megabyte 250 µs each.
"""

import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from rpcx.abc import NOTHING, Buffer, Job, Link, PeerFacts, Session
from rpcx.errors import AuthenticationFailed, LimitExceeded, ProtocolError, RpcxError

RECORD: Final = 16_384  # bytes of plaintext in one TLS record at most (RFC 8446, 5.1)
PIECE: Final = 4 * RECORD  # bytes that OpenSSL is given at once: its buffers stay as large as they ever were
HANDSHAKE_SECONDS: Final = 10.0  # to prove who one is (OpenSSH 120, NATS 2)
HANDSHAKE_BYTES: Final = 32_768  # that a stranger may send for it (security: bytes before authentication)
LINGER_SECONDS: Final = 1.0  # that a refused peer has to read why and leave
HELLO: Final = b"\x16\x03"  # what TLS begins with: a handshake record of version 3.x
ALERT: Final = b"\x15\x03"  # what a server may begin with instead

_none: Final[Sequence[Job]] = ()


class Side(Protocol):
    """One end's keys and rules; shared by its connections."""

    @property
    def is_server(self) -> bool: ...
    @property
    def context(self) -> ssl.SSLContext: ...
    def admit(self, tls: ssl.SSLObject, facts: PeerFacts, /) -> None:
        """The peer has proved its key: put who it is into ``facts``.

        Raises:
            RpcxError: it is nobody this side talks to.
        """
        ...

    def explain(self, error: ssl.SSLError | None, facts: PeerFacts, stage: str, /) -> RpcxError:
        """What went wrong, for people.

        Args:
            error: what OpenSSL says; None: the peer just closed the connection.
            facts: who it was.
            stage: "handshake"; "proved", when this side has shown its key and waits for the first word; "open".
        """
        ...

    def begun(self, session: "TlsSession", /) -> None:
        """It is a live session from now on, of somebody who is not known yet."""
        ...

    def closed(self, session: "TlsSession", /) -> None:
        """It is no more."""
        ...


class TlsSession:
    """One end of one connection, sealed."""

    def __init__(self, inner: Session, side: Side, facts: PeerFacts) -> None:
        self.facts = facts
        self.certificate = b""  # of the peer, DER; set when it has proved its key, empty with a shared secret
        self.judged: tuple[str | None, frozenset[str]] = (None, frozenset())  # principal and roles then
        self.receive: Callable[[bytes, float], Sequence[Job]] = self._shake
        self.outgoing: Callable[[], Sequence[Buffer]] = self._raw
        self.wanted = inner.wanted  # the method itself: asked before each read
        self.held_back = inner.held_back
        self._inner = inner
        self._side = side
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = side.context.wrap_bio(self._incoming, self._outgoing, server_side=side.is_server)
        self._read, self._write = self._tls.read, self._tls.write
        self._lock = threading.Lock()
        self._link: Link | None = None  # set by attach
        self._stage = "handshake"  # then "proved" (a client's), "open"
        self._begun = b""  # the first bytes of the peer, as far as they say whether it speaks TLS
        self._shaken = 0  # bytes that the peer sent for its handshake
        self._until = 0.0  # when the handshake, or the wait for a refused peer to leave, ends; 0: neither is on
        self._failed: RpcxError | None = None  # why this side gave up
        self._gone = False  # gave up, and nothing more is to be waited for

    # --- the session a driver pumps ----------------------------------------------------------------------------

    def attach(self, link: Link, now: float) -> None:
        self._link = link
        self._until = now + HANDSHAKE_SECONDS
        self._side.begun(self)
        self._inner.attach(link, now)
        if not self._side.is_server:
            self._advance(now)

    def eof(self, now: float) -> Sequence[Job]:
        if self._failed is not None:
            self._gone, self._until = True, 0.0
            return _none
        if self._stage != "open":
            return self._fail(self._side.explain(None, self.facts, self._stage))
        return self._inner.eof(now)

    @property
    def ready(self) -> bool:
        return bool(self._outgoing.pending) or (self._sealing and self._inner.ready)

    def due(self) -> float | None:
        if self._failed is not None:
            return self._until or None
        due = self._inner.due()
        return self._until if self._until and (due is None or self._until < due) else due

    def tick(self, now: float) -> Sequence[Job]:
        if not self._until or now < self._until:
            return _none if self._failed is not None else self._inner.tick(now)
        if self._failed is None:
            text = f"no TLS handshake within {HANDSHAKE_SECONDS:g} s"
            return self._fail(ProtocolError(text, limit="limits.handshake"))
        self._gone, self._until = True, 0.0
        return _none

    @property
    def progress(self) -> int:
        """Bytes that the peer sent to be admitted."""
        return self._shaken + int(getattr(self._inner, "progress", 0))

    @property
    def admitted(self) -> bool:
        """Whether the peer has proved who it is, also to the session within if that asks for more."""
        return self._sealing and getattr(self._inner, "admitted", True)

    @property
    def finished(self) -> bool:
        return self._gone or (self._failed is None and self._inner.finished)

    def lost(self, error: Exception) -> None:
        self._side.closed(self)
        if self._stage != "open" and self._failed is None:
            explained = self._side.explain(None, self.facts, self._stage)
            explained.__cause__ = error
            error = explained
        self._inner.lost(error)

    def end(self, error: RpcxError) -> None:
        """Close it at once, from any thread; calls under way fail with ``error``, and no answer leaves any more."""
        self._failed, self._gone = error, True
        self.receive, self.outgoing = self._ignore, self._raw
        self._inner.lost(error)
        if self._link is not None:
            self._link.close()

    # --- the handshake -----------------------------------------------------------------------------------------

    @property
    def _sealing(self) -> bool:
        return self._failed is None and self._stage != "handshake"

    def _raw(self) -> Sequence[Buffer]:
        """What TLS itself has to say: its handshake, and why it gave up."""
        with self._lock:
            return [self._outgoing.read()] if self._outgoing.pending else []

    def _shake(self, data: bytes, now: float) -> Sequence[Job]:
        """The peer's part of the handshake."""
        if len(self._begun) < len(HELLO):
            self._begun += data[: len(HELLO) - len(self._begun)]
            known = HELLO.startswith(self._begun) or (not self._side.is_server and ALERT.startswith(self._begun))
            if not known:
                return self._fail(self._foreign(data))
        self._shaken += len(data)
        if self._shaken > HANDSHAKE_BYTES:
            text = f"a TLS handshake of more than {HANDSHAKE_BYTES} bytes"
            return self._fail(LimitExceeded(text, limit="fixed.handshake_bytes"))
        with self._lock:
            self._incoming.write(data)
        return self._advance(now)

    def _advance(self, now: float) -> Sequence[Job]:
        refusal: RpcxError | None = None
        with self._lock:  # until the peer is judged: what a client shows of itself has to wait for that
            try:
                self._tls.do_handshake()
                self._side.admit(self._tls, self.facts)
            except ssl.SSLWantReadError:
                return _none
            except ssl.SSLError as error:
                refusal = self._side.explain(error, self.facts, "handshake")
            except Exception as error:  # noqa: BLE001  # a strange certificate, an unreadable store: nobody is let in
                self._outgoing.read()  # and so it is never sent
                unknown = AuthenticationFailed(f"its key cannot be judged: {error}")
                refusal = error if isinstance(error, RpcxError) else unknown
        if refusal is not None:
            return self._refuse(refusal, now)
        self.certificate = self._tls.getpeercert(binary_form=True) or b""
        self.judged = self.facts.principal, self.facts.roles
        self._stage = "open" if self._side.is_server else "proved"
        self._until = 0.0
        self.receive, self.outgoing = self._unseal, self._seal
        return self._unseal(b"", now)  # what came behind the handshake in one read

    def _foreign(self, data: bytes) -> RpcxError:
        if self._side.is_server:
            return ProtocolError(f"the other side does not speak TLS: it began with {data[:8]!r}")
        return ProtocolError(
            f"the other side does not speak TLS: it answered {data[:8]!r}; if it is an rpcx host that listens with "
            "insecure=True, connect so too (on loopback only)"
        )

    # --- once the peer is known --------------------------------------------------------------------------------

    def _unseal(self, data: Buffer, now: float) -> Sequence[Job]:
        """Open what came. Mostly it is one record, whole."""
        if len(data) > PIECE:
            return self._unseal_long(data, now)
        incoming, lock, read = self._incoming, self._lock, self._read
        piece, whole, wrong = b"", False, None
        lock.acquire()  # not `with`, which costs 60 ns more: every call passes here
        try:
            incoming.write(data)
            piece = read(RECORD)
            whole = bool(piece) and not incoming.pending
        except ssl.SSLError as error:
            wrong = error
        finally:
            lock.release()
        return self._opened(piece, now) if whole else self._unseal_rest(piece, wrong, now)

    def _opened(self, data: bytes, now: float) -> Sequence[Job]:
        self._stage = "open"
        jobs = self._inner.receive(data, now)
        return _none if jobs is NOTHING and self._outgoing.pending else jobs  # OpenSSL may have something to say

    def _unseal_long(self, data: Buffer, now: float) -> Sequence[Job]:
        jobs: list[Job] = []
        whole = memoryview(data)
        for start in range(0, len(data), PIECE):
            jobs += self._unseal(whole[start : start + PIECE], now)
            if self._failed is not None:
                break
        return jobs

    def _unseal_rest(self, first: bytes, wrong: ssl.SSLError | None, now: float) -> Sequence[Job]:
        """There is more than the ``first`` record, or less than one, or it was ``wrong``."""
        pieces = [first] if first else []
        ended = not first and wrong is None  # close_notify
        with self._lock:
            try:
                while not ended and wrong is None and self._incoming.pending:  # a record comes whole or not at all
                    piece = self._read(RECORD)
                    ended = not piece
                    pieces.append(piece)
            except ssl.SSLError as error:
                wrong = error
        jobs = self._opened(b"".join(pieces), now) if any(pieces) else _none
        if wrong is not None and not isinstance(wrong, ssl.SSLWantReadError):  # that: the last record is not complete
            return [*jobs, *self._refuse(self._side.explain(wrong, self.facts, self._stage), now)]
        return [*jobs, *self.eof(now)] if ended else jobs

    def _seal(self) -> Sequence[Buffer]:
        buffers = self._inner.outgoing()
        lock, write = self._lock, self._write
        lock.acquire()
        try:
            if len(buffers) == 1 and len(buffers[0]) <= RECORD:
                write(buffers[0])
                return [self._outgoing.read()]
            if buffers:
                return self._seal_all(buffers)
        except ssl.SSLError:
            pass  # it broke just now, in the thread that reads: that one says why
        finally:
            lock.release()
        return self._raw()

    def _seal_all(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Small buffers together, up to a record; large ones as they are, by pieces, for OpenSSL to cut."""
        sealed: list[Buffer] = []
        small: list[Buffer] = []
        size = 0
        for buffer in buffers:
            whole = memoryview(buffer)
            if small and size + whole.nbytes > RECORD:
                self._write(b"".join(small))
                small, size = [], 0
            if whole.nbytes < RECORD:
                small.append(buffer)
                size += whole.nbytes
                continue
            whole = whole.cast("B")
            for start in range(0, len(whole), PIECE):
                self._write(whole[start : start + PIECE])
                sealed.append(self._outgoing.read())
        if small:
            self._write(b"".join(small))
        if self._outgoing.pending:
            sealed.append(self._outgoing.read())
        return sealed

    # --- ends --------------------------------------------------------------------------------------------------

    def _fail(self, error: RpcxError) -> Sequence[Job]:
        """Give the peer up without a word."""
        self._failed, self._gone, self._until = error, True, 0.0
        self.receive, self.outgoing = self._ignore, self._raw
        self._side.closed(self)
        self._inner.lost(error)
        return _none

    def _refuse(self, error: RpcxError, now: float) -> Sequence[Job]:
        """Give the peer up, and let it read the alert that says so."""
        self._fail(error)
        if self._outgoing.pending:
            self._gone, self._until = False, now + LINGER_SECONDS
            if self._link is not None:
                self._link.rearm()
        return _none

    def _ignore(self, data: bytes, now: float) -> Sequence[Job]:
        return _none
