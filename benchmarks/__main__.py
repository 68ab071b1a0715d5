"""``python -m benchmarks [ROW …]``: measure, compare with the goals, write the tables."""

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import dotnet, peers
from benchmarks.extras import EXTRAS
from benchmarks.goals import goals
from benchmarks.measure import ROWS, measure, median

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
WAITING = "Waiting, connections, access, import"  # titles of sections
GOALS = "Goals"
Results = dict[str, dict[str, list[float]]]


def main() -> None:
    with tempfile.TemporaryDirectory() as keys:
        os.environ["RPCX_HOME"] = keys  # those of whoever measures stay as they are
        _main()


def _main() -> None:
    options = _options()
    rows = options.rows or [*ROWS, *EXTRAS]
    unknown = [row for row in rows if row not in ROWS and row not in EXTRAS and row != "leases"]
    if unknown:
        sys.exit(f"no such row: {', '.join(unknown)}; there are {', '.join([*ROWS, *EXTRAS, 'leases'])}")
    console = Console()
    results: Results = {}
    names = [name for name in peers.PEERS if peers.version(name) is not None]
    for absent in sorted(set(peers.PEERS) - set(names)):
        why = dotnet.MISSING if peers.PEERS[absent][0] == "Mono" else "not installed: pip install --group bench"
        console.print(f"{absent}: {why}")
    for name in rows:
        if name in ROWS:
            results[name] = measure(ROWS[name], names, options.rounds, options.seconds)
            console.print(_table(name, results[name]))
    extras = {name: EXTRAS[name]() for name in rows if name in EXTRAS}
    for name, figures in extras.items():
        console.print(name, {key: round(value, 4) for key, value in figures.items()})
    if "leases" in rows:
        from benchmarks import leases

        leases.main([])
    verdicts = goals(results, extras)
    for text, figure, met in verdicts:
        console.print(f"[{'green' if met else 'red'}]{'met    ' if met else 'NOT MET'}[/] {text}: {figure}")
    if options.json:
        print(json.dumps({"rows": results, "extras": extras}))
    if options.write:
        _write(results, extras, verdicts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"rows to measure: {', '.join([*ROWS, *EXTRAS, 'leases'])}")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each competitor")
    parser.add_argument("--seconds", type=float, default=0.25, help="seconds of each round")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON too")
    parser.add_argument("--write", action="store_true", help="rewrite in benchmarks/README.md what was measured")
    return parser.parse_args()


def _lines(row: str, rates: dict[str, list[float]]) -> list[list[str]]:
    unit = 2 if ROWS[row].work == "echo" else 1  # MiB there and back
    raw = median(rates["raw socket"]) if "raw socket" in rates else None
    lines = []
    for name, figures in sorted(rates.items(), key=lambda item: -median(item[1])):
        middle = median(figures) * unit
        spread = f"{min(figures) * unit:,.0f} to {max(figures) * unit:,.0f}"
        lines.append([name, f"{middle:,.0f}", spread, f"{median(figures) / raw:.2f}" if raw else ""])
    return lines


def _head(row: str) -> list[str]:
    return ["", "MiB/s" if ROWS[row].work == "echo" else "calls/s", "from … to", "x raw socket"]


def _table(row: str, rates: dict[str, list[float]]) -> Table:
    table = Table(*_head(row), title=ROWS[row].title)
    for line in _lines(row, rates):
        table.add_row(*line)
    return table


def _write(results: Results, extras: dict[str, dict[str, float]], verdicts: list[tuple[str, str, bool]]) -> None:
    """The page of figures. A run of some rows replaces theirs, and says so; the others stay as they were."""
    whole = results.keys() == ROWS.keys() and extras.keys() == EXTRAS.keys()
    head, sections = ("", {}) if whole else _written()
    if whole or not head:
        head = "\n".join((
            "Written by `make bench`. Competitors take turns in one run; medians of the rounds, and ratios to the raw",
            "blocking socket of the same run and row. Only the ratios mean anything beyond this machine and this hour.",
            "rpcx runs its real path: a leased object, validated arguments and results, a deadline on each call.",
            "",
            f"{datetime.date.today().isoformat()}, {_machine()}. {_versions(results)}.",
        ))  # fmt: skip
    apart = "" if whole else f"{datetime.date.today().isoformat()}, in a run of its own. {_versions(results)}.\n\n"
    for row, rates in results.items():
        sections[ROWS[row].title] = apart + _markdown(_head(row), _lines(row, rates))
    if extras:
        lines = [[name, key, f"{value:.3f}"] for name, figures in extras.items() for key, value in figures.items()]
        sections[WAITING] = apart + _markdown(["", "", ""], lines)
    reached = {line.split("|")[1].strip(): line for line in sections.pop(GOALS, "").splitlines()[2:]}
    reached |= {text: f"| {text} | {figure} | {'met' if met else 'not met'} |" for text, figure, met in verdicts}
    sections[GOALS] = "\n".join([_markdown(["goal", "measured", ""], []), *reached.values()])
    parts = [f"# Benchmarks\n\n{head}", *(f"## {title}\n\n{text}" for title, text in sections.items())]
    PAGE.write_text("\n\n".join(parts) + "\n")
    if whole:
        _write_short(results)


def _written() -> tuple[str, dict[str, str]]:
    """The page as it is: what stands before its sections, and each of them."""
    head, *parts = PAGE.read_text().split("\n## ")
    sections = {title: text.strip() for title, _, text in (part.partition("\n") for part in parts)}
    return head.partition("\n")[2].strip(), sections


def _versions(results: Results) -> str:
    measured = {name for rates in results.values() for name in rates}
    known = {
        name: name
        for name in peers.PEERS
        if name in measured and peers.PEERS[name][0] and not name.endswith(peers.VARIANTS)
    }
    known.setdefault("rpcx", "rpcx")
    if any(peers.PEERS[name][0] == "Mono" for name in measured):
        known["Mono to Mono"] = "Mono"
    return ", ".join(f"{label} {peers.version(name)}" for name, label in known.items())


def _write_short(results: Results) -> None:
    """The comparison in the front page: calls per second as ratios to the raw socket."""
    columns = [row for row in ("sequential", "onecore", "inflight", "echo") if row in results]
    names = [name for name in peers.PEERS if not name.endswith(peers.VARIANTS) and name != "raw socket"]
    lines = []
    for name in names:
        cells = [
            f"{median(results[row][name]) / median(results[row]['raw socket']):.2f}" if name in results[row] else "-"
            for row in columns
        ]
        lines.append([f"**{name}**" if name == "rpcx" else name, *cells])
    page = HERE.parent / "README.md"
    text = page.read_text()
    begin, end = "<!-- bench:begin -->", "<!-- bench:end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    table = _markdown(["x raw blocking socket", *(ROWS[row].title for row in columns)], lines)
    page.write_text(f"{before}{begin}\n{table}\n{end}{after}")


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
