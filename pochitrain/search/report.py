"""The result files of a search, kept up to date after every trial."""

import time
from pathlib import Path
from typing import Any

from optuna.study import Study

from pochitrain.atomic import write_text
from pochitrain.search.metric import metric_label, searched_metric
from pochitrain.search.optimized import describe_best, write_optimized
from pochitrain.search.page import write_pages
from pochitrain.search.plan import SearchPlan
from pochitrain.search.result import (
    best_trial,
    compute_importances,
    list_trials,
    shown_params,
    summarize_best,
    summarize_study,
)
from pochitrain.text import format_json

SHARE = 0.03
"""Largest share of the time of a search that importances and graphs may take."""


class SearchReport:
    """Writes the result files of one search."""

    def __init__(self, study: Study, plan: SearchPlan, folder: Path) -> None:
        self.study = study
        self.plan = plan
        self.folder = folder
        self.importances: dict[str, float] = {}
        self.best_written: int | None = None
        self.slow_cost_s = 0.0
        self.slow_end = time.monotonic()

    def refresh(self, final: bool = False) -> list[str]:
        """Write the current results; importances and graphs only from time to time.

        Args:
            final: write everything.

        Returns:
            One line for each file that could not be written.
        """
        elapsed = time.monotonic() - self.slow_end
        if final or self.slow_cost_s <= SHARE * elapsed:
            began = time.monotonic()
            self.importances = compute_importances(self.study)
            label = metric_label(searched_metric(self.plan.config))
            write_pages(self.study, self.folder, self.importances, label)
            self.slow_end = time.monotonic()
            self.slow_cost_s = self.slow_end - began
        self.save("best_params", summarize_best(self.study, self.plan.written))
        self.save("trials_history", list_trials(self.study, self.plan.written))
        self.save("study_statistics", summarize_study(self.study, self.importances))
        return self.write_best()

    def write_best(self) -> list[str]:
        """Write the configs with the best parameters, if the best trial has changed.

        Returns:
            One line for each file that could not be written.
        """
        best = best_trial(self.study)
        if best is None or best.number == self.best_written:
            return []
        self.best_written = best.number
        shown = shown_params(best, self.plan.written)
        assert best.value is not None
        return write_optimized(
            self.folder,
            self.plan.full_overrides(best.params),
            self.plan.config,
            self.plan.loader,
            describe_best(shown, best.value, self.study.study_name),
        )

    def save(self, name: str, content: Any) -> None:
        write_text(self.folder / f"{name}.json", format_json(content))
