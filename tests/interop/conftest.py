"""What tests of other protocols share."""

import ipaddress
import socket

import psutil
import pytest


@pytest.fixture
def address() -> str:
    """An address of this machine's that is no loopback address."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family is socket.AF_INET and not ipaddress.ip_address(each.address).is_loopback:
                return each.address
    pytest.skip("this machine has no address but loopback's")
