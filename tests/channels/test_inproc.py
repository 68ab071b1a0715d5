"""``inproc://``."""

import os

import pytest

from rpcx.channels.inproc import InprocChannel
from rpcx.channels.urls import parse
from tests.channels.conformance import accepted, check_channel


def test_it_is_a_channel():
    check_channel(InprocChannel(), "inproc://conform")


def test_both_ends_are_this_process():
    channel = InprocChannel()
    listener = channel.listen(parse("inproc://self"))
    near = channel.connect(parse("inproc://self"), 1.0)
    far = accepted(listener)
    assert near.facts.pid == far.facts.pid == os.getpid()
    assert near.facts.uid == os.getuid()
    for end in (near, far, listener):
        end.close()


def test_a_name_is_free_again_after_close():
    channel = InprocChannel()
    for _ in range(3):
        channel.listen(parse("inproc://again")).close()


def test_whoever_waits_is_accepted_however_many_they_are():
    """A driver accepts 64, then looks whether the listener can be read."""
    channel = InprocChannel()
    listener = channel.listen(parse("inproc://many"))
    near = [channel.connect(parse("inproc://many"), 1.0) for _ in range(100)]
    far = [accepted(listener) for _ in near]
    assert listener.accept() is None
    for end in (*near, *far, listener):
        end.close()


def test_who_waits_when_a_listener_closes_is_told():
    channel = InprocChannel()
    listener = channel.listen(parse("inproc://late"))
    near = channel.connect(parse("inproc://late"), 1.0)
    listener.close()
    near.socket.setblocking(True)
    assert near.receive(1) == b""
    near.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_reach_its_parents_names():
    channel = InprocChannel()
    listener = channel.listen(parse("inproc://parent"))
    child = os.fork()
    if child == 0:
        try:
            channel.connect(parse("inproc://parent"), 1.0)
        except ConnectionError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    listener.close()
