"""Rates of the last layer that the config leaves open (null)."""

import copy
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from pochitrain.config.optimizer import SCHEMAS
from pochitrain.config.strategy import NULLABLE
from pochitrain.strategy.head_fit import Rates

PLACEHOLDER = Rates(1e-3, 0.0)
"""Where an optimizer is needed before the rates are chosen."""

Grid = tuple[Sequence[float], Sequence[float]]
"""Learning rates and weight decays that cross-validation tries."""
ADAPTIVE = (3e-4, 1e-3, 3e-3, 1e-2)
GRIDS: dict[str, Grid] = {
    "torch.optim.AdamW": (ADAPTIVE, (0.01, 0.3, 1.0, 3.0)),
    "torch.optim.Adam": (ADAPTIVE, (0.0, 1e-5, 1e-4, 1e-3)),
}
OTHER_GRID: Grid = ((0.01, 0.03, 0.1, 0.3), (0.0, 1e-4, 1e-3, 1e-2))


def find_grid(target: str) -> Grid:
    """The grid for the optimizer with this `_target_`."""
    return GRIDS.get(target, OTHER_GRID)


def default_decay(target: str) -> float:
    """The weight decay that the option of an optimizer has by itself."""
    found = (schema for schema in SCHEMAS.values() if vars(schema)["_target_"] == target)
    return float(getattr(next(found, None), "weight_decay", 0.0))


def fill_rates(cfg: DictConfig, rates: Rates) -> None:
    """Write the rates into the config wherever it leaves them open."""
    cfg.strategy.head_lr, cfg.strategy.head_weight_decay = rates.lr, rates.weight_decay
    for path in NULLABLE:
        group = cfg if len(path) == 1 else cfg[path[0]]
        if path[-1] in group and group[path[-1]] is None:
            value = rates.weight_decay if path[-1] == "weight_decay" else rates.lr
            OmegaConf.update(cfg, ".".join(path), value)


def fill_default_decay(cfg: DictConfig) -> None:
    """Where the rate is given and nothing is to be chosen, the weight decay that is left open is
    that of the optimizer's option."""
    node = cfg.optimizer
    lr, decay = node.get("lr"), node.get("weight_decay")
    if lr is not None:
        fill_rates(cfg, Rates(lr, default_decay(str(node["_target_"])) if decay is None else decay))


def with_placeholders(cfg: DictConfig) -> DictConfig:
    """The config, or a copy with some rate where it leaves that open."""
    if (
        cfg.optimizer.get("lr", 0.0) is not None
        and cfg.optimizer.get("weight_decay", 0.0) is not None
    ):
        return cfg
    twin = copy.deepcopy(cfg)
    fill_rates(twin, PLACEHOLDER)
    return twin
