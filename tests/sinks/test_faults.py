"""Exceptions arrive as themselves, or as RemoteError; never as something outside Exception."""

import builtins
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx import errors
from rpcx.errors import BY_NAME, AccessDenied, LimitExceeded, RemoteError, RpcxError
from rpcx.sinks import exceptions
from rpcx.sinks.exceptions import BRIEF, MESSAGE, NOTES, TRACEBACK, decode_fault, encode_fault, register_exception
from tests.sinks.samples import FORMATTERS, connection, there_and_back

formatters = pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: formatter.name)


@pytest.fixture(autouse=True)
def only_what_the_test_registers(monkeypatch):
    monkeypatch.setattr(exceptions, "_registered", dict(exceptions._registered))
    monkeypatch.setattr(exceptions, "_names", dict(exceptions._names))


def arrived(error: Exception, formatter=FORMATTERS[0], **how) -> Exception:
    body, segments = formatter.encode(encode_fault(error, **how), connection())
    return decode_fault(formatter.decode(body, segments, connection()), "tcp://bank")


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


SPECIAL = {
    UnicodeDecodeError: ("utf-8", b"a\xff", 1, 2, "invalid start byte"),
    UnicodeEncodeError: ("ascii", "ü", 0, 1, "ordinal not in range"),
    UnicodeTranslateError: ("ü", 0, 1, "no such character"),
}
EXCEPTIONS = {kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, Exception)}
PLAIN = sorted(EXCEPTIONS - {ExceptionGroup}, key=lambda kind: kind.__name__)


@formatters
@pytest.mark.parametrize("kind", PLAIN)
def test_every_builtin_exception_arrives_as_itself(formatter, kind):
    usual = ("no", ("file.py", 1, 2, "text")) if issubclass(kind, SyntaxError) else ("no", 7)
    error = kind(*SPECIAL.get(kind, usual))
    other = arrived(error, formatter)
    assert type(other) is kind
    assert (str(other), other.args) == (str(error), error.args)


@pytest.mark.parametrize("kind", BY_NAME.values())
def test_every_error_of_ours_arrives_with_its_facts(kind):
    error = kind("no", uri="bank", method="add", peer="p", executed="maybe")
    other = arrived(error)
    assert type(other) is kind
    assert str(other) == "no"
    assert (other.uri, other.method, other.peer, other.executed) == ("bank", "add", "p", "maybe")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException, BaseExceptionGroup])
def test_nothing_outside_exception_is_made(kind):
    other = decode_fault([kind.__name__, "out", ["out"], None, None, []])
    assert type(other) is RemoteError
    assert other.type_name == kind.__name__


@pytest.mark.parametrize(
    "name", ["type", "object", "print", "eval", "os.system", "builtins.ValueError", "__import__", ""]
)
def test_a_name_on_the_wire_finds_only_what_is_in_the_table(name):
    other = decode_fault([name, "text", ["text"], None, None, []])
    assert type(other) is RemoteError
    assert other.type_name == name


def test_a_file_that_is_missing_keeps_its_name():
    with pytest.raises(FileNotFoundError) as missing:
        Path("/there/is/none").read_bytes()
    other = arrived(missing.value)
    assert (type(other), other.errno, other.filename) == (FileNotFoundError, 2, "/there/is/none")
    assert arrived(OSError(18, "cross-device", "a", None, "b")).filename2 == "b"


class OutOfStock(Exception):
    def __init__(self, item: str, wanted: int) -> None:
        super().__init__(item, wanted)


class Locked(AccessDenied):
    pass


class Gone(OSError):
    pass


def test_an_unknown_class_arrives_as_remote_error_with_its_name():
    other = arrived(OutOfStock("tea", 3))
    assert type(other) is RemoteError
    assert (other.type_name, str(other), other.executed) == ("OutOfStock", "('tea', 3)", "yes")


