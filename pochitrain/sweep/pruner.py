"""Building pruners by Optuna's class names."""

from optuna import pruners

LOWEST_SHARE = 25.0
"""PercentilePruner keeps a trial while it is among the best 25 % at its epoch."""


def build_pruner(name: str | None, num_epochs: int) -> pruners.BasePruner:
    """The pruner with the class name `name`; None is NopPruner (Optuna's default is Median).

    Args:
        num_epochs: epochs of a trial, which Hyperband needs.
    """
    if name is None or name == "NopPruner":
        return pruners.NopPruner()
    if name == "PercentilePruner":
        return pruners.PercentilePruner(LOWEST_SHARE)
    if name == "HyperbandPruner":
        return pruners.HyperbandPruner(max_resource=num_epochs)
    if name == "SuccessiveHalvingPruner":
        return pruners.SuccessiveHalvingPruner()
    return pruners.MedianPruner()
