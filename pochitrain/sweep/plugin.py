"""The sweeper as a Hydra plugin. Every command imports it, so it imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf
from omegaconf import MISSING, DictConfig

SAMPLER_TARGETS = (
    "hydra_plugins.hydra_optuna_sweeper.*",
    "optuna.samplers.*",
    "pochitrain.sweep.sampler.ResumableGridSampler",
    "pochitrain.sweep.sampler.build_sampler",
)
PRUNER_TARGETS = ("optuna.pruners.*", "pochitrain.sweep.pruner.build_pruner")
APPLICATION_TARGETS = ("pochitrain.search.application.SearchApplication",)
"""Targets that the nodes of the sweeper may name."""


class PochiSweeper(Sweeper):
    """A sweeper with the fields and search spaces of the stock one, and its own driver."""

    def __init__(
        self,
        sampler: Any,
        pruner: Any = None,
        direction: Any = "minimize",
        application: Any = None,
        **settings: Any,
    ) -> None:
        """
        Args:
            sampler: node of an Optuna sampler, or of a grid sampler that lacks its points.
            pruner: node of an Optuna pruner; None never prunes.
            direction: minimize, maximize, or one of these per objective.
            application: node of an object with the methods of `sweep.application.Application`;
                None for a plain Hydra application.
            settings: the other fields of `SweepSettings`.

        Raises:
            ConfigError: for wrong settings of the application.
        """
        from hydra.utils import instantiate
        from optuna.pruners import NopPruner

        from pochitrain.sweep.application import PlainApplication
        from pochitrain.sweep.settings import SweepSettings, list_directions

        def build(node: Any, allowed: tuple[str, ...], default: Any) -> Any:
            built = None if node is None else instantiate(node, _execution_whitelist_=allowed)
            return default() if built is None else built

        self.application = build(application, APPLICATION_TARGETS, PlainApplication)
        self.settings = SweepSettings(
            sampler=instantiate(sampler, _execution_whitelist_=SAMPLER_TARGETS),
            pruner=build(pruner, PRUNER_TARGETS, NopPruner),
            directions=list_directions(direction),
            **settings,
        )

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from pochitrain.sweep.driver import SweepDriver

        self.driver = SweepDriver(
            self.settings, self.application, hydra_context, task_function, config
        )

    def sweep(self, arguments: list[str]) -> None:
        self.driver.sweep(arguments)


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
    """The schema of `hydra/sweeper=pochi`: the fields of the stock Optuna sweeper, and two more."""

    _target_: str = "pochitrain.sweep.plugin.PochiSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "median"}])
    # MISSING, so that the defaults list chooses it; None would override the list and disable
    # pruning.
    pruner: Any = MISSING
    application: Any = None


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
