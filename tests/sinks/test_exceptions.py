"""Exceptions on the wire."""

import pytest

import rpcx
from rpcx.errors import BY_NAME
from rpcx.sinks.exceptions import BUILTINS, decode_fault, encode_fault, register_exception


class Unknown(Exception):
    pass


@register_exception
class TooPoor(Exception):
    def __init__(self, missing: int) -> None:
        super().__init__(missing)
        self.missing = missing


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.parametrize("error", [ValueError("no", 5), KeyError("k"), OSError(2, "gone", "/f"), ZeroDivisionError()])
def test_a_builtin_arrives_as_itself(error):
    back = decode_fault(encode_fault(raised(error)), "pipe x")
    assert type(back) is type(error)
    assert back.args == error.args
    assert str(back) == str(error)
    assert any("Remote traceback, from pipe x" in note for note in back.__notes__)


def test_an_os_error_keeps_its_fields():
    back = decode_fault(encode_fault(raised(FileNotFoundError(2, "gone", "/f"))))
    assert (back.errno, back.strerror) == (2, "gone")


def test_a_registered_one_arrives_as_itself():
    back = decode_fault(encode_fault(raised(TooPoor(5))))
    assert type(back) is TooPoor
    assert back.args == (5,)


def test_any_other_is_a_remote_error_with_its_name():
    back = decode_fault(encode_fault(raised(Unknown("why"))))
    assert type(back) is rpcx.RemoteError
    assert back.type_name == "Unknown"
    assert str(back) == "why"
    assert back.executed == "yes"


@pytest.mark.parametrize("kind", [kind for kind in BY_NAME.values() if kind is not rpcx.RemoteError])
def test_rpcx_errors_keep_their_facts(kind):
    back = decode_fault(encode_fault(kind("m", uri="u", method="f", executed="maybe")))
    assert (type(back), back.uri, back.method, back.executed) == (kind, "u", "f", "maybe")


def test_type_only_leaves_the_traceback_out():
    error = raised(ValueError("v"))
    error.add_note("secret note")
    fault = encode_fault(error, detail="type")
    assert fault[4] is None
    assert fault[5] == []
    assert not getattr(decode_fault(fault), "__notes__", [])


def test_nothing_outside_exception_is_in_the_table():
    assert "SystemExit" not in BUILTINS
    assert "KeyboardInterrupt" not in BUILTINS
    assert type(decode_fault(["SystemExit", "0", [0], None, None, []])) is rpcx.RemoteError


@pytest.mark.parametrize("fault", [None, [], ["x"], [1, 2, 3, 4, 5, 6], ["E", "m", {}, None, None, []], "fault"])
def test_what_is_no_fault_is_refused(fault):
    with pytest.raises(ValueError, match="a fault is"):
        decode_fault(fault)


def test_only_exceptions_can_be_registered():
    with pytest.raises(TypeError):
        register_exception(BaseException)
