"""The files and the terminal output of a search; both are kept up after every trial."""

import time
from typing import TYPE_CHECKING, Any

from optuna.trial import Trial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pochitrain.atomic import write_text
from pochitrain.sweep.optimized import describe_best, write_optimized
from pochitrain.sweep.outcome import Outcome
from pochitrain.sweep.page import write_pages
from pochitrain.sweep.result import (
    best_trial,
    compute_importances,
    count_seconds,
    count_states,
    list_trials,
    shown_params,
    summarize_best,
    summarize_study,
)
from pochitrain.text import format_json

if TYPE_CHECKING:
    from pochitrain.sweep.driver import SearchDriver

SHARE = 0.03
"""The slow results (importances, graphs) may take this share of the time of the search."""
SHOWN = 5
"""Trials in the table at the end."""


class SearchReport:
    """Results of one search."""

    def __init__(self, driver: "SearchDriver") -> None:
        self.driver = driver
        self.study = driver.study
        self.folder = driver.folder
        self.console = Console(highlight=False, soft_wrap=True)
        self.importances: dict[str, float] = {}
        self.best_written: int | None = None
        self.slow_cost_s = 0.0
        self.slow_end = time.monotonic()
        done = count_states(self.study)
        self.print(
            f"Search {self.study.study_name}: {driver.n_trials} trials in all, "
            f"{max(driver.budget, 0)} to do, {driver.n_jobs} at a time. "
            f"{type(driver.sampler).__name__}, {type(driver.pruner).__name__}."
        )
        if done["complete"] + done["pruned"] + done["fail"]:
            self.print(
                f"Going on with {done['complete']} completed, {done['pruned']} pruned and "
                f"{done['fail']} failed trials."
            )
        self.print(f"Results: {self.folder}")

    def print(self, text: str, style: str | None = None) -> None:
        self.console.print(escape(text), style=style)

    def written(self, name: str, value: Any) -> Any:
        parameter = self.driver.parameters.get(name)
        return value if parameter is None else parameter.written(value)

    def trial_finished(self, trial: Trial, outcome: Outcome) -> None:
        frozen = self.study._storage.get_trial(trial._trial_id)
        best = best_trial(self.study)
        seconds = frozen.duration.total_seconds() if frozen.duration else 0.0
        words = [f"trial {trial.number:>3}", f"{frozen.state.name:<8}"]
        words.append(f"{frozen.value:.4f}" if frozen.value is not None else "-")
        words.append(f"{len(frozen.intermediate_values)} epochs {seconds:.1f} s ")
        words.append(format_params(shown_params(frozen, self.written)))
        if outcome.reason:
            words.append(f"({outcome.reason})")
        if best is not None and best.number == trial.number:
            words.append("best")
        style = {TrialState.FAIL: "red", TrialState.PRUNED: "dim"}.get(frozen.state)
        self.print("  ".join(words), style)
        self.refresh()

    def refresh(self, final: bool = False) -> None:
        """Write the results as they are now; the slow ones only now and then, and at the end."""
        elapsed = time.monotonic() - self.slow_end
        if final or self.slow_cost_s <= SHARE * elapsed:
            began = time.monotonic()
            self.importances = compute_importances(self.study)
            write_pages(self.study, self.folder, self.importances)
            self.slow_end = time.monotonic()
            self.slow_cost_s = self.slow_end - began
        self.save("best_params", summarize_best(self.study, self.written))
        self.save("trials_history", list_trials(self.study, self.written))
        self.save("study_statistics", summarize_study(self.study, self.importances))

        self.write_best()

    def write_best(self) -> None:
        """The configs with the best parameters, when there are better ones."""
        best = best_trial(self.study)
        if best is None or best.number == self.best_written:
            return
        self.best_written = best.number
        shown = shown_params(best, self.written)
        assert best.value is not None
        problems = write_optimized(
            self.folder,
            self.driver.real_overrides(best.params),
            self.driver.config,
            self.driver.hydra_context.config_loader,
            describe_best(shown, best.value, self.study.study_name),
        )
        for problem in problems:
            self.print(problem, "yellow")

    def save(self, name: str, content: Any) -> None:
        write_text(self.folder / f"{name}.json", format_json(content))

    def finish(self) -> None:
        """The last refresh, and the table."""
        self.refresh(final=True)
        counts = count_states(self.study)
        spent, saved = count_seconds(self.study)
        if counts["complete"]:
            self.print_best()
        self.print(
            f"{counts['complete']} completed, {counts['pruned']} pruned, {counts['fail']} failed; "
            f"{spent:.0f} s of training, about {saved:.0f} s saved by pruning."
        )
        if self.importances:
            shares = ", ".join(f"{name} {share:.2f}" for name, share in self.importances.items())
            self.print(f"Importance: {shares}")
        self.print(f"Results: {self.folder}")

    def print_best(self) -> None:
        """The best trials: a table, or a line for each where the terminal is too narrow for it."""
        higher = self.study.directions[0].name == "MAXIMIZE"
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ranked = sorted(trials, key=lambda t: t.values[0], reverse=higher)[:SHOWN]
        shown = [shown_params(trial, self.written) for trial in ranked]
        names = list(dict.fromkeys(name for params in shown for name in params))
        title = f"Best of {len(trials)} completed trials"
        table = Table(title=title, title_justify="left")
        for column in ("trial", "val_accuracy" if higher else "val_loss", *names):
            table.add_column(escape(column), justify="right", overflow="fold")
        for trial, params in zip(ranked, shown, strict=True):
            cells = [format_value(params[name]) if name in params else "" for name in names]
            table.add_row(str(trial.number), f"{trial.values[0]:.4f}", *map(escape, cells))
        if table.__rich_measure__(self.console, self.console.options).maximum <= self.console.width:
            self.console.print(table)
            return
        self.print(f"{title}:")
        for trial, params in zip(ranked, shown, strict=True):
            self.print(f"trial {trial.number:>3}  {trial.values[0]:.4f}  {format_params(params)}")


def format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_params(params: dict[str, Any]) -> str:
    return "  ".join(f"{name}={format_value(value)}" for name, value in params.items())
