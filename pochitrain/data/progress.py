"""Shows how far something is that takes longer than a moment, before training starts."""

import time
from datetime import datetime
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pochitrain.console import PrintableConsole
from pochitrain.manner import is_quiet
from pochitrain.ranks import find_ranks
from pochitrain.text import describe_time_left

QUIET_S = 2.0
"""What is done sooner shows nothing."""
FIRST_LINE_S = 10.0
LINE_EVERY_S = 60.0
"""How often a line is printed where there is no terminal, after the first."""
BAR_FROM = 60
"""Columns of a terminal that has room for a bar."""


class WaitDisplay:
    """A bar on a terminal, a line now and then elsewhere; on stderr.

    Use it as a context manager, and call `advance` often.
    """

    def __init__(self, label: str, total: int | None = None) -> None:
        """Show nothing yet.

        Args:
            label: what is being done, such as "Checking pictures".
            total: how many there are; None = not known.
        """
        self.label = label
        self.total = total
        self.done = 0
        self.is_shown = find_ranks().is_first  # of several processes, one shows it
        self.started = time.monotonic()
        self.next_s = self.started + QUIET_S
        self.bar: Progress | None = None
        self.console: PrintableConsole | None = None

    def advance(self, num: int = 1) -> None:
        """`num` more are done."""
        self.done += num
        if not self.is_shown:
            return
        now = time.monotonic()
        if now >= self.next_s:
            self.next_s = now + self.show(now - self.started)

    def show(self, seconds: float) -> float:
        """Show the count after `seconds`; returns those until it is worth showing again."""
        if is_quiet():
            return LINE_EVERY_S
        self.console = self.console or PrintableConsole(stderr=True)
        end = self.describe_end(seconds)
        if not self.console.is_redrawn:
            if seconds < FIRST_LINE_S:
                return FIRST_LINE_S - seconds
            of = "" if self.total is None else f" of {self.total:,}"
            after = f", {end}" if end else ""
            self.console.print(f"{self.label}: {self.done:,}{of}{after}", markup=False)
            return LINE_EVERY_S
        if self.bar is None:
            bar = [BarColumn()] if self.console.width >= BAR_FROM else []
            self.bar = Progress(
                TextColumn("{task.description}"),
                *bar,
                MofNCompleteColumn(),
                TextColumn("{task.fields[end]}"),
                console=self.console,
                transient=True,
            )
            self.bar.add_task(self.label, total=self.total, end="")
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], completed=self.done, end=end)
        return 0.2

    def describe_end(self, seconds: float) -> str:
        """When all will be done; empty where that is not known."""
        if self.total is None or not 0 < self.done < self.total:
            return ""
        return describe_time_left(seconds / self.done * (self.total - self.done), datetime.now())

    def __enter__(self) -> "WaitDisplay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
