"""The root of the config tree, and the validation of a composed tree."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pochitrain.config import (
    data,
    early_stopping,
    insight,
    loss,
    metrics,
    model,
    optimizer,
    optuna,
    scheduler,
    strategy,
    transform,
)
from pochitrain.config.monitor import check_monitor
from pochitrain.config.report import ReportConfig
from pochitrain.config.target_allowlist import check_allowed, check_target_names
from pochitrain.config.validators import (
    Choice,
    Node,
    Numbers,
    Range,
    Rule,
    Seed,
    find_wrong_fields,
    is_target_node,
    raised,
)
from pochitrain.error import ConfigError, require
from pochitrain.text import did_you_mean, first_line

AtLeastOne = Range(ge=1)
TUNE = ("off", "auto", "recorded", "False")
"""Values of `tune`; False is what YAML makes of `off` without quotes."""


def is_device(text: str) -> bool:
    return re.fullmatch(r"cpu|mps|cuda(:\d+)?", text) is not None


@dataclass
class CheckpointConfig:
    """When the state of a run is saved."""

    every_epochs: Annotated[int, AtLeastOne] = 1
    """After every n-th epoch; also always after the best and the last one."""
    every_minutes: Annotated[float | None, Range(gt=0)] = None
    """Also in mid-epoch, after this many minutes."""
    every_steps: Annotated[int | None, AtLeastOne] = None
    """Also in mid-epoch, after this many optimizer steps."""
    keep_last: Annotated[int, AtLeastOne] = 2
    """Number of newest checkpoints kept on disk, besides the best one. With 2, a run can be resumed
    even if the newest file is damaged."""
    in_background: bool = True
    """Write in a thread; training waits only while the state is copied."""


@dataclass
class FaultConfig:
    """What a run does about a batch that cannot be used."""

    nonfinite: Annotated[str, Choice(("stop", "skip"))] = "stop"
    """A non-finite loss (NaN or infinity). stop: name the images and end; skip: leave the batch
    out."""
    out_of_memory: Annotated[str, Choice(("stop", "halve"))] = "stop"
    """stop: end the run; halve: compute each batch in halves (then quarters, ...)
    and add up their gradients, so that an optimizer step still uses the whole batch."""


@dataclass
class RootConfig:
    """Keys of a run that belong to no group."""

    epochs: Annotated[int, AtLeastOne] = 10
    """Times that the training goes through all training images."""
    learning_rate: Annotated[float | None, optimizer.LEARNING_RATE] = 1e-3
    """Step size of the optimizer when the scheduler starts; null only with strategy=probe, which
    then chooses it."""
    warmup_epochs: Annotated[int, Range(ge=0, remedy="0 starts with the full learning rate.")] = 0
    """The learning rate rises to the scheduler's over this many epochs; 0 = full from the start."""
    warmup_start_factor: Annotated[float, Range(gt=0, le=1)] = 0.1
    """Fraction of the learning rate at the start of the warm-up."""
    stop_after_epoch: Annotated[int | None, AtLeastOne] = None
    """End the run after this epoch, with the schedule of `epochs`; null = after the last."""
    ema_decay: Annotated[float | None, Range(gt=0, lt=1)] = None
    """Also average the weights with this decay (0.999, 0.9999) and evaluate the average."""
    batch_size: Annotated[int, AtLeastOne] = 32
    """Images per batch."""
    seed: Seed = 0
    """Of all random numbers: equal seeds give equal runs."""
    device: Annotated[str | None, Rule("cuda, cuda:N, mps, cpu or null (automatic)", is_device)] = (
        None
    )
    """cuda, cuda:1, mps or cpu; null = the first of these that is available."""
    precision: Annotated[str, Choice(("auto", "fp32", "bf16", "fp16"))] = "auto"
    """auto = bf16 on GPUs with fast bf16, else fp32."""
    compile: bool = False
    """Compile the model with torch.compile."""
    sync_batch_norm: bool = True
    """In a training in several processes: batch norm sees the images of all of them."""
    channels_last: bool = True
    """Store images in NHWC memory order, in which convolutions are faster on GPUs."""
    tune: Annotated[str, Rule("one of off, auto, recorded", lambda value: value in TUNE)] = "off"
    """auto = measure channels_last and data.num_workers before training where nobody has set them;
    recorded = what a run with auto writes into its config, with the values that it chose."""
    cudnn_benchmark: bool = False
    """Let cuDNN time its algorithms at the start, for images of one size on a GPU."""
    deterministic: bool = False
    """Bitwise reproducible on a GPU too, where torch has a deterministic algorithm; slower."""
    gradient_accumulation: Annotated[int, AtLeastOne] = 1
    """Batches per optimizer step."""
    gradient_clip_norm: Annotated[float | None, Range(gt=0)] = None
    """Largest L2 norm of all gradients together; null = not clipped."""
    quiet: bool = False
    """Print nothing but errors, warnings and the result, as --quiet does."""
    work_dir: Annotated[str, Rule("a directory", bool)] = "outputs"
    """Parent of the run directories."""
    resume: Annotated[str | None, Rule("auto, a run directory or null", bool)] = None
    """null, auto (the newest unfinished run of the same config) or a run directory."""
    mean: Annotated[list[float], Numbers("3 numbers (red, green, blue)", count=3)] = field(
        default_factory=lambda: [0.485, 0.456, 0.406]
    )
    """Of red, green and blue in images from 0 to 1: what Normalize subtracts."""
    std: Annotated[
        list[float], Numbers("3 numbers > 0 (red, green, blue)", Range(gt=0), count=3)
    ] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    """What Normalize divides by."""
    monitor: str = "val_accuracy"
    """Metric that decides models/best.pth, early stopping and searches."""
    monitor_direction: str | None = None
    """maximize or minimize, for a monitored column that is not a metric of pochitrain."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    fault: FaultConfig = field(default_factory=FaultConfig)
    budget: strategy.BudgetConfig = field(default_factory=strategy.BudgetConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    callbacks: dict[str, Any] = field(default_factory=dict)
    """Callbacks of the user's own: name -> _target_ node."""
    allow_targets: list[str] = field(default_factory=list)
    """More callables that the config may name in _target_; only from the command line."""

    model: Any = MISSING
    data: Any = MISSING
    transform: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    loss: Any = MISSING
    layer_wise_lr: Any = MISSING
    early_stopping: Any = MISSING
    gradient_tracking: Any = MISSING
    metrics: Any = MISSING
    confusion_matrix: Any = MISSING
    strategy: Any = MISSING
    optuna: Any = MISSING


