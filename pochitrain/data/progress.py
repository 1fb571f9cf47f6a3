"""Shows how far something is that takes longer than a moment, before training starts."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pochitrain.ranks import find_ranks

QUIET_S = 2.0
"""What is done sooner shows nothing."""
LINE_EVERY_S = 10.0
"""How often a line is printed where there is no terminal."""


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
        self.next_s = time.monotonic() + QUIET_S
        self.bar: Progress | None = None
        self.console: Console | None = None

    def advance(self, num: int = 1) -> None:
        """`num` more are done."""
        self.done += num
        if not self.is_shown:
            return
        now = time.monotonic()
        if now >= self.next_s:
            self.next_s = now + self.show()

    def show(self) -> float:
        """Show the count; returns the seconds until it is worth showing again."""
        self.console = self.console or Console(stderr=True, highlight=False, soft_wrap=True)
        if not self.console.is_terminal:
            of = "" if self.total is None else f" of {self.total:,}"
            self.console.print(f"{self.label}: {self.done:,}{of}", markup=False)
            return LINE_EVERY_S
        if self.bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self.bar = Progress(
                *columns, TimeRemainingColumn(), console=self.console, transient=True
            )
            self.bar.add_task(self.label, total=self.total)
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], completed=self.done)
        return 0.2

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
