"""The wire specification's test vectors, both ways: bytes give these events, these actions give the same bytes.

A vector of layer ``connection`` is a step of a conversation: ``after`` names the step before it (none: two ends
that were just made), ``sender`` says whose bytes they are. ``action`` is what the sender does to send them (none:
it does so by itself, because of what it received); a malformed step has no action that would send it. What
``hex`` does to its receiver is ``events`` and, if it breaks the protocol, ``error``.
"""

import datetime
import decimal
import json
import math
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from rpcx import errors
from rpcx.protocol.connection import CLOSED, ITEM_NOW, OPENED, RETURN_NOW, Connection
from rpcx.protocol.frames import IN_ORDER, Kind
from rpcx.protocol.handshake import HELLO_BYTES, MAGIC, Limits, Offer
from rpcx.sinks.formatters import JsonFormatter, MsgpackFormatter
from rpcx.sinks.values import Values
from tests.protocol.pair import NOW, Digest, authenticated, in_pieces, received, sent

VECTORS = json.loads((Path(__file__).parents[2] / "schemas" / "wire_vectors.json").read_text(encoding="utf-8"))
STEPS = {vector["name"]: vector for vector in VECTORS if vector["layer"] == "connection"}
VALUES = [vector for vector in VECTORS if vector["layer"] == "value"]
LIMITS = Limits(min_ping=0)  # which HELLO then leaves out
NAMED = {**{kind: kind.name for kind in Kind}, RETURN_NOW: "RETURN_NOW", ITEM_NOW: "ITEM_NOW"}


def action(end: Connection, do: str, **fields) -> None:
    """Let ``end`` do what a vector says."""
    body = bytes.fromhex(fields.get("body", ""))
    segments = [bytes.fromhex(segment) for segment in fields.get("segments", ())]
    in_order = IN_ORDER if fields.get("in order") else 0
    match do:
        case "call":
            end.call(Kind[fields["kind"]], fields["token"], body, segments)
        case "burst":
            ids = [end.join(token) for token in fields["tokens"]]
            end.burst(ids[0], len(ids), body)
        case "reply together":
            end.reply_burst(fields["id"], fields["count"], body)
        case "reply":
            end.reply(Kind[fields["kind"]] | in_order, fields["id"], body, segments)
        case "oneway":
            end.oneway(body, segments)
        case "item":
            end.item(fields["id"], body, segments, Kind.ITEM | in_order)
        case "grant":
            end.grant(fields["id"], fields["items"])
        case "cancel":
            end.cancel(fields["id"])
        case "release":
            end.release(body)
        case "silence":
            end.tick(NOW + fields["seconds"])
        case "goodbye":
            end.goodbye()
        case "fail":
            end.fail(getattr(errors, fields["error"])(fields["message"]))
        case _:
            raise AssertionError(do)


def story(name: str) -> list[dict]:
    """The steps that lead to ``name``, and it."""
    step = STEPS[name]
    return [*(story(step["after"]) if step["after"] else []), step]


def told(name: str) -> dict[str, Connection]:
    """Both ends, after every step before ``name``."""
    first = story(name)[0]
    ends = {role: made(role, **(first.get(f"{role} offers") or {})) for role in ("client", "server")}
    for step in story(name)[:-1]:
        sender, receiver = roles(step)
        if step["action"]:
            action(ends[sender], **step["action"])
        assert sent(ends[sender]).hex() == step["hex"], step["name"]
        received(ends[receiver], bytes.fromhex(step["hex"]))
    return ends


def made(role: str, authenticators: list | None = None, **offers) -> Connection:
    return authenticated(role, *(Digest() for _ in authenticators or ()), limits=LIMITS, **offers)


def roles(step: dict) -> tuple[str, str]:
    return step["sender"], "server" if step["sender"] == "client" else "client"


