"""Two ends of TLS, joined without a network and with a clock that stands still."""

import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from rpcx.abc import PeerFacts
from rpcx.security.identity import self_signed
from rpcx.security.sides import ClientSide, ServerSide
from rpcx.security.tls import TlsSession

NOW = 1000.0  # seconds; where the clock stands unless a test moves it


@contextmanager
def user(directory: Path) -> Iterator[None]:
    """Be the user whose keys are in ``directory``."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RPCX_HOME", str(directory))
        yield


class Within:
    """The session within: notes what it gets, says what it is told to."""

    def __init__(self, *says: bytes) -> None:
        self.says = list(says)
        self.got = b""
        self.error: Exception | None = None  # why it was lost
        self.ended = False
        self.finished = False
        self.held = 0

    def attach(self, link, now: float) -> None:
        self.link = link

    def receive(self, data: bytes, now: float) -> list:
        self.got += data
        return []

    def wanted(self) -> int:
        return 65536

    def eof(self, now: float) -> list:
        self.ended = True
        return []

    @property
    def ready(self) -> bool:
        return bool(self.says)

    def outgoing(self) -> list:
        says, self.says = self.says, []
        return says

    def held_back(self, count: int, *, took: bool) -> None:
        self.held = (count, took)

    def due(self) -> float | None:
        return None

    def tick(self, now: float) -> list:
        return []

    def lost(self, error: Exception) -> None:
        self.error = self.error or error


class StillLink:
    """A link that leaves everything to the test."""

    def __init__(self) -> None:
        self.rearmed = 0
        self.closed = False

    def rearm(self) -> None:
        self.rearmed += 1

    def close(self) -> None:
        self.closed = True


class End:
    """One end: the TLS session, what is within, and its link."""

    def __init__(self, side: ServerSide | ClientSide, *says: bytes) -> None:
        self.within = Within(*says)
        self.facts = PeerFacts("tcp", "somewhere:1")
        self.session = TlsSession(self.within, side, self.facts)
        self.link = StillLink()
        self.session.attach(self.link, NOW)

    def sends(self) -> bytes:
        """What it has to send, once."""
        return b"".join(bytes(buffer) for buffer in self.session.outgoing())

    def gets(self, data: bytes, now: float = NOW) -> None:
        self.session.receive(data, now)


class Pair:
    """A server and a client, of one user unless told otherwise; the client has the server's key, or ``pin``."""

    def __init__(self, server: Path, client: Path | None = None, pin: str | None = None) -> None:
        with user(server):
            self.server_side = ServerSide()
        with user(client or server):
            self.client_side = ClientSide("somewhere:1", pin or self.server_side.identity.fingerprint)
        self.meet()

    def meet(self, *hello: bytes) -> None:
        """New connections between the two."""
        self.client = End(self.client_side, *hello)
        self.server = End(self.server_side)

    def talk(self, rounds: int = 4) -> tuple[bytes, bytes]:
        """Carry bytes until both are silent; what the client and what the server sent."""
        said_client = said_server = b""
        for _ in range(rounds):
            said = self.client.sends()
            said_client += said
            if said:
                self.server.gets(said)
            said = self.server.sends()
            said_server += said
            if said:
                self.client.gets(said)
        return said_client, said_server


def trust(server: Path, client: Path, name: str = "ann") -> Path:
    """Have ``server`` trust the user of ``client``; the file that says so."""
    with user(client):
        certificate = ClientSide("x:1", None).identity.certificate_file
    file = server / "authorized" / f"{name}.pem"
    server.mkdir(mode=0o700, exist_ok=True)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(certificate, file)
    return file


def shaken(client: ssl.SSLContext, end: End) -> ssl.SSLError | None:
    """A client of OpenSSL alone shakes hands with ``end``; what it stumbled over."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.wrap_bio(incoming, outgoing)
    for _ in range(4):
        try:
            tls.do_handshake()
            tls.write(b"hello")
            said = outgoing.read()
            if said:
                end.gets(said)
            incoming.write(end.sends())
            tls.read(100)
        except ssl.SSLWantReadError:
            end.gets(outgoing.read())
            incoming.write(end.sends())
        except ssl.SSLError as error:
            said = outgoing.read()  # its alert
            if said:
                end.gets(said)
            return error
    return None


def odd_certificate() -> bytes:
    """One (DER) of a version that nobody knows, which `cryptography` refuses by an error that is no ValueError."""
    der = self_signed(Ed25519PrivateKey.generate()).public_bytes(Encoding.DER)
    third, odd = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"
    assert der.count(third) == 1
    return der.replace(third, odd)


def only_a_hello(said: bytes) -> bool:
    """Whether a client said no more than a ClientHello: no certificate, no word of what is within TLS."""
    handshake, client_hello = 22, 1  # RFC 8446, 5.1 and 4
    one_record = len(said) == 5 + int.from_bytes(said[3:5], "big")
    one_message = len(said) == 9 + int.from_bytes(said[6:9], "big")
    return said[0] == handshake and said[5] == client_hello and one_record and one_message