Check = Callable[[Node, Node], None]

GROUPS: dict[str, tuple[Mapping[str, type[Any]], Check | None]] = {
    "model": (model.SCHEMAS, model.check_model),
    "data": (data.SCHEMAS, data.check_data),
    "transform": (transform.SCHEMAS, transform.check_transform),
    "optimizer": (optimizer.SCHEMAS, optimizer.check_optimizer),
    "scheduler": (scheduler.SCHEMAS, None),
    "loss": (loss.SCHEMAS, loss.check_loss),
    "layer_wise_lr": (optimizer.LAYER_WISE_LR, optimizer.check_layer_wise_lr),
    "early_stopping": (early_stopping.SCHEMAS, early_stopping.check_early_stopping),
    "gradient_tracking": (insight.GRADIENT_TRACKING, None),
    "metrics": (metrics.SCHEMAS, metrics.check_metrics),
    "confusion_matrix": (insight.CONFUSION_MATRIX, None),
    "strategy": (strategy.SCHEMAS, strategy.check_strategy),
    "optuna": (optuna.SCHEMAS, optuna.check_optuna),
}
"""Group -> its schemas by name, and a function (node, whole tree) that checks rules about several
settings at once; rules about one are in the annotation of its field."""
WARNINGS = {
    "model": model.model_warnings,
    "loss": loss.loss_warnings,
    "scheduler": scheduler.scheduler_warnings,
    "early_stopping": early_stopping.early_stopping_warnings,
    "metrics": metrics.metrics_warnings,
    "gradient_tracking": insight.gradient_tracking_warnings,
    "strategy": strategy.strategy_warnings,
}


