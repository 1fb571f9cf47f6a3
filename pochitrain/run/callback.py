"""The callbacks of a training run, in the order in which they hear of an event."""

from pathlib import Path

from omegaconf import DictConfig

from pochitrain.callback.early_stopping import EarlyStopping
from pochitrain.callback.metrics_csv import MetricsCSV
from pochitrain.callback.trial_report import TrialReport
from pochitrain.engine.callback import Callback
from pochitrain.sweep.link import current_trial


def build_callbacks(cfg: DictConfig, folder: Path) -> list[Callback]:
    """What the groups of the config ask for; files go below `folder`."""
    callbacks: list[Callback] = []
    if cfg.metrics.export:
        callbacks.append(MetricsCSV(folder / "training_metrics.csv"))
    node = cfg.early_stopping
    if node.enabled:
        callbacks.append(
            EarlyStopping(patience=node.patience, min_delta=node.min_delta, monitor=node.monitor)
        )
    trial = current_trial()
    if trial is not None:
        callbacks.append(TrialReport(trial))
    return callbacks