def test_a_registered_class_arrives_as_itself_without_a_call_of_its_init(monkeypatch):
    register_exception(OutOfStock)
    monkeypatch.setattr(OutOfStock, "__init__", lambda *_: pytest.fail("called"))
    fault = ["OutOfStock", "text", ["tea", 3], None, None, []]
    other = decode_fault(fault)
    assert type(other) is OutOfStock
    assert other.args == ("tea", 3)


def test_a_registered_class_may_have_a_name_of_its_own_on_the_wire():
    @register_exception
    class Mine(Exception):
        pass

    register_exception(OutOfStock, name="shop/OutOfStock")
    assert encode_fault(OutOfStock("tea", 1))[0] == "shop/OutOfStock"
    assert type(arrived(OutOfStock("tea", 1))) is OutOfStock
    assert type(arrived(Mine("x"))) is Mine


def test_registered_classes_below_ours_and_below_oserror_are_whole():
    register_exception(Locked)
    register_exception(Gone)
    other = arrived(Locked("no", uri="bank", executed="no"))
    assert (type(other), str(other), other.uri, other.peer) == (Locked, "no", "bank", None)
    assert arrived(Gone(5, "gone")).errno == 5


@pytest.mark.parametrize("name", ["ValueError", "RemoteError", "ExceptionGroup", "Locked"])
def test_a_name_that_belongs_to_another_class_is_refused(name):
    register_exception(Locked)
    with pytest.raises(ValueError, match="taken"):
        register_exception(OutOfStock, name=name)
    register_exception(Locked)  # again is fine


@pytest.mark.parametrize("what", [SystemExit, int, ValueError("no class"), None])
def test_only_exceptions_can_be_registered(what):
    with pytest.raises(TypeError, match="Exception"):
        register_exception(what)


def test_a_class_of_a_known_name_is_not_taken_for_it():
    for name in ("ValueError", "AccessDenied", "ExceptionGroup"):
        other = arrived(type(name, (Exception,), {})("text"))
        assert type(other) is RemoteError
        assert other.type_name == name


def test_a_subclass_of_a_known_class_does_not_arrive_as_it():
    assert type(arrived(Gone(5, "gone"))) is RemoteError


@formatters
def test_a_group_arrives_with_its_members(formatter):
    group = ExceptionGroup("several", [ValueError(1), ExceptionGroup("inner", [OutOfStock("tea", 1)]), KeyError("k")])
    other = arrived(group, formatter)
    assert type(other) is ExceptionGroup
    assert (other.message, [type(member) for member in other.exceptions]) == (
        "several", [ValueError, ExceptionGroup, KeyError],
    )  # fmt: skip
    assert other.exceptions[1].exceptions[0].type_name == "OutOfStock"


def test_a_group_too_large_or_too_deep_arrives_as_remote_error():
    wide = ExceptionGroup("wide", [ValueError(n) for n in range(100)])
    deep: Exception = ValueError()
    for _ in range(20):
        deep = ExceptionGroup("deep", [deep])
    assert arrived(wide).type_name == "ExceptionGroup"
    inner = arrived(deep)
    while isinstance(inner, ExceptionGroup):
        inner = inner.exceptions[0]
    assert inner.type_name == "ExceptionGroup"


# --- tracebacks and notes -----------------------------------------------------------------------------------


def test_the_remote_traceback_is_a_note_with_its_cause():
    try:
        try:
            raise KeyError("k")
        except KeyError as cause:
            raise ValueError("no") from cause
    except ValueError as error:
        (note,) = arrived(error).__notes__
    assert note.startswith("Remote traceback, from tcp://bank:\n")
    assert "KeyError: 'k'" in note
    assert "direct cause" in note
    assert note.endswith("ValueError: no")
    assert "test_faults.py" in note


def test_without_detail_a_message_is_brief():
    error = raised(ValueError("x" * 5000))
    assert len(encode_fault(error)[1]) == MESSAGE
    name, message, args, *_ = encode_fault(error, detail="type")
    assert (name, message, args) == ("ValueError", "x" * BRIEF, ["x" * BRIEF])
    group = encode_fault(ExceptionGroup("g" * 5000, [error]), detail="type")
    assert len(group[1]) == BRIEF
    assert len(group[2][0][1]) == BRIEF
    assert encode_fault(raised(KeyError(1, "b")), detail="type")[2] == [1, "b"]


