"""Every seam of the house, as a Protocol. No code.

    remoting ──Session──▶ drivers ──Stream──▶ channels
        ▲  ◀──Link──────────┘
        └── Formatter, MessageSink, ByteSink on the way

A driver pumps a `Session`: it reads bytes from a `Stream`, hands them in, runs the `Job` objects that come
out and sends what the session has ready. It knows nothing of calls or objects, so another protocol is just
another session. Parameters are positional-only, so that a plug-in may name its own.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from rpcx.messages import Call, Fault, Reply, Return

State = TypeVar("State")

Buffer = bytes | bytearray | memoryview
Clock = Callable[[], float]  # monotonic seconds


@dataclass(slots=True)
class PeerFacts:
    """What is known about the process at the other end. Each layer adds, none hides."""

    channel: str  # "tcp", "pipe", "inproc"
    address: str  # for people and logs: "127.0.0.1:40312", "pipe://bank"
    pid: int | None = None  # None: the channel cannot know
    uid: int | None = None
    gid: int | None = None
    principal: str | None = None  # who it proved to be; None: nobody asked
    roles: frozenset[str] = frozenset()  # what it may be trusted with
    fingerprint: str | None = None  # of the key that it proved: "sha256:…"
    owner: bool = False  # it is this very user: the same uid on a pipe or loopback, the same key over TLS
    private: bool = False  # nobody else reads what is said: it is sealed, or does not leave the kernel
    certificates: bytes = (
        b""  # over TLS, SHA-256 of the server's, then of the client's; zeros for one that was not shown
    )
    name: str = ""  # what it calls itself: program and pid; never trusted
    connection: str = ""  # by what the audit log calls this connection; empty: it is not open yet
    dialled: str = ""  # a host's: the name of its machine in the URL; empty: it is this machine, or a client's

    def __str__(self) -> str:
        pid = f" pid {self.pid}" if self.pid is not None else ""
        uid = f" uid {self.uid}" if self.uid is not None else ""
        return f"{self.channel} {self.address}{pid}{uid}"


class Stream(Protocol):
    """A connected, non-blocking stream of bytes, and who is at its other end. For asyncio it has a ``socket`` too."""

    @property
    def facts(self) -> PeerFacts: ...
    def fileno(self) -> int: ...
    def receive(self, size: int, /) -> bytes:
        """At most ``size`` bytes; ``b""`` at the end. Raises BlockingIOError when there is nothing yet."""
        ...

    def send(self, buffers: Sequence[Buffer], /) -> int:
        """Send as much as fits now, gathered; how many bytes went. Raises BlockingIOError."""
        ...

    def close(self) -> None:
        """Close; twice is fine."""
        ...


class Exposed(Protocol):
    """What a stream has besides, on which others may listen or change bytes."""

    def secure(self, session: "Session", /) -> "Session":
        """``session`` within one that seals what it says, and lets no byte in before the peer is known."""
        ...


@runtime_checkable
class Timed(Protocol):
    """Something with a timer besides the sessions: a lease manager, or a listener that is one."""

    def due(self) -> float | None: ...
    def tick(self, now: float, /) -> object: ...


class Timekeeper(Protocol):
    """A `Clock` that stands until it is moved, and then has everything happen that is due (for tests)."""

    def __call__(self) -> float: ...
    def timed(self, timed: Timed, /) -> Timed:
        """What a driver is to ask in place of ``timed``, whose time is this clock's."""
        ...

    def begun(self) -> Callable[[], None]:
        """Something began that takes real time. The clock does not move on before the result is called, once."""
        ...


class Listener(Protocol):
    """An open door: accepts streams. It may also be `Timed`."""

    @property
    def url(self) -> str:
        """Where clients find it, with the port that was really bound."""
        ...

    def filenos(self) -> Sequence[int]:
        """What to watch for reading (two for localhost: both address families)."""
        ...

    def accept(self) -> Stream | None:
        """The next stranger, already non-blocking; None when nobody waits."""
        ...

    def close(self) -> None: ...


