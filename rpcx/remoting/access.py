"""Who may call what: the one gate of each connection, through which all that its peer asks for goes.

The **owner**, the user this process runs as, may do everything; its gate is the object table itself. For **others**
the rules say it (`rpcx.remoting.rules`). Which rule holds for a method, the most specific first, and the operator's
word before the author's:

    1  register or publish(..., methods={"reset": {"ops"}})
    2  @rpcx.method(allow={"ops"})
    3  register or publish(..., allow={"ops"})
    4  @rpcx.singleton("bank", allow={"ops"}), and so the other class decorators; handed down to subclasses
    5  Host(allow={"ops"}), for what has a name
    6  nobody but the owner

An object or a function that was **handed out** is a capability of the session that received it: another session that
knows its id has nothing. To hold it is enough where 1 to 4 say nothing; where they say something, both are needed.
What has a name (a singleton, a published object) stays under its own rule, also when a method returned it.

What is absent, forbidden, or held by somebody else is answered by one text, after the same steps. The audit log tells
them apart.
"""

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final, Protocol

from rpcx.abc import PeerFacts
from rpcx.errors import ObjectExpired, ObjectNotFound
from rpcx.remoting.contract import Contract, Method
from rpcx.remoting.objects import HANDED, HOST_URI, Entry, Leased, ObjectTable
from rpcx.remoting.rules import EVERYBODY, NOBODY, Rule, resolved, resolved_here, rule, words_of
from rpcx.security import audit

log = logging.getLogger("rpcx")

Authorize = Callable[[PeerFacts, str, str], bool]  # peer, contract's name, method's name

DENIED: Final = "no such object or method"
ABSENT_RULE: Final[Rule] = frozenset({""})  # of a method that there is not; looked at as others are, and admits nobody
#: Why in truth, by whether there is such a method, and whether its rule is in the way.
WHY: Final = {(True, True): "no rule", (False, True): "absent", (True, False): "not held"}
CREATE: Final = "__init__"  # what making an instance is called, where methods are named


class Said:
    """What an operator said about one object or class."""

    def __init__(self, allow: Iterable[str] | None, methods: Mapping[str, Iterable[str]] | None, where: str) -> None:
        said = rule(allow, where)
        self.where = where
        self.allow = resolved(said) if said is not None else None
        self.methods = {
            name: resolved(rule(each, f"{where}.{name}") or NOBODY) for name, each in (methods or {}).items()
        }

    def check(self, methods: Mapping[str, Method]) -> None:
        """Raises ValueError: it names a method that there is not; a typing mistake must not open anything."""
        for name in self.methods:
            if name not in methods and name != CREATE:
                known = ", ".join(sorted(methods))
                raise ValueError(f"{self.where} has no remote method {name!r} (it has: {known})")


SILENCE: Final = Said(None, None, "")


class Access:
    """The rules of a host, or of a client for what it hands to the host.

    Args:
        allow: for what has a name and no rule.
        authorize: asked besides, about each method that the rules admit a peer to; once per connection, and again
            when the peer's roles change.
    """

    def __init__(self, allow: Iterable[str] | None = None, authorize: Authorize | None = None) -> None:
        said = rule(allow, "Host")
        self.authorize = authorize
        self._default = resolved(said) if said is not None else NOBODY
        self._classes: dict[type, Said] = {}  # what was said of classes whose instances are handed out
        self._objects: dict[str, Said] = {}  # and of what has a name, by uri

    def say_of_class(self, cls: type, said: Said) -> None:
        self._classes[cls] = said

    def say_of_object(self, uri: str, said: Said) -> None:
        self._objects[uri] = said

    def rules(self, entry: Entry) -> Mapping[str, Rule]:
        """The rule of each method of ``entry``; looked up once, then the entry remembers."""
        if entry.rules is None:
            if isinstance(entry, Leased):
                said, default = self._classes.get(type(entry.instance), SILENCE), EVERYBODY
            else:
                said = self._objects.get(entry.uri, SILENCE)
                default = EVERYBODY if entry.uri == HOST_URI else self._default
            author = _of_class(entry.contract)
            general = next((each for each in (said.allow, author) if each is not None), default)
            entry.rules = {
                name: said.methods[name] if name in said.methods else _of_method(method, general)
                for name, method in entry.methods.items()
            }
        return entry.rules

    def creation(self, cls: type, contract: Contract) -> Rule:
        """The rule of making an instance of ``cls``."""
        said = self._classes.get(cls, SILENCE)
        candidates = (said.methods.get(CREATE), said.allow, _of_class(contract))
        return next((each for each in candidates if each is not None), self._default)

    def gate(self, table: ObjectTable, peer: PeerFacts, holder: Hashable | None) -> "Gate":
        """The gate of one connection.

        Args:
            table: what is behind it.
            peer: who is before it.
            holder: as whom the table knows the peer; None: all that was ever handed out was handed to this peer.
        """
        return OpenGate(table) if peer.owner else GuardedGate(self, table, peer, holder)


def _of_class(contract: Contract | None) -> Rule | None:
    return resolved_here(contract.allow) if contract is not None and contract.allow is not None else None