def test_where_no_traceback_is_told_the_name_of_the_connection_may_be():
    error = raised(KeyError("b"))
    error.add_note("of the host's own")
    assert encode_fault(error, detail="type")[-1] == []
    assert encode_fault(error, detail="type", corr_id="9f2c11d0")[-1] == [
        "more is known to the host, as corr_id 9f2c11d0"
    ]


def test_without_detail_neither_traceback_nor_notes_leave():
    error = raised(ValueError("no"))
    error.add_note("secret")
    fault = encode_fault(error, detail="type")
    assert fault[:3] == ["ValueError", "no", ["no"]]
    assert fault[4:] == [None, []]
    assert "test_faults" not in repr(fault)
    group = encode_fault(ExceptionGroup("g", [error]), detail="type")
    assert "secret" not in repr(group)
    assert "test_faults" not in repr(group)


def test_notes_arrive_before_the_traceback_and_only_once():
    error = raised(ValueError("no"))
    error.add_note("first")
    first, traceback = arrived(error).__notes__
    assert first == "first"
    assert "first" not in traceback


def test_a_traceback_over_two_hosts_keeps_both():
    other = arrived(raised(arrived(raised(ValueError("no")))))
    assert sum(note.startswith("Remote traceback") for note in other.__notes__) == 2


def test_frames_of_ours_are_no_part_of_a_traceback():
    def method():
        raise ValueError("no")

    space = {"__name__": "rpcx.remoting.dispatch", "method": method}
    exec("def run():\n    method()", space)  # stands for the code that calls methods
    with pytest.raises(ValueError) as error:
        space["run"]()
    error.value.__traceback__ = error.value.__traceback__.tb_next  # without this test's own frame
    text = encode_fault(error.value)[4]
    assert "in method" in text
    assert "in run" not in text


def test_an_error_that_we_raised_ourselves_has_no_traceback():
    space = {"__name__": "rpcx.host", "LimitExceeded": LimitExceeded}
    exec("def refuse():\n    raise LimitExceeded('no')", space)
    with pytest.raises(LimitExceeded) as error:
        space["refuse"]()
    error.value.__traceback__ = error.value.__traceback__.tb_next
    assert encode_fault(error.value)[4] is None


def test_an_error_of_the_methods_that_only_frames_of_ours_raised_keeps_them():
    space = {"__name__": "rpcx.host"}
    exec("def fail():\n    raise ValueError('no')", space)
    with pytest.raises(ValueError) as error:
        space["fail"]()
    error.value.__traceback__ = error.value.__traceback__.tb_next
    assert "in fail" in encode_fault(error.value)[4]


# --- bounds and hostility -----------------------------------------------------------------------------------


def test_a_fault_is_small_whatever_the_exception_holds():
    def deep(n):
        return deep(n - 1) if n else 1 / 0

    with pytest.raises(ZeroDivisionError) as error:
        deep(300)
    cause = error.value
    for huge in (ValueError("x" * 10**6), ValueError(b"x" * 10**6), ValueError(*range(10**4)), ValueError([0] * 10**5)):
        huge.__cause__ = cause
        caught = raised(huge)
        for _ in range(100):
            caught.add_note("n" * 10**5)
        fault = encode_fault(caught)
        assert len(fault[1]) <= MESSAGE
        assert len(fault[2]) <= 16
        assert len(fault[4]) <= TRACEBACK
        assert len(fault[5]) <= NOTES
        assert len(FORMATTERS[0].encode(fault, connection())[0]) < 150_000


def test_arguments_that_do_not_travel_become_the_message():
    other = arrived(ValueError(object))
    assert type(other) is ValueError
    assert other.args == (str(object),)


