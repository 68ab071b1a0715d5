"""What the demonstration prints: steps, and whether each is as promised. Colours only on a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.process_control import ProcessInfo


class Report:
    """Prints promises and whether they were kept."""

    def __init__(self) -> None:
        self.broken = 0  # promises that were not kept
        self._console = Console(highlight=False, soft_wrap=True)

    def title(self, text: str) -> None:
        """What comes next."""
        self._console.print(f"\n[bold cyan]{escape(text)}[/]")

    def line(self, text: str) -> None:
        """Something worth knowing."""
        self._console.print(f"      [dim]{escape(text)}[/]")

    def output(self, seconds: float, text: str) -> None:
        """Something a process wrote, and when it arrived."""
        self._console.print(f"      [dim]{seconds:5.2f} s[/]  [yellow]{escape(text)}[/]")

    def check(self, promise: str, kept: object) -> None:
        """One promise."""
        self.broken += not kept
        self._console.print(
            f"  [bold green]ok[/]  {escape(promise)}" if kept else f"  [bold red]NO  {escape(promise)}[/]"
        )

    def processes(self, infos: list[ProcessInfo]) -> None:
        """A table of processes."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("      pid", "user", "status", "memory", "command"):
            table.add_column(name, justify="right" if name.strip() in ("pid", "memory") else "left", no_wrap=True)
        for info in infos:
            command = " ".join(info.command) or f"[{info.name}]"
            memory = f"{(info.memory_bytes or 0) / 2**20:.1f} MiB"
            table.add_row(str(info.id.pid), info.user, info.status, memory, escape(command[:40]))
        self._console.print(table)