def validate(cfg: DictConfig) -> list[str]:
    """Check the composed tree, before torch is imported and before any work.

    Args:
        cfg: the composed tree, without the `hydra` node.

    Returns:
        Warnings about settings that are valid but probably not intended.

    Raises:
        ConfigError: for the first rule that is broken.
    """
    root = to_plain_tree(cfg)
    for error in find_mistakes(cfg, root):
        raise error
    return [text for group, find in WARNINGS.items() for text in find(root[group], root)]


def find_all_mistakes(cfg: DictConfig) -> Iterator[ConfigError]:
    """Every rule that the composed tree breaks. What a mistake makes pointless is not looked at."""
    try:
        root = to_plain_tree(cfg)
    except ConfigError as error:
        yield error
        return
    yield from find_mistakes(cfg, root)


def to_plain_tree(cfg: DictConfig) -> dict[str, Any]:
    """The tree as plain Python values.

    Raises:
        ConfigError: for keys that do not belong there, and as `to_plain`.
    """
    refuse_unknown_keys(cfg)
    return to_plain(cfg)


def find_mistakes(cfg: DictConfig, root: dict[str, Any]) -> Iterator[ConfigError]:
    """The rules that a tree breaks; `root` is the same as plain values."""
    wrong = list(find_wrong_fields(RootConfig, root))
    wrong += raised(check_callbacks, root["callbacks"])
    yield from wrong
    if not wrong:
        yield from raised(check_monitor, root)
        wrong += raised(check_allowed, root["allow_targets"])
        wrong += raised(check_target_names, root, root["allow_targets"])
        yield from wrong
    for group, (schemas, check) in GROUPS.items():
        node = root[group]
        if wrong and isinstance(node, dict):  # what comes from there is no mistake of its own
            own_keys = [key for key in node if not OmegaConf.is_interpolation(cfg[group], key)]
            node = {key: node[key] for key in own_keys}
        own = list(find_wrong_in_group(cfg, group, node, schemas))
        yield from own
        wrong += own  # a check of several settings relies on each of them
        if check is not None and not wrong:
            yield from raised(check, root[group], root)


def find_wrong_in_group(
    cfg: DictConfig, group: str, node: Any, schemas: Mapping[str, type[Any]]
) -> Iterator[ConfigError]:
    """The rules beside the fields of a group that its node breaks."""
    if not isinstance(node, dict):
        yield from raised(require, False, group, "a mapping (KEY: VALUE)", node)
        return
    schema = OmegaConf.get_type(cfg[group])
    if schema is dict:  # a saved tree has no types, an option of the user's has no schema
        schema = find_schema_of(node, schemas.values())
    if schema is not None:
        yield from find_wrong_fields(schema, node, f"{group}.")


def check_callbacks(callbacks: Mapping[str, Any]) -> None:
    """Refuse an entry that builds nothing.

    Raises:
        ConfigError: for the first one.
    """
    for name, node in callbacks.items():
        require(is_target_node(node), f"callbacks.{name}", "a node with _target_", node)


def find_schema_of(node: Node, schemas: Iterable[type[Any]]) -> type[Any] | None:
    """The schema with exactly the keys of `node` and its `_target_`; None if there is none."""
    for schema in schemas:
        fields = schema.__dataclass_fields__
        target = fields["_target_"].default if "_target_" in fields else None
        if node.keys() == fields.keys() and node.get("_target_") == target:
            return schema
    return None


