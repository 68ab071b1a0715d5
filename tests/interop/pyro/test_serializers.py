"""Trees as bytes, with Pyro5's own serializers as the judge, and hostile bytes."""

import Pyro5.serializers as stock
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rpcx
from rpcx.errors import LimitExceeded, ProtocolError
from rpcx.interop.pyro.serializers import ALL, serializer

LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text()
TREES = st.recursive(LEAVES, lambda sub: st.lists(sub, max_size=4) | st.dictionaries(st.text(), sub, max_size=4))


@pytest.mark.parametrize("name", ALL)
@given(tree=TREES)
def test_both_libraries_understand_each_other(name, tree):
    ours, theirs = ALL[name], stock.serializers[name]
    if isinstance(tree, dict):
        tree.pop("__class__", None)
    assert ours.loads(theirs.dumps(tree)) == tree
    assert ours.loads(ours.dumps(tree)) == tree


@pytest.mark.parametrize("value", [complex(1, -2), (1, 2), {1, 2}, b"\0bytes", float("inf"), 1e-7, -1e30])
def test_serpent_has_what_json_lacks(value):
    assert ALL["serpent"].loads(stock.serializers["serpent"].dumps(value)) == value


@pytest.mark.parametrize("name", ["marshal", "pickle"])
def test_a_client_speaks_no_serializer_that_could_run_code(name, daemon):
    with pytest.raises(ValueError, match=f"serializer '{name}' is none of serpent, json, msgpack"):
        rpcx.connect(f"pyro://{daemon.location}?serializer={name}")


def test_marshal_is_refused():
    with pytest.raises(ProtocolError, match="marshal"):
        serializer(2)
    with pytest.raises(ProtocolError, match="number 99"):
        serializer(99)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')", "1+1+1+1", "[" * 200, "(" * 101 + ")" * 101, "lambda: 1", "[x for x in y]", "f'{1}'",
        "'abc", "1 if 2 else 3", "-" * 1000 + "1", "{'a': 1, **b}", "\\", "", "{'data': '!', 'encoding': 'base64'}",
        "{[]: 1}", "True.real", "9" * 5000,
    ],
)  # fmt: skip
def test_serpent_is_literals_and_nothing_else(text):
    with pytest.raises((ValueError, LimitExceeded)):
        ALL["serpent"].loads(text.encode())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16", "utf-32-le"])
def test_texts_are_utf8_and_nothing_is_guessed(name, encoding):
    with pytest.raises((ValueError, LimitExceeded)):
        ALL[name].loads("['a']".encode(encoding))


@pytest.mark.parametrize("name", ALL)
def test_depth_is_bounded(name):
    deep = {"serpent": b"[" * 10**5, "json": b"[" * 10**6, "msgpack": b"\x91" * 10**6}[name]
    with pytest.raises((ValueError, LimitExceeded)):
        ALL[name].loads(deep)


def test_the_number_of_values_is_bounded():
    with pytest.raises(LimitExceeded):
        ALL["json"].loads(b"[" + b"0," * 1_100_000 + b"0]")
    with pytest.raises((LimitExceeded, ValueError)):
        ALL["msgpack"].loads(b"\xdd\xff\xff\xff\xff")


@pytest.mark.parametrize("name", ALL)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_tree_or_a_value_error(name, data):
    try:
        ALL[name].loads(data)
    except (ValueError, LimitExceeded):
        pass


@pytest.mark.parametrize("data", [b"\x81\x80\x00", b"\x81\x90\x00"])
def test_a_map_that_is_a_key_is_a_value_error(data):
    with pytest.raises(ValueError, match="as a key"):
        ALL["msgpack"].loads(data)
