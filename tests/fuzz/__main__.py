"""``python -m tests.fuzz TARGET [atheris' own options]``: look for new paths until interrupted, or ``-runs`` are done.

A crash is written to the current directory (``-artifact_prefix`` says where else). With ``--keep``, what reached
something new goes to ``tests/fuzz/corpus/TARGET.txt``, where all three uses of the targets find it.
"""

import base64
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rpcx"]):
    from tests.fuzz.targets import TARGETS, file_of, kept

LARGEST = 512  # bytes of what is kept
MOST_KEPT = 100


def main() -> None:
    """Run one target."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [--keep] [-runs=N] …")
    name, *options = sys.argv[1:]
    if "--keep" in options:
        options.remove("--keep")
        keep(name, options)
        return
    logging.disable()
    parser, seeds = TARGETS[name]
    folders = [option for option in options if not option.startswith("-")]
    folder = Path(folders[0] if folders else tempfile.mkdtemp(prefix="rpcx-fuzz-"))
    if not folders:
        options.append(str(folder))
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(seed)

    def run(data: bytes) -> None:
        parser(data)

    atheris.Setup([sys.argv[0], "-rss_limit_mb=1024", "-timeout=10", *options], run)
    atheris.Fuzz()


def keep(name: str, options: list[str]) -> None:
    """Search, and write down the smallest of what reached something new, behind what was written down before."""
    with tempfile.TemporaryDirectory(prefix="rpcx-fuzz-") as found:
        subprocess.run([sys.executable, "-m", "tests.fuzz", name, *options, found], check=True, env=os.environ)
        new = {file.read_bytes() for file in Path(found).iterdir()} - set(TARGETS[name][1])
    before = kept(name)
    small = sorted((data for data in new if len(data) <= LARGEST), key=lambda data: (len(data), data))
    all_kept = before + small[: max(0, MOST_KEPT - len(before))]
    file_of(name).write_text("".join(base64.b64encode(data).decode() + "\n" for data in all_kept))


main()
