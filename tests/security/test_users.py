"""Users and groups of this machine."""

import grp
import os
import pwd
import socket

import pytest

from rpcx.security.users import gid_of, groups_of, uid_of


def test_users_and_groups_are_found_by_name_and_by_number():
    me, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(0).gr_name
    assert uid_of(me) == uid_of(str(os.getuid())) == uid_of(os.getuid()) == os.getuid()
    assert gid_of(group) == gid_of(0) == gid_of("0") == 0


@pytest.mark.parametrize("find", [uid_of, gid_of])
def test_an_unknown_name_is_told(find):
    with pytest.raises(ValueError, match="nobody-of-this-name"):
        find("nobody-of-this-name")


def test_the_groups_of_a_peer_are_the_kernels_word():
    near, far = socket.socketpair()
    with near, far:
        assert groups_of(near) == frozenset(os.getgroups())
