"""Names of .NET types: ``Ns.Outer+Inner`1[[System.Int32, mscorlib]][], assembly, Version=1.0.0.0``.

Assemblies are read and never used to find anything: what a type is called is enough, and what it is called is
looked up in a table of ours.
"""

import functools
from typing import Final, NamedTuple

from rpcx.errors import ProtocolError

MSCORLIB: Final = "mscorlib, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089"
LONGEST: Final = 8192  # characters of a name
DEEPEST: Final = 16  # generic arguments in generic arguments


class ClrName(NamedTuple):
    """A type's name in its parts."""

    name: str  # "Ns.List`1", without arguments
    args: tuple["ClrName", ...] = ()
    ranks: tuple[int, ...] = ()  # of arrays, innermost first: (1, 2) is an array of two dimensions of arrays
    byref: bool = False  # a parameter that is out or ref
    assembly: str = ""  # empty: not said

    def __str__(self) -> str:
        """Without the outermost assembly."""
        args = f"[{','.join(f'[{arg.qualified}]' for arg in self.args)}]" if self.args else ""
        ranks = "".join(f"[{',' * (rank - 1)}]" for rank in self.ranks)
        return f"{self.name}{args}{ranks}{'&' if self.byref else ''}"

    @property
    def qualified(self) -> str:
        """With its assembly, if that is known."""
        return f"{self}, {self.assembly}" if self.assembly else str(self)

    @property
    def bare(self) -> str:
        """Without any assembly: two spellings of one type are equal."""
        return str(self.anywhere)

    @property
    def anywhere(self) -> "ClrName":
        """The same name without assemblies."""
        return ClrName(self.name, tuple(arg.anywhere for arg in self.args), self.ranks, self.byref)


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> ClrName:
    """Take a name apart.

    Raises:
        ProtocolError: it is none.
    """
    if len(text) > LONGEST:
        raise ProtocolError(f"a .NET type's name of {len(text)} characters; {LONGEST} at most")
    parser = _Parser(text)
    name = parser.name(0)
    if parser.at != len(text):
        raise parser.error()
    return name


class _Parser:
    def __init__(self, text: str) -> None:
        self.at = 0
        self._text = text

    def error(self) -> ProtocolError:
        return ProtocolError(f"no name of a .NET type: {self._text[:200]!r} (at {self.at})")

    def name(self, depth: int) -> ClrName:
        """A name up to the bracket that closes it, or the end."""
        if depth > DEEPEST:
            raise self.error()
        name = self._until("[],&")
        args: tuple[ClrName, ...] = ()
        ranks: list[int] = []
        if self._text.startswith("[[", self.at):
            args = self._args(depth)
        while self._peek() == "[":
            ranks.append(self._rank())
        byref = self._peek() == "&"
        self.at += byref
        assembly = ""
        if self._peek() == ",":
            self.at += 1
            assembly = self._until("]").strip()
        if not name:
            raise self.error()
        return ClrName(name, args, tuple(ranks), byref, assembly)

    def _args(self, depth: int) -> tuple[ClrName, ...]:
        self.at += 1
        args = []
        while True:
            self._expect("[")
            args.append(self.name(depth + 1))
            self._expect("]")
            if self._peek() != ",":
                break
            self.at += 1
            while self._peek() == " ":
                self.at += 1
        self._expect("]")
        return tuple(args)

    def _rank(self) -> int:
        self._expect("[")
        commas = len(self._until("]").replace("*", ""))
        if self._text[self.at - commas : self.at].strip(",*"):
            raise self.error()
        self._expect("]")
        return commas + 1

    def _until(self, ends: str) -> str:
        start = self.at
        while self.at < len(self._text) and self._text[self.at] not in ends:
            self.at += 2 if self._text[self.at] == "\\" else 1  # an escaped character belongs to the name
        self.at = min(self.at, len(self._text))
        return self._text[start : self.at].strip()

    def _peek(self) -> str:
        return self._text[self.at : self.at + 1]

    def _expect(self, char: str) -> None:
        if self._peek() != char:
            raise self.error()
        self.at += 1


def split_assembly(qualified: str) -> tuple[str, str]:
    """``A`1[[B, b]], a`` is ``A`1[[B, b]]`` of assembly ``a``."""
    depth = 0
    for at, char in enumerate(qualified):
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
        elif char == "," and depth == 0:
            return qualified[:at], qualified[at + 1 :].strip()
    return qualified, ""


def system(name: str) -> ClrName:
    """A type of .NET's own library."""
    return ClrName(name, assembly=MSCORLIB)


def full_assembly(assembly: str) -> str:
    """``shared`` as .NET writes an assembly without version and signature."""
    if not assembly or "," in assembly:
        return assembly
    return MSCORLIB if assembly == "mscorlib" else f"{assembly}, Version=0.0.0.0, Culture=neutral, PublicKeyToken=null"


def pascal(name: str) -> str:
    """``set_value`` as .NET spells it: ``SetValue``. What has capitals (``SetValue``, ``get_Value``) is spelled so."""
    parts = name.split("_")
    if any(part[:1].isupper() for part in parts):
        return name
    return "".join(part[:1].upper() + part[1:] for part in parts)
