"""What was refused, counted by reason, and told in a line at most every ten seconds, however much it was."""

from collections import Counter
from typing import Final

REPORT_SECONDS: Final = 10.0  # between two lines
REASONS: Final = 64  # that are told apart; strangers have a hand in some of them
OTHER: Final = "for other reasons"


class Tally:
    """Counts. Time comes in as ``now``, monotonic seconds; it holds no lock."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()  # since it was made
        self._told: Counter[str] = Counter()  # what the last line had counted
        self._told_at = float("-inf")
        self._news = False  # there are more since then

    def add(self, reason: str) -> None:
        """One more."""
        self._news = True
        self.counts[reason if reason in self.counts or len(self.counts) < REASONS else OTHER] += 1

    def due(self) -> float | None:
        """When there is a line to be told; None: nothing new."""
        return self._told_at + REPORT_SECONDS if self._news else None

    def report(self, now: float) -> str | None:
        """A line about what is new; None: nothing is, or it is too early."""
        due = self.due()
        return self.rest(now) if due is not None and now >= due else None

    def rest(self, now: float) -> str | None:
        """The same, however early."""
        news = self.counts - self._told
        self._told, self._told_at, self._news = Counter(self.counts), now, False
        return ", ".join(f"{count} ({reason})" for reason, count in sorted(news.items())) or None
