"""Exceptions as nodes and back, without anybody else."""

import pytest

from rpcx.errors import AccessDenied, ObjectExpired, ProtocolError, RemoteError
from rpcx.interop.dotnet import faults
from rpcx.interop.dotnet.binary import read_return
from rpcx.interop.dotnet.nodes import ClassNode
from rpcx.interop.dotnet.outward import Outward
from tests.interop.dotnet.shop import OutOfStock
from tests.interop.dotnet.test_values import Nobody, back
from tests.interop.dotnet.vectors import BOOM_REPLY, STACK


def there(error: Exception, **options: bool) -> ClassNode:
    return faults.to_node(error, Outward(Nobody()), **options)


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_what_mono_threw_arrives_with_its_stack():
    error = faults.from_node(read_return(BOOM_REPLY).exception, back)
    assert type(error) is RuntimeError
    assert str(error) == "boom"
    assert error.__notes__ == [f"Remote traceback, from .NET (System.InvalidOperationException):\n{STACK}"]


@pytest.mark.parametrize(
    ("error", "clr"),
    [
        (ValueError("v"), "System.ArgumentException"),
        (UnicodeError("u"), "System.ArgumentException"),
        (ObjectExpired("gone"), "System.Runtime.Remoting.RemotingException"),
        (AccessDenied("no"), "System.UnauthorizedAccessException"),
        (ProtocolError("bytes"), "System.Runtime.Serialization.SerializationException"),
        (OutOfStock("none"), "Shop.OutOfStock"),
        (LookupError("x"), "System.Exception"),
    ],
)
def test_each_goes_as_what_means_the_same(error, clr):
    node = there(error)
    assert node.name == clr
    assert node.members["ClassName"] == clr
    assert str(error) in node.members["Message"]


def test_fields_go_and_come():
    error = OutOfStock("none left")
    error.left = 3
    again = faults.from_node(there(error), back)
    assert (type(again), str(again), again.left) == (OutOfStock, "none left", 3)


def test_an_unknown_type_is_a_remote_error_with_its_name():
    error = faults.from_node(ClassNode("Ns.Odd", {"ClassName": "Ns.Odd", "Message": "m"}), back)
    assert isinstance(error, RemoteError)
    assert (error.type_name, str(error)) == ("Ns.Odd", "m")


def test_causes_go_along_up_to_a_depth():
    first = raised(ValueError("0"))
    for number in range(1, 30):
        following = ValueError(str(number))
        following.__cause__, first = first, following
    depth, error = 0, faults.from_node(there(first), back)
    while error is not None:
        depth, error = depth + 1, error.__cause__
    assert depth == faults.INNER + 1


def test_without_detail_stack_and_cause_stay_here():
    error = raised(ValueError("v"))
    error.__cause__ = KeyError("k")
    full, bare = there(error), there(error, detail=False)
    assert "test_faults.py" in full.members["StackTraceString"]
    assert bare.members["StackTraceString"] is None
    assert bare.members["InnerException"] is None
