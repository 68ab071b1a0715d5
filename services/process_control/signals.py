"""Names and numbers of signals."""

import signal


def signal_number(name: str | int) -> signal.Signals:
    """The signal that was given as "SIGHUP", "hup" or 1.

    Raises:
        ValueError: this system has none of that name or number; the message lists them.
    """
    try:
        if isinstance(name, int):
            return signal.Signals(name)
        full = name.upper()
        return signal.Signals[full if full.startswith("SIG") else f"SIG{full}"]
    except (KeyError, ValueError):
        known = ", ".join(known.name for known in sorted(signal.Signals))
        raise ValueError(f"{name!r} is no signal of this system; it has {known}") from None


def signal_name(number: int) -> str:
    """The name: "SIGKILL" for 9. Most real-time signals have none, and are counted: "SIGRTMIN+3"."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
