"""The terminal output of a search: a line per trial, and the best trials at the end."""

import time
from datetime import datetime
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.markup import escape
from rich.table import Table

from pochitrain.console import open_console
from pochitrain.metric.table import AVERAGED
from pochitrain.search.result import (
    Written,
    best_trial,
    count_seconds,
    count_states,
    shown_params,
)
from pochitrain.sweep.study import StudyWork
from pochitrain.text import describe_time_left

END_EVERY_S = 60.0
"""How often a line says when the search will end."""
SHOWN = 5
"""Number of trials in the table at the end."""


class SearchTerminal:
    """The terminal output of one search."""

    def __init__(self, study: Study, metric: str, written: Written) -> None:
        """
        Args:
            metric: name of the values, for the table.
            written: converts values of the study to those that the user wrote.
        """
        self.study = study
        self.metric = metric
        self.written = written
        self.console = open_console()
        self.started = self.said = time.monotonic()
        self.budget = self.num_finished = 0
        """Trials of this command: in all, and until now."""

    def print(self, text: str, style: str | None = None) -> None:
        self.console.print(escape(text), style=style)

    def result(self, text: str) -> None:
        """Print what the search is for, also with --quiet."""
        self.console.result(escape(text))

    def print_start(self, work: StudyWork, not_searched: list[str]) -> None:
        """Print a summary of the search before it starts.

        Args:
            not_searched: overrides that fix a parameter of the search space.
        """
        self.started = self.said = time.monotonic()
        self.budget = work.budget
        sampler, pruner = self.study.sampler, self.study.pruner
        self.print(
            f"Search {self.study.study_name}: {work.settings.n_trials} trials in all, "
            f"{max(work.budget, 0)} to do, {work.settings.n_jobs} at a time. "
            f"{type(sampler).__name__}, {type(pruner).__name__}."
        )
        if not_searched:
            self.print(f"Not searched, the command line fixes it: {', '.join(not_searched)}")
        done = count_states(self.study)
        if done["complete"] + done["pruned"] + done["fail"]:
            self.print(
                f"Continuing with {done['complete']} completed, {done['pruned']} pruned and "
                f"{done['fail']} failed trials."
            )

    def print_trial(self, trial: FrozenTrial, reason: str) -> None:
        """Print the line of a finished trial.

        Args:
            reason: why it failed, or empty.
        """
        best = best_trial(self.study)
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        columns = [f"trial {trial.number:>3}", f"{trial.state.name:<8}"]
        columns.append(f"{trial.value:.4f}" if trial.value is not None else "-")
        columns.append(f"{len(trial.intermediate_values)} epochs {seconds:.1f} s ")
        columns.append(format_params(shown_params(trial, self.written)))
        if reason:
            columns.append(f"({reason})")
        if best is not None and best.number == trial.number:
            columns.append("best")
        style = "dim" if trial.state == TrialState.PRUNED else None
        self.num_finished += 1
        if end := self.describe_end(time.monotonic()):
            columns.append(f"({end})")
        if trial.state == TrialState.FAIL:
            self.console.warn("  ".join(columns))
        else:
            self.print("  ".join(columns), style)

    def describe_end(self, now: float) -> str:
        """When the search will end, if that was not said within the last minute; else empty.

        Args:
            now: of time.monotonic.
        """
        left = self.budget - self.num_finished
        if left <= 0 or now - self.said < END_EVERY_S:
            return ""
        self.said = now
        each_s = (now - self.started) / self.num_finished
        return describe_time_left(left * each_s, datetime.now())

    def print_end(self, importances: dict[str, float], remedy: str = "") -> None:
        """Print the best trials, how many trials there were, and `importances` (of parameters).

        Args:
            remedy: what to do about a best value that was chosen on the validation pictures.
        """
        counts = count_states(self.study)
        spent, saved = count_seconds(self.study)
        if counts["complete"]:
            self.print_best()
            self.print_optimism(remedy)
        self.print(
            f"{counts['complete']} completed, {counts['pruned']} pruned, {counts['fail']} failed; "
            f"{spent:.0f} s of training, about {saved:.0f} s saved by pruning."
        )
        if importances:
            shares = ", ".join(f"{name} {share:.2f}" for name, share in importances.items())
            self.print(f"Importance: {shares}")

    def print_optimism(self, remedy: str) -> None:
        """Print from how many values the best one was chosen, if all are of the same pictures."""
        trials = self.study.get_trials(deepcopy=False)
        values = sum(len(trial.intermediate_values) for trial in trials)
        if values < 2 or not self.metric.startswith(("val_", AVERAGED)):
            return
        ran = sum(bool(trial.intermediate_values) for trial in trials)
        self.print(
            f"The best value was chosen from {values:,} (the epochs of {ran:,} trials), all on the "
            f"same validation pictures, so it is too good. {remedy}".rstrip()
        )

    def print_best(self) -> None:
        """Print the best trials as a table, or as lines if the terminal is too narrow for it."""
        higher = self.study.direction.name == "MAXIMIZE"
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ranked = sorted(trials, key=lambda t: t.values[0], reverse=higher)[:SHOWN]
        shown = [shown_params(trial, self.written) for trial in ranked]
        names = list(dict.fromkeys(name for params in shown for name in params))
        title = f"Best of {len(trials)} completed trials"
        table = Table(title=title, title_justify="left")
        for column in ("trial", self.metric, *names):
            table.add_column(escape(column), justify="right", overflow="fold")
        for trial, params in zip(ranked, shown, strict=True):
            cells = [format_value(params[name]) if name in params else "" for name in names]
            table.add_row(str(trial.number), f"{trial.values[0]:.4f}", *map(escape, cells))
        if table.__rich_measure__(self.console, self.console.options).maximum <= self.console.width:
            self.console.result(table)
            return
        self.result(f"{title}:")
        for trial, params in zip(ranked, shown, strict=True):
            self.result(f"trial {trial.number:>3}  {trial.values[0]:.4f}  {format_params(params)}")


def format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_params(params: dict[str, Any]) -> str:
    return "  ".join(f"{name}={format_value(value)}" for name, value in params.items())
