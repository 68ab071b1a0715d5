"""The HTTP channel: ``dotnet+http://host:port/application``, with the SOAP formatter as .NET's HttpChannel has it.

Over the same port .NET's binary formatter is answered too, as the type of a request's content says. A client here
speaks SOAP, or binary where its URL ends with ``?formatter=binary``. It is admitted as TCP is, on loopback or for the
networks that a host names, and calls back in the same way (`rpcx.interop.dotnet.channel`).

Requests must name this machine, so that no page leads a browser here by a name of its own: by an address, as
``localhost``, by the host in the URL that is listened on, by the machine's own name, or by one of ``?names=``.
"""

import socket
from typing import Final

from rpcx.abc import Address, PeerFacts, Stream
from rpcx.channels.sockets import SocketListener
from rpcx.channels.urls import host_port
from rpcx.interop.dotnet.appdomain import AppDomain
from rpcx.interop.dotnet.caller import ClientSession
from rpcx.interop.dotnet.channel import OverTcp
from rpcx.interop.dotnet.formatters import BINARY_FORMATTER, soap
from rpcx.interop.dotnet.framing import Wire
from rpcx.interop.dotnet.lines import Lines
from rpcx.interop.plain import PlainTcp

try:
    from rpcx.interop.dotnet import soap as _needs_lxml  # noqa: F401  # now, not when the first message comes
    from rpcx.interop.dotnet.http_wire import HttpClientWire, HttpServerWire
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"dotnet+http needs {missing.name}: pip install 'rpcx[dotnet]'", name=missing.name
    ) from missing

FORMATTER: Final = "formatter"  # in a URL: "soap" or "binary"
NAMES: Final = "names"  # in one to listen on: what this machine is called besides, with commas between


class HttpSession(ClientSession):
    """Calls a server over HTTP, in the SOAP that it reads."""

    def __init__(
        self, domain: AppDomain, facts: PeerFacts, wire: Wire, url: str, address: Address, lines: Lines
    ) -> None:
        super().__init__(domain, facts, wire, url, address.uri, lines)
        self._agent: str | None = None  # what the server calls itself, once that is known
        self._binary = _formatter(address) == "binary"
        self.formatter = BINARY_FORMATTER if self._binary else soap(None)

    def told(self, agent: str | None) -> None:
        if agent != self._agent and not self._binary:
            self._agent = agent
            self.formatter = soap(agent)


class DotnetHttpChannel(OverTcp):
    """.NET's HttpChannel."""

    name = "dotnet+http"
    scheme = "http"
    plain = PlainTcp(".NET Remoting over HTTP", name)
    params: tuple[str, ...] = (FORMATTER,)

    def __init__(self) -> None:
        super().__init__()
        self._names: frozenset[str] = frozenset()  # what this machine is called, once it listens

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> Stream:
        _formatter(address)  # before anything is open
        return super().connect(address, timeout, insecure=insecure)

    def served(self, most: int) -> Wire:
        return HttpServerWire(most, self._names)

    def _listening(self, listener: SocketListener, address: Address) -> SocketListener:
        self._names = _names(address)
        return super()._listening(listener, address)

    def client(self, domain: AppDomain, facts: PeerFacts, address: Address, lines: Lines) -> ClientSession:
        wire = HttpClientWire(address.location, domain.realm.limits.message)
        return HttpSession(domain, facts, wire, self.spelled(address), address, lines)


def _names(address: Address) -> frozenset[str]:
    """What requests may call this machine, beside its addresses and localhost."""
    own = socket.gethostname()
    names = [own, own.partition(".")[0], host_port(address.location)[0], *address.params.get(NAMES, "").split(",")]
    return frozenset(name.strip().lower().rstrip(".") for name in names) - {""}


def _formatter(address: Address) -> str:
    name = address.params.get(FORMATTER, "soap")
    if name not in ("soap", "binary"):
        raise ValueError(f"{address}: ?{FORMATTER}={name} is not known; soap or binary")
    return name
