"""What turns messages into bytes and back: the binary formatter, or SOAP.

Which one a message is for, its content type says. SOAP needs what ``rpcx[dotnet]`` installs, and is looked for when it
is first used.
"""

from typing import Final, Protocol

from rpcx.interop.dotnet import binary
from rpcx.interop.dotnet.declared import declared
from rpcx.interop.dotnet.framing import BINARY
from rpcx.interop.dotnet.messages import MethodCall, MethodReturn


class Formatter(Protocol):
    """One of them."""

    @property
    def content_type(self) -> str:
        """Of its messages."""
        ...

    def headers(self, call: MethodCall, /) -> dict[str, str]:
        """What stands around a call besides."""
        ...

    def write_call(self, call: MethodCall, /) -> bytes:
        """A call's bytes. Raises ValueError: a value does not fit into its type, or cannot go."""
        ...

    def write_return(self, answer: MethodReturn, call: MethodCall | None, /) -> bytes:
        """The bytes of the answer to ``call``; None: one that could not be read, so this is an exception."""
        ...

    def read_call(self, body: bytes, /) -> MethodCall:
        """The call in ``body``. Raises ProtocolError."""
        ...

    def read_return(self, body: bytes, /) -> MethodReturn:
        """The return in ``body``. Raises ProtocolError."""
        ...


class Binary:
    """The binary formatter."""

    content_type = BINARY

    def headers(self, call: MethodCall, /) -> dict[str, str]:
        return {}

    def write_call(self, call: MethodCall, /) -> bytes:
        return binary.write_call(call)

    def write_return(self, answer: MethodReturn, call: MethodCall | None, /) -> bytes:
        return binary.write_return(answer)

    def read_call(self, body: bytes, /) -> MethodCall:
        return binary.read_call(body)

    def read_return(self, body: bytes, /) -> MethodReturn:
        return binary.read_return(body)


BINARY_FORMATTER: Final[Formatter] = Binary()


def soap(agent: str | None) -> Formatter:
    """SOAP as a peer reads it, by what it calls itself; None: that is not known, and then as Mono does."""
    from rpcx.interop.dotnet.soap import Soap
    from rpcx.interop.dotnet.soap_writer import Dialect

    dialect = Dialect.STANDARD
    if agent is None or "Mono" in agent:
        dialect = Dialect.MONO
    elif "MS .NET" in agent:
        dialect = Dialect.MICROSOFT
    return Soap(declared, dialect)
