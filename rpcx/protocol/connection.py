"""One duplex connection, without I/O: bytes in, events out; actions in, bytes out.

      OPENING ──agreed──▶ OPEN ──goodbye──▶ CLOSING ──drained──▶ CLOSED
         └──refused, late──────────error, eof──────────────────────▲

Both ends are equal once the handshake is done: either may call, and calls of both directions share the
connection. A call's id belongs to its caller; `RETURN`, `FAULT`, `ITEM` and `END` answer ids of ours,
`CALL`, `BATCH`, `BURST`, `CANCEL` and `CREDIT` carry ids of theirs. Rules that must hold are all in this file:

1. An id is in flight until its answer was *sent*, even when its caller cancelled it: a slot is free only
   when the work ended (HTTP/2's rapid reset freed it earlier).
2. We never have more calls in flight than the peer allows: further ones wait here, unsent.
3. An answer to a call we gave up is dropped; an answer to a call we never made breaks the protocol.
4. A stream sends no more items than it has credit for, and one that does breaks the protocol: what a slow
   consumer must hold is bounded by what it granted.
5. What came whole before an error counts: the same bytes give the same events however they were cut.
6. Time comes in as ``now``; `due` says when `tick` wants to be called.

An event is ``(kind, token, body, segments)``: for our own calls ``token`` is what `call` was given, for the
peer's it is their id. The hot path makes no object but that tuple.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from typing import Final

from rpcx.abc import Buffer, Proved
from rpcx.errors import BY_NAME, ConnectionLost, LimitExceeded, NotSent, ProtocolError, RpcxError
from rpcx.protocol.conduct import Cargo, Conduct, Share
from rpcx.protocol.frames import (
    HEADER,
    HEADER_SIZE,
    IN_ORDER,
    NO_SEGMENTS,
    UNPACK_HEADER,
    FrameReader,
    Kind,
    Unkept,
    frame,
)
from rpcx.protocol.handshake import LEAST_MESSAGE, Agreement, Limits, Offer, Role, refusal, refused
from rpcx.protocol.opening import Authentication, Opening
from rpcx.protocol.term import Term, proof_ends

CALL: Final = int(Kind.CALL)
ONEWAY: Final = int(Kind.ONEWAY)
BATCH: Final = int(Kind.BATCH)
BURST: Final = int(Kind.BURST)
RETURN: Final = int(Kind.RETURN)
FAULT: Final = int(Kind.FAULT)
ITEM: Final = int(Kind.ITEM)
END: Final = int(Kind.END)
CREDIT: Final = int(Kind.CREDIT)
CANCEL: Final = int(Kind.CANCEL)
RELEASE: Final = int(Kind.RELEASE)
RETURNS: Final = int(Kind.RETURNS)
PING: Final = int(Kind.PING)
PONG: Final = int(Kind.PONG)
GOODBYE: Final = int(Kind.GOODBYE)
RETURN_NOW: Final = RETURN | IN_ORDER
ITEM_NOW: Final = ITEM | IN_ORDER

# Events that are no frames:
PROVE: Final = 98  # a client's: token makes its next message and may block; what comes of it is for `proved`
REFUSED: Final = 99  # calls for which there is no room now; token is (their ids, the error to answer)
OPENED: Final = 100  # the handshake is done; token is the Agreement
DROPPED: Final = 101  # a late answer to a call we gave up: whatever it refers to is to be released
CLOSED: Final = 102  # no more events follow; token is the error, or None after an orderly end

PACK_HEADER: Final = HEADER.pack
COUNT_SIZE: Final = 2  # bytes before the envelope of BURST and RETURNS that say how many
LAST_ID: Final = 0xFFFFFFFF  # of a call; then they come round
LARGE: Final = 8192  # bytes of an answer that is worth a system call of its own
HELD_CALLS: Final = 100_000  # that may wait unsent for the peer's in-flight limit; then LimitExceeded

Event = tuple[int, object, bytes, Sequence[Buffer]]


class Phase(IntEnum):
    """Where the connection is in its life."""

    OPENING, OPEN, CLOSING, CLOSED = range(4)


OPENING: Final = Phase.OPENING  # names of the module's own: an enum's attribute costs 40 ns
OPEN: Final = Phase.OPEN
CLOSED_PHASE: Final = Phase.CLOSED


class Connection:
    """The protocol's state machine. One owner at a time: it holds no lock.

    Most calls and answers are short, come alone, and find nothing in their way. `glance` needs no owner for them: it
    changes one item of a table at a time, beside whoever owns the rest.
    """

    def __init__(
        self, role: Role, offer: Offer, limits: Limits, now: float, authentication: Authentication | None = None
    ) -> None:
        # More than 30 attributes would make each of them slower to reach (CPython's shared keys).
        self.role = role
        self.phase = Phase.OPENING
        self.agreement: Agreement | None = None  # set when OPEN
        self.error: RpcxError | None = None  # why it closed; None: orderly, or not closed
        self.limits = limits
        self._reader = FrameReader(limits.message)  # of what follows them
        self.wanted = self._reader.wanted  # how many bytes the next read should ask for; the method itself
        self._peer_message = LEAST_MESSAGE  # bytes a message to the peer may have; its own word once OPEN
        self.out: list[Buffer] = []  # to be sent, in order; `outgoing` takes it
        self._backlog = 0  # bytes given out that the stream did not take yet
        self._blocked = 0.0  # since when the stream takes nothing of what waits; 0: it does, or nothing waits
        self._heard = now  # when bytes last came
        self.frame_due = 0.0  # when the frame under way must be complete; 0: none is
        self._opening_due = now + limits.handshake
        self.term: Term | None = None  # when it ends by itself; None: it does not
        self._pinged = 0.0  # when we asked whether the peer lives; 0: no answer outstanding
        self._next_id = 1
        self._calls: dict[int, object] = {}  # our calls in flight: id → token
        self._abandoned: set[int] = set()  # our calls in flight that we gave up
        # Our calls that are not sent yet, over the peer's limit, oldest first: id → (kind, body, segments).
        self.held: OrderedDict[int, tuple[int, bytes, Sequence[Buffer]]] = OrderedDict()
        self._granted: dict[int, int] = {}  # our calls that stream: id → items the peer may still send
        self._allowed = 0  # calls the peer lets us have in flight; 0: not open yet, or no longer
        self.cargo: Cargo | None = None  # what large messages weigh; None: that does not matter
        self._aboard: Mapping[int, int] = {}  # the cargo's
        self._most_served = limits.in_flight  # of the peer's calls at once; if there is a share, before it is to grow
        self.share: Share | None = None  # None: what others have in flight does not matter
        self._serving: dict[int, int] = {}  # the peer's calls: id → credit for stream items
        self._came = 0  # the peer's calls, ever
        self._conduct = Conduct(now)  # the peer's
        self._streamed: set[int] = set()  # the peer's calls that were answered by an item at least
        self._opening = Opening(role, offer, authentication, self.out.append)

    # --- what comes in -------------------------------------------------------------------------------------

    def glance(self, data: bytes, now: float) -> Event | None:
        """What ``data`` means if it is one plain call or answer, whole, and nothing else. None: `receive` it.

        Needs no owner, but one thread at a time glances, receives and lets time pass. Behind an answer, `held` is to
        be looked at: a call that another thread was about to send may have been held back by the one answered here.
        """
        length = len(data) - HEADER_SIZE
        if length < 0 or self.frame_due or self.phase is not OPEN:
            return None
        claimed, kind, _, segments, call_id = UNPACK_HEADER(data)
        if claimed != length or segments or length > self._reader.limit:
            return None
        if kind == RETURN:
            if self.held or self._granted:
                return None
            token = self._calls.pop(call_id, None)
            if token is None:
                return None
        elif kind == CALL:
            if call_id in self._serving or len(self._serving) >= self._most_served:
                return None
            self._serving[call_id] = 0
            self._came += 1
            token = call_id
        else:
            return None
        self._heard = now
        self._pinged = 0.0
        return kind, token, data[HEADER_SIZE:], NO_SEGMENTS

    def receive(self, data: bytes, now: float) -> list[Event]:
        """The events that ``data`` completes. After an error the last event is CLOSED."""
        self._heard = now
        self._pinged = 0.0
        events: list[Event] = []
        try:
            self._read(data, now, events)
        except RpcxError as error:
            return events + self._fail(error)
        return events

    def _read(self, data: bytes, now: float, events: list[Event]) -> None:
        if self.phase is CLOSED_PHASE:
            return
        if self.phase is OPENING:
            data = self._open(data, events, now)
        reader = self._reader
        frames = reader.read(data)
        for kind, call_id, body, segments in frames:
            if type(segments) is Unkept:
                event = self._unkept(kind, call_id, segments[0])
            else:
                event = self._take(kind, call_id, body, segments, now)
            if event is not None:
                events.append(event)
                if event[0] == CLOSED:
                    return
        if reader.error is not None:
            raise reader.error
        if reader.partial:
            if frames or not self.frame_due:  # it began with this data
                self.frame_due = now + self.limits.frame_seconds
            self.frame_due += len(data) / 65536
        else:
            self.frame_due = 0.0

    def _take(self, kind: int, call_id: int, body: bytes, segments: Sequence[Buffer], now: float) -> Event | None:
        """What one frame means."""
        if kind == RETURN or kind == FAULT or kind == END or kind == RETURN_NOW:
            if self.held or self._granted:
                self._answered_some(call_id)
            token = self._calls.pop(call_id, None)
            if token is None:
                return self._answered_late(kind, call_id, body, segments)
            if self.held:
                self.send_held()
            return kind, token, body, segments
        if kind == CALL or kind == BATCH:
            serving = self._serving
            if call_id in serving:
                raise ProtocolError(f"call id {call_id} is in use")
            if len(serving) >= self._most_served and (full := self._no_room((call_id,))) is not None:
                return full
            serving[call_id] = 0
            self._came += 1
            return kind, call_id, body, segments
        if kind == ONEWAY or kind == RELEASE:
            self._came += kind == ONEWAY
            return kind, call_id, body, segments
        if kind == ITEM or kind == ITEM_NOW:
            return self._item_came(kind, call_id, body, segments)
        if kind == BURST:
            return self._burst_came(_ids(call_id, body), body)
        if kind == RETURNS:
            return self._returns_came(_ids(call_id, body), body)
        return self._control(kind, call_id, body, now)

    def _unkept(self, kind: int, call_id: int, why: LimitExceeded) -> Event | None:
        """A frame that there was no room for. Raises ``why`` where nobody waits for an answer that could say so."""
        if kind == ONEWAY:
            self._came += 1
            return REFUSED, ((), why), b"", NO_SEGMENTS
        if kind != CALL and kind != BATCH:
            raise why
        event = self._take(kind, call_id, b"", NO_SEGMENTS, 0.0)
        return (REFUSED, ((call_id,), why), b"", NO_SEGMENTS) if event is not None and event[0] == kind else event

    def _no_room(self, ids: Sequence[int]) -> Event | None:
        """Calls came for which the share must grow. None: it did; else what becomes of them."""
        calls, most = len(self._serving) + len(ids), self.limits.in_flight
        if calls > most:
            raise LimitExceeded(f"more than {most} calls in flight", limit="limits.in_flight")
        try:
            if self.share is not None:
                self.share.grow(calls, most)
        except LimitExceeded as error:  # others' calls are in the way, and the peer could not know
            self._serving.update(dict.fromkeys(ids, 0))
            self._came += len(ids)
            return REFUSED, (ids, error), b"", NO_SEGMENTS
        return None

    def _answered_some(self, call_id: int) -> None:
        if call_id in self.held:
            raise ProtocolError(f"an answer to call {call_id}, which was not sent yet")
        self._granted.pop(call_id, None)

    def _answered_late(self, kind: int, call_id: int, body: bytes, segments: Sequence[Buffer]) -> Event | None:
        """An answer to a call that nobody waits for."""
        if call_id not in self._abandoned:
            raise ProtocolError(f"an answer to call {call_id}, which was never made")
        self._abandoned.discard(call_id)
        if self.held:
            self.send_held()
        return (DROPPED, None, body, segments) if kind == RETURN or kind == RETURN_NOW else None

    def _item_came(self, kind: int, call_id: int, body: bytes, segments: Sequence[Buffer]) -> Event:
        left = self._granted.get(call_id, 0) - 1
        if left < 0 or call_id in self.held:
            raise ProtocolError(f"an item for call {call_id}, which gave no credit for it", limit="limits.window")
        self._granted[call_id] = left
        token = self._calls.get(call_id)
        if token is None:
            return DROPPED, None, body, segments
        return kind, token, body, segments

    def _burst_came(self, ids: range, body: bytes) -> Event:
        serving = self._serving
        if not serving.keys().isdisjoint(ids):
            raise ProtocolError(f"a call id among {ids[0]} to {ids[-1]} is in use")
        if len(serving) + len(ids) > self._most_served and (full := self._no_room(ids)) is not None:
            return full
        serving.update(dict.fromkeys(ids, 0))
        self._came += len(ids)
        return BURST, ids, body[COUNT_SIZE:], NO_SEGMENTS

    def _returns_came(self, ids: range, body: bytes) -> Event:
        tokens = []
        for call_id in ids:
            if self.held or self._granted:
                self._answered_some(call_id)
            token = self._calls.pop(call_id, None)
            if token is None:
                self._answered_late(RETURNS, call_id, b"", NO_SEGMENTS)
            tokens.append(token)
        if self.held:
            self.send_held()
        return RETURNS, tokens, body[COUNT_SIZE:], NO_SEGMENTS

    def _control(self, kind: int, call_id: int, body: bytes, now: float) -> Event | None:
        if kind == CANCEL:
            if call_id not in self._streamed:  # leaving a stream early is its normal end
                self._conduct.in_vain(self._came, now)
            if call_id in self._serving:
                return CANCEL, call_id, b"", NO_SEGMENTS
        elif kind == CREDIT:
            if len(body) != 4:
                raise ProtocolError("a credit frame has 4 bytes")
            if call_id in self._serving:
                credit = self._serving[call_id] + int.from_bytes(body, "big")
                self._serving[call_id] = min(credit, 1 << 30)
                return CREDIT, call_id, b"", NO_SEGMENTS
        elif kind == PING:
            self._conduct.pinged(self.limits.min_ping, now)
            self._queue(frame(PONG, call_id, b""))
        elif kind == PONG:
            pass  # receive() noted that the peer lives
        elif kind == GOODBYE:
            error = _parting(body)
            self._closed(error)
            return CLOSED, error, b"", NO_SEGMENTS
        else:
            raise ProtocolError(f"a frame of unknown kind {kind}")
        return None

    def eof(self) -> list[Event]:
        """The stream ended: orderly if the peer said goodbye first, or if we did."""
        if self.phase == Phase.CLOSED:
            return []
        if self.phase == Phase.CLOSING:
            self._closed(None)
            return [(CLOSED, None, b"", NO_SEGMENTS)]
        if self.phase == Phase.OPENING:
            text = "the peer closed the connection during the handshake"
            return self._fail(ConnectionLost(text), tell=False)
        return self._fail(ConnectionLost("the peer closed the connection"), tell=False)

    # --- the handshake -------------------------------------------------------------------------------------

    def _open(self, data: bytes, events: list[Event], now: float) -> bytes:
        """Read the peer's part of the handshake; what came behind it."""
        opening = self._opening
        done = opening.read(data)
        if opening.work is not None:
            work, opening.work = opening.work, None
            events.append((PROVE, work, b"", NO_SEGMENTS))
        if done is None:
            return b""
        agreement, behind = done
        self.agreement = agreement
        self.phase = Phase.OPEN
        self._allowed = agreement.peer.in_flight
        self._peer_message = agreement.peer.message
        if self._peer_message < LARGE:
            self.reply = self._reply_with_care  # type: ignore[method-assign]  # so that others pay nothing for it
        proved = opening.proved
        if proved is not None and proved.seconds is not None:
            self.ends_by(proof_ends(now, proved.seconds))
        events.append((OPENED, agreement, b"", NO_SEGMENTS))
        self.send_held()
        return behind

    @property
    def proof(self) -> Proved | None:
        """Who the client proved to be; None: by no authenticator, or not yet."""
        return self._opening.proved

    def proved(self, answer: bytes | RpcxError) -> None:
        """What came of a PROVE event, or why nothing did; `due` asks for a `tick` then, which says it."""
        self._opening.answer = answer

    @property
    def proving(self) -> str:
        """The authenticator that works on what this side says next; empty: none does."""
        return self._opening.proving

    def _speak(self) -> list[Event]:
        try:
            self._opening.speak()
        except RpcxError as error:
            return self._fail(error)
        return []

    # --- what goes out -------------------------------------------------------------------------------------

    def call(self, kind: int, token: object, body: bytes, segments: Sequence[Buffer] = NO_SEGMENTS) -> int:
        """Send a call (CALL or BATCH); its answer's events carry ``token``, which is not None. Returns its id.

        Before the handshake is done, and over the peer's limit, it waits here; after a goodbye for ever, until
        `abandon`.

        Raises:
            LimitExceeded: too many calls wait unsent, or the message is larger than the peer takes.
        """
        call_id = self._next_id
        calls = self._calls
        size = len(body)
        if segments or size > self._peer_message or self._abandoned or len(calls) >= self._allowed or call_id in calls:
            return self._call_with_care(kind, token, body, segments)
        self._next_id = call_id + 1 if call_id < LAST_ID else 1
        calls[call_id] = token
        self.out.append(PACK_HEADER(size, kind, 0, 0, call_id) + body)
        return call_id

    def _call_with_care(self, kind: int, token: object, body: bytes, segments: Sequence[Buffer]) -> int:
        """Where something is out of the ordinary."""
        self._check_size(len(body), segments)
        calls = self._calls
        call_id = self._next_id
        while call_id in calls or call_id in self._abandoned:  # after 2**32 calls ids come round
            call_id = call_id % LAST_ID + 1
        self._next_id = call_id % LAST_ID + 1
        if len(calls) + len(self._abandoned) >= self._allowed:
            if len(self.held) >= HELD_CALLS:
                text = f"{HELD_CALLS} calls wait for the peer, which lets {self._allowed} run at once"
                raise LimitExceeded(text)
            self.held[call_id] = (kind, body, segments)
            calls[call_id] = token
            self.send_held()  # `glance` may have made room meanwhile, and seen nothing held
        else:
            self._queue(frame(kind, call_id, body, segments))
            calls[call_id] = token
        return call_id

    def join(self, token: object) -> int:
        """Begin a call that `burst` sends, together with those begun before and after it. Returns its id.

        0: it cannot wait so, but goes by itself (`call`).
        """
        call_id = self._next_id
        calls = self._calls
        if self._abandoned or len(calls) >= self._allowed or call_id in calls or call_id >= LAST_ID:
            return 0
        self._next_id = call_id + 1
        calls[call_id] = token
        return call_id

    def burst(self, first: int, count: int, body: bytes) -> bool:
        """Send calls that joined: BURST, or CALL for one. False: the peer takes no message of this size."""
        size = len(body) + COUNT_SIZE
        if size > self._peer_message:
            return False
        if count == 1:
            self.out.append(PACK_HEADER(size - COUNT_SIZE, CALL, 0, 0, first) + body)
        else:
            self.out.append(PACK_HEADER(size, BURST, 0, 0, first) + count.to_bytes(COUNT_SIZE, "big") + body)
        return True

    def withdraw(self, call_id: int) -> object:
        """Take back a call that joined and cannot be sent; its token, or None if it was given up."""
        self._abandoned.discard(call_id)
        return self._calls.pop(call_id, None)

    def oneway(self, body: bytes, segments: Sequence[Buffer] = NO_SEGMENTS) -> None:
        """Send a call that is never answered.

        Raises:
            LimitExceeded: the message is larger than the peer takes.
            NotSent: the connection is not open.
        """
        if self.phase != Phase.OPEN:
            raise NotSent("the connection is not open, and a one-way call does not wait for it; connect first")
        self._check_size(len(body), segments)
        self._queue(frame(ONEWAY, 0, body, segments))

    def cancel(self, call_id: int) -> bool:
        """Give up a call of ours. Returns whether it had been sent; False: the method never began."""
        if self._calls.pop(call_id, None) is None:
            return True
        if self.held.pop(call_id, None) is not None:
            self._granted.pop(call_id, None)
            return False
        self._abandoned.add(call_id)
        if self.phase == Phase.OPEN:
            self._queue(frame(CANCEL, call_id, b""))
        return True

    def reply(self, kind: int, call_id: int, body: bytes, segments: Sequence[Buffer] = NO_SEGMENTS) -> bool:
        """Answer a call of the peer's with RETURN (or RETURN_NOW), FAULT or END: its slot is free again.

        Returns:
            Whether the answer is large: then it is not to wait for others to leave with it.

        Raises:
            LimitExceeded: the message is larger than the peer takes; nothing was sent, the call stays open.
        """
        size = len(body)
        large = False
        if size > LARGE or segments:
            large = True
            self._check_size(size, segments)
        if self._aboard and self.cargo is not None:
            self.cargo.unload(call_id)
        if self._serving.pop(call_id, None) is None:
            self.ended_late(1)
            return False
        if self._streamed:
            self._streamed.discard(call_id)
        if segments:
            self._queue(frame(kind, call_id, body, segments))
        else:
            self.out.append(PACK_HEADER(size, kind, 0, 0, call_id) + body)
        return large

    def _reply_with_care(self, kind: int, call_id: int, body: bytes, segments: Sequence[Buffer] = NO_SEGMENTS) -> bool:
        """The same for a peer that takes less than what is large."""
        self._check_size(len(body), segments)
        return Connection.reply(self, kind, call_id, body, segments)

    def reply_burst(self, first: int, count: int, body: bytes) -> bool:
        """Answer calls of the peer's whose ids follow one another: by RETURNS, or RETURN for one.

        False: the peer takes no message of this size; nothing was sent, the calls stay open.
        """
        size = len(body) + COUNT_SIZE
        if size > self._peer_message:
            return False
        for call_id in range(first, first + count):
            if self._serving.pop(call_id, None) is None:
                self.ended_late(count)
                return True
        self.out.append(PACK_HEADER(size, RETURNS, 0, 0, first) + count.to_bytes(COUNT_SIZE, "big") + body)
        return True

    def item(self, call_id: int, body: bytes, segments: Sequence[Buffer] = NO_SEGMENTS, kind: int = ITEM) -> int:
        """Send one stream item, as ITEM or ITEM_NOW; how much credit is left. There must be some (`credit`)."""
        self._check_size(len(body), segments)
        left = self._serving.get(call_id, 0) - 1
        if left < 0:
            return 0
        self._serving[call_id] = left
        self._streamed.add(call_id)
        self._queue(frame(kind, call_id, body, segments))
        return left

    def credit(self, call_id: int) -> int:
        """How many items the consumer of the peer's call ``call_id`` takes now."""
        return self._serving.get(call_id, 0)

    def grant(self, call_id: int, items: int) -> None:
        """Take ``items`` more from the stream that our call ``call_id`` opened."""
        if call_id not in self._calls:
            return
        self._granted[call_id] = self._granted.get(call_id, 0) + items
        if self.phase == Phase.OPEN and call_id not in self.held:  # those are told when the call leaves
            self._queue(frame(CREDIT, call_id, items.to_bytes(4, "big")))

    def release(self, body: bytes) -> None:
        """Tell the peer which of its references we no longer hold."""
        if self.phase == Phase.OPEN:
            self._queue(frame(RELEASE, 0, body))

    def goodbye(self) -> None:
        """End in order: nothing new is sent; what is queued still leaves."""
        if self.phase == Phase.OPEN:
            self._queue(frame(GOODBYE, 0, b""))
            self.phase = Phase.CLOSING
            self._allowed = 0  # what waits unsent is not sent any more
        elif self.phase == Phase.OPENING:
            self._closed(None)

    def outgoing(self) -> list[Buffer]:
        """What is to be sent, in order; each buffer is given out once. Needs no lock: one thread at a time takes."""
        taken = self.out[:]
        del self.out[: len(taken)]  # what was added meanwhile stays
        return taken

    @property
    def greeted(self) -> int:
        """Bytes of the peer's handshake that came, while it is not complete."""
        return self._opening.greeted

    def held_back(self, count: int, now: float, *, took: bool) -> None:
        """``count`` of the bytes given out wait for the stream, which lately ``took`` some or none; 0: none wait."""
        if not count:
            self._blocked = 0.0
        elif took or not self._blocked:
            self._blocked = now  # the peer takes something, or has just begun to keep us waiting
        self._backlog = count

    @property
    def unsent(self) -> int:
        """Bytes that wait to leave, here and in the driver."""
        return self._backlog + sum(map(_size, self.out))

    @property
    def largest(self) -> int:
        """Bytes of the largest message that came, if it came in several reads; 0: none did."""
        return self._reader.largest

    @property
    def room(self) -> int:
        """Bytes that an answer may have, by the peer's word, but no more than a message of its own may have here."""
        return min(self._peer_message, self.limits.message)

    @property
    def serving(self) -> int:
        """The peer's calls that are not answered."""
        return len(self._serving)

    def carry(self, cargo: Cargo) -> None:
        """From now on there must be room for large messages."""
        self.cargo, self._aboard = cargo, cargo.aboard
        self._reader.weigh(cargo)

    def allow(self, calls: int) -> None:
        """So many of them at once need not be asked for; its share's."""
        self._most_served = calls

    @property
    def in_flight(self) -> tuple[int, int]:
        """(our calls, the peer's calls) that are not answered."""
        return len(self._calls), len(self._serving)

    # --- time ----------------------------------------------------------------------------------------------

    def due(self) -> float | None:
        """When `tick` wants to be called; None: no timer is running."""
        if self.phase == Phase.CLOSED:
            return None
        if self.phase == Phase.OPENING:
            return self._opening_due if self._opening.answer is None else 0.0
        due = self._pinged + self.limits.ping_timeout if self._pinged else self._heard + self._idle()
        if self.frame_due:
            due = min(due, self.frame_due)
        if self._blocked:
            due = min(due, self._blocked + self.limits.write_stall)
        return due

    def tick(self, now: float) -> list[Event]:
        """Time has come to ``now``: ping, or give the peer up."""
        if self.phase == Phase.CLOSED:
            return []
        limits = self.limits
        if self.phase == Phase.OPENING:
            if self._opening.answer is not None:
                return self._speak()
            if now >= self._opening_due:
                return self._fail(
                    ProtocolError(f"no handshake within {limits.handshake:g} s", limit="limits.handshake")
                )
            return []
        if self.frame_due and now >= self.frame_due:
            text = "a message was begun and not finished in time"
            return self._fail(ProtocolError(text, limit="limits.frame_seconds"))
        if self._blocked and now >= self._blocked + limits.write_stall:
            text = f"the peer took nothing of {self._backlog} bytes for {limits.write_stall:g} s"
            return self._fail(ConnectionLost(text, limit="limits.write_stall"), tell=False)
        if self._pinged:
            if now >= self._pinged + limits.ping_timeout:
                text = f"the peer did not answer a ping for {limits.ping_timeout:g} s"
                return self._fail(ConnectionLost(text, limit="limits.ping_timeout"), tell=False)
        elif now >= self._heard + self._idle():
            if self.phase == Phase.CLOSING:  # it does not close after our goodbye: leave it
                self._closed(None)
                return [(CLOSED, None, b"", NO_SEGMENTS)]
            self._pinged = now
            self._queue(frame(PING, 0, b""))
        return []

    def ends_by(self, term: Term) -> None:
        """It ends then, if it does not sooner."""
        if self.term is None or term.when < self.term.when:
            self.term = term
            # Shadows the methods, so that connections without an end pay nothing for it.
            self.due, self.tick = self._due_or_end, self._tick_or_end  # type: ignore[method-assign]  # as said

    def _due_or_end(self) -> float | None:
        due = Connection.due(self)
        ends = self.term is not None and due is not None and self.phase == Phase.OPEN
        return min(due, self.term.when) if ends else due  # type: ignore[union-attr,type-var]  # neither is None

    def _tick_or_end(self, now: float) -> list[Event]:
        term = self.term
        if term is not None and self.phase == Phase.OPEN and term.over(now, len(self._calls) + len(self._serving)):
            return self._fail(term.error)
        return Connection.tick(self, now)

    def _idle(self) -> float:
        # The server asks later, so that usually only the client does; neither asks more often than the other allows.
        own = self.limits.ping_idle if self.role == "client" else self.limits.ping_idle * 1.5
        return max(own, self.agreement.peer.min_ping) if self.agreement is not None else own

    # --- ends ----------------------------------------------------------------------------------------------

    def in_vain(self, now: float) -> list[Event]:
        """A call of the peer's made no sense above; it was answered, or is none that is."""
        try:
            self._conduct.in_vain(self._came, now)
        except LimitExceeded as error:
            return self.fail(error)
        return []

    def fail(self, error: RpcxError) -> list[Event]:
        """Something above found the peer at fault: tell it, and close."""
        return [] if self.phase == Phase.CLOSED else self._fail(error)

    def reject(self, error: RpcxError) -> list[Event]:
        """Take back the last word that was just queued, and refuse instead; a server's, when it is told `OPENED`."""
        while self.out and self.out.pop() is not self._opening.last_word:
            pass  # what was queued behind it goes too
        self._queue([self._opening.retraction(type(error).__name__, str(error))])
        self._closed(error)
        return [(CLOSED, error, b"", NO_SEGMENTS)]

    def _fail(self, error: RpcxError, *, tell: bool = True) -> list[Event]:
        if self.phase == Phase.OPENING:
            word = self._opening.rejection(type(error).__name__, str(error)) if tell and self.role == "server" else b""
            if word:
                self._queue([word])
        elif tell and self.phase == Phase.OPEN:
            self._queue(frame(GOODBYE, 0, refusal(type(error).__name__, str(error))))
        self._closed(error)
        return [(CLOSED, error, b"", NO_SEGMENTS)]

    def _closed(self, error: RpcxError | None) -> None:
        self.phase = Phase.CLOSED
        self.error = error
        self._allowed = 0
        self._left_behind()
        self._streamed.clear()
        self._abandoned.clear()

    def abandon(self, running: Collection[int] = ()) -> tuple[list[object], list[object]]:
        """The tokens of our calls that will get no answer: those that left, and those that never did.

        ``running``: the peer's calls that will be answered all the same, since they run on.
        """
        self._left_behind()
        if self.cargo is not None:
            self.cargo.left(running)
        unsent = [self._calls.pop(call_id) for call_id in self.held]
        sent = list(self._calls.values())
        self._calls.clear()
        self.held.clear()
        return sent, unsent

    def _left_behind(self) -> None:
        serving = self._serving
        unfinished = 0
        while serving:  # not its length, since `glance` may add one
            serving.popitem()
            unfinished += 1
        if self.share is not None:
            self.share.left(unfinished)

    def ended_late(self, count: int) -> None:
        """So many of the peer's calls ended after the connection: nobody is answered, and their slots are free."""
        if self.share is not None:
            self.share.ended(count)

    # --- within --------------------------------------------------------------------------------------------

    def _queue(self, buffers: list[Buffer]) -> None:
        self.out += buffers

    def send_held(self) -> None:
        """Send calls that were held back, as many as the peer takes now."""
        while self.held and len(self._calls) - len(self.held) + len(self._abandoned) < self._allowed:
            call_id, (kind, body, segments) = self.held.popitem(last=False)
            self._queue(frame(kind, call_id, body, segments))
            items = self._granted.get(call_id)
            if items:
                self._queue(frame(CREDIT, call_id, items.to_bytes(4, "big")))

    def _check_size(self, size: int, segments: Sequence[Buffer]) -> None:
        limit = self._peer_message
        total = size + sum(memoryview(segment).nbytes + 4 for segment in segments)
        if total > limit:
            raise LimitExceeded(
                f"a message of {total} bytes exceeds the peer's limit of {limit} bytes; "
                "raise it there with limits=Limits(message=...), or send the data as a stream"
            )


def _size(buffer: Buffer) -> int:
    return buffer.nbytes if type(buffer) is memoryview else len(buffer)


def _ids(first: int, body: bytes) -> range:
    """The calls that a BURST or RETURNS is about."""
    count = int.from_bytes(body[:COUNT_SIZE], "big")
    if len(body) < COUNT_SIZE or not count or first + count - 1 > LAST_ID:
        raise ProtocolError("a frame about many calls begins with how many (1 at least) that have ids")
    return range(first, first + count)


def _parting(body: bytes) -> RpcxError | None:
    """Why the peer said goodbye; None: it was simply done."""
    if not body:
        return None
    name, message = refused(body)
    return BY_NAME.get(name, ProtocolError)(f"the peer ended the connection: {message}")
