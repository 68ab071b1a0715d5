"""Valid conversations with a few bytes changed: whatever comes of it is an event, never an exception.

The mutants are seeded, so that a failure names one that can be made again.
"""

import random

import pytest

from rpcx.errors import RpcxError
from rpcx.protocol.connection import CLOSED, DROPPED, Connection, Phase
from rpcx.protocol.frames import HEADER
from rpcx.protocol.handshake import MAGIC, Limits, Offer
from tests.protocol.pair import NOW, Pair, sent
from tests.protocol.test_connection import STREAMS, a_busy_client, opened

MUTANTS = 4800  # of each conversation; 20,400 in all
LIMITS = Limits(message=4096, in_flight=8)


def a_stranger() -> Connection:
    return Connection("server", Offer(sinks=("zip",)), LIMITS, NOW)


def a_new_client() -> Connection:
    client = Connection("client", Offer(), LIMITS, NOW)
    client.call(0x10, "early", b"early")
    sent(client)
    return client


def welcome() -> bytes:
    pair = Pair(opened=False)
    pair.carry(pair.client)
    return sent(pair.server)


HELLO = MAGIC + HEADER.pack(len(Offer(sinks=("zip",)).to_bytes()), 1, 0, 0, 0) + Offer(sinks=("zip",)).to_bytes()
CONVERSATIONS = {
    "hello and calls": (a_stranger, HELLO + STREAMS["to a server"][1]),
    "welcome and answers": (a_new_client, welcome() + HEADER.pack(2, 20, 0, 0, 1) + b"ok"),
    "calls": (lambda: opened("server", LIMITS), STREAMS["to a server"][1]),
    "answers": (a_busy_client, STREAMS["to a client"][1]),
    "large": (lambda: opened("server"), HEADER.pack(70_000, 16, 0, 2, 1) + bytes([0, 0, 0, 9, 0, 0, 200, 0]) * 9000),
}
INTERESTING = (0, 1, 2, 7, 16, 20, 22, 23, 24, 25, 32, 0x22, 0x5B, 0x7B, 0x7F, 0x80, 0xFE, 0xFF)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data`` with one to four bytes changed, lost, doubled, moved or cut off."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed))
        match chance.randrange(6):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] = chance.choice(INTERESTING)
            case 2:
                changed[at] ^= 1 << chance.randrange(8)
            case 3:
                del changed[at : at + chance.randint(1, 12)]
            case 4:
                changed[at:at] = changed[at : at + chance.randint(1, 24)]
            case 5:
                changed = changed[: at + 1]
        if not changed:
            break
    return bytes(changed)


def heard(end: Connection, data: bytes, chance: random.Random) -> list:
    """What ``end`` makes of ``data`` in one to three pieces, of silence, and of the end of the stream."""
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(3)))
    events = []
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        events += end.receive(data[start:stop], NOW)
    events += end.tick(NOW + chance.choice((1, 11, 31)))
    return events + end.eof()


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_changed_conversation_ends_in_order_or_with_an_error_of_ours(name):
    make, data = CONVERSATIONS[name]
    ends: set[type] = set()
    for seed in range(MUTANTS if len(data) < 10_000 else MUTANTS // 4):
        chance = random.Random(f"{name} {seed}")
        end = make()
        events = heard(end, mutated(data, chance), chance)
        kinds = [event[0] for event in events]
        assert kinds[-1] == CLOSED, seed
        assert kinds.count(CLOSED) == 1, seed
        error = events[-1][1]
        assert error is None or isinstance(error, RpcxError), (seed, error)
        ends.add(type(error))
        assert end.phase == Phase.CLOSED
        assert all(type(event[2]) is bytes for event in events), seed
        assert all(event[1] is None for event in events if event[0] == DROPPED), seed
        sent(end)
    assert len(ends) > 1, "the mutants are all alike"