def written(events: list) -> list[list]:
    """Events as a vector writes them."""
    lines = []
    for kind, token, body, segments in events:
        if kind == OPENED:
            lines.append(["OPENED", token.formatter, list(token.sinks), token.peer.name])
        elif kind == CLOSED:
            lines.append(["CLOSED", type(token).__name__ if token is not None else None])
        else:
            name = NAMED.get(kind, "DROPPED")
            token = list(token) if isinstance(token, range) else token
            lines.append([name, token, bytes(body).hex(), [bytes(segment).hex() for segment in segments]])
    return lines


@pytest.mark.parametrize("name", STEPS)
def test_the_bytes_of_a_vector_give_its_events(name):
    step = STEPS[name]
    data = bytes.fromhex(step["hex"])
    receiver = roles(step)[1]
    for cuts in ((), range(len(data)), *((offset,) for offset in range(1, len(data)))):
        end = told(name)[receiver]
        sent(end)
        events = [event for piece in in_pieces(data, *cuts) for event in received(end, piece)]
        assert written(events) == step["events"]
        assert sent(end).hex() == step.get("answer", "")
        assert step.get("error", "") in str(end.error)
        if "error" in step:
            assert events[-1][1] is end.error


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if "error" not in step])
def test_the_actions_of_a_vector_give_its_bytes(name):
    step = STEPS[name]
    end = told(name)[step["sender"]]
    if step["action"]:
        action(end, **step["action"])
    assert sent(end).hex() == step["hex"]


def test_every_kind_of_frame_has_a_vector():
    seen = set()
    for step in STEPS.values():
        data = bytes.fromhex(step["hex"])
        data = data.removeprefix(MAGIC)
        if len(data) >= 12 and "error" not in step:
            seen.add(data[4])
    assert seen | {Kind.REJECT} == {*Kind, RETURN_NOW, ITEM_NOW}
    assert any(bytes.fromhex(step["hex"]).removeprefix(MAGIC)[4:5] == bytes([Kind.REJECT]) for step in STEPS.values())


def test_a_handshake_that_says_the_same_in_other_words_is_the_same():
    """The vectors' JSON is one way to write it: order, spaces and unknown keys are free."""
    step = STEPS["hello"]
    body = json.loads(bytes.fromhex(step["hex"])[len(MAGIC) + 12 :])
    other = json.dumps(dict(reversed(body.items())) | {"later": 1}, indent=2).encode()
    assert len(other) < HELLO_BYTES
    assert Offer.from_bytes(other) == Offer.from_bytes(json.dumps(body).encode())


# --- values -------------------------------------------------------------------------------------------------

NAMES = {
    "Decimal": decimal.Decimal, "UUID": uuid.UUID, "datetime": datetime, "range": range, "bytearray": bytearray,
    "frozenset": frozenset, "nan": math.nan, "inf": math.inf, "set": set,
}  # fmt: skip


@dataclass
class Referred:
    """What an object that goes by reference is in these vectors: its fields."""

    fields: list


def value_of(text: str) -> object:
    return eval(text, {"__builtins__": {}}, NAMES | {"ref": Referred})  # our own file's words


CONNECTION = Values(lambda value: value.fields if isinstance(value, Referred) else None, Referred)


@pytest.mark.parametrize("vector", VALUES, ids=lambda vector: vector["name"])
def test_a_value_is_written_and_read_as_its_vector_says(vector):
    envelope = [value_of(vector["python"])]
    binary = MsgpackFormatter(), bytes.fromhex(vector["msgpack"]), vector.get("segments", [])
    text = JsonFormatter(), vector["json"].encode(), []
    for formatter, expected, beside in (binary, text):
        body, segments = formatter.encode(envelope, CONNECTION)
        assert body == expected
        assert [bytes(segment).hex() for segment in segments] == beside
        again = formatter.decode(body, segments, CONNECTION)
        assert repr(again) == repr(envelope) or again == envelope
        assert type(again[0]) is type(envelope[0])
