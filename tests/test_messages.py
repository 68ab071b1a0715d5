"""Messages show what they are to who looks at them."""

from rpcx.messages import DEFAULT_TIMEOUT, Call, Fault, Return


def test_a_message_is_told_without_what_is_in_it():
    assert repr(Call("bank", "open", ["ann", "a secret"])) == "<Call bank.open 2 args>"
    assert repr(Return("a secret")) == "<Return str>"
    assert repr(Fault(ValueError("a secret"))) == "<Fault ValueError>"


def test_a_call_has_a_deadline_unless_it_says_none():
    assert Call("bank", "open").timeout == DEFAULT_TIMEOUT == 30.0
    assert Call("bank", "open", timeout=None).timeout is None
    assert (Call("bank", "open").kwargs, Call("bank", "open").meta) == (None, None)
