"""What the lease manager asks its host to do. It comes out of `LeaseManager.tick`, and nowhere else."""

from collections.abc import Hashable
from typing import NamedTuple

from rpcx.abc import LeaseInfo


class AskSponsor(NamedTuple):
    """Ask ``sponsor`` how long the object is to live; then call `answered` or `failed`."""

    object_id: str
    sponsor: Hashable
    info: LeaseInfo  # what the sponsor is shown
    deadline: float  # monotonic seconds; the first tick from then on takes silence for a no


class Ended(NamedTuple):
    """The object has ended: forget and dispose it."""

    object_id: str
    why: str  # for people
    when: float  # monotonic seconds
    refusals: tuple[str, ...] = ()  # why each sponsor asked did not renew; for the host's log


Action = AskSponsor | Ended
