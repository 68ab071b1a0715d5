"""Calls from the peer: from an envelope to a job, and from its outcome to an answer."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from rpcx.abc import Buffer, Job
from rpcx.context import DEEPEST
from rpcx.errors import ContractMismatch, InvalidArguments, LimitExceeded, ObjectNotFound, ProtocolError, RpcxError
from rpcx.messages import Call, Fault, Reply, Return
from rpcx.protocol.connection import BATCH, END, FAULT, ITEM, ITEM_NOW, RETURN, RETURN_NOW, Connection, Event
from rpcx.protocol.frames import NO_SEGMENTS
from rpcx.remoting.access import Gate
from rpcx.remoting.brake import Brake
from rpcx.remoting.bursts import IncomingBurst
from rpcx.remoting.dispatch import (
    Answered,
    BatchedRun,
    FailedRun,
    IncomingBatch,
    IncomingCall,
    IncomingOneway,
    IncomingStream,
)
from rpcx.remoting.objects import Entry, ObjectTable, SingleCall
from rpcx.remoting.oneways import Oneways
from rpcx.remoting.proxy import Flavour, as_flavour
from rpcx.remoting.runs import LONGEST_RUN, rows
from rpcx.remoting.wire import Wire
from rpcx.sinks.lowering import SCALARS

log = logging.getLogger("rpcx")

GATHERED: Final = 256 << 10  # bytes of answers that leave together, if they are to what came together
MOST_BATCHED: Final = 100_000  # calls of one batch: a few bytes can ask for a thousand
BURST_ENVELOPE: Final = "a burst is [target, method, count, arguments of all its calls, seconds], count as in its frame"
RUN: Final = "a run of a batch is [target, method, count, arguments of all its calls, seconds, kwargs?, meta?]"


class Incoming(Wire):
    """Makes jobs of the peer's calls, and answers them."""

    def __init__(self, connection: Connection, table: ObjectTable, *, flavour: Flavour, detail: bool = True) -> None:
        super().__init__(connection, table, flavour=flavour, detail=detail)
        self.oneway_failures = 0  # one-way calls of the peer's that raised
        self._serving: dict[int, IncomingCall] = {}  # the peer's calls that are not answered
        self._oneways: Oneways | None = None  # made with the first
        self._brake: Brake | None = None  # made when it is used
        self._most_unsent = connection.limits.write_cap  # bytes that may wait before it is
        self._gathered = min(GATHERED, self._most_unsent)  # … before what waits leaves by itself
        self._unweighed = 0  # bytes of items since it was looked how much waits
        self._apart = connection.role == "client"  # calls of a burst; nobody stands by there
        self._find: Callable[[str, str], Entry] = self._not_open  # the gate's, once opened

    def admit(self, gate: Gate, *, detail: bool) -> None:
        """The peer is known: from now on it reaches what is behind ``gate``, and sees tracebacks if ``detail``."""
        self.gate = gate
        self._find = gate.find
        self._detail = detail

    # --- calls -------------------------------------------------------------------------------------------------

    def _incoming(self, kind: int, call_id: int, body: bytes, segments: Sequence[Buffer], now: float) -> Job | None:
        decode = self._decode_body  # named first, as `pack` is in `rpcx.remoting.requests`
        try:
            envelope = decode(body, segments, self._own_values)
            if kind == BATCH:
                return self._incoming_batch(call_id, envelope, now)
            job = self._prepare(envelope, call_id, now, IncomingCall)
        except Exception as error:  # noqa: BLE001  # the caller is told, nobody else is concerned
            self._refuse(call_id, error, now)
            return None
        self._serving[call_id] = job
        return job

    def _prepare(self, envelope: Any, call_id: int, now: float, kind: type[IncomingCall]) -> IncomingCall:
        """The job for a call's envelope."""
        message = states = None
        if self._sinks:
            message, states, envelope = self._from_sinks(envelope)
        try:
            if len(envelope) == 4:  # the common call
                target, name, args, timeout = envelope
                rest = None
            else:
                target, name, args, timeout, *rest = envelope
            find = self._find
            entry = find(target, name)
        except (ValueError, TypeError):
            raise ProtocolError("a call's envelope is [target, method, args, seconds, kwargs?, meta?]") from None
        depth = self._check_meta(rest[1], entry) if rest and rest[1] else 0
        method = entry.methods.get(name)
        if method is None:
            raise self._no_method(entry, name)
        if method.streams and kind is IncomingCall:
            kind = IncomingStream
        job = kind(self, call_id, entry, method)
        job.args = args
        if rest:
            job.kwargs = rest[0]
            job.depth = depth
        if timeout is not None:
            job.deadline = now + timeout
        if message is not None:
            job.message, job.states = message, states
        if method.is_async is not self._async:
            self._convert(job, "async" if method.is_async else "sync")
        return job

    def _check_meta(self, meta: Any, entry: Entry) -> int:
        if not isinstance(meta, dict):
            raise ProtocolError("a call's meta is a map")
        name = meta.get("c")
        if name is not None and entry.contract is not None:
            contract = entry.contract.lineage.get(name)
            if contract is None or contract.fingerprint != meta.get("f"):
                raise ContractMismatch(f"{entry.uri} is a {entry.contract.name} whose contract differs", uri=entry.uri)
        depth = meta.get("d", 0)
        if not isinstance(depth, int) or depth > DEEPEST:
            text = f"calls that call back are nested deeper than {DEEPEST}; is this an endless loop?"
            raise LimitExceeded(text, limit="fixed.call_depth")
        return depth

    def _no_method(self, entry: Entry, name: object) -> ObjectNotFound:
        kind = entry.contract.name if entry.contract is not None else "function"
        offered = ", ".join(sorted(entry.methods))
        return ObjectNotFound(
            f"{entry.uri}: {kind} has no remote method {str(name)[:80]!r} (it has: {offered})",
            uri=entry.uri, method=str(name)[:80],
        )  # fmt: skip

    def _from_sinks(self, envelope: Any) -> tuple[Call, Any, list[Any]]:
        call = Call(*envelope)
        passed = self._chain.inward(call)
        if isinstance(passed, Return | Fault):
            raise Answered(passed)
        call, states = passed
        return call, states, [call.target, call.method, list(call.args), call.timeout, call.kwargs, call.meta]

    def _convert(self, job: IncomingCall, flavour: Flavour) -> None:
        """Give a method proxies that it can use: awaitable ones to an async method, others to a sync one."""
        job.args = [as_flavour(arg, flavour) for arg in job.args]
        if job.kwargs:
            job.kwargs = {key: as_flavour(arg, flavour) for key, arg in job.kwargs.items()}

    def _incoming_batch(self, call_id: int, envelopes: Any, now: float) -> Job | None:
        if not isinstance(envelopes, list) or not envelopes:
            raise ProtocolError("a batch is a list of runs of calls")
        runs: list[BatchedRun | FailedRun] = []
        calls = 0
        for envelope in envelopes:
            more = self._runs(call_id, envelope, now)
            runs += more
            calls += sum(run.count for run in more)
            if calls > MOST_BATCHED:
                text = f"a batch has more than {MOST_BATCHED} calls; send it in parts"
                raise LimitExceeded(text, limit="fixed.batch_calls")
        if not any(isinstance(run, BatchedRun) for run in runs):
            self._answer(call_id, RETURN, [self._failed_runs(runs)])
            return None
        batch = IncomingBatch(self, call_id, runs, self._connection.room)
        self._serving[call_id] = batch
        return batch

    def _failed_runs(self, runs: list[Any]) -> list[list[Any]]:  # FailedRuns; values and faults
        values: list[Any] = []
        faults: list[Any] = []
        for run in runs:
            reply = run.reply
            if isinstance(reply, Fault):
                fault = self.fault(reply.error)
                faults += ([index, fault] for index in range(len(values), len(values) + run.count))
            values += [reply.value if isinstance(reply, Return) else None] * run.count
        return [values, faults]

    def _runs(self, call_id: int, envelope: Any, now: float) -> list[BatchedRun | FailedRun]:
        """One run of calls on one method; of single-call objects, and with message sinks, each call by itself."""
        try:
            target, name, count, args, *rest = envelope
        except (ValueError, TypeError):
            raise ProtocolError(RUN) from None
        if type(count) is not int or not 0 < count <= LONGEST_RUN or type(args) is not list or len(args) % count:
            raise ProtocolError(RUN)
        if self._sinks and count > 1:
            return self._single_runs(call_id, envelope, now)
        try:
            run = self._prepare([target, name, args, *rest], call_id, now, BatchedRun)
            if run.method.streams:
                raise InvalidArguments(f"{run.uri}.{run.method_name} streams; it cannot be part of a batch")
        except (RpcxError, Answered) as error:
            return [FailedRun(error, count)]
        assert isinstance(run, BatchedRun)
        if count > 1 and isinstance(run.entry, SingleCall):
            return self._single_runs(call_id, envelope, now)
        run.count = count
        return [run]

    def _single_runs(self, call_id: int, envelope: list[Any], now: float) -> list[BatchedRun | FailedRun]:
        target, name, count, args, *rest = envelope
        return [
            run for row in rows(args, count) for run in self._runs(call_id, [target, name, 1, list(row), *rest], now)
        ]

    def _incoming_burst(self, ids: range, body: bytes, now: float) -> Sequence[Job]:
        """Independent calls of one method: one job while they are short, or one for each from the beginning."""
        try:
            target, name, count, args, timeout = self._envelope_of_burst(body, ids)
            job = self._prepare([target, name, args, timeout], ids[0], now, IncomingBurst)
        except Exception as error:  # noqa: BLE001  # the callers are told, nobody else is concerned
            for call_id in ids:
                self._refuse(call_id, error, now)
            return ()
        if type(job) is not IncomingBurst or self._apart or job.blocking or isinstance(job.entry, SingleCall):
            each = zip(ids, rows(args, count), strict=True)
            singles = [self._one([target, name, list(row), timeout], call_id, now) for call_id, row in each]
            return [single for single in singles if single is not None]
        job.begin(ids)
        self._serving.update(dict.fromkeys(ids, job))
        return (job,)

    def _envelope_of_burst(self, body: bytes, ids: range) -> list[Any]:
        envelope = self._decode_body(body, NO_SEGMENTS, self._own_values)
        match envelope:
            case [str(), str(), int(count), [*args], _] if count == len(ids) and not len(args) % count:
                return envelope  # type: ignore[return-value]  # a list, since it matched
        raise ProtocolError(BURST_ENVELOPE)

    def _one(self, envelope: list[Any], call_id: int, now: float) -> Job | None:
        """One call of a burst by itself."""
        try:
            job = self._serving[call_id] = self._prepare(envelope, call_id, now, IncomingCall)
        except Exception as error:  # noqa: BLE001  # the caller is told, nobody else is concerned
            self._refuse(call_id, error, now)
            return None
        return job

    def call_apart(self, call: IncomingCall, call_id: int, args: list[object]) -> None:
        """Make one call of a burst by itself, on a worker, since another takes long."""
        job = self._serving[call_id] = IncomingCall(self, call_id, call.entry, call.method)
        job.args, job.deadline, job.blocking, job.halted = args, call.deadline, True, call.halted
        self._link.spawn(job)

    def _refuse(self, call_id: int, error: Exception, now: float) -> None:
        if isinstance(error, Answered):
            if isinstance(error.reply, Return):
                self._answer(call_id, RETURN, [error.reply.value])
            else:
                self._answer(call_id, FAULT, self.fault(error.reply.error))
            return
        if isinstance(error, ValueError) and not isinstance(error, RpcxError):
            error = ProtocolError(f"the call cannot be decoded: {error}")
        self._answer(call_id, FAULT, self.fault(error))
        if isinstance(error, ProtocolError):
            self._made_no_sense(now)

    def under_way(self) -> list[Entry]:
        """What the peer's calls are for that are not answered; a batch's, once for each run of its calls."""
        jobs = {id(job): job for job in list(self._serving.values())}.values()
        return [part.entry for job in jobs for part in (*getattr(job, "runs", ()), job) if hasattr(part, "entry")]

    def ended_late(self, count: int) -> None:
        """So many calls, of a connection that is over, will not even begin."""
        with self._lock:
            self._connection.ended_late(count)

    def _made_no_sense(self, now: float) -> None:
        """A call of the peer's did not. Now and then that is allowed."""
        with self._lock:
            events = self._connection.in_vain(now)
        self._handle(events, now)

    def _handle(self, events: list[Event], now: float) -> Sequence[Job]:
        """The endpoint's."""
        raise NotImplementedError

    def _relieved(self) -> bool:
        """Whether so much waited that it had to leave now, and be weighed; answers to one read leave together else."""
        self._unweighed = 0
        if self._connection.unsent <= self._gathered:
            return False
        self._link.flush_now()
        self._weigh()
        return True

    def _weigh(self) -> None:
        """The endpoint's too: put the brake on while too much waits for the peer."""
        raise NotImplementedError

    # --- one-way calls -----------------------------------------------------------------------------------------

    def _incoming_oneway(self, body: bytes, segments: Sequence[Buffer], now: float) -> Job | None:
        try:
            job = self._prepare(self._decode(body, segments), 0, now, IncomingOneway)
            if self._oneways is None:
                limits = self._connection.limits
                self._oneways = Oneways(limits.oneways, limits.message, self._link.spawn, self._connection.cargo)
            begins = self._oneways.take(job, len(body) + sum(map(len, segments)))  # type: ignore[arg-type]  # an IncomingOneway
        except Answered as answered:
            if isinstance(answered.reply, Fault):
                self.oneway_failures += 1
                log.warning("a one-way call from %s was answered by a sink: %r", self.facts, answered.reply.error)
            return None
        except Exception as error:  # noqa: BLE001  # nobody awaits an answer
            self._lost_oneway(error, now)
            return None
        return job if begins else None

    def _lost_oneway(self, error: Exception, now: float) -> None:
        self.oneway_failures += 1
        self.table.hits.reached(error, self.facts)
        log.warning("a one-way call from %s failed: %r", self.facts, error)
        if isinstance(error, ProtocolError):
            self._made_no_sense(now)

    def oneway_done(self) -> None:
        """A one-way call ended: run the next of this connection."""
        if self._oneways is not None:
            self._oneways.done()

    # --- answers -----------------------------------------------------------------------------------------------

    def holds(self, call: IncomingCall) -> bool:
        """Whether ``call`` is not to begin yet, since the peer takes no answers; it is kept then."""
        return self._brake is not None and self._brake.keeps(call)

    def passed_out(self, reply: Reply, states: Any) -> Reply:
        """A reply after message sinks saw it."""
        return self._chain.outward(reply, states)

    def answer(self, call: IncomingCall, value: object) -> None:
        """The method returned ``value``."""
        self._serving.pop(call.call_id, None)
        if call.states is not None:
            reply = self._chain.outward(Return(value), call.states)
            if isinstance(reply, Fault):
                self._answer(call.call_id, FAULT, self.fault(reply.error))
                return
            value = reply.value
        try:
            kind, segments = RETURN, NO_SEGMENTS
            if type(value) in SCALARS:
                pack = self._pack
                body = pack([value])
            else:
                homing = self._homing
                body, segments = self._encode([value], self._own_values)
                if self._homing != homing:
                    kind = RETURN_NOW
            self._lock.acquire()
            try:
                large = self._connection.reply(kind, call.call_id, body, segments)
            finally:
                self._lock.release()
        except Exception as error:  # noqa: BLE001  # the result cannot travel: that is the answer
            text = f"{call.uri}.{call.method_name} ran, but its result cannot be sent: {error}"
            failed: RpcxError = InvalidArguments(text, executed="yes")
            if isinstance(error, LimitExceeded):
                failed = LimitExceeded(text, executed="yes", limit=error.limit)
            self._answer(call.call_id, FAULT, self.fault(failed))
            return
        if not (large and self._relieved()):
            self._link.flush()

    def answer_burst(self, call: IncomingCall, first: int, values: list[Any]) -> None:
        """Calls of a burst, from the one whose id is ``first``, returned scalars."""
        for call_id in range(first, first + len(values)):
            self._serving.pop(call_id, None)
        try:
            body = self._pack(values)
            with self._lock:
                sent = self._connection.reply_burst(first, len(values), body)
        except Exception:  # noqa: BLE001  # one of them cannot travel: then each by itself, and that one fails
            sent = False
        if not sent:
            for call.call_id, value in enumerate(values, first):
                self.answer(call, value)
        self._link.flush()

    def answer_fault(self, call: IncomingCall, error: BaseException) -> None:
        """The method, or the way to it, raised ``error``."""
        self._serving.pop(call.call_id, None)
        if call.states is not None and isinstance(error, Exception):
            reply = self._chain.outward(Fault(error), call.states)
            if isinstance(reply, Return):
                self._answer(call.call_id, RETURN, [reply.value])
                return
            error = reply.error
        self._answer(call.call_id, FAULT, self.fault(error))

    def _answer(self, call_id: int, kind: int, envelope: object) -> None:
        homing = self._homing
        body, segments = self._encode(envelope, self._own_values)
        if kind == RETURN and self._homing != homing:
            kind = RETURN_NOW
        with self._lock:
            self._connection.reply(kind, call_id, body, segments)
        self._link.flush()

    # --- streams -----------------------------------------------------------------------------------------------

    def credit(self, call_id: int) -> int:
        """Items the consumer takes now."""
        if self._brake is not None and self._brake.on:
            return 0
        with self._lock:
            return self._connection.credit(call_id)

    def send_item(self, call: IncomingStream, item: object) -> None:
        """One item of a stream."""
        homing = self._homing
        body, segments = self._encode([item], self._own_values)
        kind = ITEM if self._homing == homing else ITEM_NOW
        with self._lock:
            self._connection.item(call.call_id, body, segments, kind)
            self._unweighed += len(body)
        if not ((segments or self._unweighed > self._gathered) and self._relieved()):
            self._link.flush_soon()

    def end_stream(self, call: IncomingStream) -> None:
        """The generator ended."""
        self._serving.pop(call.call_id, None)
        with self._lock:
            self._connection.reply(END, call.call_id, b"")
        self._link.flush()

    def resume_stream(self, call: IncomingStream) -> None:
        """Credit arrived, or the consumer left: run a slice unless one runs."""
        with self._lock:
            start = call.take_up()
        if start:
            self._link.spawn(call)

    def continue_stream(self, call: IncomingStream) -> None:
        """It has credit left, and produced as much as it may at once."""
        self._link.flush()
        self._link.spawn(call)

    def rest_stream(self, call: IncomingStream) -> bool:
        """A slice used up its credit; True: rest until more comes."""
        self._link.flush()
        with self._lock:
            return call.rest()
