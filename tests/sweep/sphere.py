"""A small Hydra application whose task costs nothing: x^2 + y^2, with an epoch-wise report."""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pochitrain.sweep import current_trial
from pochitrain.sweep.application import PlainApplication


@dataclass
class SphereConfig:
    x: float = 1.0
    y: float = 1.0
    z: str = "a"
    epochs: int = 4
    fail_above: float = 1e9
    sleep_s: float = 0.0
    nan: bool = False
    two_objectives: bool = False
    raise_pruned: bool = False
    kill_above: float = 1e9
    slow_s: float = 0.0
    """How long a trial with z=slow takes, unless SIGTERM stops it as it would a training."""


ConfigStore.instance().store(name="sphere", node=SphereConfig)


def add_y(cfg: Any, trial: Any) -> None:
    """A custom search space: y only where x is positive."""
    if trial.params["x"] > 0:
        trial.suggest_float("y", 0.0, 1.0)


def clash_with_z(cfg: Any, trial: Any) -> None:
    trial.suggest_categorical("z", ["a", "b"])


def prepare_worker(place: int, config: DictConfig) -> None:
    os.environ["SPHERE_WORKER"] = str(place)


class WorkerApplication(PlainApplication):
    """An application of its own: trials in worker processes, their output in a file."""

    output_file = "printed.txt"
    prepare_worker = staticmethod(prepare_worker)


@hydra.main(
    config_path=str(Path(__file__).parent),
    config_name="sphere",
    execution_whitelist=["tests.sweep.*"],
)
def sphere(cfg: DictConfig) -> Any:
    value = float(cfg.x) ** 2 + float(cfg.y) ** 2
    folder = Path(HydraConfig.get().runtime.output_dir)
    facts = {"pid": os.getpid(), "begin": time.time(), "threads": os.environ.get("OMP_NUM_THREADS")}
    if cfg.x > cfg.kill_above:
        os.kill(os.getpid(), 9)
    if cfg.x > cfg.fail_above:
        raise RuntimeError("x is too large\nsecond line")
    if cfg.z == "slow" and cfg.slow_s:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
        (folder / "slow.json").write_text(json.dumps(facts))
        time.sleep(cfg.slow_s)
    trial = current_trial()
    for epoch in range(1, cfg.epochs + 1):
        time.sleep(cfg.sleep_s)
        if trial is not None and trial.report(value + 1 / epoch, epoch) is not None:
            if cfg.raise_pruned:
                import optuna

                raise optuna.TrialPruned
            break
    print("worker", os.environ.get("SPHERE_WORKER"))
    facts["end"] = time.time()
    (folder / "facts.json").write_text(json.dumps(facts))
    if cfg.two_objectives:
        return [float(cfg.x) ** 2, (float(cfg.x) - 2) ** 2]
    return float("nan") if cfg.nan else value


def run_sphere(*arguments: str) -> None:
    """Run the application in this process."""
    before = sys.argv
    sys.argv = ["sphere.py", "--multirun", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        sphere()
    finally:
        sys.argv = before
        del os.environ["HYDRA_FULL_ERROR"]


if __name__ == "__main__":
    try:
        sphere()
    except KeyboardInterrupt:
        sys.exit(130)
