"""Group `optuna`: the hyper-parameter search."""

from dataclasses import dataclass
from typing import Any

from pochitrain.config.data import has_validation
from pochitrain.config.rule import Node, require_choice, require_positive_int
from pochitrain.error import require

SAMPLERS = ("TPESampler", "RandomSampler", "CmaEsSampler", "GridSampler")
PRUNERS = (
    "MedianPruner",
    "PercentilePruner",
    "SuccessiveHalvingPruner",
    "HyperbandPruner",
    "NopPruner",
    None,
)


@dataclass
class OptunaConfig:
    enabled: bool = False
    study_name: str = "pochitrain_optimization"
    direction: str = "maximize"
    n_trials: int = 20
    n_jobs: int = 1
    optuna_epochs: int = 10
    sampler: str = "TPESampler"
    pruner: str | None = "MedianPruner"
    storage: str | None = None
    search_space: dict[str, Any] | None = None


def check_optuna(node: Node, root: Node) -> None:
    if not node.get("enabled"):
        return
    require_choice(node, "direction", ("maximize", "minimize"), "optuna.")
    for key in ("n_trials", "n_jobs", "optuna_epochs"):
        require_positive_int(node, key, "optuna.")
    require_choice(node, "sampler", SAMPLERS, "optuna.")
    require_choice(node, "pruner", PRUNERS, "optuna.")
    require(
        has_validation(root),
        "optuna.enabled",
        "false without validation pictures",
        True,
        "A search compares validation results: set data.val_root or data.val_fraction.",
    )


SCHEMAS = {"optuna": OptunaConfig}