def _of_method(method: Method, general: Rule) -> Rule:
    return resolved_here(method.allow) if method.allow is not None else general


class Gate(Protocol):
    """What a peer can reach through one connection."""

    def find(self, target: str, method: str, /) -> Entry:
        """The entry that a call is for. Raises ObjectNotFound: there is none that this peer may call so."""
        ...

    def home(self, uri: str, /) -> object:
        """One of our own references came back: the object itself."""
        ...

    def entry(self, uri: str, /) -> Entry:
        """An entry of which the peer may call something."""
        ...

    def create(self, name: str, args: list[Any], kwargs: dict[str, Any], /) -> object:
        """Make an instance of the client-activated class ``name``."""
        ...

    def may_create(self, contract: Contract, /) -> bool: ...
    def methods(self, entry: Entry, /) -> list[str]:
        """The names of what the peer may call of ``entry``."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it is the owner's."""
        ...


class OpenGate:
    """The owner's: the table itself."""

    is_open = True

    def __init__(self, table: ObjectTable) -> None:
        self._table = table
        self.find = table.find
        self.home = table.home
        self.entry = table.find
        self.create = table.activate

    def may_create(self, contract: Contract) -> bool:
        return True

    def methods(self, entry: Entry) -> list[str]:
        return list(entry.methods)


class GuardedGate:
    """Anybody else's."""

    is_open = False

    def __init__(self, access: Access, table: ObjectTable, peer: PeerFacts, holder: Hashable | None) -> None:
        self._access = access
        self._table = table
        self._peer = peer
        self._holder = holder
        self._look_again()

    def _look_again(self) -> None:
        """Roles change while a connection lives; what was decided by the old ones is forgotten."""
        self._roles, self._principal = self._peer.roles, self._peer.principal
        self._words = words_of(self._peer)
        self._answers: dict[tuple[str, str], bool] = {}  # of the application's hook, by contract and method

    # --- calls -------------------------------------------------------------------------------------------------

    def find(self, target: str, method: str) -> Entry:
        entry = self._table.peek(target)
        peer = self._peer
        if peer.roles is not self._roles or peer.principal != self._principal:
            self._look_again()
        rules = entry.rules if entry.rules is not None else self._access.rules(entry)
        barred = rules.get(method, ABSENT_RULE).isdisjoint(self._words)
        held = self._holder is None or entry.held_by(
            self._holder
        )  # asked in any case: no refusal is quicker than another
        if barred or not held:
            raise self._denied(target, method, entry, WHY[method in rules, barred])
        if self._access.authorize is not None and not self._authorized(entry, method):
            raise self._denied(target, method, entry, "not authorized")
        return entry

    def _authorized(self, entry: Entry, method: str) -> bool:
        """What the application's hook says; not asked about the host's own service, nor about functions."""
        if entry.contract is None or entry.uri == HOST_URI:
            return True
        return self._asked(entry.contract.name, method)

    def _asked(self, contract: str, method: str) -> bool:
        answer = self._answers.get((contract, method))
        if answer is None:
            try:
                answer = self._access.authorize is None or self._access.authorize(self._peer, contract, method) is True
            except Exception:
                log.exception("authorize(%s, %r, %r) failed; that means no", self._peer, contract, method)
                answer = False
            self._answers[contract, method] = answer
        return answer

    def _denied(self, target: str, method: str, entry: Entry | None, why: str) -> ObjectNotFound:
        """The one answer; only of what was handed out, by an id nobody guesses, it is told that it ended."""
        said = entry.label if entry is not None else ""
        audit.event("authz-deny", peer=self._peer, object_type=said or None, object=target, method=method, result=why)
        if isinstance(target, str) and HANDED.search(target):
            gone = self._table.gone(target)
            if isinstance(gone, ObjectExpired):
                return gone
        return ObjectNotFound(DENIED)

    # --- what else can be asked for ----------------------------------------------------------------------------

    def home(self, uri: str) -> object:
        self.entry(uri)
        return self._table.home(uri)

    def entry(self, uri: str) -> Entry:
        entry = self._table.peek(uri)
        if not self.methods(entry):
            raise self._denied(uri, "", entry, "nothing of it, or absent")
        return entry

    def methods(self, entry: Entry) -> list[str]:
        if self._holder is not None and not entry.held_by(self._holder):
            return []
        words = words_of(self._peer)
        rules = self._access.rules(entry)
        return [name for name in entry.methods if not words.isdisjoint(rules[name]) and self._authorized(entry, name)]

    def create(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> object:
        known = self._table.activation(name)
        if known is None or not self._may_create(*known):
            raise self._denied(name, CREATE, None, "absent" if known is None else "no rule")
        return self._table.activate(name, args, kwargs)

    def may_create(self, contract: Contract) -> bool:
        known = self._table.activation(contract.name)
        return known is not None and self._may_create(*known)

    def _may_create(self, cls: type, contract: Contract) -> bool:
        rule_ = self._access.creation(cls, contract)
        return not rule_.isdisjoint(words_of(self._peer)) and self._asked(contract.name, CREATE)
