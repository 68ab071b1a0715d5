"""Whether two ends that describe a contract differently still fit."""

from collections.abc import Mapping
from typing import Any


def difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """Compare two descriptions: (the first thing that does not fit, or None; what was merely added)."""
    added: list[str] = []
    other = {method["name"]: method for method in theirs["methods"]}
    own = {method["name"]: method for method in mine["methods"]}
    added += [f"{name} exists only there" for name in other.keys() - own.keys()]
    added += [f"{name} exists only here" for name in own.keys() - other.keys()]
    for name in sorted(own.keys() & other.keys()):
        here, there = own[name], other[name]
        for key in ("kind", "oneway", "returns"):
            if here[key] != there[key]:
                return f"{name}: {key} is {here[key]!r} here and {there[key]!r} there", added
        problem = _parameters_differ(here["parameters"], there["parameters"], added, name)
        if problem:
            return f"{name}: {problem}", added
    return None, added


def _parameters_differ(here: Any, there: Any, added: list[str], name: str) -> str | None:  # plain data
    for mine, yours in zip(here, there, strict=False):
        for key in ("name", "kind", "type"):
            if mine[key] != yours[key]:
                return f"parameter {mine['name']!r}: {key} is {mine[key]!r} here and {yours[key]!r} there"
        if ("default" in mine) != ("default" in yours):
            return f"parameter {mine['name']!r} is optional on one side only"
    longer, side = (here, "here") if len(here) > len(there) else (there, "there")
    for extra in longer[min(len(here), len(there)) :]:
        if "default" not in extra and not extra["kind"].startswith("VAR_"):
            return f"parameter {extra['name']!r} is required {side} and unknown on the other side"
        added.append(f"{name}: optional parameter {extra['name']!r} only {side}")
    return None
