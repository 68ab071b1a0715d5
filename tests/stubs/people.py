"""What the sample contract has from another module."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import rpcx


@rpcx.remote
class Listener:
    """Is told."""

    def told(self, what: str) -> None: ...


@dataclass
class Address:
    """By value."""

    street: str = ""


class Status:
    """Called like another."""


Listeners: TypeAlias = "dict[str, Listener]"
Handler = Callable[[int], str]