class Address(Protocol):
    """A parsed URL: what `rpcx.channels.urls.Url` offers."""

    @property
    def scheme(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def params(self) -> Mapping[str, str]:
        """What stands behind the question mark."""
        ...


class Channel(Protocol):
    """A way to carry bytes between two processes. Plug-in: entry point ``rpcx.channels``."""

    @property
    def name(self) -> str:
        """The URL scheme."""
        ...

    def connect(self, address: Address, timeout: float, *, insecure: bool = False) -> Stream:
        """Reach the listener at ``address`` within ``timeout`` seconds; blocks.

        Raises:
            NotSent: nobody listens there; the message says what was tried and what to do.
            AccessDenied: the channel's rules forbid it (plain TCP, another user's pipe).
        """
        ...

    def listen(self, address: Address, *, insecure: bool = False) -> Listener:
        """Open a door.

        Raises:
            OSError: the place is taken; the message says by whom when that can be known.
            AccessDenied: the channel's rules forbid it.
        """
        ...


class Selective(Protocol):
    """What a channel has besides, that tells the users of this machine apart."""

    def listen_for(self, address: Address, uids: Collection[int | str], gids: Collection[int | str], /) -> Listener:
        """Open a door for these users and groups too, by number or name; see `Channel.listen`."""
        ...


class Plain(Protocol):
    """What a channel has besides, whose protocol knows no encryption and is for other machines all the same."""

    def listen_from(self, address: Address, /) -> Listener:
        """Open a door beyond loopback. The host lets in whom its networks name; nobody there is the owner."""
        ...


class Speaker(Protocol):
    """What a channel has besides, whose URLs mean another protocol than rpcx's own."""

    def session(self, realm: Any, address: Address, facts: PeerFacts, role: str, /) -> "Session":
        """One end of a new connection.

        Args:
            realm: the `rpcx.realm.Realm` whose objects the peer may call; the new end is one of its ``endpoints``.
            address: what was listened on, or connected to.
            facts: who is at the other end.
            role: "server" or "client".

        A server's end makes its jobs of `rpcx.remoting.dispatch`; a client's is what references point to
        (`rpcx.remoting.references.Caller`), and has ``opened``, a `Pending` that arrives when calls may be sent.
        """
        ...


class Resolver(Protocol):
    """Turns a name into a URL. Plug-in: entry point ``rpcx.resolvers``, one per word before the colon."""

    def resolve(self, name: str, timeout: float, /, *, insecure: bool = False) -> Sequence[str]:
        """The URLs for ``name``, with the object in them, the best first; asked before each connection, may block.

        Raises:
            ObjectNotFound: nobody has this name.
            ValueError: it is no name of this kind.
        """
        ...


class Announced(NamedTuple):
    """What a host wants to be found by."""

    name: str
    urls: Sequence[str]  # with the object in them
    tags: Mapping[str, str]


class Closing(Protocol):
    """Something that goes on until it is closed."""

    def close(self) -> None: ...


class Announcing(Resolver, Protocol):
    """A resolver that hosts can be announced to: it takes names too, as in ``host.register(Bank, name="bank")``."""

    def place(self, name: str, /) -> str:
        """What names of one directory have in common. Raises ValueError: it is no name of this kind."""
        ...

    def announce(self, name: str, offers: Callable[[], Sequence[Announced]], /) -> Closing:
        """Keep what is offered in the directory of ``name`` until it is closed; does not block.

        ``offers`` is asked again from time to time, since channels come and go.
        """
        ...


class Job(Protocol):
    """Work that came in over a session and is to be run by its driver."""

    @property
    def blocking(self) -> bool:
        """Known to take long: give it a thread of its own."""
        ...

    @property
    def is_async(self) -> bool:
        """Await `run_async` in an event loop instead of calling `run`."""
        ...

    def run(self) -> None:
        """Do it and answer. Never raises."""
        ...

    async def run_async(self) -> None: ...

    def overran(self, now: float, /) -> None:
        """It blocked the thread that ran it; remember, so that next time it gets a worker."""
        ...


#: What `Session.receive` may return when nothing came of the bytes: no job, no end, nothing to be sent. It is told from
#: other empty sequences by its identity, and spares the driver three questions.
NOTHING: Final[Sequence[Job]] = []


class Session(Protocol):
    """One end of one connection, without I/O: bytes in, jobs out; what to send, and when to be woken.

    ``receive``, ``eof`` and ``tick`` are called by one thread at a time; the others by any.
    It may also have ``frames``, the list that `outgoing` empties: from there a driver takes a lone one by itself. One
    that wraps another's bytes, as TLS does, must have none.
    """

    def attach(self, link: "Link", now: float, /) -> None:
        """Called once, before anything else: the driver's side of the connection."""
        ...

    def receive(self, data: bytes, now: float, /) -> Sequence[Job]: ...

    def wanted(self) -> int:
        """How many bytes the next read should ask for: more inside a large message, so that it comes whole."""
        ...

    def eof(self, now: float, /) -> Sequence[Job]:
        """The other side will send no more."""
        ...

    def outgoing(self) -> Sequence[Buffer]:
        """What is to be sent, in order; each buffer is given out once."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `outgoing` has something."""
        ...

    def held_back(self, count: int, /, *, took: bool) -> None:
        """The driver holds ``count`` bytes that the stream did not take; 0 when it took them all at last.

        ``took``: whether it took any since the driver last said so; ``count`` does not tell, since more may have come.
        """
        ...

    def due(self) -> float | None:
        """When `tick` wants to be called; None: no timer is running."""
        ...

    def tick(self, now: float, /) -> Sequence[Job]: ...

    @property
    def finished(self) -> bool:
        """Nothing more is to be read or sent: close the stream once `outgoing` is empty."""
        ...

    def lost(self, error: Exception, /) -> None:
        """The stream broke or was closed; every call waiting on it fails."""
        ...


class Waitable(Protocol):
    """Something a thread can wait for: a reply."""

    @property
    def arrived(self) -> bool: ...
    def park(self, timeout: float | None, /) -> None:
        """Sleep until unparked, or ``timeout`` seconds passed; may wake for no reason."""
        ...

    def unpark(self) -> None: ...


class EventLoop(Protocol):
    """What is needed of an asyncio loop here."""

    def call_soon_threadsafe(self, callback: Callable[..., object], /, *args: object) -> object: ...


class Link(Protocol):
    """A driver's side of one connection, as the session sees it. Every method may be called by any thread."""

    @property
    def facts(self) -> PeerFacts: ...
    def flush(self) -> None:
        """Send what the session has ready, now if the stream takes it, else as soon as it does."""
        ...

    def flush_now(self) -> None:
        """The same for what is large: it does not wait for the answers to what was read together."""
        ...

    def flush_soon(self) -> None:
        """Send within a millisecond, together with whatever else comes until then."""
        ...

    def flush_later(self) -> None:
        """The same from a finalizer, which may run inside any other call here: takes no lock, sends nothing itself."""
        ...

    def rearm(self) -> None:
        """`Session.due` moved earlier."""
        ...

    def wait(self, reply: Waitable, timeout: float | None, /) -> None:
        """Block this thread until ``reply`` has arrived or ``timeout`` seconds passed."""
        ...

    def wake(self) -> None:
        """Have whoever waits look again: it has what it waits for by another thread than the one that reads."""
        ...

    def in_loop(self, loop: EventLoop, function: Callable[..., object], argument: object, /) -> None:
        """Call ``function(argument)`` in ``loop``: now if this is its thread and nothing forbids it."""
        ...

    def spawn(self, job: Job, /) -> None:
        """Run a job that did not come straight out of `Session.receive`."""
        ...

    def aside(self, work: Callable[[], None], /) -> None:
        """Run ``work`` in a thread of its own, for which nobody waits: it may block for as long as it likes."""
        ...

    def close(self) -> None:
        """Send what is ready and close the stream."""
        ...


class Values(Protocol):
    """What a formatter may ask about values that its bytes cannot say by themselves."""

    def plain(self, value: object, /) -> object:
        """``value`` as None, bool, int, float, str, list and dict with text keys only, exactly reversible."""
        ...

    def restore(self, plain: object, /) -> object:
        """The inverse of `plain`."""
        ...


class Formatter(Protocol):
    """Turns a message's envelope into bytes and back. Plug-in: entry point ``rpcx.formatters``.

    It may also have ``pack_plain(envelope) -> bytes``, a faster `encode` for scalars in lists; and ``sound = True``
    says that `decode` raises nothing but ValueError and `RpcxError`, so that nobody needs to look.
    """

    @property
    def name(self) -> str: ...
    def encode(self, value: object, values: Values, /) -> tuple[bytes, Sequence[Buffer]]:
        """The bytes of ``value``, and the large buffers that travel beside them as segments."""
        ...

    def decode(self, body: bytes, segments: Sequence[Buffer], values: Values, /) -> object:
        """The inverse. Raises an Exception, any, on bytes that are no message: they are refused with what it says."""
        ...


class MessageSink(Protocol, Generic[State]):
    """One link of the chain that sees messages. Plug-in: entry point ``rpcx.sinks``."""

    @property
    def name(self) -> str: ...
    def request(self, call: Call, /) -> "tuple[Call, State] | Return | Fault":
        """A call passes: hand it on with what to remember until its reply, or answer it yourself."""
        ...

    def reply(self, reply: Reply, state: State, /) -> Reply:
        """The call's reply passes on its way back."""
        ...


class ByteSink(Protocol):
    """One link that sees a message's bytes after the formatter. Plug-in: entry point ``rpcx.sinks``.

    One that remembers something of its connection has ``connected() -> ByteSink`` besides, asked once for each.
    """

    @property
    def name(self) -> str: ...
    def wrap(self, data: bytes, /) -> bytes:
        """Bytes on their way out."""
        ...

    def unwrap(self, data: bytes, /) -> bytes:
        """Bytes on their way in. Raises an Exception, any, when they are not this sink's."""
        ...


@dataclass(frozen=True, slots=True)
class Binding:
    """What ties an exchange to its connection: the same at both ends of it, and of no other."""

    hellos: bytes  # SHA-256 of what both ends said before, HELLO and WELCOME
    server_certificate: bytes  # SHA-256; zeros where there is none, as on a pipe
    client_certificate: bytes  # likewise
    client_nonce: bytes  # 32 random bytes
    server_nonce: bytes  # likewise
    peer: PeerFacts  # the other end, as far as it is known

    def text(self, role: str, said: bytes = b"") -> bytes:
        """What ``role``, "client" or "server", signs to tie ``said`` to this connection; good for nothing else."""
        nonces = self.client_nonce + self.server_nonce
        head = b"rpcx/1 auth\0" + role.encode() + b"\0"
        return head + self.hellos + self.server_certificate + self.client_certificate + nonces + said


@dataclass(frozen=True, slots=True)
class Proved:
    """Who a client proved to be."""

    principal: str  # 1 to 64 letters, digits, and . _ @ + - behind the first
    roles: frozenset[str] = frozenset()  # likewise
    seconds: float | None = None  # that this holds; then its session ends. None: as long as the connection
    stands: Callable[[], bool] | None = None  # asked each second by the thread that reads; False ends the session


class Bound(NamedTuple):
    """One of a host's bounds, and how it stands (`rpcx.Host.bounds`)."""

    most: float | None  # that it admits: a number, bytes or seconds; None: it is no number
    now: int | None  # of what it bounds; of the one that has most, where each has a bound. None: not counted
    high: int | None  # the most there ever was
    refused: int  # how often it was reached


class Proving(Protocol):
    """A client's end of one exchange. Both methods raise AuthenticationFailed when there is nothing to be proved."""

    def step(self, message: bytes, /) -> bytes:
        """The next message, to the server's ``message``; that is empty at first.

        In a thread of its own: it may wait for other servers, as long as the handshake may take.
        """
        ...

    def admitted(self, message: bytes, /) -> None:
        """The server believes it, and says this at last; to be judged where the server has to prove itself too.

        Must not block.
        """
        ...


class Judging(Protocol):
    """A server's end of one exchange."""

    def step(self, message: bytes, /) -> tuple[bytes, Proved | None]:
        """What to say to the client's ``message``, and who it is once that is known; then this is the last word.

        Must not block. Raises AuthenticationFailed, whose text the client reads.
        """
        ...


class Authenticator(Protocol):
    """A way for clients to prove who they are, within the handshake. Plug-in: entry point ``rpcx.authenticators``.

    One serves all connections of a host or a client, and makes an end for each. Messages are opaque to rpcx, have at
    most 8 KiB, alternate, and are 8 at most. A host that has authenticators admits nobody without.
    """

    @property
    def name(self) -> str:
        """The same at both ends."""
        ...

    @property
    def shows_secret(self) -> bool:
        """Whether somebody who reads its messages could pass for the client; then it is not used on plain TCP."""
        ...

    def client(self, binding: Binding, /) -> Proving:
        """A client's end of a new exchange; in the same thread as its steps, and as free to wait."""
        ...

    def server(self, binding: Binding, /) -> Judging:
        """A server's. Must not block."""
        ...


class Sponsor(Protocol):
    """Asked when a lease ends: how many seconds more? Zero: let it go."""

    def renewal(self, lease: "LeaseInfo", /) -> float: ...


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """A lease as seen from outside."""

    object_id: str
    state: str  # "NULL", "INITIAL", "ACTIVE", "RENEWING" or "EXPIRED"
    remaining: float  # seconds; negative while sponsors are being asked
    initial: float  # seconds
    renew_on_call: float  # seconds
    sponsorship_timeout: float  # seconds
    sponsors: int  # how many are registered
    pins: int  # calls that run on the object now