def to_plain(cfg: DictConfig) -> dict[str, Any]:
    """The tree as plain Python values, interpolations resolved.

    Raises:
        ConfigError: if a mandatory value is missing or an interpolation fails.
    """
    missing = []
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
        if has_missing(plain):
            missing = sorted(OmegaConf.missing_keys(cfg))
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{error.full_key} cannot be resolved: {first_line(error).rstrip('.')}."
        ) from None
    except RecursionError:
        raise ConfigError("The config cannot be resolved: an interpolation is circular.") from None
    if missing:
        raise ConfigError(
            f"{missing[0]} must be given, it has no default. Add {missing[0]}=... to the command."
        )
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def has_missing(plain: object) -> bool:
    """Whether a mandatory value may be missing in plain values; looking for it takes longer."""
    if isinstance(plain, (dict, list)):
        return any(map(has_missing, plain.values() if isinstance(plain, dict) else plain))
    return isinstance(plain, str) and plain == MISSING


def refuse_unknown_keys(cfg: DictConfig | ListConfig, prefix: str = "") -> None:
    """Refuse a key that was added to (`+scheduler.gama=1`) or deleted from (`~epochs`) a schema."""
    if isinstance(cfg, DictConfig) and not cfg._is_none() and not cfg._is_missing():
        schema = OmegaConf.get_type(cfg)
        fields = getattr(schema, "__dataclass_fields__", None)
        for key in map(str, cfg):
            child = cfg._get_node(key)
            if fields is not None and key not in fields:
                raise ConfigError(explain_unknown_key(prefix, key, schema))
            if isinstance(child, DictConfig):
                refuse_unknown_keys(child, f"{prefix}{key}.")
        deleted = [key for key in fields or () if key not in cfg._content]  # type: ignore[operator]
        if deleted:
            raise ConfigError(
                f"{prefix}{deleted[0]} must have a value, got none. Leave out "
                f"~{prefix}{deleted[0]} to keep its default."
            )


def refuse_number_for_switch(overrides: Iterable[str], cfg: DictConfig) -> None:
    """Refuse `compile=7`: OmegaConf makes true of every integer but 0. 0 and 1 are accepted.

    Args:
        overrides: as typed.
        cfg: the tree that they have composed to.

    Raises:
        ConfigError: for another integer that was typed for a boolean key.
    """
    for word in overrides:
        key, _, value = word.lstrip("+").partition("=")
        is_count = re.fullmatch(r"[+-]?\d+", value) and int(value) not in (0, 1)
        if is_count and isinstance(OmegaConf.select(cfg, key), bool):
            require(False, key, "true or false", int(value))


def explain_unknown_key(prefix: str, key: str, schema: type[Any] | None) -> str:
    """The message for `prefix + key`, which is not a field of `schema`."""
    group = prefix.rstrip(".")
    text = f"{prefix}{key} is not a key of the config."
    fields = [] if schema is None else public_fields(schema)
    owners = [
        name
        for name, other in (GROUPS[group][0] if group in GROUPS else {}).items()
        if key in public_fields(other)
    ]
    hint = did_you_mean(key, fields, f"{prefix}{{}}")
    if owners:
        text += f" It is a key of {group}={' or '.join(owners)}."
    else:
        text += hint
    return f"{text} Choices: {', '.join(fields)}." if fields else text


def public_fields(schema: type[Any]) -> list[str]:
    """Names of the fields that a user may set, without `_target_` and the like."""
    fields: Mapping[str, Any] = getattr(schema, "__dataclass_fields__", {})
    return [name for name in fields if not name.startswith("_")]


def find_schema(name: str) -> type[Any] | None:
    """The dataclass called `name` among the root and all groups."""
    known: list[type[Any]] = [RootConfig, CheckpointConfig, FaultConfig, ReportConfig]
    known.append(strategy.BudgetConfig)
    known += [schema for schemas, _ in GROUPS.values() for schema in schemas.values()]
    return next((schema for schema in known if schema.__name__ == name), None)
