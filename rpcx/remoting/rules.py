"""Rules: who may call, besides the owner. A rule is a set of words; a peer has words too, and one in common is enough.

    "*"                everybody whom the channel let in
    "ops"              whoever has this role
    "principal:ann"    whoever proved to be ann
    "user:ann"         a user of this machine, over a pipe; "user:1001" by number
    "group:staff"      a group of this machine, over a pipe; "group:50" by number

Users and groups of the machine are known by number, so that a name in a trust store can never be taken for one:
``user:ann`` becomes ``principal:uid:1001``. They are looked up when a rule is put to use, not for each call.
"""

import logging
import re
from collections.abc import Iterable
from typing import Final

from rpcx.abc import PeerFacts

log = logging.getLogger("rpcx")

Rule = frozenset[str]

EVERYBODY: Final[Rule] = frozenset({"*"})
NOBODY: Final[Rule] = frozenset()  # but the owner, who is never asked

ROLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")
NAMED: Final = re.compile(r"(principal|user|group):([A-Za-z0-9_][\w.@+:/$-]{0,127})\Z", re.ASCII)


def rule(allow: Iterable[str] | None, where: str) -> Rule | None:
    """What ``allow=`` said, checked; None: nothing was said.

    Raises:
        TypeError: it is no set of words.
        ValueError: a word is none.
    """
    if allow is None:
        return None
    if isinstance(allow, str) or not isinstance(allow, Iterable):
        raise TypeError(f'{where}: allow={allow!r} is no set of words; write allow={{"ops", "principal:ann"}}')
    words = list(allow)
    for word in words:
        if not isinstance(word, str) or not (word == "*" or ROLE.match(word) or NAMED.match(word)):
            raise ValueError(
                f'{where}: {word!r} is no word of a rule; there are "*", a role as "ops", "principal:NAME", '
                '"user:NAME" and "group:NAME"'
            )
    return frozenset(words)


def resolved(said: Rule) -> Rule:
    """A rule in the words that peers have: users and groups of this machine by number.

    Raises:
        ValueError: this machine does not know one of them.
    """
    return said if not any(":" in word for word in said) else frozenset(map(_resolved, said))


def resolved_here(said: Rule) -> Rule:
    """The same for what a program says, which may run on any machine: whom this one does not know is nobody here."""
    known = set()
    for word in said:
        try:
            known.add(_resolved(word))
        except ValueError as error:
            log.warning("allow=%r: %s", word, error)
    return frozenset(known)


def _resolved(word: str) -> str:
    from rpcx.security.users import gid_of, uid_of

    kind, _, name = word.partition(":")
    if kind == "user":
        return f"principal:uid:{uid_of(name)}"
    return f"gid:{gid_of(name)}" if kind == "group" else word


def words_of(peer: PeerFacts) -> Rule:
    """The words that a peer has."""
    name = {f"principal:{peer.principal}"} if peer.principal is not None else ()
    return EVERYBODY.union(peer.roles, name)
