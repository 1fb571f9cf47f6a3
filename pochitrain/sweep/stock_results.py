"""optimization_results.yaml, the file that Hydra's stock Optuna sweeper writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna.study import Study

from pochitrain.atomic import write_text

NAME = "optimization_results.yaml"


def collect_results(study: Study) -> dict[str, Any]:
    """Content of the file.

    Raises:
        ValueError: if there is one objective and no completed trial.
    """
    if len(study.directions) > 1:
        front = [{"params": t.params, "values": t.values} for t in study.best_trials]
        return {"name": "optuna", "solutions": front}
    best = study.best_trial
    return {"name": "optuna", "best_params": best.params, "best_value": best.value}


def save_results(study: Study, folder: Path) -> None:
    """Write the file.

    Raises:
        ValueError: if there is one objective and no completed trial.
    """
    content = collect_results(study)
    folder.mkdir(parents=True, exist_ok=True)  # not made yet if there was no trial to run
    write_text(folder / NAME, OmegaConf.to_yaml(OmegaConf.create(content)))


def describe_results(study: Study) -> Iterator[str]:
    """The content of the file as lines for the log."""
    results = collect_results(study)
    if "solutions" not in results:
        yield f"Best parameters: {results['best_params']}"
        yield f"Best value: {results['best_value']}"
        return
    yield f"Number of Pareto solutions: {len(results['solutions'])}"
    for solution in results["solutions"]:
        yield f"    Values: {solution['values']}, Params: {solution['params']}"
