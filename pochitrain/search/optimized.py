"""Writes the best parameters as configs for training: a Python file and a Hydra experiment."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, open_dict, read_write

from pochitrain.atomic import write_text
from pochitrain.config.root import to_plain
from pochitrain.error import PochiError
from pochitrain.legacy.node import REFERENCE
from pochitrain.legacy.write import write_python_config, write_yaml_experiment

EXPERIMENT = Path("experiment") / "optimized.yaml"
"""A copy of optimized.yaml where `--config-dir RESULTS experiment=optimized` finds it."""


def write_optimized(
    folder: Path, overrides: Sequence[str], config: DictConfig, loader: ConfigLoader, note: str
) -> list[str]:
    """Write optimized_config.py and optimized.yaml.

    Args:
        overrides: those of a training of full length with the best parameters.
        note: comment at the top of both files.

    Returns:
        One line for each file that was not written: the config cannot be expressed in it, or the
        disk is full.
    """
    job = loader.load_sweep_config(config, list(overrides))
    choices = dict(job.hydra.runtime.choices)
    with read_write(job), open_dict(job):
        del job["hydra"]
        job.optuna.enabled = False
    plain = to_plain(job)
    (folder / EXPERIMENT.parent).mkdir(exist_ok=True)
    choices = {str(group): str(choice) for group, choice in choices.items()}
    # The user's code runs only if the command names its file.
    code = "".join(f"--config {quote(file)} " for file in sorted(set(referenced_files(plain))))
    problems = []
    for path in (folder / "optimized_config.py", folder / "optimized.yaml"):
        try:
            if path.suffix == ".py":
                write_python_config(
                    plain, path, f"{note}\nTrain: pochi train --config {quote(str(path))}"
                )
            else:
                where = quote(str(folder))
                command = f"python train.py {code}--config-dir {where} experiment=optimized"
                write_yaml_experiment(plain, path, f"{note}\nTrain: {command}", choices)
                write_text(folder / EXPERIMENT, path.read_text(encoding="utf-8"))
        except (PochiError, OSError) as error:
            problems.append(f"{path.name} is not written: {error}")
    return problems


def referenced_files(node: Any) -> Iterator[str]:
    """The Python files whose functions and classes a plain config tree refers to."""
    if isinstance(node, Mapping):
        if node.get("_target_") == REFERENCE:
            yield str(node["file"])
        for child in node.values():
            yield from referenced_files(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from referenced_files(child)


def describe_best(params: dict[str, Any], value: float, study_name: str) -> str:
    """The comment at the top of the files: `params` as the user wrote them, and their `value`."""
    chosen = ", ".join(f"{name}={item}" for name, item in params.items())
    return f"Best of search {study_name}: {value:.6g} with {chosen}."
