"""How a check says what is wrong: whose rule was broken, the rule, and what was found instead."""

from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 5.0  # of real time, for what takes some: a connection to come, bytes to arrive


class Rules:
    """The rules of one seam, for one who keeps them or not."""

    def __init__(self, subject: object) -> None:
        self._subject = type(subject).__name__

    def holds(self, condition: object, rule: str, found: object = None) -> None:
        """The ``rule`` is a sentence that is true where ``condition`` is.

        Raises:
            AssertionError: it is not.
        """
        if not condition:
            raise self.broken(rule, found)

    def broken(self, rule: str, found: object = None) -> AssertionError:
        """What to raise where a rule is broken."""
        instead = "" if found is None else f"; instead: {_short(found)}"
        return AssertionError(f"{self._subject}: {rule}{instead}")

    @contextmanager
    def raises(self, kinds: type[Exception] | tuple[type[Exception], ...], rule: str) -> Iterator[None]:
        """The ``rule`` is that what is within raises one of ``kinds``."""
        try:
            yield
        except kinds:
            return
        except Exception as error:
            raise self.broken(rule, f"{type(error).__name__}: {error}") from error
        raise self.broken(rule, "nothing was raised")

    @contextmanager
    def works(self, rule: str) -> Iterator[None]:
        """The ``rule`` is that what is within raises nothing; a broken rule in it is told as it is."""
        try:
            yield
        except AssertionError:
            raise
        except Exception as error:
            raise self.broken(rule, f"{type(error).__name__}: {error}") from error


def _short(found: object) -> str:
    text = found if isinstance(found, str) else repr(found)
    return text if len(text) <= 200 else f"{text[:197]}..."
