"""Finds overrides that have no effect, because what they configure is off or not there."""

from collections.abc import Mapping, Sequence

from omegaconf import DictConfig, OmegaConf

from pochitrain.config.transform_step import find_unused

SWITCHES = {
    "early_stopping": "early_stopping.enabled",
    "gradient_tracking": "gradient_tracking.enabled",
    "layer_wise_lr": "layer_wise_lr.enabled",
    "confusion_matrix": "metrics.export",
    "warmup_start_factor": "warmup_epochs",
    "optuna": "optuna.enabled",
}
"""Key or group -> the key that switches it on, unless false or 0."""
ALWAYS_USED = ("layer_wise_lr.no_weight_decay_on_bias_and_norm",)
REMEDY = {
    "optuna.enabled": "A search is python train.py --multirun optuna=default, or pochi optimize.",
    "warmup_epochs": "Add warmup_epochs=N.",
}


def find_ineffective_overrides(
    overrides: Sequence[str], aliases: Mapping[str, str], cfg: DictConfig
) -> list[str]:
    """A warning for each override that has no effect.

    Config files are not checked: they may keep the settings of a feature that is switched off.

    Args:
        overrides: as typed, such as `early_stopping.patience=3`.
        aliases: hydra.aliases.
    """
    found = []
    unused = {}
    if any("transform." in word for word in overrides):  # writing YAML takes some milliseconds
        source = OmegaConf.to_yaml(cfg.transform)
        unused = {
            f"transform.{key}": why for key, why in find_unused(cfg.transform, source).items()
        }
    for word in overrides:
        key = word.lstrip("+~").partition("=")[0]
        key = aliases.get(key, key)
        if key in unused and OmegaConf.select(cfg, key) is not None:
            found.append(f"{key} has no effect, because {unused[key]}.")
        group, dot, _ = key.partition(".")
        switch = SWITCHES.get(group)
        chooses_option = group in cfg and not dot and OmegaConf.is_dict(cfg[group])
        if switch is None or chooses_option or key in (switch, *ALWAYS_USED):
            continue
        value = OmegaConf.select(cfg, switch)
        if not value:
            remedy = REMEDY.get(switch, f"Add {switch}=true.")
            found.append(f"{key} has no effect, because {switch} is {str(value).lower()}. {remedy}")
    return found