def test_an_exception_that_cannot_be_shown_leaves_all_the_same():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("broken")

    other = arrived(raised(Broken(1)))
    assert "Broken" in str(other)
    notes = ValueError("no")
    notes.__notes__ = 7
    assert arrived(notes).args == ("no",)


class Illegible:
    """Loads a module whose source cannot be read."""

    def get_source(self, name: str) -> str:
        raise ZeroDivisionError


def test_a_traceback_that_cannot_be_told_is_said_to_be_so():
    module = {"__name__": "odd", "__loader__": Illegible()}
    exec(compile("def fail(): raise ValueError('no')", "odd.py", "exec"), module)
    with pytest.raises(ValueError) as caught:
        module["fail"]()
    assert encode_fault(caught.value)[4] == "(it cannot be shown: ZeroDivisionError)"


def test_arguments_nested_too_deep_become_the_message():
    deep = ()
    for _ in range(50):
        deep = (deep,)
    assert encode_fault(ValueError(deep))[2] == [str(ValueError(deep))]


def test_arguments_that_do_not_fit_the_type_make_a_remote_error():
    for args in ([], ["utf-8"], [1, 2, 3, 4, 5], [[]]):
        other = decode_fault(["UnicodeDecodeError", "text", args, None, None, []])
        assert type(other) is RemoteError
        assert (other.type_name, str(other)) == ("UnicodeDecodeError", "text")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)
NAMES = st.sampled_from(["ValueError", "OSError", "ExceptionGroup", "SyntaxError", "RemoteError", "KeyError", "x"])


@given(JUNK | st.lists(JUNK, min_size=6, max_size=6))
def test_junk_is_an_exception_or_a_valueerror(junk):
    try:
        assert isinstance(decode_fault(junk), Exception)
    except ValueError:
        pass


@given(
    st.tuples(
        NAMES,
        st.text(),
        st.lists(JUNK),
        st.none() | st.dictionaries(st.text(), JUNK),
        st.none() | st.text(),
        st.lists(JUNK),
    )
)
def test_a_fault_of_odd_parts_is_an_exception_that_can_be_shown(fault):
    try:
        error = decode_fault(list(fault))
    except ValueError:
        assert fault[0] == "ExceptionGroup"  # a member that is no fault
        return
    assert isinstance(str(error), str)
    assert isinstance(repr(error), str)
    assert all(isinstance(note, str) for note in getattr(error, "__notes__", ()))


def test_facts_are_texts_or_nothing():
    facts = {"uri": 7, "method": ["x"], "peer": None, "executed": "perhaps", "type_name": {}}
    other = decode_fault(["RemoteError", "m", [], facts, None, []])
    assert (other.uri, other.method, other.peer, other.executed, other.type_name) == (
        None,
        None,
        None,
        "yes",
        "Exception",
    )


def test_a_bomb_of_arguments_is_not_looked_through():
    args = list(itertools.repeat([[]] * 1000, 1000))
    assert type(decode_fault(["ValueError", "m", args, None, None, []])) is RemoteError


# --- exceptions as values -----------------------------------------------------------------------------------


@formatters
def test_an_exception_is_a_value_too_without_where_it_was_raised(formatter):
    error = raised(LimitExceeded("no", uri="bank"))
    error.add_note("secret")
    (other, unknown) = there_and_back(formatter, [error, OutOfStock("tea", 1)])
    assert (type(other), str(other), other.uri) == (LimitExceeded, "no", "bank")
    assert not hasattr(other, "__notes__")
    assert (type(unknown), unknown.type_name) == (RemoteError, "OutOfStock")


@formatters
def test_what_is_outside_exception_is_no_value(formatter):
    with pytest.raises(TypeError, match="SystemExit cannot travel"):
        formatter.encode([SystemExit()], connection())


def test_every_error_of_ours_that_may_travel_has_a_name():
    local = {RpcxError, errors.ForkedConnection}  # a root, and one that is about this process only
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RpcxError)}
    assert kinds - local == set(BY_NAME.values())
