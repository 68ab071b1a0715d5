"""What both directions of a connection share: the state machine and its lock, bytes ↔ values, references.

The lock guards the protocol's state machine and the tables of references, nothing else; it is never held while
user code, a formatter or a system call runs.
"""

import logging
import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from rpcx.abc import Buffer, Link, PeerFacts
from rpcx.errors import ConnectionLost, ForkedConnection, LimitExceeded, NotSent, ProtocolError, RemoteError, RpcxError
from rpcx.protocol.connection import Connection
from rpcx.remoting.access import Gate
from rpcx.remoting.bursts import Burst
from rpcx.remoting.objects import HOST_URI, ObjectTable
from rpcx.remoting.proxy import Flavour, Proxy, as_flavour, make_proxy
from rpcx.remoting.references import CALLABLE, HOME, REF, LetGo, Reference
from rpcx.sinks.chain import Chain, Decode, Encode, Pack
from rpcx.sinks.exceptions import decode_fault, encode_fault
from rpcx.sinks.values import Values

log = logging.getLogger("rpcx")

FLAVOURS: Final[tuple[Flavour, ...]] = ("sync", "async")


class ReadAhead(bytes):
    """A body that was decoded by the thread that reads, before what came behind it; stands where a body would."""

    value: Any  # plain data with proxies in it
    error: ProtocolError | None = None  # it cannot be decoded

    @classmethod
    def of(cls, value: object) -> "ReadAhead":
        """Stands for a body with this value."""
        ahead = cls()
        ahead.value = value
        return ahead


