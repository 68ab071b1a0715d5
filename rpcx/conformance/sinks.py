"""What a sink promises (`rpcx.abc.MessageSink`, `ByteSink`)."""

import random
from collections.abc import Callable
from typing import Any, Final

from rpcx.conformance.formatters import mutated
from rpcx.conformance.rules import Rules
from rpcx.messages import Call, Fault, Reply, Return
from rpcx.sinks.chain import Sink, for_connection

SEED: Final = 5  # of what is made by chance: the same each time
MUTANTS: Final = 200
MESSAGES: Final = (b"", b"x", b"\0" * 1000, bytes(range(256)) * 4, b"a" * (1 << 20))
ANSWERS: Final[dict[str, Reply]] = {"first": Return([1, "one"]), "second": Fault(ValueError("no"))}


def check_sink(make: Callable[[], Sink], peer: Callable[[], Sink] | None = None) -> None:
    """Whether a sink keeps its rules: between a client and a host, calls that overlap, bytes that were changed.

    Args:
        make: makes one, for a client; called several times, so that each rule is looked at with a new one.
        peer: makes the host's counterpart; default: the same.

    Raises:
        AssertionError: names the rule that is broken.
    """
    check = _Check(make, peer or make)
    check.named()
    if hasattr(make(), "request"):
        check.messages()
    if hasattr(make(), "wrap"):
        check.bytes_there_and_back()
        check.changed_bytes()


class _Check(Rules):
    """The rules, each as a method."""

    def __init__(self, make: Callable[[], Sink], peer: Callable[[], Sink]) -> None:
        super().__init__(make())
        self._make = make
        self._peer = peer
        self._chance = random.Random(SEED)  # noqa: S311  # no secret

    def named(self) -> None:
        sink: Any = self._make()
        self.holds(isinstance(getattr(sink, "name", None), str) and sink.name, "a sink has a name")
        self.holds(sink.name == self._make().name, "its name is always the same, since both ends compare it")
        pairs = [("request", "reply"), ("wrap", "unwrap")]
        there = [[hasattr(sink, name) for name in pair] for pair in pairs]
        whole = all(any(has) == all(has) for has in there) and any(map(any, there))
        self.holds(whole, "a sink has request and reply, or wrap and unwrap, or all of them")

    def line(self) -> tuple[Any, Any]:
        """The client's sink and the host's, of one new connection."""
        with self.works("connected() gives each connection a sink of its own, if there is such a method"):
            return for_connection([self._make()])[0], for_connection([self._peer()])[0]

    # --- messages ----------------------------------------------------------------------------------------------

    def messages(self) -> None:
        """Two calls, one after the other and at the same time: each ends in the same way."""
        apart, together = self.line(), self.line()
        expected = {method: _told(self._up(self._down(apart, _call(method)), method)) for method in ANSWERS}
        under_way = {method: self._down(together, _call(method)) for method in ANSWERS}
        for method in reversed(ANSWERS):
            found = _told(self._up(under_way[method], method))
            rule = "what a sink remembers of a call is its state, and not its own: replies come in any order"
            self.holds(found == expected[method], rule, f"{found} to {method!r}, which alone has {expected[method]}")

    def _down(self, line: tuple[Any, Any], call: Call) -> tuple[list[tuple[Any, Any]], Reply | None]:
        """A call's way to the method: the sinks it passed with what they remember, and an early answer."""
        passed: list[tuple[Any, Any]] = []
        for sink in line:
            with self.works("request raises nothing: a sink that refuses a call answers it with a Fault"):
                result: Any = sink.request(call)
            if isinstance(result, Return | Fault):
                return passed, result
            well = isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Call)
            self.holds(well, "request returns the call with what to remember, or a Return, or a Fault", result)
            call, state = result
            passed.append((sink, state))
        return passed, None

    def _up(self, way: tuple[list[tuple[Any, Any]], Reply | None], method: str) -> Reply:
        """The reply's way back."""
        passed, early = way
        reply = early if early is not None else ANSWERS[method]
        for sink, state in reversed(passed):
            with self.works("reply raises nothing: a sink that refuses a reply returns a Fault"):
                reply = sink.reply(reply, state)
            self.holds(isinstance(reply, Return | Fault), "reply returns a Return or a Fault", reply)
        return reply

    # --- bytes -------------------------------------------------------------------------------------------------

    def bytes_there_and_back(self) -> None:
        client, host = self.line()
        for data in MESSAGES:
            for sender, receiver in ((client, host), (host, client)):
                arrived = self._unwrapped(receiver, self._wrapped(sender, data))
                self.holds(arrived == data, "unwrap is the inverse of the other end's wrap", arrived)
        sent = [self._wrapped(client, data) for data in MESSAGES]
        came = [self._unwrapped(host, data) for data in sent]
        self.holds(came == list(MESSAGES), "several messages may be on their way", came)

    def _wrapped(self, sink: Any, data: bytes) -> bytes:
        with self.works("wrap takes any bytes"):
            made = sink.wrap(data)
        self.holds(type(made) is bytes, "wrap returns bytes", made)
        return bytes(made)

    def _unwrapped(self, sink: Any, data: bytes) -> bytes:
        with self.works("unwrap takes what the other end's wrap returned"):
            made = sink.unwrap(data)
        self.holds(type(made) is bytes, "unwrap returns bytes", made)
        return bytes(made)

    def changed_bytes(self) -> None:
        """Whatever comes, nothing but a refusal is raised; some of it may be a message by chance."""
        client, host = self.line()
        whole = self._wrapped(client, b"x" * 300)
        junk = [b"", b"\0", whole[:-1], whole[:1], whole + b"\0", b"\xff" * 300]
        for data in (*junk, *(mutated(whole, self._chance) for _ in range(MUTANTS))):
            try:
                host.unwrap(data)
            except Exception:  # noqa: BLE001  # any is a refusal
                host = self.line()[1]  # one that refused may refuse from then on
            except BaseException as error:
                rule = "unwrap raises an Exception on bytes that are not its own"
                raise self.broken(rule, f"{type(error).__name__}: {error}; on {data[:40]!r}") from error


def _call(method: str) -> Call:
    return Call("bank", method, [method, 5], kwargs={"note": method}, meta=None)


def _told(reply: Reply) -> tuple[str, str]:
    """A reply in words that can be compared."""
    return type(reply).__name__, repr(reply.value if isinstance(reply, Return) else reply.error)
