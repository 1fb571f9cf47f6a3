"""The sweeper as Hydra sees it. Imported with every command, so nothing heavy is imported here."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from omegaconf import MISSING, DictConfig, OmegaConf

from pochitrain.config.optuna import check_search
from pochitrain.error import require

TARGETS = (
    "hydra_plugins.hydra_optuna_sweeper.*",
    "optuna.samplers.*",
    "optuna.pruners.*",
    "pochitrain.sweep.*",
)
"""What a sampler or pruner node of the config may name."""


class PochiSweeper(OptunaSweeper):
    """The stock Optuna sweeper's fields and search spaces, with a driver of its own."""

    def __init__(
        self,
        sampler: Any,
        direction: Any,
        storage: Any | None,
        study_name: str | None,
        n_trials: int,
        n_jobs: int,
        max_failure_rate: float,
        custom_search_space: str | None,
        params: DictConfig | None,
        pruner: Any = None,
        search: Any = None,
    ) -> None:
        """Build the driver of the search.

        Args:
            pruner: node of an Optuna pruner; None never prunes.
            search: group `optuna` of our own application; None in other applications.

        Raises:
            ConfigError: wrong settings in `search`.
        """
        from hydra.utils import instantiate

        if search is not None:
            check_search(OmegaConf.to_container(search, resolve=True))  # type: ignore[arg-type]
            # Trainings watch what group optuna says; they have one objective.
            rule = f"what optuna.direction says ({search.direction})"
            require(direction == search.direction, "hydra.sweeper.direction", rule, direction)
        from pochitrain.sweep.driver import SearchDriver

        self.sweeper = SearchDriver(
            instantiate(sampler, _execution_whitelist_=TARGETS),
            direction,
            storage,
            study_name,
            n_trials,
            n_jobs,
            max_failure_rate,
            custom_search_space,
            params,
            pruner=None if pruner is None else instantiate(pruner, _execution_whitelist_=TARGETS),
            search=search,
        )

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.sweeper.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        self.sweeper.sweep(arguments)


@dataclass
class PrunerConfig:
    _target_: str = MISSING


@dataclass
class MedianPrunerConfig(PrunerConfig):
    _target_: str = "optuna.pruners.MedianPruner"
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class PercentilePrunerConfig(MedianPrunerConfig):
    _target_: str = "optuna.pruners.PercentilePruner"
    percentile: float = 25.0


@dataclass
class SuccessiveHalvingPrunerConfig(PrunerConfig):
    _target_: str = "optuna.pruners.SuccessiveHalvingPruner"
    min_resource: Any = "auto"
    reduction_factor: int = 4
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0


@dataclass
class HyperbandPrunerConfig(PrunerConfig):
    _target_: str = "optuna.pruners.HyperbandPruner"
    min_resource: int = 1
    max_resource: Any = "auto"
    reduction_factor: int = 3
    bootstrap_count: int = 0


@dataclass
class NopPrunerConfig(PrunerConfig):
    _target_: str = "optuna.pruners.NopPruner"


@dataclass
class PochiSweeperConf(OptunaSweeperConf):
    _target_: str = "pochitrain.sweep.plugin.PochiSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "median"}])
    # MISSING, and the choice in the defaults list: a default of None would overrule the list
    # and nothing would ever be pruned.
    pruner: Any = MISSING
    search: Any = None


PRUNERS: dict[str, type[PrunerConfig]] = {
    "median": MedianPrunerConfig,
    "percentile": PercentilePrunerConfig,
    "successive_halving": SuccessiveHalvingPrunerConfig,
    "hyperband": HyperbandPrunerConfig,
    "nop": NopPrunerConfig,
}

_store = ConfigStore.instance()
_store.store(group="hydra/sweeper", name="pochi", node=PochiSweeperConf, provider="pochitrain")
for _name, _node in PRUNERS.items():
    _store.store(group="hydra/sweeper/pruner", name=_name, node=_node, provider="pochitrain")
