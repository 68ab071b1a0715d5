"""What the threat model says is shown by a test is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security" / "threat-model.md"


def test_every_test_that_is_named_there_exists():
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) > 25
    assert not named - defined, f"no such test: {sorted(named - defined)}"


def test_every_threat_has_its_row():
    rows = re.findall(r"^\| (T\d\d(?:(?:, | to )T\d\d)*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    numbers = set()
    for row in rows:
        found = [int(number) for number in re.findall(r"\d\d", row)]
        numbers |= set(range(found[0], found[-1] + 1))
    assert numbers == set(range(1, 36))
