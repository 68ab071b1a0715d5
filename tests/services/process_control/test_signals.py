"""Names and numbers of signals."""

import signal

import pytest

from services.process_control.signals import signal_name, signal_number


@pytest.mark.parametrize("given", ["hup", "SIGHUP", "Hup", 1, signal.SIGHUP])
def test_a_signal_is_known_by_name_or_number(given):
    assert signal_number(given) is signal.SIGHUP


@pytest.mark.parametrize("given", ["", "SIG", "nothing", "1", 0, -1, 10**6])
def test_what_is_no_signal_is_an_error_that_lists_them(given):
    with pytest.raises(ValueError, match="is no signal of this system; it has SIGHUP, SIGINT"):
        signal_number(given)


def test_every_signal_has_a_name():
    assert signal_name(9) == "SIGKILL"
    assert signal_name(signal.SIGRTMIN + 3) == "SIGRTMIN+3"
