"""Group `strategy`: which part of the model is trained, and from what."""

from dataclasses import dataclass
from typing import Annotated

from pochitrain.config.optimizer import LEARNING_RATE
from pochitrain.config.validators import Choice, Node, Range
from pochitrain.error import ConfigError, require

SCRATCH, FINETUNE, PROBE, PROBE_FINETUNE = "scratch", "finetune", "probe", "probe_finetune"
BUDGET = "budget"
"""Chooses one of the others, and its settings, by a time limit (run/fit)."""
WITH_FEATURES = (PROBE, PROBE_FINETUNE)
"""Strategies that compute the output of the backbone once for each picture."""

NULLABLE = (("learning_rate",), ("optimizer", "lr"), ("optimizer", "weight_decay"))
"""Keys that strategy=probe sets to null: chosen by cross-validation."""
CHOSEN_BY_RUN = (*NULLABLE, ("strategy", "head_lr"), ("strategy", "head_weight_decay"))
"""Keys for which a run writes its choice into its config where they are null."""


@dataclass
class StrategyConfig:
    """Also the values that an option of this group gives to other groups belong to a strategy."""

    name: Annotated[str, Choice((SCRATCH, FINETUNE, PROBE, PROBE_FINETUNE, BUDGET))] = SCRATCH
    """Set by the option; choose strategy=probe rather than strategy.name=probe."""
    views: Annotated[
        int, Range(ge=0, remedy="0 takes every picture once, without augmentation.")
    ] = 0
    """Augmented versions of each training picture; 0 = one, through the validation transform."""
    head_lr: Annotated[float | None, LEARNING_RATE] = None
    """Learning rate of the last layer on features; null = chosen by cross-validation."""
    head_weight_decay: Annotated[float | None, Range(ge=0)] = None
    """Weight decay of the last layer on features; null = chosen by cross-validation, or the
    optimizer's default where the rate is given."""
    head_epochs: Annotated[int, Range(ge=1)] = 30
    """Epochs in which probe_finetune fits the last layer before it trains all layers."""
    freeze_norm: bool = False
    """Batch norm uses the running statistics of the pretrained weights; for finetune and
    probe_finetune, which train its scale and shift."""


@dataclass
class BudgetConfig:
    """How long strategy=budget may take."""

    minutes: Annotated[float | None, Range(gt=0)] = None
    """From the start of the command to its end; null with the other strategies."""


def strategy_name(root: Node) -> str:
    """The strategy of a config; `scratch` for one that is older than the group."""
    return str((root.get("strategy") or {}).get("name", SCRATCH))


def freezes_norm(root: Node) -> bool:
    """Whether batch norm keeps its running statistics."""
    node = root.get("strategy") or {}
    return bool(node.get("freeze_norm")) and strategy_name(root) in (FINETUNE, PROBE_FINETUNE)


def check_strategy(node: Node, root: Node) -> None:
    """Refuse what cannot be done on features, and null where no strategy replaces it."""
    name = node["name"]
    minutes = root.get("budget", {}).get("minutes")
    rule = "a number of minutes > 0 with strategy=budget"
    require(name != BUDGET or minutes is not None, "budget.minutes", rule, minutes)
    resume = root.get("resume")
    rule = "null with strategy=budget, which plans a new run"
    remedy = "To continue the run that it chose, leave the strategy out."
    require(name != BUDGET or resume is None, "resume", rule, resume, remedy)
    if name == PROBE:
        check_probe(root)
        return
    for path in NULLABLE:
        group = root if len(path) == 1 else root[path[0]]
        if path[-1] in group and group[path[-1]] is None:
            raise ConfigError(
                f"{'.'.join(path)} must be a value other than null, got null. Leave it out to "
                "keep its default."
            )


def check_probe(root: Node) -> None:
    """Refuse settings that need the backbone in the training loop."""
    rule = "{} with strategy=probe"
    freeze = root["model"].get("freeze")
    remedy = "The backbone is never trained."
    require(freeze in (None, False), "model.freeze", rule.format("null"), freeze, remedy)
    batch = root["transform"].get("batch")
    remedy = "Features cannot be mixed as pictures can; strategy.views=4 augments them."
    require(batch is None, "transform.batch", rule.format("null"), batch, remedy)
    tracked = root["gradient_tracking"].get("enabled")
    remedy = "Only the last layer has gradients."
    require(not tracked, "gradient_tracking.enabled", rule.format("false"), tracked, remedy)
    layer_wise = root["layer_wise_lr"].get("enabled")
    remedy = "Only the last layer is trained, at strategy.head_lr."
    require(not layer_wise, "layer_wise_lr.enabled", rule.format("false"), layer_wise, remedy)
    tune = root.get("tune", "off")
    remedy = "There is nothing to choose for a step on features."
    require(tune != "auto", "tune", rule.format("off"), tune, remedy)
    batches = root["gradient_accumulation"]
    remedy = "Features take little memory: raise batch_size instead."
    require(batches == 1, "gradient_accumulation", rule.format("1"), batches, remedy)


def strategy_warnings(node: Node, root: Node) -> list[str]:
    """Warnings about settings that are valid but probably not intended."""
    name, model = node["name"], root["model"]
    minutes = root.get("budget", {}).get("minutes")
    if name == BUDGET:  # the others are for what it chooses
        return []
    found = []
    if minutes is not None:
        found.append(f"budget.minutes={minutes:g} has no effect, because strategy.name is {name}.")
    random = not model.get("pretrained") and not model.get("weights")
    if name != SCRATCH and random and "pretrained" in model:
        what = "trains all layers" if name == FINETUNE else "computes features"
        found.append(
            f"strategy={name} without model.pretrained=true or model.weights {what} with random "
            "weights."
        )
    used = {"views": name in WITH_FEATURES, "head_epochs": name == PROBE_FINETUNE}
    used["freeze_norm"] = name in (FINETUNE, PROBE_FINETUNE)
    used |= dict.fromkeys(("head_lr", "head_weight_decay"), name in WITH_FEATURES)
    for key, is_used in used.items():
        if not is_used and node[key] != StrategyConfig.__dataclass_fields__[key].default:
            found.append(
                f"strategy.{key}={node[key]} has no effect, because strategy.name is {name}."
            )
    return found


SCHEMAS = {"strategy": StrategyConfig}
