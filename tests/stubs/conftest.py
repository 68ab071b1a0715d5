"""Modules that a test writes."""

import importlib
import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

NUMBERS = itertools.count()


@pytest.fixture
def module(tmp_path, monkeypatch) -> Iterator[Callable[..., ModuleType]]:
    """``module(source, name="a")`` → the module; its name is its own, so that nothing is remembered of another."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(source: str, name: str | None = None) -> ModuleType:
        name = name or f"sample_{next(NUMBERS)}"
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        made.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)
