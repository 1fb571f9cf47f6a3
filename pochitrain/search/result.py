"""The contents of a study as plain values, for the result files."""

import math
import statistics
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pochitrain.sweep.heartbeat import KILLED, REASON

Written = Callable[[str, Any], Any]
"""(parameter, value of the study) -> value as the user wrote it."""


def now() -> str:
    return datetime.now().isoformat(timespec="seconds")


def finite(value: float | None) -> float | None:
    """None for NaN and infinity, which JSON cannot represent."""
    return value if value is not None and math.isfinite(value) else None


def best_trial(study: Study) -> FrozenTrial | None:
    """The best completed trial (never a pruned one); None without one or with many objectives."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete or len(study.directions) > 1:
        return None
    return study.best_trial


def shown_params(trial: FrozenTrial, written: Written) -> dict[str, Any]:
    """The parameters of a trial as the user wrote them."""
    return {name: written(name, value) for name, value in trial.params.items()}


def summarize_best(study: Study, written: Written) -> dict[str, Any]:
    """Content of best_params.json."""
    best = best_trial(study)
    return {
        "study_name": study.study_name,
        "best_value": None if best is None else finite(best.value),
        "best_params": {} if best is None else shown_params(best, written),
        "best_trial": None if best is None else best.number,
        "n_trials": len(finished(study)),
        "timestamp": now(),
    }


def finished(study: Study) -> list[FrozenTrial]:
    """The trials that have ended: completed, pruned or failed."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def list_trials(study: Study, written: Written) -> list[dict[str, Any]]:
    """Content of trials_history.json: all trials that have started."""

    def time(moment: datetime | None) -> str | None:
        return None if moment is None else moment.isoformat()

    rows = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.WAITING:
            continue
        row = {
            "number": trial.number,
            "value": finite(trial.values[0]) if trial.values else None,
            "params": shown_params(trial, written),
            "state": trial.state.name,
            "datetime_start": time(trial.datetime_start),
            "datetime_complete": time(trial.datetime_complete),
            "epochs": len(trial.intermediate_values),
        }
        if REASON in trial.user_attrs:
            row["reason"] = trial.user_attrs[REASON]
        rows.append(row)
    return rows


def count_states(study: Study) -> dict[str, int]:
    """Lower-case name of each state -> number of trials in it."""
    trials = study.get_trials(deepcopy=False)
    return {state.name.lower(): sum(t.state == state for t in trials) for state in TrialState}


def summarize_study(study: Study, importances: dict[str, float]) -> dict[str, Any]:
    """Content of study_statistics.json. `std` is the population standard deviation."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = [t.values[0] for t in complete if t.values and math.isfinite(t.values[0])]
    direction = study.directions[0].name.lower()
    low, high = (min(values), max(values)) if values else (None, None)
    counts = count_states(study)
    spent, saved = count_seconds(study)
    return {
        "study_name": study.study_name,
        "direction": direction,
        "statistics": {
            "best": high if direction == "maximize" else low,
            "worst": low if direction == "maximize" else high,
            "mean": statistics.fmean(values) if values else None,
            "std": statistics.pstdev(values) if values else None,
            "n_completed": counts["complete"],
            "n_pruned": counts["pruned"],
            "n_failed": counts["fail"],
            "seconds_spent": round(spent, 2),
            "seconds_saved_by_pruning": round(saved, 2),
        },
        "param_importances": importances,
        "timestamp": now(),
    }


def count_seconds(study: Study) -> tuple[float, float]:
    """Seconds that all trials took, and an estimate of the seconds saved by pruning.

    The estimate assumes that a pruned trial would have continued at the same speed for as many
    epochs as the longest trial.
    """
    trials = [
        trial
        for trial in study.get_trials(deepcopy=False)
        # A killed trial seems to end when a later search marks it failed, perhaps a day later.
        if trial.duration is not None and trial.user_attrs.get(REASON) != KILLED
    ]
    epochs = max((len(t.intermediate_values) for t in trials), default=0)
    spent = saved = 0.0
    for trial in trials:
        assert trial.duration is not None
        seconds = trial.duration.total_seconds()
        spent += seconds
        done = len(trial.intermediate_values)
        if trial.state == TrialState.PRUNED and done:
            saved += seconds / done * (epochs - done)
    return spent, saved


def compute_importances(study: Study) -> dict[str, float]:
    """Importance of each parameter, from 0 to 1 (PED-ANOVA, Watanabe et al. 2023).

    Empty if it cannot be computed: with fewer than two different values, or many objectives.
    """
    import optuna

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    # Without information, Optuna would call all parameters equally important.
    if len(study.directions) > 1 or len({trial.value for trial in complete}) < 2:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(study)
    except (ValueError, RuntimeError):  # too few trials, or no parameter common to all
        return {}
    return {name: float(share) for name, share in found.items() if math.isfinite(share)}
