"""What two ends say to each other, before it is bytes.

A `Call` goes out, a `Return` or a `Fault` comes back. They are plain slots classes because one of each is
made per call (190 ns; a frozen dataclass costs 770). The formatter turns them into positional envelopes
and back; message sinks see them as they are.
"""

from typing import Final

DEFAULT_TIMEOUT: Final = 30.0  # seconds a call may take unless told otherwise (gRPC has none, and hangs)


class Call:
    """One method call, on its way out or in."""

    __slots__ = ("args", "kwargs", "meta", "method", "target", "timeout")

    def __init__(
        self,
        target: str,
        method: str,
        args: "list[object] | tuple[object, ...]" = (),
        timeout: float | None = DEFAULT_TIMEOUT,
        kwargs: dict[str, object] | None = None,
        meta: dict[str, object] | None = None,
    ) -> None:
        self.target = target  # uri of a well-known object, or id of a leased one
        self.method = method  # a name in the contract, never looked up by getattr
        self.args = args
        self.kwargs = kwargs  # None: none given
        self.timeout = timeout  # seconds from now; a duration, since clocks differ. None: no deadline
        self.meta = meta  # the rare extras: contract fingerprint, call depth, values set by sinks

    def __repr__(self) -> str:
        return f"<Call {self.target}.{self.method} {len(self.args)} args>"


class Return:
    """The method ended and this is what it returned."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"<Return {type(self.value).__name__}>"


class Fault:
    """The method, or the way to it, failed."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __repr__(self) -> str:
        return f"<Fault {type(self.error).__name__}>"


Reply = Return | Fault
