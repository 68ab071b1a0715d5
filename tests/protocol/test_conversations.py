"""Any two ends, any order of actions, any cutting of the bytes: the rules of the connection hold."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rpcx.protocol.connection import (
    BATCH,
    BURST,
    CALL,
    CANCEL,
    CLOSED,
    CREDIT,
    DROPPED,
    END,
    FAULT,
    ITEM,
    ONEWAY,
    OPENED,
    RETURN,
    RETURNS,
    Connection,
    Phase,
)
from rpcx.protocol.handshake import Limits
from tests.protocol.pair import NOW, heard, offer, sent

ENDS = st.sampled_from([0, 1])
PICK = st.integers(0, 1 << 16)


class End:
    """One end, and what a careful observer knows about it."""

    def __init__(self, role: str, in_flight: int) -> None:
        self.limits = Limits(in_flight=in_flight)
        self.connection = Connection(role, offer(self.limits), self.limits, NOW)
        self.underway = b""  # bytes sent to this end that have not arrived
        self.made: dict[str, int] = {}  # our calls: token → id
        self.open: list[str] = []  # of those: not answered, not cancelled
        self.cancelled: set[str] = set()
        self.answers: dict[str, int] = {}
        self.granted: dict[str, int] = {}
        self.items: dict[str, list[bytes]] = {}
        self.serving: list[int] = []  # ids of the peer's calls that we have not answered
        self.produced: dict[int, int] = {}  # of those: items sent
        self.oneways_sent = 0
        self.oneways_heard = 0

    def hear(self, data: bytes) -> None:
        for kind, token, body, _ in heard(self.connection, data):
            if kind in (CALL, BATCH):
                assert token not in self.serving
                self.serving.append(token)
                self.produced[token] = 0
            elif kind == BURST:
                assert not set(token) & set(self.serving)
                self.serving += token
                self.produced.update(dict.fromkeys(token, 0))
            elif kind == RETURNS:
                for one, expected in zip(token, body.decode().split(), strict=True):
                    assert one in (expected, None)
                    if one is not None:
                        self.open.remove(one)
                        self.answers[one] = self.answers.get(one, 0) + 1
            elif kind in (RETURN, FAULT, END):
                assert token in self.open, "an answer to what was cancelled or answered"
                self.open.remove(token)
                self.answers[token] = self.answers.get(token, 0) + 1
                assert body.decode() == token if kind != END else body == b""
            elif kind == ITEM:
                assert token in self.open
                self.items.setdefault(token, []).append(body)
            elif kind == ONEWAY:
                self.oneways_heard += 1
            elif kind == CANCEL:
                assert token in self.serving
            elif kind == CLOSED:
                raise AssertionError(f"two honest ends fell out: {token}")
            else:
                assert kind in (OPENED, DROPPED, CREDIT)


class Conversation(RuleBasedStateMachine):
    @initialize(limits=st.tuples(st.integers(1, 4), st.integers(1, 4)))
    def begin(self, limits):
        self.ends = [End("client", limits[0]), End("server", limits[1])]
        self.bodies: dict[tuple[int, int], str] = {}  # (caller, id) → token
        self.calls = 0

    @rule(end=ENDS, kind=st.sampled_from([CALL, CALL, BATCH]))
    def call(self, end, kind):
        caller = self.ends[end]
        self.calls += 1
        token = f"{end}/{self.calls}"
        call_id = caller.connection.call(kind, token, token.encode())
        assert call_id not in [caller.made[other] for other in caller.open]
        caller.made[token] = call_id
        caller.open.append(token)
        self.bodies[end, call_id] = token

    @rule(end=ENDS, most=st.integers(1, 3))
    def burst(self, end, most):
        caller, joined = self.ends[end], []
        for _ in range(most):
            token = f"{end}/{self.calls + 1}"
            call_id = caller.connection.join(token)
            if not call_id:
                break
            self.calls += 1
            joined.append(token)
            caller.made[token] = call_id
            caller.open.append(token)
            self.bodies[end, call_id] = token
        if joined:
            first = caller.made[joined[0]]
            assert [caller.made[token] for token in joined] == list(range(first, first + len(joined)))
            assert caller.connection.burst(first, len(joined), b"many")

    @precondition(lambda self: any(end.serving for end in self.ends))
    @rule(end=ENDS, pick=PICK, most=st.integers(1, 3))
    def answer_together(self, end, pick, most):
        server = self.ends[end]
        if not server.serving:
            return
        first = server.serving[pick % len(server.serving)]
        ids = [call_id for call_id in range(first, first + most) if call_id in server.serving]
        ids = ids[: next((at for at, call_id in enumerate(ids) if call_id != first + at), len(ids))]
        for call_id in ids:
            server.serving.remove(call_id)
        body = " ".join(self.bodies[1 - end, call_id] for call_id in ids).encode()
        assert server.connection.reply_burst(first, len(ids), body)

    @rule(end=ENDS)
    def oneway(self, end):
        if self.ends[end].connection.phase == Phase.OPEN:
            self.ends[end].connection.oneway(b"fire")
            self.ends[end].oneways_sent += 1

    @precondition(lambda self: any(end.open for end in self.ends))
    @rule(end=ENDS, pick=PICK, items=st.integers(1, 3))
    def grant(self, end, pick, items):
        caller = self.ends[end]
        if caller.open:
            token = caller.open[pick % len(caller.open)]
            caller.connection.grant(caller.made[token], items)
            caller.granted[token] = caller.granted.get(token, 0) + items

    @precondition(lambda self: any(end.open for end in self.ends))
    @rule(end=ENDS, pick=PICK)
    def cancel(self, end, pick):
        caller = self.ends[end]
        if caller.open:
            token = caller.open.pop(pick % len(caller.open))
            caller.cancelled.add(token)
            caller.connection.cancel(caller.made[token])

    @precondition(lambda self: any(end.serving for end in self.ends))
    @rule(end=ENDS, pick=PICK)
    def item(self, end, pick):
        server = self.ends[end]
        if server.serving:
            call_id = server.serving[pick % len(server.serving)]
            credit = server.connection.credit(call_id)
            left = server.connection.item(call_id, b"%d" % server.produced[call_id])
            assert left == max(0, credit - 1)
            server.produced[call_id] += credit > 0

    @precondition(lambda self: any(end.serving for end in self.ends))
    @rule(end=ENDS, pick=PICK, kind=st.sampled_from([RETURN, FAULT, END]))
    def answer(self, end, pick, kind):
        if self.ends[end].serving:
            self.answer_one(end, pick, kind)

    def answer_one(self, end: int, pick: int, kind: int) -> None:
        server = self.ends[end]
        call_id = server.serving.pop(pick % len(server.serving))
        body = b"" if kind == END else self.bodies[1 - end, call_id].encode()
        server.connection.reply(kind, call_id, body)

    @rule(end=ENDS, size=st.integers(1, 60))
    def carry(self, end, size):
        self.post(end)
        hearer = self.ends[end]
        piece, hearer.underway = hearer.underway[:size], hearer.underway[size:]
        hearer.hear(piece)

    @rule(end=ENDS)
    def carry_all(self, end):
        self.carry(end, 1 << 20)

    def post(self, end: int) -> None:
        self.ends[end].underway += sent(self.ends[1 - end].connection)

    @invariant()
    def neither_works_on_more_than_it_allows(self):
        for end in getattr(self, "ends", ()):
            assert len(end.serving) <= end.limits.in_flight
            assert end.connection.in_flight[1] == len(end.serving)

    @invariant()
    def no_stream_exceeds_its_credit(self):
        for end in getattr(self, "ends", ()):
            for token, items in end.items.items():
                assert len(items) <= end.granted.get(token, 0)
                assert items == [b"%d" % n for n in range(len(items))]

    def deliver(self) -> None:
        """Bring all there is to both ends, until neither has more to say."""
        for _ in range(4):
            for end in (0, 1):
                self.carry(end, 1 << 20)

    def teardown(self):
        if not hasattr(self, "ends"):
            return
        self.deliver()
        for end in (0, 1):
            for call_id in self.ends[end].serving:
                granted = self.ends[1 - end].granted.get(self.bodies[1 - end, call_id], 0)
                assert self.ends[end].connection.credit(call_id) == granted - self.ends[end].produced[call_id]
        for _ in range(self.calls + 1):
            self.deliver()
            for end in (0, 1):
                while self.ends[end].serving:
                    self.answer_one(end, 0, RETURN)
        for end, other in (self.ends, self.ends[::-1]):
            assert not end.open, "calls without an answer"
            assert end.connection.in_flight == (0, 0)
            assert set(end.answers) == set(end.made) - end.cancelled
            assert set(end.answers.values()) <= {1}
            assert end.oneways_heard == other.oneways_sent
            assert not end.connection._abandoned
            assert not end.connection.held
            assert not end.connection._granted


TestConversation = Conversation.TestCase
TestConversation.settings = settings(stateful_step_count=60, deadline=None)