class Wire:
    """A connection with its formatter, as the two directions above use it."""

    most_imports: float = float("inf")  # objects of the peer's that may be held here; a host sets it

    def __init__(self, connection: Connection, table: ObjectTable, *, flavour: Flavour, detail: bool = True) -> None:
        self.table = table
        self.flavour = flavour  # of proxies that arrive here, unless the receiving method says otherwise
        self.holder: Hashable = id(self)  # under which the table counts what the peer holds; set when opened
        self.error: Exception | None = None  # set when the connection has ended
        self.gate: Gate = None  # type: ignore[assignment]  # what the peer can reach; set by `admit` when opened
        self._connection = connection
        self._detail = detail  # whether tracebacks travel
        self._lock = threading.Lock()
        self._link: Link = None  # type: ignore[assignment]  # set by attach, before anything else
        self._chain: Chain = None  # type: ignore[assignment]  # set when opened; nothing is encoded before
        self._encode: Encode = self._not_open  # the chain's, once opened; so are the next two
        self._decode_body: Decode = self._not_open
        self._pack: Pack = self._not_open
        self._sinks = False  # whether message sinks see calls
        self._bursts = False  # whether calls may leave as bursts: not through sinks, which want to see each
        self._burst: Burst | None = None  # calls that were begun and have not left
        self._window = connection.limits.window  # items of a stream sent ahead; narrowed to the peer's when opened
        self._imports: dict[str, Any] = {}  # id → weak reference to its Reference
        self.imports_high = 0  # the most there ever were
        self._homing = 0  # counts references that went home: whether an answer has one
        self._let_go = LetGo()
        self._values = {name: Values(self._refer, self._resolver(name)) for name in FLAVOURS}  # by how they resolve
        self._own_values = self._values[flavour]
        self._async = flavour == "async"

    @property
    def facts(self) -> PeerFacts:
        return self._link.facts

    @property
    def formatter(self) -> str:
        """The formatter that was agreed; empty before the handshake."""
        agreement = self._connection.agreement
        return agreement.formatter if agreement is not None else ""

    # --- values and bytes --------------------------------------------------------------------------------------

    def _decode(self, body: bytes, segments: Sequence[Buffer], flavour: Flavour | None = None) -> Any:
        if type(body) is ReadAhead:
            return self._read_ahead(body, flavour)
        values = self._own_values if flavour is None else self._values[flavour]
        decode = self._decode_body
        try:
            return decode(body, segments, values)
        except ValueError as error:
            raise ProtocolError(f"{self.facts}: a message cannot be decoded: {error}") from None

    def _value(self, body: bytes, segments: Sequence[Buffer], flavour: Flavour | None = None) -> Any:
        """The value of an answer or item, whose body is a list of it."""
        decoded = self._decode(body, segments, flavour)
        if type(decoded) is not list or len(decoded) != 1:
            raise ProtocolError(f"{self.facts}: an answer, or an item of a stream, is a list of one value")
        return decoded[0]

    def _ahead(self, body: bytes, segments: Sequence[Buffer]) -> ReadAhead:
        """Decode a body now, for whoever will ask for it."""
        ahead = ReadAhead()
        try:
            ahead.value = self._decode(body, segments)
        except ProtocolError as error:
            ahead.error = error
        return ahead

    def _read_ahead(self, body: ReadAhead, flavour: Flavour | None) -> Any:
        if body.error is not None:
            raise body.error
        return body.value if flavour in (None, self.flavour) else as_flavour(body.value, flavour)

    def _not_open(self, *_: object) -> Any:  # stands for what the chain brings
        raise self._unsent_error()

    def _unsent_error(self) -> ConnectionLost:
        error = self.error
        if isinstance(error, ForkedConnection):
            return error
        reason = f": {error}" if error is not None and str(error) else ""
        return NotSent(f"{self.facts}: the connection is closed{reason}; connect again", peer=str(self.facts))

    def fault(self, error: BaseException) -> list[object]:
        """The envelope of an exception."""
        self.table.hits.reached(error, self.facts)
        if not isinstance(error, Exception):
            error = RemoteError(f"{type(error).__name__}: {error}", type_name=type(error).__name__)
        if self._detail:
            return encode_fault(error)
        corr_id = self.facts.connection
        if not isinstance(error, RpcxError):  # those have no traceback that says more
            log.info("%s: a call failed, corr_id %s", self.facts, corr_id, exc_info=error)
        return encode_fault(error, detail="type", corr_id=corr_id)

    def fault_of(self, fault: object) -> Exception:
        """The exception that a fault's envelope stands for."""
        try:
            return decode_fault(fault, str(self.facts))
        except ValueError as error:
            return ProtocolError(f"{self.facts}: a fault cannot be decoded: {error}")

    # --- references --------------------------------------------------------------------------------------------

    def _refer(self, instance: object) -> list[object] | None:
        """The wire form of an object that goes by reference; None if it cannot."""
        if isinstance(instance, Proxy):
            me: Any = self  # a Caller: what inherits from this is
            ref: Reference = instance._rpcx_ref
            if ref.endpoint is me:
                self._homing += 1
                return [HOME, ref.uri]
        entry = self.table.export(instance, self.holder)
        if entry is None:
            return None
        if entry.contract is None:
            return [CALLABLE, entry.uri]
        return [REF, entry.uri, list(entry.contract.lineage)[::-1]]

    def _resolver(self, flavour: Flavour) -> Callable[[list[Any]], object]:
        return lambda fields: self._resolve(fields, flavour)

    def _resolve(self, fields: list[Any], flavour: Flavour) -> object:
        match fields:
            case ["home", str(uri)]:
                return self.gate.home(uri)
            case ["call", str(uri)]:
                return make_proxy(self._received(uri, ()), flavour)
            case ["ref", str(uri), [*names]] if names and all(isinstance(name, str) for name in names):
                return make_proxy(self._received(uri, tuple(names)), flavour)
        raise ValueError("a reference of unknown form")

    def _received(self, uri: str, names: tuple[str, ...]) -> Reference:
        """The reference for an id that just arrived once more."""
        with self._lock:
            weak = self._imports.get(uri)
            ref: Reference | None = weak() if weak is not None else None
            if ref is None or ref.released:
                if len(self._imports) >= self.most_imports:
                    self._forget_dead()
                me: Any = self  # a Caller: what inherits from this is
                ref = Reference(me, uri, names)
                self._imports[uri] = weakref.ref(ref)
                self.imports_high = max(self.imports_high, len(self._imports))
            ref.count += 1
        return ref

    def _forget_dead(self) -> None:
        """There are as many references as there may be: those that died and were not given back yet do not count.

        Raises:
            LimitExceeded: as many live.
        """
        self._imports = {uri: weak for uri, weak in self._imports.items() if weak() is not None}
        if len(self._imports) >= self.most_imports:
            raise LimitExceeded(
                f"{self.facts} has passed {len(self._imports)} objects that are held here, and the host's quota is "
                f"callbacks={self.most_imports}; unsubscribe some, or raise the quota",
                limit="quotas.callbacks",
            )

    def give_back(self, uri: str, count: int) -> None:
        """A reference died. May run inside a finalizer, in any thread: takes no lock."""
        self._let_go.append((uri, count))
        if self.error is None:
            self._link.flush_later()

    def abandon_call(self, call_id: int) -> None:
        """Give a call up from a finalizer: takes no lock."""
        self._let_go.append(call_id)
        if self.error is None:
            self._link.flush_later()

    def _send_drops(self) -> None:
        """Tell the peer what finalizers let go. Called under the lock."""
        calls, released = self._let_go.take()
        for call_id in calls:
            self._connection.cancel(call_id)
        if not released or self.error is not None or self._chain is None:
            return
        for uri, _ in released:
            weak = self._imports.get(uri)
            if weak is not None and weak() is None:
                del self._imports[uri]
        body, _ = self._encode([list(pair) for pair in released], self._own_values)
        self._connection.release(body)

    def _peer_released(self, body: bytes) -> None:
        released = self._decode(body, ())
        pairs = [(uri, count) for uri, count in released if isinstance(uri, str) and type(count) is int and count > 0]
        if len(pairs) != len(released):
            raise ProtocolError("a release is a list of ids and counts")
        self.table.release(pairs, self.holder)

    def host_reference(self) -> Reference:
        """The service that every end offers about itself."""
        me: Any = self  # a Caller: what inherits from this is
        return Reference(me, HOST_URI, ())
